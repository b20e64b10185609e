//! Files that the command is given for reading, opened anew through the box's own read-only mounts.
//!
//! A descriptor keeps the mount that it was opened through. Whoever has one of the host's can open the file again by its
//! name in /proc/self/fd, for writing where its mode allows it, and change that mode, though every mount of the box is
//! read-only.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{OFlags, SeekFrom, fcntl_getfl, fcntl_setfl, fstat, readlink, seek, tell};
use rustix::io::Errno;

use super::beneath;
use super::scratch::Scratch;
use crate::error::{Step, StepError};
use crate::plan::Plan;
use crate::stdio::Stdio;

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
    let path = readlink(format!("/proc/self/fd/{number}"), Vec::new())?;
    let path = PathBuf::from(std::ffi::OsString::from_vec(path.into_bytes()));
    // What is there now may be a FIFO, for which open(2) would wait.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = Scratch::from(beneath::open_without_links(root, &path, flags)?);
    let (meant, found) = (fstat(given.as_fd())?, fstat(opened.as_fd())?);
    if (meant.st_dev, meant.st_ino) != (found.st_dev, found.st_ino) {
        return Err(Errno::STALE);
    }
    fcntl_setfl(opened.as_fd(), fcntl_getfl(given.as_fd())?)?;
    seek(opened.as_fd(), SeekFrom::Start(tell(given.as_fd())?))?;
    boxr_sys::fd::place(opened.as_fd(), number)
}
