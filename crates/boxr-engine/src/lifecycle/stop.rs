//! `stop`, `kill`, `restart`.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::deadline::Deadline;
use crate::deliver::{Delivered, deliver};
use crate::events::{self, Action};
use crate::options::{Restart, Retention};
use crate::outcome::EngineError;
use crate::record::{ProcessRef, State, Status};
use crate::store::{BoxDir, Store, StoreError, Wait};

/// What docker waits between the stop signal and SIGKILL, seconds.
const GRACE: u32 = 10;

/// How a box is asked to end; `None` is what the box itself says.
#[derive(Clone, Copy, Debug, Default)]
pub struct StopTerms {
    /// Seconds before SIGKILL; `u32::MAX` waits for ever.
    pub grace: Option<u32>,
    /// The signal that asks.
    pub signal: Option<i32>,
}

/// Why boxes are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A person wants it: one that is started again unless stopped stays as it is.
    Person,
    /// The host ends: it is started when the host is.
    Shutdown,
}

/// Asks a box to end, and ends it when it has not in time. A box that does not run is left as it is.
///
/// # Errors
/// [`EngineError::Wrong`] when it cannot be ended even by SIGKILL within ten seconds.
pub fn stop(dir: &BoxDir, terms: StopTerms) -> Result<(), EngineError> {
    stop_for(StopReason::Person, dir, terms)
}

/// The same, for another reason.
///
/// # Errors
/// As [`stop`].
pub fn stop_for(why: StopReason, dir: &BoxDir, terms: StopTerms) -> Result<(), EngineError> {
    let state = super::current(dir)?;
    let options = dir.read_record()?.options;
    if options.restart != Restart::No {
        super::again::halt(dir, why)?;
    }
    let Ok(process) = super::running(&state) else { return Ok(()) };
    let Ok(held) = process.open() else { return Ok(()) };
    if state.status == Status::Paused {
        super::freeze::thaw(&state)?;
    }
    send(dir, &state, &held, process, terms.signal.unwrap_or(super::stop_signal(&options)))?;
    let grace = terms.grace.or(options.stop_timeout).unwrap_or(GRACE);
    if !await_end(&held, Deadline::after_seconds(u64::from(grace)))? {
        send(dir, &state, &held, process, Signal::KILL.as_raw())?;
        if !await_end(&held, Deadline::after_seconds(10))? {
            let is = "does not end: a process in it cannot be killed, as on a dead mount".into();
            return Err(EngineError::Wrong { name: state.name, is });
        }
    }
    await_written(dir, &state)?;
    events::note(dir.paths(), &state, Action::Stop);
    Ok(())
}

/// Sends a signal to the first process.
///
/// # Errors
/// [`EngineError::Wrong`] when the box does not run.
pub fn kill(dir: &BoxDir, number: i32) -> Result<(), EngineError> {
    let state = super::current(dir)?;
    let ends = number == Signal::KILL.as_raw();
    if ends && dir.read_record()?.options.restart != Restart::No {
        super::again::halt(dir, StopReason::Person)?;
    }
    let process = super::running(&state)?;
    let held = process.open()?;
    send(dir, &state, &held, process, number)?;
    if number == Signal::KILL.as_raw() {
        if state.status == Status::Paused {
            super::freeze::thaw(&state)?;
        }
        if await_end(&held, Deadline::after_seconds(10))? {
            await_written(dir, &state)?;
        }
    }
    Ok(())
}

/// `stop` and `start`.
///
/// # Errors
/// Those of either.
pub fn restart(store: &Store, dir: &BoxDir, terms: StopTerms) -> Result<(), EngineError> {
    let state = super::current(dir)?;
    if state.retention == Retention::Ephemeral && super::running(&state).is_ok() {
        announce_restart(dir, &state)?;
    }
    stop(dir, terms)?;
    super::start(store, dir, &super::StartMode::Detached)?;
    events::note(store.paths(), &dir.read_state()?, Action::Restart);
    Ok(())
}

/// Its end is not to remove it. A boxr that it is in the foreground of would.
fn announce_restart(dir: &BoxDir, state: &State) -> Result<(), EngineError> {
    if !state.monitored {
        let is = "is removed when it ends (--rm), by the boxr that it is in the foreground of";
        return Err(EngineError::Wrong { name: state.name.clone(), is: is.to_owned() });
    }
    let me = ProcessRef::current()?;
    let Some(lock) = dir.lock(Wait::Yes)? else { return Ok(()) };
    Ok(lock.update_state(|state| state.again.restarter = Some(me)).map(|_| ())?)
}

/// The monitor has to know before the process ends that SIGKILL stands for another signal.
fn send(
    dir: &BoxDir,
    state: &State,
    held: &OwnedFd,
    process: ProcessRef,
    number: i32,
) -> Result<(), EngineError> {
    if crate::deliver::would_be_dropped(process.pid, number)
        && let Some(lock) = dir.lock(Wait::Yes)?
    {
        match lock.update_state(|state| state.ending_signal = Some(number as u8)) {
            // Its status will be that of SIGKILL: no reason to let it run.
            Err(StoreError::Full { .. }) => {}
            noted => drop(noted?),
        }
    }
    // Before the box may end by it.
    events::note_kill(dir.paths(), state, number);
    match deliver(held.as_fd(), process.pid, number) {
        Ok(Delivered::Sent | Delivered::Ended(_)) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(EngineError::system(format!("send signal {number} to the box"), errno)),
    }
}

/// Whether the process has ended by then.
fn await_end(held: &OwnedFd, deadline: Deadline) -> Result<bool, EngineError> {
    loop {
        match poll(&mut [PollFd::new(held, PollFlags::IN)], Some(&deadline.remaining())) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(EngineError::system("wait for the box", errno)),
        }
    }
}

/// Returns when the supervisor has written the end down, and has removed a box that goes with it; the next command then
/// sees that.
pub(super) fn await_written(dir: &BoxDir, before: &State) -> Result<(), EngineError> {
    let deadline = Deadline::after_seconds(10);
    while !deadline.has_passed() {
        // Removed with the box, which is as good, or about to be: its state goes before its directory.
        let Ok(state) = dir.read_state() else {
            dir.lock(Wait::Yes)?;
            return Ok(());
        };
        if state.status == Status::Exited || state.process != before.process {
            return await_removed(dir, &state);
        }
        let state = crate::monitor::ensure(dir, state)?;
        let Some(supervisor) = state.supervisor.and_then(|supervisor| supervisor.open().ok()) else {
            return Ok(());
        };
        // It ends with its box; looked at again in between, since it may have been replaced.
        let soon = Deadline::after_millis(50);
        await_end(&supervisor, soon)?;
    }
    Ok(())
}

/// Whoever wrote the end of such a box down holds its lock until it is gone.
fn await_removed(dir: &BoxDir, state: &State) -> Result<(), EngineError> {
    let goes = state.status == Status::Exited && state.retention == Retention::Ephemeral;
    if goes && !state.again.is_being_restarted() {
        drop(dir.lock(Wait::Yes)?);
    }
    Ok(())
}
