//! Waiting for the end of a box.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use boxr_sys::pidfd::{self, Ended};
use rustix::io::Errno;

use super::remove::is_supervised;
use super::waiting::{Changes, any_readable};
use crate::outcome::EngineError;
use crate::record::{Exit, ProcessRef, State};
use crate::store::{BoxDir, Observed, Store, StoreError};

/// It cannot be waited for a box.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Its state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its monitor was killed, and no new one could be started.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The system refused to watch it.
    #[error("cannot watch box {id}: {errno}")]
    System {
        /// Its short id.
        id: String,
        /// The system's reason.
        errno: Errno,
    },
}

/// Whether a box is as one waits for it to be; nothing is known of one that is gone.
pub type Accept<'a> = dyn FnMut(Option<(&State, Observed)>) -> bool + 'a;

/// A box that is watched from the moment this is made: an end after that is not missed, even when
/// the box is removed at once.
#[derive(Debug)]
pub struct Waiter {
    store: Store,
    dir: BoxDir,
    changes: Changes,
    process: Option<OwnedFd>,
    supervisor: Option<OwnedFd>,
}

impl Waiter {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the state cannot be read, or the box not be watched.
    pub fn new(store: &Store, dir: BoxDir) -> Result<Self, WaitError> {
        let changes = Changes::watch(&dir.path()).map_err(|errno| failed(&dir, errno))?;
        let mut waiter = Self { store: store.clone(), dir, changes, process: None, supervisor: None };
        let state = waiter.dir.read_state()?;
        waiter.hold(&state);
        Ok(waiter)
    }

    /// Waits until the box does not run, and tells how it ended; a box that never ran counts as
    /// ended with 0, as docker has it. A running box whose monitor was killed gets a new one, so that
    /// its end is written down.
    ///
    /// # Errors
    /// When the state cannot be read, the box not be watched, or no monitor be started.
    pub fn wait(mut self) -> Result<Exit, WaitError> {
        loop {
            self.changes.clear().map_err(|errno| failed(&self.dir, errno))?;
            let state = match self.dir.read_state() {
                Ok(state) => state,
                // Removed, by itself or by somebody: only the kernel may still know.
                Err(StoreError::NotFound { .. } | StoreError::NoState { .. }) => {
                    return Ok(self.seen_by_kernel());
                }
                Err(error) => return Err(error.into()),
            };
            let state = match crate::monitor::ensure(&self.dir, state) {
                Ok(state) => state,
                // Removed after it was read.
                Err(EngineError::Store(StoreError::NotFound { .. } | StoreError::NoState { .. })) => {
                    return Ok(self.seen_by_kernel());
                }
                Err(error) => return Err(error.into()),
            };
            match self.store.observe(&state) {
                Observed::Created => return Ok(Exit::Code(0)),
                // Its monitor was killed since it was looked after: another comes to know the end.
                Observed::Exited(Exit::Unknown) if crate::monitor::has_lost_its_monitor(&state) => continue,
                // The monitor may have written the end, and ended, since this state was read.
                Observed::Exited(Exit::Unknown) if self.has_changed_since(&state) => continue,
                Observed::Exited(Exit::Unknown) => return Ok(self.seen_by_kernel()),
                Observed::Exited(exit) | Observed::Restarting(exit) => return Ok(exit),
                _ => {}
            }
            self.hold(&state);
            self.change()?;
        }
    }

    /// Waits until the box is as `accept` wants it, and tells how it ended if it has; `accept` is given nothing for a
    /// box that is gone.
    ///
    /// # Errors
    /// As [`Waiter::wait`].
    pub fn wait_until(mut self, accept: &mut Accept<'_>) -> Result<Option<Exit>, WaitError> {
        loop {
            self.changes.clear().map_err(|errno| failed(&self.dir, errno))?;
            let looked = self.dir.read_state().map_err(EngineError::from);
            let looked = looked.and_then(|state| crate::monitor::ensure(&self.dir, state));
            let state = match looked {
                Ok(state) => state,
                Err(EngineError::Store(StoreError::NotFound { .. } | StoreError::NoState { .. })) => {
                    // Nothing will change any more.
                    accept(None);
                    return Ok(Some(self.seen_by_kernel()));
                }
                Err(error) => return Err(error.into()),
            };
            let observed = self.store.observe(&state);
            if observed == Observed::Exited(Exit::Unknown) && crate::monitor::has_lost_its_monitor(&state) {
                continue;
            }
            if accept(Some((&state, observed))) {
                return Ok(match observed {
                    Observed::Exited(exit) | Observed::Restarting(exit) => Some(exit),
                    _ => None,
                });
            }
            self.hold(&state);
            match observed {
                Observed::Exited(_) | Observed::Created => {
                    let changed = any_readable(&[self.changes.fd()], None);
                    changed.map(|_| ()).map_err(|errno| failed(&self.dir, errno))?;
                }
                _ => self.change()?,
            }
        }
    }

    fn has_changed_since(&self, state: &State) -> bool {
        self.dir.read_state().is_ok_and(|now| now != *state)
    }

    /// Holds the processes of `state` that are not held yet, and lets go of ended ones.
    fn hold(&mut self, state: &State) {
        let open = |process: Option<ProcessRef>| process.and_then(|process| process.open().ok());
        // Kept when it has ended: it is what the kernel is asked about.
        if let Some(process) = open(state.process) {
            self.process = Some(process);
        }
        // A supervisor that has ended and was not reaped would be readable for ever.
        self.supervisor = open(state.supervisor).filter(|_| is_supervised(state));
    }

    /// Waits for a change of the state, and for the ends of processes that nothing else would tell.
    fn change(&mut self) -> Result<(), WaitError> {
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.changes.fd()];
        match (&self.supervisor, &self.process) {
            // It writes the state when the box has ended. Its own end has to be seen.
            (Some(supervisor), _) => fds.push(supervisor.as_fd()),
            (None, Some(process)) => fds.push(process.as_fd()),
            (None, None) => {}
        }
        any_readable(&fds, None).map(|_| ()).map_err(|errno| failed(&self.dir, errno))
    }

    fn seen_by_kernel(&self) -> Exit {
        let Some(process) = &self.process else { return Exit::Unknown };
        match pidfd::exit_status(process.as_fd()) {
            Ok(Some(Ended::Code(code))) => Exit::Code(code),
            Ok(Some(Ended::Signal(signal))) => Exit::Signal(signal),
            // Older than Linux 6.15, or nobody has reaped it.
            Ok(None) | Err(_) => Exit::Unknown,
        }
    }
}

fn failed(dir: &BoxDir, errno: Errno) -> WaitError {
    WaitError::System { id: dir.id().short().to_owned(), errno }
}
