//! What can go wrong with the store.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::digest::Digest;

/// An operation on the store failed; what it had half made is never trusted by a later one.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {action} {path:?}: {errno}")]
    System {
        /// What was tried, as it follows "cannot".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// No space, no inodes, or no quota.
    #[error("cannot {action} {path:?}: the disk is full ({errno})")]
    Full {
        /// What was tried, as it follows "cannot".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// ENOSPC or EDQUOT.
        errno: Errno,
    },
    /// A file's owner would be nobody.
    #[error("{path:?} of the image belongs to {kind} {id}, which is not among the container's ids")]
    Owner {
        /// Which file.
        path: String,
        /// `user` or `group`
        kind: &'static str,
        /// Whose it is.
        id: u32,
    },
    /// The store was made by a newer boxr.
    #[error("the image store {path:?} has format {format:?}, and this boxr knows only format {known:?}")]
    Format {
        /// The store.
        path: PathBuf,
        /// What its `format` file says.
        format: String,
        /// What this boxr makes.
        known: &'static str,
    },
    /// Content is not what its digest says.
    #[error("{what} is damaged: its digest is {found}, not {expected}")]
    WrongDigest {
        /// What it is.
        what: &'static str,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// Content is longer or shorter than was said.
    #[error("{digest} is {found} bytes long, not {expected} as was said")]
    WrongSize {
        /// Which content.
        digest: Digest,
        /// What was said.
        expected: u64,
        /// What there is; one more than expected means: at least that.
        found: u64,
    },
    /// Content that is needed is not here.
    #[error("{0} is not in the image store (boxr store verify --repair fetches it again)")]
    Missing(Digest),
    /// Content that is to be read whole is too long for that.
    #[error("{digest} is {size} bytes long; more than {limit} are not read into memory")]
    TooLarge {
        /// Which content.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
        /// The most, in bytes.
        limit: u64,
    },
    /// A file cannot be understood.
    #[error("{path:?} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        reason: serde_json::Error,
    },
    /// A file cannot be written because it cannot be encoded.
    #[error("cannot encode {path:?}: {reason}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// The encoder's reason.
        reason: serde_json::Error,
    },
}

impl StoreError {
    /// Whether it is the filesystem that cannot be written.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::System { errno: Errno::ROFS, .. })
    }

    /// The error of a system call.
    pub(crate) fn system(action: &'static str, path: impl Into<PathBuf>, errno: Errno) -> Self {
        let path = path.into();
        match errno {
            Errno::NOSPC | Errno::DQUOT => Self::Full { action, path, errno },
            errno => Self::System { action, path, errno },
        }
    }
}
