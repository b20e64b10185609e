//! The files of an archive or of a directory, by their names there.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use super::{ArchiveError, refused};
use crate::digest::Algorithm;
use crate::oci::Compression;
use crate::store::{Spool, Spooled};
use crate::tar::{Archive, Entry, Kind};
use crate::unpack::Decompressor;

/// Bytes that go through at once.
const BUFFER: usize = 128 * 1024;
/// The most files in an archive. Docker's old ones have three for each layer.
const MOST_FILES: usize = 1 << 16;
/// The longest name of a file in an archive, in bytes.
const LONGEST_NAME: usize = 512;
/// Links that are followed from one name.
const MOST_LINKS: u32 = 8;

/// What is under a name.
#[derive(Clone, Debug)]
enum Found {
    File(Spooled),
    /// The same as under another name.
    Link(String),
}

/// What is there, spooled in the store.
pub(super) struct Contents<'s> {
    spool: &'s Spool<'s>,
    files: HashMap<String, Found>,
    /// Files come from there when they are asked for.
    dir: Option<OwnedFd>,
}

impl<'s> Contents<'s> {
    /// Reads an archive, compressed or not, to its end.
    pub(super) fn of_archive(spool: &'s Spool<'s>, from: impl Read) -> Result<Self, ArchiveError> {
        let mut contents = Self { spool, files: HashMap::new(), dir: None };
        let mut from = BufReader::with_capacity(BUFFER, from);
        check_compression(&mut from)?;
        let stream = Decompressor::new(from).map_err(|source| unreadable("the archive", source))?;
        let mut archive = Archive::new(BufReader::with_capacity(BUFFER, stream));
        while let Some(entry) = archive.next_entry()? {
            contents.take(&entry, &mut archive)?;
        }
        Ok(contents)
    }

    /// The files of a directory, as they are asked for.
    pub(super) fn of_directory(spool: &'s Spool<'s>, dir: OwnedFd) -> Self {
        Self { spool, files: HashMap::new(), dir: Some(dir) }
    }

    fn take(&mut self, entry: &Entry, archive: &mut Archive<impl Read>) -> Result<(), ArchiveError> {
        let shown = String::from_utf8_lossy(&entry.name).chars().take(200).collect::<String>();
        let name = name(&entry.name).ok_or_else(|| refused(&shown, "is no name for a file of an image"))?;
        let found = match entry.kind {
            Kind::Directory => return Ok(()),
            Kind::File if entry.segments.is_some() => return Err(refused(shown, "is a sparse file")),
            Kind::File => Found::File(self.spool_file(&name, |buffer| Ok(archive.read_data(buffer)?))?),
            Kind::HardLink | Kind::Symlink => {
                // A hard link's target is named from the top, a symbolic link's from where it is.
                let dir = if entry.kind == Kind::Symlink {
                    name.rsplit_once('/').map(|(dir, _)| dir)
                } else {
                    None
                };
                let target = joined(dir.unwrap_or_default(), &entry.link);
                Found::Link(target.ok_or_else(|| refused(&shown, "links to what is not in the archive"))?)
            }
            Kind::CharacterDevice | Kind::BlockDevice | Kind::Fifo => {
                return Err(refused(shown, "is neither a file nor a link"));
            }
        };
        if self.files.len() >= MOST_FILES {
            return Err(refused(shown, format!("is one more than {MOST_FILES} files")));
        }
        if self.files.insert(name, found).is_some() {
            return Err(refused(shown, "is there twice"));
        }
        Ok(())
    }

