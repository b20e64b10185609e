//! `--debug` and `--log`: what boxr does, a line each, for whoever looks for a fault.
//!
//! Off, it costs one load. A line is appended whole, so that several processes can share a file.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;
use std::time::Instant;

use crate::cli::Globals;
use crate::report::{Report, io_text, visible};

static SINK: OnceLock<Sink> = OnceLock::new();

/// Where lines go.
struct Sink {
    /// `--log`; without it, stderr.
    file: Option<File>,
    began: Instant,
}

/// Begins to write lines, if the command line asks for it: `--log` alone does.
///
/// # Errors
/// A file that cannot be opened.
pub fn start(globals: &Globals) -> Result<(), Report> {
    let file = match &globals.log {
        Some(path) => {
            // Command lines may hold secrets.
            let opened = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
            let failed =
                |error| Report::new(format!("cannot write --log {}: {}", path.display(), io_text(&error)));
            Some(opened.map_err(failed)?)
        }
        None if globals.debug => None,
        None => return Ok(()),
    };
    // Set once: a second time there is one already, and it is kept.
    drop(SINK.set(Sink { file, began: Instant::now() }));
    Ok(())
}

/// Writes a line, if lines are written; `text` is made only then.
pub fn note(text: impl FnOnce() -> String) {
    let Some(sink) = SINK.get() else { return };
    let line = line(sink.began.elapsed().as_micros(), std::process::id(), &text());
    let written = match &sink.file {
        Some(file) => (&*file).write_all(line.as_bytes()),
        None => std::io::stderr().lock().write_all(line.as_bytes()),
    };
    // A trace that cannot be written must not change what boxr does.
    drop(written);
}

/// `boxr[PID] +1.234ms: text`
fn line(micros: u128, pid: u32, text: &str) -> String {
    format!("boxr[{pid}] +{}.{:03}ms: {}\n", micros / 1000, micros % 1000, visible(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(line(1234, 7, "a\nb"), "boxr[7] +1.234ms: a\\nb\n");
        assert_eq!(line(5, 7, "x"), "boxr[7] +0.005ms: x\n");
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_named() {
        let globals = Globals { log: Some("/no/such/directory/log".into()), ..Globals::default() };
        let report = start(&globals).unwrap_err();
        assert!(report.what.contains("/no/such/directory/log") && report.what.contains("ENOENT"), "{report}");
    }
}
