//! What a person reads when something fails (ARCHITECTURE.md, "Errors"): what boxr was doing and
//! the system's reason, what explains it, and what to do.

mod config;
mod engine;
mod errno;
mod image;
mod lifecycle;
mod network;
mod store;

use std::fmt;
use std::io::{IsTerminal, Write};

pub use errno::{errno_name, errno_text};

/// Status of a failure of boxr itself (docker's, podman's).
pub const FAILED: u8 = 125;

/// An error as a person gets to see it. Made from a library's error by [`Explain`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What boxr was doing, on which object, and the reason.
    pub what: String,
    /// What explains it; a line each.
    pub details: Vec<String>,
    /// Command lines that would help; words in place of a command are fine.
    pub tries: Vec<String>,
    /// The status boxr ends with.
    pub status: u8,
    /// Nothing is printed: the reader of stdout has gone, or it was all said already.
    pub silent: bool,
}

impl Report {
    /// A failure of boxr itself, status 125.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), details: Vec::new(), tries: Vec::new(), status: FAILED, silent: false }
    }

    /// An end without words.
    pub fn silent(status: u8) -> Self {
        Self { status, silent: true, ..Self::new("") }
    }

    /// With an explaining line.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// With a command line that would help.
    #[must_use]
    pub fn suggest(mut self, line: impl Into<String>) -> Self {
        self.tries.push(line.into());
        self
    }

    /// With another status than 125.
    #[must_use]
    pub fn status(mut self, status: u8) -> Self {
        self.status = status;
        self
    }

    /// Writes it to stderr, in colour where that is a terminal and `NO_COLOR` is not set.
    pub fn print(&self) {
        if self.silent {
            return;
        }
        let stderr = std::io::stderr();
        let text = self.render(colour_wanted(&stderr));
        // Nobody is left to be told that stderr cannot be written.
        drop(stderr.lock().write_all(text.as_bytes()));
    }

    /// As text, ending with a newline.
    pub fn render(&self, colour: bool) -> String {
        let (red, bold, plain) = if colour { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        let mut text = format!("{red}error:{plain} {}\n", visible(&self.what));
        for line in &self.details {
            text.push_str(&format!("  {}\n", visible(line)));
        }
        if !self.tries.is_empty() {
            let tries: Vec<String> = self.tries.iter().map(|line| visible(line)).collect();
            text.push_str(&format!("  {bold}try:{plain} {}\n", tries.join("      or: ")));
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

/// An error that can be told to a person. Implemented in this crate for each error of the
/// libraries; `?` then turns it into a [`Report`].
pub trait Explain {
    /// What is printed.
    fn report(&self) -> Report;
}

impl<E: Explain> From<E> for Report {
    fn from(error: E) -> Self {
        error.report()
    }
}

/// Whether `stream` gets colours: a terminal, and `NO_COLOR` unset or empty (no-color.org).
pub fn colour_wanted(stream: &impl IsTerminal) -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && stream.is_terminal()
}

/// Writes results to stdout.
///
/// # Errors
/// A silent report with the status of SIGPIPE when the reader has gone, as `ls | head` ends;
/// otherwise one that names the reason, such as a full disk.
pub fn write_stdout(text: &str) -> Result<(), Report> {
    write_stdout_bytes(text.as_bytes())
}

/// The same for what need not be UTF-8, such as paths.
///
/// # Errors
/// As [`write_stdout`].
pub fn write_stdout_bytes(bytes: &[u8]) -> Result<(), Report> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| stdout_failed(&error))
}

/// The report for a failed write of results.
pub fn stdout_failed(error: &std::io::Error) -> Report {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Report::silent(141);
    }
    Report::new(format!("cannot write to stdout: {}", io_text(error)))
}

/// The system's reason of an I/O error, as [`errno_text`] writes it.
pub fn io_text(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => errno_text(rustix::io::Errno::from_raw_os_error(code)),
        None => error.to_string(),
    }
}

/// Tells a person beside the results. Where nobody listens any more, the results and the status still count.
pub fn tell(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap_or_default();
}

/// Control characters made visible: a file name or a value must not paint on the terminal.
pub(crate) fn visible(line: &str) -> String {
    if !line.contains(|c: char| c.is_control()) {
        return line.to_owned();
    }
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    line.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn it_looks_as_the_design_says() {
        let report = Report::new(format!("cannot create a new uts namespace: {}", errno_text(Errno::PERM)))
            .detail("this needs root or a user namespace, and --userns host forbids one")
            .suggest("boxr run --userns new -- zsh")
            .suggest("sudo boxr run -- zsh");
        let expected = "error: cannot create a new uts namespace: Operation not permitted (EPERM)\n  \
                        this needs root or a user namespace, and --userns host forbids one\n  \
                        try: boxr run --userns new -- zsh      or: sudo boxr run -- zsh\n";
        assert_eq!(report.render(false), expected);
        assert!(report.render(true).starts_with("\x1b[1;31merror:\x1b[0m cannot"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(Report::new("a\x1b[2Jb\n").render(false), "error: a\\u{1b}[2Jb\\n\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_not_an_error_to_read() {
        let report = stdout_failed(&std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!((report.silent, report.status), (true, 141));
    }
}
