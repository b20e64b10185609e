//! Containers in scopes of systemd's (`cargo xtask test --world systemd`).

use std::process::Command;

use boxr_testing::{Need, Sandbox, Test, test, wait_until};
use serde_json::{Value, json};

use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::life::{BUSYBOX, state};
use crate::limits;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_container_is_a_scope, BUSYBOX, Need::Root, Need::Systemd),
    test!(a_scope_is_gone_after_run, BUSYBOX, Need::Root, Need::Systemd),
    test!(a_failed_start_leaves_no_scope, BUSYBOX, Need::Root, Need::Systemd),
    test!(a_path_of_the_other_form_is_refused, BUSYBOX, Need::Root, Need::Systemd),
];

fn unit(id: &str) -> (String, String) {
    let name = format!("boxr{}-{id}", std::process::id());
    (format!("system.slice:test:{name}"), format!("test-{name}.scope"))
}

fn property(unit: &str, name: &str) -> String {
    let output = Command::new("systemctl").args(["show", "--value", "-p", name, unit]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn bundle<'t>(t: &'t Sandbox, script: &str, path: &str) -> Bundle<'t> {
    Bundle::new(t, "b", script).with(|config| {
        config["linux"]["cgroupsPath"] = json!(path);
        config["linux"]["resources"]["pids"] = json!({"limit": 31});
        config["annotations"] = json!({"org.systemd.property.TimeoutStopUSec": "uint64 7000000"});
    })
}

fn a_container_is_a_scope(t: &Sandbox) {
    let (path, unit) = unit("life");
    let bundle = bundle(t, "exec sleep 1000", &path);
    bundle.create_with(&["--systemd-cgroup"], "blue");
    assert_eq!(property(&unit, "ActiveState"), "active");
    assert_eq!(property(&unit, "TasksMax"), "31");
    assert_eq!(property(&unit, "TimeoutStopUSec"), "7s");
    let directory = limits::directory(t, "blue", "pids");
    assert!(directory.ends_with(format!("system.slice/{unit}")), "{}", directory.display());
    assert_eq!(limits::read(t, "blue", "pids", "pids.max", "pids.max"), "31");
    let procs = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap();
    assert_eq!(procs.trim(), state(t, "blue")["pid"].to_string());

    // Later commands know it by the state.
    oci(t, ["start", "blue"]).run().ok();
    oci(t, ["exec", "blue", "true"]).run().ok();
    oci(t, ["update", "--pids-limit", "32", "blue"]).run().ok();
    assert_eq!(property(&unit, "TasksMax"), "32");
    assert_eq!(limits::read(t, "blue", "pids", "pids.max", "pids.max"), "32");
    let stats: Value =
        serde_json::from_str(&oci(t, ["events", "--stats", "blue"]).run().ok().text()).unwrap();
    assert_eq!(stats["data"]["pids"], json!({"current": 1, "limit": 32}));
    oci(t, ["pause", "blue"]).run().ok();
    assert_eq!(state(t, "blue")["status"], "paused");
    oci(t, ["resume", "blue"]).run().ok();
    oci(t, ["kill", "blue", "KILL"]).run().ok();
    wait_until("it has stopped", || state(t, "blue")["status"] == "stopped");
    oci(t, ["delete", "blue"]).run().ok();
    assert_eq!(property(&unit, "LoadState"), "not-found");
    assert!(!directory.exists());
    assert_nothing_left(t);
}

fn a_scope_is_gone_after_run(t: &Sandbox) {
    let (path, unit) = unit("run");
    let bundle = bundle(t, "echo here; exit 3", &path);
    for _ in 0..3 {
        bundle.write();
        oci(t, ["--systemd-cgroup", "run", "--bundle", bundle.path(), "blue"])
            .run()
            .exits(3)
            .prints("here\n");
        assert_eq!(property(&unit, "LoadState"), "not-found");
    }
    assert_nothing_left(t);
}

fn a_failed_start_leaves_no_scope(t: &Sandbox) {
    let (path, unit) = unit("failed");
    let bundle = bundle(t, "", &path).with(|config| config["process"]["args"] = json!(["/no/such/program"]));
    oci(t, ["--systemd-cgroup", "run", "--bundle", bundle.path(), "blue"])
        .run()
        .exits(1)
        .blames("/no/such/program");
    assert_eq!(property(&unit, "LoadState"), "not-found");
    let bundle = bundle.with(|config| {
        config["annotations"] = json!({"org.systemd.property.NoSuchProperty": "true"});
    });
    oci(t, ["--systemd-cgroup", "run", "--bundle", bundle.path(), "blue"])
        .run()
        .exits(1)
        .blames("NoSuchProperty");
    assert_eq!(property(&unit, "LoadState"), "not-found");
    assert_nothing_left(t);
}

fn a_path_of_the_other_form_is_refused(t: &Sandbox) {
    let bundle = bundle(t, "true", "/a/b");
    oci(t, ["--systemd-cgroup", "run", "--bundle", bundle.path(), "blue"])
        .run()
        .exits(1)
        .blames("SLICE:PREFIX:NAME");
    assert_nothing_left(t);
}
