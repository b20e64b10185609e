//! What boxr keeps in its data root, to the byte.
//!
//! *Which bytes.* Blocks that are allocated (stat(2), `st_blocks`), of files and of directories, each inode once
//! however many names it has, and nothing that is mounted somewhere in it: `du -x` prints the same sum. The
//! lengths of files, which `boxr images` shows, are another figure.
//!
//! Everything in the data root is of one kind, so the sums of all kinds are the whole.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_image::digest::Digest;
use boxr_image::store::{PieceKind, Store as Images};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use crate::image::ImageError;
use crate::outcome::EngineError;
use crate::paths::Paths;
use crate::store::files::each_entry;

/// What there is.
#[derive(Debug, Default)]
pub struct Usage {
    /// Blobs and unpacked layers that images need; both of a layer are under their own digests.
    pub content: HashMap<Digest, u64>,
    /// Boxes that have something there, by id.
    pub boxes: HashMap<String, BoxUsage>,
    /// Volumes, by name.
    pub volumes: HashMap<String, u64>,
    /// What nobody refers to.
    pub orphans: Vec<Orphan>,
    /// All the rest: records, locks, directories.
    pub records: u64,
    /// Directories that could not be read, and count nothing.
    pub unreadable: u64,
}

/// What a box has on disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoxUsage {
    /// Its logs.
    pub logs: u64,
    /// All else: what it has changed of its image, and its record.
    pub rest: u64,
}

/// Something that nobody refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Where.
    pub path: PathBuf,
    /// How much, in bytes.
    pub bytes: u64,
    /// How it came to be.
    pub why: &'static str,
    /// Whether a prune removes it.
    pub removed_by_prune: bool,
}

impl Usage {
    /// Looks at everything. An ordinary user has all of his ids meanwhile ([`crate::own_ids`]).
    ///
    /// # Errors
    /// The store of images cannot be read.
    pub fn of(paths: &Paths, images: &Images) -> Result<Self, EngineError> {
        allow_deep_trees();
        let mut usage = Self::default();
        let mut counter = Counter::default();
        for piece in images.pieces().map_err(ImageError::from)? {
            let bytes = counter.below(&piece.path);
            match piece.is {
                PieceKind::Content(digest) => *usage.content.entry(digest).or_default() += bytes,
                // Of records it is, until it is something.
                PieceKind::InWork => {}
                PieceKind::Orphan(why) => usage.orphan(piece.path, bytes, why, true),
            }
        }
        for (name, path) in entries(&paths.data.join("containers")) {
            let (bytes, logs) = (counter.below(&path), logs_of(&path));
            match orphaned_box(paths, &name, &path) {
                Some(why) => usage.orphan(path, bytes, why, true),
                None => {
                    usage.boxes.insert(name, BoxUsage { logs, rest: bytes.saturating_sub(logs) });
                }
            }
        }
        for (name, path) in entries(&paths.data.join("volumes")) {
            usage.volumes.insert(name, counter.below(&path));
        }
        for (name, path) in entries(&paths.data).into_iter().filter(|(name, _)| !OWN.contains(&name.as_str()))
        {
            let bytes = counter.below(&path);
            let why = if name.starts_with('.') {
                "hidden, and not boxr's"
            } else {
                "boxr makes nothing of this name"
            };
            usage.orphan(path, bytes, why, false);
        }
        let mut whole = Counter::default();
        let total = whole.below(&paths.data);
        usage.unreadable = whole.unreadable;
        usage.records = total.saturating_sub(usage.named());
        Ok(usage)
    }

    fn orphan(&mut self, path: PathBuf, bytes: u64, why: &'static str, removed_by_prune: bool) {
        self.orphans.push(Orphan { path, bytes, why, removed_by_prune });
    }

    /// Bytes of everything but records.
    fn named(&self) -> u64 {
        let boxes: u64 = self.boxes.values().map(|one| one.logs + one.rest).sum();
        let orphans: u64 = self.orphans.iter().map(|orphan| orphan.bytes).sum();
        self.content.values().sum::<u64>() + boxes + self.volumes.values().sum::<u64>() + orphans
    }

    /// Bytes of all.
    pub fn total(&self) -> u64 {
        self.named() + self.records
    }

