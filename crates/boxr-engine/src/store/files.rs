//! Files and directories by descriptor: whole writes, whole reads, removal.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(crate) use boxr_sys::file::read_whole;
use rustix::fs::{self, AtFlags, Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::steps::before_change;

/// Read and write for the owner only.
const PRIVATE_FILE: Mode = Mode::from_raw_mode(0o600);
/// Everything for the owner only.
pub(crate) const PRIVATE_DIR: Mode = Mode::from_raw_mode(0o700);

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// A new file that nobody looks for yet is written in place; an existing one is replaced.
    New,
    /// Temporary file and rename.
    Replace,
    /// Also on the disk when the call returns.
    Durable,
}

pub(crate) fn make_dir(at: impl AsFd, path: &str) -> Result<(), Errno> {
    before_change()?;
    fs::mkdirat(at, path, PRIVATE_DIR)
}

/// Makes a directory unless it is there.
pub(crate) fn ensure_dir(at: impl AsFd, path: &str) -> Result<(), Errno> {
    match make_dir(at, path) {
        Err(Errno::EXIST) => Ok(()),
        done => done,
    }
}

/// Opens a directory for reading, the only way in which it can be locked.
pub(crate) fn open_dir(at: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    fs::openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

pub(crate) fn link(target: impl rustix::path::Arg, at: impl AsFd, path: &str) -> Result<(), Errno> {
    before_change()?;
    fs::symlinkat(target, at, path)
}

pub(crate) fn rename(at: impl AsFd, from: &str, to: &str) -> Result<(), Errno> {
    before_change()?;
    let at = at.as_fd();
    fs::renameat(at, from, at, to)
}

/// Removes a file; one that is not there is removed.
pub(crate) fn remove_file(at: impl AsFd, path: impl rustix::path::Arg) -> Result<(), Errno> {
    unlink(at, path, AtFlags::empty())
}

fn unlink(at: impl AsFd, path: impl rustix::path::Arg, flags: AtFlags) -> Result<(), Errno> {
    before_change()?;
    let path = path.into_c_str()?;
    match fs::unlinkat(&at, &*path, flags) {
        Err(Errno::NOENT) => Ok(()),
        // Said before it is looked whether there is anything.
        Err(Errno::ROFS) => match fs::statat(&at, &*path, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            _ => Err(Errno::ROFS),
        },
        done => done,
    }
}

/// Writes a file whole: a reader sees the old contents or the new ones, and a failure leaves
/// the old ones and nothing else.
pub(crate) fn write_whole(at: BorrowedFd<'_>, path: &str, bytes: &[u8], how: Write) -> Result<(), Errno> {
    if how == Write::New {
        match write_new(at, path, bytes, false) {
            Err(Errno::EXIST) => {}
            done => return done,
        }
    }
    let durable = how == Write::Durable;
    loop {
        // Another writer, or one that was killed, may have made a temporary file too.
        let temporary = format!("{path}.{:x}", nanoseconds());
        match write_new(at, &temporary, bytes, durable) {
            Err(Errno::EXIST) => continue,
            done => done?,
        }
        let done = rename(at, &temporary, path);
        if let Err(errno) = done {
            fs::unlinkat(at, &temporary, AtFlags::empty()).ok();
            return Err(errno);
        }
        return if durable { sync_dir_of(at, path) } else { Ok(()) };
    }
}

fn write_new(at: BorrowedFd<'_>, path: &str, bytes: &[u8], durable: bool) -> Result<(), Errno> {
    before_change()?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = fs::openat(at, path, flags, PRIVATE_FILE)?;
    let done = write_all(&file, bytes).and_then(|()| if durable { fs::fdatasync(&file) } else { Ok(()) });
    if done.is_err() {
        // The disk is full: what could be removed is removed; the error that counts is the first.
        fs::unlinkat(at, path, AtFlags::empty()).ok();
    }
    done
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    before_change()?;
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(file, bytes))?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Makes a rename in the directory of `path` last.
fn sync_dir_of(at: BorrowedFd<'_>, path: &str) -> Result<(), Errno> {
    let dir = path.rsplit_once('/').map_or(".", |(dir, _)| dir);
    fs::fsync(open_dir(at, dir)?)
}

/// Calls `visit` with every name in `dir` until it gives false.
pub(crate) fn each_entry(dir: BorrowedFd<'_>, mut visit: impl FnMut(&CStr) -> bool) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8192];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            // The directory has been removed.
            Err(Errno::NOENT) => break,
            entry => entry?,
        };
        let name = entry.file_name();
        if name != c"." && name != c".." && !visit(name) {
            break;
        }
    }
    Ok(())
}

/// Removes an empty directory; one that is not there is removed.
pub(crate) fn remove_empty_dir(at: impl AsFd, path: &str) -> Result<(), Errno> {
    unlink(at, path, AtFlags::REMOVEDIR)
}

/// Removes a directory and all that is in it, without following symlinks.
pub(crate) fn remove_tree(at: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    let remove = || unlink(at, path, AtFlags::REMOVEDIR);
    // Many are empty, for which this is all.
    match remove() {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        done => return done,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match fs::openat(at, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        dir => dir?,
    };
    let mut names: Vec<CString> = Vec::new();
    each_entry(dir.as_fd(), |name| {
        names.push(name.to_owned());
        true
    })?;
    for name in &names {
        match remove_file(&dir, name.as_c_str()) {
            Err(Errno::ISDIR) => remove_tree(dir.as_fd(), name)?,
            done => done?,
        }
    }
    drop(dir);
    remove()
}

/// The same for a tree that may hold files of a container: directories that nobody may read, and files of all
/// the ids that an ordinary user has.
pub(crate) fn remove_tree_of_user(at: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    match remove_tree(at, path) {
        Err(Errno::ACCESS | Errno::PERM) => {
            crate::own_ids::with_all(|| boxr_image::store::remove_tree(at, path))
        }
        done => done,
    }
}

/// The same for an absolute path.
pub(crate) fn remove_tree_of_user_at(path: &CStr) -> Result<(), Errno> {
    remove_tree_of_user(fs::CWD, path)
}

/// Nanoseconds since 1970 UTC.
pub(crate) fn nanoseconds() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}
