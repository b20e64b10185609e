//! Limits of a sandbox, with a cgroup and without.

use boxr_testing::{Cmd, Sandbox, Test, test};

use super::{USERNS, sandbox};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_sandbox_has_limits_wherever_it_runs, USERNS),
    test!(a_sandbox_keeps_lower_limits_of_its_caller, USERNS),
    test!(limits_that_were_asked_for_are_had_or_given_up_by_name, USERNS),
];

/// Whether this host gives the caller a cgroup for them.
fn has_cgroup(t: &Sandbox) -> bool {
    let text = sandbox(t, &["--explain", "--dry-run"], "true").run().ok().text();
    let has = text.contains("cgroup: memory: at most");
    assert_eq!(text.contains("limit: Data "), !has, "{text}");
    assert_eq!(text.contains("no cgroup is to be had here"), !has, "{text}");
    has
}

/// What a run needs to have limits here.
fn with(t: &Sandbox, limits: &[&'static str]) -> Vec<&'static str> {
    let given_up: &[&str] = if has_cgroup(t) { &[] } else { &["--allow-degraded=limits"] };
    [limits, given_up].concat()
}

fn a_sandbox_has_limits_wherever_it_runs(t: &Sandbox) {
    let has = has_cgroup(t);
    let script = "grep -E 'data size|processes' /proc/self/limits; cat /proc/self/oom_score_adj";
    let text = sandbox(t, &[], script).run().ok().text();
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    if has {
        assert!(line("Max data size").contains("unlimited"), "{text}");
    } else {
        assert!(!line("Max data size").contains("unlimited"), "{text}");
        assert!(line("Max processes").split_whitespace().any(|word| word == "4096"), "{text}");
        assert!(text.ends_with("\n1000\n"), "the first to end when memory runs out: {text}");
        let own = ["--ulimit", "data=-1:-1"];
        assert!(sandbox(t, &own, script).run().ok().text().contains("unlimited            unlimited"));
    }
    t.assert_nothing_left();
}

fn a_sandbox_keeps_lower_limits_of_its_caller(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    let out = t
        .surrounded(Cmd::new("prlimit"))
        .args(["--nproc=3000:3000", "--data=1000000000:1000000000"])
        .arg(t.program())
        .args(t.globals())
        .args(["run", "--sandbox", "--", "grep", "-E", "data size|processes", "/proc/self/limits"])
        .cwd(t.path("project"))
        .run()
        .ok();
    for (start, most) in [("Max processes", "3000"), ("Max data size", "1000000000")] {
        let line = out.lines().into_iter().find(|line| line.starts_with(start)).unwrap();
        assert!(line.split_whitespace().any(|word| word == most), "{}", out.story());
    }
    t.assert_nothing_left();
}

fn limits_that_were_asked_for_are_had_or_given_up_by_name(t: &Sandbox) {
    if !has_cgroup(t) {
        for flag in ["--memory=64m", "--pids-limit=20", "--cpus=1"] {
            sandbox(t, &[flag], "true").run().exits(125).blames("--allow-degraded=limits");
        }
    }
    // It grows without end.
    let out = sandbox(t, &with(t, &["--memory=64m"]), "tail /dev/zero; echo $?").run();
    assert!(!out.text().ends_with("\n0\n") && out.text() != "0\n", "{}", out.story());
    let bomb = "i=0; while [ $i -lt 40 ]; do sleep 1000 & i=$((i+1)); done; echo all";
    let out = sandbox(t, &with(t, &["--pids-limit=20"]), bomb).run();
    assert!(!out.text().contains("all") && out.errors().contains("fork"), "{}", out.story());
    t.assert_nothing_left();
}
