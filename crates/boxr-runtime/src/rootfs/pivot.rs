//! Entering the new root: pivot_root(2), never chroot(2), which can be left again.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};

use super::mounts::move_onto;
use crate::error::{At, Step, StepError};

/// Attaches the detached copy `root` on top of the directory it was copied from, so that it is
/// a mount of this namespace and other mounts can be attached to it (before Linux 6.15 that
/// was refused for detached trees).
pub(super) fn attach_root(root: &OwnedFd, below: &OwnedFd, path: &Path) -> Result<(), StepError> {
    move_onto(root, below.as_fd()).at(Step::OpenRoot, path.display())
}

/// Makes `root` the root of the mount namespace and lets go of the host's tree.
pub(super) fn enter(root: &OwnedFd, path: &Path) -> Result<(), StepError> {
    let step = |errno: Errno| StepError::new(Step::Pivot, path.display(), errno);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty()).map_err(step)?;
    rustix::process::fchdir(root).map_err(step)?;
    // With both arguments the same the old root ends up on top of the new one (pivot_root(2)).
    rustix::process::pivot_root(c".", c".").map_err(step)?;
    rustix::process::fchdir(&old).map_err(step)?;
    // Where the tree is shared with the host, detaching the old root must not reach the host.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change(c".", slave).map_err(step)?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).map_err(step)?;
    rustix::process::chdir(c"/").map_err(step)
}
