//! Scheduling, memory placement, the execution domain, labels and keyrings.

use boxr_testing::{Need, Sandbox, Test, test};
use serde_json::json;

use super::BUNDLE;
use super::bundle::Bundle;

pub const TESTS: &[Test] = &[
    test!(the_scheduler_is_set, BUNDLE, Need::Root),
    test!(io_priority_is_set, BUNDLE, Need::Root),
    test!(the_execution_domain_is_set, BUNDLE, Need::Root),
    test!(memory_is_placed, BUNDLE, Need::Root),
    test!(labels_need_their_security_module, BUNDLE, Need::Root),
    test!(caches_are_shared_where_the_kernel_can, BUNDLE, Need::Root),
    test!(a_session_keyring_of_its_own, BUNDLE, Need::Root),
];

/// Field of /proc/self/stat with this number (proc_pid_stat(5)), as a shell script.
fn stat_field(number: u32) -> String {
    format!("sed 's/.*) //' /proc/self/stat | cut -d ' ' -f {}", number - 2)
}

fn the_scheduler_is_set(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 7 });
    let script = format!("{}; {}", stat_field(41), stat_field(19));
    assert_eq!(bundle.sh(&script).ok().lines(), ["3", "7"]);
    bundle.config["process"]["scheduler"] =
        json!({ "policy": "SCHED_FIFO", "priority": 5, "flags": ["SCHED_RESET_ON_FORK"] });
    // The shell itself has it, its children do not.
    let script = "read -r line < /proc/self/stat; set -- ${line##*) }; eval \"echo \\${39}\"; ".to_owned()
        + &stat_field(41);
    assert_eq!(bundle.sh(&script).ok().lines(), ["1", "0"]);
    bundle.config["process"]["scheduler"] = json!({ "policy": "SCHED_ISO" });
    bundle.run(&["true"]).exits(125).blames("process.scheduler");
}

fn io_priority_is_set(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_IDLE", "priority": 0 });
    bundle.config["process"]["args"] = json!(["ionice"]);
    std::os::unix::fs::symlink("busybox", bundle.in_root("bin/ionice")).unwrap();
    bundle.run(&["ionice"]).ok().shows("idle");
    bundle.config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
    bundle.run(&["ionice"]).ok().shows("best-effort: prio 6");
    bundle.config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 });
    bundle.run(&["true"]).exits(125).blames("process.ioPriority.priority");
}

fn the_execution_domain_is_set(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    std::os::unix::fs::symlink("busybox", bundle.in_root("bin/uname")).unwrap();
    bundle.config["linux"]["personality"] = json!({ "domain": "LINUX32" });
    let out = bundle.sh("uname -m; cat /proc/self/personality").ok();
    assert_eq!(out.lines()[1], "00000008");
    assert_ne!(out.lines()[0], "x86_64");
    bundle.config["linux"]["personality"] = json!({ "domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"] });
    bundle.run(&["true"]).exits(125).blames("linux.personality.flags");
}

fn memory_is_placed(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["linux"]["memoryPolicy"] =
        json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] });
    bundle.sh("cat /proc/self/numa_maps").ok().shows("bind=static:0");
    bundle.config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "1000" });
    bundle.run(&["true"]).exits(125).blames("linux.memoryPolicy");
    bundle.config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND" });
    bundle.run(&["true"]).exits(125).blames("linux.memoryPolicy.nodes");
}

/// Where the kernel does not enforce them, a container that asks for them must not run.
fn labels_need_their_security_module(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let enabled = |path: &str| std::path::Path::new(path).exists();
    if !enabled("/sys/module/apparmor") {
        bundle.config["process"]["apparmorProfile"] = json!("some-profile");
        bundle.run(&["true"]).exits(125).blames("process.apparmorProfile");
        bundle.config["process"]["apparmorProfile"] = json!("unconfined");
        bundle.run(&["true"]).ok();
    }
    if !enabled("/sys/fs/selinux/enforce") {
        bundle.config["process"]["selinuxLabel"] = json!("system_u:system_r:container_t:s0");
        bundle.run(&["true"]).exits(125).blames("process.selinuxLabel");
        bundle.config["process"]["selinuxLabel"] = json!("");
        bundle.config["linux"]["mountLabel"] = json!("system_u:object_r:container_file_t:s0");
        bundle.run(&["true"]).exits(125).blames("linux.mountLabel");
    }
}

/// Its steps are unit tests: few processors have it.
fn caches_are_shared_where_the_kernel_can(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["linux"]["intelRdt"] = json!({ "closID": "no-such-group" });
    bundle.run(&["true"]).exits(125);
    if !std::path::Path::new("/sys/fs/resctrl/schemata").exists() {
        bundle.run(&["true"]).exits(125).blames("linux.intelRdt").blames("/sys/fs/resctrl");
    }
}

fn a_session_keyring_of_its_own(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.config["process"]["args"] = json!(["cat", "/proc/keys"]);
    let runtime = || boxr_testing::Cmd::new(std::env::current_exe().unwrap()).arg("--as=oci-run");
    // What was made by another run of this test ends some time later, so nothing is said of its absence.
    bundle.start(runtime().arg("--keyring")).ok().shows("keyring   _ses.test");
    bundle.user_namespace(0, 65536);
    bundle.start(runtime().arg("--keyring")).ok().shows("keyring   _ses.test");
}
