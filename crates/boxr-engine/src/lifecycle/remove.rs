//! Removing a box, whatever has become of it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use boxr_cgroup::Cgroup;
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

use super::{members, waiting};
use crate::process::{Liveness, ProcessError};
use crate::record::{ProcessRef, State};
use crate::store::{BoxDir, Lock, Observed, Store, StoreError};

/// How long a killed process may take to end. Ending tears down namespaces and mounts.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// How long a supervisor may take to write the last output and the exit status down.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(2);
/// How long another command may hold the box's lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at a lock: flock(2) has no timeout.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// What is done about a box that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It stays.
    No,
    /// It is killed.
    Yes,
}

/// A box was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// It runs, and was not to be killed.
    #[error("box {name} is {state}")]
    Running {
        /// Its name.
        name: String,
        /// `running`, `paused`, `starting`.
        state: &'static str,
    },
    /// Others require it.
    #[error("box {name} is required by {}", by.join(", "))]
    Required {
        /// Its name.
        name: String,
        /// Their names.
        by: Vec<String>,
    },
    /// It was killed, and does not end.
    #[error("box {name}: process {pid} was killed and has not ended within {} s", patience.as_secs())]
    Unkillable {
        /// Its name.
        name: String,
        /// Its first process.
        pid: i32,
        /// What the kernel says it sleeps in (proc_pid_wchan(5)), where it says.
        wchan: Option<String>,
        /// How long was waited.
        patience: Duration,
    },
    /// Whether it runs cannot be seen from here, nor can it be killed.
    #[error("box {name}: its processes cannot be seen from here")]
    Elsewhere {
        /// Its name.
        name: String,
    },
    /// Another command is at work on it.
    #[error("box {name} is in use by another boxr command for more than {} s", patience.as_secs())]
    Locked {
        /// Its name or short id.
        name: String,
        /// How long was waited.
        patience: Duration,
    },
    /// A system call that has no place of its own failed.
    #[error("cannot {action} of box {name}: {errno}")]
    System {
        /// Its name.
        name: String,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        errno: Errno,
    },
    /// Its files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its processes.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its cgroups.
    #[error(transparent)]
    Cgroup(#[from] boxr_cgroup::Error),
}

/// Removes a box: processes, cgroups, name, log, record, directory, in this order, so that one that
/// is cut short can be done again. What is gone already is fine.
///
/// # Errors
/// [`RemoveError::Running`] without force; [`RemoveError::Unkillable`]; what the system refuses.
pub fn remove(store: &Store, dir: &BoxDir, force: Force) -> Result<(), RemoveError> {
    match remove_found(store, dir, force) {
        // Its supervisor, or another command, was faster.
        Err(RemoveError::Store(StoreError::NotFound { .. })) => Ok(()),
        done => done,
    }
}

fn remove_found(store: &Store, dir: &BoxDir, force: Force) -> Result<(), RemoveError> {
    match dir.read_state() {
        Ok(state) => remove_known(store, dir, &state, force),
        // Half-made or half-removed: nobody runs it.
        // Half-made, or removed since it was opened.
        Err(StoreError::NoState { .. } | StoreError::NotFound { .. }) => {
            Ok(lock(dir, dir.id().short())?.remove()?)
        }
        // What it runs is written nowhere else: only who insists removes it.
        Err(StoreError::Damaged { .. } | StoreError::TooNew { .. }) if force == Force::Yes => {
            Ok(lock(dir, dir.id().short())?.remove()?)
        }
        Err(error) => Err(error.into()),
    }
}

fn remove_known(store: &Store, dir: &BoxDir, state: &State, force: Force) -> Result<(), RemoveError> {
    let others = super::requires::dependents(store, dir)?;
    if !others.is_empty() {
        let name =
            |dir: &BoxDir| dir.read_state().map_or_else(|_| dir.id().short().to_owned(), |state| state.name);
        return Err(RemoveError::Required {
            name: state.name.clone(),
            by: others.iter().map(name).collect(),
        });
    }
    let observed = store.observe(state);
    if let (Some(word), Force::No) = (running_word(observed), force) {
        return Err(RemoveError::Running { name: state.name.clone(), state: word });
    }
    if !matches!(observed, Observed::Created | Observed::Exited(_)) {
        end(store, state, observed)?;
    }
    let held = lock(dir, &state.name)?;
    // Started again, or ended and removed by its supervisor, before the lock was taken?
    match held.read_state() {
        Ok(state) => {
            let observed = store.observe(&state);
            match running_word(observed) {
                Some(word) if force == Force::No => {
                    return Err(RemoveError::Running { name: state.name, state: word });
                }
                // Nobody can start it while this lock is held.
                Some(_) => end(store, &state, observed)?,
                None => {}
            }
            remove_cgroup(&state)?;
            Ok(held.remove_known(&state)?)
        }
        Err(_) => {
            remove_cgroup(state)?;
            Ok(held.remove()?)
        }
    }
}

/// The word for a box that is not to be removed without force.
fn running_word(observed: Observed) -> Option<&'static str> {
    match observed {
        Observed::Creating => Some("starting"),
        Observed::Restarting(_) => Some("restarting"),
        Observed::Running | Observed::Unresponsive | Observed::Unclear(_) => Some("running"),
        Observed::Paused => Some("paused"),
        Observed::Created | Observed::Ending | Observed::Exited(_) => None,
    }
}

