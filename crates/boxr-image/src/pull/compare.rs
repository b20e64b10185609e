//! Whether two directories hold the same.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fgetxattr, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::pack::entry::{is_whiteout, xattrs};

/// Bytes that are compared at once.
const BUFFER: usize = 128 * 1024;

/// How many directories are gone down into: two descriptors each, and a process may have 1024.
const DEEPEST: u32 = 200;

/// What of a file is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Its kind, length or contents, where it leads, or that it is there at all.
    Contents,
    /// Its permissions.
    Mode,
    /// Its user or group.
    Owner,
    /// Its extended attributes.
    Attributes,
}

/// How much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Not owners and attributes, which were not made as the archive says.
    Part,
    /// All but times.
    Whole {
        /// The attribute by which overlayfs is told that a directory is opaque.
        opaque: &'static str,
    },
}

/// A file, and what of it is another.
pub(super) type Difference = (PathBuf, Aspect);

/// The first name, in order, at which there is something else in `one` than in `other`; empty for the directory itself. What
/// lies deeper than any file does is not compared.
///
/// # Errors
/// The system's.
pub(super) fn first_difference(
    one: BorrowedFd<'_>,
    other: BorrowedFd<'_>,
    scope: Scope,
) -> Result<Option<Difference>, Errno> {
    if let Some(aspect) = scope.stats_differ(&fstat(one)?, &fstat(other)?) {
        return Ok(Some((PathBuf::new(), aspect)));
    }
    if scope.attributes_differ(one, other)? {
        return Ok(Some((PathBuf::new(), Aspect::Attributes)));
    }
    scope.below(one, other, 0)
}

impl Scope {
    fn below(
        self,
        one: BorrowedFd<'_>,
        other: BorrowedFd<'_>,
        depth: u32,
    ) -> Result<Option<Difference>, Errno> {
        if depth == DEEPEST {
            return Ok(None);
        }
        let (names, others) = (names(one)?, names(other)?);
        let missing = names.iter().find(|name| others.binary_search(name).is_err());
        if let Some(name) = missing.or_else(|| others.iter().find(|name| names.binary_search(name).is_err()))
        {
            return Ok(Some((name.clone(), Aspect::Contents)));
        }
        for name in &names {
            match self.difference_at(one, other, name, depth)? {
                None => {}
                Some((below, aspect)) if below.as_os_str().is_empty() => {
                    return Ok(Some((name.clone(), aspect)));
                }
                Some((below, aspect)) => return Ok(Some((name.join(below), aspect))),
            }
        }
        Ok(None)
    }

    /// `None` where both have the same; otherwise what is below `name`, if anything.
    fn difference_at(
        self,
        one: BorrowedFd<'_>,
        other: BorrowedFd<'_>,
        name: &Path,
        depth: u32,
    ) -> Result<Option<Difference>, Errno> {
        let here = |aspect| Ok(Some((PathBuf::new(), aspect)));
        let stat = |dir| statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
        let (mine, its) = (stat(one)?, stat(other)?);
        let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
        if kind(&mine) != kind(&its) || mine.st_rdev != its.st_rdev {
            return here(Aspect::Contents);
        }
        let flags = match kind(&mine) {
            FileType::Directory => READ | OFlags::DIRECTORY,
            FileType::RegularFile if mine.st_size != its.st_size => return here(Aspect::Contents),
            FileType::RegularFile => READ,
            FileType::Symlink
                if readlinkat(one, name, Vec::new())? != readlinkat(other, name, Vec::new())? =>
            {
                return here(Aspect::Contents);
            }
            _ => return Ok(self.stats_differ(&mine, &its).map(|aspect| (PathBuf::new(), aspect))),
        };
        let open = |dir| openat(dir, name, flags, Mode::empty());
        let (one, other) = match (open(one), open(other)) {
            // Nobody but root may look into it, and the caller has no other ids.
            (Err(Errno::ACCESS), _) | (_, Err(Errno::ACCESS)) => {
                return Ok(self.stats_differ(&mine, &its).map(|aspect| (PathBuf::new(), aspect)));
            }
            (one, other) => (one?, other?),
        };
        if flags == READ && !same_bytes(&one, &other)? {
            return here(Aspect::Contents);
        }
        if let Some(aspect) = self.stats_differ(&mine, &its) {
            return here(aspect);
        }
        if self.attributes_differ(one.as_fd(), other.as_fd())? {
            return here(Aspect::Attributes);
        }
        if flags == READ { Ok(None) } else { self.below(one.as_fd(), other.as_fd(), depth + 1) }
    }

