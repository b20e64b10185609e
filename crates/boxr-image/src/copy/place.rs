//! What the paths on a command line lead to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{CopyError, shown};

/// The most links that a path may end in, one after the other (path_resolution(7)).
const MOST_LINKS: u32 = 40;
/// How often a path is tried while somebody renames what it goes through.
const MOST_TRIES: u32 = 64;

/// Where paths begin.
#[derive(Debug)]
pub enum Base {
    /// At the caller's own root, or working directory: the caller's paths, which lead where the caller may go.
    Host,
    /// At this directory, which is the root of all paths and links.
    Root(OwnedFd),
}

/// How a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Name,
    /// `dir/`
    Slash,
    /// `dir/.`
    Dot,
}

/// A path made plain, from a root on.
#[derive(Debug)]
struct Plain {
    path: Vec<u8>,
    ending: Ending,
}

/// What a path leads to.
struct Settled {
    parent: OwnedFd,
    /// In the parent; `.` for the root.
    name: Vec<u8>,
    /// `None` where there is nothing.
    stat: Option<Stat>,
}

/// What is copied.
#[derive(Debug)]
pub struct Source {
    pub(super) parent: OwnedFd,
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    /// What it is called in an archive; `.` for the contents of a directory.
    pub(super) called: Vec<u8>,
    /// As it was asked for, for messages.
    pub(super) path: Vec<u8>,
}

/// Where it is copied to.
#[derive(Debug)]
pub enum Target {
    /// Into this directory.
    Directory(OwnedFd),
    /// Onto this file, in this directory.
    File {
        /// The directory.
        parent: OwnedFd,
        /// The file's name.
        name: Vec<u8>,
    },
    /// To what is not there yet.
    Missing {
        /// The directory in which it will be.
        parent: OwnedFd,
        /// Its name.
        name: Vec<u8>,
        /// Whether the path says that it is a directory.
        as_directory: bool,
    },
}

/// A directory, and what the first name of each entry becomes in it.
#[derive(Debug)]
pub struct Into {
    /// The directory.
    pub directory: OwnedFd,
    /// The new name; `None` where names stay.
    pub renamed: Option<Vec<u8>>,
}

/// Opens `path` as if the directory `root` were `/` (openat2(2), `RESOLVE_IN_ROOT`), and never by a magic link of procfs.
///
/// # Errors
/// openat2(2)
pub(crate) fn open_within(
    root: BorrowedFd<'_>,
    path: impl rustix::path::Arg + Copy,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        match fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), within) {
            Err(Errno::AGAIN) if tries < MOST_TRIES => tries += 1,
            opened => return opened,
        }
    }
}

impl Base {
    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        match self {
            Self::Root(root) => open_within(root.as_fd(), path, flags),
            _ => fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty()),
        }
    }

    /// Whether the directory `found`, somewhere below this root, is at or below one of `paths`, at the end of their links.
    ///
    /// # Errors
    /// The system's.
    pub fn is_below(&self, found: BorrowedFd<'_>, paths: &[Vec<u8>]) -> Result<Option<usize>, Errno> {
        let key = |stat: Stat| (stat.st_dev, stat.st_ino);
        let mut tops = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            match self.open(path, OFlags::PATH) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                opened => tops.push((at, key(fs::fstat(opened?)?))),
            }
        }
        let root = key(fs::fstat(self.open(b"/", OFlags::PATH)?)?);
        let mut here = rustix::io::fcntl_dupfd_cloexec(found, 3)?;
        loop {
            let this = key(fs::fstat(&here)?);
            if let Some((at, _)) = tops.iter().find(|(_, top)| *top == this) {
                return Ok(Some(*at));
            }
            if this == root {
                return Ok(None);
            }
            let above =
                fs::openat(&here, "..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            if key(fs::fstat(&above)?) == this {
                return Ok(None);
            }
            here = above;
        }
    }

    /// Relative paths begin in the caller's working directory, or at the container's root.
    fn plain(&self, path: &[u8]) -> Result<Plain, CopyError> {
        let mut whole = Vec::new();
        if matches!(self, Self::Host) && !path.starts_with(b"/") {
            let here = rustix::process::getcwd(Vec::new())
                .map_err(|errno| CopyError::system("find the working directory for", path, errno))?;
            whole.extend_from_slice(here.as_bytes());
        }
        whole.push(b'/');
        whole.extend_from_slice(path);
        Ok(Plain::of(&whole))
    }

    /// Goes to where `path` ends, through the links there if told so.
    fn settle(&self, path: &[u8], follow: bool) -> Result<Settled, Errno> {
        let mut path = path.to_vec();
        for _ in 0..MOST_LINKS {
            let (dir, name) = split(&path);
            let parent = self.open(dir, OFlags::PATH | OFlags::DIRECTORY)?;
            let stat = match fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => None,
                stat => Some(stat?),
            };
            let is_link = stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
            if !is_link || !follow {
                return Ok(Settled { name: name.to_vec(), parent, stat });
            }
            let link = fs::readlinkat(&parent, name, Vec::new())?.into_bytes();
            path = if link.starts_with(b"/") { link } else { [dir, b"/", &link].concat() };
            while path.len() > 1 && path.ends_with(b"/") {
                path.pop();
            }
        }
        Err(Errno::LOOP)
    }
}

