//! `start`: the command of a created container runs.

use boxr_runtime::agent::Agent;
use boxr_runtime::hooks::{HookKind, Hooks};
use boxr_runtime::process::start;
use boxr_runtime::told;
use oci_spec::runtime::Spec;
use rustix::process::Pid;

use crate::cli::Globals;
use crate::cli::words::Words;
use crate::container::{Container, State, Status};
use crate::creation::run_regardless;
use crate::error::Error;
use crate::notify::{self, MainPid};

/// Runs the command.
///
/// # Errors
/// The container is not waiting, or its command could not be executed.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let container = Container::open(&globals.root, words.only_id("start")?)?;
    container.lock()?;
    let state = container.state()?;
    match container.status(&state)? {
        Status::Created => {}
        Status::Stopped => {
            return Err(Error::WrongState("cannot start a container that has stopped".into()));
        }
        _ => return Err(Error::WrongState("cannot start an already running container".into())),
    }
    let spec = container.spec()?;
    let first = state.process.ok_or_else(|| Error::WrongState("container not running".into()))?;
    let pid = Pid::from_raw(first.pid).ok_or_else(|| Error::WrongState("container not running".into()))?;
    let service = notify::Listener::bind(&container)?;
    start::start(container.dir(), pid, agent(&spec, &state)?)?;
    container.note_started()?;
    poststart(globals, &spec, &state)?;
    if let Some(service) = service {
        container.unlock()?;
        service.wait(&first.open()?, MainPid::Is(first.pid))?;
    }
    Ok(0)
}

/// Who answers calls that the container's seccomp filter puts to an agent.
fn agent(spec: &Spec, state: &State) -> Result<Option<Agent>, Error> {
    let Some(profile) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) else {
        return Ok(None);
    };
    Ok(Agent::of(profile, &told::state(spec, &state.id, state.bundle.clone()))?)
}

/// Hooks after the start; what fails there is told and gone past (runtime specification, "Lifecycle").
fn poststart(globals: &Globals, spec: &Spec, state: &State) -> Result<(), Error> {
    let hooks = Hooks::new(spec, &state.id, state.bundle.clone())?;
    let pid = state.process.map(|process| process.pid);
    run_regardless(hooks.as_ref(), HookKind::Poststart, pid, &globals.log);
    Ok(())
}
