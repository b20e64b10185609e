//! An archive into a directory that is there.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::clear::clear;
use super::{CopyError, Into, shown};
use crate::tar::{Archive, Entry, Kind, Segment, TarError};
use crate::unpack::is_wanted;

/// Bytes that go through at once.
const BUFFER: usize = 128 * 1024;
/// Beneath the directory.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
/// While it is being filled.
const PRIVATE_DIR: Mode = Mode::from_raw_mode(0o700);
const READ_DIR: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Whose the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// As the archive says.
    Kept,
    /// The caller's, who need not trust the archive: nothing of it runs as its owner (set-user-id), and no device is
    /// made.
    Callers,
    /// These.
    All {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
}

/// What becomes of a directory where something else is to be, and of something else where a directory is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clash {
    /// It stays, and nothing is copied there.
    #[default]
    Refused,
    /// It goes, unless something is mounted there.
    Replaced,
}

/// What could not be made; each a number of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Laid {
    /// Devices.
    pub devices: u64,
    /// Owners other than the caller.
    pub owners: u64,
}

/// Lays all entries of an archive into a directory. A file is there whole or not at all, and one that was there is
/// replaced in one step.
///
/// # Errors
/// The archive cannot be read, a name in it leads out of the directory, or something cannot be made. What came
/// before it stays.
pub fn lay(from: impl Read, into: &Into, owners: Owners, clash: Clash) -> Result<Laid, CopyError> {
    let mut layer = Layer { into, owners, clash, dirs: BTreeMap::new(), laid: Laid::default(), made: 0 };
    let mut archive = Archive::new(from);
    let mut buffer = vec![0; BUFFER];
    while let Some(mut entry) = archive.next_entry()? {
        entry.name = layer.renamed(&entry.name)?;
        if entry.kind == Kind::HardLink {
            entry.link = layer.renamed(&entry.link)?;
        }
        layer.put(entry, &mut archive, &mut buffer)?;
    }
    layer.finish()
}

struct Layer<'a> {
    into: &'a Into,
    owners: Owners,
    clash: Clash,
    /// What directories get when all is in them.
    dirs: BTreeMap<Vec<u8>, Option<Entry>>,
    laid: Laid,
    /// How many names were made up.
    made: u64,
}

