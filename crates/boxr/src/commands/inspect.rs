//! `boxr inspect`

use crate::cli::Invocation;
use crate::report::Report;

/// Carries out `boxr inspect`.
///
/// # Errors
/// Always, in this build.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    Err(Report::new(format!("boxr {}: not in this build yet", invocation.command.name)))
}
