//! `linux.namespaces`, id maps, clocks, names and kernel parameters.

use std::process::{Child, Command, Stdio};

use boxr_testing::{Need, Sandbox, Test, test};
use serde_json::json;

use super::BUNDLE;
use super::bundle::Bundle;

pub const TESTS: &[Test] = &[
    test!(each_is_new_joined_or_the_callers, BUNDLE, Need::Root),
    test!(wrong_combinations_are_refused_by_field, BUNDLE, Need::Root),
    test!(a_joined_user_namespace_owns_the_new_ones, BUNDLE, Need::Root),
    test!(a_host_namespace_is_joined_beside_a_user_namespace, BUNDLE, Need::Root),
    test!(a_pid_namespace_is_joined, BUNDLE, Need::Root),
    test!(clocks_are_shifted, BUNDLE, Need::Root, Need::TimeNamespaces),
    test!(names_are_set, BUNDLE, Need::Root),
    test!(sysctls_are_written_in_their_namespaces, BUNDLE, Need::Root),
    test!(sysctls_of_the_host_are_refused, BUNDLE, Need::Root),
    test!(versions_of_the_specification, BUNDLE, Need::Root),
];

/// A process in namespaces of its own, which ends with the test.
pub struct Holder(Child);

impl Holder {
    /// `unshare FLAGS… sleep`, once it is there. A new pid namespace needs `--kill-child`.
    #[track_caller]
    pub fn start(flags: &[&str]) -> Self {
        let child = Command::new("unshare")
            .args(flags)
            .args(["--", "sh", "-c", "echo ready; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut holder = Self(child);
        let mut line = String::new();
        let stdout = holder.0.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        assert_eq!(line, "ready\n");
        holder
    }

    /// The same in a user namespace in which `size` ids from 0 on are those from `host` on.
    #[track_caller]
    pub fn in_user_namespace(host: u32, size: u32, flags: &[&str]) -> Self {
        let holder = Self::start(&[&["--user"], flags].concat());
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{}/{map}", holder.0.id()), format!("0 {host} {size}\n")).unwrap();
        }
        holder
    }

    /// Path of one of its namespaces.
    pub fn path(&self, name: &str) -> String {
        format!("/proc/{}/ns/{name}", self.0.id())
    }

    /// What the link shows: `net:[4026531840]`.
    pub fn id(&self, name: &str) -> String {
        std::fs::read_link(self.path(name)).unwrap().to_str().unwrap().to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn own(name: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().to_str().unwrap().to_owned()
}

fn each_is_new_joined_or_the_callers(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let holder = Holder::start(&["--net", "--ipc"]);
    bundle.namespace("network", Some(&holder.path("net")));
    bundle.namespace("ipc", Some(&holder.path("ipc")));
    bundle.no_namespace("uts");
    bundle.config["hostname"] = json!("");
    bundle.config.as_object_mut().unwrap().remove("hostname");
    bundle.namespace("cgroup", None);
    let out = bundle.sh("cd /proc/self/ns; for n in net ipc uts cgroup mnt user; do readlink $n; done").ok();
    let lines = out.lines();
    assert_eq!(lines[..3], [holder.id("net"), holder.id("ipc"), own("uts")]);
    assert_ne!(lines[3], own("cgroup"));
    assert_ne!(lines[4], own("mnt"));
    assert_eq!(lines[5], own("user"));
}

fn wrong_combinations_are_refused_by_field(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let good = bundle.config.clone();
    let mut refused = |change: &dyn Fn(&mut Bundle), field: &str| {
        bundle.config = good.clone();
        change(&mut bundle);
        bundle.run(&["true"]).exits(125).blames(field);
    };
    refused(
        &|b| b.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "ipc"})),
        "linux.namespaces[5]",
    );
    refused(
        &|b| b.config["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 1}]),
        "linux.uidMappings",
    );
    refused(&|b| b.namespace("user", None), "linux.uidMappings");
    refused(&|b| b.namespace("network", Some("/no/such/namespace")), "/no/such/namespace");
    refused(&|b| b.namespace("network", Some("/proc/self/ns/uts")), "network");
    refused(&|b| b.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1}}), "linux.timeOffsets");
    refused(&|b| b.no_namespace("uts"), "hostname");
    refused(&|b| b.no_namespace("mount"), "mount namespace");
    let holder = Holder::in_user_namespace(5000, 10, &[]);
    refused(
        &|b| {
            b.user_namespace(7000, 10);
            b.namespace("user", Some(&holder.path("user")));
        },
        "linux.uidMappings",
    );
}

