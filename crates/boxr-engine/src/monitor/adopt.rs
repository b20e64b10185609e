//! A monitor for a box that runs without one.

use std::os::fd::{AsFd, OwnedFd};

use boxr_runtime::process::parent::Running;
use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::pidfd::{self, Ended};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::attach::Attachment;
use super::clients::Clients;
use super::serve::{self, Terms, Watch};
use super::streams::Burst;
use super::{standby, streams};
use crate::deadline::Deadline;
use crate::foreground::now;
use crate::logs::{Log, WhoLogs};
use crate::outcome::EngineError;
use crate::record::{Exit, ProcessRef, State, Status};
use crate::store::{BoxDir, Lock, Wait};

/// Makes sure that a detached box has a monitor, or that its end is written down.
///
/// Every command that meets a box calls it; it does nothing while the monitor lives.
///
/// # Errors
/// The monitor cannot be started.
pub fn ensure(dir: &BoxDir, state: State) -> Result<State, EngineError> {
    ensure_waiting(dir, state, Wait::Yes)
}

/// The same for a command that looks at many boxes: one that somebody holds the lock of is left alone.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_if_free(dir: &BoxDir, state: State) -> Result<State, EngineError> {
    ensure_waiting(dir, state, Wait::No)
}

/// Whether [`ensure`] has something to do.
pub fn has_lost_its_monitor(state: &State) -> bool {
    let running = matches!(state.status, Status::Running | Status::Paused);
    running && state.monitored && !state.supervisor.is_some_and(|supervisor| supervisor.is_alive())
}

fn ensure_waiting(dir: &BoxDir, state: State, wait: Wait) -> Result<State, EngineError> {
    if !has_lost_its_monitor(&state) {
        return Ok(state);
    }
    let own = dir.reopen()?;
    let patience = Deadline::after_seconds(STANDBY_PATIENCE);
    loop {
        let Some(lock) = own.lock(wait)? else { return Ok(state) };
        // Its standby, or another command, may have been faster.
        let state = lock.read_state()?;
        if state.status == Status::Exited || state.supervisor.is_some_and(|supervisor| supervisor.is_alive())
        {
            return Ok(state);
        }
        if let Some((process, pidfd)) =
            state.process.and_then(|process| Some((process, process.open().ok()?)))
        {
            drop(lock);
            let streams = streams::reopen(dir.dir_fd())
                .map_err(|errno| EngineError::system("open the box's standard descriptors", errno))?;
            adopt(dir, process, pidfd, streams)?;
            return Ok(dir.read_state()?);
        }
        let standby = Attachment::of_standby(dir).filter(|_| !patience.has_passed());
        match (standby, wait) {
            (None, _) => return end_unseen(&lock, &state),
            (Some(_), Wait::No) => return Ok(state),
            (Some(standby), Wait::Yes) => {
                drop(lock);
                standby.await_change(dir, &patience)?;
            }
        }
    }
}

/// How long a standby may take to write down an end that it has seen, seconds.
const STANDBY_PATIENCE: u64 = 10;

/// Nobody knows how it ended.
fn end_unseen(lock: &Lock<'_>, state: &State) -> Result<State, EngineError> {
    serve::note_end(lock, state, Exit::Unknown, None);
    Ok(lock.update_state(|state| {
        state.networked = state.networked && lock.release_network().is_err();
        state.status = Status::Exited;
        state.exit = Some(Exit::Unknown);
        state.finished = Some(now());
        state.process = None;
        state.supervisor = None;
    })?)
}

/// The person has left a foreground box with a terminal: it gets a monitor.
///
/// # Errors
/// The monitor cannot be started.
pub fn take_over(dir: BoxDir, state: State, running: Running, master: OwnedFd) -> Result<(), EngineError> {
    dir.make_data()?;
    let process = state.process.ok_or_else(|| EngineError::system("find the first process", Errno::SRCH))?;
    let streams =
        streams::of_terminal(master).map_err(|errno| EngineError::system("keep the terminal", errno))?;
    if let Some(lock) = dir.lock(Wait::Yes)? {
        lock.update_state(|state| (state.monitored, state.journaled) = (true, true))?;
    }
    adopt(&dir, process, running.pidfd, streams)
}

