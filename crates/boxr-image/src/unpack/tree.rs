//! The directory that a layer is unpacked into, by descriptors.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, XattrFlags};
use rustix::io::Errno;

use super::error::shown;
use super::metadata::Metadata;
use super::names::Path;
use super::{Form, UnpackError};
use crate::store::remove_tree;

/// Beneath the directory, on its filesystem.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);
/// The most that is kept of directories until the end, names and attributes, in bytes.
const MOST_KEPT: u64 = 128 << 20;
/// What keeping one takes besides, about.
const OVERHEAD: u64 = 256;
/// While it is being filled.
const PRIVATE_DIR: Mode = Mode::from_raw_mode(0o700);

/// What is at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Directory,
    /// A removal of this layer's own.
    Whiteout,
    Other,
}

pub(super) struct Tree<'r> {
    root: BorrowedFd<'r>,
    form: Form,
    /// The directory that was used last: entries of one directory follow each other.
    last: Option<(Vec<u8>, OwnedFd)>,
    /// What directories get when all is in them.
    dirs: HashMap<Path, Metadata>,
    /// Bytes that may still be kept.
    room: u64,
}

impl<'r> Tree<'r> {
    pub(super) fn new(root: BorrowedFd<'r>, form: Form) -> Self {
        Self { root, form, last: None, dirs: HashMap::new(), room: MOST_KEPT }
    }

