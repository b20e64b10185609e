//! `boxr prune`

use crate::cli::Invocation;
use crate::report::Report;

/// Carries out `boxr prune`.
///
/// # Errors
/// Always, in this build.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    Err(Report::new(format!("boxr {}: not in this build yet", invocation.command.name)))
}
