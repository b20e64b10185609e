//! The life of a container: create, start, state, kill, delete; run; list.

use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::bundle::{Bundle, assert_nothing_left, oci};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(run_passes_output_and_status, BUSYBOX),
    test!(run_tells_the_signal_that_ended_it, BUSYBOX),
    test!(a_created_container_waits_for_start, BUSYBOX),
    test!(a_container_is_started_once, BUSYBOX),
    test!(a_created_container_can_be_deleted, BUSYBOX),
    test!(a_killed_first_process_is_seen, BUSYBOX),
    test!(kill_speaks_names_and_numbers, BUSYBOX),
    test!(force_deletes_a_running_container, BUSYBOX),
    test!(list_shows_what_runs, BUSYBOX),
    test!(the_pid_file_is_there_when_create_ends, BUSYBOX),
    test!(processes_are_listed, BUSYBOX, Need::Root, Need::Tool(Tool::Ps)),
    test!(a_container_is_paused_and_goes_on, BUSYBOX, Need::Root),
    test!(a_taken_over_claim_of_a_killed_create, BUSYBOX),
];

pub const BUSYBOX: Need = Need::Tool(Tool::Busybox);

/// The state of a container, as JSON.
#[track_caller]
pub fn state(t: &Sandbox, id: &str) -> Value {
    serde_json::from_str(&oci(t, ["state", id]).run().ok().text()).unwrap()
}

/// Waits until a container has ended, and deletes it.
#[track_caller]
pub fn delete_when_stopped(t: &Sandbox, id: &str) {
    wait_until("the container has stopped", || state(t, id)["status"] == "stopped");
    oci(t, ["delete", id]).run().ok();
    assert_nothing_left(t);
}

fn run_passes_output_and_status(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "cat; echo $$ >&2; exit 7");
    let out = bundle.run("blue").stdin("through\n").run().exits(7).prints("through\n");
    assert_eq!(out.errors(), "1\n");
    assert_nothing_left(t);
}

fn run_tells_the_signal_that_ended_it(t: &Sandbox) {
    // The shell is not the first process of its namespace's signals' immunity: it asks the kernel.
    let bundle = Bundle::new(t, "b", "sh -c 'kill -TERM $$'; exit $?");
    bundle.run("blue").run().exits(143);
    assert_nothing_left(t);
}

fn a_created_container_waits_for_start(t: &Sandbox) {
    let file = t.path("shared-root/tmp/started");
    let bundle = Bundle::new(t, "b", "echo yes > /tmp/started");
    bundle.create("blue");
    let seen = state(t, "blue");
    assert_eq!(seen["status"], "created");
    assert!(seen["pid"].as_i64().unwrap() > 0);
    assert_eq!(seen["bundle"], bundle.path());
    assert_eq!(seen["id"], "blue");
    assert!(!file.exists(), "it has not run yet");
    oci(t, ["start", "blue"]).run().ok().quiet();
    wait_until("the command has run", || file.exists());
    delete_when_stopped(t, "blue");
}

