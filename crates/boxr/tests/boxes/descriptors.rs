//! Which descriptors a command sees: 0, 1, 2 and what was asked for (ARCHITECTURE.md, "Security rules").

use boxr_testing::{Cmd, Sandbox, Test, test, wait_until};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_box_sees_three),
    test!(a_box_sees_what_was_asked_for),
    test!(a_box_on_a_terminal_sees_three),
    test!(a_detached_box_sees_three),
    test!(exec_sees_three),
    test!(descriptors_that_are_not_there_are_named),
    test!(the_environment_holds_nothing_of_boxrs),
];

/// `boxr ARGS…` with ten more descriptors that are inherited by mistake, as from a careless caller.
fn careless(t: &Sandbox, args: &[&str]) -> Cmd {
    let own = std::env::current_exe().unwrap();
    let cmd = t.surrounded(Cmd::new(own)).args(["--as=with-descriptors", "10"]);
    cmd.arg(t.program()).args(t.globals()).args(args)
}

/// The numbers that the probe printed.
fn numbers(text: &str) -> Vec<u32> {
    text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

fn a_box_sees_three(t: &Sandbox) {
    let probe = t.probe(&t.path("probe"));
    for flags in
        [&[][..], &["--init"], &["--net", "new", "--ipc", "new", "--cgroupns", "new"], &["--timeout", "9"]]
    {
        let args = [&["run"], flags, &["--", &probe, "--as=descriptors"]].concat();
        let out = careless(t, &args).run().ok();
        assert_eq!(numbers(&out.text()), [0, 1, 2], "{}", out.story());
        assert!(out.lines().iter().all(|line| line.contains("pipe:")), "{}", out.story());
    }
}

fn a_box_sees_what_was_asked_for(t: &Sandbox) {
    let probe = t.probe(&t.path("probe"));
    let out = careless(t, &["run", "--preserve-fds", "2", "--", &probe, "--as=descriptors"]).run().ok();
    assert_eq!(numbers(&out.text()), [0, 1, 2, 3, 4], "{}", out.story());
    let out =
        careless(t, &["run", "--init", "--preserve-fds", "2", "--", &probe, "--as=descriptors"]).run().ok();
    assert_eq!(numbers(&out.text()), [0, 1, 2, 3, 4], "{}", out.story());
}

fn a_box_on_a_terminal_sees_three(t: &Sandbox) {
    let probe = t.probe(&t.path("probe"));
    let out = careless(t, &["run", "-t", "--", &probe, "--as=descriptors"]).run().ok();
    assert_eq!(numbers(&out.text().replace('\r', "")), [0, 1, 2], "{}", out.story());
    assert!(out.lines().iter().all(|line| line.contains("/dev/")), "{}", out.story());
}

fn a_detached_box_sees_three(t: &Sandbox) {
    let probe = t.probe(&t.path("probe"));
    careless(t, &["run", "-d", "--name", "box", "--", &probe, "--as=descriptors"]).run().ok();
    t.boxr(["wait", "box"]).run().ok().prints("0\n");
    let out = t.boxr(["logs", "box"]).run().ok();
    assert_eq!(numbers(&out.text()), [0, 1, 2], "{}", out.story());
    t.remove(["box"]);
}

fn exec_sees_three(t: &Sandbox) {
    let probe = t.probe(&t.path("probe"));
    t.detached("box", ["--", "sleep", "1000"]);
    wait_until("it runs", || t.boxr(["ps", "-q"]).run().ok().lines().len() == 1);
    let out = careless(t, &["exec", "box", &probe, "--as=descriptors"]).run().ok();
    assert_eq!(numbers(&out.text()), [0, 1, 2], "{}", out.story());
    let out = careless(t, &["exec", "--preserve-fds", "1", "box", &probe, "--as=descriptors"]).run().ok();
    assert_eq!(numbers(&out.text()), [0, 1, 2, 3], "{}", out.story());
    t.remove(["box"]);
}

fn descriptors_that_are_not_there_are_named(t: &Sandbox) {
    t.run(["--preserve-fds", "3", "--", "true"]).run().exits(125).blames("3");
    t.run(["--preserve-fds", "many", "--", "true"]).run().exits(125).blames("many");
    t.assert_nothing_left();
}

fn the_environment_holds_nothing_of_boxrs(t: &Sandbox) {
    let out = t.run(["--", "env"]).env("GIVEN", "1").run().ok();
    let found: Vec<_> = out
        .lines()
        .into_iter()
        .filter(|line| line.contains("BOXR_") && !line.contains("BOXR_TEST"))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}