impl Plain {
    /// `..` takes the name before it away, as docker has it.
    fn of(path: &[u8]) -> Self {
        let mut names: Vec<&[u8]> = Vec::new();
        for name in path.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        let ending = match path.rsplit(|byte| *byte == b'/').next() {
            Some(b".") => Ending::Dot,
            Some(b"") => Ending::Slash,
            _ => Ending::Name,
        };
        Self { path: [b"/", names.join(&b'/').as_slice()].concat(), ending }
    }

    /// What an archive calls it.
    fn called(&self) -> Vec<u8> {
        match (self.ending, split(&self.path).1) {
            (Ending::Dot, _) => b".".to_vec(),
            (_, name) => name.to_vec(),
        }
    }
}

impl Source {
    /// Finds what `path` means; a link itself, unless `follow` says what it leads to.
    ///
    /// # Errors
    /// There is nothing, or no directory where the path says so.
    pub fn find(base: &Base, path: &[u8], follow: bool) -> Result<Self, CopyError> {
        let plain = base.plain(path)?;
        let follows = follow || plain.ending != Ending::Name;
        let settled = base.settle(&plain.path, follows).map_err(|errno| not_found(path, errno))?;
        let stat = settled.stat.ok_or_else(|| CopyError::Missing(shown(path)))?;
        if plain.ending != Ending::Name && !is_directory(&stat) {
            return Err(CopyError::NotADirectory(shown(path)));
        }
        Ok(Self {
            parent: settled.parent,
            name: settled.name,
            stat,
            called: plain.called(),
            path: path.to_vec(),
        })
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        is_directory(&self.stat)
    }

    /// The directory that it is, or that it is in.
    ///
    /// # Errors
    /// It cannot be opened any more.
    pub fn directory(&self) -> Result<OwnedFd, CopyError> {
        let name = if self.is_directory() { self.name.as_slice() } else { b"." };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&self.parent, name, flags, Mode::empty())
            .map_err(|errno| CopyError::system("open the directory", &self.path, errno))
    }
}

impl Target {
    /// Finds where `path` leads to, at the end of links.
    ///
    /// # Errors
    /// The directory that it would be in is not there; it is neither a file nor a directory.
    pub fn find(base: &Base, path: &[u8]) -> Result<Self, CopyError> {
        let plain = base.plain(path)?;
        let Settled { parent, name, stat } = base.settle(&plain.path, true).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => CopyError::NoDirectory(shown(split(&plain.path).0)),
            errno => CopyError::system("find", path, errno),
        })?;
        let as_directory = plain.ending != Ending::Name;
        match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            None => Ok(Self::Missing { parent, name, as_directory }),
            Some(FileType::Directory) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = fs::openat(&parent, name.as_slice(), flags, Mode::empty());
                Ok(Self::Directory(opened.map_err(|errno| CopyError::system("open", path, errno))?))
            }
            Some(FileType::RegularFile) if as_directory => Err(CopyError::NotADirectory(shown(path))),
            Some(FileType::RegularFile) => Ok(Self::File { parent, name }),
            Some(_) => Err(CopyError::Special(shown(path))),
        }
    }

    /// Where the entries of an archive go which has a directory in it, or something else. `path` is for messages.
    ///
    /// # Errors
    /// A directory onto a file; a file into a directory that is not there.
    pub fn takes(self, is_directory: bool, path: &[u8]) -> Result<Into, CopyError> {
        match self {
            Self::Directory(directory) => Ok(Into { directory, renamed: None }),
            Self::File { .. } if is_directory => Err(CopyError::OntoFile(shown(path))),
            Self::Missing { as_directory: true, .. } if !is_directory => {
                Err(CopyError::NoDirectory(shown(path)))
            }
            Self::File { parent, name } | Self::Missing { parent, name, .. } => {
                Ok(Into { directory: parent, renamed: Some(name) })
            }
        }
    }

    /// Where the entries of any archive go: into a directory that is there.
    ///
    /// # Errors
    /// It is none.
    pub fn takes_any(self, path: &[u8]) -> Result<Into, CopyError> {
        match self {
            Self::Directory(directory) => Ok(Into { directory, renamed: None }),
            Self::File { .. } => Err(CopyError::NotADirectory(shown(path))),
            Self::Missing { .. } => Err(CopyError::NoDirectory(shown(path))),
        }
    }
}

impl Into {
    /// The directory, for what goes on from it.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn not_found(path: &[u8], errno: Errno) -> CopyError {
    match errno {
        Errno::NOENT | Errno::NOTDIR => CopyError::Missing(shown(path)),
        errno => CopyError::system("find", path, errno),
    }
}

/// The directory that an absolute path is in, and its last name; the root is in itself.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let (dir, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) | None => (b"/".as_slice(), path.strip_prefix(b"/").unwrap_or(path)),
        Some(at) => (&path[..at], &path[at + 1..]),
    };
    match name {
        // What a link says need not be plain.
        b"" | b"." | b".." => (path, b"."),
        name => (dir, name),
    }
}
