//! `boxr device ls`

use boxr_engine::cdi;

use crate::cli::{Invocation, run_member};
use crate::report::{Report, write_stdout};

/// Carries out `boxr device COMMAND`.
///
/// # Errors
/// A word that is no command there, and what that command reports.
pub fn group(invocation: Invocation) -> Result<u8, Report> {
    run_member(invocation)
}

/// Carries out `boxr device ls`: what `--device` takes by name. Files that cannot be used are told.
///
/// # Errors
/// Standard output cannot be written.
pub fn list(_invocation: Invocation) -> Result<u8, Report> {
    let found = cdi::find_all(&cdi::directories());
    for name in found.names() {
        write_stdout(&format!("{name}\n"))?;
    }
    for broken in found.broken() {
        Report::new(broken.clone()).print();
    }
    Ok(u8::from(!found.broken().is_empty()))
}
