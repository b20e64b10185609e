//! One test in a process of its own, under a supervisor that sees everything it leaves behind.
//!
//! ```text
//! test program ── supervisor (child subreaper) ── test ── boxr, monitors, boxes…
//! ```
//!
//! Whatever loses its parent below the supervisor becomes the supervisor's child (prctl(2),
//! `PR_SET_CHILD_SUBREAPER`) and is reaped at once, as by a real init. When the test has ended
//! and no child is left, nothing is left.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use boxr_sys::signal::Disposition;
use libtest_mimic::Failed;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};

use crate::registry::Test;
use crate::sandbox::{DIR_VARIABLE, Layout};
use crate::{leaks, processes};

/// How long what a test has started may take to end after the test.
const GRACE: Duration = Duration::from_secs(5);

/// Runs `test` under a supervisor and waits for its verdict.
///
/// # Errors
/// What the test and the supervisor printed, when the test failed or left something behind.
pub fn run(test: Test) -> Result<(), Failed> {
    let dir = tempfile::Builder::new().prefix("boxr-test-").tempdir()?;
    // Names of the directory are compared with mount points, so it must be the real one.
    let path = dir.path().canonicalize()?;
    let told = path.join("output");
    let output = File::create(&told)?;
    let status = Command::new(std::env::current_exe()?)
        .args(["--as=supervisor", test.name])
        .env(DIR_VARIABLE, &path)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()?;
    let told = String::from_utf8_lossy(&std::fs::read(&told)?).into_owned();
    dir.close().map_err(|error| format!("its directory cannot be removed: {error}\n{told}"))?;
    if status.success() { Ok(()) } else { Err(told.into()) }
}

/// The supervisor: its exit status says whether the test passed and left nothing.
#[allow(clippy::zombie_processes, reason = "`reap` waits for every child")]
pub fn supervise(test: Test) -> ExitCode {
    let dir = PathBuf::from(std::env::var_os(DIR_VARIABLE).expect("the supervisor's directory"));
    rustix::process::set_child_subreaper(Some(getpid())).unwrap();
    // A shell's background command ignores the first two, and what a test starts would as well.
    for signal in [Signal::INT, Signal::QUIT, Signal::HUP, Signal::TERM, Signal::CHILD] {
        boxr_sys::signal::set_disposition(signal.as_raw(), Disposition::Default).unwrap();
    }
    let layout = Layout::make(&dir);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--as=test", test.name])
        // The assertion says where it stands and what it saw; the way there is always the same.
        .env("RUST_BACKTRACE", "0")
        .current_dir(&layout.work)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let (tell, told) = channel();
    let deadline = deadline(test);
    let watchdog = std::thread::spawn(move || watch(deadline, &told));
    let passed = reap(Pid::from_child(&child), &tell);
    drop(tell);
    let mut complaints = watchdog.join().unwrap();
    let leaks = other_leaks(&dir, &layout);
    if passed {
        complaints.extend(leaks);
    } else {
        // A test that failed half way never came to clean up: that is no news.
        complaints.retain(|complaint| !complaint.starts_with(LEFT_RUNNING));
    }
    for complaint in &complaints {
        println!("{complaint}");
    }
    if passed && complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How long it may take: a walk of all calls (`BOXR_WALK`) longer than the one of some that it stands for.
fn deadline(test: Test) -> Duration {
    if std::env::var_os("BOXR_WALK").is_some() { test.deadline * 20 } else { test.deadline }
}

/// Reaps children until none is left; whether the test among them ended well.
fn reap(test: Pid, tell: &Sender<()>) -> bool {
    let mut passed = false;
    loop {
        let (pid, status) = match wait(WaitOptions::empty()) {
            Err(Errno::CHILD) => return passed,
            Err(Errno::INTR) | Ok(None) => continue,
            Err(errno) => panic!("wait: {errno}"),
            Ok(Some(child)) => child,
        };
        if pid == test {
            passed = status.exit_status() == Some(0);
            // The watchdog lives until `tell` is dropped.
            tell.send(()).unwrap();
        }
    }
}

/// Ends the test past its deadline, and what outlives it; says which that were.
fn watch(deadline: Duration, told: &Receiver<()>) -> Vec<String> {
    let mut complaints = Vec::new();
    if told.recv_timeout(deadline).is_err() {
        complaints.push(format!("the test still ran after {deadline:?}; under way were:{}", list_and_kill()));
    }
    let mut grace = GRACE;
    while told.recv_timeout(grace) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        if grace == GRACE && complaints.is_empty() {
            complaints.push(format!("{LEFT_RUNNING}{}", list_and_kill()));
        } else {
            list_and_kill();
        }
        grace = Duration::from_millis(50);
    }
    complaints
}

const LEFT_RUNNING: &str = "left running by the test:";

fn list_and_kill() -> String {
    let mut list = String::new();
    for process in processes::descendants(getpid()) {
        // It may have ended since it was listed.
        kill_process(process.pid, Signal::KILL).ok();
        list += &format!("\n  {} {} ({}) {}", process.pid, process.comm, process.state, process.line);
    }
    list
}

fn other_leaks(dir: &Path, layout: &Layout) -> Vec<String> {
    let mut complaints = Vec::new();
    let mounts = leaks::mounts_below(dir);
    for point in &mounts {
        complaints.push(format!("left mounted by the test: {}", point.display()));
        unmount(point, UnmountFlags::DETACH).ok();
    }
    for file in
        [&layout.state, &layout.root, &layout.runtime].into_iter().flat_map(|dir| leaks::files_below(dir))
    {
        // Images and compiled filters are there to stay; they go with the directory.
        if file.starts_with(layout.root.join("images")) || file.starts_with(layout.state.join("filters")) {
            continue;
        }
        complaints.push(format!("left on disk by the test: {}", file.display()));
    }
    complaints
}
