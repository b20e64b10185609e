//! Networks of an ordinary user's where pasta is not installed: slirp4netns.

use std::path::{Path, PathBuf};

use boxr_testing::lab::{HOST, Lab};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::Signal;

use super::names::SERVER;
use super::rootless::{SETPRIV, assert_nothing_left};
use super::{BUSYBOX, NET, ROOT, lay_resolver_file, site, take_resolver_file};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_box_behind_slirp4netns_reaches_the_internet, ROOT, NET, BUSYBOX, SLIRP, SETPRIV, PYTHON),
    test!(a_port_of_slirp4netns_leads_into_the_box, ROOT, NET, BUSYBOX, SLIRP, SETPRIV),
    test!(slirp4netns_is_ended_for_a_killed_boxr, ROOT, NET, SLIRP, SETPRIV),
    test!(
        slirp4netns_waits_for_a_first_process_that_is_slow,
        ROOT,
        NET,
        SLIRP,
        SETPRIV,
        Need::Tool(Tool::Strace)
    ),
    test!(what_slirp4netns_cannot_do_is_named, ROOT, NET, SLIRP, SETPRIV),
];

const SLIRP: Need = Need::Tool(Tool::Slirp4netns);
const PYTHON: Need = Need::Tool(Tool::Python);

/// A user's boxr where pasta is as good as not installed.
fn boxr(lab: &Lab, t: &Sandbox, home: &Path, args: &[&str]) -> Cmd {
    lab.boxr_as_user(t, home, args).env("BOXR_NETWORK_HELPER", "slirp4netns")
}

/// The process of the one helper that runs, in /proc.
fn helper(home: &Path) -> PathBuf {
    let boxes = home.join("state/network/boxes");
    let files = std::fs::read_dir(boxes).unwrap().map(|entry| entry.unwrap().path());
    let pids: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "pid")).collect();
    let [file] = pids.as_slice() else { panic!("{pids:?}") };
    let process = Path::new("/proc").join(std::fs::read_to_string(file).unwrap().trim());
    assert_eq!(std::fs::read_to_string(process.join("comm")).unwrap(), "slirp4netns\n");
    process
}

fn a_box_behind_slirp4netns_reaches_the_internet(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let server = lab.serve(80, &site(t, "far"));
    lay_resolver_file(t, &lab, "nameserver 192.0.2.1\n");
    let mut resolver = lab.on_internet("python3").args(["-c", SERVER]).spawn();
    resolver.expect("up");
    let script = "busybox wget -q -O - http://far.example/who && cat /etc/resolv.conf && cat /sys/class/net/lo/flags \
                  && timeout 5 busybox wget -q -O - http://10.0.2.2:8079/who || echo no loopback";
    let inside =
        lab.on_host("busybox").args(["httpd", "-f", "-p", "127.0.0.1:8079", "-h", &site(t, "own")]).spawn();
    let run = ["run", "--network", "bridge", "--", "sh", "-c", script];
    let seen = boxr(&lab, t, &home, &run).run();
    seen.ok().prints("farnameserver 10.0.2.3\n0x9\nno loopback\n");
    for ended in [server, inside] {
        ended.signal(Signal::TERM);
        ended.finish();
    }
    resolver.signal(Signal::TERM);
    resolver.finish();
    take_resolver_file(&lab);
    assert_nothing_left(&home);
    lab.end(t);
}

fn a_port_of_slirp4netns_leads_into_the_box(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let dir = site(t, "inside");
    let run = [
        "run", "-d", "--name", "web", "-p", "8080:80", "--", "busybox", "httpd", "-f", "-p", "80", "-h", &dir,
    ];
    boxr(&lab, t, &home, &run).run().ok();
    let url = format!("http://{HOST}:8080/who");
    wait_until("it serves", || lab.fetch(&url).run().status.success());
    lab.fetch("http://127.0.0.1:8080/who").run().ok().prints("inside");
    lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
    boxr(&lab, t, &home, &["network", "explain", "web"]).run().ok().shows("slirp4netns (process");
    boxr(&lab, t, &home, &["run", "-p", "8080:80", "--", "true"])
        .run()
        .exits(125)
        .blames("in use by container web");
    let first = helper(&home);
    boxr(&lab, t, &home, &["stop", "-t", "0", "web"]).run().ok();
    wait_until("the helper has ended", || !first.exists());
    boxr(&lab, t, &home, &["start", "web"]).run().ok();
    wait_until("it serves again", || lab.fetch(&url).run().status.success());
    let second = helper(&home);
    boxr(&lab, t, &home, &["rm", "-f", "web"]).run().ok();
    wait_until("the helper has ended", || !second.exists());
    assert_nothing_left(&home);
    lab.end(t);
}

fn slirp4netns_is_ended_for_a_killed_boxr(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let run = ["run", "--die-with-parent", "-p", "8080:80", "--", "sh", "-c", "echo up; cat"];
    let mut running = boxr(&lab, t, &home, &run).spawn();
    running.expect("up");
    let process = helper(&home);
    running.signal(Signal::KILL);
    running.finish().killed_by(Signal::KILL);
    wait_until("the box has gone", || boxr(&lab, t, &home, &["ps", "-a", "-q"]).run().ok().word().is_empty());
    wait_until("the helper has ended", || !process.exists());
    assert_nothing_left(&home);
    lab.end(t);
}

fn slirp4netns_waits_for_a_first_process_that_is_slow(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let words = lab.as_user(t, &home);
    let (become_user, boxr) = words.split_at(words.iter().position(|word| word.ends_with("boxr")).unwrap());
    // It is about to say which ids there are.
    let slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", "/proc/self/uid_map"];
    let inject = ["-e", "inject=openat:delay_enter=300000", "--"];
    let strace = lab.on_host(&become_user[0]).args(&become_user[1..]).args(slow).args(inject).args(boxr);
    let run = strace.args(["run", "--network", "bridge", "--", "cat", "/proc/net/dev"]);
    let environment = run.env("HOME", &home).env("XDG_RUNTIME_DIR", &home);
    environment.env("BOXR_NETWORK_HELPER", "slirp4netns").run().ok().shows("eth0");
    assert_nothing_left(&home);
    lab.end(t);
}

fn what_slirp4netns_cannot_do_is_named(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    boxr(&lab, t, &home, &["network", "create", "shop"]).run().ok();
    for (flags, words) in [
        (vec!["-p", "81:80"], "0.0.0.0:81"),
        (vec!["-p", "[::1]:8081:80"], "IPv4 only"),
        (vec!["-p", "80/sctp"], "tcp and udp"),
        (vec!["--network", "bridge", "--ip", "10.0.2.9"], "10.0.2.100"),
        (vec!["--network", "shop"], "need pasta"),
    ] {
        boxr(&lab, t, &home, &["run"]).args(&flags).args(["--", "true"]).run().exits(125).blames(words);
    }
    assert_nothing_left(&home);
    boxr(&lab, t, &home, &["network", "rm", "shop"]).run().ok();
    lab.end(t);
}
