//! One file gets into its place, or out of it, in one step.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, SeekFrom, linkat, makedev, mkdirat, mknodat, openat, readlinkat,
    renameat, renameat_with, seek, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::attributes;
use super::journal::Journal;
use super::parents::Parents;
use crate::attempt::compare::names;
use crate::attempt::entry::{Entry, Shape, join, open_dir};
use crate::attempt::extended;

/// Bytes that are copied at once.
const PIECE: u64 = 1 << 20;

/// What is at a place before something is put there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before<'a> {
    /// Nothing, and what comes there meanwhile stays.
    Nothing,
    /// A directory, which gives way with all in it.
    Directory,
    /// This file; another one, or one that was written meanwhile, stays.
    File(&'a Entry),
    /// A file, whatever it is by now.
    Any,
}

/// Makes a directory, which only the caller may enter until all is in it. What is not a directory gives way.
pub(super) fn make_directory(journal: &mut Journal, parents: &Parents, gives_way: bool) -> Result<(), Errno> {
    let private = Mode::from_raw_mode(0o700);
    if !gives_way {
        return mkdirat(&parents.host, &parents.name[..], private);
    }
    let beside = journal.beside(parents)?;
    mkdirat(&parents.host, &beside[..], private)?;
    take_place(parents, &beside, Before::Directory)
}

/// Moves a file from the changes to its place on the same mount.
///
/// # Errors
/// `EXDEV` where it is on another.
pub(super) fn move_over(journal: &mut Journal, parents: &Parents, before: Before<'_>) -> Result<(), Errno> {
    let Parents { host, upper, name, .. } = parents;
    extended::leave_overlay(upper.as_fd(), name, parents.own)?;
    let over = || retried(upper, || renameat(upper, &name[..], host, &name[..]));
    match before {
        Before::Directory | Before::File(_) => {
            let beside = journal.beside(parents)?;
            match (linkat(upper, &name[..], host, &beside[..], AtFlags::empty()), before) {
                (Ok(()), _) => take_place(parents, &beside, before)?,
                (Err(Errno::XDEV), _) => return Err(Errno::XDEV),
                // A file that may not have two names.
                (Err(_), Before::File(_)) => over()?,
                (Err(errno), _) => return Err(errno),
            }
        }
        Before::Any => over()?,
        Before::Nothing => retried(upper, || {
            match renameat_with(upper, &name[..], host, &name[..], RenameFlags::NOREPLACE) {
                // A filesystem that does not know how; that nothing is there was seen a moment ago.
                Err(Errno::INVAL) => renameat(upper, &name[..], host, &name[..]),
                done => done,
            }
        })?,
    }
    // A rename between two names of one file leaves both.
    parents.forget()
}

/// A directory of the changes that its own user may not write to lets go of a file all the same.
fn retried(upper: &OwnedFd, rename: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    match rename() {
        Err(Errno::ACCESS) => {
            let mode = Entry::of(&rustix::fs::fstat(upper)?).mode;
            if mode & 0o300 == 0o300 {
                return Err(Errno::ACCESS);
            }
            rustix::fs::fchmod(upper, Mode::from_raw_mode(mode | 0o300))?;
            rename()
        }
        done => done,
    }
}

/// Copies a file from the changes beside its place, or links it to a copy that there is, and then puts it there.
pub(super) fn copy_over(
    journal: &mut Journal,
    parents: &Parents,
    before: Before<'_>,
    after: &Entry,
    linked: Option<&Parents>,
) -> Result<(), Errno> {
    let beside = journal.beside(parents)?;
    let made = match linked {
        Some(first) => linkat(&first.host, &first.name[..], &parents.host, &beside[..], AtFlags::empty()),
        None => copy(parents, &beside, after),
    };
    let placed = made.and_then(|()| match before {
        Before::Nothing => put_where_nothing_is(parents, &beside),
        before => take_place(parents, &beside, before),
    });
    if placed.is_err() {
        // The error that counts is the first; the journal knows what is left.
        unlinkat(&parents.host, &beside[..], AtFlags::empty()).unwrap_or_default();
    }
    placed
}

fn put_where_nothing_is(parents: &Parents, beside: &[u8]) -> Result<(), Errno> {
    let Parents { host, name, .. } = parents;
    match renameat_with(host, beside, host, &name[..], RenameFlags::NOREPLACE) {
        Err(Errno::INVAL) => renameat(host, beside, host, &name[..]),
        done => done,
    }
}

/// Puts what is beside a place there, and removes what was there before.
///
/// # Errors
/// `ESTALE` where that is not what it is to be any more: then it is there again.
fn take_place(parents: &Parents, beside: &[u8], before: Before<'_>) -> Result<(), Errno> {
    let Parents { host, name, .. } = parents;
    let exchange = || renameat_with(host, beside, host, &name[..], RenameFlags::EXCHANGE);
    match before {
        Before::Directory => {
            one_mount(host.as_fd(), name)?;
            exchange()?;
            remove_tree(host.as_fd(), beside)
        }
        Before::File(seen) => match exchange() {
            // A filesystem that does not know how; what is there was looked at a moment ago.
            Err(Errno::INVAL) => renameat(host, beside, host, &name[..]),
            Err(errno) => Err(errno),
            Ok(()) => match Entry::at(host.as_fd(), beside)? {
                Some(found) if found.is_same_as(seen) => unlinkat(host, beside, AtFlags::empty()),
                _ => {
                    exchange()?;
                    unlinkat(host, beside, AtFlags::empty())?;
                    Err(Errno::STALE)
                }
            },
        },
        Before::Any | Before::Nothing => renameat(host, beside, host, &name[..]),
    }
}

