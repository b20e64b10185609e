//! `boxr stop`, and what it shares with `boxr restart`.

use boxr_engine::config::grammar;
use boxr_engine::lifecycle::{self, StopReason, StopTerms};
use boxr_engine::record::State;

use crate::boxes;
use crate::cli::Invocation;
use crate::report::Report;

/// Carries out `boxr stop`.
///
/// # Errors
/// A value that cannot be, or the store; what fails for one box is reported and the others go on.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let terms = terms(&invocation)?;
    let why = if invocation.switch("shutdown") { StopReason::Shutdown } else { StopReason::Person };
    // One that waits to be started again is to wait no more.
    let is_up = |state: &State| boxes::runs(state) || state.again.at.is_some();
    boxes::act(&invocation, is_up, |_, dir| lifecycle::stop_for(why, dir, terms))
}

/// `--time` and `--signal`.
///
/// # Errors
/// A value that cannot be.
pub(super) fn terms(invocation: &Invocation) -> Result<StopTerms, Report> {
    let seconds = invocation.parsed::<i64>("time", "a number of seconds, or -1")?;
    Ok(StopTerms {
        // As docker: a negative number waits for ever.
        grace: seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
        signal: signal(invocation)?,
    })
}

/// `--signal`, a number or a name.
///
/// # Errors
/// One that is no signal.
pub(super) fn signal(invocation: &Invocation) -> Result<Option<i32>, Report> {
    let parse = |text: &str| {
        let unknown = |_| invocation.bad_value("signal", text, "a signal's name or number");
        grammar::signal(text).map(i32::from).map_err(unknown)
    };
    invocation.value("signal").map(parse).transpose()
}
