//! Entry after entry.

use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::shown;
use super::metadata::{Giver, Metadata};
use super::names::{Meaning, Path};
use super::tree::{Found, Tree, look};
use super::{Form, How, LeftOut, Limits, UnpackError};
use crate::store::LayerInfo;
use crate::tar::{Archive, Entry, Kind, Segment};

pub(super) struct Unpacker<'r> {
    tree: Tree<'r>,
    giver: Giver,
    form: Form,
    limits: Limits,
    info: LayerInfo,
}

impl<'r> Unpacker<'r> {
    pub(super) fn new(root: BorrowedFd<'r>, how: &How) -> Result<Self, UnpackError> {
        Ok(Self {
            tree: Tree::new(root, how.form),
            giver: Giver::new(how.ownership, root)?,
            form: how.form,
            limits: how.limits,
            info: LayerInfo::default(),
        })
    }

    /// All entries of the archive.
    pub(super) fn run(&mut self, from: impl BufRead) -> Result<(), UnpackError> {
        let mut archive = Archive::new(from);
        while let Some(entry) = archive.next_entry()? {
            self.info.entries += 1;
            if self.info.entries > self.limits.entries {
                return Err(UnpackError::TooMuch { what: "entries", limit: self.limits.entries });
            }
            if entry.size > self.limits.file {
                return Err(UnpackError::TooMuch { what: "bytes in one file", limit: self.limits.file });
            }
            match Path::new(&entry.name)?.meaning()? {
                Meaning::Itself(path) => self.put(&path, &entry, &mut archive)?,
                Meaning::Removed(path) => self.tree.white_out(&path)?,
                Meaning::Emptied(path) => self.tree.empty(&path)?,
                Meaning::Nothing => {}
            }
        }
        Ok(())
    }

    /// What is left to do when all entries are there.
    pub(super) fn finish(mut self) -> Result<(LayerInfo, LeftOut), UnpackError> {
        let giver = &mut self.giver;
        self.tree.finish(|dir, path, metadata| giver.give(dir, path.as_bytes(), metadata))?;
        self.info.highest_id = self.giver.highest_id;
        Ok((self.info, self.giver.left_out))
    }

    fn put(
        &mut self,
        path: &Path,
        entry: &Entry,
        archive: &mut Archive<impl BufRead>,
    ) -> Result<(), UnpackError> {
        let metadata = Metadata::of(entry);
        if entry.kind == Kind::Directory {
            return self.tree.put_dir(path, metadata);
        }
        if path.is_root() {
            let reason = "is to be the root, and is no directory";
            return Err(UnpackError::Contradiction { name: shown(&entry.name), reason });
        }
        match entry.kind {
            Kind::File => {
                let file = self.make(path, Self::make_file)?;
                self.fill(&file, entry, archive)?;
                self.giver.give(file.as_fd(), path.as_bytes(), &metadata)
            }
            Kind::HardLink => self.hard_link(path, entry),
            Kind::Symlink => {
                self.make(path, |at, name| fs::symlinkat(entry.link.as_slice(), at, name))?;
                self.give_unopened(path, &metadata, true)
            }
            Kind::Fifo => {
                self.make(path, |at, name| mknod(at, name, FileType::Fifo, 0))?;
                self.give_unopened(path, &metadata, false)
            }
            Kind::CharacterDevice => self.device(path, entry, FileType::CharacterDevice, &metadata),
            Kind::BlockDevice => self.device(path, entry, FileType::BlockDevice, &metadata),
            Kind::Directory => Ok(()),
        }
    }

    /// Makes something new at `path`, in place of what an earlier entry has put there.
    fn make<T>(
        &mut self,
        path: &Path,
        mut make: impl FnMut(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        let (at, name) = self.tree.parent(path)?;
        let made = match make(at, name) {
            Err(Errno::EXIST) => {
                self.tree.clear(path)?;
                let (at, name) = self.tree.parent(path)?;
                make(at, name)
            }
            made => made,
        };
        made.map_err(|errno| UnpackError::system("make", path.as_bytes(), errno))
    }

    fn make_file(at: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(at, name, flags, Mode::from_raw_mode(0o600))
    }

    fn fill(
        &mut self,
        file: &OwnedFd,
        entry: &Entry,
        archive: &mut Archive<impl BufRead>,
    ) -> Result<(), UnpackError> {
        let failed = |errno| UnpackError::system("write", &entry.name, errno);
        let whole = [Segment { offset: 0, length: entry.size }];
        for segment in entry.segments.as_deref().unwrap_or(&whole) {
            let mut written = 0;
            while written < segment.length {
                let data = archive.data()?;
                let most = usize::try_from(segment.length - written).unwrap_or(usize::MAX).min(data.len());
                if most == 0 {
                    return Err(crate::tar::TarError::CutShort.into());
                }
                write_all_at(file, &data[..most], segment.offset + written).map_err(failed)?;
                archive.consume(most);
                written += most as u64;
            }
            self.info.size += segment.length;
        }
        if entry.segments.is_some() {
            fs::ftruncate(file, entry.size).map_err(failed)?;
        }
        Ok(())
    }

    fn hard_link(&mut self, path: &Path, entry: &Entry) -> Result<(), UnpackError> {
        let target = Path::new(&entry.link)?;
        let refused = |reason| Err(UnpackError::Contradiction { name: shown(&entry.name), reason });
        if target.is_root() {
            return refused("links to a directory");
        }
        if target == *path {
            return refused("links to itself");
        }
        let failed = |errno| UnpackError::system("link", &entry.name, errno);
        let (at, last) = self.tree.parent(&target)?;
        match look(at, last).map_err(failed)? {
            Found::Other => {}
            Found::Directory => return refused("links to a directory"),
            Found::Nothing | Found::Whiteout => return refused("links to what the layer does not have"),
        }
        let target_dir =
            fs::openat(at, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(failed)?;
        // Not through a link: what is linked is what was looked at.
        self.make(path, |at, name| fs::linkat(&target_dir, last, at, name, AtFlags::empty()))
    }

    fn device(
        &mut self,
        path: &Path,
        entry: &Entry,
        kind: FileType,
        metadata: &Metadata,
    ) -> Result<(), UnpackError> {
        let device = fs::makedev(entry.device.0, entry.device.1);
        if kind == FileType::CharacterDevice && device == 0 {
            // That is what overlayfs takes for a removal.
            return self.tree.white_out(path);
        }
        let (at, name) = self.tree.parent(path)?;
        match mknod(at, name, kind, device) {
            Err(Errno::PERM) if self.form == Form::User => {
                self.giver.left_out.devices += 1;
                let file = self.make(path, Self::make_file)?;
                return self.giver.give(file.as_fd(), path.as_bytes(), metadata);
            }
            Err(Errno::EXIST) => self.make(path, |at, name| mknod(at, name, kind, device))?,
            made => made.map_err(|errno| UnpackError::system("make the device", path.as_bytes(), errno))?,
        }
        self.give_unopened(path, metadata, false)
    }

    fn give_unopened(&mut self, path: &Path, metadata: &Metadata, is_link: bool) -> Result<(), UnpackError> {
        let (at, name) = self.tree.parent(path)?;
        self.giver.give_unopened(at, name, path.as_bytes(), metadata, is_link)
    }
}

fn mknod(at: BorrowedFd<'_>, name: &[u8], kind: FileType, device: fs::Dev) -> Result<(), Errno> {
    fs::mknodat(at, name, kind, Mode::from_raw_mode(0o600), device)
}

fn write_all_at(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(file, bytes, offset))?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}
