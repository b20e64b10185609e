//! A person at a terminal (issue 3, point 3).

use boxr_testing::{Sandbox, Test, test, wait_until};
use rustix::process::Signal;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_terminal_of_its_own),
    test!(no_terminal_without_one),
    test!(tty_always_and_never),
    test!(it_has_our_size_from_the_start_and_follows),
    test!(the_status_and_the_last_words_arrive),
    test!(ctrl_c_reaches_the_command),
    test!(ctrl_z_works_inside),
    test!(ctrl_d_ends_it),
    test!(raw_mode_is_on_and_off_again),
    test!(raw_mode_is_off_after_a_kill_of_the_box),
    test!(raw_mode_is_off_when_boxr_is_terminated),
    test!(boxr_can_be_stopped_from_a_shell),
    test!(detach_keys_leave_it_running),
    test!(much_output_arrives_whole),
    test!(a_terminal_that_goes_away_ends_it),
];

fn a_terminal_of_its_own(t: &Sandbox) {
    let mut terminal =
        t.terminal(24, 80, &["run", "--", "sh", "-c", "tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all"]);
    terminal.expect("/dev/");
    terminal.expect("all");
    terminal.finish().ok();
    let mut terminal =
        t.terminal(24, 80, &["run", "--", "sh", "-c", "echo of >/dev/tty; echo $(ps -o tty= -p $$)"]);
    terminal.expect("of");
    terminal.finish().ok();
}

fn no_terminal_without_one(t: &Sandbox) {
    t.sh("[ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo none").run().ok().prints("none\n");
}

fn tty_always_and_never(t: &Sandbox) {
    let out = t.run(["-t", "--", "sh", "-c", "[ -t 0 ] && [ -t 1 ] && echo terminal"]).run().ok();
    out.prints("terminal\r\n");
    let mut terminal = t.terminal(24, 80, &["run", "--tty=false", "--", "readlink", "/proc/self/fd/0"]);
    terminal.expect("/dev/pts/");
    terminal.finish().ok();
    t.run(["--tty=sometimes", "--", "true"]).run().exits(125).blames("sometimes");
}

fn it_has_our_size_from_the_start_and_follows(t: &Sandbox) {
    let script = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.05; done";
    let mut terminal = t.terminal(31, 101, &["run", "--", "sh", "-c", script]);
    terminal.expect("31 101");
    terminal.resize(44, 132);
    terminal.expect("44 132");
    terminal.finish().ok();
}

fn the_status_and_the_last_words_arrive(t: &Sandbox) {
    let mut terminal = t.terminal(24, 80, &["run", "--", "sh", "-c", "echo last words; exit 42"]);
    terminal.expect("last words");
    terminal.finish().exits(42);
}

fn ctrl_c_reaches_the_command(t: &Sandbox) {
    let script = "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.05; done";
    let mut terminal = t.terminal(24, 80, &["run", "--", "sh", "-c", script]);
    terminal.expect("ready");
    terminal.send("\x03");
    terminal.expect("interrupted");
    terminal.finish().exits(3);
    // The foreground of a shell inside is what it ends, not the shell.
    let mut terminal = t.terminal(24, 80, &["run", "-e", "PS1=ready> ", "--", "sh", "-i"]);
    terminal.expect("ready>");
    terminal.send("sleep 1000; echo now$((40+2))\n");
    wait_until("sleep is under way", || {
        boxr_testing::processes::descendants(terminal.running().pid()).iter().any(|p| p.line == "sleep 1000")
    });
    terminal.send("\x03");
    terminal.send("echo shell$((40+2)); exit 7\n");
    terminal.expect("shell42");
    terminal.finish().exits(7);
}

fn ctrl_z_works_inside(t: &Sandbox) {
    let mut terminal = t.terminal(24, 80, &["run", "-e", "PS1=ready> ", "--", "sh", "-i", "-m"]);
    terminal.expect("ready>");
    terminal.send("cat\n");
    terminal.send("echoed by cat\n");
    terminal.expect("echoed by cat\r\nechoed by cat");
    terminal.send("\x1a");
    terminal.expect("Stopped");
    terminal.send("jobs; kill %1; echo left$((40+2)); exit 0\n");
    terminal.expect("left42");
    // dash reminds once of a stopped job; a second exit is for that.
    terminal.send("exit 0\n");
    terminal.finish().ok();
}

