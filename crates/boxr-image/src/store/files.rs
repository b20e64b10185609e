//! Files and directories below the store's root, by paths relative to it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::StoreError;
use super::steps::{Change, before};
use crate::nothing;

/// Read and write for the owner only.
const PRIVATE_FILE: Mode = Mode::from_raw_mode(0o600);
/// Everything for the owner only.
const PRIVATE_DIR: Mode = Mode::from_raw_mode(0o700);

/// The root of the store, open. All paths are relative to it.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
    path: PathBuf,
    /// Whether it is missing where nothing can be made: it looks empty.
    is_missing: bool,
}

impl Root {
    /// Opens the directory `path`, making it and those above it if they are missing. Where nothing can be written there
    /// is nothing to read.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || fs::open(path, flags, Mode::empty());
        let (fd, is_missing) = match open() {
            Err(Errno::NOENT) => match make_dirs(path) {
                Err(error) if error.is_read_only() => (Ok(nothing::directory().map_err(|_| error)?), true),
                made => (made.map(|()| open())?, false),
            },
            fd => (fd, false),
        };
        let fd = fd.map_err(|errno| StoreError::system("open the image store", path, errno))?;
        Ok(Self { fd, path: path.to_owned(), is_missing })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The absolute path, for messages and for those who need one.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    pub(super) fn error(&self, action: &'static str, path: &str, errno: Errno) -> StoreError {
        let errno = if self.is_missing && errno == Errno::NOENT { Errno::ROFS } else { errno };
        StoreError::system(action, self.path(path), errno)
    }

