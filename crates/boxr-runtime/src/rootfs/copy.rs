//! Files of the container that are copied: into a tmpfs that covers them, and links that are made again.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, chownat,
    fchmod, fchown, futimens, mkdirat, mknodat, openat, openat2, readlinkat, statat, symlinkat,
};
use rustix::io::Errno;

use super::beneath;
use crate::error::{At, Step, StepError};
use crate::plan::Filled;

/// Makes the link that `source` is again at `destination` beneath `root`; `false` when it is no link.
pub(super) fn link(root: BorrowedFd<'_>, source: &Path, destination: &Path) -> Result<bool, StepError> {
    let text = match readlinkat(CWD, source, Vec::new()) {
        Err(Errno::INVAL) => return Ok(false),
        other => other.at(Step::MountSource, source.display())?,
    };
    let place = || destination.display();
    let (parent, name) = beneath::open_parent(root, destination).at(Step::MountTarget, place())?;
    match symlinkat(&text, &parent, name) {
        Err(Errno::EXIST) if readlinkat(&parent, name, Vec::new()).as_ref() == Ok(&text) => Ok(true),
        other => other.map(|()| true).at(Step::MountTarget, place()),
    }
}

/// Copies what is in the directory `from`, which may only be a path descriptor, to `to`. Nothing
/// outside of it is reached: no link is followed and no mount entered.
pub(super) fn up(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    copy(from, to, How { nodes: Nodes::Copied, owners: Filled::Theirs })
}

/// How copies differ.
#[derive(Clone, Copy)]
struct How {
    nodes: Nodes,
    owners: Filled,
}

impl How {
    fn owner(self, stat: &Stat) -> (Uid, Gid) {
        let (uid, gid) = match self.owners {
            Filled::One(uid, gid) => (uid, gid),
            Filled::Theirs | Filled::TopStays => (stat.st_uid, stat.st_gid),
        };
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }
}

/// What becomes of device nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nodes {
    Copied,
    /// They would be of use to whoever mounts the copy without `nodev`.
    LeftOut,
}

fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, how: How) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(from)?;
    let to = open_directory(to, ".".as_ref())?;
    if how.owners != Filled::TopStays {
        let (uid, gid) = how.owner(&stat);
        fchown(&to, Some(uid), Some(gid))?;
    }
    directory(open_directory(from, ".".as_ref())?.as_fd(), to.as_fd(), how)
}

/// The same without devices, and with the mode, if `to` is empty.
pub(super) fn fill(from: BorrowedFd<'_>, to: BorrowedFd<'_>, owners: Filled) -> Result<(), Errno> {
    let opened = open_directory(to, ".".as_ref())?;
    for entry in Dir::read_from(&opened)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            return Ok(());
        }
    }
    copy(from, to, How { nodes: Nodes::LeftOut, owners })?;
    if owners == Filled::TopStays {
        return Ok(());
    }
    let stat = rustix::fs::fstat(from)?;
    fchmod(&opened, Mode::from_raw_mode(stat.st_mode & 0o7777))
}

fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, how: How) -> Result<(), Errno> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        copy_entry(from, to, name, &stat, how)?;
    }
    Ok(())
}

fn copy_entry(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    stat: &Stat,
    how: How,
) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    let kind = FileType::from_raw_mode(stat.st_mode);
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    match kind {
        FileType::Directory => {
            let Some(source) = of_this_mount(open_directory(from, path))? else { return Ok(()) };
            mkdirat(to, name, Mode::RWXU)?;
            let made = open_directory(to, path)?;
            directory(source.as_fd(), made.as_fd(), how)?;
            finish(&made, stat, mode, how)?;
            return attributes(source.as_fd(), made.as_fd());
        }
        FileType::RegularFile => {
            let Some(source) = of_this_mount(open_inside(from, path, OFlags::RDONLY))? else { return Ok(()) };
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
            let (mut reader, mut writer) = (std::fs::File::from(source), std::fs::File::from(made));
            std::io::copy(&mut reader, &mut writer)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            finish(&writer, stat, mode, how)?;
            return attributes(reader.as_fd(), writer.as_fd());
        }
        FileType::Symlink => symlinkat(readlinkat(from, name, Vec::new())?, to, name)?,
        FileType::CharacterDevice | FileType::BlockDevice if how.nodes == Nodes::LeftOut => return Ok(()),
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice => {
            mknodat(to, name, kind, mode, stat.st_rdev)?;
        }
        FileType::Unknown => return Err(Errno::NOTSUP),
    }
    let (uid, gid) = how.owner(stat);
    chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// What was opened; nothing where something else is mounted, which is no part of the tree.
fn of_this_mount(opened: Result<OwnedFd, Errno>) -> Result<Option<OwnedFd>, Errno> {
    match opened {
        Err(Errno::XDEV) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Capabilities of files, access lists, and what users have noted (xattr(7)), as far as the new filesystem
/// has such.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut names = vec![0u8; 1 << 16];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Err(Errno::NOTSUP) => return Ok(()),
        length => length?,
    };
    let is_wanted = |name: &&[u8]| {
        *name == b"security.capability"
            || name.starts_with(b"system.posix_acl_")
            || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
    };
    let mut value = vec![0u8; 1 << 16];
    for name in names[..length].split(|byte| *byte == 0).filter(is_wanted) {
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        match rustix::fs::fsetxattr(to, name, &value[..length], rustix::fs::XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Owner, mode and times, in the order in which each survives the next.
fn finish(file: impl AsFd, stat: &Stat, mode: Mode, how: How) -> Result<(), Errno> {
    let (uid, gid) = how.owner(stat);
    fchown(&file, Some(uid), Some(gid))?;
    fchmod(&file, mode)?;
    let time = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as i64 };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    futimens(&file, &times)
}

fn open_directory(dir: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd, Errno> {
    open_inside(dir, name, OFlags::RDONLY | OFlags::DIRECTORY)
}

fn open_inside(dir: BorrowedFd<'_>, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(dir, name, flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty(), resolve)
}
