//! Starting a box again that has ended (`--restart`), by the monitor that saw its end.
//!
//! ```text
//! exited ──▶ at: a moment to come, supervisor: the one that waits ──▶ started again
//!                         │ stop, rm, start: at is taken away
//!                         ▼
//!                       exited
//! ```

use std::time::Duration;

use super::StopReason;
use super::waiting;
use crate::exposure;
use crate::foreground::now;
use crate::options::Restart;
use crate::outcome::EngineError;
use crate::record::{Exit, ProcessRef, State, Status};
use crate::store::{BoxDir, Wait};

/// The first pause, milliseconds; each further one is twice as long (docker's).
const FIRST_PAUSE: u64 = 100;
/// The longest.
const LONGEST_PAUSE: u64 = 60_000;
/// Who has run for so long, nanoseconds, begins with the first pause again.
const WELL: i64 = 10_000_000_000;

/// Called when the end of a box has been written down: waits and starts it again, if it is to be.
///
/// # Errors
/// The state cannot be read or written, or it cannot be started; then it has ended for good.
pub(crate) fn after_end(dir: &BoxDir) -> Result<(), EngineError> {
    // Removed with its end.
    let Ok(record) = dir.read_record() else { return Ok(()) };
    if record.options.restart == Restart::No {
        return Ok(());
    }
    if !exposure::may_start(&record.options)? {
        // A monitor that was started by a command which had no cause to protect boxr's program.
        return Ok(());
    }
    let me = ProcessRef::current()?;
    let Some(pause) = announce(dir, record.options.restart, me)? else { return Ok(()) };
    waiting::pause(pause).map_err(|errno| EngineError::system("wait to start the box again", errno))?;
    match super::start::start_again(&dir.whole_store(), dir, me) {
        Ok(()) => Ok(()),
        Err(error) => {
            give_up(dir, me, &error)?;
            Err(error)
        }
    }
}

/// It has ended for good, and says why.
fn give_up(dir: &BoxDir, me: ProcessRef, error: &EngineError) -> Result<(), EngineError> {
    let Some(lock) = dir.lock(Wait::Yes)? else { return Ok(()) };
    if lock.read_state().is_ok_and(|state| state.supervisor == Some(me)) {
        lock.update_state(|state| {
            state.supervisor = None;
            state.again.at = None;
            state.again.halted = true;
            state.error = Some(error.to_string());
        })?;
    }
    Ok(())
}

/// Whether `me` is still to start the box of this state.
pub(super) fn is_still_due(state: &State, me: ProcessRef) -> bool {
    state.again.at.is_some() && state.supervisor == Some(me)
}

/// Says that this process will start the box again, and gives how long it waits before.
fn announce(dir: &BoxDir, policy: Restart, me: ProcessRef) -> Result<Option<Duration>, EngineError> {
    let Some(lock) = dir.lock(Wait::Yes)? else { return Ok(None) };
    let Ok(state) = lock.read_state() else { return Ok(None) };
    let waits = state.again.at.is_some() && state.supervisor.is_some_and(|other| other.is_alive());
    if state.status != Status::Exited || waits || !is_due(policy, &state) {
        return Ok(None);
    }
    let ran = state.finished.zip(state.started).map_or(0, |(end, start)| end.saturating_sub(start));
    let streak = if ran >= WELL { 0 } else { state.again.streak };
    let pause = FIRST_PAUSE.checked_shl(streak).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
    lock.update_state(|state| {
        state.supervisor = Some(me);
        state.again.streak = (streak + 1).min(16);
        state.again.at = Some(now().saturating_add((pause * 1_000_000) as i64));
    })?;
    Ok(Some(Duration::from_millis(pause)))
}

fn is_due(policy: Restart, state: &State) -> bool {
    let failed = state.exit != Some(Exit::Code(0));
    // A box whose time is over is not to have more of it.
    let over = state.exit == Some(Exit::Timeout);
    !state.again.halted
        && !over
        && match policy {
            Restart::No => false,
            Restart::Always | Restart::UnlessStopped => true,
            Restart::OnFailure { most } => failed && most.is_none_or(|most| state.again.count < most),
        }
}

/// A person has ended it, or the end of the host: it stays so until somebody starts it. One that waits to be started again
/// does not wait any more.
///
/// # Errors
/// The state cannot be written.
pub(crate) fn halt(dir: &BoxDir, why: StopReason) -> Result<(), EngineError> {
    let Some(lock) = dir.lock(Wait::Yes)? else { return Ok(()) };
    let before = lock.read_state()?;
    lock.update_state(|state| {
        state.again.by_shutdown =
            why == StopReason::Shutdown && (!state.again.halted || state.again.by_shutdown);
        state.again.halted = true;
        if state.again.at.take().is_some() {
            state.supervisor = None;
        }
    })?;
    drop(lock);
    dismiss(&before)
}

/// Ends the process that waits to start the box of this state again.
///
/// # Errors
/// pidfd_send_signal(2).
pub(crate) fn dismiss(state: &State) -> Result<(), EngineError> {
    let Some(supervisor) = state.supervisor.filter(|_| state.again.at.is_some()) else { return Ok(()) };
    if let Ok(held) = supervisor.open() {
        use std::os::fd::AsFd;
        let killed = boxr_sys::signal::send(held.as_fd(), rustix::process::Signal::KILL.as_raw());
        match killed {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => return Err(EngineError::system("end a monitor that waits", errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDED: &str = r#"{"format":1,"id":"","name":"box","command":"","image":"host","retention":"kept",
        "labels":{},"created":0,"started":0,"finished":0,"status":"exited","process":null,"supervisor":null,
        "monitored":true,"ending_signal":null,"exit":null,"error":null,"boot_id":"","cgroup":null,"tty":false}"#;

    #[test]
    fn policies_look_at_the_end() {
        let mut state: State = serde_json::from_str(ENDED).unwrap();
        let due = |policy, state: &State| is_due(policy, state);
        state.exit = Some(Exit::Code(0));
        assert!(due(Restart::Always, &state) && !due(Restart::OnFailure { most: None }, &state));
        state.exit = Some(Exit::Signal(9));
        state.again.count = 2;
        assert!(due(Restart::OnFailure { most: Some(3) }, &state));
        assert!(!due(Restart::OnFailure { most: Some(2) }, &state) && !due(Restart::No, &state));
        state.again.halted = true;
        assert!(!due(Restart::Always, &state) && !due(Restart::UnlessStopped, &state));
        state.again.halted = false;
        state.exit = Some(Exit::Timeout);
        assert!(!due(Restart::Always, &state));
    }
}
