//! The command line of boxr for people.
//!
//! [`cli`] is static data and a small parser; [`commands`] has one file per command;
//! [`format`] writes results; [`report`] is what a person reads when something fails.

use std::ffi::OsString;

pub mod boxes;
pub mod cli;
pub mod commands;
pub mod format;
pub mod images;
pub mod protect;
pub mod report;
pub mod trace;
pub mod whole_file;

/// Runs a command line, the program's name first; the status to end with.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    match cli::run(args) {
        Ok(status) => {
            trace::note(|| format!("ends with status {status}"));
            status
        }
        Err(report) => {
            trace::note(|| format!("fails with status {}: {}", report.status, report.what));
            report.print();
            report.status
        }
    }
}
