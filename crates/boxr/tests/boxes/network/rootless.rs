//! Networks of an ordinary user's, whom root's tests become.

use std::path::Path;

use boxr_testing::lab::{FAR_AWAY, HOST, Lab};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, leaks, test, wait_until};
use rustix::process::Signal;

use super::{BUSYBOX, NET, ROOT, site};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_users_box_reaches_the_internet, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(a_users_port_is_reached_from_everywhere, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(the_helper_of_a_killed_boxr_is_ended, ROOT, NET, PASTA, SETPRIV),
    test!(what_a_user_cannot_have_is_named, ROOT, NET, PASTA, SETPRIV),
    test!(a_container_with_other_ids_has_networks, ROOT, NET, BUSYBOX, PASTA, SETPRIV, NEWUIDMAP, SHARED),
    test!(
        a_users_link_leads_where_networks_are_shared,
        ROOT,
        NET,
        BUSYBOX,
        PASTA,
        SETPRIV,
        NEWUIDMAP,
        SHARED
    ),
];

const NEWUIDMAP: Need = Need::Tool(Tool::Newuidmap);
/// Layers of other ids without a copy.
const SHARED: Need = Need::Kernel(6, 16);

pub(super) const PASTA: Need = Need::Tool(Tool::Pasta);
pub(super) const SETPRIV: Need = Need::Tool(Tool::Setpriv);

/// No helper and no file of a box is left.
#[track_caller]
pub fn assert_nothing_left(home: &Path) {
    wait_until("the helper has ended", || helpers(home) == 0);
    let left = leaks::files_below(&home.join("state"));
    let is_hint = |path: &Path| path.ends_with("resolver") || path.to_string_lossy().contains("/last");
    let left: Vec<_> = left.iter().filter(|path| !is_hint(path)).collect();
    assert!(left.is_empty(), "left on disk: {left:?}");
}

/// How many helpers run for boxes of this user.
fn helpers(home: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let home = home.to_str().unwrap();
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains("pasta\0") && line.contains(home))
        .count()
}

fn a_users_box_reaches_the_internet(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let server = lab.serve(80, &site(t, "far"));
    let url = format!("http://{FAR_AWAY}/who");
    let script = format!("busybox wget -q -O - {url} && cat /etc/resolv.conf");
    let run = ["run", "--network", "bridge", "--dns", "192.0.2.53", "--", "sh", "-c", &script];
    lab.boxr_as_user(t, &home, run).run().ok().prints("farnameserver 192.0.2.53\n");
    server.signal(Signal::TERM);
    let seen = server.finish().errors();
    assert!(seen.contains(HOST), "{seen}");
    assert_nothing_left(&home);
    lab.end(t);
}

fn a_users_port_is_reached_from_everywhere(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let dir = site(t, "inside");
    let serve = ["--", "busybox", "httpd", "-f", "-p", "80", "-h", dir.as_str()];
    lab.boxr_as_user(t, &home, ["run", "-d", "--name", "web", "-p", "8080:80"]).args(serve).run().ok();
    let url = format!("http://{HOST}:8080/who");
    wait_until("it serves", || lab.fetch(&url).run().status.success());
    lab.fetch("http://127.0.0.1:8080/who").run().ok().prints("inside");
    lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
    let again = ["run", "-p", "8080:80", "--", "true"];
    lab.boxr_as_user(t, &home, again).run().exits(125).blames("in use by container web");
    lab.boxr_as_user(t, &home, ["stop", "-t", "0", "web"]).run().ok();
    wait_until("the helper has ended", || helpers(&home) == 0);
    lab.boxr_as_user(t, &home, ["start", "web"]).run().ok();
    wait_until("it serves again", || lab.fetch(&url).run().status.success());
    lab.boxr_as_user(t, &home, ["rm", "-f", "web"]).run().ok();
    assert_nothing_left(&home);
    lab.end(t);
}

fn the_helper_of_a_killed_boxr_is_ended(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let run = ["run", "--die-with-parent", "-p", "8080:80", "--", "sh", "-c", "echo up; cat"];
    let mut running = lab.boxr_as_user(t, &home, run).spawn();
    running.expect("up");
    assert_eq!(helpers(&home), 1);
    running.signal(Signal::KILL);
    running.finish().killed_by(Signal::KILL);
    wait_until("the box has gone", || {
        lab.boxr_as_user(t, &home, ["ps", "-a", "-q"]).run().ok().word().is_empty()
    });
    assert_nothing_left(&home);
    lab.end(t);
}