    /// What can be locked in the place of the file `path` where nothing can be written.
    pub(super) fn open_for_readers(&self, path: &str) -> Result<OwnedFd, StoreError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |path: &str| fs::openat(&self.fd, path, flags, Mode::empty());
        open(path).or_else(|_| open(".")).map_err(|errno| self.error("open", path, errno))
    }

    /// Makes a directory unless it is there.
    pub(super) fn ensure_dir(&self, path: &str) -> Result<(), StoreError> {
        match before(Change::Make(path)).and_then(|()| fs::mkdirat(&self.fd, path, PRIVATE_DIR)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(self.error("make the directory", path, errno)),
        }
    }

    pub(super) fn open_dir(&self, path: &str) -> Result<OwnedFd, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&self.fd, path, flags, Mode::empty())
            .map_err(|errno| self.error("open the directory", path, errno))
    }

    /// Opens a file for reading and its length; `None` when there is none.
    pub(super) fn open_file(&self, path: &str) -> Result<Option<(File, u64)>, StoreError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match fs::openat(&self.fd, path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.and_then(|fd| Ok((fs::fstat(&fd)?, fd))),
        };
        let (stat, fd) = opened.map_err(|errno| self.error("open", path, errno))?;
        Ok(Some((File::from(fd), u64::try_from(stat.st_size).unwrap_or(0))))
    }

    /// Reads a small file; `None` when there is none.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut buffer = Vec::new();
        match boxr_sys::file::read_whole(self.fd(), path, &mut buffer).map(<[u8]>::len) {
            Ok(length) => buffer.truncate(length),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.error("read", path, errno)),
        }
        Ok(Some(buffer))
    }

    /// Opens a file for reading and writing, making it if it is missing.
    pub(super) fn open_or_make(&self, path: &str) -> Result<OwnedFd, StoreError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        before(Change::Make(path))
            .and_then(|()| fs::openat(&self.fd, path, flags, PRIVATE_FILE))
            .map_err(|errno| self.error("make", path, errno))
    }

    /// Whether something is at `path`.
    pub(super) fn exists(&self, path: &str) -> Result<bool, StoreError> {
        Ok(self.identity(path)?.is_some())
    }

    /// Device and inode of what is at `path`, if anything is.
    pub(super) fn identity(&self, path: &str) -> Result<Option<(u64, u64)>, StoreError> {
        match fs::statat(&self.fd, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error("look at", path, errno)),
        }
    }

    /// Makes a symbolic link.
    pub(super) fn make_link(&self, target: &str, path: &str) -> Result<(), StoreError> {
        before(Change::Make(path))
            .and_then(|()| fs::symlinkat(target, &self.fd, path))
            .map_err(|errno| self.error("make", path, errno))
    }

    /// Where a symbolic link leads; `None` when nothing is there.
    pub(super) fn read_link(&self, path: &str) -> Result<Option<String>, StoreError> {
        match fs::readlinkat(&self.fd, path, Vec::new()) {
            Ok(target) => Ok(target.into_string().ok()),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error("read", path, errno)),
        }
    }

    /// Moves something; what is there is replaced.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        before(Change::Rename(from, to))
            .and_then(|()| fs::renameat(&self.fd, from, &self.fd, to))
            .map_err(|errno| self.error("move into place", to, errno))
    }

    /// Removes a file; one that is not there is removed.
    pub(super) fn remove_file(&self, path: &str) -> Result<(), StoreError> {
        match before(Change::Remove(path)).and_then(|()| fs::unlinkat(&self.fd, path, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.error("remove", path, errno)),
        }
    }

    /// Removes a directory and all that is in it; one that is not there is removed.
    pub(super) fn remove_tree(&self, path: &str) -> Result<(), StoreError> {
        let removed = CString::new(path)
            .map_err(|_| Errno::INVAL)
            .and_then(|name| before(Change::Remove(path)).and_then(|()| remove_tree(self.fd(), &name)));
        removed.map_err(|errno| self.error("remove", path, errno))
    }

    /// Makes renames in a directory last.
    pub(super) fn sync_dir(&self, path: &str) -> Result<(), StoreError> {
        let dir = self.open_dir(path)?;
        before(Change::Sync(path))
            .and_then(|()| fs::fsync(&dir))
            .map_err(|errno| self.error("write to the disk", path, errno))
    }

    /// Makes everything written to the filesystem so far last (syncfs(2)).
    pub(super) fn sync_all(&self) -> Result<(), Errno> {
        before(Change::SyncAll).and_then(|()| fs::syncfs(&self.fd))
    }

    /// Writes a small file, which does not last yet.
    pub(super) fn write_new(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let fd = self.open_or_make(path)?;
        before(Change::Write(path))
            .and_then(|()| write_all(&fd, bytes))
            .map_err(|errno| self.error("write", path, errno))
    }

    /// Writes a small file whole and makes it last: a reader sees the old contents or the new ones,
    /// and so does whoever comes after a power loss.
    pub(super) fn write_whole(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        // The writers of one path hold a lock; what a killed one left is written over.
        let temporary = format!("{path}.new");
        let fd = self.open_or_make(&temporary)?;
        let written = fs::ftruncate(&fd, 0)
            .and_then(|()| before(Change::Write(&temporary)))
            .and_then(|()| write_all(&fd, bytes))
            .and_then(|()| before(Change::Sync(&temporary)))
            .and_then(|()| fs::fdatasync(&fd));
        if let Err(errno) = written {
            // The disk is full: what can be removed is removed; the error that counts is the first.
            self.remove_file(&temporary).ok();
            return Err(self.error("write", path, errno));
        }
        self.rename(&temporary, path)?;
        self.sync_dir(path.rsplit_once('/').map_or(".", |(dir, _)| dir))
    }

    /// The names in a directory, sorted; none when there is no such directory.
    pub(super) fn names(&self, path: &str) -> Result<Vec<String>, StoreError> {
        if !self.exists(path)? {
            return Ok(Vec::new());
        }
        let dir = self.open_dir(path)?;
        let mut names = Vec::new();
        // What is not UTF-8 is not ours.
        each_entry(dir.as_fd(), |name| names.extend(name.to_str().ok().map(str::to_owned)))
            .map_err(|errno| self.error("read the directory", path, errno))?;
        names.sort_unstable();
        Ok(names)
    }
}

/// Makes `path` and the directories above it that are missing; those of ours are private.
fn make_dirs(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        StoreError::system("make the directory", path, errno)
    })
}

/// Writes all of `bytes` where the file's position is.
pub(super) fn write_all(file: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(file, rest))?;
        rest = &rest[written..];
    }
    Ok(())
}

