//! Whose ids containers of images have on the host.

use std::os::unix::fs::{MetadataExt, chown};

use boxr_testing::{Need, Sandbox, Test, Tool, test};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(root_of_a_container_is_nobody_on_the_host, Need::Tool(Tool::Busybox), OVERLAY, Need::Root, SHIFTED),
    test!(no_two_containers_have_the_same_ids, Need::Tool(Tool::Busybox), OVERLAY, Need::Root, SHIFTED),
    test!(binds_keep_their_owners, Need::Tool(Tool::Busybox), OVERLAY, Need::Root, SHIFTED),
    test!(who_needs_the_host_has_its_ids, Need::Tool(Tool::Busybox), OVERLAY, Need::Root, SHIFTED),
    test!(ids_can_be_mapped_by_hand, Need::Tool(Tool::Busybox), OVERLAY, Need::Root, SHIFTED),
    test!(what_no_kernel_can_is_refused, Need::Tool(Tool::Busybox), OVERLAY, Need::Unprivileged),
    test!(every_user_can_open_its_output, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
];

/// Layers of an overlay that show other ids.
const SHIFTED: Need = Need::Kernel(5, 19);

fn map(t: &Sandbox, name: &str) -> String {
    t.boxr(["inspect", "-f", "{{.UserIds.Mode}} {{(index .UserIds.UidMap 0).host}}", name]).run().ok().word()
}

fn root_of_a_container_is_nobody_on_the_host(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    t.run(["-q", "-d", "--name", "it", "--network", "none", &name, "sleep", "1000"]).run().ok();
    let seen = map(t, "it");
    let first: u32 = seen.strip_prefix("auto ").unwrap().parse().unwrap();
    assert!((0x7000_0000..0x8000_0000).contains(&first), "{seen}");
    let pid = t.boxr(["inspect", "-f", "{{.State.Pid}}", "it"]).run().ok().word();
    assert_eq!(std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(), first);
    // The layers show the container's ids, and what it changes is its own.
    let script = "stat -c '%u:%g' / /bin/busybox /home/ann; touch /made; chown ann /made; stat -c %u /made";
    t.boxr(["exec", "it", "sh", "-c", script]).run().ok().prints("0:0\n0:0\n1000:1000\n1000\n");
    t.boxr(["exec", "-u", "ann", "it", "sh", "-c", "id -u; cat /etc/shadow 2>&1; touch /bin/x 2>&1"])
        .run()
        .exits(1)
        .shows("1000\n");
    let id = t.boxr(["inspect", "-f", "{{.Id}}", "it"]).run().ok().word();
    let upper = t.layout().root.join("containers").join(id).join("upper");
    assert_eq!(std::fs::metadata(upper.join("made")).unwrap().uid(), first + 1000);
    t.boxr(["restart", "-t", "0", "it"]).run().ok();
    t.boxr(["exec", "it", "stat", "-c", "%u", "/made"]).run().ok().prints("1000\n");
    assert_eq!(map(t, "it"), seen, "the files are of these ids");
    t.remove(["it"]);
    nothing_left(t);
}

fn no_two_containers_have_the_same_ids(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    for container in ["one", "two", "three"] {
        t.boxr(["create", "-q", "--name", container, "--network", "none", &name, "true"]).run().ok();
    }
    let mut maps = ["one", "two", "three"].map(|container| map(t, container));
    maps.sort_unstable();
    assert!(maps[0] != maps[1] && maps[1] != maps[2], "{maps:?}");
    t.remove(["one", "two", "three"]);
    let ids = std::fs::read_dir(t.layout().root.join("ids")).unwrap().count();
    assert_eq!(ids, 0, "all were given back");
    nothing_left(t);
}

fn binds_keep_their_owners(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let shared = t.path("shared");
    std::fs::create_dir(&shared).unwrap();
    chown(&shared, Some(1000), Some(1000)).unwrap();
    let volume = format!("{}:/shared", shared.display());
    let script = "stat -c '%u:%g' /shared; touch /shared/made && stat -c %u /shared/made";
    t.run(["-q", "--rm", "--network", "none", "-v", &volume, "-u", "ann", &name, script])
        .run()
        .ok()
        .prints("1000:1000\n1000\n");
    assert_eq!(std::fs::metadata(shared.join("made")).unwrap().uid(), 1000);
    let mount = format!("type=bind,src={},dst=/shared,ro", shared.display());
    t.run(["--rm", "--network", "none", "--mount", &mount, &name, "stat -c %u /shared; touch /shared/x"])
        .run()
        .exits(1)
        .prints("1000\n");
    nothing_left(t);
}

fn who_needs_the_host_has_its_ids(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["cat","/proc/self/uid_map"]}"#);
    let why = "{{.UserIds.Mode}}: {{.UserIds.Why}}";
    for (flags, expected) in [
        (&["--network", "none"][..], "auto: the default"),
        (&["--network", "host"], "host: the host's network"),
        (&["--network", "none", "--privileged"], "host: --privileged"),
        (&["--network", "none", "--pid", "host"], "host: --pid host"),
        (&["--network", "none", "--device", "/dev/zero"], "host: --device"),
        (&["--network", "none", "--userns", "host"], "host: --userns host"),
        (&["--network", "host", "--userns", "auto"], "auto: --userns auto"),
    ] {
        t.run(["-q", "--name", "it"]).args(flags).arg(&name).run().ok();
        t.boxr(["inspect", "-f", why, "it"]).run().ok().prints(&format!("{expected}\n"));
        t.boxr(["rm", "it"]).run().ok();
    }
    for word in ["keep-id", "nomap"] {
        t.run(["--rm", "--userns", word, &name]).run().exits(125).blames(&format!("--userns {word}"));
    }
    t.run(["--userns", "auto", "--", "true"]).run().exits(125).blames("needs a container of an image");
    nothing_left(t);
}

fn ids_can_be_mapped_by_hand(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script = "cat /proc/self/uid_map; stat -c %u /home/ann; touch /made && stat -c %u /made";
    let seen = t.run(["-q", "--rm", "--uidmap", "0:200000:65536", &name, script]).run().ok().text();
    let words: Vec<_> = seen.split_whitespace().collect();
    assert_eq!(words, ["0", "200000", "65536", "1000", "0"]);
}

fn what_no_kernel_can_is_refused(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    t.run(["-q", "--rm", "--userns", "auto", &name, "true"]).run().exits(125).blames("given out by root");
    for word in ["keep-id", "nomap"] {
        t.run(["--rm", "--userns", word, &name, "true"])
            .run()
            .exits(125)
            .blames(&format!("--userns {word}"))
            .blames("no kernel shifts them for an ordinary user");
    }
    t.boxr(["create", "--name", "it", &name, "true"]).run().ok();
    t.boxr(["inspect", "-f", "{{.UserIds.Mode}}", "it"]).run().ok().prints("caller\n");
    t.remove(["it"]);
    nothing_left(t);
}

fn every_user_can_open_its_output(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"User":"ann","Entrypoint":["sh","-c"]}"#);
    t.run(["-q", "-d", "--name", "it", "--network", "none", &name, "echo opened >/dev/stdout"]).run().ok();
    t.boxr(["wait", "it"]).run().ok().prints("0\n");
    t.boxr(["logs", "it"]).run().ok().prints("opened\n");
    t.remove(["it"]);
}
