//! Files that the command is given for reading, opened anew through the box's own read-only mounts.
//!
//! A descriptor keeps the mount that it was opened through. Whoever has one of the host's can open the file again by its
//! name in /proc/self/fd, for writing where its mode allows it, and change that mode, though every mount of the box is
//! read-only.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{
    FileType, MemfdFlags, OFlags, SealFlags, SeekFrom, Stat, fcntl_add_seals, fcntl_getfl, fcntl_setfl,
    fstat, memfd_create, readlink, seek, sendfile, tell,
};
use rustix::io::Errno;

use super::beneath;
use super::scratch::Scratch;
use crate::error::{Step, StepError};
use crate::plan::Plan;
use crate::stdio::Stdio;

/// Bytes of a file that are copied where it cannot be opened anew.
const LARGEST_COPY: u64 = 16 << 20;

/// Those of the plan, but for standard descriptors that the command does not get.
pub(super) fn all(root: BorrowedFd<'_>, plan: &Plan) -> Result<(), StepError> {
    let gets = |number: i32| number > 2 || matches!(plan.stdio, Stdio::Inherit);
    for number in plan.confinement.reopened.iter().copied().filter(|number| gets(*number)) {
        one(root, number).map_err(|errno| {
            let name = if number == 0 { "standard input".to_owned() } else { format!("descriptor {number}") };
            StepError::new(
                Step::Reopen,
                format!("{name} (a pipe has no file to open: cat FILE | ...)"),
                errno,
            )
        })?;
    }
    Ok(())
}

fn one(root: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    let given = Scratch::from(boxr_sys::fd::duplicate(number, 3)?);
    let meant = fstat(given.as_fd())?;
    let opened = match in_box(root, number, &meant) {
        Ok(opened) => opened,
        Err(errno) => copied(given.as_fd(), &meant).map_err(|_| errno)?,
    };
    let opened = Scratch::from(opened);
    fcntl_setfl(opened.as_fd(), fcntl_getfl(given.as_fd())?)?;
    seek(opened.as_fd(), SeekFrom::Start(tell(given.as_fd())?))?;
    boxr_sys::fd::place(opened.as_fd(), number)
}

/// The same file, where the box has it.
fn in_box(root: BorrowedFd<'_>, number: i32, meant: &Stat) -> Result<OwnedFd, Errno> {
    let path = readlink(format!("/proc/self/fd/{number}"), Vec::new())?;
    let path = PathBuf::from(std::ffi::OsString::from_vec(path.into_bytes()));
    // What is there now may be a FIFO, for which open(2) would wait.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = beneath::open_without_links(root, &path, flags)?;
    let found = fstat(&opened)?;
    if (meant.st_dev, meant.st_ino) == (found.st_dev, found.st_ino) { Ok(opened) } else { Err(Errno::STALE) }
}

/// What is in a file that the box does not have, such as a shell's here-document without a name, in memory that nobody
/// changes any more.
fn copied(given: BorrowedFd<'_>, meant: &Stat) -> Result<OwnedFd, Errno> {
    let size = u64::try_from(meant.st_size).unwrap_or(u64::MAX);
    if FileType::from_raw_mode(meant.st_mode) != FileType::RegularFile || size > LARGEST_COPY {
        return Err(Errno::FBIG);
    }
    let copy = memfd_create("given", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut from = 0;
    while from < size {
        let left = usize::try_from(size - from).unwrap_or(usize::MAX);
        // It has become shorter meanwhile.
        if sendfile(&copy, given, Some(&mut from), left)? == 0 {
            break;
        }
    }
    fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(copy)
}
