//! boxr as an OCI runtime: the command line of runc, flag for flag (runc(8)).
//!
//! [`cli`] reads the command line, [`commands`] has one file per command, [`store`] and
//! [`container`] are what lies on disk between two commands, and [`creation`] is the one way from a
//! bundle to a first process. [`criu`] is the way by which `checkpoint` and `restore` go.

pub mod bundle;
pub mod cgroup;
pub mod cli;
pub mod commands;
pub mod console;
pub mod container;
pub mod creation;
pub mod criu;
pub mod error;
pub mod foreground;
pub mod inherited;
pub mod log;
pub mod notify;
pub mod store;

use std::ffi::OsString;

/// Runs a command line, the program's name first; the status to end with.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let invocation = match cli::read(args) {
        Ok(invocation) => invocation,
        Err(error) => {
            // As runc's parser has it.
            let status = if matches!(error, error::Error::NoSuchCommand(_)) { 3 } else { 1 };
            return log::Log::default().fail(&error, status);
        }
    };
    let command = match invocation {
        cli::Invocation::Print(text) => return commands::print(&text),
        cli::Invocation::Run(command) => command,
    };
    let log = &command.globals.log;
    match (command.run)(&command.globals, &command.words) {
        Ok(status) => status,
        Err(error) => log.fail(&error, command.failure_status),
    }
}
