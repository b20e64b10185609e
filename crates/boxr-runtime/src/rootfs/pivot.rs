//! Entering the new root: by pivot_root(2). chroot(2), which can be left again, only where it is asked for.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};

use super::mounts::move_onto;
use crate::error::{At, Step, StepError};

/// Attaches the detached copy `root` on top of the directory it was copied from, so that it is
/// a mount of this namespace and other mounts can be attached to it (before Linux 6.15 that
/// was refused for detached trees).
///
/// Root of a user namespace may not reach that directory. Any other will do then, since nothing is
/// opened by its path any more.
pub(super) fn attach_root(root: &OwnedFd, path: &Path) -> Result<(), StepError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &Path| openat(CWD, path, flags, Mode::empty());
    let elsewhere = ["/mnt", "/tmp", "/var", "/usr"].map(Path::new);
    let below = match open(path) {
        Err(Errno::ACCESS) => elsewhere.iter().find_map(|path| open(path).ok()).ok_or(Errno::ACCESS),
        other => other,
    };
    move_onto(root.as_fd(), below.at(Step::OpenRoot, path.display())?.as_fd())
        .at(Step::OpenRoot, path.display())
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

/// Moves `root` over the old root and enters it. Whoever may chroot(2) can leave it again, so what is
/// most dangerous of the host goes first: its views of the kernel.
pub(super) fn move_over(root: &OwnedFd, path: &Path) -> Result<(), StepError> {
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
    move_onto(root.as_fd(), old.as_fd()).map_err(step)?;
    chroot(root, path)
}

/// Makes the directory `root` the root of this process.
pub(super) fn chroot(root: &OwnedFd, path: &Path) -> Result<(), StepError> {
    let step = |errno: Errno| StepError::new(Step::Pivot, path.display(), errno);
    rustix::process::fchdir(root).map_err(step)?;
    rustix::process::chroot(c".").map_err(step)?;
    rustix::process::chdir(c"/").map_err(step)
}
