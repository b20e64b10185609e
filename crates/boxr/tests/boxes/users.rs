//! Who the command runs as, with privilege and without (issue 3, "Unprivileged").

use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test};
use rustix::process::{getgid, getuid};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(without_privilege_the_caller_is_root_inside, Need::Unprivileged),
    test!(without_subordinate_ids_one_id_is_mapped, Need::Unprivileged),
    test!(subordinate_ids_are_mapped_too, Need::Unprivileged, Need::SubordinateIds),
    test!(map_self_keeps_the_caller, Need::UserNamespaces),
    test!(files_made_inside_are_the_callers),
    test!(userns_host_without_privilege_says_why, Need::Unprivileged),
    test!(maps_that_the_helper_refuses_are_named, Need::Unprivileged, Need::SubordinateIds),
    test!(an_unmapped_user_is_refused, Need::Unprivileged),
    test!(other_owners_of_a_bind_are_refused, Need::Unprivileged),
    test!(root_becomes_another_user, Need::Root),
    test!(groups_are_what_was_asked_for, Need::Root),
    test!(root_makes_a_user_namespace, Need::Root, Need::UserNamespaces),
    test!(explicit_maps, Need::Root, Need::UserNamespaces),
    test!(wrong_users_are_named),
    test!(no_privilege_is_gained_by_a_box, Need::Unprivileged),
    test!(a_rootfs_works_without_privilege, Need::Unprivileged, Need::Tool(Tool::Busybox)),
    test!(life_of_a_box_without_privilege, Need::Unprivileged),
];

fn without_privilege_the_caller_is_root_inside(t: &Sandbox) {
    t.run(["--", "id", "-u"]).run().ok().prints("0\n").quiet();
    t.run(["--", "id", "-g"]).run().ok().prints("0\n");
    t.sh("echo $$").run().ok().prints("1\n");
}

