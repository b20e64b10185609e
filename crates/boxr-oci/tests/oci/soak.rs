//! Short-lived commands, run and exec'ed again and again: none may hang or fail. `BOXR_TEST_SOAK` says how often;
//! a few times when nobody does.

use boxr_testing::{Sandbox, Test, test};
use serde_json::json;

use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::life::BUSYBOX;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    // Each command has a deadline of its own; all of them together have one for a hundred thousand.
    test!(no_run_hangs, BUSYBOX; deadline 36000),
    test!(no_exec_hangs, BUSYBOX; deadline 36000),
];

fn times() -> u32 {
    std::env::var("BOXR_TEST_SOAK").map_or(50, |times| times.parse().expect("BOXR_TEST_SOAK is a number"))
}

fn no_run_hangs(t: &Sandbox) {
    let [blue, green] = ["b", "g"]
        .map(|name| Bundle::new(t, name, "").with(|config| config["process"]["args"] = json!(["true"])));
    for _ in 0..times() {
        // One that is just being deleted beside one that is just being made.
        let other = green.run("green").spawn();
        blue.run("blue").run().ok().quiet();
        other.finish().ok().quiet();
    }
    assert_nothing_left(t);
}

fn no_exec_hangs(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "exec sleep 100000");
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    for _ in 0..times() {
        let other = oci(t, ["exec", "blue", "true"]).spawn();
        oci(t, ["exec", "blue", "false"]).run().exits(1).quiet();
        other.finish().ok().quiet();
    }
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}
