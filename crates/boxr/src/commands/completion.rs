//! `boxr completion`

use crate::cli::{Invocation, completion};
use crate::report::{Report, write_stdout};

/// Prints the completion script of a shell.
///
/// # Errors
/// An unknown shell, or stdout that cannot be written.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let text = match invocation.first() {
        "bash" => completion::bash(),
        "zsh" => completion::zsh(),
        "fish" => completion::fish(),
        other => {
            return Err(Report::new(format!("boxr completion {other}: no completions for this shell"))
                .detail("there are some for bash, zsh and fish")
                .suggest("boxr completion bash"));
        }
    };
    write_stdout(&text)?;
    Ok(0)
}
