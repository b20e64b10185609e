//! The parts that the host's tree is divided into.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One part, from its path down to where others begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Where it is, on the host as in the try; without links.
    pub path: PathBuf,
    /// What is done with it.
    pub part: Part,
    /// Whether there is no place for it yet where it goes: what holds it is a [`Part::Frame`].
    pub place: bool,
    /// Why it is read-only, where a person could expect otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

impl Piece {
    /// Whether it lies upon a copy of its directory.
    pub(super) fn is_framed(&self) -> bool {
        matches!(self.part, Part::Overlay { framed: true, .. })
    }
}

/// What is done with a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A directory of a filesystem in memory, made anew, with others in it: who is not root may lay an overlay only
    /// upon a directory beneath which nothing is mounted.
    Frame {
        /// Permission bits.
        mode: u32,
    },
    /// An overlay, whose changes are kept under this number.
    Overlay {
        /// The number.
        number: u32,
        /// `st_dev` of the directory it lies upon.
        device: u64,
        /// `st_ino` of it.
        inode: u64,
        /// Whether it lies upon a copy of the directory alone, with places for others in it ([`super::frame`]).
        framed: bool,
    },
    /// As it is.
    Bind {
        /// With what is mounted beneath.
        recursive: bool,
        /// Nothing in it can be changed.
        read_only: bool,
        /// A directory, not a file.
        directory: bool,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: PathBuf,
    },
}

/// A directory in the changes that stands for one of the host's which the try's user does not own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Of which part.
    pub number: u32,
    /// Its path beneath the part's; empty for the part's own directory.
    pub path: PathBuf,
    /// Permission bits that it was made with.
    pub mode: u32,
}