    fn spool_file(
        &self,
        name: &str,
        mut read: impl FnMut(&mut [u8]) -> Result<usize, ArchiveError>,
    ) -> Result<Spooled, ArchiveError> {
        let algorithm = if name.starts_with("blobs/sha512/") { Algorithm::Sha512 } else { Algorithm::Sha256 };
        let mut file = self.spool.begin(algorithm)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match read(&mut buffer)? {
                0 => return Ok(file.finish()),
                read => file.write(&buffer[..read])?,
            }
        }
    }

    /// Whether there is such a file.
    pub(super) fn has(&mut self, name: &str) -> Result<bool, ArchiveError> {
        Ok(self.find(name)?.is_some())
    }

    /// The file with this name.
    pub(super) fn get(&mut self, name: &str) -> Result<Spooled, ArchiveError> {
        self.find(name)?.ok_or_else(|| ArchiveError::Missing(name.to_owned()))
    }

    fn find(&mut self, wanted: &str) -> Result<Option<Spooled>, ArchiveError> {
        let Some(mut at) = name(wanted.as_bytes()) else {
            return Err(refused(wanted, "is no name for a file of an image"));
        };
        for _ in 0..MOST_LINKS {
            match self.files.get(&at) {
                Some(Found::File(spooled)) => return Ok(Some(spooled.clone())),
                Some(Found::Link(target)) => at.clone_from(target),
                None => return self.find_in_dir(&at),
            }
        }
        Err(refused(wanted, "is a link to links without end"))
    }

    fn find_in_dir(&mut self, name: &str) -> Result<Option<Spooled>, ArchiveError> {
        let Some(dir) = &self.dir else { return Ok(None) };
        // A pipe in the place of a file would be waited for.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let failed = |errno: rustix::io::Errno| unreadable(name, errno.into());
        let fd = match openat2(dir, name, flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            fd => fd.map_err(failed)?,
        };
        if FileType::from_raw_mode(fstat(&fd).map_err(failed)?.st_mode) != FileType::RegularFile {
            return Err(refused(name, "is no regular file"));
        }
        let mut file = File::from(fd);
        let spooled =
            self.spool_file(name, |buffer| file.read(buffer).map_err(|source| unreadable(name, source)))?;
        self.files.insert(name.to_owned(), Found::File(spooled.clone()));
        Ok(Some(spooled))
    }

    /// Reads a file of at most `limit` bytes whole.
    pub(super) fn read(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let spooled = self.get(name)?;
        if spooled.size > limit {
            return Err(refused(
                name,
                format!("has more than {limit} bytes, which is too long for what it is"),
            ));
        }
        let mut bytes = Vec::new();
        let file = self.spool.open(&spooled)?;
        file.take(limit).read_to_end(&mut bytes).map_err(|source| unreadable(name, source))?;
        Ok(bytes)
    }

    /// How a file is compressed.
    pub(super) fn compression(&mut self, name: &str) -> Result<Compression, ArchiveError> {
        let spooled = self.get(name)?;
        let file = BufReader::with_capacity(512, self.spool.open(&spooled)?);
        let stream = Decompressor::new(file).map_err(|source| unreadable(name, source))?;
        Ok(stream.compression())
    }

    /// All files.
    pub(super) fn files(&self) -> impl Iterator<Item = &Spooled> {
        self.files.values().filter_map(|found| match found {
            Found::File(spooled) => Some(spooled),
            Found::Link(_) => None,
        })
    }
}

fn unreadable(what: &str, source: std::io::Error) -> ArchiveError {
    ArchiveError::Read { what: what.to_owned(), source }
}

/// What other tools read besides gzip and zstd is named.
pub(super) fn check_compression(from: &mut impl BufRead) -> Result<(), ArchiveError> {
    let start = from.fill_buf().map_err(|source| unreadable("the archive", source))?;
    match start {
        [] => Err(ArchiveError::Empty),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(ArchiveError::Compression("xz")),
        [b'B', b'Z', b'h', ..] => Err(ArchiveError::Compression("bzip2")),
        _ => Ok(()),
    }
}

/// A name in its plain form; `None` for one that leads elsewhere.
pub(super) fn name(text: &[u8]) -> Option<String> {
    joined("", text).filter(|name| !name.is_empty() || text.ends_with(b"/") || text == b".")
}

/// What `text`, seen from `dir`, is called from the top.
fn joined(dir: &str, text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok().filter(|text| !text.starts_with('/'))?;
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    let name = parts.join("/");
    (name.len() <= LONGEST_NAME).then_some(name)
}
