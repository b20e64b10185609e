//! What is true of a box now: what was written down, corrected by which processes live.

use crate::boot::{Here, Place};
use crate::options::Retention;
use crate::process::Liveness;
use crate::record::{Exit, ProcessRef, State, Status};

/// How a box is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Its supervisor starts it.
    Creating,
    /// It has never run.
    Created,
    /// Its first process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process is in uninterruptible sleep: on a device or a dead mount, or frozen by
    /// somebody else. It may be for a moment only.
    Unresponsive,
    /// Its first process has ended; its supervisor is about to write down how.
    Ending,
    /// It has ended, and its monitor waits to start it again.
    Restarting(Exit),
    /// It has ended. [`Exit::Unknown`] where it ended unseen, with the host for example.
    Exited(Exit),
    /// It was this when last written, and from here nobody can tell: its processes are numbered in
    /// another pid namespace, or hidden.
    Unclear(Status),
}

/// What is true of a box with `state`, seen from `here`. Never waits for anything.
pub fn current(state: &State, here: &Here) -> Observed {
    match (state.status, here.compare(&state.boot_id, state.pid_namespace)) {
        (Status::Exited, place) => {
            let exit = state.exit.unwrap_or(Exit::Unknown);
            let waits = place == Place::Here
                && state.again.at.is_some()
                && matches!(supervisor(state), Liveness::Alive | Liveness::Blocked);
            if waits { Observed::Restarting(exit) } else { Observed::Exited(exit) }
        }
        (Status::Created, _) => Observed::Created,
        (Status::Running | Status::Paused, Place::EarlierBoot) => Observed::Exited(Exit::Unknown),
        (status, Place::Elsewhere) => Observed::Unclear(status),
        (status, Place::Here) => by_processes(status, state),
    }
}

fn by_processes(status: Status, state: &State) -> Observed {
    let paused = status == Status::Paused;
    match state.process.map(|process| process.liveness()) {
        Some(Liveness::Alive | Liveness::Blocked) if paused => Observed::Paused,
        Some(Liveness::Alive) => Observed::Running,
        Some(Liveness::Blocked) => Observed::Unresponsive,
        Some(Liveness::Unclear) => Observed::Unclear(status),
        process @ (Some(Liveness::Zombie | Liveness::Gone) | None) => match supervisor(state) {
            Liveness::Alive | Liveness::Blocked if process.is_none() => Observed::Creating,
            Liveness::Alive | Liveness::Blocked => Observed::Ending,
            Liveness::Unclear => Observed::Unclear(status),
            Liveness::Zombie | Liveness::Gone => Observed::Exited(Exit::Unknown),
        },
    }
}

fn supervisor(state: &State) -> Liveness {
    state.supervisor.as_ref().map_or(Liveness::Gone, ProcessRef::liveness)
}

/// Whether this is what an ephemeral box left that nobody looks after any more. One with cgroups is
/// not for the store to remove: they go first.
pub(super) fn is_leftover(state: &State, here: &Here) -> bool {
    if state.retention != Retention::Ephemeral || state.cgroup.is_some() || state.again.is_being_restarted() {
        return false;
    }
    match here.compare(&state.boot_id, state.pid_namespace) {
        Place::Elsewhere => false,
        Place::EarlierBoot => state.status != Status::Created,
        Place::Here => {
            matches!(current(state, here), Observed::Exited(_))
                && matches!(supervisor(state), Liveness::Gone | Liveness::Zombie)
        }
    }
}