/// Kills what runs and waits until it has ended and its supervisor is done.
fn end(store: &Store, state: &State, observed: Observed) -> Result<(), RemoveError> {
    let supervisor = hold(state.supervisor)?;
    match observed {
        // It has no process; whoever would start one goes.
        Observed::Restarting(_) => supervisor.iter().try_for_each(|pidfd| kill(state, pidfd))?,
        Observed::Unclear(_) if state.cgroup.is_none() => {
            return Err(RemoveError::Elsewhere { name: state.name.clone() });
        }
        // Before there is a first process there is nobody else to stop.
        Observed::Creating => supervisor.iter().try_for_each(|pidfd| kill(state, pidfd))?,
        Observed::Ending => {}
        _ => {
            crate::events::note_kill(store.paths(), state, Signal::KILL.as_raw());
            kill_all(state)?;
        }
    }
    let Some(supervisor) = supervisor else { return Ok(()) };
    let deadline = Instant::now() + SUPERVISOR_PATIENCE;
    // One that hangs is left behind: without files and processes there is nothing it could harm.
    waiting::has_ended(supervisor.as_fd(), deadline)
        .map(|_| ())
        .map_err(|errno| system(state, "wait for the monitor", errno))
}

/// A pidfd of a process, if it still lives.
fn hold(process: Option<ProcessRef>) -> Result<Option<OwnedFd>, RemoveError> {
    let Some(process) = process else { return Ok(None) };
    match process.open() {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(ProcessError::Gone { .. } | ProcessError::Another { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn kill(state: &State, pidfd: &OwnedFd) -> Result<(), RemoveError> {
    match pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(system(state, "kill a process", errno)),
    }
}

/// SIGKILL for every process of the box, by its cgroup and one by one, until the first has ended.
fn kill_all(state: &State) -> Result<(), RemoveError> {
    let first = hold(state.process)?;
    // Found and held before the first is killed: with it, the tree they are found by is gone.
    let others: Vec<OwnedFd> = members::of(state)
        .into_iter()
        .filter(|pid| state.process.is_none_or(|first| first.pid != *pid))
        .filter_map(|pid| ProcessRef::of(pid).ok().flatten()?.open().ok())
        .collect();
    if let Some(location) = &state.cgroup {
        let cgroup = Cgroup::open(location)?;
        match cgroup.kill() {
            Ok(()) | Err(boxr_cgroup::Error::NoCgroup { .. } | boxr_cgroup::Error::TimedOut { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    first.iter().chain(&others).try_for_each(|pidfd| kill(state, pidfd))?;
    thaw(state)?;
    let deadline = Instant::now() + KILL_PATIENCE;
    for pidfd in first.iter().chain(&others) {
        let ended = waiting::has_ended(pidfd.as_fd(), deadline)
            .map_err(|errno| system(state, "wait for a process", errno))?;
        if !ended {
            return Err(unkillable(state));
        }
    }
    Ok(())
}

/// Frozen processes of cgroup version 1 get no signal, not even SIGKILL, before they are thawed.
fn thaw(state: &State) -> Result<(), RemoveError> {
    let Some(location) = &state.cgroup else { return Ok(()) };
    let cgroup = Cgroup::open(location)?;
    match cgroup.frozen() {
        // What cannot be asked because it is gone needs no thawing.
        Ok(boxr_cgroup::Frozen::No) | Err(_) => Ok(()),
        Ok(_) => Ok(cgroup.thaw()?),
    }
}

fn unkillable(state: &State) -> RemoveError {
    let pid = state.process.map_or(0, |process| process.pid);
    let wchan = std::fs::read_to_string(format!("/proc/{pid}/wchan")).ok();
    RemoveError::Unkillable {
        name: state.name.clone(),
        pid,
        wchan: wchan.filter(|wchan| !wchan.is_empty() && wchan != "0"),
        patience: KILL_PATIENCE,
    }
}

fn remove_cgroup(state: &State) -> Result<(), RemoveError> {
    let Some(location) = &state.cgroup else { return Ok(()) };
    // Processes of a box that share the caller's pid namespace may outlive the first.
    let cgroup = Cgroup::open(location)?;
    if cgroup.processes().is_ok_and(|pids| !pids.is_empty()) {
        match cgroup.kill() {
            Ok(()) | Err(boxr_cgroup::Error::NoCgroup { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(cgroup.remove()?)
}

/// The box's lock, within [`LOCK_PATIENCE`].
fn lock<'d>(dir: &'d BoxDir, name: &str) -> Result<Lock<'d>, RemoveError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        if let Some(lock) = dir.try_lock()? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(RemoveError::Locked { name: name.to_owned(), patience: LOCK_PATIENCE });
        }
        waiting::pause(LOCK_PAUSE).map_err(|errno| RemoveError::System {
            name: name.to_owned(),
            action: "wait for the lock",
            errno,
        })?;
    }
}

fn system(state: &State, action: &'static str, errno: Errno) -> RemoveError {
    RemoveError::System { name: state.name.clone(), action, errno }
}

/// Whether a supervisor looks after the box.
pub(crate) fn is_supervised(state: &State) -> bool {
    let liveness = state.supervisor.map(|supervisor| supervisor.liveness());
    matches!(liveness, Some(Liveness::Alive | Liveness::Blocked | Liveness::Unclear))
}
