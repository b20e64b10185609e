//! What becomes `/`, and how.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use boxr_sys::mount::Propagation;

use crate::error::StepError;

/// What becomes `/`.
#[derive(Debug, PartialEq, Eq)]
pub enum RootPlan {
    /// Whatever the mount namespace has: the caller's, or the joined one's.
    Unchanged,
    /// The caller's tree in a mount namespace of its own.
    HostTree {
        /// Of all its mounts.
        propagation: RootPropagation,
        /// The whole tree is read-only.
        read_only: bool,
    },
    /// A directory in a mount namespace of its own.
    Directory {
        /// Its path on the host.
        path: PathBuf,
        /// Of the host's mounts as seen from the container's namespace, and of the container's root.
        propagation: RootPropagation,
        /// The root mount is read-only.
        read_only: bool,
        /// How it becomes the root.
        entry: RootEntry,
    },
    /// A directory of the caller's mount namespace or a joined one, as it is: nothing is mounted in it.
    Chroot {
        /// Its path in the caller's mount namespace.
        path: PathBuf,
    },
}

impl RootPlan {
    /// Whether others have made what becomes `/`, so that nothing in it can be believed.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Directory { .. } | Self::Chroot { .. })
    }

    /// Whether mounts can be made that nobody else sees.
    pub fn has_own_mounts(&self) -> bool {
        matches!(self, Self::HostTree { .. } | Self::Directory { .. })
    }
}

/// How mounts travel between the host and a container (`linux.rootfsPropagation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootPropagation {
    /// Nothing is said: mounts of the host arrive in what is bound, none leaves.
    #[default]
    Unsaid,
    /// The host's mounts stay what they are (boxr's own `unchanged`).
    Unchanged,
    /// This, and whether of all mounts.
    Set(Propagation, bool),
}

/// How a directory becomes the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootEntry {
    /// pivot_root(2): nothing of the host is left in the mount namespace.
    #[default]
    Pivot,
    /// Moved over the old root and entered by chroot(2), for hosts that run from a ramdisk, which
    /// pivot_root(2) refuses (`--no-pivot`). The old root stays below.
    MoveAndChroot,
}

/// Makes a tree that is no directory of the host's as it is: a container's root, or what is mounted in it.
pub trait MakeTree: std::fmt::Debug {
    /// A mount that is nowhere yet; of a part of a tree, of a single file perhaps. Its ids are shifted by the maps of the user namespace `shifted_by`.
    ///
    /// # Errors
    /// The step that the kernel refused.
    fn make(&self, shifted_by: Option<BorrowedFd<'_>>) -> Result<OwnedFd, StepError>;
}

/// Who makes a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeMaker {
    /// boxr, with its privilege over the host, before there is a first process. Where the container has new
    /// id maps, the tree's ids are shifted by them.
    Outside,
    /// The first process, as root of the container's user namespace, in mounts of its own.
    Inside,
    /// The process that makes the first one, as root of the user namespace above the container's, in mounts of its own:
    /// who owns the tree has no id in the container. It opens all that is bound too.
    Above,
}

/// Where a tree comes from that is made at every start.
#[derive(Debug)]
pub struct TreeSource {
    /// By whom.
    pub by: TreeMaker,
    /// How.
    pub tree: Box<dyn MakeTree>,
}

/// A tree that is mounted in the box.
#[derive(Debug)]
pub struct MountTree {
    /// The destination of the mount of type [`super::TREE`] that it is for.
    pub destination: PathBuf,
    /// Where it comes from.
    pub source: TreeSource,
}
