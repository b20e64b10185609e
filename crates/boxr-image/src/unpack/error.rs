//! Why a layer was not unpacked.

use std::io;

use rustix::io::Errno;

use crate::tar::TarError;

/// A layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It cannot be read or decompressed.
    #[error("the layer cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is no archive that can be used.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A name leads out of the layer.
    #[error("the layer is refused: {name:?} leads out of it ({reason})")]
    Escape {
        /// The entry, or what it links to.
        name: String,
        /// How.
        reason: &'static str,
    },
    /// An entry contradicts what came before.
    #[error("the layer is refused: {name:?} {reason}")]
    Contradiction {
        /// The entry.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is too much.
    #[error("the layer is refused: it has more than {limit} {what}")]
    TooMuch {
        /// What is too much.
        what: &'static str,
        /// How much may be.
        limit: u64,
    },
    /// An owner has no number here.
    #[error(
        "{name:?} belongs to {kind} {id}, which is not one of this user namespace's\n  \
         /etc/subuid and /etc/subgid must give more ids"
    )]
    Owner {
        /// The entry.
        name: String,
        /// `user` or `group`
        kind: &'static str,
        /// The number.
        id: u32,
    },
    /// The system refused.
    #[error("cannot {action} {name:?} of the layer: {errno}")]
    System {
        /// What was tried.
        action: &'static str,
        /// On which entry.
        name: String,
        /// The system's reason.
        errno: Errno,
    },
}

impl UnpackError {
    pub(super) fn system(action: &'static str, name: &[u8], errno: Errno) -> Self {
        let name = shown(name);
        match errno {
            Errno::XDEV => Self::Escape { name, reason: "through a symbolic link" },
            Errno::LOOP => Self::Escape { name, reason: "through symbolic links without end" },
            errno => Self::System { action, name, errno },
        }
    }
}

/// A name for a message.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(400)]).into_owned()
}
