//! Capabilities, no-new-privs, setrlimit(2) and other rights of the command.

use boxr_testing::{Cmd, Need, Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(drop_all_drops_all),
    test!(drop_all_and_add_one_is_one),
    test!(drop_one_drops_one),
    test!(unknown_capabilities_are_named),
    test!(no_new_privs_is_set),
    test!(ulimits_are_set),
    test!(wrong_ulimits_are_named),
    test!(oom_score_is_set),
    test!(a_lower_oom_score_needs_privilege, Need::Unprivileged),
    test!(signals_are_ignored_and_blocked_as_by_the_caller),
    test!(a_caller_that_ignores_sigchld_gets_the_status),
    test!(new_session_is_a_session),
];

const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

/// The five capability sets in a box with these flags.
#[track_caller]
fn sets(t: &Sandbox, flags: &[&str]) -> Vec<u64> {
    let out = t.run(flags).args(["--", "cat", "/proc/self/status"]).run().ok().quiet();
    let lines = out.lines();
    let value = |set: &str| {
        lines.iter().find_map(|line| line.strip_prefix(set)?.strip_prefix(":\t").map(str::to_owned))
    };
    SETS.iter().map(|set| u64::from_str_radix(&value(set).unwrap(), 16).unwrap()).collect()
}

fn drop_all_drops_all(t: &Sandbox) {
    assert_eq!(sets(t, &["--cap-drop", "ALL"]), [0; 5]);
    assert_eq!(sets(t, &["--cap-drop", "all"]), [0; 5]);
}

/// CAP_NET_BIND_SERVICE, CAP_CHOWN: numbers of capabilities(7).
const NET_BIND_SERVICE: u64 = 1 << 10;
const CHOWN: u64 = 1 << 0;

fn drop_all_and_add_one_is_one(t: &Sandbox) {
    for name in ["NET_BIND_SERVICE", "CAP_NET_BIND_SERVICE", "net_bind_service"] {
        let sets = sets(t, &["--cap-drop", "ALL", "--cap-add", name]);
        assert_eq!(sets[1..4], [NET_BIND_SERVICE; 3], "{name}");
    }
}

fn drop_one_drops_one(t: &Sandbox) {
    let before = sets(t, &[]);
    let after = sets(t, &["--cap-drop", "CHOWN"]);
    assert_eq!(before[2] & CHOWN, CHOWN, "root of the box has it");
    assert_eq!(after[2], before[2] & !CHOWN);
    assert_eq!(after[3] & CHOWN, 0);
}

fn unknown_capabilities_are_named(t: &Sandbox) {
    t.run(["--cap-add", "FLY", "--", "true"]).run().exits(125).blames("FLY");
    t.run(["--cap-drop", "SYS_ADMINN", "--", "true"]).run().exits(125).blames("SYS_ADMINN");
}

fn no_new_privs_is_set(t: &Sandbox) {
    let bit = |flags: &[&str]| {
        t.run(flags).args(["--", "grep", "NoNewPrivs", "/proc/self/status"]).run().ok().text()
    };
    assert_eq!(bit(&["--no-new-privs"]), "NoNewPrivs:\t1\n");
    assert_eq!(bit(&["--security-opt", "no-new-privileges"]), "NoNewPrivs:\t1\n");
    assert_eq!(bit(&[]), "NoNewPrivs:\t0\n");
}

fn ulimits_are_set(t: &Sandbox) {
    let script = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc";
    let out = t.run(["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--", "sh", "-c", script]).run();
    out.ok().prints("100\n200\n0\n0\n");
}

fn wrong_ulimits_are_named(t: &Sandbox) {
    for limit in ["nofiles=1", "nofile", "nofile=x", "nofile=200:100", "nofile=1:2:3"] {
        t.run(["--ulimit", limit, "--", "true"]).run().exits(125).blames(limit.split('=').next().unwrap());
    }
    t.assert_nothing_left();
}

fn oom_score_is_set(t: &Sandbox) {
    t.run(["--oom-score-adj", "500", "--", "cat", "/proc/self/oom_score_adj"]).run().ok().prints("500\n");
    t.run(["--oom-score-adj", "1001", "--", "true"]).run().exits(125).blames("1001");
}

fn a_lower_oom_score_needs_privilege(t: &Sandbox) {
    t.run(["--oom-score-adj", "-900", "--", "true"]).run().exits(125).blames("oom");
    t.assert_nothing_left();
}

fn signals_are_ignored_and_blocked_as_by_the_caller(t: &Sandbox) {
    let out = t.run(["--", "grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"]).run().ok();
    let masks: Vec<_> = out.lines().iter().map(|line| u64::from_str_radix(&line[8..], 16).unwrap()).collect();
    // glibc's posix_spawn(3), by which the test starts boxr, ignores two signals of its own, 32 and 33.
    assert_eq!([masks[0], masks[1] & !(3 << 31)], [0, 0], "{}", out.story());
}

fn a_caller_that_ignores_sigchld_gets_the_status(t: &Sandbox) {
    let script = "trap '' CHLD; exec \"$@\" run -- sh -c 'exit 7'";
    let cmd = t.surrounded(Cmd::new("sh")).args(["-c", script, "sh"]);
    cmd.arg(t.program()).args(t.globals()).run().exits(7);
}

fn new_session_is_a_session(t: &Sandbox) {
    // Field 6 of proc_pid_stat(5) is the session: the first process is its leader.
    let script = "read a b c d e session rest </proc/self/stat; echo $session";
    t.run(["--new-session", "--", "sh", "-c", script]).run().ok().prints("1\n");
}
