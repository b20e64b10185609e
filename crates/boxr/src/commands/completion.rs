//! `boxr completion`

use crate::cli::Invocation;
use crate::report::Report;

/// Prints the completion script of a shell.
///
/// # Errors
/// An unknown shell, or stdout that cannot be written.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    Err(Report::new(format!("boxr {}: not in this build yet", invocation.command.name)))
}
