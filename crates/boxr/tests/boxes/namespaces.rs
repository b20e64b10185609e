//! The eight namespaces: new, the caller's, joined (ARCHITECTURE.md, "Namespaces").

use boxr_testing::processes::namespace;
use boxr_testing::{Need, Sandbox, Test, test};
use rustix::process::{Pid, getpid};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(the_command_is_process_1_and_ps_agrees),
    test!(defaults_are_new_pid_uts_mount),
    test!(each_namespace_can_be_new, Need::TimeNamespaces, Need::UserNamespaces),
    test!(each_namespace_can_be_the_hosts, Need::Root),
    test!(one_flag_sets_several_and_the_last_word_counts),
    test!(hostname_is_the_boxs_own),
    test!(a_box_that_renames_its_host_does_not_rename_ours),
    test!(domainname_is_the_boxs_own),
    test!(joins_by_name_pid_id_and_path),
    test!(joins_what_lsns_calls_a_namespace),
    test!(share_joins_every_namespace),
    test!(two_boxes_talk_over_one_network),
    test!(joined_pid_namespace_shows_the_other_box),
    test!(clocks_have_offsets, Need::TimeNamespaces),
    test!(new_cgroup_namespace_hides_where_it_is),
    test!(joining_nothing_names_it),
    test!(joining_the_wrong_kind_names_both),
    test!(joining_another_users_namespace_is_refused, Need::Unprivileged),
];

const KINDS: [&str; 8] = ["pid", "net", "mnt", "uts", "ipc", "user", "cgroup", "time"];

/// Prints the ids of its eight namespaces, in the order of `KINDS`, one in a line.
const PRINT: &str = "for n in pid net mnt uts ipc user cgroup time; do readlink /proc/self/ns/$n; done";

/// The ids of our own.
fn ours() -> Vec<String> {
    KINDS.map(|kind| namespace(getpid(), kind)).to_vec()
}

/// Which kinds differ from ours in a box with these flags.
#[track_caller]
fn changed(t: &Sandbox, flags: &[&str]) -> Vec<&'static str> {
    let ids = t.run(flags).args(["--", "sh", "-c", PRINT]).run().ok().quiet().lines();
    assert_eq!(ids.len(), 8, "{ids:?}");
    let pairs = KINDS.into_iter().zip(ids.iter().zip(ours()));
    pairs.filter(|(_, (theirs, ours))| *theirs != ours).map(|(kind, _)| kind).collect()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Kinds that are new by default: without privilege, `user` too.
