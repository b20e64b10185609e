//! Limits: they hold, they change, what they do is told.

use std::path::PathBuf;

use boxr_testing::{Controller, Need, Sandbox, Test, test};
use serde_json::{Value, json};

use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::life::{BUSYBOX, delete_when_stopped};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(limits_of_the_specification_hold, BUSYBOX, Need::Root, MEMORY),
    test!(limits_are_changed_by_flags_and_files, BUSYBOX, Need::Root, MEMORY),
    test!(a_stopped_container_has_no_limits_to_change, BUSYBOX, Need::Root),
    test!(a_mebibyte_is_enough_for_a_small_program, BUSYBOX, Need::Root, MEMORY),
    test!(a_lack_of_memory_is_named, BUSYBOX, Need::Root, MEMORY),
    test!(figures_are_printed, BUSYBOX, Need::Root, MEMORY),
    test!(a_lack_of_memory_is_an_event, BUSYBOX, Need::Root, MEMORY),
    test!(devices_are_those_of_a_container, BUSYBOX, Need::Root),
    test!(a_cgroup_in_use_is_refused, BUSYBOX, Need::Root),
    test!(a_user_owns_the_cgroup_that_it_may_write, BUSYBOX, Need::Root),
    test!(what_outlives_the_first_process_is_ended, BUSYBOX, Need::Root),
    test!(exec_enters_a_container_that_manages_cgroups, BUSYBOX, Need::Root, Need::CgroupV2),
];

const MEMORY: Need = Need::Controller(Controller::Memory);

/// Where files of a controller are: as the container's state has it.
pub fn directory(t: &Sandbox, id: &str, controller: &str) -> PathBuf {
    let text = std::fs::read_to_string(t.layout().state.join(id).join("state.json")).unwrap();
    let state: Value = serde_json::from_str(&text).unwrap();
    let legacy = &state["cgroup"]["legacy"][controller];
    let found = if legacy.is_null() { &state["cgroup"]["unified"] } else { legacy };
    found.as_str().unwrap_or_else(|| panic!("no cgroup of {controller} in {text}")).into()
}

/// The text of the file of version 1 or 2, whichever the controller has.
pub fn read(t: &Sandbox, id: &str, controller: &str, one: &str, two: &str) -> String {
    let directory = directory(t, id, controller);
    let text = std::fs::read_to_string(directory.join(one));
    text.or_else(|_| std::fs::read_to_string(directory.join(two))).unwrap().trim().to_owned()
}

fn memory_limit(t: &Sandbox, id: &str) -> String {
    read(t, id, "memory", "memory.limit_in_bytes", "memory.max")
}

fn with_resources<'t>(t: &'t Sandbox, script: &str, resources: Value) -> Bundle<'t> {
    Bundle::new(t, "b", script).with(|config| config["linux"]["resources"] = resources)
}

fn limits_of_the_specification_hold(t: &Sandbox) {
    let resources = json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 33}, "cpu": {"shares": 512}});
    let bundle = with_resources(t, "exec sleep 1000", resources);
    bundle.create("blue");
    assert_eq!(memory_limit(t, "blue"), "67108864");
    assert_eq!(read(t, "blue", "pids", "pids.max", "pids.max"), "33");
    assert_eq!(read(t, "blue", "cpu", "cpu.shares", "cpu.weight").len(), if is_v1(t, "cpu") { 3 } else { 2 });
    let procs = std::fs::read_to_string(directory(t, "blue", "memory").join("cgroup.procs")).unwrap();
    let state: Value = serde_json::from_str(&oci(t, ["state", "blue"]).run().ok().text()).unwrap();
    assert_eq!(procs.trim(), state["pid"].to_string());
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn is_v1(t: &Sandbox, controller: &str) -> bool {
    directory(t, "blue", controller).join("tasks").exists()
}

