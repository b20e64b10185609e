//! `kill`: a signal to a container.

use std::os::fd::AsFd;

use boxr_cgroup::Cgroup;
use boxr_runtime::identity::ProcessError;
use boxr_runtime::signal_names;
use boxr_sys::signal;
use oci_spec::runtime::LinuxNamespaceType;
use rustix::io::Errno;
use rustix::process::Signal;

use crate::cli::Globals;
use crate::cli::words::{Words, text};
use crate::container::{Container, State};
use crate::creation::has_namespace;
use crate::error::Error;

/// Runs the command.
///
/// # Errors
/// Not a signal; the container is not running.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let (id, name) = match words.rest.as_slice() {
        [id] => (text(id)?, "SIGTERM"),
        [id, name] => (text(id)?, text(name)?),
        _ => return Err(Error::Usage("\"kill\" requires a container ID and at most a signal".into())),
    };
    let unknown = || Error::Usage(format!("unknown signal {name:?}"));
    let number = i32::from(signal_names::number(name).ok_or_else(unknown)?);
    let container = Container::open(&globals.root, id)?;
    let state = container.state()?;
    if words.on("all") {
        kill_all(&state, number)?
    } else {
        kill_first(&container, &state, number)?
    }
    Ok(0)
}

fn not_running() -> Error {
    Error::WrongState("container not running".into())
}

/// Without a pid namespace of its own a container does not end with its first process.
fn kill_first(container: &Container, state: &State, number: i32) -> Result<(), Error> {
    if !container.status(state)?.is_alive() {
        return Err(not_running());
    }
    signal_first(state, number)?;
    let own_pids = has_namespace(&container.spec()?, LinuxNamespaceType::Pid);
    if number == Signal::KILL.as_raw() && !own_pids { kill_all(state, number) } else { Ok(()) }
}

/// Signals the first process.
///
/// # Errors
/// It is not running.
pub fn signal_first(state: &State, number: i32) -> Result<(), Error> {
    let pidfd = match state.process.ok_or_else(not_running)?.open() {
        Err(ProcessError::Gone { .. } | ProcessError::Another { .. }) => return Err(not_running()),
        other => other?,
    };
    match signal::send(pidfd.as_fd(), number) {
        Err(Errno::SRCH) => Err(not_running()),
        other => other.map_err(Error::system("signal the container")),
    }
}

/// To every process of its cgroup, also when the first one has ended.
fn kill_all(state: &State, number: i32) -> Result<(), Error> {
    let Some(location) = &state.cgroup else { return signal_first(state, number) };
    let cgroup = Cgroup::open(location)?;
    if number == Signal::KILL.as_raw() {
        return Ok(cgroup.kill()?);
    }
    for pid in cgroup.processes()? {
        match signal::send_to_pid(pid, number) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(Error::System { action: "signal a process of the container", errno }),
        }
    }
    Ok(())
}
