//! Directories that make room for something else.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use crate::store::{each_entry, remove_tree};

const HERE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// Removes the directory `name`, and all that is in it, unless something is mounted there: then nothing.
///
/// # Errors
/// `EBUSY` for a mount; the system's.
pub(super) fn clear(at: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    check(at, &name)?;
    remove_tree(at, &name)
}

/// What is mounted is not of the directory.
fn check(at: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let open = |flags| -> Result<OwnedFd, Errno> {
        match openat2(at, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), HERE) {
            Err(Errno::XDEV) => Err(Errno::BUSY),
            opened => opened,
        }
    };
    let found = open(OFlags::PATH)?;
    if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::Directory {
        return Ok(());
    }
    let dir = open(OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut names: Vec<CString> = Vec::new();
    each_entry(dir.as_fd(), |name| names.push(name.to_owned()))?;
    names.iter().try_for_each(|name| check(dir.as_fd(), name))
}
