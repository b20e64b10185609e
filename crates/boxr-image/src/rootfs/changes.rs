//! What a container has changed: its upper directory compared with the layers below (the kernel's
//! `overlayfs.rst`, "whiteouts and opaque directories").

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, makedev, openat, statat};
use rustix::io::Errno;

use super::lookup::{Found, Stack};

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is new.
    Added,
    /// It was there, and is another now; a directory, when something below it is.
    Changed,
    /// It is gone.
    Deleted,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The path in the container, beginning with a slash.
    pub path: Vec<u8>,
    /// What became of it.
    pub kind: Kind,
}

/// All differences between `below` and what lies in `upper` upon it, in the order of their paths.
///
/// # Errors
/// A directory cannot be read.
pub fn changes(upper: BorrowedFd<'_>, below: &Stack) -> Result<Vec<Change>, Errno> {
    let mut walk = Walk { below, path: Vec::new(), found: Vec::new() };
    walk.directory(upper, &below.dirs)?;
    walk.found.sort();
    Ok(walk.found)
}

struct Walk<'a> {
    below: &'a Stack,
    path: Vec<u8>,
    found: Vec<Change>,
}

impl Walk<'_> {
    fn note(&mut self, kind: Kind) {
        self.found.push(Change { path: self.path.clone(), kind });
    }

    fn below(
        &mut self,
        name: &[u8],
        visit: impl FnOnce(&mut Self) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let length = self.path.len();
        self.path.push(b'/');
        self.path.extend_from_slice(name);
        let done = visit(self);
        self.path.truncate(length);
        done
    }

    fn directory(&mut self, upper: BorrowedFd<'_>, lower: &[OwnedFd]) -> Result<(), Errno> {
        let names = names(upper)?;
        if self.below.is_opaque(upper) {
            self.hidden(lower, &names)?;
        }
        for name in names {
            self.below(name.as_bytes(), |walk| walk.entry(upper, lower, name.as_bytes()))?;
        }
        Ok(())
    }

    /// What an opaque directory hides, unless it is there again.
    fn hidden(&mut self, lower: &[OwnedFd], kept: &BTreeSet<CString>) -> Result<(), Errno> {
        let mut all = BTreeSet::new();
        for dir in lower {
            all.append(&mut names(dir.as_fd())?);
        }
        for name in all.difference(kept) {
            if self.below.find(lower, name.as_bytes())?.is_some() {
                self.below(name.as_bytes(), |walk| {
                    walk.note(Kind::Deleted);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, upper: BorrowedFd<'_>, lower: &[OwnedFd], name: &[u8]) -> Result<(), Errno> {
        let stat = statat(upper, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let before = self.below.find(lower, name)?;
        let was_there = before.is_some();
        if kind == FileType::CharacterDevice && stat.st_rdev == makedev(0, 0) {
            if was_there {
                self.note(Kind::Deleted);
            }
            return Ok(());
        }
        self.note(if was_there { Kind::Changed } else { Kind::Added });
        if kind == FileType::Directory {
            let opened = open_dir(upper, name)?;
            let lower = match before {
                Some(Found::Directory(dirs)) => dirs,
                _ => Vec::new(),
            };
            self.directory(opened.as_fd(), &lower)?;
        }
        Ok(())
    }
}

fn names(dir: BorrowedFd<'_>) -> Result<BTreeSet<CString>, Errno> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_owned();
        if name.as_bytes() != b"." && name.as_bytes() != b".." {
            names.insert(name);
        }
    }
    Ok(names)
}

fn open_dir(at: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}
