//! Sudden death: of boxr at every step of a start, of the first process, of the monitor, of the disk.

pub mod containers;

use std::collections::{BTreeSet, HashMap};

use boxr_testing::processes::{Process, descendants, process, status_field};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::{Pid, Signal, getppid, kill_process};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(boxr_killed_at_every_step_of_a_foreground_start, STRACE; deadline 300),
    test!(boxr_killed_at_every_step_of_a_detached_start, STRACE; deadline 300),
    test!(boxr_killed_at_every_step_of_a_removal, STRACE; deadline 300),
    test!(first_process_killed_at_every_step_of_its_own, STRACE, Need::Root; deadline 300),
    test!(a_killed_monitor_loses_nothing, Need::Kernel(6, 15)),
    test!(all_monitors_killed_lose_nothing, Need::Kernel(6, 15)),
    test!(an_end_that_nobody_saw_is_not_invented),
    // Nobody else may follow a process that is no child of strace's (Yama).
    test!(an_end_that_the_standby_knows_is_waited_for, Need::Root, STRACE, Need::Kernel(6, 15)),
    test!(a_wait_that_looks_when_both_have_just_ended_hears_the_status, Need::Root, STRACE, PYTHON),
    test!(output_after_the_monitors_death_is_kept),
    test!(who_is_attached_from_the_start_stays_so, Need::Kernel(6, 15)),
    test!(a_killed_monitor_does_not_block_the_name),
    test!(a_full_disk_is_named, Need::UserNamespaces),
    test!(a_full_disk_keeps_nothing_running_and_no_status, Need::UserNamespaces),
    test!(a_data_directory_that_is_read_only_leaves_nothing, Need::UserNamespaces),
    test!(a_state_directory_that_cannot_be_is_named),
    test!(broken_state_files_do_not_stop_the_others),
];

const STRACE: Need = Need::Tool(Tool::Strace);
const PYTHON: Need = Need::Tool(Tool::Python);

/// One system call of a process: its name, and the how manieth of that name it is in that process.
type Step = (String, usize);

/// `strace FLAGS boxr ARGS`, with its own output in a file.
pub fn strace(t: &Sandbox, flags: &[&str], args: &[&str]) -> Cmd {
    strace_in(t, &|program| t.surrounded(Cmd::new(program)), flags, args)
}

/// The same where `start` starts it.
pub fn strace_in(t: &Sandbox, start: &dyn Fn(&str) -> Cmd, flags: &[&str], args: &[&str]) -> Cmd {
    let to = t.path("trace");
    let cmd = start("strace").args(["-qq", "-o", to.to_str().unwrap()]).args(flags);
    cmd.arg("--").arg(t.program()).args(t.globals()).args(args)
}

/// The process that strace(1) has stopped by an injected SIGSTOP, once it has.
pub fn stopped(t: &Sandbox) -> Option<String> {
    let trace = std::fs::read_to_string(t.path("trace")).unwrap_or_default();
    let line = trace.lines().find(|line| line.contains("stopped by SIGSTOP"));
    line.and_then(|line| line.split_whitespace().next().map(str::to_owned))
}

/// The system calls of the processes that a command starts, by names that it does not call itself: strace(1) counts for
/// each process, and would kill the command instead.
#[track_caller]
pub fn steps_of_others(t: &Sandbox, start: &dyn Fn(&str) -> Cmd, args: &[&str]) -> BTreeSet<Step> {
    strace_in(t, start, &["-f"], args).run().ok();
    let all = calls_of_trace(t);
    let first = all[0].0.clone();
    let own: BTreeSet<String> =
        all.iter().filter(|(process, _)| *process == first).map(|(_, (name, _))| name.clone()).collect();
    all.into_iter().map(|(_, step)| step).filter(|(name, _)| !own.contains(name)).collect()
}

fn steps_of_trace(t: &Sandbox) -> Vec<Step> {
    calls_of_trace(t).into_iter().map(|(_, step)| step).collect()
}

/// The same, each with the process that makes it.
fn calls_of_trace(t: &Sandbox) -> Vec<(String, Step)> {
    let trace = std::fs::read_to_string(t.path("trace")).unwrap();
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    let mut steps = Vec::new();
    for line in trace.lines() {
        // With -f a line begins with the pid.
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let Some((name, _)) = call.split_once('(') else { continue };
        if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            let count = counts.entry((&line[..line.len() - call.len()], name)).or_default();
            *count += 1;
            steps.push((line[..line.len() - call.len()].to_owned(), (name.to_owned(), *count)));
        }
    }
    // Before the first, strace's own start of the program, nothing of boxr runs.
    steps
}

