//! Descriptors that are needed for a moment only.
//!
//! The first process lets go of everything it has open in one close_range(2) before execve(2), so that
//! closing each of the hundred descriptors that a tree of mounts takes would be a hundred system calls
//! for nothing.

use std::mem::forget;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Descriptors from this number on are closed after all: a process has few of them (`RLIMIT_NOFILE`).
const MOST: RawFd = 256;

/// A descriptor that stays open until the first process lets go of all of them, unless there are many.
#[derive(Debug)]
pub(super) struct Scratch(Option<OwnedFd>);

impl From<OwnedFd> for Scratch {
    fn from(fd: OwnedFd) -> Self {
        Self(Some(fd))
    }
}

impl AsFd for Scratch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Some(fd) => fd.as_fd(),
            // Only while it is dropped.
            None => rustix::fs::CWD,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(fd) = self.0.take_if(|fd| fd.as_raw_fd() < MOST) {
            forget(fd);
        }
    }
}
