//! `pause` and `resume`: all processes of a container are suspended, and go on.

use boxr_cgroup::{Cgroup, FREEZE_PATIENCE};

use crate::cli::Globals;
use crate::cli::words::Words;
use crate::container::{Container, State, Status};
use crate::error::Error;

/// Suspends.
///
/// # Errors
/// It is not running; some process cannot be suspended.
pub fn pause(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let (container, state) = find(globals, words.only_id("pause")?)?;
    match container.status(&state)? {
        Status::Running | Status::Created => cgroup(&state)?.freeze(FREEZE_PATIENCE)?,
        _ => return Err(Error::WrongState("container not running or created: cannot be paused".into())),
    }
    Ok(0)
}

/// Lets go on.
///
/// # Errors
/// It is not paused.
pub fn resume(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let (container, state) = find(globals, words.only_id("resume")?)?;
    match container.status(&state)? {
        Status::Paused => cgroup(&state)?.thaw()?,
        _ => return Err(Error::WrongState("container not paused".into())),
    }
    Ok(0)
}

fn find(globals: &Globals, id: &str) -> Result<(Container, State), Error> {
    let container = Container::open(&globals.root, id)?;
    let state = container.state()?;
    Ok((container, state))
}

fn cgroup(state: &State) -> Result<Cgroup, Error> {
    let none = || Error::WrongState("the container has no cgroup, by which it could be paused".into());
    Ok(Cgroup::open(state.cgroup.as_ref().ok_or_else(none)?)?)
}
