//! What is copied, as an archive.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{CopyError, Source, shown};
use crate::pack::entry::{self, Data};
use crate::pack::{Contents, Holes, Ids};
use crate::store::each_entry;
use crate::tar::{Entry, Kind, Writer};

/// Beneath a directory, through no link. What is mounted there is part of it.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Filesystems of the kernel's own, which have no files to copy (statfs(2)): proc, sysfs, cgroup, cgroup2, devpts,
/// mqueue, securityfs, debugfs, tracefs, bpf.
const OF_THE_KERNEL: [u64; 10] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x1cd1,
    0x1980_0202,
    0x7363_6673,
    0x6462_6720,
    0x7472_6163,
    0xcafe_4a11,
];

/// Writes what `source` is as an archive. Holes of files stay holes only between two boxrs, by `holes`.
///
/// # Errors
/// Something cannot be read or written; what was written then is of no use.
pub fn send<W: Write>(source: &Source, holes: Holes, to: W) -> Result<(W, Contents), CopyError> {
    let mut sender = Sender {
        writer: Writer::new(to),
        contents: Contents::default(),
        links: HashMap::new(),
        holes,
        ids: Ids::default(),
    };
    if is_kernels(source.parent.as_fd()) {
        return Err(CopyError::Kernel(shown(&source.path)));
    }
    if source.is_directory() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = fs::openat(&source.parent, source.name.as_slice(), flags, Mode::empty())
            .map_err(|errno| CopyError::system("open the directory", &source.path, errno))?;
        if is_kernels(root.as_fd()) {
            return Err(CopyError::Kernel(shown(&source.path)));
        }
        sender.tree(&root, &source.called)?;
    } else {
        sender.file(source.parent.as_fd(), &source.name, &source.called, &source.stat)?;
    }
    let to = sender.writer.finish().map_err(CopyError::Write)?;
    Ok((to, sender.contents))
}

struct Sender<W> {
    writer: Writer<W>,
    contents: Contents,
    /// The first names of files that have several.
    links: HashMap<(u64, u64), Vec<u8>>,
    holes: Holes,
    ids: Ids,
}

impl<W: Write> Sender<W> {
    /// A directory and all in it; its files before its directories.
    fn tree(&mut self, root: &OwnedFd, called: &[u8]) -> Result<(), CopyError> {
        // The last is next.
        let mut waiting = vec![Vec::new()];
        while let Some(path) = waiting.pop() {
            let opened = if path.is_empty() { open(root, b".") } else { open(root, &path) };
            let dir = match opened {
                // Removed, or made a link, meanwhile.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                dir => dir.map_err(|errno| CopyError::system("open the directory", &path, errno))?,
            };
            self.directory_entry(dir.as_fd(), &joined(called, &path))?;
            if is_kernels(dir.as_fd()) {
                continue;
            }
            let below = self.directory(dir.as_fd(), &joined(called, &path))?;
            waiting.extend(below.into_iter().rev().map(|name| joined(&path, &name)));
        }
        Ok(())
    }

    /// All files of a directory; the names of the directories in it.
    fn directory(&mut self, dir: BorrowedFd<'_>, called: &[u8]) -> Result<Vec<Vec<u8>>, CopyError> {
        let mut names = Vec::new();
        each_entry(dir, |name| names.push(name.to_bytes().to_vec()))
            .map_err(|errno| CopyError::system("read the directory", called, errno))?;
        names.sort_unstable();
        let mut below = Vec::new();
        for name in names {
            let stat = match fs::statat(dir, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat.map_err(|errno| CopyError::system("look at", &joined(called, &name), errno))?,
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => below.push(name),
                _ => self.file(dir, &name, &joined(called, &name), &stat)?,
            }
        }
        Ok(below)
    }

    fn directory_entry(&mut self, dir: BorrowedFd<'_>, called: &[u8]) -> Result<(), CopyError> {
        let failed = |errno| CopyError::system("look at", called, errno);
        let stat = fs::fstat(dir).map_err(failed)?;
        let xattrs = entry::xattrs(dir).map_err(failed)?;
        let entry = Entry { xattrs, ..entry::of(&stat, Kind::Directory, called, &self.ids) };
        self.put(&entry, io::empty())
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        called: &[u8],
        stat: &Stat,
    ) -> Result<(), CopyError> {
        if stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&key) {
                let link = first.clone();
                let entry = Entry { link, ..entry::of(stat, Kind::HardLink, called, &self.ids) };
                return self.put(&entry, io::empty());
            }
            self.links.insert(key, called.to_vec());
        }
        let opened = entry::open(parent, name, stat, called, &self.ids, self.holes);
        match opened.map_err(|errno| CopyError::system("read", called, errno))? {
            Data::File(entry, data) => self.put(&entry, data),
            Data::None(entry) => self.put(&entry, io::empty()),
            Data::Socket => {
                self.contents.sockets += 1;
                Ok(())
            }
            Data::Gone => {
                self.links.retain(|_, first| first != called);
                Ok(())
            }
        }
    }

    fn put(&mut self, entry: &Entry, data: impl io::Read) -> Result<(), CopyError> {
        self.contents.entries += 1;
        self.writer.append(entry, data).map_err(CopyError::Write)
    }
}

fn open(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat2(root, path, flags, Mode::empty(), BENEATH)
}

fn is_kernels(dir: BorrowedFd<'_>) -> bool {
    #[expect(clippy::cast_sign_loss, reason = "a magic number")]
    fs::fstatfs(dir).is_ok_and(|found| OF_THE_KERNEL.contains(&(found.f_type as u64)))
}

fn joined(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match (dir, name) {
        (b"", name) => name.to_vec(),
        (dir, b"") => dir.to_vec(),
        (dir, name) => [dir, b"/", name].concat(),
    }
}
