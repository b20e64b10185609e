//! The directories that hold a file on both sides.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use crate::attempt::compare::Sides;
use crate::attempt::entry::{open_dir, split};
use crate::attempt::extended::Own;

/// Where a file is, on the host and in the changes.
#[derive(Debug)]
pub(super) struct Parents {
    /// Of which part.
    pub number: u32,
    /// The directory's path beneath the part's.
    pub path: Vec<u8>,
    pub host: OwnedFd,
    pub upper: OwnedFd,
    pub name: Vec<u8>,
    /// By which names overlayfs keeps its own attributes in the changes.
    pub own: Own,
}

impl Parents {
    /// Of the file at `relative` beneath a part.
    ///
    /// # Errors
    /// `ELOOP` and `ENOTDIR` where the host has something else than directories on the way by now.
    pub fn of(sides: &Sides, relative: &[u8]) -> Result<Self, Errno> {
        let (dir, name) = split(relative);
        Ok(Self {
            number: sides.number,
            path: dir.to_vec(),
            host: open_dir(sides.host.as_fd(), dir)?,
            upper: open_dir(sides.upper.as_fd(), dir)?,
            name: name.to_vec(),
            own: sides.own,
        })
    }

    /// Takes what was applied out of the changes.
    pub fn forget(&self) -> Result<(), Errno> {
        match unlinkat(&self.upper, &self.name[..], AtFlags::empty()) {
            // Directories that were removed from an opaque one have no whiteout of their own.
            Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// The same of a directory, once all in it was.
    pub fn forget_directory(&self) -> Result<(), Errno> {
        match unlinkat(&self.upper, &self.name[..], AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