fn limits_are_changed_by_flags_and_files(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    oci(t, ["update", "--memory", "64m", "--pids-limit=20", "--cpu-quota", "50000", "blue"])
        .run()
        .ok()
        .quiet();
    assert_eq!(memory_limit(t, "blue"), "67108864");
    assert_eq!(read(t, "blue", "pids", "pids.max", "pids.max"), "20");
    assert!(read(t, "blue", "cpu", "cpu.cfs_quota_us", "cpu.max").starts_with("50000"));
    let json = r#"{"memory":{"limit":134217728,"swap":null},"pids":{"limit":-1}}"#;
    oci(t, ["update", "-r", "-", "--pids-limit", "5", "blue"]).stdin(json).run().ok().quiet();
    assert_eq!(memory_limit(t, "blue"), "134217728");
    assert_eq!(read(t, "blue", "pids", "pids.max", "pids.max"), "max");
    let file = t.file("limits.json", r#"{"pids":{"limit":7}}"#);
    oci(t, ["update", "--resources", &file, "blue"]).run().ok().quiet();
    assert_eq!(read(t, "blue", "pids", "pids.max", "pids.max"), "7");

    for (words, blamed) in [
        (&["--memory", "much"][..], "invalid value for memory"),
        (&["--memory", "1k"], "memory.limit"),
        (&["--cpu-period", "7"], "cpu.period"),
        (&["-r", "/nowhere.json"], "/nowhere.json"),
    ] {
        oci(t, ["update"]).args(words).arg("blue").run().exits(1).blames(blamed);
    }
    oci(t, ["update", "-r", "-", "blue"]).stdin("{\"memory\":").run().exits(1).blames("EOF");
    assert_eq!(memory_limit(t, "blue"), "134217728");
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn a_stopped_container_has_no_limits_to_change(t: &Sandbox) {
    oci(t, ["update", "--pids-limit", "5", "blue"]).run().exits(1).blames("container does not exist");
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    bundle.create("blue");
    oci(t, ["kill", "blue", "KILL"]).run().ok();
    boxr_testing::wait_until("it is stopped", || crate::life::state(t, "blue")["status"] == "stopped");
    oci(t, ["update", "--pids-limit", "5", "blue"]).run().exits(1).blames("container not running");
    oci(t, ["events", "--stats", "blue"]).run().exits(1).blames("container with id blue is not running");
    delete_when_stopped(t, "blue");
}

/// What boxr does before is not charged to the container.
fn a_mebibyte_is_enough_for_a_small_program(t: &Sandbox) {
    for limit in [1 << 20, 768 << 10] {
        let resources = json!({"memory": {"limit": limit}, "devices": [{"allow": false, "access": "rwm"}]});
        let bundle = Bundle::new(t, &format!("b{limit}"), "").with(|config| {
            config["linux"]["resources"] = resources;
            config["process"]["args"] = json!(["true"]);
        });
        for round in 0..5 {
            bundle.run(&format!("blue{round}")).run().ok().quiet();
        }
    }
    assert_nothing_left(t);
}

fn a_lack_of_memory_is_named(t: &Sandbox) {
    let resources = json!({"memory": {"limit": 16_777_216, "swap": 16_777_216}});
    let bundle = with_resources(t, "exec tail /dev/zero", resources);
    bundle.run("blue").run().exits(137).blames("memory ran out");
    // So much to mount that the least limit is not enough for the container's first process itself.
    let bundle = Bundle::new(t, "many", "true").with(|config| {
        config["linux"]["resources"] = json!({"memory": {"limit": 524_288, "swap": 524_288}});
        let tmpfs = json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"});
        config["mounts"].as_array_mut().unwrap().extend((0..400).map(|_| tmpfs.clone()));
    });
    bundle.command("create", &[], "red").run().exits(1).blames("memory limit is too low");
    assert_nothing_left(t);
}

fn figures_are_printed(t: &Sandbox) {
    let bundle = with_resources(t, "exec sleep 1000", json!({"memory": {"limit": 67_108_864}}));
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    let line = oci(t, ["events", "--stats", "blue"]).run().ok().text();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!("blue")));
    assert_eq!(event["data"]["pids"]["current"], 1, "{line}");
    assert_eq!(event["data"]["memory"]["usage"]["limit"], 67_108_864, "{line}");
    assert!(event["data"]["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{line}");
    oci(t, ["events", "--interval", "0s", "blue"]).run().exits(1).blames("greater than 0");
    oci(t, ["events", "--interval", "soon", "blue"]).run().exits(1).blames("interval");

    let mut events = oci(t, ["events", "--interval", "10ms", "blue"]).spawn();
    events.expect("\n{\"type\":\"stats\"");
    oci(t, ["kill", "blue", "KILL"]).run().ok();
    // It ends with the container.
    events.finish().ok();
    delete_when_stopped(t, "blue");
}

fn a_lack_of_memory_is_an_event(t: &Sandbox) {
    let resources = json!({"memory": {"limit": 16_777_216, "swap": 16_777_216}});
    let bundle = with_resources(t, "tail /dev/zero; exec sleep 1000", resources);
    bundle.create("blue");
    let mut events = oci(t, ["events", "--interval", "20ms", "blue"]).spawn();
    // From the first figures on it listens.
    events.expect("{\"type\":\"stats\"");
    oci(t, ["start", "blue"]).run().ok();
    events.expect("{\"type\":\"oom\",\"id\":\"blue\"}\n");
    oci(t, ["kill", "blue", "KILL"]).run().ok();
    events.finish().ok();
    delete_when_stopped(t, "blue");
}

fn devices_are_those_of_a_container(t: &Sandbox) {
    let script =
        "mknod /tmp/kmsg c 1 11 && echo made; (: </tmp/kmsg) || echo closed; : >/dev/null && echo null";
    for resources in [json!({"devices": [{"allow": false, "access": "rwm"}]}), json!({})] {
        let bundle = with_resources(t, script, resources).with(|config| {
            let tmp = json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["dev"]});
            config["mounts"].as_array_mut().unwrap().push(tmp);
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_MKNOD"));
            }
        });
        bundle.run("blue").run().ok().prints("made\nclosed\nnull\n");
        std::fs::remove_dir_all(bundle.path()).unwrap();
    }
    assert_nothing_left(t);
}