/// The lines of a map, words joined by one space.
fn map(t: &Sandbox, flags: &[&str], file: &str) -> Vec<String> {
    let lines = t.run(flags).args(["--", "cat", file]).run().ok().lines();
    lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn without_subordinate_ids_one_id_is_mapped(t: &Sandbox) {
    let uid = getuid().as_raw();
    let lines = map(t, &[], "/proc/self/uid_map");
    assert_eq!(lines[0], format!("0 {uid} 1"));
    if Need::SubordinateIds.missing().is_some() {
        assert_eq!(lines.len(), 1, "{lines:?}");
        t.sh("cat /proc/self/setgroups").run().ok().prints("deny\n");
    }
}

/// The map line of the caller's range in /etc/subuid or /etc/subgid, which need not be the one of the made-up user.
fn mapped_range(file: &str) -> String {
    let (name, uid) = (Cmd::new("id").arg("-un").run().word(), getuid().as_raw().to_string());
    let text = std::fs::read_to_string(file).unwrap();
    let mut ranges = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let range = ranges.find(|fields| fields[0] == name || fields[0] == uid).unwrap();
    format!("1 {} {}", range[1], range[2])
}

fn subordinate_ids_are_mapped_too(t: &Sandbox) {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let (uids, gids) = (mapped_range("/etc/subuid"), mapped_range("/etc/subgid"));
    assert_eq!(map(t, &[], "/proc/self/uid_map"), [format!("0 {uid} 1"), uids]);
    assert_eq!(map(t, &[], "/proc/self/gid_map"), [format!("0 {gid} 1"), gids]);
    t.run(["--user", "1000:1000", "--", "id", "-u"]).run().ok().prints("1000\n");
    t.sh("touch mine && chown 5:5 mine && stat -c %u:%g mine && rm mine").run().ok().prints("5:5\n");
}

fn map_self_keeps_the_caller(t: &Sandbox) {
    let uid = getuid().as_raw();
    t.run(["--userns", "new", "--map-self", "--", "id", "-u"]).run().ok().prints(&format!("{uid}\n"));
}

fn files_made_inside_are_the_callers(t: &Sandbox) {
    use std::os::unix::fs::MetadataExt;
    t.sh("echo x >made").run().ok();
    assert_eq!(std::fs::metadata(t.path("made")).unwrap().uid(), getuid().as_raw());
}

fn userns_host_without_privilege_says_why(t: &Sandbox) {
    let out = t.run(["--userns", "host", "--", "true"]).run().exits(125);
    out.blames("EPERM").blames("--userns").blames("try:");
    t.assert_nothing_left();
}

/// The first process waits for its map meanwhile, and must not be waited for in turn.
fn maps_that_the_helper_refuses_are_named(t: &Sandbox) {
    let maps = ["--uidmap", "0:5:10", "--gidmap", "0:5:10"];
    t.run(maps).args(["--", "true"]).run().exits(125).blames("newuidmap");
    t.assert_nothing_left();
}

fn an_unmapped_user_is_refused(t: &Sandbox) {
    t.run(["--user", "70000", "--", "true"]).run().exits(125).blames("70000");
    t.assert_nothing_left();
}

/// Only root of the host may show them; a mount without them would look as if it had them.
fn other_owners_of_a_bind_are_refused(t: &Sandbox) {
    let volume = format!("{}:/mnt:idmap", t.path("").display());
    t.run(["-v", &volume, "--", "true"])
        .run()
        .exits(125)
        .blames("/mnt (idmap)")
        .blames("only root of the host");
    t.assert_nothing_left();
}

fn root_becomes_another_user(t: &Sandbox) {
    t.run(["--user", "1234:5678", "--", "sh", "-c", "id -u; id -g"]).run().ok().prints("1234\n5678\n");
    t.run(["-u", "1234", "--", "sh", "-c", "id -u; id -g"]).run().ok().prints("1234\n0\n");
    t.run(["-u", "nobody", "--", "id", "-un"]).run().ok().prints("nobody\n");
    // Who is not root has no capability to use, whatever may be gained by a setuid program.
    let out = t.run(["-u", "1234", "--", "grep", "CapEff", "/proc/self/status"]).run();
    out.ok().prints("CapEff:\t0000000000000000\n");
}

fn groups_are_what_was_asked_for(t: &Sandbox) {
    t.run(["-u", "1234:5678", "--", "id", "-G"]).run().ok().prints("5678\n");
    t.run(["-u", "1234:5678", "--group-add", "42", "--", "id", "-G"]).run().ok().prints("5678 42\n");
}

fn root_makes_a_user_namespace(t: &Sandbox) {
    t.run(["--userns", "new", "--", "id", "-u"]).run().ok().prints("0\n");
    let lines = map(t, &["--userns", "new"], "/proc/self/uid_map");
    assert!(lines[0].starts_with("0 "), "{lines:?}");
}

fn explicit_maps(t: &Sandbox) {
    let flags = ["--userns", "new", "--uidmap", "0:100000:1000", "--gidmap", "0:200000:1000"];
    assert_eq!(map(t, &flags, "/proc/self/uid_map"), ["0 100000 1000"]);
    assert_eq!(map(t, &flags, "/proc/self/gid_map"), ["0 200000 1000"]);
    let bad = ["--userns", "new", "--uidmap", "0:100000:x", "--", "true"];
    t.run(bad).run().exits(125).blames("0:100000:x");
}

fn wrong_users_are_named(t: &Sandbox) {
    for user in ["no-such-user", "-1", "1:2:3", "99999999999"] {
        t.run(["--user", user, "--", "true"]).run().exits(125).blames(user);
    }
    t.assert_nothing_left();
}

fn no_privilege_is_gained_by_a_box(t: &Sandbox) {
    let shadow = t.run(["--", "cat", "/etc/shadow"]).run();
    assert!(!shadow.status.success() && shadow.stdout.is_empty(), "{}", shadow.story());
    let mount =
        t.run(["--mount-ns", "host", "--pid", "host", "--", "mount", "-t", "tmpfs", "none", "/mnt"]).run();
    assert!(!mount.status.success(), "{}", mount.story());
}

fn a_rootfs_works_without_privilege(t: &Sandbox) {
    let root = t.rootfs("root");
    t.run(["--rootfs", &root, "--", "sh", "-c", "echo $$; id -u; [ -c /dev/null ] && echo null"])
        .run()
        .ok()
        .prints("1\n0\nnull\n");
}

fn life_of_a_box_without_privilege(t: &Sandbox) {
    t.detached("mine", ["--", "sh", "-c", "echo hello; exec sleep 1000"]);
    boxr_testing::wait_until("the log has a line", || {
        t.boxr(["logs", "mine"]).run().ok().text() == "hello\n"
    });
    t.boxr(["exec", "mine", "id", "-u"]).run().ok().prints("0\n");
    t.boxr(["ps", "--format", "{{.Names}}"]).run().ok().prints("mine\n");
    t.boxr(["stop", "-t", "0", "mine"]).run().ok();
    t.remove(["mine"]);
    t.assert_nothing_left();
}