fn copy(parents: &Parents, beside: &[u8], after: &Entry) -> Result<(), Errno> {
    let Parents { host, upper, name, .. } = parents;
    let private = Mode::from_raw_mode(0o600);
    let device = makedev(after.number.0, after.number.1);
    match after.shape {
        Shape::File => copy_file(upper.as_fd(), name, host.as_fd(), beside)?,
        Shape::Link => symlinkat(readlinkat(upper, &name[..], Vec::new())?, host, beside)?,
        Shape::Directory => return Err(Errno::ISDIR),
        Shape::Character => mknodat(host, beside, rustix::fs::FileType::CharacterDevice, private, device)?,
        Shape::Block => mknodat(host, beside, rustix::fs::FileType::BlockDevice, private, device)?,
        Shape::Pipe => mknodat(host, beside, rustix::fs::FileType::Fifo, private, 0)?,
        Shape::Socket => mknodat(host, beside, rustix::fs::FileType::Socket, private, 0)?,
    }
    let made = attributes::itself(host.as_fd(), beside)?;
    attributes::give(made.as_fd(), after, &extended::of_upper(upper.as_fd(), name, parents.own)?, true)
}

/// Copies the bytes, leaving holes where there are some, until they are on the disk.
fn copy_file(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, beside: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = openat(from, name, flags, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let copy = openat(to, beside, flags, Mode::from_raw_mode(0o600))?;
    let length = Entry::of(&rustix::fs::fstat(&source)?).size;
    rustix::fs::ftruncate(&copy, length)?;
    let mut at = 0;
    while at < length {
        let start = match seek(&source, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL) => at,
            Err(errno) => return Err(errno),
        };
        let end = seek(&source, SeekFrom::Hole(start)).unwrap_or(length);
        copy_range(&source, &copy, start, end)?;
        at = end;
    }
    rustix::fs::fsync(&copy)
}

fn copy_range(source: &OwnedFd, copy: &OwnedFd, start: u64, end: u64) -> Result<(), Errno> {
    let mut at = start;
    let mut buffer = vec![0u8; usize::try_from(PIECE.min(end - start)).unwrap_or(0)];
    while at < end {
        let length = usize::try_from((end - at).min(PIECE)).unwrap_or(0);
        let read = rustix::io::retry_on_intr(|| rustix::io::pread(source, &mut buffer[..length], at))?;
        if read == 0 {
            return Err(Errno::STALE);
        }
        let mut written = 0;
        while written < read {
            let rest = &buffer[written..read];
            written += rustix::io::retry_on_intr(|| rustix::io::pwrite(copy, rest, at + written as u64))?;
        }
        at += read as u64;
    }
    Ok(())
}

/// Removes a file, or a directory with all in it, which disappears at once.
pub(super) fn remove(journal: &mut Journal, parents: &Parents) -> Result<(), Errno> {
    let Parents { host, name, .. } = parents;
    match Entry::at(host.as_fd(), name)? {
        None => Ok(()),
        Some(found) if !found.is_directory() => unlinkat(host, &name[..], AtFlags::empty()),
        Some(_) => {
            one_mount(host.as_fd(), name)?;
            let beside = journal.beside(parents)?;
            renameat(host, &name[..], host, &beside[..])?;
            remove_tree(host.as_fd(), &beside)
        }
    }
}

/// Whether nothing is mounted in a directory.
///
/// # Errors
/// `EBUSY` where something is.
fn one_mount(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let mut waiting = vec![name.to_vec()];
    while let Some(path) = waiting.pop() {
        let opened = match open_dir(dir, &path) {
            Ok(opened) => opened,
            Err(Errno::XDEV) => return Err(Errno::BUSY),
            // A file, or what nobody can be in.
            Err(Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        };
        for name in names(opened.as_fd())? {
            if Entry::at(opened.as_fd(), &name)?.is_some_and(|found| found.is_directory()) {
                waiting.push(join(&path, &name));
            }
        }
    }
    Ok(())
}

/// Removes what `name` is, with all in it, following no link and entering no other mount.
pub(super) fn remove_tree(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let (mut waiting, mut directories) = (vec![name.to_vec()], Vec::new());
    while let Some(path) = waiting.pop() {
        match unlinkat(dir, &path[..], AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            // POSIX says EPERM for directories.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
        let opened = open_dir(dir, &path)?;
        for name in names(opened.as_fd())? {
            match unlinkat(&opened, &name[..], AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) => waiting.push(join(&path, &name)),
                Err(errno) => return Err(errno),
            }
        }
        directories.push(path);
    }
    // Those that hold others come first in the list.
    directories.iter().rev().try_for_each(|path| unlinkat(dir, &path[..], AtFlags::REMOVEDIR))
}
