//! What the other tests rely on: the harness itself.

use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, bad, supervise, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(orphans_come_to_the_supervisor),
    test!(root_filesystem_has_a_shell, Need::Root, Need::Tool(Tool::Busybox)),
    test!(big_pipes_are_byte_exact),
    test!(what_a_test_leaves_behind_is_found),
];

fn orphans_come_to_the_supervisor(_: &Sandbox) {
    // The shell ends at once, the `cat` when its stdin does; a leak would fail this test.
    Cmd::new("sh")
        .args(["-c", "cat <&0 >/dev/null 2>&1 & echo started"])
        .stdin("x")
        .run()
        .ok()
        .prints("started\n");
}

fn root_filesystem_has_a_shell(t: &Sandbox) {
    let root = t.rootfs("root");
    Cmd::new("chroot").args([&root, "/bin/sh", "-c", "ls /proc | wc -l"]).run().ok().prints("0\n");
}

fn big_pipes_are_byte_exact(t: &Sandbox) {
    let probe = t.probe(&t.path("probe"));
    let bytes = boxr_testing::probe::pattern_bytes(3 << 20);
    Cmd::new(&probe).arg("--as=check-pattern").stdin(bytes).run().ok().prints("3145728 bytes\n");
    let out = Cmd::new(&probe).args(["--as=pattern", "3145728"]).run().ok();
    assert!(out.stdout == boxr_testing::probe::pattern_bytes(3 << 20));
}

fn what_a_test_leaves_behind_is_found(_: &Sandbox) {
    for (test, complaint) in [
        (bad::LEAVES_A_PROCESS, "left running by the test:\n"),
        (bad::LEAVES_A_FILE, "left on disk by the test: "),
        (bad::NEVER_ENDS, "the test still ran after 2s"),
        (bad::FAILS, "what it says"),
    ] {
        let verdict = supervise::run(test).unwrap_err();
        let told = verdict.message().unwrap();
        assert!(told.contains(complaint), "{}: {told}", test.name);
    }
}
