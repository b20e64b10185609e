//! What an apply has under way beside a file's place: written down before it is made, and taken away by whoever comes
//! next when boxr was killed.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::io::Errno;

use super::parents::Parents;
use super::stage::remove_tree;
use crate::attempt::compare::Sides;
use crate::attempt::entry::{Entry, open_dir};
use crate::attempt::{Attempt, AttemptError};
use crate::nsview::mounts::errno_of;

const FILE: &str = "applying";

/// Its length, in bytes. It has them from the beginning, so that a full disk keeps nobody from an apply; a path has at most
/// 4096.
const LENGTH: usize = 8192;

/// What is beside a file's place: the number of the part and the directory beneath it, as `N\nDIR\0`.
/// Nothing is under way where it begins with a zero.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// The name of all of this try's.
    name: Vec<u8>,
    noted: Option<(u32, Vec<u8>)>,
}

/// Makes the file of a new try.
pub(in crate::attempt) fn make(data: &Path) -> Result<(), AttemptError> {
    let path = data.join(FILE);
    std::fs::write(&path, [0; LENGTH]).map_err(|error| AttemptError::file("write", path)(errno_of(&error)))
}

fn name_of(attempt: &Attempt) -> Vec<u8> {
    let id = attempt.data.file_name().map(|id| id.to_string_lossy().into_owned()).unwrap_or_default();
    format!(".boxr-{}", id.get(..12).unwrap_or(&id)).into_bytes()
}

impl Journal {
    pub fn open(attempt: &Attempt) -> Result<Self, AttemptError> {
        let path = attempt.data.join(FILE);
        let file = File::options().write(true).open(&path);
        let file = file.map_err(|error| AttemptError::file("write", path)(errno_of(&error)))?;
        Ok(Self { file, name: name_of(attempt), noted: None })
    }

    /// A name beside the file's place that nobody else uses, which is free.
    pub fn beside(&mut self, parents: &Parents) -> Result<Vec<u8>, Errno> {
        let way = (parents.number, parents.path.clone());
        if self.noted.as_ref() != Some(&way) {
            let line = [format!("{}\n", way.0).as_bytes(), &way.1, b"\0"].concat();
            self.file.write_all_at(&line, 0).map_err(|error| errno_of(&error))?;
            self.noted = Some(way);
        }
        remove(parents.host.as_fd(), &self.name)?;
        Ok(self.name.clone())
    }

    /// Nothing is under way any more.
    pub fn close(self) -> Result<(), Errno> {
        self.file.write_all_at(b"\0", 0).map_err(|error| errno_of(&error))
    }
}

/// Takes away what an apply that was killed has left beside a file's place.
///
/// # Errors
/// It cannot be removed, or the part is not there any more.
pub(in crate::attempt) fn recover(attempt: &Attempt) -> Result<(), AttemptError> {
    let path = attempt.data.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        // A try that was killed while it was made.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return make(&attempt.data),
        Err(error) => return Err(AttemptError::file("read", path)(errno_of(&error))),
    };
    if let Some((number, dir)) = under_way(&bytes)
        && let Some((number, piece)) = attempt.layered().find(|(of, _)| *of == number)
    {
        let failed = |errno| AttemptError::file("clear up in", &piece.path)(errno);
        let sides = Sides::open(attempt, number, piece)?;
        match open_dir(sides.host.as_fd(), dir) {
            Ok(dir) => remove(dir.as_fd(), &name_of(attempt)).map_err(failed)?,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    let closed = Journal::open(attempt)?.close();
    closed.map_err(AttemptError::file("write", path))
}

fn under_way(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let line = bytes.split(|byte| *byte == 0).next()?;
    let at = memchr::memchr(b'\n', line)?;
    let number = std::str::from_utf8(&line[..at]).ok()?.parse().ok()?;
    Some((number, &line[at + 1..]))
}

fn remove(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match Entry::at(dir, name)? {
        None => Ok(()),
        Some(_) => remove_tree(dir, name),
    }
}
