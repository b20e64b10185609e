//! Ctrl-C in the middle of a file, of which nothing is to stay.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use boxr_sys::signal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;

/// A pipe whose reader is told of signals by an error, and so comes to clean up. Counts what goes through.
pub(super) struct Interruptible<'f> {
    inner: &'f File,
    signals: OwnedFd,
    /// Bytes that were read.
    pub(super) bytes: u64,
    /// The signal that ended it.
    pub(super) ended_by: Option<i32>,
}

impl<'f> Interruptible<'f> {
    /// From now on signals end the reading, and not the process.
    ///
    /// # Errors
    /// signalfd(2).
    pub(super) fn new(inner: &'f File) -> Result<Self, Errno> {
        Ok(Self { inner, signals: signal::take_all()?.0, bytes: 0, ended_by: None })
    }

    /// Takes a signal, of which some end the reading.
    fn take_signal(&mut self) -> Result<(), Errno> {
        let Some(received) = signal::next(&self.signals)? else { return Ok(()) };
        let number = received.signal;
        let ends = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
        if ends.iter().any(|signal| signal.as_raw() == number) {
            self.ended_by = Some(number);
            return Err(Errno::CANCELED);
        }
        if number == Signal::TSTP.as_raw() { signal::stop_self() } else { Ok(()) }
    }
}

impl Read for Interruptible<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.inner.as_fd(), PollFlags::IN),
            ];
            rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
            let [signals, pipe] = fds.map(|fd| !fd.revents().is_empty());
            if signals {
                self.take_signal()?;
            } else if pipe {
                let read = self.inner.read(buffer)?;
                self.bytes += read as u64;
                return Ok(read);
            }
        }
    }
}