    /// Opens what is at `path` beneath the root, following links that stay there.
    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b".".as_slice() } else { path };
        let mut tries = 0;
        loop {
            match fs::openat2(self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), BENEATH) {
                // Somebody renames something on this machine.
                Err(Errno::AGAIN) if tries < 32 => tries += 1,
                opened => return opened,
            }
        }
    }

    /// The directory that `path` is in, made if it is missing, and its last name.
    pub(super) fn parent<'p>(&mut self, path: &'p Path) -> Result<(BorrowedFd<'_>, &'p [u8]), UnpackError> {
        let (dir, name) = path.split();
        if self.last.as_ref().is_none_or(|(known, _)| known != dir) {
            let opened = match self.open(dir, OFlags::PATH | OFlags::DIRECTORY) {
                Err(Errno::NOENT | Errno::NOTDIR) => self.make_dirs(&Path::new(dir)?)?,
                opened => opened.map_err(|errno| UnpackError::system("open", dir, errno))?,
            };
            self.last = Some((dir.to_vec(), opened));
        }
        match &self.last {
            Some((_, fd)) => Ok((fd.as_fd(), name)),
            // Not reached: it was set above.
            None => Ok((self.root, name)),
        }
    }

    /// Makes the directories that the archive has left out.
    fn make_dirs(&mut self, path: &Path) -> Result<OwnedFd, UnpackError> {
        let failed = |errno| UnpackError::system("make the directory", path.as_bytes(), errno);
        let mut dir = self.open(b"", OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
        for walked in path.ancestry() {
            let step = Path::new(walked)?;
            let name = step.split().1;
            dir = match self.open(walked, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(found) => found,
                Err(Errno::NOENT) => self.make_dir(dir.as_fd(), name, &step, false)?,
                Err(Errno::NOTDIR) if look(dir.as_fd(), name).map_err(failed)? == Found::Whiteout => {
                    fs::unlinkat(&dir, name, AtFlags::empty()).map_err(failed)?;
                    self.make_dir(dir.as_fd(), name, &step, true)?
                }
                Err(Errno::NOTDIR) => {
                    return Err(UnpackError::Contradiction {
                        name: shown(path.as_bytes()),
                        reason: "is in something that is no directory",
                    });
                }
                Err(errno) => return Err(failed(errno)),
            };
        }
        Ok(dir)
    }

    fn make_dir(
        &mut self,
        at: BorrowedFd<'_>,
        name: &[u8],
        path: &Path,
        opaque: bool,
    ) -> Result<OwnedFd, UnpackError> {
        let made = fs::mkdirat(at, name, PRIVATE_DIR).and_then(|()| {
            fs::openat(
                at,
                name,
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )
        });
        let dir = made.map_err(|errno| UnpackError::system("make the directory", path.as_bytes(), errno))?;
        if opaque {
            self.mark_opaque(dir.as_fd(), path)?;
        }
        self.keep(path, Metadata::of_implied_directory())?;
        Ok(dir)
    }

    /// Makes the directory `path`, which is to have `metadata` in the end. One that is there stays.
    pub(super) fn put_dir(&mut self, path: &Path, metadata: Metadata) -> Result<(), UnpackError> {
        if !path.is_root() {
            let failed = |errno| UnpackError::system("make the directory", path.as_bytes(), errno);
            let (at, name) = self.parent(path)?;
            let found = look(at, name).map_err(failed)?;
            let at = fs::openat(at, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(failed)?;
            match found {
                Found::Directory => {}
                Found::Nothing => drop(self.make_dir(at.as_fd(), name, path, false)?),
                // What was in such a directory of the layers below is gone.
                Found::Whiteout | Found::Other => {
                    fs::unlinkat(&at, name, AtFlags::empty()).map_err(failed)?;
                    drop(self.make_dir(at.as_fd(), name, path, true)?);
                }
            }
        }
        self.keep(path, metadata)
    }

    /// Keeps what a directory is to have in the end.
    fn keep(&mut self, path: &Path, metadata: Metadata) -> Result<(), UnpackError> {
        let bytes = path.as_bytes().len() as u64 + metadata.bytes() + OVERHEAD;
        let what = "bytes in names and attributes of directories";
        self.room = self.room.checked_sub(bytes).ok_or(UnpackError::TooMuch { what, limit: MOST_KEPT })?;
        self.dirs.insert(path.clone(), metadata);
        Ok(())
    }

    /// Removes what an earlier entry has put at `path`.
    pub(super) fn clear(&mut self, path: &Path) -> Result<(), UnpackError> {
        let (at, name) = self.parent(path)?;
        let removed =
            std::ffi::CString::new(name).map_err(|_| Errno::INVAL).and_then(|name| remove_tree(at, &name));
        removed.map_err(|errno| UnpackError::system("replace", path.as_bytes(), errno))?;
        self.last = None;
        self.dirs.retain(|dir, _| dir != path && !dir.is_below(path.as_bytes()));
        Ok(())
    }

    /// Notes that what the layers below have at `path` is gone. What this layer has there stays.
    pub(super) fn white_out(&mut self, path: &Path) -> Result<(), UnpackError> {
        let failed = |errno| UnpackError::system("remove", path.as_bytes(), errno);
        let (at, name) = self.parent(path)?;
        match look(at, name).map_err(failed)? {
            Found::Nothing => {
                fs::mknodat(at, name, FileType::CharacterDevice, Mode::empty(), 0).map_err(failed)
            }
            Found::Directory => self.empty(path),
            Found::Whiteout | Found::Other => Ok(()),
        }
    }

    /// Notes that what the layers below have in the directory `path` is gone.
    pub(super) fn empty(&mut self, path: &Path) -> Result<(), UnpackError> {
        if path.is_root() {
            return self.mark_opaque(self.root, path);
        }
        let dir = match self.open(path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(Errno::NOENT | Errno::NOTDIR) => {
                self.make_dirs(path)?;
                self.open(path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY)
            }
            dir => dir,
        };
        let dir = dir.map_err(|errno| UnpackError::system("open", path.as_bytes(), errno))?;
        self.mark_opaque(dir.as_fd(), path)
    }

    fn mark_opaque(&self, dir: BorrowedFd<'_>, path: &Path) -> Result<(), UnpackError> {
        let marked = fs::fsetxattr(dir, self.form.opaque(), b"y", XattrFlags::empty());
        marked.map_err(|errno| UnpackError::system("mark as opaque", path.as_bytes(), errno))
    }

    /// Gives all directories what they are to have; the deepest first, since others may be closed to us then.
    pub(super) fn finish(
        &mut self,
        mut apply: impl FnMut(BorrowedFd<'_>, &Path, &Metadata) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        self.last = None;
        let mut dirs: Vec<_> = std::mem::take(&mut self.dirs).into_iter().collect();
        dirs.sort_unstable_by(|one, other| other.0.cmp(&one.0));
        let root = Path::new(b"")?;
        if dirs.last().is_none_or(|(path, _)| !path.is_root()) {
            dirs.push((root, Metadata::of_implied_directory()));
        }
        for (path, metadata) in dirs {
            let dir = self.open(path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW);
            let dir = dir.map_err(|errno| UnpackError::system("open", path.as_bytes(), errno))?;
            apply(dir.as_fd(), &path, &metadata)?;
        }
        Ok(())
    }
}

/// What is at `name` itself, links not followed.
pub(super) fn look(at: BorrowedFd<'_>, name: &[u8]) -> Result<Found, Errno> {
    let stat = match fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        stat => stat?,
    };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Found::Directory,
        FileType::CharacterDevice if stat.st_rdev == 0 => Found::Whiteout,
        _ => Found::Other,
    })
}