/// Whatever was killed: `ps` answers, `rm` removes, and nothing is left of it.
#[track_caller]
fn clean_up(t: &Sandbox) {
    t.boxr(["ps", "-a"]).run().ok();
    t.boxr(["rm", "--force", "--all"]).run().ok();
    t.assert_nothing_left();
}

/// Runs `args` again and again, killed by SIGKILL at each of its system calls in turn.
fn walk(t: &Sandbox, args: &[&str], prepare: impl Fn()) {
    walk_and(t, args, prepare, || clean_up(t));
    // And the name is free.
    t.run(["--", "true"]).run().ok();
    clean_up(t);
}

/// The same, with what is looked at and removed each time.
pub fn walk_and(t: &Sandbox, args: &[&str], prepare: impl Fn(), clean_up: impl Fn()) {
    let start = |program: &str| t.surrounded(Cmd::new(program));
    Walk { t, start: &start, most: usize::MAX }.of(args, &prepare, clean_up);
    prepare();
}

/// How boxr is killed at its calls.
pub struct Walk<'w> {
    /// Whose it is.
    pub t: &'w Sandbox,
    /// What starts a program.
    pub start: &'w dyn Fn(&str) -> Cmd,
    /// So many calls at most, spread over all of them.
    pub most: usize,
}

impl Walk<'_> {
    /// Kills the command `args` at its calls.
    pub fn of(&self, args: &[&str], prepare: impl Fn(), clean_up: impl Fn()) {
        prepare();
        strace_in(self.t, self.start, &[], args).run().ok();
        let steps = steps_of_trace(self.t);
        clean_up();
        assert!(steps.len() > 10, "{steps:?}");
        let stride = steps.len().div_ceil(self.most);
        for (name, count) in steps.into_iter().skip(1).step_by(stride) {
            prepare();
            let inject = format!("inject={name}:signal=KILL:when={count}");
            // How it ends is of no interest: it may have been past what counts.
            strace_in(self.t, self.start, &["-e", &inject], args).run();
            eprintln!("killed at {name} {count}");
            clean_up();
        }
    }
}

fn boxr_killed_at_every_step_of_a_foreground_start(t: &Sandbox) {
    walk(t, &["run", "--name", "victim", "--", "true"], || ());
}

fn boxr_killed_at_every_step_of_a_detached_start(t: &Sandbox) {
    walk(t, &["run", "-d", "--name", "victim", "--", "sleep", "1000"], || ());
}

fn boxr_killed_at_every_step_of_a_removal(t: &Sandbox) {
    walk(t, &["rm", "-f", "victim"], || {
        t.detached("victim", ["--", "sleep", "1000"]);
    });
}

fn first_process_killed_at_every_step_of_its_own(t: &Sandbox) {
    let args = ["run", "--name", "victim", "--", "true"];
    let own = steps_of_others(t, &|program| t.surrounded(Cmd::new(program)), &args);
    assert!(!own.is_empty());
    for (name, count) in own {
        let inject = format!("inject={name}:signal=KILL:when={count}");
        let out = strace(t, &["-f", "-e", &inject], &args).run();
        assert!(!out.status.success(), "killed at {name} {count}, and yet: {}", out.story());
        t.assert_nothing_left();
    }
}

/// The processes of this name below the supervisor of this test.
fn named(comm: &str) -> Vec<Process> {
    let all = descendants(getppid().unwrap());
    all.into_iter().filter(|process| process.comm == comm).collect()
}

/// Waits until there is one process of this name, kills it, and waits until it is gone.
#[track_caller]
fn kill_the(comm: &str) {
    wait_until("there is one", || named(comm).len() == 1);
    let process = named(comm).remove(0);
    kill_process(process.pid, Signal::KILL).unwrap();
    // One that boxr itself has started waits for it to ask.
    let found = || boxr_testing::processes::process(process.pid);
    wait_until("it is gone", || found().is_none_or(|found| found.state == 'Z'));
}

/// Kills the monitor, whose place its standby takes.
#[track_caller]
fn kill_monitor() {
    // It is called standby only from its second step on.
    wait_until("the standby is there", || named("boxr-standby").len() == 1);
    kill_the("boxr-monitor");
}