fn a_container_is_started_once(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    oci(t, ["start", "blue"]).run().exits(1).blames("cannot start an already running container");
    bundle.command("create", &[], "blue").run().exits(1).blames("container with given ID already exists");
    oci(t, ["delete", "blue"])
        .run()
        .exits(1)
        .blames("cannot delete container blue that is not stopped: running");
    oci(t, ["kill", "blue", "KILL"]).run().ok();
    wait_until("it has stopped", || state(t, "blue")["status"] == "stopped");
    oci(t, ["start", "blue"]).run().exits(1).blames("cannot start a container that has stopped");
    oci(t, ["kill", "blue", "KILL"]).run().exits(1).blames("container not running");
    assert_eq!(state(t, "blue")["pid"], 0);
    oci(t, ["delete", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn a_created_container_can_be_deleted(t: &Sandbox) {
    Bundle::new(t, "b", "true").create("blue");
    oci(t, ["delete", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn a_killed_first_process_is_seen(t: &Sandbox) {
    Bundle::new(t, "b", "true").create("blue");
    let pid = state(t, "blue")["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
    wait_until("its end is seen", || state(t, "blue")["status"] == "stopped");
    oci(t, ["start", "blue"]).run().exits(1).blames("cannot start a container that has stopped");
    oci(t, ["delete", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn kill_speaks_names_and_numbers(t: &Sandbox) {
    let script = "trap 'echo usr1 >> /tmp/got' USR1; trap 'echo hup >> /tmp/got; exit 0' HUP; \
        echo ready > /tmp/got; while :; do sleep 0.02; done";
    let got = || std::fs::read_to_string(t.path("shared-root/tmp/got")).unwrap_or_default();
    let bundle = Bundle::new(t, "b", script);
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    wait_until("the traps are set", || got().contains("ready"));
    oci(t, ["kill", "blue", "SIGUSR1"]).run().ok();
    wait_until("the first signal", || got().contains("usr1"));
    oci(t, ["kill", "blue", "NOPE"]).run().exits(1).blames("unknown signal");
    oci(t, ["kill", "blue", "1"]).run().ok();
    wait_until("the second signal", || got().contains("hup"));
    delete_when_stopped(t, "blue");
}

fn force_deletes_a_running_container(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    oci(t, ["delete", "--force", "blue"]).run().ok();
    oci(t, ["delete", "--force", "blue"]).run().ok();
    oci(t, ["delete", "blue"]).run().exits(1).blames("container does not exist");
    assert_nothing_left(t);
}

fn list_shows_what_runs(t: &Sandbox) {
    oci(t, ["list", "-f", "json"]).run().ok().prints("null\n");
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    bundle.create("blue");
    bundle.create("green");
    oci(t, ["start", "green"]).run().ok();
    oci(t, ["list", "-q"]).run().ok().prints("blue\ngreen\n");
    let table = oci(t, ["list"]).run().ok().lines();
    let words: Vec<Vec<&str>> = table.iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert_eq!((words[1][0], words[1][2]), ("blue", "created"));
    assert_eq!((words[2][0], words[2][2], words[2][3]), ("green", "running", bundle.path()));
    let json: Value = serde_json::from_str(&oci(t, ["list", "-f", "json"]).run().ok().text()).unwrap();
    assert_eq!(json[1]["pid"].to_string(), words[2][1]);
    for id in ["blue", "green"] {
        oci(t, ["delete", "-f", id]).run().ok();
    }
    assert_nothing_left(t);
}

fn the_pid_file_is_there_when_create_ends(t: &Sandbox) {
    let file = t.path("pid");
    let bundle = Bundle::new(t, "b", "exec sleep 1000 >/dev/null 2>&1");
    bundle.command("run", &["--detach", "--pid-file", file.to_str().unwrap()], "blue").run().ok();
    let pid = std::fs::read_to_string(&file).unwrap();
    assert_eq!(state(t, "blue")["pid"].to_string(), pid);
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn processes_are_listed(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "sleep 1000 & exec sleep 1000");
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    let pids = || -> Vec<i64> {
        serde_json::from_str(&oci(t, ["ps", "-f", "json", "blue"]).run().ok().text()).unwrap()
    };
    wait_until("both sleep", || pids().len() == 2);
    let table = oci(t, ["ps", "blue"]).run().ok().lines();
    assert_eq!(table.len(), 3, "{table:?}");
    assert!(table[1].contains(&pids()[0].to_string()));
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn a_container_is_paused_and_goes_on(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    oci(t, ["resume", "blue"]).run().exits(1).blames("container not paused");
    oci(t, ["pause", "blue"]).run().ok();
    assert_eq!(state(t, "blue")["status"], "paused");
    let refused = oci(t, ["exec", "blue", "true"]).run().exits(255);
    refused.blames("cannot exec in a paused container (use --ignore-paused to override)");
    oci(t, ["resume", "blue"]).run().ok();
    oci(t, ["exec", "blue", "true"]).run().ok();
    oci(t, ["pause", "blue"]).run().ok();
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn a_taken_over_claim_of_a_killed_create(t: &Sandbox) {
    // What a boxr leaves that is killed just after it has claimed the id.
    std::fs::create_dir_all(t.layout().state.join("blue")).unwrap();
    oci(t, ["state", "blue"]).run().exits(1).blames("container does not exist");
    let bundle = Bundle::new(t, "b", "true");
    bundle.run("blue").run().ok();
    std::fs::create_dir_all(t.layout().state.join("blue")).unwrap();
    oci(t, ["delete", "--force", "blue"]).run().ok();
    assert!(!t.layout().state.join("blue").exists());
}