fn what_a_user_cannot_have_is_named(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    for (flags, word) in [
        (vec!["--network", "blue"], "no network named blue"),
        (vec!["-p", "81:80"], "0.0.0.0:81"),
        (vec!["--network", "bridge", "--ip", "10.88.0.9"], "host's address"),
        (vec!["-p", "80/sctp"], "tcp and udp"),
    ] {
        lab.boxr_as_user(t, &home, ["run"]).args(&flags).args(["--", "true"]).run().exits(125).blames(word);
    }
    assert_nothing_left(&home);
    lab.end(t);
}

fn a_container_with_other_ids_has_networks(t: &Sandbox) {
    let lab = Lab::for_users();
    lab.give_ids(t);
    let home = lab.home(t);
    let server = lab.serve(80, &site(t, "far"));
    let (root, archive) = (t.rootfs("image"), t.path("image.tar"));
    std::fs::write(t.path("image/etc/passwd"), "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\n")
        .unwrap();
    Cmd::new("tar").args(["-C", &root, "-cf", archive.to_str().unwrap(), "."]).run().ok();
    lab.boxr_as_user(t, &home, ["import", archive.to_str().unwrap(), "bb"]).run().ok();
    lab.boxr_as_user(t, &home, ["network", "create", "blue"]).run().ok();
    let url = format!("http://{FAR_AWAY}/who");
    // The user of its command is a subordinate id, or its root, or both.
    for (word, user, id) in
        [("new", "ann", "1000"), ("keep-id", "12345", "12345"), ("nomap", "0", "0"), ("nomap", "ann", "1000")]
    {
        for network in ["bridge", "blue"] {
            let script = format!("wget -q -O - {url}; id -u");
            let run = [
                "run",
                "-q",
                "--rm",
                "--userns",
                word,
                "-u",
                user,
                "--network",
                network,
                "bb",
                "sh",
                "-c",
                &script,
            ];
            lab.boxr_as_user(t, &home, run).run().ok().prints(&format!("far{id}\n"));
        }
    }
    lab.boxr_as_user(t, &home, ["network", "rm", "blue"]).run().ok();
    lab.boxr_as_user(t, &home, ["rmi", "bb"]).run().ok();
    server.signal(Signal::TERM);
    server.finish();
    assert_nothing_left(&home);
    lab.end(t);
}

fn a_users_link_leads_where_networks_are_shared(t: &Sandbox) {
    let lab = Lab::for_users();
    lab.give_ids(t);
    let home = lab.home(t);
    let (root, archive) = (t.rootfs("image"), t.path("image.tar"));
    Cmd::new("tar").args(["-C", &root, "-cf", archive.to_str().unwrap(), "."]).run().ok();
    lab.boxr_as_user(t, &home, ["import", archive.to_str().unwrap(), "bb"]).run().ok();
    lab.boxr_as_user(t, &home, ["network", "create", "blue"]).run().ok();
    let start = |name: &str, flags: &[&str]| {
        let run = lab.boxr_as_user(t, &home, ["run", "-d", "--name", name]).args(flags);
        run.args(["bb", "sleep", "1000"]).run()
    };
    start("alone", &["--network", "bridge"]).ok();
    start("web", &["--network", "bridge", "--link", "alone"]).exits(125).blames("do not reach each other");
    start("web", &["--network", "blue", "--link", "alone"])
        .exits(125)
        .blames("none of this container's networks");
    start("db", &["--network", "blue"]).ok();
    // Whose root is the caller, and whose root is nobody that he is.
    start("web", &["--network", "blue", "--link", "db:store"]).ok();
    start("strange", &["--network", "blue", "--link", "db:store", "--userns", "nomap"]).ok();
    for restarts in [false, true] {
        if restarts {
            lab.boxr_as_user(t, &home, ["restart", "-t", "0", "db"]).run().ok();
        }
        let template = "{{.NetworkSettings.Networks.blue.IPAddress}}";
        let address = lab.boxr_as_user(t, &home, ["inspect", "-f", template, "db"]).run().ok().word();
        for name in ["web", "strange"] {
            let cat = ["exec", name, "cat", "/etc/hosts"];
            let hosts = lab.boxr_as_user(t, &home, cat).run().ok().text();
            assert!(hosts.contains(&format!("{address}\tstore ")), "{hosts}");
            assert_eq!(hosts.matches("store").count(), 1, "{hosts}");
        }
    }
    lab.boxr_as_user(t, &home, ["rm", "-f", "strange", "web", "db", "alone"]).run().ok();
    lab.boxr_as_user(t, &home, ["network", "rm", "blue"]).run().ok();
    lab.boxr_as_user(t, &home, ["rmi", "bb"]).run().ok();
    assert_nothing_left(&home);
    lab.end(t);
}
