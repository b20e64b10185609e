//! The files of a log, held together while a writer may be rotating them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::LogError;
use crate::options::LogTarget;

/// How often a listing that was overtaken by a rotation is made again. A rotation takes some
/// microseconds and comes after megabytes.
const ATTEMPTS: u32 = 100;

/// The directory of a log.
#[derive(Debug)]
pub(super) struct LogDir {
    pub fd: OwnedFd,
    path: PathBuf,
    name: String,
}

/// Where a log is: its directory, and the name of the file that is written now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// The directory.
    pub dir: PathBuf,
    /// The file in it.
    pub name: String,
}

impl LogPlace {
    /// That of a box with this data directory.
    pub fn of(data: &Path, target: &LogTarget) -> Self {
        let said = target.path.as_deref().and_then(|path| path.parent().zip(path.file_name()));
        match said {
            Some((dir, name)) => Self { dir: dir.to_owned(), name: name.to_string_lossy().into_owned() },
            None => data.into(),
        }
    }

    /// The file that is written now.
    pub fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }
}

impl From<&Path> for LogPlace {
    /// The usual file in a box's data directory.
    fn from(data: &Path) -> Self {
        Self { dir: data.to_owned(), name: "log".to_owned() }
    }
}

/// One file of a log, open. While it is open, its inode number is its alone.
#[derive(Debug)]
pub(super) struct LogFile {
    pub fd: OwnedFd,
    pub inode: u64,
}

impl LogDir {
    pub fn open(place: &LogPlace) -> Result<Self, LogError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = &place.dir;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| LogError::System {
            action: "open the log directory",
            path: path.clone(),
            errno,
        })?;
        Ok(Self { fd, path: path.clone(), name: place.name.clone() })
    }

    pub fn error(&self, action: &'static str, errno: Errno) -> LogError {
        LogError::System { action, path: self.path.join(&self.name), errno }
    }

    /// The inode of the file that is written now; `None` before the first and during a rotation.
    pub fn current_inode(&self) -> Result<Option<u64>, LogError> {
        match rustix::fs::statat(&self.fd, self.name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
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
            match self.open_file(*number) {
                Ok(file) => files.push(file),
                Err(Refused::System(Errno::NOENT)) => return Ok(None),
                Err(refused) => return Err(refused.at(self.path.join(name_of(&self.name, *number)))),
            }
        }
        // Nothing was moved if every name still leads to what was opened by it, and none came.
        for (number, file) in numbers.iter().zip(&files) {
            match rustix::fs::statat(&self.fd, name_of(&self.name, *number), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) if found.st_ino == file.inode => {}
                Ok(_) | Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(self.error("look at", errno)),
            }
        }
        let again = self.numbers().map_err(|errno| self.error("list the files of", errno))?;
        Ok((again == numbers).then_some(files))
    }

    fn open_file(&self, number: u32) -> Result<LogFile, Refused> {
        // The directory may be one that a container writes to: a FIFO must not hold up whoever reads.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name_of(&self.name, number), flags, Mode::empty())?;
        let inode = regular(&fd)?.st_ino;
        Ok(LogFile { fd, inode })
    }

    /// 0 for `log`, N for `log.N`; descending.
    fn numbers(&self) -> Result<Vec<u32>, Errno> {
        let mut numbers = Vec::new();
        for entry in Dir::read_from(self.fd.as_fd())? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let tail = name.strip_prefix(self.name.as_str());
            if tail == Some("") {
                numbers.push(0);
            } else if let Some(number) = tail.and_then(|tail| tail.strip_prefix('.')?.parse::<u32>().ok())
                && name_of(&self.name, number) == name
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }
}

/// Why a file of a log was not opened.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is a FIFO, a device or the like in its place.
    NotAFile,
    System(Errno),
}

impl Refused {
    pub fn at(self, path: PathBuf) -> LogError {
        match self {
            Self::NotAFile => LogError::NotAFile { path },
            Self::System(errno) => LogError::System { action: "open", path, errno },
        }
    }
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// What fstat(2) tells of a file, which `fd` must be.
pub(super) fn regular(fd: impl AsFd) -> Result<Stat, Refused> {
    let found = rustix::fs::fstat(fd)?;
    let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    if is_file { Ok(found) } else { Err(Refused::NotAFile) }
}

/// `log`, or `log.N`.
pub(super) fn name_of(log: &str, number: u32) -> String {
    if number == 0 { log.to_owned() } else { format!("{log}.{number}") }
}
