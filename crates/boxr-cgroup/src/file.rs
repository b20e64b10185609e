//! Reading and writing the kernel's cgroup files, whole, with the path in every error.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Error, Result};

/// Wraps an errno.
pub(crate) fn system(action: &'static str, path: &Path, errno: Errno) -> Error {
    Error::System { action, path: path.to_path_buf(), errno }
}

/// Up to this many bytes in one read(2) are a whole cgroup file: the kernel stops early only where
/// the next line does not fit its page, and lines of these files are short.
const SURELY_WHOLE: usize = 1024;

/// The whole of a cgroup file as text.
pub(crate) fn read(path: &Path) -> Result<String> {
    read_until(path, |last| last < SURELY_WHOLE)
}

/// The whole of any file as text, read until the kernel says that nothing follows.
pub(crate) fn read_all(path: &Path) -> Result<String> {
    read_until(path, |last| last == 0)
}

fn read_until(path: &Path, done: impl Fn(usize) -> bool) -> Result<String> {
    let fail = |errno| system("read", path, errno);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())).map_err(fail)?;
    let mut bytes = Vec::new();
    let mut filled = 0;
    loop {
        bytes.resize(filled + 4096, 0);
        let count = retry_on_intr(|| rustix::io::read(&fd, &mut bytes[filled..])).map_err(fail)?;
        filled += count;
        if done(count) {
            break;
        }
    }
    bytes.truncate(filled);
    String::from_utf8(bytes)
        .map_err(|error| Error::Malformed { path: path.to_path_buf(), text: error.to_string() })
}

/// The whole file as text, or `None` where it does not exist: a controller or a kernel without it.
pub(crate) fn read_if_exists(path: &Path) -> Result<Option<String>> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a cgroup file that values are written to.
pub(crate) fn open_for_writing(path: &Path) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))
}

/// Writes `value` in one write(2), as cgroup files want it.
pub(crate) fn write_to(fd: &OwnedFd, value: &str) -> std::result::Result<(), Errno> {
    retry_on_intr(|| rustix::io::write(fd, value.as_bytes())).map(drop)
}

/// Both.
pub(crate) fn write_raw(path: &Path, value: &str) -> std::result::Result<(), Errno> {
    write_to(&open_for_writing(path)?, value)
}

/// [`write_raw`] with the path in the error.
pub(crate) fn write(path: &Path, value: &str) -> Result<()> {
    write_raw(path, value).map_err(|errno| system("write", path, errno))
}

/// Whether this process may write `path`, by its effective ids.
pub(crate) fn writable(path: &Path) -> bool {
    write_access(path).is_ok()
}

/// [`writable`], with the reason of a no.
pub(crate) fn write_access(path: &Path) -> std::result::Result<(), Errno> {
    rustix::fs::accessat(rustix::fs::CWD, path, rustix::fs::Access::WRITE_OK, AtFlags::EACCESS)
}

/// Whether `path` exists.
pub(crate) fn exists(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXISTS).is_ok()
}

/// Makes one directory; `false` where it exists already.
pub(crate) fn make_directory(path: &Path) -> std::result::Result<bool, Errno> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The directories directly in `path`; empty where it is gone.
pub(crate) fn children(path: &Path) -> Result<Vec<PathBuf>> {
    let fail = |error: std::io::Error| {
        let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
        system("list", path, errno)
    };
    let entries = match std::fs::read_dir(path).map_err(fail) {
        Ok(entries) => entries,
        Err(error) if error.is_gone() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        if entry.file_type().map_err(fail)?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Processes directly in the cgroup `directory`; empty where it is gone.
/// A threaded cgroup has none of its own: its domain lists them.
pub(crate) fn processes_in(directory: &Path) -> Result<Vec<i32>> {
    let path = directory.join("cgroup.procs");
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.is_gone() => return Ok(Vec::new()),
        Err(Error::System { errno: Errno::OPNOTSUPP, .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    text.lines()
        .map(|line| line.parse().map_err(|_| Error::Malformed { path: path.clone(), text: line.into() }))
        .collect()
}

/// The value after `key` in a file of `key value` lines.
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}