fn defaults(more: &[&'static str]) -> Vec<&'static str> {
    let new = |kind: &&str| match *kind {
        "pid" | "mnt" | "uts" => true,
        "user" => !is_root() || more.contains(&"user"),
        kind => more.contains(&kind),
    };
    KINDS.into_iter().filter(new).collect()
}

fn the_command_is_process_1_and_ps_agrees(t: &Sandbox) {
    t.sh("echo $$").run().ok().prints("1\n").quiet();
    let lines = t.sh("ps -e -o pid=,comm=; :").run().ok().lines();
    assert_eq!(lines.len(), 2, "the shell and ps, nothing else: {lines:?}");
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["1", "sh"]);
}

fn defaults_are_new_pid_uts_mount(t: &Sandbox) {
    assert_eq!(changed(t, &[]), defaults(&[]));
}

fn each_namespace_can_be_new(t: &Sandbox) {
    let flags = [
        ("--network", "net"),
        ("--net", "net"),
        ("--ipc", "ipc"),
        ("--userns", "user"),
        ("--cgroupns", "cgroup"),
        ("--time-ns", "time"),
    ];
    for (flag, kind) in flags {
        assert_eq!(changed(t, &[flag, "new"]), defaults(&[kind]), "{flag} new");
        assert_eq!(changed(t, &[flag, "private"]), defaults(&[kind]), "{flag} private");
    }
    for flag in ["--pid", "--uts", "--mount-ns"] {
        assert_eq!(changed(t, &[flag, "new"]), defaults(&[]), "{flag} new");
    }
}

fn each_namespace_can_be_the_hosts(t: &Sandbox) {
    for (flag, kind) in [("--pid", "pid"), ("--uts", "uts"), ("--mount-ns", "mnt")] {
        // A pid namespace without a mount namespace has no /proc of its own to ask.
        if kind == "mnt" {
            assert!(changed(t, &["--mount-ns", "host", "--pid", "host"]) == ["uts"]);
            continue;
        }
        let expected: Vec<_> = defaults(&[]).into_iter().filter(|new| *new != kind).collect();
        assert_eq!(changed(t, &[flag, "host"]), expected, "{flag} host");
    }
    assert!(changed(t, &["--ns", "pid=host,mount=host,uts=host"]).is_empty());
}

fn one_flag_sets_several_and_the_last_word_counts(t: &Sandbox) {
    assert_eq!(changed(t, &["--ns", "net=new,ipc=new"]), defaults(&["net", "ipc"]));
    assert_eq!(changed(t, &["--ns", "net=new,ipc=new", "--net", "host"]), defaults(&["ipc"]));
    t.run(["--ns", "nett=new", "--", "true"]).run().exits(125).blames("nett");
    t.run(["--ns", "net=newish", "--", "true"]).run().exits(125).blames("newish");
}

fn hostname_is_the_boxs_own(t: &Sandbox) {
    t.run(["--name", "alpha", "--", "uname", "-n"]).run().ok().prints("alpha\n");
    t.run(["--hostname", "beta", "--", "uname", "-n"]).run().ok().prints("beta\n");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    t.run(["--uts", "host", "--", "uname", "-n"]).run().ok().prints(&format!("{host}\n"));
    // A name for a namespace that is not the box's own would rename the host.
    t.run(["--uts", "host", "--hostname", "beta", "--", "true"]).run().exits(125).blames("hostname");
    t.run(["--hostname", &"x".repeat(65), "--", "true"]).run().exits(125).blames("hostname");
}

fn a_box_that_renames_its_host_does_not_rename_ours(t: &Sandbox) {
    let host = rustix::system::uname().nodename().to_owned();
    t.sh("hostname renamed && uname -n").run().ok().prints("renamed\n");
    assert_eq!(rustix::system::uname().nodename().to_owned(), host);
}

fn domainname_is_the_boxs_own(t: &Sandbox) {
    let out = t.run(["--domainname", "inside.example", "--", "cat", "/proc/sys/kernel/domainname"]).run();
    out.ok().prints("inside.example\n");
    let host = std::fs::read_to_string("/proc/sys/kernel/domainname").unwrap();
    assert_ne!(host, "inside.example\n");
}

/// The pid of the first process of a running box.
#[track_caller]
fn first_process(t: &Sandbox, name: &str) -> Pid {
    let pid = t.boxr(["inspect", "-f", "{{.State.Pid}}", name]).run().ok().word();
    Pid::from_raw(pid.parse().unwrap()).unwrap()
}

fn joins_by_name_pid_id_and_path(t: &Sandbox) {
    let id = t.detached("first", ["--network", "new", "--ipc", "new", "--", "sleep", "1000"]);
    let pid = first_process(t, "first");
    let net = namespace(pid, "net");
    assert_ne!(net, namespace(getpid(), "net"));
    let inode = net.trim_start_matches("net:[").trim_end_matches(']');
    let modes = [
        "container:first".to_owned(),
        format!("container:{id}"),
        format!("container:{}", &id[..12]),
        format!("pid:{}", pid.as_raw_nonzero()),
        format!("id:{inode}"),
        net.clone(),
        format!("/proc/{}/ns/net", pid.as_raw_nonzero()),
    ];
    for mode in modes {
        let out = t.run(["--net", &mode, "--", "readlink", "/proc/self/ns/net"]).run();
        out.ok().prints(&format!("{net}\n"));
    }
    t.remove(["first"]);
}

fn joins_what_lsns_calls_a_namespace(t: &Sandbox) {
    t.detached("first", ["--ipc", "new", "--", "sleep", "1000"]);
    let ipc = namespace(first_process(t, "first"), "ipc");
    let out = t.run(["--ns", &format!("ipc={ipc}"), "--", "readlink", "/proc/self/ns/ipc"]).run();
    out.ok().prints(&format!("{ipc}\n"));
    t.remove(["first"]);
}

fn share_joins_every_namespace(t: &Sandbox) {
    t.detached("first", ["--ns", "net=new,ipc=new,cgroup=new", "--", "sleep", "1000"]);
    let pid = first_process(t, "first");
    let theirs: Vec<_> = KINDS.iter().map(|kind| namespace(pid, kind)).collect();
    let ids = t.run(["--share", "first", "--", "sh", "-c", PRINT]).run().ok().lines();
    assert_eq!(ids, theirs);
    t.run(["--share", "first", "--", "uname", "-n"]).run().ok().prints("first\n");
    t.remove(["first"]);
}

fn two_boxes_talk_over_one_network(t: &Sandbox) {
    // An abstract socket belongs to the network namespace (unix(7)).
    let probe = t.probe(&t.path("probe"));
    t.detached("server", ["--net", "new", "--", &probe, "--as=abstract-server", "boxr"]);
    boxr_testing::wait_until("the server listens", || {
        t.boxr(["logs", "server"]).run().text().contains("listening")
    });
    let client = [&probe, "--as=abstract-client", "boxr"];
    t.run(["--net", "container:server", "--"]).args(client).run().ok().prints("hello\n");
    t.run(["--net", "new", "--"]).args(client).run().exits(1);
    t.remove(["server"]);
}

fn joined_pid_namespace_shows_the_other_box(t: &Sandbox) {
    t.detached("first", ["--", "sleep", "4321"]);
    let out = t.run(["--pid", "container:first", "--", "ps", "-e", "-o", "args="]).run().ok();
    assert_eq!(out.lines()[0], "sleep 4321");
    t.remove(["first"]);
}

fn clocks_have_offsets(t: &Sandbox) {
    let offsets =
        t.run(["--monotonic", "86400", "--boottime", "1000000", "--", "cat", "/proc/self/timens_offsets"]);
    let words: Vec<_> = offsets.run().ok().text().split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["monotonic", "86400", "0", "boottime", "1000000", "0"]);
    let uptime =
        t.run(["--boottime", "1000000", "--", "cut", "-d.", "-f1", "/proc/uptime"]).run().ok().word();
    assert!(uptime.parse::<u64>().unwrap() > 1_000_000, "{uptime}");
    t.run(["--monotonic", "soon", "--", "true"]).run().exits(125).blames("soon");
    t.run(["--monotonic", "5", "--time-ns", "host", "--", "true"]).run().exits(125).blames("time");
}