    /// Removes what is left of boxes that are gone; bytes that are free again. A sweep of the images removes the rest.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn remove_boxes_that_are_gone(&self, paths: &Paths) -> Result<u64, EngineError> {
        let containers = paths.data.join("containers");
        let mut bytes = 0;
        for orphan in self.orphans.iter().filter(|orphan| orphan.path.parent() == Some(&containers)) {
            let name = orphan.path.file_name().unwrap_or_default();
            // It may have come to be meanwhile.
            if orphaned_box(paths, &name.to_string_lossy(), &orphan.path).is_none() {
                continue;
            }
            let name = std::os::unix::ffi::OsStrExt::as_bytes(name);
            let failed =
                |errno| EngineError::System { doing: format!("remove {}", orphan.path.display()), errno };
            let name = std::ffi::CString::new(name).map_err(|_| failed(Errno::INVAL))?;
            let dir = open(CWD, &containers).map_err(failed)?;
            boxr_image::store::remove_tree(dir.as_fd(), &name).map_err(failed)?;
            bytes += orphan.bytes;
        }
        Ok(bytes)
    }
}

/// What boxr makes in its data root.
const OWN: [&str; 9] =
    ["containers", "events", "ids", "images", "networks", "pods", "projects", "secrets", "volumes"];

/// Why what is in a box's data directory is of no box; `None` when it is of one, of this state root or of another.
fn orphaned_box(paths: &Paths, name: &str, path: &Path) -> Option<&'static str> {
    if crate::id::Id::parse(name).is_none() {
        return Some("not the id of a box");
    }
    let home = std::fs::read_link(path.join("home")).unwrap_or_else(|_| paths.state.clone());
    let is_there = home.join("containers").join(name).symlink_metadata().is_ok();
    // Where the state is lost, as in a reboot, kept boxes come back from here.
    let is_kept = path.join("record.json").exists() && path.join("state.json").exists();
    (!is_there && !is_kept).then_some("its box is gone: boxr was killed while it made or removed it")
}

/// Bytes of the logs in a box's data directory.
fn logs_of(path: &Path) -> u64 {
    let is_log = |name: &str| name == "log" || name.starts_with("log.");
    let logs = entries(path).into_iter().filter(|(name, _)| is_log(name));
    logs.map(|(_, path)| Counter::default().below(&path)).sum()
}

fn entries(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut all: Vec<_> =
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect();
    all.sort_unstable();
    all
}

/// A container may have made directories in each other, all of which are open while the deepest is looked at.
fn allow_deep_trees() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where there may be no more, what is too deep is told as unreadable.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).ok();
}

/// Counts allocated bytes, each inode once.
#[derive(Debug, Default)]
struct Counter {
    seen: HashSet<(u64, u64)>,
    unreadable: u64,
}

impl Counter {
    /// Of `path` and all below it, on its filesystem; 0 for what is not there.
    fn below(&mut self, path: &Path) -> u64 {
        let Ok(stat) = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) else { return 0 };
        let own = self.one(&stat);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => own + self.opened(open(CWD, path), stat.st_dev),
            _ => own,
        }
    }

    fn one(&mut self, stat: &Stat) -> u64 {
        let is_first = stat.st_nlink < 2
            || FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            || self.seen.insert((stat.st_dev, stat.st_ino));
        if is_first { u64::try_from(stat.st_blocks).unwrap_or(0) * 512 } else { 0 }
    }

    fn opened(&mut self, dir: Result<OwnedFd, Errno>, device: u64) -> u64 {
        match dir {
            Ok(dir) => self.within(dir.as_fd(), device),
            Err(Errno::NOENT) => 0,
            Err(_) => {
                self.unreadable += 1;
                0
            }
        }
    }

    /// By descriptors: a container may put something else in a directory's place meanwhile.
    fn within(&mut self, dir: BorrowedFd<'_>, device: u64) -> u64 {
        let mut names = Vec::new();
        let read = each_entry(dir, |name| {
            names.push(name.to_owned());
            true
        });
        self.unreadable += u64::from(read.is_err());
        let mut total = 0;
        for name in names {
            let Ok(stat) = statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if stat.st_dev != device {
                continue;
            }
            total += self.one(&stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                total += self.opened(open(dir, &name), device);
            }
        }
        total
    }
}

fn open(at: BorrowedFd<'_>, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}
