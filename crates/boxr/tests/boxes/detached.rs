//! The life of a detached box (issue 3, point 4).

use boxr_testing::processes::process;
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::Signal;

use super::crash::{stopped, strace};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(detach_prints_the_id_and_returns),
    test!(a_start_that_fails_says_so_at_once),
    test!(logs_keep_what_was_written),
    test!(logs_tell_the_streams_apart),
    test!(logs_tail_and_timestamps),
    test!(logs_follow_to_the_last_byte),
    test!(logs_are_bounded),
    test!(the_status_is_kept),
    test!(rm_flag_removes_at_the_end),
    test!(stop_asks_and_then_kills),
    test!(kill_sends_any_signal),
    test!(create_and_start),
    test!(restart_runs_it_again),
    test!(a_box_that_is_removed_at_its_end_can_be_restarted),
    // Followed by strace, nobody else has newuidmap's help.
    test!(a_stop_waits_until_all_of_it_is_gone, Need::Root, Need::Tool(Tool::Strace)),
    test!(wait_waits),
    test!(running_boxes_are_not_removed_without_force),
    test!(ps_shows_states_and_formats),
    test!(ps_filters),
    test!(inspect_is_json),
    test!(prune_removes_what_has_ended),
    test!(top_lists_processes),
    test!(pidfile_and_cidfile_are_written),
    test!(status_fd_tells_a_program),
    test!(it_outlives_its_terminal),
    test!(stdin_of_a_detached_box_is_empty),
    test!(attach_shows_what_comes),
    test!(many_boxes_at_once; deadline 120),
];

fn status(t: &Sandbox, name: &str) -> String {
    t.boxr(["inspect", "-f", "{{.State.Status}}", name]).run().ok().word()
}

fn wait_for_log(t: &Sandbox, name: &str, text: &str) {
    wait_until(text, || t.boxr(["logs", name]).run().ok().text().contains(text));
}

fn detach_prints_the_id_and_returns(t: &Sandbox) {
    let id = t.detached("quiet", ["--", "sleep", "1000"]);
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(status(t, "quiet"), "running");
    for address in ["quiet", &id, &id[..12], &id[..3]] {
        t.boxr(["inspect", "-f", "{{.Id}}", address]).run().ok().prints(&format!("{id}\n"));
    }
    t.remove([&id[..10]]);
    t.assert_nothing_left();
}

fn a_start_that_fails_says_so_at_once(t: &Sandbox) {
    t.run(["-d", "--", "no-such-command"]).run().exits(127).blames("no-such-command").prints("");
    t.run(["-d", "-w", "/no/such/dir", "--", "true"]).run().exits(125).blames("/no/such/dir").prints("");
    t.assert_nothing_left();
}

fn logs_keep_what_was_written(t: &Sandbox) {
    t.detached("talker", ["--", "sh", "-c", "echo one; printf 'two\\tthree'; printf '\\303\\274\\0end'"]);
    t.boxr(["wait", "talker"]).run().ok();
    let out = t.boxr(["logs", "talker"]).run().ok();
    assert_eq!(out.stdout, b"one\ntwo\tthree\xc3\xbc\0end");
    t.remove(["talker"]);
}

fn logs_tell_the_streams_apart(t: &Sandbox) {
    t.detached("both", ["--", "sh", "-c", "echo out; echo err >&2"]);
    t.boxr(["wait", "both"]).run().ok();
    let out = t.boxr(["logs", "both"]).run().ok().prints("out\n");
    assert_eq!(out.errors(), "err\n");
    t.remove(["both"]);
}

fn logs_tail_and_timestamps(t: &Sandbox) {
    t.detached("counter", ["--", "sh", "-c", "for n in 1 2 3 4 5 6 7 8 9 10; do echo line $n; done"]);
    t.boxr(["wait", "counter"]).run().ok();
    t.boxr(["logs", "--tail", "2", "counter"]).run().ok().prints("line 9\nline 10\n");
    t.boxr(["logs", "-n", "0", "counter"]).run().ok().prints("");
    t.boxr(["logs", "--since", "1h", "counter"]).run().ok().shows("line 1\n");
    t.boxr(["logs", "--since", "2100-01-01T00:00:00Z", "counter"]).run().ok().prints("");
    let stamped = t.boxr(["logs", "-t", "--tail", "1", "counter"]).run().ok().text();
    let (time, line) = stamped.split_once(' ').unwrap();
    assert_eq!(line, "line 10\n");
    assert!(time.starts_with("20") && time.contains('T'), "{time}");
    t.remove(["counter"]);
}

