//! Sudden death of boxr at every step.

use boxr_testing::{Need, Sandbox, Test, Tool, test};

use crate::crash::walk_and;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(boxr_killed_at_every_step_of_a_pods_making, STRACE; deadline 300),
    test!(boxr_killed_at_every_step_of_a_pods_first_start, STRACE, Need::UserNamespaces; deadline 600),
    test!(boxr_killed_at_every_step_of_a_pods_removal, STRACE, Need::UserNamespaces; deadline 600),
];

const STRACE: Need = Need::Tool(Tool::Strace);

/// Whatever was killed: pods are listed and removed, and nothing is left.
#[track_caller]
fn clean_up(t: &Sandbox) {
    t.boxr(["pod", "ps"]).run().ok();
    t.boxr(["pod", "rm", "--force", "--all"]).run().ok();
    t.boxr(["rm", "--force", "--all"]).run().ok();
    t.assert_nothing_left();
}

/// Runs `args` again and again, killed at each of its system calls in turn, and once to its end.
fn walk(t: &Sandbox, args: &[&str], prepare: impl Fn()) {
    walk_and(t, args, prepare, || clean_up(t));
    t.boxr(args).run().ok();
    clean_up(t);
}

const CREATE: [&str; 6] = ["pod", "create", "--network", "none", "--name", "victim"];

fn boxr_killed_at_every_step_of_a_pods_making(t: &Sandbox) {
    walk(t, &CREATE, || ());
}

fn boxr_killed_at_every_step_of_a_pods_first_start(t: &Sandbox) {
    walk(t, &["run", "-d", "--pod", "victim", "--", "sleep", "1000"], || {
        t.boxr(CREATE).args(["--share", "+pid"]).run().ok();
    });
}

fn boxr_killed_at_every_step_of_a_pods_removal(t: &Sandbox) {
    walk(t, &["pod", "rm", "-f", "victim"], || {
        t.boxr(CREATE).args(["--share", "+pid"]).run().ok();
        t.run(["-d", "--pod", "victim", "--", "sleep", "1000"]).run().ok();
    });
}
