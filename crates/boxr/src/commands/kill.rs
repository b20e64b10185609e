//! `boxr kill`

use boxr_engine::lifecycle;
use rustix::process::Signal;

use super::stop;
use crate::boxes;
use crate::cli::Invocation;
use crate::report::Report;

/// Carries out `boxr kill`.
///
/// # Errors
/// A signal that is none, or the store; what fails for one box is reported and the others go on.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let signal = stop::signal(&invocation)?.unwrap_or(Signal::KILL.as_raw());
    boxes::act(&invocation, boxes::runs, |_, dir| lifecycle::kill(dir, signal))
}
