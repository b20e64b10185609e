//! `pause` and `unpause`.
//!
//! By the box's cgroup where it has one. A box without, such as one of a user who may not make
//! cgroups, is stopped by signals: its processes see nothing of it either, but their parents
//! in the box may be told (SIGCHLD with CLD_STOPPED).

use boxr_cgroup::Cgroup;
use boxr_sys::signal;
use rustix::io::Errno;
use rustix::process::Signal;

use super::members;
use crate::events::{self, Action};
use crate::outcome::EngineError;
use crate::record::{State, Status};
use crate::store::{BoxDir, Wait};

/// Stops every process of a running box.
///
/// # Errors
/// [`EngineError::Wrong`] unless it runs.
pub fn pause(dir: &BoxDir) -> Result<(), EngineError> {
    let state = super::current(dir)?;
    super::running(&state)?;
    if state.status == Status::Paused {
        return Err(EngineError::Wrong { name: state.name, is: "is paused already".into() });
    }
    match freezable(&state)? {
        Some(cgroup) => cgroup.freeze(boxr_cgroup::FREEZE_PATIENCE)?,
        None => signal_all(&state, Signal::STOP)?,
    }
    set_status(dir, Status::Paused)?;
    events::note(dir.paths(), &state, Action::Pause);
    Ok(())
}

/// Lets a paused box go on.
///
/// # Errors
/// [`EngineError::Wrong`] unless it is paused.
pub fn unpause(dir: &BoxDir) -> Result<(), EngineError> {
    let state = super::current(dir)?;
    super::running(&state)?;
    if state.status != Status::Paused {
        return Err(EngineError::Wrong { name: state.name, is: "is not paused".into() });
    }
    thaw(&state)?;
    set_status(dir, Status::Running)?;
    events::note(dir.paths(), &state, Action::Unpause);
    Ok(())
}

/// Undoes a pause, before a box is to handle a signal.
pub(super) fn thaw(state: &State) -> Result<(), EngineError> {
    match freezable(state)? {
        Some(cgroup) => Ok(cgroup.thaw()?),
        None => signal_all(state, Signal::CONT),
    }
}

fn freezable(state: &State) -> Result<Option<Cgroup>, EngineError> {
    match &state.cgroup {
        None => Ok(None),
        Some(location) => {
            let cgroup = Cgroup::open(location)?;
            // A cgroup that only carries limits (version 1) may have no freezer.
            Ok(cgroup.frozen().is_ok().then_some(cgroup))
        }
    }
}

fn set_status(dir: &BoxDir, status: Status) -> Result<(), EngineError> {
    if let Some(lock) = dir.lock(Wait::Yes)? {
        lock.update_state(|state| {
            if state.status != Status::Exited {
                state.status = status;
            }
        })?;
    }
    Ok(())
}

/// Signals every process of the box until none is left that had not been: a process may fork
/// between the look and the signal.
fn signal_all(state: &State, sig: Signal) -> Result<(), EngineError> {
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let new: Vec<i32> = members::of(state).into_iter().filter(|pid| seen.insert(*pid)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for pid in new {
            match signal::send_to_pid(pid, sig.as_raw()) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(EngineError::system(format!("signal process {pid}"), errno)),
            }
        }
    }
}
