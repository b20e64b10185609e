//! Tar archives, as a stream, read and written: ustar, GNU's and pax's long names, sparse files, extended attributes
//! (POSIX.1-2017 `pax`, tar(5); GNU tar's manual, "Storing Sparse Files").
//!
//! An archive is hostile input. Nothing here is read into memory but headers, all of which are
//! bounded, and what contradicts itself is an error.

mod header;
mod number;
mod pax;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;
mod writer;

use std::io;

pub use header::{Entry, Kind, Time};
pub use reader::Archive;
pub use sparse::Segment;
pub use writer::Writer;

/// The unit of an archive, in bytes.
const BLOCK: usize = 512;
/// The longest name that a header may bring along, in bytes. Linux takes no longer path than 4096.
const LONGEST_NAME: u64 = 4096;
/// The longest pax headers of one entry together, in bytes: attributes may have 64 KiB each (xattr(7)).
const LONGEST_PAX: u64 = 1 << 20;
/// The longest pax header of all entries, in bytes. It is gone through for each of them.
const LONGEST_GLOBAL: u64 = 16 << 10;
/// The most extended attributes of one entry; their names must fit into 64 KiB (listxattr(2)).
const MOST_XATTRS: usize = 512;
/// The most pieces of data in one sparse file.
const MOST_SEGMENTS: usize = 1 << 17;

/// The archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// It cannot be read.
    #[error("the archive cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It ends in the middle of something.
    #[error("the archive is cut short")]
    CutShort,
    /// What should be a header is none.
    #[error("the archive is damaged: a header has the wrong checksum")]
    Checksum,
    /// A field of a header.
    #[error("the archive is damaged: {name:?} has an invalid {field}")]
    Field {
        /// The entry, as far as it is known.
        name: String,
        /// The field.
        field: &'static str,
    },
    /// More than is read.
    #[error("the archive cannot be used: {name:?} has a {what} that is too long")]
    TooLong {
        /// The entry, as far as it is known.
        name: String,
        /// What is too long.
        what: &'static str,
    },
    /// A kind of entry that nobody knows.
    #[error("the archive cannot be used: {name:?} is of the unknown type {kind:?}")]
    Kind {
        /// The entry.
        name: String,
        /// The letter in its header.
        kind: char,
    },
}

/// A name for a message.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(200)]).into_owned()
}
