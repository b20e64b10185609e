//! When boxr starts itself once more from a program that boxes cannot write
//! (`boxr_runtime::own_binary`): before anything is changed, printed or read that cannot be read twice.

use std::path::Path;

use boxr_engine::exposure;
use boxr_engine::outcome::EngineError;

use crate::cli::Invocation;
use crate::report::Report;
use crate::trace;

/// The flags whose value is a file that is read while the command line is understood.
const FILES: [&str; 3] = ["file", "env-file", "label-file"];

/// Whatever the box is, if the command line names a pipe: what was read of it would be missing afterwards.
///
/// # Errors
/// boxr's program cannot be protected.
pub fn before_reading(invocation: &Invocation) -> Result<(), Report> {
    let once = FILES
        .iter()
        .filter(|flag| invocation.command.flags().any(|known| known.long == **flag))
        .flat_map(|flag| invocation.values(flag))
        .any(can_be_read_once);
    if once { now() } else { Ok(()) }
}

/// Whatever the box is.
///
/// # Errors
/// boxr's program cannot be protected.
pub fn now() -> Result<(), Report> {
    trace::note(|| "keeps boxes from boxr's program".to_owned());
    Ok(exposure::protect().map_err(EngineError::from)?)
}

fn can_be_read_once(path: &str) -> bool {
    path == "-" || std::fs::metadata(Path::new(path)).is_ok_and(|found| !found.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_and_stdin_can_be_read_once() {
        assert!(can_be_read_once("-") && can_be_read_once("/dev/null"));
        assert!(!can_be_read_once("/etc/passwd") && !can_be_read_once("/no/such/file"));
    }
}
