//! `linux.netDevices`.

use boxr_testing::{Cmd, Need, Output, Sandbox, Test, Tool, test};
use serde_json::json;

use super::BUNDLE;
use super::bundle::Bundle;
use super::namespaces::Holder;

pub const TESTS: &[Test] = &[
    test!(devices_move_with_their_addresses, BUNDLE, IP, Need::Root),
    test!(a_name_that_is_taken_is_refused, BUNDLE, IP, Need::Root),
    test!(devices_need_another_network_namespace, BUNDLE, Need::Root),
];

const IP: Need = Need::Tool(Tool::Ip);

/// Runs the bundle from a network namespace with a pair of devices, `one` and `two`, where `one`
/// has an address.
#[track_caller]
fn run(bundle: &Bundle, and_then: &str) -> Output {
    let script = format!(
        "ip link add one type veth peer two && ip addr add 192.0.2.1/24 dev one && \
         ip addr add 2001:db8::1/64 dev one nodad && ip link set one up && \"$0\" --as=oci-run; \
         status=$?; {and_then}; exit $status"
    );
    let program = std::env::current_exe().unwrap();
    bundle.start(Cmd::new("unshare").args(["-n", "sh", "-c", &script]).arg(program))
}

fn devices_move_with_their_addresses(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    std::os::unix::fs::symlink("busybox", bundle.in_root("bin/ip")).unwrap();
    bundle.config["process"]["args"] = json!(["ip", "addr"]);
    bundle.config["linux"]["netDevices"] = json!({ "one": { "name": "inside0" } });
    let out = run(&bundle, "ip link show one 2>/dev/null && echo still there").ok();
    let text = out.text();
    assert!(text.contains("inside0@") && text.contains("192.0.2.1/24"), "{text}");
    assert!(text.contains("2001:db8::1/64") && text.contains(",UP"), "{text}");
    assert!(!text.contains("still there") && !text.contains("two"), "{text}");
    bundle.config["linux"]["netDevices"] = json!({ "one": {}, "two": { "name": "net%d" } });
    let text = run(&bundle, "true").ok().text();
    assert!(text.contains("one@") && text.contains("net0@"), "{text}");
    // Also into one that is joined, and by root of a user namespace.
    let holder = Holder::start(&["--net"]);
    bundle.namespace("network", Some(&holder.path("net")));
    let text = run(&bundle, "true").ok().text();
    assert!(text.contains("one@") && text.contains("192.0.2.1/24"), "{text}");
    bundle.namespace("network", None);
    bundle.user_namespace(0, 65536);
    let text = run(&bundle, "true").ok().text();
    assert!(text.contains("one@") && text.contains("192.0.2.1/24"), "{text}");
}

fn a_name_that_is_taken_is_refused(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["linux"]["netDevices"] = json!({ "one": { "name": "lo" } });
    run(&bundle, "true").exits(125).blames("one as lo");
    bundle.config["linux"]["netDevices"] = json!({ "none": {} });
    run(&bundle, "true").exits(125).blames("none");
}

fn devices_need_another_network_namespace(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["linux"]["netDevices"] = json!({ "lo": {} });
    bundle.namespace("network", Some("/proc/self/ns/net"));
    bundle.run(&["true"]).exits(125).blames("linux.netDevices.lo");
    bundle.no_namespace("network");
    bundle.run(&["true"]).exits(125).blames("linux.netDevices.lo");
}