fn ctrl_d_ends_it(t: &Sandbox) {
    let mut terminal = t.terminal(24, 80, &["run", "--", "cat"]);
    terminal.send("line\n");
    terminal.expect("line\r\nline");
    terminal.send("\x04");
    terminal.finish().ok();
}

fn raw_mode_is_on_and_off_again(t: &Sandbox) {
    let mut terminal =
        t.terminal(24, 80, &["run", "--", "sh", "-c", "echo ready; read line; echo got $line"]);
    terminal.expect("ready");
    assert!(terminal.is_raw());
    terminal.send("x\n");
    terminal.expect("got x");
    wait_until("the terminal is as before", || !terminal.is_raw());
    terminal.finish().ok();
}

fn raw_mode_is_off_after_a_kill_of_the_box(t: &Sandbox) {
    let mut terminal =
        t.terminal(24, 80, &["run", "--name", "victim", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    terminal.expect("ready");
    t.boxr(["kill", "victim"]).run().ok();
    wait_until("the terminal is as before", || !terminal.is_raw());
    terminal.finish().exits(137);
}

fn raw_mode_is_off_when_boxr_is_terminated(t: &Sandbox) {
    let mut terminal = t.terminal(
        24,
        80,
        &["run", "--", "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"],
    );
    terminal.expect("ready");
    assert!(terminal.is_raw());
    terminal.running().signal(Signal::TERM);
    wait_until("the terminal is as before", || !terminal.is_raw());
    terminal.finish().exits(5);
}

fn boxr_can_be_stopped_from_a_shell(t: &Sandbox) {
    // A shell with job control on the terminal, and boxr as its job.
    let boxr = t.program().to_str().unwrap().to_owned();
    let globals = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let words: Vec<String> = ["sh", "-i", "-m"].map(str::to_owned).to_vec();
    let mut terminal =
        boxr_testing::Terminal::start(24, 80, &words, |cmd| t.surrounded(cmd).env("PS1", "ready> "));
    terminal.expect("ready>");
    terminal.send(&format!("{boxr} {globals} run --tty=false -- cat\n"));
    terminal.send("before\n");
    terminal.expect("before\r\nbefore");
    terminal.send("\x1a");
    terminal.expect("Stopped");
    terminal.send("echo shell$((40+2))\n");
    terminal.expect("shell42");
    terminal.send("fg\n");
    terminal.expect("run --tty=false -- cat");
    terminal.send("after\n");
    terminal.expect("after\r\nafter");
    terminal.send("\x04");
    terminal.send("exit 0\n");
    terminal.finish().ok();
}

fn detach_keys_leave_it_running(t: &Sandbox) {
    t.detached("kept", ["-it", "--", "sh", "-c", "while read line; do echo got $line; done"]);
    let mut terminal = t.terminal(24, 80, &["attach", "kept"]);
    terminal.send("hello\n");
    terminal.expect("got hello");
    terminal.send("\x10\x11");
    terminal.finish().ok();
    t.boxr(["inspect", "-f", "{{.State.Status}}", "kept"]).run().ok().prints("running\n");
    let mut terminal = t.terminal(24, 80, &["attach", "--detach-keys", "ctrl-a,d", "kept"]);
    terminal.send("again\n");
    terminal.expect("got again");
    terminal.send("\x01d");
    terminal.finish().ok();
    t.remove(["kept"]);
}

fn much_output_arrives_whole(t: &Sandbox) {
    let mut terminal = t.terminal(24, 80, &["run", "--", "seq", "1", "50000"]);
    terminal.expect("\n50000\r\n");
    assert_eq!(terminal.screen().lines().filter(|line| line.parse::<u32>().is_ok()).count(), 50_000);
    terminal.finish().ok();
}

fn a_terminal_that_goes_away_ends_it(t: &Sandbox) {
    let mut terminal =
        t.terminal(24, 80, &["run", "--name", "hung-up", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    terminal.expect("ready");
    // As sshd does when the line is cut: SIGHUP to the leader of the session.
    terminal.running().signal(Signal::HUP);
    terminal.finish().exits(129);
    t.assert_nothing_left();
}
