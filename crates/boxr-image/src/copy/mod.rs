//! Files from one tree into another, as an archive between the two, by the rules of `docker cp`
//! (docs.docker.com, "docker container cp").
//!
//! One of the trees is a container's, and whoever is in there may change it meanwhile. A path is therefore resolved
//! once, by the kernel and within the tree ([`Base`]); what it led to is held by descriptors, and everything else
//! goes on from them: a file is opened through no link, and no name of an archive leads out of the directory
//! that it is laid into (openat2(2), `RESOLVE_IN_ROOT` and `RESOLVE_BENEATH`).

mod clear;
mod lay;
mod place;
mod send;
#[cfg(test)]
mod tests;

use rustix::io::Errno;

pub use lay::{Clash, Laid, Owners, lay};
pub(crate) use place::open_within;
pub use place::{Base, Into, Source, Target};
pub use send::send;

use crate::tar::TarError;

/// Files were not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no such thing.
    #[error("no such file or directory: {0}")]
    Missing(String),
    /// A path that says it is a directory, and leads to something else.
    #[error("{0} is not a directory")]
    NotADirectory(String),
    /// The directory that a path ends in is not there, and is not made for a file.
    #[error("no such directory: {0}")]
    NoDirectory(String),
    /// Where a directory would have to replace a file.
    #[error("a directory cannot be copied onto the file {0}")]
    OntoFile(String),
    /// A device, a pipe or a socket.
    #[error("{0} is neither a directory nor a regular file")]
    Special(String),
    /// What the kernel makes up as it is read.
    #[error("{0} belongs to the kernel, and is no file that can be copied")]
    Kernel(String),
    /// A file where the archive has a directory, or the other way.
    #[error("cannot overwrite {name:?}: {why}")]
    Overwrite {
        /// The entry.
        name: String,
        /// Which way.
        why: &'static str,
    },
    /// A name leads out of the directory.
    #[error("the archive is refused: {name:?} leads out of the directory")]
    Escape {
        /// The entry, or what it links to.
        name: String,
    },
    /// The archive cannot be used.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The archive cannot be read.
    #[error("the archive cannot be read: {0}")]
    Read(std::io::Error),
    /// The archive cannot be written on.
    #[error("cannot write the archive: {0}")]
    Write(std::io::Error),
    /// The system refused.
    #[error("cannot {action} {name:?}: {errno}")]
    System {
        /// What was tried.
        action: &'static str,
        /// On which file.
        name: String,
        /// The system's reason.
        errno: Errno,
    },
}

impl CopyError {
    fn system(action: &'static str, name: &[u8], errno: Errno) -> Self {
        Self::System { action, name: shown(name), errno }
    }
}

/// A name for a message.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(400)]).into_owned()
}