fn logs_follow_to_the_last_byte(t: &Sandbox) {
    let fifo = t.path("go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    t.detached("slow", ["--", "sh", "-c", "echo first; cat go; seq 1 20000; echo last"]);
    let mut follower = t.boxr(["logs", "-f", "slow"]).spawn();
    follower.expect("first\n");
    std::fs::write(&fifo, "middle\n").unwrap();
    follower.expect("middle\n");
    let text = follower.finish().ok().text();
    assert!(text.ends_with("20000\nlast\n"), "{}", &text[text.len().saturating_sub(100)..]);
    assert_eq!(text.lines().count(), 20_003);
    t.remove(["slow"]);
}

fn logs_are_bounded(t: &Sandbox) {
    let flags = ["--log-opt", "max-size=64k", "--log-opt", "max-file=2"];
    t.detached("noisy", flags.iter().chain(&["--", "seq", "1", "200000"]));
    t.boxr(["wait", "noisy"]).run().ok().prints("0\n");
    let out = t.boxr(["logs", "noisy"]).run().ok();
    assert!(out.text().ends_with("200000\n"), "the newest is kept");
    assert!(out.stdout.len() <= 128 << 10, "{} bytes are kept of 2 x 64 KiB", out.stdout.len());
    t.remove(["noisy"]);
}

fn the_status_is_kept(t: &Sandbox) {
    t.detached("seven", ["--", "sh", "-c", "exit 7"]);
    t.boxr(["wait", "seven"]).run().ok().prints("7\n");
    assert_eq!(status(t, "seven"), "exited");
    t.boxr(["inspect", "-f", "{{.State.ExitCode}}", "seven"]).run().ok().prints("7\n");
    t.boxr(["ps", "-a", "--format", "{{.Names}} {{.Status}}"]).run().ok().shows("seven Exited (7)");
    t.boxr(["wait", "seven"]).run().ok().prints("7\n");
    t.boxr(["rm", "seven"]).run().ok();
    t.assert_nothing_left();
}

fn rm_flag_removes_at_the_end(t: &Sandbox) {
    t.detached("gone", ["--rm", "--", "true"]);
    wait_until("it is removed", || t.boxr(["ps", "-aq"]).run().ok().text().is_empty());
    t.detached("gone", ["--rm", "--", "sleep", "1000"]);
    t.boxr(["stop", "-t", "0", "gone"]).run().ok();
    wait_until("it is removed", || t.boxr(["ps", "-aq"]).run().ok().text().is_empty());
    t.assert_nothing_left();
}

fn stop_asks_and_then_kills(t: &Sandbox) {
    t.detached("polite", ["--", "sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; sleep 1000 & wait"]);
    wait_for_log(t, "polite", "ready");
    t.boxr(["stop", "polite"]).run().ok().prints("polite\n");
    t.boxr(["logs", "polite"]).run().ok().prints("ready\nbye\n");
    t.boxr(["wait", "polite"]).run().ok().prints("3\n");
    t.detached("deaf", ["--", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1000; done"]);
    wait_for_log(t, "deaf", "ready");
    t.boxr(["stop", "-t", "1", "deaf"]).run().ok();
    t.boxr(["wait", "deaf"]).run().ok().prints("137\n");
    let flags =
        ["--stop-signal", "USR1", "--", "sh", "-c", "trap 'exit 5' USR1; echo ready; sleep 1000 & wait"];
    t.detached("own", flags);
    wait_for_log(t, "own", "ready");
    t.boxr(["stop", "own"]).run().ok();
    t.boxr(["wait", "own"]).run().ok().prints("5\n");
    t.remove(["polite", "deaf", "own"]);
}

fn kill_sends_any_signal(t: &Sandbox) {
    t.detached(
        "ear",
        ["--", "sh", "-c", "trap 'echo heard' USR1; echo ready; while :; do sleep 1000 & wait; done"],
    );
    wait_for_log(t, "ear", "ready");
    for name in ["USR1", "SIGUSR1", "10"] {
        t.boxr(["kill", "-s", name, "ear"]).run().ok();
        wait_for_log(t, "ear", "heard");
    }
    t.boxr(["kill", "-s", "NOISE", "ear"]).run().exits(125).blames("NOISE");
    t.boxr(["kill", "ear"]).run().ok();
    t.boxr(["wait", "ear"]).run().ok().prints("137\n");
    t.boxr(["kill", "ear"]).run().exits(1).blames("ear");
    t.remove(["ear"]);
}

fn create_and_start(t: &Sandbox) {
    let id = t.boxr(["create", "--name", "job", "--", "sh", "-c", "echo done; exit 4"]).run().ok().word();
    assert_eq!(id.len(), 64);
    assert_eq!(status(t, "job"), "created");
    t.boxr(["start", "job"]).run().ok().prints("job\n");
    t.boxr(["wait", "job"]).run().ok().prints("4\n");
    t.boxr(["logs", "job"]).run().ok().prints("done\n");
    t.boxr(["start", "-a", "job"]).run().exits(4).prints("done\n");
    t.boxr(["rm", "job"]).run().ok();
    t.assert_nothing_left();
}

fn restart_runs_it_again(t: &Sandbox) {
    t.detached("again", ["--", "sh", "-c", "echo round; exec sleep 1000"]);
    wait_for_log(t, "again", "round");
    let pid = |t: &Sandbox| t.boxr(["inspect", "-f", "{{.State.Pid}}", "again"]).run().ok().word();
    let before = pid(t);
    t.boxr(["restart", "-t", "0", "again"]).run().ok();
    wait_for_log(t, "again", "round\nround\n");
    assert_ne!(before, pid(t));
    t.remove(["again"]);
}

fn a_box_that_is_removed_at_its_end_can_be_restarted(t: &Sandbox) {
    t.detached("again", ["--rm", "--", "sh", "-c", "echo round; exec sleep 1000"]);
    wait_for_log(t, "again", "round");
    for rounds in ["round\nround\n", "round\nround\nround\n"] {
        t.boxr(["restart", "-t", "0", "again"]).run().ok();
        wait_for_log(t, "again", rounds);
    }
    t.boxr(["stop", "-t", "0", "again"]).run().ok();
    t.assert_nothing_left();
    // Who has it in the foreground sees its end, and removes it.
    let mut running = t.run(["-i", "--rm", "--name", "near", "--", "sh", "-c", "echo up; cat"]).spawn();
    running.expect("up");
    t.boxr(["restart", "-t", "0", "near"]).run().exits(1).blames("near is removed when it ends (--rm)");
    running.close_stdin();
    running.finish().ok();
    t.assert_nothing_left();
}

/// strace stops the monitor where it has removed the state and not yet the rest.
fn a_stop_waits_until_all_of_it_is_gone(t: &Sandbox) {
    let flags =
        ["-f", "-P", "state.json", "-e", "trace=unlinkat", "-e", "inject=unlinkat:signal=STOP:when=1"];
    let script = "trap 'echo >asked; until [ -e go ]; do sleep 0.02; done; exit' TERM; echo >up; while :; do sleep 0.02; done";
    let start = strace(t, &flags, &["run", "-d", "--rm", "--name", "it", "--", "sh", "-c", script]);
    let traced = start.cwd(t.path("")).spawn();
    wait_until("it listens", || t.path("up").exists());
    let stop = t.boxr(["stop", "-t", "1000", "it"]).spawn();
    wait_until("it is asked to end", || t.path("asked").exists());
    let state = || process(stop.pid()).map_or('Z', |found| found.state);
    stop.signal(Signal::STOP);
    wait_until("nobody looks", || state() == 'T');
    t.file("go", "");
    wait_until("its state is removed", || stopped(t).is_some());
    stop.signal(Signal::CONT);
    wait_until("it has looked", || matches!(state(), 'S' | 'Z'));
    assert_eq!(state(), 'S', "it waits for the rest");
    Cmd::new("kill").args(["-CONT", &stopped(t).unwrap()]).run().ok();
    stop.finish().ok();
    t.assert_nothing_left();
    traced.finish().ok();
}

fn wait_waits(t: &Sandbox) {
    let fifo = t.path("go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    t.detached("a", ["--", "sh", "-c", "cat go; exit 8"]);
    let waiting = t.boxr(["wait", "a"]).spawn();
    std::fs::write(&fifo, "go").unwrap();
    waiting.finish().ok().prints("8\n");
    t.remove(["a"]);
}

fn running_boxes_are_not_removed_without_force(t: &Sandbox) {
    t.detached("busy", ["--", "sleep", "1000"]);
    t.boxr(["rm", "busy"]).run().exits(1).blames("busy");
    assert_eq!(status(t, "busy"), "running");
    t.boxr(["rm", "-f", "busy"]).run().ok().prints("busy\n");
    t.boxr(["rm", "-f", "busy"]).run().ok();
    t.boxr(["rm", "busy"]).run().exits(1).blames("busy");
    t.assert_nothing_left();
}

fn ps_shows_states_and_formats(t: &Sandbox) {
    let heading = t.boxr(["ps"]).run().ok().lines()[0].clone();
    for column in ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"] {
        assert!(heading.contains(column), "{heading}");
    }
    let id = t.detached("runner", ["--", "sleep", "1000"]);
    t.boxr(["create", "--name", "waiter", "--", "true"]).run().ok();
    t.boxr(["ps", "-q"]).run().ok().prints(&format!("{}\n", &id[..12]));
    t.boxr(["ps", "-q", "--no-trunc"]).run().ok().prints(&format!("{id}\n"));
    let all = t.boxr(["ps", "-a", "--format", "{{.Names}} {{.State}}"]).run().ok();
    let mut lines = all.lines();
    lines.sort();
    assert_eq!(lines, ["runner running", "waiter created"]);
    let json = t.boxr(["ps", "-a", "--format", "json"]).run().ok();
    assert!(
        json.lines().len() == 2
            && json.lines().iter().all(|line| line.starts_with('{') && line.ends_with('}'))
    );
    t.remove(["runner", "waiter"]);
}

fn ps_filters(t: &Sandbox) {
    t.detached("one", ["--label", "team=a", "--", "sleep", "1000"]);
    t.detached("two", ["--label", "team=b", "--", "true"]);
    t.boxr(["wait", "two"]).run().ok();
    let names =
        |filter: &str| t.boxr(["ps", "-a", "--filter", filter, "--format", "{{.Names}}"]).run().ok().word();
    assert_eq!(names("label=team=a"), "one");
    assert_eq!(names("status=exited"), "two");
    assert_eq!(names("name=tw"), "two");
    assert_eq!(names("exited=0"), "two");
    t.boxr(["ps", "--filter", "colour=red"]).run().exits(125).blames("colour");
    t.remove(["one", "two"]);
}

fn inspect_is_json(t: &Sandbox) {
    t.detached("known", ["-e", "KEY=value", "--", "sleep", "1000"]);
    let out = t.boxr(["inspect", "known"]).run().ok();
    let text = out.text();
    assert!(text.trim_start().starts_with('[') && text.contains("KEY=value"), "{text}");
    t.boxr(["inspect", "absent"]).run().exits(1).blames("absent");
    t.remove(["known"]);
}

fn prune_removes_what_has_ended(t: &Sandbox) {
    t.detached("ended", ["--", "true"]);
    t.detached("running", ["--", "sleep", "1000"]);
    t.boxr(["wait", "ended"]).run().ok();
    t.boxr(["prune", "-f"]).run().ok();
    t.boxr(["ps", "-a", "--format", "{{.Names}}"]).run().ok().prints("running\n");
    t.remove(["running"]);
}

fn top_lists_processes(t: &Sandbox) {
    t.detached("busy", ["--", "sh", "-c", "sleep 4242 & wait"]);
    wait_until("the child is there", || t.boxr(["top", "busy"]).run().ok().text().contains("sleep 4242"));
    t.remove(["busy"]);
}

fn pidfile_and_cidfile_are_written(t: &Sandbox) {
    let (pidfile, cidfile) = (t.path("pid"), t.path("cid"));
    let flags =
        ["--pidfile", pidfile.to_str().unwrap(), "--cidfile", cidfile.to_str().unwrap(), "--", "sleep", "77"];
    let id = t.detached("filed", flags);
    assert_eq!(std::fs::read_to_string(&cidfile).unwrap().trim(), id);
    let pid = std::fs::read_to_string(&pidfile).unwrap();
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap();
    assert_eq!(line, b"sleep\x0077\0");
    t.run(["--cidfile", cidfile.to_str().unwrap(), "--", "true"]).run().exits(125).blames("cid");
    t.remove(["filed"]);
}

fn status_fd_tells_a_program(t: &Sandbox) {
    let script = "exit 6";
    let out = t.run(["--status-fd", "1", "--", "sh", "-c", script]).run().exits(6);
    let lines = out.lines();
    assert!(lines.iter().all(|line| line.starts_with('{') && line.ends_with('}')), "{lines:?}");
    assert!(lines[0].contains("\"pid\"") && lines.last().unwrap().contains('6'), "{lines:?}");
    // A command that has ended before anybody looks had namespaces all the same.
    for flags in [&[][..], &["--init"], &["--keep"], &["-d"]] {
        let out =
            t.run(["--status-fd", "2"]).args(flags).args(["--time-ns", "host", "--", "true"]).run().ok();
        let kinds = ["pid", "network", "mount", "uts", "ipc", "user", "cgroup", "time"];
        for kind in kinds {
            assert!(out.errors().contains(&format!("\"{kind}\":402")), "{kind}: {}", out.story());
        }
    }
    t.boxr(["rm", "-f", "--all"]).run().ok();
    // Whom nobody can be told of is not left running.
    for flags in ["", "-d", "--keep"] {
        let script = format!("exec \"$@\" {flags} --status-fd 8 -- sleep 1000 8>/dev/full");
        let cmd = t.surrounded(Cmd::new("sh")).args(["-c", &script, "sh"]).arg(t.program());
        cmd.args(t.globals()).arg("run").run().exits(125).blames("--status-fd");
        t.assert_nothing_left();
    }
    t.run(["--status-fd", "99", "--", "true"]).run().exits(125).blames("99");
}

fn it_outlives_its_terminal(t: &Sandbox) {
    let words = ["run", "-d", "--name", "survivor", "--", "sh", "-c", "echo here; exec sleep 1000"];
    t.terminal(24, 80, &words).finish().ok();
    wait_for_log(t, "survivor", "here");
    assert_eq!(status(t, "survivor"), "running");
    t.remove(["survivor"]);
}

fn stdin_of_a_detached_box_is_empty(t: &Sandbox) {
    t.detached("reader", ["--", "sh", "-c", "wc -c"]);
    t.boxr(["wait", "reader"]).run().ok().prints("0\n");
    t.boxr(["logs", "reader"]).run().ok().prints("0\n");
    t.remove(["reader"]);
}

fn attach_shows_what_comes(t: &Sandbox) {
    t.detached("chatty", ["-i", "--", "sh", "-c", "while read line; do echo got $line; done; exit 9"]);
    let mut attached = t.boxr(["attach", "chatty"]).spawn();
    attached.write("one\n");
    attached.expect("got one\n");
    attached.close_stdin();
    attached.finish().exits(9);
    t.remove(["chatty"]);
}

fn many_boxes_at_once(t: &Sandbox) {
    let starts: Vec<_> =
        (0..20).map(|n| t.run(["-d", "--name", &format!("n{n}"), "--", "sleep", "1000"]).spawn()).collect();
    starts.into_iter().for_each(|start| drop(start.finish().ok()));
    assert_eq!(t.boxr(["ps", "-q"]).run().ok().lines().len(), 20);
    t.boxr(["rm", "-f", "--all"]).run().ok();
    t.assert_nothing_left();
}
