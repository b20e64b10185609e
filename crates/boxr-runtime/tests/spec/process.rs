//! `process`: environment, limits, and what is adjusted from outside.

use boxr_testing::{Need, Sandbox, Test, test};
use serde_json::json;

use super::BUNDLE;
use super::bundle::Bundle;

pub const TESTS: &[Test] = &[
    test!(wrong_environments_are_refused, BUNDLE, Need::Root),
    test!(limits_are_set_last, BUNDLE, Need::Root),
    test!(a_limit_that_cannot_be_raised_says_what_is_needed, BUNDLE, Need::Root),
    test!(oom_score_is_set_also_in_a_user_namespace, BUNDLE, Need::Root),
];

fn wrong_environments_are_refused(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["env"] = json!(["PATH=/bin", "NOTHING"]);
    bundle.run(&["true"]).exits(125).blames("process.env[1]");
}

/// A limit that would stop the runtime itself stops only the command.
fn limits_are_set_last(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["rlimits"] = json!([
        { "type": "RLIMIT_NOFILE", "hard": 5, "soft": 4 },
        { "type": "RLIMIT_FSIZE", "hard": 0, "soft": 0 },
        { "type": "RLIMIT_CORE", "hard": 8192, "soft": 4096 }
    ]);
    let out = bundle.sh("ulimit -n; ulimit -Hn; ulimit -f; ulimit -c; ulimit -Hc").ok();
    assert_eq!(out.lines(), ["4", "5", "0", "8", "16"]);
    bundle.config["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "hard": 1, "soft": 2 }]);
    bundle.run(&["true"]).exits(125).blames("process.rlimits[0]");
}

fn a_limit_that_cannot_be_raised_says_what_is_needed(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let now = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let Some(now) = now else { return };
    bundle.config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "hard": now + 1, "soft": 64 }]);
    let may = std::fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| {
        let set = line.strip_prefix("CapEff:").map(|set| u64::from_str_radix(set.trim(), 16).unwrap());
        set.is_some_and(|set| set & 1 << 24 != 0)
    });
    if may {
        // Also from a user namespace, in which the right is gone.
        bundle.user_namespace(0, 65536);
        bundle.sh("ulimit -Hn").ok().prints(&format!("{}\n", now + 1));
    } else {
        bundle.run(&["true"]).exits(125).blames("CAP_SYS_RESOURCE");
    }
}

fn oom_score_is_set_also_in_a_user_namespace(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["oomScoreAdj"] = json!(321);
    bundle.sh("cat /proc/self/oom_score_adj").ok().prints("321\n");
    bundle.user_namespace(0, 65536);
    bundle.sh("cat /proc/self/oom_score_adj").ok().prints("321\n");
    bundle.config["process"]["oomScoreAdj"] = json!(1001);
    bundle.run(&["true"]).exits(125).blames("process.oomScoreAdj");
}
