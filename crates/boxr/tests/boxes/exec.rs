//! `boxr exec`.

use boxr_testing::probe::pattern_bytes;
use boxr_testing::processes::{descendants, namespace};
use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::{Pid, getpid};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(it_runs_in_the_boxs_namespaces),
    test!(statuses_are_as_with_run),
    test!(pipes_are_byte_exact),
    test!(environment_directory_and_user),
    test!(environment_is_the_boxs),
    test!(a_rootfs_is_the_boxs, Need::Tool(Tool::Busybox)),
    test!(without_a_command_it_is_a_shell),
    test!(no_helper_stays_behind),
    test!(in_the_background),
    test!(it_ends_with_its_box),
    test!(boxes_that_do_not_run_are_refused),
    test!(namespaces_of_any_process, Need::Root),
    test!(a_process_that_is_not_there_is_named),
    test!(it_has_no_more_rights_than_the_box),
    test!(it_has_the_size_of_the_terminal_at_once),
];

fn start(t: &Sandbox, flags: &[&str]) {
    t.detached("box", flags.iter().chain(&["--", "sleep", "1000"]));
}

fn first_process(t: &Sandbox) -> Pid {
    let pid = t.boxr(["inspect", "-f", "{{.State.Pid}}", "box"]).run().ok().word();
    Pid::from_raw(pid.parse().unwrap()).unwrap()
}

fn it_runs_in_the_boxs_namespaces(t: &Sandbox) {
    start(t, &["--net", "new", "--ipc", "new"]);
    let pid = first_process(t);
    for kind in ["pid", "net", "mnt", "uts", "ipc", "user", "cgroup"] {
        let out = t.boxr(["exec", "box", "readlink", &format!("/proc/self/ns/{kind}")]).run();
        out.ok().prints(&format!("{}\n", namespace(pid, kind)));
    }
    let list = t.boxr(["exec", "box", "ps", "-e", "-o", "comm="]).run().ok().lines();
    assert_eq!(list, ["sleep", "ps"]);
    t.remove(["box"]);
}

fn statuses_are_as_with_run(t: &Sandbox) {
    start(t, &[]);
    for code in [0, 1, 42, 125, 126, 127, 128, 255] {
        t.boxr(["exec", "box", "sh", "-c", &format!("exit {code}")]).run().exits(code);
    }
    t.boxr(["exec", "box", "sh", "-c", "kill -TERM $$"]).run().exits(143);
    t.boxr(["exec", "box", "no-such-command"]).run().exits(127).blames("no-such-command");
    t.boxr(["exec", "box", "/etc/passwd"]).run().exits(126).blames("/etc/passwd");
    t.remove(["box"]);
}

fn pipes_are_byte_exact(t: &Sandbox) {
    start(t, &[]);
    let bytes = pattern_bytes(3 << 20);
    let out = t.boxr(["exec", "-i", "box", "cat"]).stdin(bytes.clone()).run().ok().quiet();
    assert!(out.stdout == bytes);
    let out = t.boxr(["exec", "box", "sh", "-c", "echo out; echo err >&2"]).run().ok().prints("out\n");
    assert_eq!(out.errors(), "err\n");
    t.remove(["box"]);
}

fn environment_directory_and_user(t: &Sandbox) {
    start(t, &[]);
    let script = "echo $A; pwd; id -u";
    let cmd = t.boxr(["exec", "-e", "A=1", "-w", "/usr", "-u", "0:0", "box", "sh", "-c", script]);
    cmd.run().ok().prints("1\n/usr\n0\n");
    t.boxr(["exec", "-w", "/no/such/dir", "box", "true"]).run().exits(125).blames("/no/such/dir");
    t.remove(["box"]);
}

fn environment_is_the_boxs(t: &Sandbox) {
    start(t, &["-e", "OF_THE_BOX=yes"]);
    let cmd = t.boxr(["exec", "box", "sh", "-c", "echo ${OF_THE_BOX-no} ${OF_THE_CALLER-no}"]);
    cmd.env("OF_THE_CALLER", "yes").run().ok().prints("yes no\n");
    t.remove(["box"]);
}