fn new_cgroup_namespace_hides_where_it_is(t: &Sandbox) {
    let out = t.run(["--cgroupns", "new", "--", "cat", "/proc/self/cgroup"]).run().ok();
    let lines = out.lines();
    assert!(lines.iter().all(|line| line.ends_with(":/")), "{lines:?}");
}

fn joining_nothing_names_it(t: &Sandbox) {
    t.run(["--net", "container:absent", "--", "true"]).run().exits(125).blames("absent");
    t.run(["--net", "pid:4194303", "--", "true"]).run().exits(125).blames("4194303");
    t.run(["--net", "id:7", "--", "true"]).run().exits(125).blames("7");
    t.run(["--net", "/no/such/file", "--", "true"]).run().exits(125).blames("/no/such/file");
    t.run(["--share", "absent", "--", "true"]).run().exits(125).blames("absent");
    let plain = t.file("plain", "not a namespace");
    t.run(["--net", &plain, "--", "true"]).run().exits(125).blames(&plain);
    t.assert_nothing_left();
}

fn joining_the_wrong_kind_names_both(t: &Sandbox) {
    let path = "/proc/self/ns/uts";
    t.run(["--net", path, "--", "true"]).run().exits(125).blames("uts").blames("net");
    let uts = namespace(getpid(), "uts");
    t.run(["--net", &uts, "--", "true"]).run().exits(125).blames("uts");
    t.assert_nothing_left();
}

fn joining_another_users_namespace_is_refused(t: &Sandbox) {
    t.run(["--net", "pid:1", "--", "true"]).run().exits(125).blames("process 1").blames("EACCES");
    t.assert_nothing_left();
}
