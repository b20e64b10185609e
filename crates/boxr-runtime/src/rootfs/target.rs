//! Where a mount is put: opened beneath the root, and never a part of procfs that a link led to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstat, fstatfs, openat2};
use rustix::io::Errno;

use super::beneath::{self, Shape};
use super::scratch::Scratch;
use crate::plan::{Cover, MountPlan, MountSource};

/// What happens when a mount target is missing.
#[derive(Clone, Copy, Debug)]
pub(super) enum MissingTarget<'d> {
    /// It is made, in a root of the container's own.
    Create,
    /// The same, in this directory of the container's own, which its last name is in.
    CreateIn(BorrowedFd<'d>),
    /// An error: the tree is the host's.
    Refuse,
}

/// A place to mount on.
#[derive(Debug)]
pub(super) struct Target {
    pub fd: Scratch,
    /// Whether it was there before.
    pub existed: bool,
}

/// Opens the destination of `mount`, and makes it first where that is allowed.
///
/// # Errors
/// `ELOOP` when a link stands where procfs or sysfs goes (CVE-2023-27561) or leads into a procfs
/// (CVE-2019-16884).
pub(super) fn open(
    root: BorrowedFd<'_>,
    mount: &MountPlan,
    shape: Shape,
    missing: MissingTarget<'_>,
) -> Result<Target, Errno> {
    let path = mount.destination.as_path();
    let makes = match (missing, path.file_name()) {
        // Mostly it is missing: looking for it first would be two calls more.
        (MissingTarget::CreateIn(parent), Some(name)) if mount.inode.is_none() => {
            return Ok(Target { fd: beneath::create_one(parent, name, shape)?.into(), existed: false });
        }
        (MissingTarget::Create | MissingTarget::CreateIn(_), _) => true,
        (MissingTarget::Refuse, _) => false,
    };
    if mount.cover == Cover::Link {
        return open_itself(root, mount, shape, makes);
    }
    // Without a link on the way the destination means what the plan has checked.
    let link = match beneath::open_without_links(root, path, OFlags::PATH) {
        Ok(fd) => {
            is_meant(&fd, mount)?;
            return Ok(Target { fd: fd.into(), existed: true });
        }
        Err(Errno::LOOP) if mount.no_links => return Err(Errno::LOOP),
        Err(Errno::LOOP) if makes && is_kernel_view(mount) => return Err(Errno::LOOP),
        Err(Errno::LOOP) => true,
        Err(Errno::NOENT) if makes => false,
        Err(errno) => return Err(errno),
    };
    let opened = if link { beneath::open(root, path, OFlags::PATH) } else { Err(Errno::NOENT) };
    let target = match opened {
        Err(Errno::NOENT) if makes => {
            Target { fd: beneath::create(root, path, shape)?.into(), existed: false }
        }
        opened => Target { fd: opened?.into(), existed: true },
    };
    if link && fstatfs(target.fd.as_fd())?.f_type == PROC_SUPER_MAGIC {
        return Err(Errno::LOOP);
    }
    Ok(target)
}

/// `ESTALE` where the mount is for another file than the one that is there now.
fn is_meant(fd: &OwnedFd, mount: &MountPlan) -> Result<(), Errno> {
    let Some(meant) = mount.inode else { return Ok(()) };
    let found = fstat(fd)?;
    if (found.st_dev, found.st_ino) == meant { Ok(()) } else { Err(Errno::STALE) }
}

/// The last name itself, also where it is a link.
fn open_itself(root: BorrowedFd<'_>, mount: &MountPlan, shape: Shape, makes: bool) -> Result<Target, Errno> {
    let (parent, name) = beneath::open_parent(root, &mount.destination)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(&parent, name, flags, Mode::empty(), ResolveFlags::BENEATH) {
        Ok(fd) => Ok(Target { fd: fd.into(), existed: true }),
        Err(Errno::NOENT) if makes => {
            Ok(Target { fd: beneath::create_one(parent.as_fd(), name, shape)?.into(), existed: false })
        }
        Err(errno) => Err(errno),
    }
}

/// procfs and sysfs: behind a link they would be where masks and the runtime itself do not look.
fn is_kernel_view(mount: &MountPlan) -> bool {
    matches!(&mount.source, MountSource::Filesystem { kind, .. } if kind == "proc" || kind == "sysfs")
}
