//! Further processes in a container.

use boxr_testing::{Need, Sandbox, Test, test, wait_until};

use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::life::BUSYBOX;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_process_is_where_the_container_is, BUSYBOX),
    test!(flags_change_the_process, BUSYBOX, Need::Root),
    test!(a_process_from_a_file, BUSYBOX),
    test!(a_process_has_the_processors_it_is_given, BUSYBOX),
    test!(a_detached_process_has_a_pid_file, BUSYBOX),
    test!(a_command_that_is_not_there_ends_with_255, BUSYBOX),
    test!(capabilities_are_added, BUSYBOX, Need::Root),
    test!(exec_after_the_end_is_refused, BUSYBOX),
];

/// A running container, and its end.
#[track_caller]
fn with_container(t: &Sandbox, work: impl FnOnce()) {
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    work();
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn a_process_is_where_the_container_is(t: &Sandbox) {
    with_container(t, || {
        let script = "hostname; ps | grep -c 'sleep 1000$'; exit 3";
        oci(t, ["exec", "blue", "sh", "-c", script]).run().exits(3).prints("boxr\n1\n");
        oci(t, ["exec", "blue", "cat"]).stdin("in\n").run().ok().prints("in\n");
    });
}

fn flags_change_the_process(t: &Sandbox) {
    with_container(t, || {
        let flags = ["exec", "--user", "1000:7", "-g", "8", "--cwd", "/tmp", "-e", "A=b"];
        let script = "echo $(id -u) $(id -G) $(pwd) $A";
        oci(t, flags).args(["blue", "sh", "-c", script]).run().ok().prints("1000 7 8 /tmp b\n");
    });
}

fn a_process_from_a_file(t: &Sandbox) {
    with_container(t, || {
        let process = r#"{"cwd": "/", "args": ["sh", "-c", "echo from a file"], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}"#;
        let file = t.file("process.json", process);
        oci(t, ["exec", "--process", &file, "blue"]).run().ok().prints("from a file\n");
        let file = t.file("process.json", r#"{"args": 7}"#);
        oci(t, ["exec", "--process", &file, "blue"]).run().exits(255).blames("process.json");
    });
}

fn a_process_has_the_processors_it_is_given(t: &Sandbox) {
    with_container(t, || {
        let exec = |affinity: &str| {
            let process = format!(
                r#"{{"cwd": "/", "args": ["grep", "Cpus_allowed_list", "/proc/self/status"], "env": ["PATH=/bin"],
                "user": {{"uid": 0, "gid": 0}}, "execCPUAffinity": {affinity}}}"#
            );
            oci(t, ["exec", "--process", &t.file("process.json", process), "blue"]).run()
        };
        exec(r#"{"initial": "0", "final": "0"}"#).ok().prints("Cpus_allowed_list:\t0\n");
        exec(r#"{"final": "0-0"}"#).ok().prints("Cpus_allowed_list:\t0\n");
        exec(r#"{"initial": "0"}"#).ok().prints("Cpus_allowed_list:\t0\n");
        exec(r#"{"final": "1000"}"#).exits(255).blames("execCPUAffinity.final");
        exec(r#"{"initial": "1000"}"#).exits(255).blames("execCPUAffinity.initial");
        exec(r#"{"initial": "one"}"#).exits(255).blames("execCPUAffinity");
    });
}

fn a_detached_process_has_a_pid_file(t: &Sandbox) {
    with_container(t, || {
        let file = t.path("pid");
        let flags = ["exec", "--detach", "--pid-file", file.to_str().unwrap(), "blue"];
        let script = "echo here > /tmp/here; exec sleep 1000 >/dev/null 2>&1";
        oci(t, flags).args(["sh", "-c", script]).run().ok();
        let pid = std::fs::read_to_string(&file).unwrap();
        wait_until("it runs", || t.path("shared-root/tmp/here").exists());
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    });
}

fn a_command_that_is_not_there_ends_with_255(t: &Sandbox) {
    with_container(t, || {
        let out = oci(t, ["exec", "blue", "nonsense"]).run().exits(255);
        out.blames(r#"exec: \"nonsense\": executable file not found in $PATH"#);
        oci(t, ["exec", "blue", "/tmp"]).run().exits(255).blames("permission denied");
    });
}

fn capabilities_are_added(t: &Sandbox) {
    with_container(t, || {
        let effective = |flags: &[&str]| {
            let out =
                oci(t, ["exec"]).args(flags).args(["blue", "grep", "CapEff", "/proc/self/status"]).run();
            u64::from_str_radix(out.ok().text().trim().rsplit('\t').next().unwrap(), 16).unwrap()
        };
        let sys_ptrace = 1 << 19;
        assert_eq!(effective(&[]) & sys_ptrace, 0);
        assert_ne!(effective(&["--cap", "CAP_SYS_PTRACE"]) & sys_ptrace, 0);
        oci(t, ["exec", "--cap", "CAP_NOPE", "blue", "true"]).run().exits(255).blames("unknown capability");
    });
}

fn exec_after_the_end_is_refused(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "true");
    bundle.command("run", &["--keep"], "blue").run().ok();
    oci(t, ["exec", "blue", "true"]).run().exits(255).blames("cannot exec in a stopped container");
    oci(t, ["exec", "red", "true"]).run().exits(255).blames("container does not exist");
    oci(t, ["delete", "blue"]).run().ok();
    assert_nothing_left(t);
}
