//! Layers that show other ids, and parts of root filesystems, for kernels before Linux 6.15.
//!
//! There overlayfs takes directories only from mounts that are attached in the mount namespace of whoever mounts it, and what
//! shifts ids is attached nowhere yet. So a process with a mount namespace of its own attaches all of them, upon each
//! other, mounts the overlay, hands it out and ends; overlayfs keeps clones of what it lies upon. Nor is what is attached nowhere cloned there in part.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::namespace::NamespaceKind;
use boxr_sys::passing;
use boxr_sys::pidfd::reap;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};

use super::{Overlay, RootfsError, attach, clone_tree, failed, open_changes};

/// Mounts `overlay`, whose layers are `lower`, mounts that are attached nowhere.
pub(super) fn mount(overlay: &Overlay<'_>, lower: &[OwnedFd]) -> Result<OwnedFd, RootfsError> {
    let changes = overlay.changes.map(clone_tree).transpose()?;
    in_own_mounts(|| {
        lower.iter().chain(&changes).try_for_each(|tree| attach(tree.as_fd(), Path::new("/")))?;
        let changes = changes.as_ref().map(|changes| open_changes(changes.as_fd())).transpose()?;
        overlay.mount_upon(lower, changes)
    })
}

/// What `work` mounts, or clones, in a process with a mount namespace of its own, in which nothing travels to the caller's.
pub(super) fn in_own_mounts(
    work: impl FnOnce() -> Result<OwnedFd, RootfsError>,
) -> Result<OwnedFd, RootfsError> {
    let said = failed("mount what only attached mounts have");
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map_err(&said)?;
    let worker = match clone3(NamespaceKind::Mount.clone_flag(), None, Parent::Caller).map_err(&said)? {
        Cloned::Child => {
            let told = match make_private().and_then(|()| work()) {
                Ok(mount) => passing::send(&theirs, &0i32.to_ne_bytes(), Some(mount.as_fd())),
                Err(error) => passing::send(&theirs, &error.errno.raw_os_error().to_ne_bytes(), None),
            };
            exit_now(u8::from(told.is_err()))
        }
        Cloned::Parent { pidfd, .. } => pidfd,
    };
    drop(theirs);
    let received = receive(&ours);
    reap(worker.as_fd(), true).map_err(&said)?;
    received.map_err(said)
}

fn make_private() -> Result<(), RootfsError> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change(c"/", private).map_err(failed("have mounts of one's own"))
}

fn receive(socket: &OwnedFd) -> Result<OwnedFd, Errno> {
    let mut word = [0; 4];
    let (_, fd) = passing::receive(socket, &mut word, RecvFlags::empty())?;
    match (fd, i32::from_ne_bytes(word)) {
        (Some(mount), _) => Ok(mount),
        // It was ended.
        (None, 0) => Err(Errno::IO),
        (None, errno) => Err(Errno::from_raw_os_error(errno)),
    }
}