fn a_cgroup_in_use_is_refused(t: &Sandbox) {
    let path = format!("/boxr-test-{}-shared", std::process::id());
    let bundle =
        Bundle::new(t, "b", "exec sleep 1000").with(|config| config["linux"]["cgroupsPath"] = json!(path));
    bundle.create("blue");
    bundle.command("run", &[], "red").run().exits(1).blames("holds processes");
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn a_user_owns_the_cgroup_that_it_may_write(t: &Sandbox) {
    use std::os::unix::fs::MetadataExt;
    let bundle = Bundle::new(t, "b", "exec sleep 1000").with(|config| {
        config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
        namespaces.push(json!({"type": "cgroup"}));
        let mount =
            json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]});
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        mounts.push(mount);
    });
    bundle.create("blue");
    let directory = directory(t, "blue", "no-such-controller");
    assert_eq!(std::fs::metadata(directory.join("cgroup.procs")).unwrap().uid(), 1000);
    assert_eq!(std::fs::metadata(directory.join("cgroup.kill")).unwrap().uid(), 0);
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

/// As an init in the container does that shares out controllers: its root holds no process any more.
fn exec_enters_a_container_that_manages_cgroups(t: &Sandbox) {
    let script = "cd /sys/fs/cgroup && mkdir init && echo $$ >init/cgroup.procs && \
        echo +pids >cgroup.subtree_control && exec sleep 1000";
    let bundle = Bundle::new(t, "b", script).with(|config| {
        let mount =
            json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]});
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        mounts.push(mount);
    });
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    let control = directory(t, "blue", "none").join("cgroup.subtree_control");
    boxr_testing::wait_until("it has divided its cgroup", || {
        std::fs::read_to_string(&control).is_ok_and(|text| text.contains("pids"))
    });
    oci(t, ["exec", "blue", "cat", "/proc/self/cgroup"]).run().ok().prints("0::/init\n");
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

/// In the host's pid namespace a child stays when its parent ends, and holds the cgroup.
fn what_outlives_the_first_process_is_ended(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "sleep 1000 >/dev/null 2>&1 & exit 4").with(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "pid");
    });
    bundle.run("blue").run().exits(4);
    assert_nothing_left(t);
}
