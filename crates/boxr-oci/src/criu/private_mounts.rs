//! A mount namespace that boxr is in for a while: what it mounts there no other program sees, and
//! nothing is left of it however boxr ends.

use std::os::fd::{AsFd, OwnedFd};

use boxr_sys::namespace::{NamespaceKind, unshare};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::Error;

/// The way back.
#[derive(Debug)]
struct Outside {
    namespace: OwnedFd,
    root: OwnedFd,
    workdir: OwnedFd,
}

/// Does `inside` in a new mount namespace, which gets what is mounted outside and gives nothing back, and
/// returns to the caller's. Processes that `inside` starts stay in the new one. There must be one thread.
///
/// # Errors
/// There is no namespace to be had: boxr lacks `CAP_SYS_ADMIN`. There is no way back: nothing may then be
/// done to paths any more. What `inside` returns.
pub fn within<T>(inside: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let outside = Outside::here().map_err(Error::system("look at my own mount namespace"))?;
    unshare(NamespaceKind::Mount).map_err(Error::system("make a mount namespace for criu"))?;
    let propagation = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    let done = mount_change(c"/", propagation)
        .map_err(Error::system("keep the mounts of criu's namespace to itself"))
        .and_then(|()| inside());
    match (outside.enter(), done) {
        (Ok(()), done) => done,
        (Err(errno), Ok(_)) => Err(Error::System { action: "return to my mount namespace", errno }),
        (Err(errno), Err(first)) => {
            let second = Error::System { action: "return to my mount namespace", errno };
            Err(Error::Several(vec![first, second]))
        }
    }
}

impl Outside {
    fn here() -> Result<Self, Errno> {
        let namespace = openat(CWD, c"/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, c"/", directory, Mode::empty())?;
        let workdir = openat(CWD, c".", directory, Mode::empty())?;
        Ok(Self { namespace, root, workdir })
    }

    /// setns(2) leads to the root of the namespace, which need not be the caller's.
    fn enter(&self) -> Result<(), Errno> {
        move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
        rustix::process::fchdir(&self.root)?;
        rustix::process::chroot(c".")?;
        rustix::process::fchdir(&self.workdir)
    }
}
