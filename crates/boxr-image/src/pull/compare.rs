//! Whether two directories hold the same.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::Errno;

/// Bytes that are compared at once.
const BUFFER: usize = 128 * 1024;

/// How many directories are gone down into: two descriptors each, and a process may have 1024.
const DEEPEST: u32 = 200;

/// The first name, in order, at which there is something else in `one` than in `other`: kinds, lengths and contents count,
/// and where links lead. Owners and modes do not, nor what lies deeper than any file does.
///
/// # Errors
/// The system's.
pub(super) fn first_difference(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<Option<PathBuf>, Errno> {
    below(one, other, 0)
}

fn below(one: BorrowedFd<'_>, other: BorrowedFd<'_>, depth: u32) -> Result<Option<PathBuf>, Errno> {
    if depth == DEEPEST {
        return Ok(None);
    }
    let (names, others) = (names(one)?, names(other)?);
    let missing = names.iter().find(|name| others.binary_search(name).is_err());
    if let Some(name) = missing.or_else(|| others.iter().find(|name| names.binary_search(name).is_err())) {
        return Ok(Some(name.clone()));
    }
    for name in &names {
        match difference_at(one, other, name, depth)? {
            None => {}
            Some(below) if below.as_os_str().is_empty() => return Ok(Some(name.clone())),
            Some(below) => return Ok(Some(name.join(below))),
        }
    }
    Ok(None)
}

fn names(dir: BorrowedFd<'_>) -> Result<Vec<PathBuf>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(PathBuf::from(name));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// `None` where both have the same; otherwise what is below `name`, if anything.
fn difference_at(
    one: BorrowedFd<'_>,
    other: BorrowedFd<'_>,
    name: &Path,
    depth: u32,
) -> Result<Option<PathBuf>, Errno> {
    let stat = |dir| statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    let (mine, its) = (stat(one)?, stat(other)?);
    let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
    let is_same = match (kind(&mine), kind(&its)) {
        (FileType::Directory, FileType::Directory) => {
            let open = |dir| openat(dir, name, OFlags::DIRECTORY | READ, Mode::empty());
            return match (open(one), open(other)) {
                // Nobody but root may look into it, and the caller has no other ids.
                (Err(Errno::ACCESS), _) | (_, Err(Errno::ACCESS)) => Ok(None),
                (one, other) => below(one?.as_fd(), other?.as_fd(), depth + 1),
            };
        }
        (FileType::RegularFile, FileType::RegularFile) => {
            let open = |dir| openat(dir, name, READ, Mode::empty());
            mine.st_size == its.st_size
                && match (open(one), open(other)) {
                    (Err(Errno::ACCESS), _) | (_, Err(Errno::ACCESS)) => true,
                    (one, other) => same_bytes(one?, other?)?,
                }
        }
        (FileType::Symlink, FileType::Symlink) => {
            readlinkat(one, name, Vec::new())? == readlinkat(other, name, Vec::new())?
        }
        (mine_is, its_is) => mine_is == its_is && mine.st_rdev == its.st_rdev,
    };
    Ok((!is_same).then(PathBuf::new))
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn same_bytes(one: OwnedFd, other: OwnedFd) -> Result<bool, Errno> {
    let reader = |file: OwnedFd| BufReader::with_capacity(BUFFER, File::from(file));
    let (mut one, mut other) = (reader(one), reader(other));
    let failed = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    loop {
        let (mine, its) = (one.fill_buf().map_err(failed)?, other.fill_buf().map_err(failed)?);
        let length = mine.len().min(its.len());
        if length == 0 {
            return Ok(mine.is_empty() && its.is_empty());
        }
        if mine[..length] != its[..length] {
            return Ok(false);
        }
        one.consume(length);
        other.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), vec![7; 300_000]).unwrap();
        symlink("b", dir.path().join("a/link")).unwrap();
        dir
    }

    #[test]
    fn what_is_another_is_named() {
        let (one, other) = (tree(), tree());
        let compare = || {
            let open = |dir: &tempfile::TempDir| File::open(dir.path()).unwrap();
            first_difference(open(&one).as_fd(), open(&other).as_fd()).unwrap()
        };
        assert_eq!(compare(), None);
        let mut bytes = vec![7; 300_000];
        bytes[299_999] = 8;
        fs::write(one.path().join("a/b/file"), &bytes).unwrap();
        assert_eq!(compare().unwrap().to_str(), Some("a/b/file"));
        fs::write(one.path().join("a/b/file"), "short").unwrap();
        assert_eq!(compare(), Some("a/b/file".into()));
        fs::remove_file(one.path().join("a/link")).unwrap();
        assert_eq!(compare(), Some("a/link".into()));
        symlink("c", one.path().join("a/link")).unwrap();
        fs::write(one.path().join("a/b/file"), vec![7; 300_000]).unwrap();
        assert_eq!(compare(), Some("a/link".into()));
        fs::write(other.path().join("more"), "").unwrap();
        assert_eq!(compare(), Some("more".into()));
    }
}
