//! Locks on files that may be removed by their holders.

use std::os::fd::OwnedFd;

use rustix::fs::{FlockOperation, flock, fstat};
use rustix::io::Errno;

use super::StoreError;
use super::files::Root;

/// Whether to wait for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until whoever holds it is done.
    Yes,
    /// Not at all.
    No,
}

/// Opens the file at `path`, made if it is missing, and locks it (flock(2)); `None` when another
/// holds it and `wait` is [`Wait::No`]. The lock goes with the descriptor, and so with the process.
pub(super) fn lock_file(root: &Root, path: &str, wait: Wait) -> Result<Option<OwnedFd>, StoreError> {
    loop {
        let fd = root.open_or_make(path)?;
        match lock(&fd, FlockOperation::LockExclusive, wait) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(errno) => return Err(root.error("lock", path, errno)),
        }
        // Whoever had it before may have removed or replaced it: then this lock is of nothing.
        let stat = fstat(&fd).map_err(|errno| root.error("look at", path, errno))?;
        if root.identity(path)? == Some((stat.st_dev, stat.st_ino)) {
            return Ok(Some(fd));
        }
    }
}

/// Locks an open file; false when another holds it and `wait` is [`Wait::No`].
pub(super) fn lock(fd: &OwnedFd, exclusive_or_shared: FlockOperation, wait: Wait) -> Result<bool, Errno> {
    let operation = match (exclusive_or_shared, wait) {
        (operation, Wait::Yes) => operation,
        (FlockOperation::LockShared, Wait::No) => FlockOperation::NonBlockingLockShared,
        (_, Wait::No) => FlockOperation::NonBlockingLockExclusive,
    };
    match rustix::io::retry_on_intr(|| flock(fd, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}
