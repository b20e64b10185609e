//! Exit statuses (ARCHITECTURE.md, "Exit statuses").

use boxr_testing::{Need, Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(every_status_is_passed_on; deadline 300),
    test!(death_by_signal_is_128_and_its_number, Need::Root),
    test!(death_by_signal_behind_init),
    test!(the_first_process_ignores_its_own_sigkill),
    test!(a_killed_box_is_137),
    test!(a_command_that_is_not_there_is_127),
    test!(a_command_that_cannot_be_executed_is_126),
    test!(an_interpreter_that_is_not_there_is_named),
    test!(boxrs_own_errors_are_125),
    test!(a_missing_command_is_an_error_of_use),
];

fn every_status_is_passed_on(t: &Sandbox) {
    for code in 0..=255 {
        t.sh(&format!("exit {code}")).run().exits(code).quiet();
    }
    t.assert_nothing_left();
}

/// Signals that end a process which does not handle them, signal(7).
const DEADLY: [(&str, i32); 8] =
    [("HUP", 1), ("INT", 2), ("QUIT", 3), ("ABRT", 6), ("KILL", 9), ("SEGV", 11), ("PIPE", 13), ("TERM", 15)];

fn death_by_signal_is_128_and_its_number(t: &Sandbox) {
    for (name, number) in DEADLY {
        let script = format!("kill -{name} $$; exit 1");
        t.run(["--pid", "host", "--", "sh", "-c", &script]).run().exits(128 + number);
    }
}

fn death_by_signal_behind_init(t: &Sandbox) {
    for (name, number) in DEADLY {
        let script = format!("kill -{name} $$; exit 1");
        t.run(["--init", "--", "sh", "-c", &script]).run().exits(128 + number);
    }
}

fn the_first_process_ignores_its_own_sigkill(t: &Sandbox) {
    t.sh("kill -KILL $$; exit 5").run().exits(5);
}

fn a_killed_box_is_137(t: &Sandbox) {
    let mut running = t.run(["--name", "victim", "--", "sh", "-c", "echo ready; exec sleep 1000"]).spawn();
    running.expect("ready");
    t.boxr(["kill", "victim"]).run().ok();
    running.finish().exits(137);
    t.assert_nothing_left();
}

fn a_command_that_is_not_there_is_127(t: &Sandbox) {
    t.run(["--", "no-such-command"]).run().exits(127).blames("no-such-command").prints("");
    t.run(["--", "/no/such/path"]).run().exits(127).blames("/no/such/path").prints("");
    t.run(["--", ""]).run().exits(125).blames("command");
    t.assert_nothing_left();
}

fn a_command_that_cannot_be_executed_is_126(t: &Sandbox) {
    let plain = t.file("plain", "no program");
    t.run(["--", &plain]).run().exits(126).blames(&plain);
    let dir = t.path("dir");
    std::fs::create_dir(&dir).unwrap();
    t.run(["--", dir.to_str().unwrap()]).run().exits(126).blames("dir");
    // Executable by its mode, but nothing that the kernel or a shell can run: a text without #!.
    use std::os::unix::fs::PermissionsExt;
    let garbage = t.file("garbage", [0x7f, b'E', b'L', b'F', 0, 0, 0, 0]);
    std::fs::set_permissions(&garbage, PermissionsExt::from_mode(0o755)).unwrap();
    t.run(["--", &garbage]).run().exits(126).blames(&garbage);
    t.assert_nothing_left();
}

fn an_interpreter_that_is_not_there_is_named(t: &Sandbox) {
    use std::os::unix::fs::PermissionsExt;
    let script = t.file("script", "#!/no/such/interpreter\n");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    t.run(["--", &script]).run().exits(126).blames(&script).blames("#!");
}

fn boxrs_own_errors_are_125(t: &Sandbox) {
    t.run(["--no-such-flag", "--", "true"]).run().exits(125).blames("--no-such-flag");
    t.run(["--memory", "much", "--", "true"]).run().exits(125).blames("much");
    t.run(["--user", "no-such-user", "--", "true"]).run().exits(125).blames("no-such-user");
    t.assert_nothing_left();
}

fn a_missing_command_is_an_error_of_use(t: &Sandbox) {
    t.run(["--"]).run().exits(125);
    t.boxr(["no-such-command"]).run().exits(125).blames("no-such-command");
    t.boxr(["pss"]).run().exits(125).blames("ps");
}
