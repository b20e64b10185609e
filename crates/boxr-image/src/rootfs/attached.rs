//! Layers that show other ids, for kernels before Linux 6.15.
//!
//! There overlayfs takes directories only from mounts that are attached in the mount namespace of whoever mounts it, and what
//! shifts ids is attached nowhere yet. So a process with a mount namespace of its own attaches all of them, upon each
//! other, mounts the overlay, hands it out and ends; overlayfs keeps clones of what it lies upon.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::namespace::NamespaceKind;
use boxr_sys::pidfd::reap;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::{Overlay, RootfsError, attach, clone_tree, failed, open_changes};

/// Mounts `overlay`, whose layers are `lower`, mounts that are attached nowhere.
pub(super) fn mount(overlay: &Overlay<'_>, lower: &[OwnedFd]) -> Result<OwnedFd, RootfsError> {
    let changes = overlay.changes.map(clone_tree).transpose()?;
    let said = failed("mount an overlay of layers with other ids");
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map_err(&said)?;
    let worker = match clone3(NamespaceKind::Mount.clone_flag(), None, Parent::Caller).map_err(&said)? {
        Cloned::Child => {
            let told = match here(overlay, lower, changes.as_ref()) {
                Ok(mount) => send(&theirs, 0, Some(mount.as_fd())),
                Err(error) => send(&theirs, error.errno.raw_os_error(), None),
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

fn here(overlay: &Overlay<'_>, lower: &[OwnedFd], changes: Option<&OwnedFd>) -> Result<OwnedFd, RootfsError> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change(c"/", private).map_err(failed("have mounts of one's own"))?;
    lower.iter().chain(changes).try_for_each(|tree| attach(tree.as_fd(), Path::new("/")))?;
    overlay.mount_upon(lower, changes.map(|changes| open_changes(changes.as_fd())).transpose()?)
}

fn send(socket: &OwnedFd, errno: i32, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(|fd| [fd]);
    if let Some(fds) = &fds
        && !control.push(SendAncillaryMessage::ScmRights(fds))
    {
        return Err(Errno::NOBUFS);
    }
    let word = errno.to_ne_bytes();
    sendmsg(socket, &[IoSlice::new(&word)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

fn receive(socket: &OwnedFd) -> Result<OwnedFd, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0; 4];
    rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut word)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let errno = i32::from_ne_bytes(word);
    let fds = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    match (fds, errno) {
        (Some(mount), _) => Ok(mount),
        // It was ended.
        (None, 0) => Err(Errno::IO),
        (None, errno) => Err(Errno::from_raw_os_error(errno)),
    }
}
