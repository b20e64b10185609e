//! What can be done with a box that exists, one file each.

pub(crate) mod again;
pub mod copy;
mod create;
pub mod debug;
mod exec;
mod freeze;
pub mod inside;
pub mod members;
pub mod prune;
pub mod remove;
pub mod requires;
mod start;
pub mod stats;
mod stop;
#[cfg(test)]
mod tests;
pub mod top;
pub mod update;
pub mod usage;
pub mod wait;
pub(crate) mod waiting;

pub use create::{CreateRequest, create};
pub use exec::{ExecOutcome, ExecRequest, ExecTarget, exec};
pub use freeze::{Pause, pause, unpause};
pub use start::{StartMode, run_detached, run_kept, start};
pub use stop::{StopReason, StopTerms, kill, restart, stop, stop_for};

use rustix::process::Signal;

use crate::options::{BoxOptions, Retention};
use crate::outcome::EngineError;
use crate::record::{State, Status};
use crate::store::{BoxDir, Wait};

/// The number of the signal that asks a box to end: SIGTERM unless it has another.
pub fn stop_signal(options: &BoxOptions) -> i32 {
    options
        .stop_signal
        .as_deref()
        .and_then(|name| crate::config::grammar::signal(name).ok())
        .map_or(Signal::TERM.as_raw(), i32::from)
}

/// Removes a foreground box that has ended.
pub(crate) fn forget(dir: &BoxDir, state: &State) -> Result<(), EngineError> {
    if let Some(lock) = dir.lock(Wait::Yes)?
        && state.retention == Retention::Ephemeral
    {
        if state.networked {
            lock.leave_network()?;
        }
        lock.remove_known(state)?;
    }
    crate::pod::after_end(&dir.whole_store(), state)
}

/// The state of a box, with a monitor where it has lost its own.
///
/// # Errors
/// The state cannot be read, or no monitor started.
pub fn current(dir: &BoxDir) -> Result<State, EngineError> {
    crate::monitor::ensure(dir, dir.read_state()?)
}

/// The first process of a box that runs.
fn running(state: &State) -> Result<crate::record::ProcessRef, EngineError> {
    let runs = matches!(state.status, Status::Running | Status::Paused);
    state.process.filter(|process| runs && process.is_alive()).ok_or_else(|| not_running(&state.name))
}

fn not_running(name: &str) -> EngineError {
    EngineError::Wrong { name: name.to_owned(), is: "is not running".into() }
}