/// Forks a monitor for a running box and waits until it is recorded as such.
fn adopt(
    dir: &BoxDir,
    process: ProcessRef,
    pidfd: OwnedFd,
    streams: streams::Streams,
) -> Result<(), EngineError> {
    let system = |doing: &'static str| move |errno| EngineError::system(doing, errno);
    let record = dir.read_record()?;
    let (data, name) = (dir.make_data()?, dir.read_state()?.name);
    let who = WhoLogs { id: dir.id().as_str(), name: &name, data: &data };
    let log = Log::open(who, &record.options.log_to, record.options.log)?;
    let (hear, tell) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(system("talk to the monitor"))?;
    match clone3(0, None, Parent::Caller).map_err(system("start the monitor"))? {
        Cloned::Parent { .. } => {
            drop(tell);
            // Its end tells that the monitor is in place, or that it is not.
            let mut byte = [0];
            loop {
                match rustix::io::read(&hear, &mut byte) {
                    Ok(1..) => return Ok(()),
                    Ok(0) => return Err(EngineError::system("start the monitor", Errno::CHILD)),
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(system("hear from the monitor")(errno)),
                }
            }
        }
        Cloned::Child => {
            drop(hear);
            let terms = Terms::of(&record.options, "");
            let status = match settle(dir, process, pidfd, streams, log, terms, tell)
                .and_then(|(watch, clients)| serve::serve(watch, clients))
            {
                Ok(()) => 0,
                Err(_) => 125,
            };
            exit_now(status)
        }
    }
}

fn settle(
    dir: &BoxDir,
    process: ProcessRef,
    pidfd: OwnedFd,
    streams: streams::Streams,
    log: Log,
    terms: Terms,
    tell: OwnedFd,
) -> Result<(Watch, Clients), EngineError> {
    let system = |doing: &'static str| move |errno| EngineError::system(doing, errno);
    super::start::leave_caller().map_err(system("leave the caller's session"))?;
    let dir = dir.reopen()?;
    let me = ProcessRef::current()?;
    let mut name = String::new();
    let clients;
    if let Some(lock) = dir.lock(Wait::Yes)? {
        let state = lock.read_state()?;
        let supervised = state.supervisor.is_some_and(|other| other.is_alive() && !state_is_callers(&other));
        if supervised || state.status == Status::Exited || state.process != Some(process) {
            // Another was faster, and all is as the caller wants it.
            rustix::io::write(&tell, b".").map_err(system("report to the caller"))?;
            exit_now(0);
        }
        // Before it is known as the monitor: who reads that finds the door.
        clients = serve::open_to_clients(&dir, None)?;
        name = lock.update_state(|state| state.supervisor = Some(me))?.name;
    } else {
        clients = serve::open_to_clients(&dir, None)?;
    }
    super::start::close_callers_files().map_err(system("close the caller's files"))?;
    standby::title(c"boxr-monitor", &name).map_err(system("name the monitor"))?;
    rustix::io::write(&tell, b".").map_err(system("report to the caller"))?;
    drop(tell);
    let terms = Terms { name, ..terms };
    let held = dir.hold_ports();
    Ok((
        Watch { dir, process, pidfd, streams, log, ending: None, terms, burst: Burst::default(), held },
        clients,
    ))
}

/// Whether that is the boxr that forked this monitor to step back from a foreground box.
fn state_is_callers(other: &ProcessRef) -> bool {
    rustix::process::getppid().is_some_and(|parent| parent.as_raw_nonzero().get() == other.pid)
}

/// How a process ended that is not a child. Whoever is its parent has to reap it first, which
/// takes a moment; where nobody ever does, its status stays in proc_pid_stat(5).
pub(super) fn await_exit_status(held: &OwnedFd, pid: i32) -> Option<Ended> {
    for _ in 0..50 {
        match pidfd::exit_status(held.as_fd()) {
            Ok(Some(ended)) => return Some(ended),
            Ok(None) => {}
            Err(_) => break,
        }
        // POLLHUP comes when it is reaped (Linux 6.9).
        let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let mut fds = [PollFd::new(held, PollFlags::empty())];
        if matches!(poll(&mut fds, Some(&pause)), Err(errno) if errno != Errno::INTR) {
            break;
        }
    }
    // Reaped at last, it may be, between both looks.
    zombie_status(pid).or_else(|| pidfd::exit_status(held.as_fd()).ok().flatten())
}

/// Field 52 of proc_pid_stat(5), as wait(2) encodes it.
fn zombie_status(pid: i32) -> Option<Ended> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace();
    if fields.next() != Some("Z") {
        return None;
    }
    let status: i32 = fields.nth(48)?.parse().ok()?;
    Some(pidfd::Ended::from_wait_status(status))
}
