//! stdin, stdout and stderr without a terminal: byte for byte.

use boxr_testing::probe::pattern_bytes;
use boxr_testing::{Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(pipes_are_byte_exact_both_ways),
    test!(stderr_is_apart),
    test!(stdin_ends_when_ours_does),
    test!(a_reader_that_leaves_ends_the_writer),
    test!(a_command_that_does_not_read_leaves_stdin_alone),
    test!(a_box_sees_pipes_as_pipes),
];

const BIG: usize = 5 << 20;

fn pipes_are_byte_exact_both_ways(t: &Sandbox) {
    let bytes = pattern_bytes(BIG);
    let out = t.run(["--", "cat"]).stdin(bytes.clone()).run().ok().quiet();
    assert!(out.stdout == bytes, "{} bytes came back of {BIG}", out.stdout.len());
    let out = t.run(["-i", "--", "cat"]).stdin(bytes.clone()).run().ok();
    assert!(out.stdout == bytes, "{} bytes came back of {BIG} with -i", out.stdout.len());
    let out = t.run(["--init", "--", "cat"]).stdin(bytes.clone()).run().ok();
    assert!(out.stdout == bytes, "{} bytes came back of {BIG} with --init", out.stdout.len());
}

fn stderr_is_apart(t: &Sandbox) {
    let out = t.sh("echo out; echo err >&2").run().ok().prints("out\n");
    assert_eq!(out.errors(), "err\n");
}

fn stdin_ends_when_ours_does(t: &Sandbox) {
    let mut running = t.run(["--", "cat"]).spawn();
    running.write("one\n");
    running.expect("one\n");
    running.write("two\n");
    running.expect("two\n");
    running.close_stdin();
    running.finish().ok().prints("one\ntwo\n");
}

fn a_reader_that_leaves_ends_the_writer(t: &Sandbox) {
    // As a shell pipeline does it; the status is that of boxr, whose command died of SIGPIPE.
    let boxr = t.program().to_str().unwrap().to_owned();
    let globals = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let script = format!("{{ {boxr} {globals} run --init -- yes; echo $? >&2; }} | head -n 1");
    let out = t.surrounded(boxr_testing::Cmd::new("sh")).args(["-c", &script]).run().ok().prints("y\n");
    assert_eq!(out.errors().lines().last(), Some("141"), "{}", out.story());
}

fn a_command_that_does_not_read_leaves_stdin_alone(t: &Sandbox) {
    let boxr = t.program().to_str().unwrap().to_owned();
    let globals = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let script = format!("{boxr} {globals} run -- true; cat");
    t.surrounded(boxr_testing::Cmd::new("sh"))
        .args(["-c", &script])
        .stdin("rest\n")
        .run()
        .ok()
        .prints("rest\n");
}

fn a_box_sees_pipes_as_pipes(t: &Sandbox) {
    t.sh("for n in 0 1 2; do readlink /proc/self/fd/$n | cut -d: -f1; done | sort -u")
        .run()
        .ok()
        .shows("pipe");
    t.sh("[ ! -t 0 ] && [ ! -t 1 ] && [ ! -t 2 ] && echo none").run().ok().prints("none\n");
}