/// As in podman's pods: a user namespace and some others of it are joined, further ones are new.
fn a_joined_user_namespace_owns_the_new_ones(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let holder = Holder::in_user_namespace(0, 65536, &["--net"]);
    bundle.namespace("user", Some(&holder.path("user")));
    bundle.namespace("network", Some(&holder.path("net")));
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    // Only the owner of the uts namespace may set its name, only that of the pid namespace mounts procfs.
    let out = bundle.sh("for n in user net; do readlink /proc/self/ns/$n; done; hostname; echo $$").ok();
    assert_eq!(out.lines(), [holder.id("user"), holder.id("net"), "bundle".into(), "1".into()]);
}

fn a_host_namespace_is_joined_beside_a_user_namespace(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let net = Holder::start(&["--net"]);
    let user = Holder::in_user_namespace(0, 65536, &[]);
    bundle.namespace("network", Some(&net.path("net")));
    bundle.namespace("user", Some(&user.path("user")));
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "sysfs");
    let out = bundle.sh("for n in user net; do readlink /proc/self/ns/$n; done").ok();
    assert_eq!(out.lines(), [user.id("user"), net.id("net")]);
}

fn a_pid_namespace_is_joined(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let holder = Holder::start(&["--pid", "--kill-child"]);
    // unshare(1) itself stays outside; its child is 1 inside.
    let path = format!("/proc/{}/ns/pid_for_children", holder.0.id());
    bundle.namespace("pid", Some(&path));
    let out = bundle.sh("readlink /proc/self/ns/pid; test $$ != 1 && echo not the first").ok();
    assert_eq!(out.lines(), [holder.id("pid_for_children"), "not the first".into()]);
}

fn clocks_are_shifted(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.namespace("time", None);
    bundle.config["linux"]["timeOffsets"] =
        json!({"boottime": {"secs": 86400, "nanosecs": 5}, "monotonic": {"secs": 3}});
    let out = bundle.sh("cat /proc/self/timens_offsets").ok();
    let words: Vec<_> = out.text().split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["monotonic", "3", "0", "boottime", "86400", "5"]);
    bundle.config["linux"]["timeOffsets"] = json!({"realtime": {"secs": 1}});
    bundle.run(&["true"]).exits(125).blames("linux.timeOffsets");
}

fn names_are_set(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["hostname"] = json!("one");
    bundle.config["domainname"] = json!("two.example");
    let out = bundle.sh("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname").ok();
    assert_eq!(out.lines(), ["one", "two.example"]);
    // Also in one that is joined, as other runtimes do.
    let holder = Holder::start(&["--uts"]);
    bundle.namespace("uts", Some(&holder.path("uts")));
    let out = bundle.sh("readlink /proc/self/ns/uts; hostname").ok();
    assert_eq!(out.lines(), [holder.id("uts"), "one".into()]);
}

fn sysctls_are_written_in_their_namespaces(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["linux"]["sysctl"] = json!({
        "net.ipv4.ip_forward": "1",
        "net/ipv4/conf/lo/forwarding": "0",
        "kernel.msgmax": "8193",
        "fs.mqueue.msg_max": "11",
        "kernel.domainname": "by.sysctl"
    });
    let script = "cd /proc/sys; cat net/ipv4/ip_forward kernel/msgmax fs/mqueue/msg_max kernel/domainname";
    let out = bundle.sh(script).ok();
    assert_eq!(out.lines(), ["1", "8193", "11", "by.sysctl"]);
    assert_ne!(std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), "8193\n", "the host's stays");
    bundle.config["linux"]["sysctl"] = json!({ "net.no.such": "1" });
    bundle.run(&["true"]).exits(125).blames("/proc/sys/net/no/such");
}

fn sysctls_of_the_host_are_refused(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let refused = |bundle: &mut Bundle, name: &str| {
        bundle.config["linux"]["sysctl"] = json!({ name: "1" });
        bundle.run(&["true"]).exits(125).blames(&format!("linux.sysctl.{name}"));
    };
    for name in ["kernel.core_pattern", "vm.swappiness", "kernel.hostname", "net/../kernel/core_pattern"] {
        refused(&mut bundle, name);
    }
    bundle.namespace("network", Some("/proc/self/ns/net"));
    refused(&mut bundle, "net.ipv4.ip_forward");
    bundle.no_namespace("ipc");
    refused(&mut bundle, "kernel.sem");
}

fn versions_of_the_specification(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    for version in ["0.6.0", "1.0.2-dev", "1.3.0"] {
        bundle.config["ociVersion"] = json!(version);
        bundle.run(&["true"]).ok();
    }
    for version in ["2.0.0", "", "latest"] {
        bundle.config["ociVersion"] = json!(version);
        bundle.run(&["true"]).exits(125).blames("ociVersion");
    }
}
