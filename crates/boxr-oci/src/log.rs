//! The log: errors for people on standard error, and for programs in a file (`--log`, `--log-format`).

use std::io::Write;
use std::path::PathBuf;

use boxr_runtime::timestamp;
use serde::Serialize;

use crate::cli::words::Words;
use crate::error::Error;

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    /// `time="…" level=error msg="…"`
    #[default]
    Text,
    /// One JSON object: containerd, podman and CRI-O show its `msg`.
    Json,
}

/// Where and how.
#[derive(Clone, Debug, Default)]
pub struct Log {
    file: Option<PathBuf>,
    format: Format,
    debug: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'a str,
    msg: &'a str,
    time: &'a str,
}

impl Log {
    /// As the global flags say.
    ///
    /// # Errors
    /// An unknown format.
    pub fn new(words: &Words) -> Result<Self, Error> {
        let format = match words.text("log-format")?.unwrap_or("text") {
            "text" | "" => Format::Text,
            "json" => Format::Json,
            other => return Err(Error::Usage(format!("invalid log-format: {other}"))),
        };
        let file = words.path("log").filter(|file| file.as_os_str() != "/dev/stderr");
        Ok(Self { file, format, debug: words.on("debug") })
    }

    /// Writes an error; `status` is what the program ends with.
    pub fn fail(&self, error: &Error, status: u8) -> u8 {
        self.write("error", &error.to_string());
        if self.file.is_some() {
            complain(&error.to_string());
        }
        status
    }

    /// Something that went wrong and is gone past.
    pub fn warn(&self, message: &str) {
        self.write("warning", message);
    }

    /// What is being done, with `--debug`.
    pub fn debug(&self, message: impl FnOnce() -> String) {
        if self.debug {
            self.write("debug", &message());
        }
    }

    fn write(&self, level: &str, msg: &str) {
        let line = self.line(level, msg);
        let Some(path) = &self.file else {
            return complain(&line);
        };
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
            complain(&format!("cannot write the log {}: {error}", path.display()));
        }
    }

    fn line(&self, level: &str, msg: &str) -> String {
        let time = timestamp::format(timestamp::now());
        // Seconds are enough: `2026-11-25T18:13:55Z`.
        let time = format!("{}Z", String::from_utf8_lossy(&time[..19]));
        match self.format {
            Format::Text => format!("time=\"{time}\" level={level} msg={msg:?}"),
            Format::Json => serde_json::to_string(&Line { level, msg, time: &time })
                .unwrap_or_else(|error| error.to_string()),
        }
    }
}

/// Standard error may be closed or full: then there is nobody to tell.
fn complain(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap_or_default();
}
