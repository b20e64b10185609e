//! What a try has changed: its changes as overlayfs keeps them (the kernel's `overlayfs.rst`), compared with the host's
//! files as they are now.
//!
//! Directories are opened by their path beneath the part's, one at a time, so that depth takes no descriptors.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

use super::entry::{Entry, Shape, join, open_dir};
use super::extended::Own;
use super::parts::{Part, Piece};
use super::seen::Seen;
use super::{Attempt, AttemptError, extended};
use crate::nsview::mounts::errno_of;

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is new.
    Created,
    /// It was there, and has other contents now, or is something else.
    Changed,
    /// Only its mode, owner, times or attributes are others.
    Attributes,
    /// It is gone, with all that was in it.
    Removed,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path on the host, beginning with a slash.
    pub path: Vec<u8>,
    /// What became of it.
    pub kind: Kind,
    /// How it is on the host; of a directory that is gone, `size` is of all in it.
    pub before: Option<Entry>,
    /// How it is in the try.
    pub after: Option<Entry>,
    /// Where a symbolic link leads.
    pub target: Option<Vec<u8>>,
    /// Another path of the same file, which comes before this one.
    pub same_as: Option<Vec<u8>>,
    /// Whether extended attributes are others.
    pub extended: bool,
    /// Whether it is a program with capabilities of its own.
    pub capabilities: bool,
    /// Why the host's file is not what the try has seen.
    pub conflict: Option<&'static str>,
    /// The part it is in.
    pub(super) number: u32,
    /// Its path beneath the part's.
    pub(super) relative: Vec<u8>,
}

/// Both sides of a part, open.
#[derive(Debug)]
pub(super) struct Sides {
    pub number: u32,
    /// Where it is on the host.
    pub path: Vec<u8>,
    pub host: OwnedFd,
    pub upper: OwnedFd,
    /// By which names overlayfs keeps its own attributes there.
    pub own: Own,
}

impl Sides {
    /// Opens both.
    pub fn open(attempt: &Attempt, number: u32, piece: &Piece) -> Result<Self, AttemptError> {
        let Part::Overlay { device, inode, .. } = piece.part else {
            return Err(AttemptError::file("open", &piece.path)(Errno::INVAL));
        };
        let path = &piece.path;
        let failed = |error: std::io::Error| AttemptError::file("open", path)(errno_of(&error));
        let host = std::fs::File::open(path).map_err(failed)?;
        let found = std::os::unix::fs::MetadataExt::dev(&host.metadata().map_err(failed)?);
        let found_inode = std::os::unix::fs::MetadataExt::ino(&host.metadata().map_err(failed)?);
        if (found, found_inode) != (device, inode) {
            return Err(AttemptError::Remounted { path: path.clone() });
        }
        let upper = attempt.data.join(format!("{number}/upper"));
        let opened =
            std::fs::File::open(&upper).map_err(|error| AttemptError::file("open", &upper)(errno_of(&error)));
        let mut bytes = path.as_os_str().as_bytes().to_vec();
        if bytes == b"/" {
            bytes.clear();
        }
        let top = opened?;
        let own = Own::of(top.as_fd()).map_err(AttemptError::file("read the attributes of", &upper))?;
        Ok(Self { number, path: bytes, host: host.into(), upper: top.into(), own })
    }

    /// The whole path of one beneath.
    pub fn absolute(&self, relative: &[u8]) -> Vec<u8> {
        match (self.path.is_empty(), relative.is_empty()) {
            (true, true) => b"/".to_vec(),
            (false, true) => self.path.clone(),
            (_, false) => [&self.path[..], b"/", relative].concat(),
        }
    }
}