/// Kills monitor and standby, so that nobody watches the box.
#[track_caller]
fn kill_all_monitors() {
    kill_the("boxr-standby");
    // The monitor would soon have another standby, and that one would soon be a monitor.
    wait_until("nobody watches", || {
        for process in named("boxr-monitor").into_iter().chain(named("boxr-standby")) {
            // It may have ended since it was listed.
            kill_process(process.pid, Signal::KILL).ok();
        }
        named("boxr-monitor").is_empty() && named("boxr-standby").is_empty()
    });
}

/// Starts a box that says `before`, waits for the FIFO `go`, says what came from it, and ends with 6.
fn start(t: &Sandbox) {
    let fifo = t.path("go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    t.detached("box", ["--", "sh", "-c", "echo before; cat go; echo err >&2; exit 6"]);
    wait_until("it has begun", || t.boxr(["logs", "box"]).run().ok().text() == "before\n");
}

fn a_killed_monitor_loses_nothing(t: &Sandbox) {
    start(t);
    kill_monitor();
    // No command in between: the standby has seen it.
    std::fs::write(t.path("go"), "after\n").unwrap();
    t.boxr(["wait", "box"]).run().ok().prints("6\n");
    let out = t.boxr(["logs", "box"]).run().ok().prints("before\nafter\n");
    assert_eq!(out.errors(), "err\n");
    t.remove(["box"]);
    t.assert_nothing_left();
}

fn all_monitors_killed_lose_nothing(t: &Sandbox) {
    start(t);
    kill_all_monitors();
    t.boxr(["ps", "--format", "{{.Names}} {{.State}}"]).run().ok().prints("box running\n");
    wait_until("another monitor has taken over", || named("boxr-monitor").len() == 1);
    std::fs::write(t.path("go"), "after\n").unwrap();
    t.boxr(["wait", "box"]).run().ok().prints("6\n");
    let out = t.boxr(["logs", "box"]).run().ok().prints("before\nafter\n");
    assert_eq!(out.errors(), "err\n");
    t.remove(["box"]);
    t.assert_nothing_left();
}

fn an_end_that_nobody_saw_is_not_invented(t: &Sandbox) {
    start(t);
    kill_all_monitors();
    let supervisor = getppid().unwrap();
    std::fs::write(t.path("go"), "after\n").unwrap();
    wait_until("the box has ended", || descendants(supervisor).len() == 1);
    t.boxr(["inspect", "-f", "{{.State.Status}}", "box"]).run().ok().prints("exited\n");
    t.boxr(["wait", "box"]).run().exits(1).prints("unknown\n").blames("box");
    // What was in a pipe when its last holder ended is gone; what a monitor had written is not.
    t.boxr(["logs", "box"]).run().ok().shows("before\n");
    t.remove(["box"]);
    t.assert_nothing_left();
}

/// strace kills the monitor when it asks how the box has ended.
fn an_end_that_the_standby_knows_is_waited_for(t: &Sandbox) {
    start(t);
    wait_until("the standby is there", || named("boxr-standby").len() == 1);
    let (monitor, standby) = (named("boxr-monitor").remove(0).pid, named("boxr-standby").remove(0).pid);
    let flags = ["-qq", "-o", "trace", "-e", "trace=waitid", "-e", "inject=waitid:signal=KILL", "-p"];
    let pid = monitor.as_raw_nonzero().to_string();
    let traced = Cmd::new("strace").args(flags).arg(&pid).cwd(t.path("")).spawn();
    wait_until("it is traced", || status_field(monitor, "TracerPid").is_none_or(|tracer| tracer != "0"));
    let state = |pid| process(pid).map_or('Z', |found| found.state);
    kill_process(standby, Signal::STOP).unwrap();
    wait_until("it stands still", || state(standby) == 'T');
    std::fs::write(t.path("go"), "after\n").unwrap();
    wait_until("the monitor is gone", || state(monitor) == 'Z');
    let waiting = t.boxr(["wait", "box"]).spawn();
    wait_until("somebody has looked", || matches!(state(waiting.pid()), 'S' | 'Z'));
    kill_process(standby, Signal::CONT).unwrap();
    waiting.finish().ok().prints("6\n");
    t.boxr(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box"]).run().ok().prints("exited 6\n");
    t.remove(["box"]);
    t.assert_nothing_left();
    traced.finish();
}

/// Runs a command, and is the parent of all that it leaves; it asks none of them how it has ended.
const CARELESS: &str = "import ctypes, subprocess, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); \
                        subprocess.run(sys.argv[1:], check=True); print('up', flush=True); sys.stdin.read()";

/// strace stops the wait between its look for a monitor and the one at the box.
fn a_wait_that_looks_when_both_have_just_ended_hears_the_status(t: &Sandbox) {
    let fifo = t.path("go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let run = ["run", "-d", "--name", "box", "--", "sh", "-c", "cat go; exit 6"];
    let careless = t.surrounded(Cmd::new("python3")).args(["-c", CARELESS]).arg(t.program());
    let mut parent = careless.args(t.globals()).args(run).cwd(t.path("")).spawn();
    parent.expect("up");
    wait_until("the standby is there", || named("boxr-standby").len() == 1);
    let (monitor, standby) = (named("boxr-monitor").remove(0).pid, named("boxr-standby").remove(0).pid);
    let first = t.boxr(["inspect", "-f", "{{.State.Pid}}", "box"]).run().ok().word();
    let stat = format!("/proc/{first}/stat");
    // Once it is held, and once it is looked at.
    let flags = ["-f", "-P", &stat, "-e", "trace=openat", "-e", "inject=openat:signal=STOP:when=2"];
    let waiting = strace(t, &flags, &["wait", "box"]).cwd(t.path("")).spawn();
    wait_until("it is about to look", || stopped(t).is_some());
    let state = |pid| process(pid).map_or('X', |found| found.state);
    kill_process(standby, Signal::STOP).unwrap();
    wait_until("it stands still", || state(standby) == 'T');
    kill_process(monitor, Signal::KILL).unwrap();
    std::fs::write(&fifo, "go\n").unwrap();
    let first = Pid::from_raw(first.parse().unwrap()).unwrap();
    wait_until("both have ended", || [monitor, first].into_iter().all(|pid| state(pid) == 'Z'));
    Cmd::new("kill").args(["-CONT", &stopped(t).unwrap()]).run().ok();
    waiting.finish().ok().prints("6\n");
    kill_process(standby, Signal::CONT).unwrap();
    t.remove(["box"]);
    parent.close_stdin();
    parent.finish().ok();
    t.assert_nothing_left();
}

/// The standby has no hold of what its monitor and a client have between them.
fn who_is_attached_from_the_start_stays_so(t: &Sandbox) {
    let script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";
    let mut running = t.run(["--keep", "--name", "box", "--", "sh", "-c", script]).spawn();
    running.expect("1\n");
    kill_monitor();
    // What came before it was attached anew is in the log alone.
    let before: u32 = t.boxr(["logs", "-n", "1", "box"]).run().ok().word().parse().unwrap();
    let last = |text: &[u8]| String::from_utf8_lossy(text).lines().filter_map(|line| line.parse().ok()).max();
    wait_until("it sees what comes", || last(&running.stdout.bytes()) > Some(before));
    t.boxr(["kill", "box"]).run().ok();
    running.finish().exits(137);
    t.remove(["box"]);
    t.assert_nothing_left();
}

fn output_after_the_monitors_death_is_kept(t: &Sandbox) {
    let fifo = t.path("go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    // Much more than a pipe holds: the box waits for a reader, and no write of it fails.
    let script = "echo before; cat go; seq 1 30000 && echo written; exec sleep 1000";
    t.detached("box", ["--", "sh", "-c", script]);
    wait_until("it has begun", || t.boxr(["logs", "box"]).run().ok().text() == "before\n");
    kill_monitor();
    std::fs::write(&fifo, "go\n").unwrap();
    wait_until("all of it is there", || {
        t.boxr(["logs", "box"]).run().ok().text().ends_with("30000\nwritten\n")
    });
    assert_eq!(t.boxr(["logs", "box"]).run().ok().lines().len(), 30_003);
    t.remove(["box"]);
}

fn a_killed_monitor_does_not_block_the_name(t: &Sandbox) {
    t.detached("box", ["--", "sleep", "1000"]);
    kill_monitor();
    t.remove(["box"]);
    t.detached("box", ["--rm", "--", "sleep", "1000"]);
    kill_monitor();
    t.boxr(["stop", "-t", "0", "box"]).run().ok();
    t.boxr(["rm", "-f", "box"]).run().ok();
    t.assert_nothing_left();
}

fn a_full_disk_is_named(t: &Sandbox) {
    let boxr = t.program().to_str().unwrap();
    let script = format!(
        "mkdir small && mount -t tmpfs -o size=32k,nr_inodes=20 none small && mkdir small/state small/root
         dd if=/dev/zero of=small/fill bs=1k 2>/dev/null
         for how in '' -d; do {boxr} --state small/state --root small/root run $how --name x -- true; echo $?; done
         rm small/fill; {boxr} --state small/state --root small/root ps -aq; find small -type f | grep -v lock"
    );
    let flags = if rustix::process::geteuid().is_root() { "host" } else { "new" };
    let out = t.run(["--userns", flags, "--", "sh", "-c", &script]).run();
    assert_eq!(out.text(), "125\n125\n", "{}", out.story());
    // The disk that is to be looked at is named by a directory that is still there.
    out.blames("ENOSPC").blames("small/state/containers      or: boxr prune");
}

fn a_full_disk_keeps_nothing_running_and_no_status(t: &Sandbox) {
    let boxr = t.program().to_str().unwrap();
    // The second drops the signal that asks it to end, of which its monitor would be told by a file.
    let script = format!(
        "mkdir small && mount -t tmpfs -o size=256k none small
         b='{boxr} --state small/state --root small/root'
         $b run -d --name asked -- sh -c 'trap \"exit 9\" TERM; echo up; while :; do sleep 0.05; done' >&2
         $b run -d --name deaf -- sleep 1000 >&2
         until [ \"$($b logs asked)\" = up ]; do sleep 0.05; done
         dd if=/dev/zero of=small/fill bs=1k 2>/dev/null
         $b kill -s TERM asked deaf
         until [ -z \"$($b ps -q)\" ]; do sleep 0.05; done
         rm small/fill
         $b wait asked deaf
         $b rm asked deaf >&2
         find small -type f | grep -v -e lock -e events"
    );
    let flags = if rustix::process::geteuid().is_root() { "host" } else { "new" };
    let out = t.run(["--userns", flags, "--", "sh", "-c", &script]).run();
    assert_eq!(out.text(), "asked\ndeaf\n9\n137\n", "{}", out.story());
}

fn a_data_directory_that_is_read_only_leaves_nothing(t: &Sandbox) {
    let boxr = t.program().to_str().unwrap();
    let script = format!(
        "mkdir data && mount -t tmpfs none data && b='{boxr} --state state --root data/root'
         $b run -d --name before -- true >&2 && $b wait before && $b rm before >&2
         mount -o remount,ro data
         $b run -d --name x -- true; echo $?
         $b run -- true; echo $?
         $b ps -aq; $b rm -f -a; $b ps -aq; find state -type f | grep -v lock"
    );
    let flags = if rustix::process::geteuid().is_root() { "host" } else { "new" };
    let out = t.run(["--userns", flags, "--", "sh", "-c", &script]).run();
    assert_eq!(out.text(), "0\n125\n0\n", "{}", out.story());
    out.blames("data/root").blames("EROFS");
}

fn a_state_directory_that_cannot_be_is_named(t: &Sandbox) {
    let file = t.file("file", "no directory");
    for dir in ["/proc/no/such/dir", &file] {
        let args = ["--state", dir, "--root", dir, "run", "--", "true"];
        t.surrounded(Cmd::new(t.program())).args(args).run().exits(125).blames(dir);
    }
}

fn broken_state_files_do_not_stop_the_others(t: &Sandbox) {
    t.detached("whole", ["--", "sleep", "1000"]);
    let running = t.detached("running", ["--", "sleep", "1000"]);
    let created = t.boxr(["create", "--name", "created", "--", "true"]).run().ok().word();
    let mut files = boxr_testing::leaks::files_below(&t.layout().state);
    files.extend(boxr_testing::leaks::files_below(&t.layout().root));
    let broken = |file: &std::path::Path| {
        let path = file.to_string_lossy();
        path.contains(&created) && path.ends_with(".json")
            || path.contains(&running) && path.ends_with("record.json")
    };
    for file in files.iter().filter(|file| broken(file)) {
        std::fs::write(file, "{ torn").unwrap();
    }
    t.boxr(["ps", "--format", "{{.Names}}"]).run().ok().shows("whole");
    for address in ["whole", &running, &created] {
        t.boxr(["rm", "-f", address]).run().ok();
    }
    t.assert_nothing_left();
}
