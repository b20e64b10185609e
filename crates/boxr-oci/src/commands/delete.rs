//! `delete`: what a container holds is given back.

use std::os::fd::AsFd;

use boxr_cgroup::Cgroup;
use boxr_runtime::hooks::{HookKind, Hooks};
use boxr_runtime::identity::ProcessError;
use boxr_runtime::plan::CgroupPlan;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use super::kill;
use crate::cgroup::cgroup;
use crate::cli::Globals;
use crate::cli::words::Words;
use crate::container::{Container, State, Status};
use crate::creation::run_regardless;
use crate::error::Error;

/// Whether a container that runs is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Force {
    Yes,
    No,
}

/// Runs the command.
///
/// # Errors
/// The container runs, and force was not asked for; something of it cannot be removed.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let id = words.only_id("delete")?;
    let force = if words.on("force") { Force::Yes } else { Force::No };
    match (Container::open(&globals.root, id), force) {
        (Err(Error::NoSuchContainer), Force::Yes) => Ok(0),
        (opened, force) => delete_one(globals, &opened?, id, force).map(|()| 0),
    }
}

fn delete_one(globals: &Globals, container: &Container, id: &str, force: Force) -> Result<(), Error> {
    container.lock()?;
    let state = match (container.state(), force) {
        // Made by a boxr that was killed before it wrote anything, or damaged.
        (Err(Error::NoSuchContainer | Error::Config { .. }), Force::Yes) => {
            return delete_unknown(globals, container, id);
        }
        (state, _) => state?,
    };
    match (container.status(&state)?, force) {
        (Status::Stopped | Status::Creating, _) => {}
        (Status::Created, _) | (_, Force::Yes) => end(&state)?,
        (status, Force::No) => {
            let status = status.word();
            return Err(Error::WrongState(format!(
                "cannot delete container {id} that is not stopped: {status}"
            )));
        }
    }
    delete(globals, container, &state)
}

/// Without a state the specification tells where its processes are, if there are any.
fn delete_unknown(globals: &Globals, container: &Container, id: &str) -> Result<(), Error> {
    // As long as it is being made there may be none, and then nothing else was made.
    if let Ok(spec) = container.spec()
        && let CgroupPlan::New(plan) = cgroup(globals, id, &spec)?
    {
        remove_cgroup(plan.location())?;
    }
    container.remove()
}

/// Kills the first process and waits for its end.
pub(super) fn end(state: &State) -> Result<(), Error> {
    let Some(process) = state.process else { return Ok(()) };
    let pidfd = match process.open() {
        Err(ProcessError::Gone { .. } | ProcessError::Another { .. }) => return Ok(()),
        other => other?,
    };
    match kill::signal_first(state, Signal::KILL.as_raw()) {
        Ok(()) | Err(Error::WrongState(_)) => {}
        Err(error) => return Err(error),
    }
    // A frozen process on cgroup v1 gets the signal when it is thawed.
    if let Some(location) = &state.cgroup {
        let cgroup = Cgroup::open(location)?;
        if cgroup.frozen()? != boxr_cgroup::Frozen::No {
            cgroup.thaw()?;
        }
    }
    loop {
        match poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], None) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::System { action: "wait for the container's end", errno }),
        }
    }
}

/// Removes all of a container that has ended, by what its files say of it.
///
/// # Errors
/// Of each part.
pub(super) fn delete(globals: &Globals, container: &Container, state: &State) -> Result<(), Error> {
    // Read before they are gone; without them there is nothing to run.
    match container.spec().and_then(|spec| Ok(Hooks::new(&spec, &state.id, state.bundle.clone())?)) {
        Ok(hooks) => delete_with(globals, container, state, hooks.as_ref()),
        Err(error) => {
            globals.log.warn(&format!("no poststop hooks are run: {error}"));
            delete_with(globals, container, state, None)
        }
    }
}

/// Removes all of a container that has ended and runs its last hooks; goes on after a failure and
/// reports what failed.
///
/// # Errors
/// Of each part.
pub fn delete_with(
    globals: &Globals,
    container: &Container,
    state: &State,
    hooks: Option<&Hooks>,
) -> Result<(), Error> {
    let mut errors = Vec::new();
    if let Some(location) = &state.cgroup {
        errors.extend(remove_cgroup(location).err());
    }
    errors.extend(state.intel_rdt.remove().map_err(boxr_runtime::Error::from).err().map(Error::from));
    if errors.is_empty() {
        errors.extend(container.remove().err());
    }
    run_regardless(hooks, HookKind::Poststop, None, &globals.log);
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(Error::Several(errors)),
    }
}

/// What outlived the first process, which happens without a pid namespace of its own, ends here.
pub(super) fn remove_cgroup(location: &boxr_cgroup::Location) -> Result<(), Error> {
    Ok(location.kill_and_remove()?)
}