/// All that a try has changed, in the order of the paths.
///
/// # Errors
/// A directory cannot be read.
pub fn changes(attempt: &Attempt) -> Result<Vec<Change>, AttemptError> {
    let seen = Seen::read(attempt)?;
    let mut found = Vec::new();
    let pieces = attempt.pieces.iter().map(|piece| &piece.path);
    let others: BTreeSet<Vec<u8>> =
        pieces.chain(&attempt.hidden).map(|path| path.as_os_str().as_bytes().to_vec()).collect();
    for sides in all_sides(attempt)? {
        let mut walk = Walk {
            attempt,
            seen: &seen,
            sides: &sides,
            others: &others,
            names_of: BTreeMap::new(),
            found: &mut found,
        };
        walk.all()?;
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Both sides of all parts that there were changes of. One that could only be shown has none, and one whose
/// directory is gone has none either, or cannot be told from one that has.
pub(super) fn all_sides(attempt: &Attempt) -> Result<Vec<Sides>, AttemptError> {
    let mut all = Vec::new();
    for (number, piece) in attempt.layered() {
        if attempt.data.join(format!("{number}/refused")).exists() {
            continue;
        }
        match Sides::open(attempt, number, piece) {
            Ok(sides) => all.push(sides),
            Err(AttemptError::File { errno: Errno::NOENT, .. } | AttemptError::Remounted { .. })
                if is_empty(attempt, number) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

fn is_empty(attempt: &Attempt, number: u32) -> bool {
    let upper = attempt.data.join(format!("{number}/upper"));
    std::fs::read_dir(upper).is_ok_and(|mut entries| entries.next().is_none())
}

struct Walk<'a> {
    attempt: &'a Attempt,
    seen: &'a Seen,
    sides: &'a Sides,
    /// Paths at which other parts begin, and boxr's own directories.
    others: &'a BTreeSet<Vec<u8>>,
    /// The first path of each file that has several.
    names_of: BTreeMap<u64, Vec<u8>>,
    found: &'a mut Vec<Change>,
}

/// A directory that is still to be looked into.
struct Waiting {
    path: Vec<u8>,
    /// Whether nothing of the host's is seen through it.
    opaque: bool,
}

impl Walk<'_> {
    fn all(&mut self) -> Result<(), AttemptError> {
        self.top()?;
        let mut waiting = vec![Waiting { path: Vec::new(), opaque: false }];
        while let Some(next) = waiting.pop() {
            let below = self.directory(&next).map_err(|errno| self.failed(&next.path, errno))?;
            waiting.extend(below);
        }
        Ok(())
    }

    fn failed(&self, relative: &[u8], errno: Errno) -> AttemptError {
        let path = self.sides.absolute(relative);
        AttemptError::file("compare", Path::new(std::ffi::OsStr::from_bytes(&path)))(errno)
    }

    /// The part's own directory.
    fn top(&mut self) -> Result<(), AttemptError> {
        let failed = |errno| self.failed(b"", errno);
        let before = Entry::of(&rustix::fs::fstat(&self.sides.host).map_err(failed)?);
        let after = Entry::of(&rustix::fs::fstat(&self.sides.upper).map_err(failed)?);
        if self.differs_as_directory(b"", &before, &after) {
            self.note(Vec::new(), Kind::Attributes, Some(before), Some(after));
        }
        Ok(())
    }

    fn differs_as_directory(&self, relative: &[u8], before: &Entry, after: &Entry) -> bool {
        let is_place = |path: &Path| path.as_os_str().as_bytes() == relative;
        let place = self
            .attempt
            .places
            .iter()
            .find(|place| place.number == self.sides.number && is_place(&place.path));
        match place {
            Some(place) => after.mode != place.mode,
            None => (before.mode, before.uid, before.gid) != (after.mode, after.uid, after.gid),
        }
    }

    fn directory(&mut self, waiting: &Waiting) -> Result<Vec<Waiting>, Errno> {
        let upper = open_dir(self.sides.upper.as_fd(), &waiting.path)?;
        let host = match open_dir(self.sides.host.as_fd(), &waiting.path) {
            Ok(dir) => Some(dir),
            // Gone, something else by now, or a link that leads elsewhere: nothing of it is followed.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => None,
            Err(errno) => return Err(errno),
        };
        let opaque = waiting.opaque || extended::is_opaque(upper.as_fd(), self.sides.own);
        let names = names(upper.as_fd())?;
        if let (true, Some(host)) = (opaque, &host) {
            for name in names_of_host(host.as_fd())?.difference(&names) {
                self.gone(host.as_fd(), &join(&waiting.path, name), name)?;
            }
        }
        let mut below = Vec::new();
        for name in &names {
            let path = join(&waiting.path, name);
            if self.is_other_part(&path) {
                continue;
            }
            if self.entry(upper.as_fd(), host.as_ref().map(AsFd::as_fd), &path, name)? {
                below.push(Waiting { path, opaque });
            }
        }
        Ok(below)
    }

    /// Whether another part begins there, or boxr's own directories.
    fn is_other_part(&self, relative: &[u8]) -> bool {
        self.others.contains(&self.sides.absolute(relative))
    }

    /// Notes one file; true for a directory, whose contents are to be looked at.
    fn entry(
        &mut self,
        upper: BorrowedFd<'_>,
        host: Option<BorrowedFd<'_>>,
        path: &[u8],
        name: &[u8],
    ) -> Result<bool, Errno> {
        let Some(after) = Entry::at(upper, name)? else { return Ok(false) };
        let before = host.map(|dir| Entry::at(dir, name)).transpose()?.flatten();
        if after.is_whiteout() {
            if let Some(host) = host {
                self.gone(host, path, name)?;
            }
            return Ok(false);
        }
        let Some(was) = before else {
            self.note_found(upper, path, name, (Kind::Created, None), after)?;
            return Ok(after.is_directory());
        };
        let extended = match host {
            Some(host) => extended::differ(host, upper, name, self.sides.own),
            None => false,
        };
        let kind = match (was.shape == after.shape, host) {
            (true, Some(host)) => self.compared(host, upper, path, name, (&was, &after, extended))?,
            _ => Some(Kind::Changed),
        };
        if let Some(kind) = kind {
            self.note_found(upper, path, name, (kind, Some(was)), after)?;
            if let Some(last) = self.found.last_mut() {
                last.extended = extended;
            }
        }
        Ok(after.is_directory())
    }

    fn compared(
        &self,
        host: BorrowedFd<'_>,
        upper: BorrowedFd<'_>,
        path: &[u8],
        name: &[u8],
        (was, after, extended): (&Entry, &Entry, bool),
    ) -> Result<Option<Kind>, Errno> {
        let same = match was.shape {
            Shape::Directory => {
                let differs = extended || self.differs_as_directory(path, was, after);
                return Ok(differs.then_some(Kind::Attributes));
            }
            Shape::File => was.size == after.size && same_contents(host, upper, name)?,
            Shape::Link => readlinkat(host, name, Vec::new())? == readlinkat(upper, name, Vec::new())?,
            Shape::Character | Shape::Block => was.number == after.number,
            Shape::Pipe | Shape::Socket => true,
        };
        let attributes = |entry: &Entry| (entry.mode, entry.uid, entry.gid, entry.modified);
        Ok(match (same, extended || attributes(was) != attributes(after)) {
            (false, _) => Some(Kind::Changed),
            (true, true) => Some(Kind::Attributes),
            (true, false) => None,
        })
    }

    /// Notes that a file of the host's is gone, if it is there.
    fn gone(&mut self, host: BorrowedFd<'_>, path: &[u8], name: &[u8]) -> Result<(), Errno> {
        if self.is_other_part(path) {
            return Ok(());
        }
        let Some(mut before) = Entry::at(host, name)? else { return Ok(()) };
        let mut newest = before.changed;
        if before.is_directory() {
            (before.size, newest) = extent(self.sides.host.as_fd(), path)?;
        }
        self.note(path.to_vec(), Kind::Removed, Some(before), None);
        if let Some(last) = self.found.last_mut()
            && before.is_directory()
            && newest > self.attempt.started
        {
            last.conflict = last.conflict.or(Some("something in it changed since the try began"));
        }
        Ok(())
    }

    fn note_found(
        &mut self,
        upper: BorrowedFd<'_>,
        path: &[u8],
        name: &[u8],
        (kind, before): (Kind, Option<Entry>),
        after: Entry,
    ) -> Result<(), Errno> {
        self.note(path.to_vec(), kind, before, Some(after));
        let whole = self.sides.absolute(path);
        let Some(change) = self.found.last_mut() else { return Ok(()) };
        change.capabilities = after.shape == Shape::File && extended::gives_rights(upper, name);
        if after.shape == Shape::Link {
            change.target = Some(readlinkat(upper, name, Vec::new())?.into_bytes());
        }
        if after.shape != Shape::Directory && after.links > 1 {
            match self.names_of.get(&after.inode) {
                Some(first) => change.same_as = Some(first.clone()),
                None => drop(self.names_of.insert(after.inode, whole)),
            }
        }
        Ok(())
    }

    fn note(&mut self, relative: Vec<u8>, kind: Kind, before: Option<Entry>, after: Option<Entry>) {
        let path = self.sides.absolute(&relative);
        let conflict = self.seen.conflict(self.attempt, &path, before.as_ref(), after.as_ref());
        let number = self.sides.number;
        self.found.push(Change {
            path,
            kind,
            before,
            after,
            target: None,
            same_as: None,
            extended: false,
            capabilities: false,
            conflict,
            number,
            relative,
        });
    }
}

/// Names in a directory, in order.
pub(super) fn names(dir: BorrowedFd<'_>) -> Result<BTreeSet<Vec<u8>>, Errno> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.insert(name);
        }
    }
    Ok(names)
}

fn names_of_host(dir: BorrowedFd<'_>) -> Result<BTreeSet<Vec<u8>>, Errno> {
    match names(dir) {
        Err(Errno::NOENT) => Ok(BTreeSet::new()),
        names => names,
    }
}

/// Bytes of all files beneath a directory, and the last change of any of them.
fn extent(root: BorrowedFd<'_>, path: &[u8]) -> Result<(u64, i64), Errno> {
    let (mut bytes, mut newest) = (0u64, i64::MIN);
    let mut waiting = vec![path.to_vec()];
    while let Some(next) = waiting.pop() {
        let dir = match open_dir(root, &next) {
            Ok(dir) => dir,
            // What is mounted there stays; what may not be read is not counted.
            Err(Errno::XDEV | Errno::ACCESS | Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        };
        newest = newest.max(Entry::of(&rustix::fs::fstat(&dir)?).changed);
        for name in names(dir.as_fd())? {
            let Some(found) = Entry::at(dir.as_fd(), &name)? else { continue };
            newest = newest.max(found.changed);
            match found.shape {
                Shape::Directory => waiting.push(join(&next, &name)),
                _ => bytes = bytes.saturating_add(found.size),
            }
        }
    }
    Ok((bytes, newest))
}

/// Whether two regular files have the same bytes. One that may not be read has others.
fn same_contents(one: BorrowedFd<'_>, other: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |dir| openat(dir, name, flags, Mode::empty());
    let (one, other) = match (open(one), open(other)) {
        (Ok(one), Ok(other)) => (one, other),
        (Err(Errno::ACCESS | Errno::PERM | Errno::NOENT), _) | (_, Err(Errno::ACCESS | Errno::PERM)) => {
            return Ok(false);
        }
        (Err(errno), _) | (_, Err(errno)) => return Err(errno),
    };
    let mut buffers = (vec![0u8; 64 * 1024], vec![0u8; 64 * 1024]);
    loop {
        let read = fill(&one, &mut buffers.0)?;
        if read != fill(&other, &mut buffers.1)? || buffers.0[..read] != buffers.1[..read] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

fn fill(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut length = 0;
    while length < buffer.len() {
        match rustix::io::retry_on_intr(|| rustix::io::read(file, &mut buffer[length..]))? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// The bytes of a regular file on the host and in the try; none where it is not there.
///
/// # Errors
/// One of them cannot be read.
pub fn contents(attempt: &Attempt, change: &Change) -> Result<(Vec<u8>, Vec<u8>), AttemptError> {
    let Some((number, piece)) = attempt.layered().find(|(number, _)| *number == change.number) else {
        return Ok(Default::default());
    };
    let sides = Sides::open(attempt, number, piece)?;
    let path = Path::new(std::ffi::OsStr::from_bytes(&change.path));
    let read = |root: &OwnedFd, is_there: bool| match is_there {
        true => whole(root.as_fd(), &change.relative).map_err(AttemptError::file("read", path)),
        false => Ok(Vec::new()),
    };
    Ok((read(&sides.host, change.before.is_some())?, read(&sides.upper, change.after.is_some())?))
}

fn whole(root: BorrowedFd<'_>, relative: &[u8]) -> Result<Vec<u8>, Errno> {
    let (dir, name) = super::entry::split(relative);
    let dir = open_dir(root, dir)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut bytes = Vec::new();
    let mut file = std::fs::File::from(openat(dir, name, flags, Mode::empty())?);
    std::io::Read::read_to_end(&mut file, &mut bytes).map_err(|error| errno_of(&error))?;
    Ok(bytes)
}
