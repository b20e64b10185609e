//! `boxr config`

use crate::cli::Invocation;
use crate::report::Report;

/// Prints the config script of a shell.
///
/// # Errors
/// A file that exists, or cannot be written.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    Err(Report::new(format!("boxr {}: not in this build yet", invocation.command.name)))
}