impl Layer<'_> {
    /// The name in the directory: plain, nowhere out of it.
    fn renamed(&self, name: &[u8]) -> Result<Vec<u8>, CopyError> {
        let mut parts: Vec<&[u8]> = Vec::new();
        for (at, part) in name.split(|byte| *byte == b'/').enumerate() {
            match (part, &self.into.renamed) {
                (b"..", _) => return Err(CopyError::Escape { name: shown(name) }),
                // The first may be `.`, for the contents of a directory.
                (_, Some(new)) if at == 0 => parts.push(new),
                (b"" | b".", _) => {}
                (part, _) => parts.push(part),
            }
        }
        Ok(parts.join(&b'/'))
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b".".as_slice() } else { path };
        let mut tries = 0;
        loop {
            match fs::openat2(self.into.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), BENEATH) {
                Err(Errno::AGAIN) if tries < 64 => tries += 1,
                opened => return opened,
            }
        }
    }

    /// The directory that `path` is in, made if it is missing.
    fn parent(&mut self, path: &[u8]) -> Result<OwnedFd, CopyError> {
        let failed = |errno| match errno {
            Errno::XDEV | Errno::LOOP => CopyError::Escape { name: shown(path) },
            errno => CopyError::system("open the directory of", path, errno),
        };
        let (dir, _) = split(path);
        match self.open(dir, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) if !dir.is_empty() => {}
            opened => return opened.map_err(failed),
        }
        let name = split(dir).1;
        let at = self.parent(dir)?;
        match fs::mkdirat(&at, name, PRIVATE_DIR) {
            Err(Errno::EXIST) => {}
            made => {
                made.map_err(|errno| CopyError::system("make the directory", dir, errno))?;
                self.dirs.insert(dir.to_vec(), None);
            }
        }
        self.open(dir, OFlags::PATH | OFlags::DIRECTORY).map_err(failed)
    }

    fn put(
        &mut self,
        entry: Entry,
        archive: &mut Archive<impl Read>,
        buffer: &mut [u8],
    ) -> Result<(), CopyError> {
        if entry.name.is_empty() {
            // The directory itself, which is there and stays as it is.
            let refused = CopyError::Overwrite { name: ".".into(), why: "it is a directory" };
            return if entry.kind == Kind::Directory { Ok(()) } else { Err(refused) };
        }
        if matches!(entry.kind, Kind::CharacterDevice | Kind::BlockDevice)
            && (self.owners == Owners::Callers || entry.device == (0, 0))
        {
            self.laid.devices += 1;
            return Ok(());
        }
        let parent = self.parent(&entry.name)?;
        let name = split(&entry.name).1.to_vec();
        let found = match fs::statat(&parent, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => None,
            stat => Some(stat.map_err(|errno| CopyError::system("look at", &entry.name, errno))?),
        };
        let found = found.map(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        let refused = |why| Err(CopyError::Overwrite { name: shown(&entry.name), why });
        match (entry.kind, found) {
            (Kind::Directory, Some(false)) if self.clash == Clash::Refused => {
                refused("a directory would replace what is none")
            }
            (Kind::Directory, found) => {
                if found == Some(false) {
                    fs::unlinkat(&parent, name.as_slice(), AtFlags::empty())
                        .map_err(|errno| not_replaced(&entry, errno))?;
                }
                if found != Some(true) {
                    fs::mkdirat(&parent, name.as_slice(), PRIVATE_DIR)
                        .map_err(|errno| CopyError::system("make the directory", &entry.name, errno))?;
                }
                self.dirs.insert(entry.name.clone(), Some(entry));
                Ok(())
            }
            (_, Some(true)) if self.clash == Clash::Refused => {
                refused("it is a directory, and is not replaced by a file")
            }
            (_, _) => self.replace(parent.as_fd(), &name, &entry, archive, buffer),
        }
    }

    /// Makes something under a name of boxr's, and moves it to its own.
    fn replace(
        &mut self,
        at: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        archive: &mut Archive<impl Read>,
        buffer: &mut [u8],
    ) -> Result<(), CopyError> {
        self.made += 1;
        let aside = format!(".boxr-cp-{}-{}", rustix::process::getpid().as_raw_nonzero(), self.made);
        let made = self.make(at, aside.as_bytes(), entry, archive, buffer).and_then(|()| {
            let placed = match fs::renameat(at, aside.as_str(), at, name) {
                Err(Errno::ISDIR) if self.clash == Clash::Replaced => {
                    clear(at, name).and_then(|()| fs::renameat(at, aside.as_str(), at, name))
                }
                placed => placed,
            };
            placed.map_err(|errno| not_replaced(entry, errno))
        });
        if made.is_err() || entry.kind == Kind::HardLink {
            // Two names of one file are not moved onto each other (rename(2)).
            match fs::unlinkat(at, aside.as_str(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => {
                    made?;
                    return Err(CopyError::system("remove", aside.as_bytes(), errno));
                }
            }
        }
        made
    }

    fn make(
        &mut self,
        at: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        archive: &mut Archive<impl Read>,
        buffer: &mut [u8],
    ) -> Result<(), CopyError> {
        let failed = |errno| CopyError::system("make", &entry.name, errno);
        let node = |kind| {
            let device = fs::makedev(entry.device.0, entry.device.1);
            fs::mknodat(at, name, kind, Mode::from_raw_mode(0o600), device).map_err(failed)
        };
        match entry.kind {
            Kind::File => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = fs::openat(at, name, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
                fill(&file, entry, archive, buffer)?;
                return self.give(file.as_fd(), entry);
            }
            Kind::HardLink => {
                let target = self.parent(&entry.link)?;
                let last = split(&entry.link).1;
                return fs::linkat(&target, last, at, name, AtFlags::empty()).map_err(failed);
            }
            Kind::Symlink => fs::symlinkat(entry.link.as_slice(), at, name).map_err(failed)?,
            Kind::Fifo => node(FileType::Fifo)?,
            Kind::CharacterDevice => node(FileType::CharacterDevice)?,
            Kind::BlockDevice => node(FileType::BlockDevice)?,
            Kind::Directory => {}
        }
        if let Some((uid, gid)) = self.owner(entry) {
            let done = fs::chownat(at, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
            self.owned(done, entry)?;
        }
        if entry.kind != Kind::Symlink {
            fs::chmodat(at, name, self.mode(entry), AtFlags::empty()).map_err(failed)?;
        }
        fs::utimensat(at, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
    }

    fn owner(&self, entry: &Entry) -> Option<(Uid, Gid)> {
        match self.owners {
            Owners::Kept => Some((Uid::from_raw(entry.uid), Gid::from_raw(entry.gid))),
            Owners::Callers => None,
            Owners::All { uid, gid } => Some((Uid::from_raw(uid), Gid::from_raw(gid))),
        }
    }

    /// Whoever may not give files away keeps them.
    fn owned(&mut self, done: Result<(), Errno>, entry: &Entry) -> Result<(), CopyError> {
        match done {
            Err(Errno::PERM | Errno::INVAL) => {
                self.laid.owners += 1;
                Ok(())
            }
            done => done.map_err(|errno| CopyError::system("set the owner of", &entry.name, errno)),
        }
    }

    fn mode(&self, entry: &Entry) -> Mode {
        let kept =
            if self.owners == Owners::Callers && entry.kind != Kind::Directory { 0o1777 } else { 0o7777 };
        Mode::from_raw_mode(entry.mode & kept)
    }

    /// To an open file or directory.
    fn give(&mut self, fd: BorrowedFd<'_>, entry: &Entry) -> Result<(), CopyError> {
        let failed = |action| move |errno| CopyError::system(action, &entry.name, errno);
        // The owner first: changing it takes the set-user-id bits and capabilities away (chown(2)).
        if let Some((uid, gid)) = self.owner(entry) {
            let done = fs::fchown(fd, Some(uid), Some(gid));
            self.owned(done, entry)?;
        }
        fs::fchmod(fd, self.mode(entry)).map_err(failed("set the permissions of"))?;
        let is_safe = |key: &[u8]| self.owners != Owners::Callers || key.starts_with(b"user.");
        for (key, value) in entry.xattrs.iter().filter(|(key, _)| is_wanted(key) && is_safe(key)) {
            match fs::fsetxattr(fd, key.as_slice(), value, XattrFlags::empty()) {
                // Not on this filesystem, or not by this user.
                Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(failed("set an attribute of")(errno)),
            }
        }
        fs::futimens(fd, &times(entry)).map_err(failed("set the time of"))
    }

    /// Directories get what they are to have; the deepest first, since others may be closed to us then.
    fn finish(mut self) -> Result<Laid, CopyError> {
        for (path, entry) in std::mem::take(&mut self.dirs).into_iter().rev() {
            let failed = |errno| CopyError::system("open the directory", &path, errno);
            let dir = self.open(&path, READ_DIR).map_err(failed)?;
            match entry {
                Some(entry) => self.give(dir.as_fd(), &entry)?,
                None => {
                    let entry = Entry::new(Kind::Directory, path.as_slice(), 0o755);
                    if let Some((uid, gid)) = self.owner(&entry) {
                        let done = fs::fchown(&dir, Some(uid), Some(gid));
                        self.owned(done, &entry)?;
                    }
                    fs::fchmod(&dir, self.mode(&entry)).map_err(failed)?;
                }
            }
        }
        Ok(self.laid)
    }
}

fn not_replaced(entry: &Entry, errno: Errno) -> CopyError {
    match errno {
        Errno::BUSY => CopyError::Overwrite { name: shown(&entry.name), why: "something is mounted there" },
        errno => CopyError::system("put in place", &entry.name, errno),
    }
}

fn fill(
    file: &OwnedFd,
    entry: &Entry,
    archive: &mut Archive<impl Read>,
    buffer: &mut [u8],
) -> Result<(), CopyError> {
    let failed = |errno| CopyError::system("write", &entry.name, errno);
    let whole = [Segment { offset: 0, length: entry.size }];
    for segment in entry.segments.as_deref().unwrap_or(&whole) {
        let mut written = 0;
        while written < segment.length {
            let most = usize::try_from(segment.length - written).unwrap_or(usize::MAX).min(buffer.len());
            let read = archive.read_data(&mut buffer[..most])?;
            if read == 0 {
                return Err(TarError::CutShort.into());
            }
            let mut done = 0;
            while done < read {
                let at = segment.offset + written + done as u64;
                done += rustix::io::retry_on_intr(|| rustix::io::pwrite(file, &buffer[done..read], at))
                    .map_err(failed)?;
            }
            written += read as u64;
        }
    }
    if entry.segments.is_some() {
        fs::ftruncate(file, entry.size).map_err(failed)?;
    }
    Ok(())
}

fn times(entry: &Entry) -> Timestamps {
    let at = Timespec { tv_sec: entry.modified.seconds, tv_nsec: i64::from(entry.modified.nanoseconds) };
    Timestamps { last_access: at, last_modification: at }
}

/// The directory that a path is in, and its last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}
