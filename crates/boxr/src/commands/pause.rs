//! `boxr pause`

use boxr_engine::lifecycle;
use boxr_engine::record::Status;

use crate::boxes;
use crate::cli::Invocation;
use crate::report::Report;

/// Carries out `boxr pause`.
///
/// # Errors
/// The store cannot be opened; what fails for one box is reported and the others go on.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    boxes::act(&invocation, |state| state.status == Status::Running, |_, dir| lifecycle::pause(dir))
}
