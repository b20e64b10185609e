//! Directories of the changes that hide what the host has beneath them become directories with single removals.
//!
//! A change that was applied leaves the try. In an opaque directory it would then look as if the try had removed it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, makedev, mknodat};
use rustix::io::Errno;

use crate::attempt::compare::{Sides, names};
use crate::attempt::entry::{Entry, join, open_dir};
use crate::attempt::extended;

/// Does it for all directories of a part. Killed in between, it can be done again.
///
/// # Errors
/// A directory cannot be read or changed.
pub(super) fn expand(sides: &Sides) -> Result<(), Errno> {
    let mut waiting = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let upper = open_dir(sides.upper.as_fd(), &path)?;
        if extended::is_opaque(upper.as_fd(), sides.own) {
            turn(sides, &path)?;
        }
        waiting.extend(directories(upper.as_fd(), &path)?);
    }
    Ok(())
}

/// An opaque directory with all beneath it: whiteouts first, so that nothing appears in between.
fn turn(sides: &Sides, top: &[u8]) -> Result<(), Errno> {
    let (mut waiting, mut opaque) = (vec![top.to_vec()], Vec::new());
    while let Some(path) = waiting.pop() {
        let upper = open_dir(sides.upper.as_fd(), &path)?;
        let present = names(upper.as_fd())?;
        if let Some(host) = host_dir(sides, &path)? {
            for name in names(host.as_fd())?.difference(&present) {
                let kind = FileType::CharacterDevice;
                mknodat(&upper, &name[..], kind, Mode::empty(), makedev(0, 0))?;
            }
        }
        waiting.extend(directories(upper.as_fd(), &path)?);
        opaque.push(path);
    }
    for path in opaque.iter().rev() {
        extended::clear_opaque(open_dir(sides.upper.as_fd(), path)?.as_fd(), sides.own)?;
    }
    Ok(())
}

fn host_dir(sides: &Sides, path: &[u8]) -> Result<Option<OwnedFd>, Errno> {
    match open_dir(sides.host.as_fd(), path) {
        Ok(dir) => Ok(Some(dir)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn directories(dir: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
    let mut found = Vec::new();
    for name in names(dir)? {
        if Entry::at(dir, &name)?.is_some_and(|entry| entry.is_directory()) {
            found.push(join(path, &name));
        }
    }
    Ok(found)
}