    fn stats_differ(self, one: &Stat, other: &Stat) -> Option<Aspect> {
        // What marks a removal has no permissions that count, nor has a link.
        let has_mode = !is_whiteout(one) && FileType::from_raw_mode(one.st_mode) != FileType::Symlink;
        if has_mode && one.st_mode != other.st_mode {
            return Some(Aspect::Mode);
        }
        let is_same = self == Self::Part || (one.st_uid, one.st_gid) == (other.st_uid, other.st_gid);
        (!is_same).then_some(Aspect::Owner)
    }

    fn attributes_differ(self, one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<bool, Errno> {
        let Self::Whole { opaque } = self else { return Ok(false) };
        let all = |fd| -> Result<_, Errno> {
            let mut all = xattrs(fd)?;
            // What else is there of the kind is the system's, not the layer's.
            all.retain(|(name, _)| !name.starts_with(b"security.") || name == b"security.capability");
            all.sort_unstable();
            let is_opaque = match fgetxattr(fd, opaque, &mut [0u8; 16]) {
                Err(Errno::NODATA | Errno::OPNOTSUPP) => false,
                found => found.map(|_| true)?,
            };
            Ok((all, is_opaque))
        };
        Ok(all(one)? != all(other)?)
    }
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

const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn same_bytes(one: &OwnedFd, other: &OwnedFd) -> Result<bool, Errno> {
    let failed = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let reader = |file: &OwnedFd| {
        Ok::<_, Errno>(BufReader::with_capacity(BUFFER, File::from(file.try_clone().map_err(failed)?)))
    };
    let (mut one, mut other) = (reader(one)?, reader(other)?);
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
            let found = first_difference(open(&one).as_fd(), open(&other).as_fd(), Scope::Part).unwrap();
            found.map(|(path, aspect)| {
                assert_eq!(aspect, Aspect::Contents);
                path
            })
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

    #[test]
    fn permissions_and_attributes_count_where_they_are_the_archives() {
        let (one, other) = (tree(), tree());
        let whole = Scope::Whole { opaque: "user.overlay.opaque" };
        let compare = |scope| {
            let open = |dir: &tempfile::TempDir| File::open(dir.path()).unwrap();
            let found = first_difference(open(&one).as_fd(), open(&other).as_fd(), scope).unwrap();
            found.map(|(path, aspect)| (path.display().to_string(), aspect))
        };
        let [dir, file] = ["a/b", "a/b/file"].map(|name| one.path().join(name));
        let set = |path: &Path, name: &str| {
            rustix::fs::setxattr(path, name, b"y", rustix::fs::XattrFlags::empty()).unwrap();
        };
        set(&file, "user.note");
        assert_eq!(compare(Scope::Part), None);
        assert_eq!(compare(whole), Some(("a/b/file".into(), Aspect::Attributes)));
        set(&dir, "user.overlay.opaque");
        assert_eq!(compare(whole), Some(("a/b".into(), Aspect::Attributes)));
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        };
        mode(&file, 0o600);
        assert_eq!(compare(Scope::Part), Some(("a/b/file".into(), Aspect::Mode)));
        mode(&one.path().join(""), 0o711);
        assert_eq!(compare(Scope::Part), Some(("".into(), Aspect::Mode)));
    }
}
