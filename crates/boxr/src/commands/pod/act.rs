//! What is done with pods and all of their members.

use boxr_engine::lifecycle::{StopTerms, remove::Force};
use boxr_engine::outcome::EngineError;
use boxr_engine::pod::{self, Outcome};
use boxr_engine::store::{PodDir, Store, StoreError};
use rustix::process::Signal;

use crate::boxes;
use crate::cli::Invocation;
use crate::commands::prune::agreed;
use crate::commands::stop::signal;
use crate::report::{Explain, Report, write_stdout};

/// What podman's commands about pods that are not there end with.
const FAILED: u8 = 125;

/// Reports what failed; whether something did.
pub(super) fn report(outcome: Outcome) -> bool {
    for failed in &outcome {
        failed.error.report().print();
    }
    !outcome.is_empty()
}

/// Does something with each pod of the command line and prints its id. One that fails does not stop the others.
fn each(
    invocation: &Invocation,
    missing: u8,
    action: impl Fn(&Store, &PodDir) -> Result<Outcome, EngineError>,
) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let ignores = invocation.command.flags().any(|flag| flag.long == "ignore") && invocation.switch("ignore");
    let mut status = 0;
    for word in super::targets(&store, invocation)? {
        let done = match store.resolve_pod(&word) {
            Err(StoreError::NoPod { .. }) if ignores => continue,
            Err(error) => Err((EngineError::from(error), missing)),
            Ok(dir) => match action(&store, &dir) {
                Ok(outcome) => Ok((dir.id().to_string(), outcome)),
                Err(error) => Err((error, FAILED)),
            },
        };
        match done {
            Ok((id, outcome)) => {
                if report(outcome) {
                    status = FAILED;
                } else {
                    write_stdout(&format!("{id}\n"))?;
                }
            }
            Err((error, failed)) => {
                error.report().print();
                status = failed;
            }
        }
    }
    Ok(status)
}

/// Carries out `boxr pod start`.
///
/// # Errors
/// The store cannot be opened.
pub fn start(invocation: Invocation) -> Result<u8, Report> {
    each(&invocation, FAILED, pod::start)
}

/// Carries out `boxr pod stop`.
///
/// # Errors
/// A value that cannot be; the store cannot be opened.
pub fn stop(invocation: Invocation) -> Result<u8, Report> {
    let grace = grace(&invocation)?;
    each(&invocation, FAILED, |store, dir| pod::stop(store, dir, grace))
}

/// Carries out `boxr pod restart`.
///
/// # Errors
/// As [`stop`].
pub fn restart(invocation: Invocation) -> Result<u8, Report> {
    let grace = grace(&invocation)?;
    each(&invocation, FAILED, |store, dir| {
        let failed = pod::stop(store, dir, grace)?;
        if failed.is_empty() { pod::start(store, dir) } else { Ok(failed) }
    })
}

fn grace(invocation: &Invocation) -> Result<StopTerms, Report> {
    let seconds = invocation.parsed::<i64>("time", "a number of seconds, or -1")?;
    Ok(StopTerms { grace: seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)), signal: None })
}

/// Carries out `boxr pod kill`.
///
/// # Errors
/// A signal that there is not.
pub fn kill(invocation: Invocation) -> Result<u8, Report> {
    let number = signal(&invocation)?.unwrap_or(Signal::KILL.as_raw());
    each(&invocation, FAILED, |store, dir| pod::kill(store, dir, number))
}

/// Carries out `boxr pod pause`.
///
/// # Errors
/// The store cannot be opened.
pub fn pause(invocation: Invocation) -> Result<u8, Report> {
    each(&invocation, FAILED, pod::pause)
}

/// Carries out `boxr pod unpause`.
///
/// # Errors
/// The store cannot be opened.
pub fn unpause(invocation: Invocation) -> Result<u8, Report> {
    each(&invocation, FAILED, pod::unpause)
}

/// Carries out `boxr pod rm`.
///
/// # Errors
/// A value that cannot be; the store cannot be opened.
pub fn remove(invocation: Invocation) -> Result<u8, Report> {
    let force = if invocation.switch("force") { Force::Yes } else { Force::No };
    let grace = invocation.parsed::<u32>("time", "a number of seconds")?.filter(|seconds| *seconds > 0);
    each(&invocation, 1, |store, dir| {
        if let (Force::Yes, Some(seconds)) = (force, grace) {
            // What does not end so is killed below.
            report(pod::stop(store, dir, StopTerms { grace: Some(seconds), signal: None })?);
        }
        pod::remove(store, dir, force)
    })
}

/// Carries out `boxr pod prune`.
///
/// # Errors
/// Nobody to ask; pods cannot be listed.
pub fn prune(invocation: Invocation) -> Result<u8, Report> {
    let question = "This removes all pods that have ended, with their members. Go on? [y/N] ";
    if !invocation.switch("force") && !agreed("boxr pod prune", question)? {
        return Ok(0);
    }
    let store = boxes::open_store(&invocation.globals)?;
    let (removed, failed) = pod::prune(&store)?;
    removed.iter().try_for_each(|id| write_stdout(&format!("{id}\n")))?;
    Ok(if report(failed) { FAILED } else { 0 })
}