/// The same for a file of the standard library.
pub(super) fn append(file: &mut File, path: &str, bytes: &[u8]) -> Result<(), Errno> {
    before(Change::Write(path))?;
    file.write_all(bytes).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Calls `visit` with every name in `dir`.
pub(crate) fn each_entry(dir: BorrowedFd<'_>, mut visit: impl FnMut(&CStr)) -> Result<(), Errno> {
    let mut space = [MaybeUninit::<u8>::uninit(); 8192];
    let mut entries = RawDir::new(dir, &mut space);
    while let Some(entry) = entries.next() {
        match entry?.file_name() {
            name if name == c"." || name == c".." => {}
            name => visit(name),
        }
    }
    Ok(())
}

/// How deep directories are gone down into with all those above open. A process may have 1024 files.
const DEEPEST: u32 = 64;

/// Removes what is at `path`, and everything below it, without following links. Directories that
/// nobody may write, which images have, are no obstacle, nor are any number of them in each other.
///
/// # Errors
/// The system's.
pub fn remove_tree(at: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    if !is_directory_to_empty(at, path)? {
        return Ok(());
    }
    let Some(top) = open_to_empty(at, path)? else { return Ok(()) };
    let mut emptying = Emptying { top: top.as_fd(), moved: 0 };
    loop {
        let before = emptying.moved;
        // Read from its beginning each time.
        let Some(round) = open_to_empty(emptying.top, c".")? else { break };
        emptying.empty(round.as_fd(), 0)?;
        if emptying.moved == before {
            break;
        }
    }
    drop(top);
    match fs::unlinkat(at, path, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

/// A directory that is being emptied.
struct Emptying<'d> {
    top: BorrowedFd<'d>,
    /// Directories that were too deep and are right in `top` now, to be emptied in the next round.
    moved: u64,
}

impl Emptying<'_> {
    fn empty(&mut self, dir: BorrowedFd<'_>, depth: u32) -> Result<(), Errno> {
        let mut names: Vec<CString> = Vec::new();
        each_entry(dir, |name| names.push(name.to_owned()))?;
        for name in &names {
            match self.remove(dir, name, depth) {
                Err(Errno::ACCESS) => {
                    fs::fchmod(dir, PRIVATE_DIR)?;
                    self.remove(dir, name, depth)?;
                }
                removed => removed?,
            }
        }
        Ok(())
    }

    fn remove(&mut self, at: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<(), Errno> {
        if !is_directory_to_empty(at, name)? {
            return Ok(());
        }
        let Some(dir) = open_to_empty(at, name)? else { return Ok(()) };
        if depth >= DEEPEST {
            // Whose parent changes is written to itself.
            fs::fchmod(&dir, PRIVATE_DIR)?;
            loop {
                let to = format!(".boxr-deep.{}", self.moved);
                self.moved += 1;
                match fs::renameat_with(at, name, self.top, to, fs::RenameFlags::NOREPLACE) {
                    Err(Errno::EXIST) => {}
                    moved => return moved,
                }
            }
        }
        self.empty(dir.as_fd(), depth + 1)?;
        drop(dir);
        match fs::unlinkat(at, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOENT) => Ok(()),
            removed => removed,
        }
    }
}

/// Removes what is no directory; whether there is one.
fn is_directory_to_empty(at: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    match fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        // EPERM is what some filesystems say for a directory (unlink(2)).
        Err(Errno::ISDIR | Errno::PERM) => Ok(true),
        // Said before it is looked whether there is one.
        Err(Errno::ROFS) => match fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            _ => Err(Errno::ROFS),
        },
        Err(errno) => Err(errno),
    }
}

/// Opens a directory, whatever its permissions; `None` when somebody else has removed it.
fn open_to_empty(at: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(at, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            open_up(at, name)?;
            fs::openat(at, name, flags, Mode::empty()).map(Some)
        }
        Err(Errno::NOENT) => Ok(None),
        dir => dir.map(Some),
    }
}

/// Gives the owner all rights on a directory, and on nothing else.
fn open_up(at: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    let stat = fs::statat(at, path, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Errno::NOTDIR);
    }
    fs::chmodat(at, path, PRIVATE_DIR, AtFlags::empty())
}
