//! `run`: create, start, wait, delete.

use std::path::Path;

use boxr_cgroup::Cgroup;
use boxr_runtime::hooks::{HookKind, Hooks};
use boxr_runtime::process::parent::Running;
use oci_spec::runtime::Spec;
use rustix::process::Pid;

use super::delete;
use crate::cli::Globals;
use crate::cli::words::Words;
use crate::container::{Container, State};
use crate::creation::{Creation, Made, Starter, run_regardless, wants_terminal};
use crate::error::Error;
use crate::foreground::Foreground;
use crate::log::Log;
use crate::notify::{self, MainPid};

/// What boxr does when the command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It waits, and deletes the container.
    WaitAndDelete,
    /// It waits.
    Wait,
    /// It ends.
    Leave,
}

/// Runs the command.
///
/// # Errors
/// The step that failed; nothing is left behind.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    run_container(globals, words).map_err(Error::failed("boxr-oci run"))
}

fn run_container(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let then = match (words.on("detach"), words.on("keep")) {
        (true, _) => Then::Leave,
        (false, true) => Then::Wait,
        (false, false) => Then::WaitAndDelete,
    };
    let creation = Creation::read(words, "run", Starter::This)?;
    check_terminal(&creation.bundle.spec, creation.console_socket.as_deref(), then)?;
    let pid_file = creation.pid_file.clone();
    if then != Then::Leave && !words.on("no-subreaper") {
        rustix::process::set_child_subreaper(Some(Pid::INIT)).map_err(Error::system("become a subreaper"))?;
    }
    let made = creation.make(globals)?;
    let result = start(globals, made, then);
    if then == Then::WaitAndDelete
        && let Some(file) = pid_file
    {
        // Of a container that is no more; perhaps its reader has removed it.
        std::fs::remove_file(file).unwrap_or_default();
    }
    result
}

fn start(globals: &Globals, made: Made, then: Then) -> Result<u8, Error> {
    let Made { container, state, mut spawned, hooks, signals } = made;
    container.unlock()?;
    if then == Then::Leave {
        spawned.terminal = None;
    }
    // Whoever stays hears of a command that cannot be executed at its end.
    let must_know = then == Then::Leave || hooks.as_ref().is_some_and(|hooks| hooks.has(HookKind::Poststart));
    let finished = notify::Listener::bind(&container).and_then(|service| {
        let running = if must_know { spawned.go()? } else { spawned.release()? };
        let pid = Some(running.pid.as_raw_nonzero().get());
        run_regardless(hooks.as_ref(), HookKind::Poststart, pid, &globals.log);
        if let Some(service) = service {
            tell_when_ready(service, &running, then, &globals.log)?;
        }
        wait(running, signals, then)
    });
    finish(globals, &container, &state, hooks.as_ref(), finished, then)
}

/// Deletes the container, where that is to follow its end or a failure.
pub(super) fn finish(
    globals: &Globals,
    container: &Container,
    state: &State,
    hooks: Option<&Hooks>,
    finished: Result<u8, Error>,
    then: Then,
) -> Result<u8, Error> {
    if matches!(finished, Ok(KILLED)) {
        tell_of_memory(state, &globals.log);
    }
    let failed = finished.is_err();
    if then == Then::WaitAndDelete || failed {
        let deleted = delete::delete_with(globals, container, state, hooks);
        return match (finished, deleted) {
            (Ok(status), Ok(())) => Ok(status),
            (Ok(_), Err(error)) | (Err(error), Ok(())) => Err(error),
            (Err(first), Err(second)) => Err(Error::Several(vec![first, second])),
        };
    }
    finished
}

/// The status of a command that SIGKILL ended.
const KILLED: u8 = 128 + 9;

/// Whether it was the kernel who killed is told by the cgroup alone.
fn tell_of_memory(state: &State, log: &Log) {
    let kills = state.cgroup.as_ref().map(|location| Cgroup::open(location)?.oom_kills());
    if let Some(Ok(Some(kills @ 1..))) = kills {
        log.warn(&format!(
            "the container's memory ran out: the kernel killed {kills} of its processes (OOM)"
        ));
    }
}

/// Whoever leaves waits for it, and names the container's first process as the one to look after. Whoever
/// stays has it done beside: a service that is never ready runs as well.
fn tell_when_ready(service: notify::Listener, running: &Running, then: Then, log: &Log) -> Result<(), Error> {
    if then == Then::Leave {
        return service.wait(&running.pidfd, MainPid::Is(running.pid.as_raw_nonzero().get()));
    }
    let pidfd = running.pidfd.try_clone().map_err(|error| Error::io("wait for", "the container", error))?;
    let log = log.clone();
    std::thread::spawn(move || {
        if let Err(error) = service.wait(pidfd, MainPid::Unchanged) {
            log.warn(&error.to_string());
        }
    });
    Ok(())
}

/// Waits for the end, if that is what boxr does.
pub(super) fn wait(running: Running, signals: std::os::fd::OwnedFd, then: Then) -> Result<u8, Error> {
    match then {
        Then::Leave => Ok(0),
        Then::Wait | Then::WaitAndDelete => Foreground::new(running, signals)?.run(),
    }
}

/// A terminal needs somebody who has its master.
pub(super) fn check_terminal(spec: &Spec, console_socket: Option<&Path>, then: Then) -> Result<(), Error> {
    let terminal = wants_terminal(spec);
    let leaves = then == Then::Leave;
    let mistake = match console_socket {
        None if leaves && terminal => {
            "cannot allocate tty if boxr-oci will detach without setting console socket"
        }
        Some(_) if !leaves || !terminal => {
            "cannot use console socket if boxr-oci will not detach or allocate tty"
        }
        _ => return Ok(()),
    };
    Err(Error::Usage(mistake.to_owned()))
}
