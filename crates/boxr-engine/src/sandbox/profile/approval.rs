//! Which profiles of projects a person has approved: a file of each project, named by the digest of its path, holds the
//! digest of the text. A project that changes its profile has to ask again.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use boxr_image::digest::Digest;
use rustix::io::Errno;

use super::{OF_PROJECT, Origin, Profile};
use crate::outcome::EngineError;

/// Bytes of a project's profile at most: a command that ran there may have written it.
const LARGEST: u64 = 1 << 20;

/// The project's profile in `directory`; `None` where it has none.
///
/// # Errors
/// It cannot be read.
pub fn of_project(directory: &Path) -> Result<Option<Profile>, EngineError> {
    let path = directory.join(OF_PROJECT);
    match crate::foreign::read_text(&path, LARGEST) {
        Ok(text) => Ok(Some(Profile { name: String::new(), origin: Origin::File(path), text })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path, &error)),
    }
}

/// Whether just this text was approved, for just this project. `data` is the data root.
///
/// # Errors
/// What is remembered cannot be read.
pub fn is_approved(data: &Path, profile: &Profile) -> Result<bool, EngineError> {
    let path = place(data, profile);
    match std::fs::read_to_string(&path) {
        Ok(known) => Ok(known.lines().next() == Some(Digest::of(profile.text.as_bytes()).hex())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("read", &path, &error)),
    }
}

/// Remembers that it is.
///
/// # Errors
/// It cannot be written.
pub fn approve(data: &Path, profile: &Profile) -> Result<(), EngineError> {
    let path = place(data, profile);
    let dir = path.parent().unwrap_or(data);
    std::fs::create_dir_all(dir).map_err(|error| failed("make", dir, &error))?;
    let whole = path.with_extension("new");
    let text = format!("{}\n{}\n", Digest::of(profile.text.as_bytes()).hex(), profile.place());
    let written = std::fs::write(&whole, text).and_then(|()| std::fs::rename(&whole, &path));
    written.map_err(|error| failed("write", &path, &error))
}

fn place(data: &Path, profile: &Profile) -> PathBuf {
    data.join("sandbox/approved").join(Digest::of(profile.place().as_bytes()).hex())
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> EngineError {
    let of_kind = match error.kind() {
        ErrorKind::FileTooLarge => Errno::FBIG,
        ErrorKind::InvalidInput | ErrorKind::InvalidData => Errno::INVAL,
        _ => Errno::IO,
    };
    let errno = Errno::from_io_error(error).unwrap_or(of_kind);
    EngineError::system(format!("{verb} {}", path.display()), errno)
}
