//! One file per command.

pub mod checkpoint;
pub mod create;
pub mod delete;
pub mod events;
pub mod exec;
pub mod features;
pub mod kill;
pub mod list;
pub mod pause;
pub mod ps;
pub mod restore;
pub mod run;
pub mod spec;
pub mod start;
pub mod state;
pub mod update;

use std::io::Write;

use crate::cli::Globals;
use crate::cli::words::Words;
use crate::error::Error;

/// What a command does: its exit status, or an error.
pub type Run = fn(&Globals, &Words) -> Result<u8, Error>;

/// Writes a result; the exit status. Nobody is left to be told that standard output is closed.
pub fn print(text: &str) -> u8 {
    u8::from(std::io::stdout().write_all(text.as_bytes()).is_err())
}
