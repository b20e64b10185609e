//! Directories that a try has before it begins.
//!
//! The first change beneath a directory makes overlayfs copy the directory itself, with its owner. In a user namespace
//! where that owner has no number it cannot (`EOVERFLOW`). Where a user is likely to write, and above, such a
//! directory is therefore made in the changes beforehand, as the user's own, with the rights that he has to the one of
//! the host.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use super::layout::is_text;
use super::parts::Place;
use super::{Attempt, AttemptError};
use crate::nsview::mounts::errno_of;
use crate::paths::Paths;

/// Variables that say where their user writes.
const SAID: [&str; 6] =
    ["HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"];

/// Where everybody may write.
const USUAL: [&str; 3] = ["/tmp", "/var/tmp", "/run/lock"];

/// boxr's own directories, without links. A try that removed them would end all boxes when it is applied.
pub(super) fn own_directories(paths: &Paths) -> Vec<PathBuf> {
    [&paths.data, &paths.state].into_iter().filter_map(|path| path.canonicalize().ok()).collect()
}

/// Where the user is likely to write, without links.
pub(super) fn likely(workdir: Option<&Path>) -> Vec<PathBuf> {
    let said = SAID.iter().filter_map(std::env::var_os).map(PathBuf::from);
    let likely = said.chain(USUAL.iter().map(PathBuf::from)).chain(workdir.map(Path::to_owned));
    likely.filter_map(|path| path.canonicalize().ok()).collect()
}

/// Makes the directories in which the changes of all parts are kept.
pub(super) fn make(attempt: &mut Attempt, likely: &[PathBuf], privileged: bool) -> Result<(), AttemptError> {
    make_dir(&attempt.data.join("empty"), 0o555)?;
    super::apply::journal::make(&attempt.data)?;
    let mut places = Vec::new();
    for (number, piece) in attempt.layered() {
        let of_piece = attempt.data.join(number.to_string());
        if !piece.is_framed() {
            make_dir(&of_piece, 0o700)?;
        }
        make_dir(&of_piece.join("work"), 0o700)?;
        let upper = of_piece.join("upper");
        if privileged {
            make_alike(&piece.path, &upper)?;
        } else {
            match stand_in(&piece.path, &upper) {
                Ok(mode) => places.push(Place::new(number, Path::new(""), mode)),
                // It has gone since the tree was looked at.
                Err(AttemptError::File { errno: Errno::NOENT, .. }) => make_dir(&upper, 0o700)?,
                Err(error) => return Err(error),
            }
        }
    }
    for path in likely {
        make_above(attempt, path, &mut places)?;
    }
    // Only now: there may be others in them.
    for place in &places {
        set_mode(&attempt.data.join(format!("{}/upper", place.number)).join(&place.path), place.mode)?;
    }
    for place in &attempt.places {
        set_mode(&attempt.data.join(format!("{}/frame", place.number)).join(&place.path), place.mode)?;
    }
    attempt.places.append(&mut places);
    Ok(())
}

/// The directories down to `path` that belong to others, until one is the user's own.
fn make_above(attempt: &Attempt, path: &Path, places: &mut Vec<Place>) -> Result<(), AttemptError> {
    let holding = attempt.layered().filter(|(_, piece)| path.starts_with(&piece.path));
    let Some((number, piece)) = holding.last() else { return Ok(()) };
    if piece.is_framed() {
        // Its directories are made already.
        return Ok(());
    }
    let Ok(below) = path.strip_prefix(&piece.path) else { return Ok(()) };
    let mut on_host = piece.path.clone();
    let mut relative = PathBuf::new();
    for part in below.components() {
        on_host.push(part);
        relative.push(part);
        let Ok(found) = std::fs::symlink_metadata(&on_host) else { return Ok(()) };
        if !found.is_dir() || is_own(&found) || !is_text(&relative) {
            return Ok(());
        }
        if places.iter().any(|place| place.number == number && place.path == relative) {
            continue;
        }
        let upper = attempt.data.join(format!("{number}/upper")).join(&relative);
        places.push(Place::new(number, &relative, stand_in(&on_host, &upper)?));
    }
    Ok(())
}

/// Whether overlayfs can copy its owner and group in the user's namespace.
pub(super) fn is_own(found: &std::fs::Metadata) -> bool {
    found.uid() == geteuid().as_raw() && found.gid() == getegid().as_raw()
}

/// A directory with the owner and mode of another.
fn make_alike(of: &Path, path: &Path) -> Result<(), AttemptError> {
    let found = metadata(of)?;
    make_dir(path, 0o700)?;
    std::os::unix::fs::chown(path, Some(found.uid()), Some(found.gid()))
        .map_err(|error| AttemptError::file("change the owner of", path)(errno_of(&error)))?;
    set_mode(path, found.mode() & 0o7777)
}

/// The user's own directory; the mode that gives it the rights that he has to another.
fn stand_in(of: &Path, path: &Path) -> Result<u32, AttemptError> {
    let found = metadata(of)?;
    make_dir(path, 0o700)?;
    Ok(mode_for(of, &found))
}

/// The mode that gives the user, as the owner, the rights that he has to a directory.
pub(super) fn mode_for(path: &Path, found: &std::fs::Metadata) -> u32 {
    match is_own(found) {
        true => found.mode() & 0o7777,
        false => found.mode() & 0o7077 | rights(path) << 6,
    }
}

/// What the user may do with a directory, as three bits.
fn rights(path: &Path) -> u32 {
    let may = |access| u32::from(accessat(CWD, path, access, AtFlags::EACCESS).is_ok());
    may(Access::READ_OK) << 2 | may(Access::WRITE_OK) << 1 | may(Access::EXEC_OK)
}

fn metadata(path: &Path) -> Result<std::fs::Metadata, AttemptError> {
    std::fs::symlink_metadata(path).map_err(|error| AttemptError::file("look at", path)(errno_of(&error)))
}

pub(super) fn make_dir(path: &Path, mode: u32) -> Result<(), AttemptError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().mode(mode).create(path);
    made.map_err(|error| AttemptError::file("make", path)(errno_of(&error)))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), AttemptError> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|error| AttemptError::file("change the mode of", path)(errno_of(&error)))
}
