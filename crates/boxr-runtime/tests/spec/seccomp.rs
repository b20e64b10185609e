//! `linux.seccomp` in what the runtime does around it; what filters do is tried through boxr-oci.

use boxr_testing::{Cmd, Need, Sandbox, Test, test};
use serde_json::json;

use super::BUNDLE;
use super::bundle::Bundle;

pub const TESTS: &[Test] = &[
    test!(init_is_filtered_like_its_command, BUNDLE, Need::Root),
    test!(a_user_namespace_gives_the_right_to_load, BUNDLE, Need::Root),
    test!(a_command_is_looked_for_before_the_filter, BUNDLE, Need::Root),
];

/// A bundle in which nobody may make directories, without no_new_privs.
fn without_mkdir(t: &Sandbox) -> Bundle {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["noNewPrivileges"] = json!(false);
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    });
    bundle
}

/// The command may trace it, and must find no way out of its own filter there, nor a right that it lacks.
fn init_is_filtered_like_its_command(t: &Sandbox) {
    let mut bundle = without_mkdir(t);
    let script = "for p in 1 self; do grep -E 'Seccomp:|Cap(Prm|Eff)' /proc/$p/status; done";
    bundle.config["process"]["args"] = json!(["sh", "-c", script]);
    let runtime = Cmd::new(std::env::current_exe().unwrap()).args(["--as=oci-run", "--init"]);
    let lines = bundle.start(runtime).ok().lines();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[..3], lines[3..]);
    assert_eq!(lines[2], "Seccomp:\t2");
}

fn a_user_namespace_gives_the_right_to_load(t: &Sandbox) {
    let mut bundle = without_mkdir(t);
    bundle.user_namespace(100_000, 65536);
    bundle.give_root_to(100_000);
    bundle.config["process"]["user"] = json!({"uid": 7, "gid": 7});
    let script = "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; mkdir /tmp/x 2>/dev/null || echo refused";
    bundle.sh(script).ok().prints("NoNewPrivs:\t0\nSeccomp:\t2\nrefused\n");
}

fn a_command_is_looked_for_before_the_filter(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        // What a search of PATH calls.
        "syscalls": [{"names": ["access", "faccessat", "faccessat2"], "action": "SCMP_ACT_ERRNO"}],
    });
    bundle.config["process"]["env"] = json!(["PATH=/no/such:/usr:/bin"]);
    bundle.run(&["echo", "found"]).ok().prints("found\n");
    bundle.run(&["no-such-command"]).exits(125).blames("cannot run no-such-command");
}
