//! Signals to boxr, `--timeout`, `--init`, `--die-with-parent`.

use boxr_testing::{Sandbox, Test, test, wait_until};
use rustix::process::Signal;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(signals_reach_the_command),
    test!(a_deaf_first_process_dies_all_the_same),
    test!(init_passes_signals_on),
    test!(init_reaps_orphans),
    test!(init_is_process_1_and_the_command_2),
    test!(timeout_ends_it_with_124),
    test!(timeout_kills_the_deaf),
    test!(timeout_of_a_detached_box),
    test!(a_fast_command_does_not_wait_for_its_timeout),
    test!(die_with_parent_dies_with_boxr),
    test!(without_it_a_box_outlives_boxr),
];

const TRAPS: &str = "for s in HUP INT QUIT USR1 USR2 TERM; do trap \"echo got $s\" $s; done; \
     trap 'echo got CONT; exit 9' CONT; echo ready; while :; do sleep 0.05; done";

fn signals_reach_the_command(t: &Sandbox) {
    let mut running = t.sh(TRAPS).own_group().spawn();
    running.expect("ready");
    for (signal, name) in [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::TERM, "TERM"),
    ] {
        running.signal(signal);
        running.expect(&format!("got {name}\n"));
    }
    running.signal(Signal::CONT);
    running.expect("got CONT\n");
    running.finish().exits(9);
}

fn a_deaf_first_process_dies_all_the_same(t: &Sandbox) {
    // Process 1 of a pid namespace ignores signals that it has no handler for, but a person who
    // presses Ctrl-C wants it to end: pid_namespaces(7), record.rs `ending_signal`.
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        // It prints before it waits, with every signal at its default; dash, as process 1, does not.
        let file = t.file("ready", "ready\n");
        let mut running = t.run(["--", "tail", "-n1", "-f", &file]).spawn();
        running.expect("ready");
        running.signal(signal);
        running.finish().exits(status);
    }
    t.assert_nothing_left();
}

fn init_passes_signals_on(t: &Sandbox) {
    let mut running = t.run(["--init", "--", "sh", "-c", TRAPS]).spawn();
    running.expect("ready");
    running.signal(Signal::USR1);
    running.expect("got USR1\n");
    running.signal(Signal::CONT);
    running.finish().exits(9);
    let mut running = t.run(["--init", "--", "sh", "-c", "echo ready; exec sleep 1000"]).spawn();
    running.expect("ready");
    running.signal(Signal::TERM);
    running.finish().exits(143);
}

fn init_reaps_orphans(t: &Sandbox) {
    let script = "(sleep 0 & exec true); while ps -e -o stat= | grep -q Z; do sleep 0.02; done; echo none";
    t.run(["--init", "--", "sh", "-c", script]).run().ok().prints("none\n");
}

fn init_is_process_1_and_the_command_2(t: &Sandbox) {
    t.run(["--init", "--", "sh", "-c", "echo $$"]).run().ok().prints("2\n");
}

fn timeout_ends_it_with_124(t: &Sandbox) {
    t.run(["--timeout", "1", "--", "sleep", "1000"]).run().exits(124);
    let script = "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.05; done";
    let asked = |seconds: u32| {
        let out = t.run(["--timeout", &seconds.to_string(), "--", "sh", "-c", script]).run().exits(124);
        // On a busy machine its time may be over before it listens.
        let listened = !out.text().is_empty();
        listened.then(|| out.prints("up\nasked\n"))
    };
    assert!([1, 2, 4, 8].into_iter().any(|seconds| asked(seconds).is_some()));
    t.run(["--timeout", "soon", "--", "true"]).run().exits(125).blames("soon");
    t.assert_nothing_left();
}

fn timeout_kills_the_deaf(t: &Sandbox) {
    let script = "trap '' TERM; while :; do sleep 0.05; done";
    t.run(["--timeout", "1", "--stop-timeout", "1", "--", "sh", "-c", script]).run().exits(124);
    t.assert_nothing_left();
}

fn timeout_of_a_detached_box(t: &Sandbox) {
    t.detached("limited", ["--timeout", "1", "--", "sleep", "1000"]);
    t.boxr(["wait", "limited"]).run().ok().prints("124\n");
    t.remove(["limited"]);
}

fn a_fast_command_does_not_wait_for_its_timeout(t: &Sandbox) {
    t.run(["--timeout", "1h", "--", "sh", "-c", "exit 4"]).run().exits(4);
}

fn die_with_parent_dies_with_boxr(t: &Sandbox) {
    let running =
        t.run(["--die-with-parent", "--name", "child", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    let mut running = running.spawn();
    running.expect("ready");
    running.signal(Signal::KILL);
    running.finish().killed_by(Signal::KILL);
    wait_until("ps knows", || t.boxr(["ps", "-q"]).run().ok().text().is_empty());
    t.remove(["child"]);
    t.assert_nothing_left();
}

fn without_it_a_box_outlives_boxr(t: &Sandbox) {
    let mut running =
        t.run(["--name", "child", "--", "sh", "-c", "echo ready; exec sleep 1000 >/dev/null 2>&1"]).spawn();
    running.expect("ready");
    running.signal(Signal::KILL);
    running.finish().killed_by(Signal::KILL);
    t.boxr(["ps", "--format", "{{.Names}} {{.State}}"]).run().ok().prints("child running\n");
    t.boxr(["exec", "child", "echo", "alive"]).run().ok().prints("alive\n");
    t.remove(["child"]);
    t.assert_nothing_left();
}
