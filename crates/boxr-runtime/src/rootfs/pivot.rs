//! Entering the new root: by pivot_root(2). chroot(2), which can be left again, only where it is asked for.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount};

use super::mounts::move_onto;
use crate::error::{At, Step, StepError};

/// Attaches the detached copy `root` on top of the directory it was copied from, so that it is
/// a mount of this namespace and other mounts can be attached to it (before Linux 6.15 that
/// was refused for detached trees).
///
/// Root of a user namespace may not reach that directory. Any other will do then, since nothing is
/// opened by its path any more.
pub(super) fn attach_root(root: BorrowedFd<'_>, path: &Path) -> Result<(), StepError> {
    let attach = |path: &Path| move_mount(root, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
    let elsewhere = ["/mnt", "/tmp", "/var", "/usr"].map(Path::new);
    match attach(path) {
        Err(Errno::ACCESS) => elsewhere.into_iter().find_map(|path| attach(path).ok()).ok_or(Errno::ACCESS),
        other => other,
    }
    .at(Step::OpenRoot, path.display())
}

/// Makes `root` the root of the mount namespace and lets go of the host's tree, which ends up on top
/// of it (pivot_root(2), "pivot_root(".", ".")"). Nothing of it is shared with the host any more.
pub(super) fn enter(root: BorrowedFd<'_>, path: &Path) -> Result<(), StepError> {
    let step = |errno: Errno| StepError::new(Step::Pivot, path.display(), errno);
    rustix::process::fchdir(root).map_err(step)?;
    rustix::process::pivot_root(c".", c".").map_err(step)?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).map_err(step)
}

/// Moves `root` over the old root and enters it. Whoever may chroot(2) can leave it again, so what is
/// most dangerous of the host goes first: its views of the kernel.
pub(super) fn move_over(root: BorrowedFd<'_>, path: &Path) -> Result<(), StepError> {
    let step = |errno: Errno| StepError::new(Step::Pivot, path.display(), errno);
    for view in [c"/proc", c"/sys"] {
        match rustix::mount::unmount(view, UnmountFlags::DETACH) {
            // Not mounted there, or locked in a user namespace.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(errno) => return Err(step(errno)),
        }
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = openat(CWD, "/", flags, Mode::empty()).map_err(step)?;
    move_onto(root, old.as_fd()).map_err(step)?;
    chroot(root, path)
}

/// Makes the directory `root` the root of this process.
pub(super) fn chroot(root: BorrowedFd<'_>, path: &Path) -> Result<(), StepError> {
    let step = |errno: Errno| StepError::new(Step::Pivot, path.display(), errno);
    rustix::process::fchdir(root).map_err(step)?;
    rustix::process::chroot(c".").map_err(step)?;
    rustix::process::chdir(c"/").map_err(step)
}
