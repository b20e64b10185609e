//! Owner, mode, attributes and times, given to what a descriptor refers to: a name may be another file's by then.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat, chownat, fstat, openat,
    utimensat,
};
use rustix::io::Errno;

use super::parents::Parents;
use crate::attempt::compare::Sides;
use crate::attempt::entry::{Entry, Shape};
use crate::attempt::extended;

/// A file itself, whatever it is.
pub(super) fn itself(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Gives a file what the same one in the try has, its contents being the same.
pub(super) fn of_file(parents: &Parents, after: &Entry) -> Result<(), Errno> {
    let file = itself(parents.host.as_fd(), &parents.name)?;
    let found = Entry::of(&fstat(&file)?);
    if found.shape != after.shape {
        return Err(Errno::STALE);
    }
    give(file.as_fd(), after, &extended::of_upper(parents.upper.as_fd(), &parents.name, parents.own)?, true)
}

/// The same for a directory, `with_time` where it is new: the time of another one is that of its last change.
pub(super) fn of_directory(parents: &Parents, after: &Entry, with_time: bool) -> Result<(), Errno> {
    let dir = itself(parents.host.as_fd(), &parents.name)?;
    if !Entry::of(&fstat(&dir)?).is_directory() {
        return Err(Errno::NOTDIR);
    }
    give(
        dir.as_fd(),
        after,
        &extended::of_upper(parents.upper.as_fd(), &parents.name, parents.own)?,
        with_time,
    )
}

/// The part's own directory, whose attributes stay with it.
pub(super) fn of_top(sides: &Sides, after: &Entry) -> Result<(), Errno> {
    let dir = itself(sides.host.as_fd(), b".")?;
    let extended = extended::of_host(sides.host.as_fd(), b".")?;
    give(dir.as_fd(), after, &extended, false)
}

/// Gives an inode owner, attributes, mode and times.
pub(super) fn give(
    file: BorrowedFd<'_>,
    wanted: &Entry,
    extended: &BTreeMap<Vec<u8>, Vec<u8>>,
    with_time: bool,
) -> Result<(), Errno> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let found = Entry::of(&fstat(file)?);
    if (found.uid, found.gid) != (wanted.uid, wanted.gid) {
        let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
        chownat(file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    }
    if wanted.shape != Shape::Link {
        extended::put(&path, extended)?;
        // After the owner, a change of which takes set-user-id away.
        chmodat(CWD, &path, Mode::from_raw_mode(wanted.mode), AtFlags::empty())?;
    }
    if !with_time {
        return Ok(());
    }
    let modified = Timespec {
        tv_sec: wanted.modified.div_euclid(1_000_000_000),
        tv_nsec: wanted.modified.rem_euclid(1_000_000_000),
    };
    let times =
        Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: modified };
    utimensat(CWD, &path, &times, AtFlags::empty())
}
