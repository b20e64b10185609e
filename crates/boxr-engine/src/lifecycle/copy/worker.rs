//! The process that works within a box.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::pidfd::reap;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::outcome::EngineError;

/// Bytes that go through at once.
pub(super) const BUFFER: usize = 128 * 1024;
/// The longest word about how it went, in bytes; a pipe holds as much without anybody who reads.
const LONGEST: usize = 4096;
/// Before the numbers of what was left out, or before what went wrong.
const DONE: &str = "+";
const FAILED: &str = "-";

/// What was left out; each a number of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub sockets: u64,
    pub devices: u64,
    pub owners: u64,
}

impl Told {
    /// In words.
    pub(super) fn notes(self) -> Vec<String> {
        let mut notes = Vec::new();
        for (number, what) in [
            (self.sockets, "sockets were left out"),
            (self.devices, "devices were left out"),
            (self.owners, "files belong to the caller, who may not give them away"),
        ] {
            if number > 0 {
                notes.push(format!("{number} {what}"));
            }
        }
        notes
    }

    fn spelled(self) -> String {
        format!("{DONE}{} {} {}", self.sockets, self.devices, self.owners)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix(DONE)?.split(' ').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { sockets: next()?, devices: next()?, owners: next()? })
    }
}

/// A worker that was started.
#[derive(Debug)]
pub(super) struct Worker {
    pidfd: OwnedFd,
    told: File,
    way: &'static str,
    name: String,
}

impl Worker {
    /// One that gives us what we read.
    pub(super) fn that_writes(
        way: &'static str,
        name: &str,
        work: impl FnOnce(File) -> Result<Told, String>,
    ) -> Result<(File, Self), EngineError> {
        let (out, into) = pipe()?;
        Self::start(way, name, (out, into), work)
    }

    /// One that takes what we write.
    pub(super) fn that_reads(
        way: &'static str,
        name: &str,
        work: impl FnOnce(File) -> Result<Told, String>,
    ) -> Result<(File, Self), EngineError> {
        let (out, into) = pipe()?;
        Self::start(way, name, (into, out), work)
    }

    fn start(
        way: &'static str,
        name: &str,
        (ours, theirs): (OwnedFd, OwnedFd),
        work: impl FnOnce(File) -> Result<Told, String>,
    ) -> Result<(File, Self), EngineError> {
        let (told, tell) = pipe()?;
        let cloned = clone3(0, None, Parent::Caller).map_err(|errno| failed("start a process", errno))?;
        match cloned {
            Cloned::Child => {
                drop((ours, told));
                let word = match work(File::from(theirs)) {
                    Ok(told) => told.spelled(),
                    Err(reason) => format!("{FAILED}{reason}"),
                };
                // Whoever cannot be told hears that nothing came.
                write_all(&File::from(tell), &word.as_bytes()[..word.len().min(LONGEST)]).unwrap_or_default();
                exit_now(0)
            }
            Cloned::Parent { pidfd, .. } => {
                drop((theirs, tell));
                let worker = Self { pidfd, told: File::from(told), way, name: name.to_owned() };
                Ok((File::from(ours), worker))
            }
        }
    }

    /// Waits for its end and hears how it went.
    pub(super) fn finish(mut self) -> Result<Told, EngineError> {
        let mut word = Vec::new();
        let heard = self.told.read_to_end(&mut word);
        reap(self.pidfd.as_fd(), true).map_err(|errno| failed("wait for a process", errno))?;
        let word = String::from_utf8_lossy(&word).into_owned();
        let copy = |reason: String| EngineError::Copy { way: self.way, name: self.name.clone(), reason };
        heard.map_err(|error| copy(error.to_string()))?;
        match word.strip_prefix(FAILED) {
            Some(reason) => Err(copy(reason.to_owned())),
            None => Told::parse(&word).ok_or_else(|| copy("the process that copied was ended".to_owned())),
        }
    }
}

/// Writes all of it.
pub(super) fn write_all(to: &File, bytes: &[u8]) -> Result<(), String> {
    let mut to = to;
    std::io::Write::write_all(&mut to, bytes).map_err(|error| error.to_string())
}

fn pipe() -> Result<(OwnedFd, OwnedFd), EngineError> {
    pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed("make a pipe", errno))
}

fn failed(doing: &str, errno: Errno) -> EngineError {
    EngineError::system(doing, errno)
}
