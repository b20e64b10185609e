//! What can go wrong with the store.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::id::Id;
use crate::names::NameError;

/// An operation on the store failed; nothing half-made was left behind unless it says so.
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
    /// A volume of the box, when that is removed.
    #[error(transparent)]
    Volume(Box<crate::volume::VolumeError>),
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
    /// That cannot be a name.
    #[error("{name:?} cannot be a box's name: {reason}")]
    InvalidName {
        /// What was given.
        name: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// Another box, or a pod, has the name.
    #[error("the name {name:?} is in use by {what} {}", holder.short())]
    NameInUse {
        /// The name.
        name: String,
        /// `box` or `pod`
        what: &'static str,
        /// Who has it.
        holder: Id,
    },
    /// No pod has this name, id, or beginning of an id.
    #[error("no pod has the name or id {wanted:?}")]
    NoPod {
        /// What was asked for.
        wanted: String,
    },
    /// No box has this name, id, or beginning of an id.
    #[error("no box has the name or id {wanted:?}")]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// The name that is most like it, if one is.
        nearest: Option<String>,
    },
    /// It is the name or id of a pod.
    #[error("{wanted} is a pod, not a box")]
    IsPod {
        /// What was asked for.
        wanted: String,
    },
    /// Several ids begin with this.
    #[error("{prefix:?} is the beginning of {} ids", candidates.len())]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// All of them.
        candidates: Vec<Id>,
    },
    /// There is a directory and no state in it.
    #[error(
        "box {} has no state: it is being created, or its creation or removal was cut short (boxr rm {} finishes that)",
        id.short(),
        id.short()
    )]
    NoState {
        /// Which.
        id: Id,
    },
    /// A file cannot be understood; `rm` still works.
    #[error("{path:?} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        reason: serde_json::Error,
    },
    /// A file was written by a newer boxr.
    #[error("{path:?} has format {format}, and this boxr knows formats up to {}", crate::record::FORMAT)]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// What a box had of networks cannot be given back.
    #[error(transparent)]
    Network(#[from] boxr_network::Error),
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
    /// The error of a system call.
    pub(crate) fn system(action: &'static str, path: impl Into<PathBuf>, errno: Errno) -> Self {
        let path = path.into();
        match errno {
            Errno::NOSPC | Errno::DQUOT => Self::Full { action, path, errno },
            errno => Self::System { action, path, errno },
        }
    }
}
