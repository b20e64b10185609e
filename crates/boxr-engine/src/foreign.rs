//! Files that somebody else may have put there, or something else in their place.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Reads a regular file of `most` bytes at most. A pipe is not waited for, and a device that never ends not read.
///
/// # Errors
/// open(2), read(2); it is no file, or larger.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a file"));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(Error::new(ErrorKind::FileTooLarge, format!("larger than {most} bytes"))),
        false => Ok(bytes),
    }
}

/// The same of text.
///
/// # Errors
/// As [`read`]; it is no UTF-8.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|error| Error::new(ErrorKind::InvalidData, error.utf8_error()))
}
