//! `pause` and `unpause`.
//!
//! By the box's cgroup where it has one. A box without, such as one of a user who may not make
//! cgroups, is stopped by signals: its processes see nothing of it either, but their parents
//! in the box may be told (SIGCHLD with CLD_STOPPED).

use std::os::fd::{AsFd, OwnedFd};

use boxr_cgroup::Cgroup;
use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::pidfd::{Ended, reap};
use boxr_sys::signal;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
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
    let cgroup = freezable(&state)?;
    // First said, then done: one that is frozen and said to run could not be unpaused.
    set_status(dir, Status::Paused)?;
    let done = match cgroup {
        Some(cgroup) => cgroup.freeze(boxr_cgroup::FREEZE_PATIENCE).map_err(EngineError::from),
        None => signal_all(&state, Signal::STOP),
    };
    if let Err(error) = done {
        set_status(dir, Status::Running)?;
        return Err(error);
    }
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

/// A box that stands still while another process looks at its files.
///
/// That process may take on other ids, after which it has no right over the box any more: a process of its own lets the
/// box go on, also when this one is killed.
#[derive(Debug)]
pub struct Pause {
    /// Closed, it lets the box go on.
    until: Option<OwnedFd>,
    process: OwnedFd,
}

impl Pause {
    /// Stops a running box. The caller must have one thread.
    ///
    /// # Errors
    /// As [`pause`].
    pub fn begin(dir: &BoxDir) -> Result<Self, EngineError> {
        let failed = |errno| EngineError::system("start a process", errno);
        let (ended, until) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        let process = match clone3(0, None, Parent::Caller).map_err(failed)? {
            Cloned::Child => {
                drop(until);
                // The keys of a terminal are for the command: this one does not end by them before it has.
                if rustix::process::setsid().is_err() {
                    exit_now(1);
                }
                let mut word = [0; 1];
                match rustix::io::retry_on_intr(|| rustix::io::read(&ended, &mut word)) {
                    Ok(1) => {}
                    // It was not stopped after all.
                    _ => exit_now(0),
                }
                // Up to the end of who has the other side.
                rustix::io::retry_on_intr(|| rustix::io::read(&ended, &mut word)).unwrap_or_default();
                exit_now(u8::from(unpause(dir).is_err()))
            }
            Cloned::Parent { pidfd, .. } => pidfd,
        };
        drop(ended);
        rustix::io::write(&until, b"!").map_err(failed)?;
        let this = Self { until: Some(until), process };
        pause(dir).inspect_err(|_| {
            // Who is gone lets nothing go on that somebody else has stopped.
            signal::send(this.process.as_fd(), Signal::KILL.as_raw()).unwrap_or_default();
        })?;
        Ok(this)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// It cannot be.
    pub fn end(mut self) -> Result<(), EngineError> {
        let failed = |errno| EngineError::system("let the box go on", errno);
        match self.finish().map_err(failed)? {
            Some(Ended::Code(0)) => Ok(()),
            _ => Err(failed(Errno::IO)),
        }
    }

    fn finish(&mut self) -> Result<Option<Ended>, Errno> {
        match self.until.take() {
            Some(until) => {
                drop(until);
                reap(self.process.as_fd(), true)
            }
            None => Ok(None),
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        // There is another error to tell.
        self.finish().unwrap_or_default();
    }
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
