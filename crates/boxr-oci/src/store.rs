//! The directory of all containers: one directory each, named by its id.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use boxr_runtime::paths::Paths;
use rustix::io::Errno;

use crate::container::Container;
use crate::error::Error;

/// `/run/boxr/oci` for root, in the user's runtime directory for others ([`Paths`]).
pub fn default_root() -> PathBuf {
    match Paths::find(None, Some(Path::new("/"))) {
        Ok(paths) => paths.state.join("oci"),
        // Said again, with the reason, when a directory is made there.
        Err(_) => PathBuf::from("/run/boxr/oci"),
    }
}

/// Where compiled seccomp filters are kept for the next start: no container can have this name.
pub fn filter_cache(root: &Path) -> PathBuf {
    root.join("@seccomp")
}

/// Checks an id: letters, digits, `_`, `+`, `-` and `.`, as runc has it; never a path.
///
/// # Errors
/// [`Error::InvalidId`]
pub fn check_id(id: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    let right = !id.is_empty() && id.len() <= 255 && id.bytes().all(allowed) && id != "." && id != "..";
    if right { Ok(()) } else { Err(Error::InvalidId(id.to_owned())) }
}

/// Claims the directory of a new container, at once and for nobody else. One that a killed boxr has
/// left without a state is taken over.
///
/// # Errors
/// [`Error::Exists`]; the directory cannot be made.
pub fn claim(root: &Path, id: &str) -> Result<Container, Error> {
    check_id(id)?;
    let path = root.join(id);
    match make_directory(&path) {
        Ok(()) => {}
        Err(Errno::NOENT) => {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root);
            made.map_err(|error| Error::io("make the state directory", root, error))?;
            make_directory(&path).map_err(|errno| of_claim(&path, errno))?;
        }
        Err(Errno::EXIST) => return take_over(root, id),
        Err(errno) => return Err(of_claim(&path, errno)),
    }
    let container = Container::open(root, id)?;
    // Held until the container is made: until then it has no state to show.
    container.lock()?;
    Ok(container)
}

fn make_directory(path: &Path) -> Result<(), Errno> {
    rustix::fs::mkdir(path, rustix::fs::Mode::from_raw_mode(0o711))
}

fn of_claim(path: &Path, errno: Errno) -> Error {
    match errno {
        Errno::EXIST => Error::Exists,
        errno => Error::at("make the state directory", path, errno),
    }
}

fn take_over(root: &Path, id: &str) -> Result<Container, Error> {
    let container = match Container::open(root, id) {
        Err(Error::NoSuchContainer) => return Err(Error::Exists),
        other => other?,
    };
    if container.try_lock()? && !container.has_state() { Ok(container) } else { Err(Error::Exists) }
}

/// All ids, sorted; those whose directory has just gone included.
///
/// # Errors
/// The directory cannot be read.
pub fn ids(root: &Path) -> Result<Vec<String>, Error> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Error::io("read the state directory", root, error))?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut ids: Vec<_> = names.filter(|name| check_id(name).is_ok()).collect();
    ids.sort();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_never_paths() {
        for id in ["a", "A-b_c+d.e", "..a", &"x".repeat(255)] {
            check_id(id).unwrap();
        }
        for id in ["", ".", "..", "a/b", "../a", "a\0", "a b", "ä", &"x".repeat(256)] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn an_id_is_given_once() {
        let root = tempfile::tempdir().unwrap();
        let first = claim(root.path(), "blue").unwrap();
        assert!(matches!(claim(root.path(), "blue"), Err(Error::Exists)));
        drop(first);
        // Whoever had it ended before there was a state.
        claim(root.path(), "blue").unwrap();
        std::fs::create_dir(filter_cache(root.path())).unwrap();
        assert_eq!(ids(root.path()).unwrap(), ["blue"]);
    }
}
