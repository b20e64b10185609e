//! The files of a log, held together while a writer may be rotating them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::LogError;

/// How often a listing that was overtaken by a rotation is made again. A rotation takes some
/// microseconds and comes after megabytes.
const ATTEMPTS: u32 = 100;

/// The directory of a log.
#[derive(Debug)]
pub(super) struct LogDir {
    pub fd: OwnedFd,
    path: PathBuf,
}

/// One file of a log, open. While it is open, its inode number is its alone.
#[derive(Debug)]
pub(super) struct LogFile {
    pub fd: OwnedFd,
    pub inode: u64,
}

impl LogDir {
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| LogError::System {
            action: "open the log directory",
            path: path.to_owned(),
            errno,
        })?;
        Ok(Self { fd, path: path.to_owned() })
    }

    pub fn error(&self, action: &'static str, errno: Errno) -> LogError {
        LogError::System { action, path: self.path.join("log"), errno }
    }

    /// The inode of the file that is written now; `None` before the first and during a rotation.
    pub fn current_inode(&self) -> Result<Option<u64>, LogError> {
        match rustix::fs::statat(&self.fd, "log", AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found.st_ino)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error("look at", errno)),
        }
    }

    /// All files, the oldest first, as they were at one moment.
    pub fn snapshot(&self) -> Result<Vec<LogFile>, LogError> {
        for _ in 0..ATTEMPTS {
            if let Some(files) = self.try_snapshot()? {
                return Ok(files);
            }
        }
        Err(self.error("keep up with the rotation of", Errno::AGAIN))
    }

    fn try_snapshot(&self) -> Result<Option<Vec<LogFile>>, LogError> {
        let numbers = self.numbers().map_err(|errno| self.error("list the files of", errno))?;
        let mut files = Vec::with_capacity(numbers.len());
        for number in &numbers {
            match open_file(&self.fd, *number) {
                Ok(file) => files.push(file),
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(self.error("open", errno)),
            }
        }
        // Nothing was moved if every name still leads to what was opened by it, and none came.
        for (number, file) in numbers.iter().zip(&files) {
            match rustix::fs::statat(&self.fd, name_of(*number), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) if found.st_ino == file.inode => {}
                Ok(_) | Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(self.error("look at", errno)),
            }
        }
        let again = self.numbers().map_err(|errno| self.error("list the files of", errno))?;
        Ok((again == numbers).then_some(files))
    }

    /// 0 for `log`, N for `log.N`; descending.
    fn numbers(&self) -> Result<Vec<u32>, Errno> {
        let mut numbers = Vec::new();
        for entry in Dir::read_from(self.fd.as_fd())? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "log" {
                numbers.push(0);
            } else if let Some(number) = name.strip_prefix("log.").and_then(|n| n.parse::<u32>().ok())
                && name_of(number) == name
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }
}

/// `log`, or `log.N`.
pub(super) fn name_of(number: u32) -> String {
    if number == 0 { "log".to_owned() } else { format!("log.{number}") }
}

fn open_file(dir: &OwnedFd, number: u32) -> Result<LogFile, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name_of(number), flags, Mode::empty())?;
    let inode = rustix::fs::fstat(&fd)?.st_ino;
    Ok(LogFile { fd, inode })
}
