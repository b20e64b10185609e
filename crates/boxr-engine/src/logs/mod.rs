//! What a detached box prints: written by its monitor, read by `boxr logs`.
//!
//! A log is the file `log` in a box's data directory and its predecessors `log.1`, `log.2`, …, the higher
//! the older. One entry is one line, in the form the Kubernetes runtime interface has for logs:
//!
//! ```text
//! 2026-11-24T03:29:41.123456789Z stdout F a whole line
//! 2026-11-24T03:29:42.000000000Z stderr P a piece without an end of line
//! ```
//!
//! A piece (`P`) is continued by the next entry of its stream. Text is kept byte by byte, so what is
//! read back is what was printed. A piece is written as soon as it is there, not when its line ends:
//! what a monitor held back would be lost with it.
//!
//! *The end.* The monitor writes all output before it writes that the box has exited. So whoever
//! finds it exited and *then* reads to the end of the log has read all of it.

mod entry;
mod files;
mod follow;
mod read;
mod target;
#[cfg(test)]
mod tests;
pub mod time;
mod write;

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

pub use entry::Stream;
pub use files::LogPlace;
pub use follow::Follower;
pub use read::{Query, read};
pub use target::{Log, WhoLogs};
pub use write::LogWriter;

/// A log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error("cannot {action} {path:?}: {errno}")]
    System {
        /// What was tried, as it follows "cannot".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// There is something else in its place, such as a FIFO.
    #[error("{path:?} is not a file, so it can be no log")]
    NotAFile {
        /// Where.
        path: PathBuf,
    },
    /// A file beside `--log-opt path` has the name of one that a rotation makes, and boxr did not write it.
    #[error("{path:?} is not one of boxr's logs, and a rotation of the log would replace it")]
    Foreign {
        /// Where.
        path: PathBuf,
    },
    /// Whoever was to get the output does not take it.
    #[error("cannot write the log's text: {0}")]
    Output(#[from] io::Error),
}

/// Who gets what was printed.
pub trait Sink {
    /// Takes bytes of one stream.
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()>;

    /// Everything there is for now has been given.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The two streams to two writers, such as stdout and stderr.
#[derive(Debug)]
pub struct Split<O, E> {
    /// What the box wrote to its stdout.
    pub stdout: O,
    /// What the box wrote to its stderr.
    pub stderr: E,
}

impl<O: io::Write, E: io::Write> Sink for Split<O, E> {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        match stream {
            Stream::Stdout => self.stdout.write_all(bytes),
            Stream::Stderr => self.stderr.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()?;
        self.stderr.flush()
    }
}
