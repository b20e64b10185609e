//! Layers to files, in the form that overlayfs takes (OCI image specification, `layer.md`; the kernel's
//! `overlayfs.rst`).
//!
//! The stream is decompressed, hashed and unpacked at once; nothing of it is held but one buffer. Each
//! layer goes into a directory of its own, which needs no other layer, so any number may be unpacked
//! at the same time. What a layer removes becomes a character device 0:0, which anybody may make, and
//! what it replaces whole an attribute `overlay.opaque`, of root's kind or of everybody's.
//!
//! An archive is hostile input. No name leads out of the directory: names with `..` are refused, absolute ones begin
//! at the layer's root, and the kernel resolves the rest beneath it (openat2(2), `RESOLVE_BENEATH`), also
//! through links that the archive made. One bad entry and the whole layer is refused.

mod decompress;
mod entries;
mod error;
mod metadata;
mod names;
#[cfg(test)]
mod tests;
mod tree;

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::BorrowedFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

pub use decompress::Decompressor;
pub use error::UnpackError;
pub(crate) use metadata::is_wanted;

use crate::digest::{Algorithm, Digest, Hasher};
use crate::store::LayerInfo;
use crate::tar::{Archive, Kind};

/// Bytes that go through at once.
const BUFFER: usize = 128 * 1024;

/// Whose attributes overlayfs is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `trusted.overlay.*`, which only root of the host may set.
    Trusted,
    /// `user.overlay.*`, for mounts with the option `userxattr` (Linux 5.11).
    User,
}

impl Form {
    /// The one that this process can make in the directory `dir`.
    ///
    /// # Errors
    /// Neither: the filesystem has no extended attributes.
    pub fn of(dir: BorrowedFd<'_>) -> Result<Self, Errno> {
        // Replaces what is not there: whether it may be written is asked first, and nothing is (setxattr(2)).
        let may_set = |name: &str| match rustix::fs::fsetxattr(dir, name, b"y", XattrFlags::REPLACE) {
            Ok(()) | Err(Errno::NODATA) => Ok(()),
            Err(errno) => Err(errno),
        };
        match may_set("trusted.overlay.boxr") {
            Ok(()) => Ok(Self::Trusted),
            Err(Errno::PERM) => may_set("user.overlay.boxr").map(|()| Self::User),
            Err(errno) => Err(errno),
        }
    }

    /// The attribute of a directory whose former contents are gone.
    pub(crate) fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }

    /// The attribute of a directory whose former contents are under another name.
    pub(crate) fn redirect(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.redirect",
            Self::User => "user.overlay.redirect",
        }
    }
}

/// Whose the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// As the archive says, in this process's user namespace.
    Kept,
    /// The caller's, all of them: for users who have no more ids than one.
    Squashed,
}

/// How much one layer may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the tar stream.
    pub stream: u64,
    /// Files, directories and all else.
    pub entries: u64,
    /// The length of one file, holes counted, in bytes.
    pub file: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { stream: 256 << 30, entries: 4 << 20, file: 1 << 40 }
    }
}

/// How a layer is unpacked.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Whose attributes overlayfs is told by.
    pub form: Form,
    /// Whose the files are.
    pub ownership: Ownership,
    /// How much it may be.
    pub limits: Limits,
}

/// A layer that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The digest of its tar stream. Whoever knows what it should be compares.
    pub diff_id: Digest,
    /// What it amounts to.
    pub info: LayerInfo,
    /// What could not be made as the archive says.
    pub left_out: LeftOut,
}

/// What could not be made without privilege, or on this filesystem; each a number of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Extended attributes.
    pub xattrs: u64,
    /// Devices: an empty file is in their place.
    pub devices: u64,
    /// Owners other than the caller.
    pub owners: u64,
}

impl LeftOut {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            xattrs: self.xattrs + other.xattrs,
            devices: self.devices + other.devices,
            owners: self.owners + other.owners,
        }
    }
}

/// Unpacks the layer `from`, compressed or not, into the empty directory `dir`.
///
/// # Errors
/// It cannot be read, is refused, or cannot be written. What is in `dir` then is to be removed.
pub fn unpack(from: impl Read, dir: BorrowedFd<'_>, how: &How) -> Result<Unpacked, UnpackError> {
    let mut stream = Hashed {
        from: Decompressor::new(BufReader::with_capacity(BUFFER, from))?,
        hasher: Hasher::new(Algorithm::Sha256),
        left: how.limits.stream,
    };
    let mut unpacker = entries::Unpacker::new(dir, how)?;
    unpacker.run(BufReader::with_capacity(BUFFER, &mut stream))?;
    let (mut info, left_out) = unpacker.finish()?;
    // What follows the archive counts for the digests, of the stream and of the blob.
    drain(BufReader::with_capacity(BUFFER, &mut stream))?;
    info.stream = how.limits.stream - stream.left;
    info.is_exact = how.ownership == Ownership::Kept && left_out.xattrs == 0;
    drain(stream.from.into_inner())?;
    Ok(Unpacked { diff_id: stream.hasher.finish(), info, left_out })
}

/// The digest of the tar stream in `from`, compressed or not, of at most `limit` bytes.
///
/// # Errors
/// It cannot be read or decompressed, or is longer.
pub fn diff_id(from: impl Read, limit: u64) -> io::Result<Digest> {
    let from = Decompressor::new(BufReader::with_capacity(BUFFER, from))?;
    let mut stream = Hashed { from, hasher: Hasher::new(Algorithm::Sha256), left: limit };
    drain(BufReader::with_capacity(BUFFER, &mut stream))?;
    drain(stream.from.into_inner())?;
    Ok(stream.hasher.finish())
}

/// Bytes in the files of the layer `from`, compressed or not, as [`LayerInfo::size`] counts them; nothing is unpacked.
///
/// # Errors
/// It cannot be read.
pub fn bytes_in_files(from: impl Read) -> Result<u64, UnpackError> {
    let from = Decompressor::new(BufReader::with_capacity(BUFFER, from))?;
    let mut archive = Archive::new(BufReader::with_capacity(BUFFER, from));
    let mut total = 0u64;
    while let Some(entry) = archive.next_entry()? {
        if entry.kind == Kind::File {
            let segments = entry.segments.map(|all| all.iter().map(|one| one.length).sum());
            total = total.saturating_add(segments.unwrap_or(entry.size));
        }
    }
    Ok(total)
}

/// Reads to the end, a whole buffer at a time: std would take 8 KiB of its own, and for each of them a decompressor moves
/// 32 KiB that it remembers.
fn drain(mut from: impl BufRead) -> io::Result<()> {
    loop {
        let length = match from.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?.len(),
        };
        if length == 0 {
            return Ok(());
        }
        from.consume(length);
    }
}

/// Hashes what is read through it, and ends it if it is too much.
struct Hashed<R> {
    from: R,
    hasher: Hasher,
    left: u64,
}

/// More than [`Limits::stream`].
#[derive(Debug, thiserror::Error)]
#[error("it is longer than any layer may be")]
struct TooLong;

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(TooLong))?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
