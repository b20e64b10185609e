//! The directories that criu reads and writes, and its log there.

use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::cli::words::Words;
use crate::error::Error;
use crate::log::Log;

/// As many lines of criu's log are shown.
const QUOTED: usize = 10;

/// Open for criu, which finds them in /proc by boxr's pid.
#[derive(Debug)]
pub struct Directories {
    /// Where the images are.
    pub path: PathBuf,
    images: OwnedFd,
    /// Where logs go, unless they go to the images.
    work: Option<(PathBuf, OwnedFd)>,
}

/// Whether the images are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// They are to be written: their directory is made.
    Write,
    /// They are to be read.
    Read,
}

impl Directories {
    /// As the flags `--image-path` and `--work-path` say.
    ///
    /// # Errors
    /// A directory cannot be made, or opened.
    pub fn open(words: &Words, images: Images) -> Result<Self, Error> {
        let given = words.path("image-path").unwrap_or_else(|| PathBuf::from("checkpoint"));
        let path = std::path::absolute(&given).map_err(|error| Error::io("use", given, error))?;
        if images == Images::Write {
            make(&path)?;
        }
        let opened = open_directory(&path)?;
        let work = match words.path("work-path") {
            None => None,
            Some(given) => {
                let path = std::path::absolute(&given).map_err(|error| Error::io("use", given, error))?;
                make(&path)?;
                let opened = open_directory(&path)?;
                Some((path, opened))
            }
        };
        Ok(Self { path, images: opened, work })
    }

    /// The same, as the caller's present mount namespace has them: criu mounts below its working directory,
    /// which must be of its own namespace.
    ///
    /// # Errors
    /// A directory cannot be opened any more.
    pub fn reopen(&self) -> Result<Self, Error> {
        let work = match &self.work {
            Some((path, _)) => Some((path.clone(), open_directory(path)?)),
            None => None,
        };
        Ok(Self { path: self.path.clone(), images: open_directory(&self.path)?, work })
    }

    /// Number of the images' directory.
    pub fn images_fd(&self) -> RawFd {
        self.images.as_raw_fd()
    }

    /// Number of the one for logs.
    pub fn work_fd(&self) -> Option<RawFd> {
        self.work.as_ref().map(|(_, fd)| fd.as_raw_fd())
    }

    /// Where criu's log `name` is.
    pub fn log(&self, name: &str) -> PathBuf {
        self.work.as_ref().map_or(&self.path, |(path, _)| path).join(name)
    }
}

fn make(path: &Path) -> Result<(), Error> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Error::io("make the directory", path, error))
}

fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map_err(|errno| Error::at("open the directory", path, errno))
}

/// Shows the errors in criu's log, and names it in `error` where criu itself has refused.
pub fn explain(error: Error, path: PathBuf, log: &Log) -> Error {
    let Error::Criu(super::Error::Refused { request, errno, message, .. }) = error else { return error };
    for line in errors(&path) {
        log.warn(&line);
    }
    let path = path.exists().then_some(path);
    super::Error::Refused { request, errno, message, log: path }.into()
}

fn errors(path: &Path) -> Vec<String> {
    // Without a log there is the answer.
    let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok).enumerate();
    let text = lines.map(|(index, line)| (index + 1, String::from_utf8_lossy(&line).into_owned()));
    text.filter(|(_, line)| line.contains("Error"))
        .take(QUOTED)
        .map(|(n, line)| format!("{n}:{line}"))
        .collect()
}