fn a_rootfs_is_the_boxs(t: &Sandbox) {
    let root = t.rootfs("root");
    start(t, &["--rootfs", &root]);
    let names = t.boxr(["exec", "box", "ls", "/"]).run().ok().lines();
    assert_eq!(names, ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var"]);
    t.boxr(["exec", "box", "unshare", "--version"]).run().exits(127);
    t.remove(["box"]);
}

fn without_a_command_it_is_a_shell(t: &Sandbox) {
    start(t, &[]);
    t.boxr(["exec", "-i", "box"]).stdin("echo from the shell\n").run().ok().shows("from the shell\n");
    t.remove(["box"]);
}

fn no_helper_stays_behind(t: &Sandbox) {
    start(t, &[]);
    let supervisor = rustix::process::getppid().unwrap();
    let count = || descendants(supervisor).iter().filter(|process| process.pid != getpid()).count();
    // The box, its monitor and the standby, which comes when the box runs already.
    let before = 3;
    wait_until("all are there", || count() == before);
    for _ in 0..5 {
        t.boxr(["exec", "box", "true"]).run().ok();
    }
    // One that has ended stays until it is reaped.
    wait_until("no more are there than before", || count() == before);
    t.remove(["box"]);
}

fn in_the_background(t: &Sandbox) {
    start(t, &[]);
    t.boxr(["exec", "-d", "box", "sh", "-c", "echo x >made; exec sleep 4444"]).run().ok();
    wait_until("it has run", || t.path("made").exists());
    // In the middle of execve(2) a process has no command line.
    wait_until("it is listed", || t.boxr(["top", "box"]).run().ok().text().contains("sleep 4444"));
    t.remove(["box"]);
}

fn it_ends_with_its_box(t: &Sandbox) {
    start(t, &[]);
    let mut running = t.boxr(["exec", "box", "sh", "-c", "echo ready; exec sleep 1000"]).spawn();
    running.expect("ready");
    t.remove(["box"]);
    running.finish().exits(137);
}

fn boxes_that_do_not_run_are_refused(t: &Sandbox) {
    t.boxr(["create", "--name", "box", "--", "true"]).run().ok();
    t.boxr(["exec", "box", "true"]).run().exits(125).blames("box");
    t.boxr(["start", "box"]).run().ok();
    t.boxr(["wait", "box"]).run().ok();
    t.boxr(["exec", "box", "true"]).run().exits(125).blames("box");
    t.remove(["box"]);
}

fn namespaces_of_any_process(t: &Sandbox) {
    start(t, &["--net", "new"]);
    let pid = first_process(t);
    let out =
        t.boxr(["exec", &format!("pid:{}", pid.as_raw_nonzero()), "readlink", "/proc/self/ns/net"]).run();
    out.ok().prints(&format!("{}\n", namespace(pid, "net")));
    t.remove(["box"]);
}

fn a_process_that_is_not_there_is_named(t: &Sandbox) {
    t.boxr(["exec", "pid:4194303", "true"]).run().exits(125).blames("4194303");
    t.boxr(["exec", "pid:x", "true"]).run().exits(125).blames("pid:x");
}

fn it_has_no_more_rights_than_the_box(t: &Sandbox) {
    start(t, &["--cap-drop", "ALL", "--no-new-privs"]);
    let script = "grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status";
    let out = t.boxr(["exec", "box", "sh", "-c", script]).run().ok();
    out.prints("CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n");
    t.remove(["box"]);
}

fn it_has_the_size_of_the_terminal_at_once(t: &Sandbox) {
    start(t, &[]);
    let mut terminal = t.terminal(33, 111, &["exec", "-it", "box", "stty", "size"]);
    terminal.expect("33 111");
    terminal.finish().ok();
    t.remove(["box"]);
}
