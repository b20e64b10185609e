//! `boxr help`

use crate::cli::{Invocation, help, table};
use crate::report::{Report, write_stdout};

/// Prints the list of commands, or the help of one.
///
/// # Errors
/// An unknown command, or stdout that cannot be written.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let width = help::width();
    let text = match invocation.positionals().first() {
        Some(word) => help::command(table::find(word)?, width),
        None => help::overview(width),
    };
    write_stdout(&text)?;
    Ok(0)
}
