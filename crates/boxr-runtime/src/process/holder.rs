//! A process that does nothing but hold a namespace until its descriptor is open.

use std::os::fd::{AsFd, OwnedFd};

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::namespace::NamespaceKind;
use boxr_sys::{pidfd, signal};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Pid, Signal};

use super::protocol::{Channel, ToChild};
use crate::error::{At, Error, Step};
use crate::idmap::IdMap;

/// A user namespace with these maps, in which nobody is: mounts show ids by it. The caller must
/// have one thread.
///
/// # Errors
/// The maps cannot be written, or no namespace is to be had.
pub fn user_namespace(map: &IdMap) -> Result<OwnedFd, Error> {
    let (ours, theirs) = Channel::pair().at(Step::Channel, "a socket pair")?;
    let flags = NamespaceKind::User.clone_flag();
    let (pid, holder) = match clone3(flags, None, Parent::Caller).at(Step::Clone, "user (for idmap)")? {
        Cloned::Child => {
            drop(ours);
            // Ends with the other side of the channel, whatever becomes of that.
            theirs.await_word(ToChild::Prepared).unwrap_or_default();
            exit_now(0);
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(theirs);
    let opened = open(map, pid);
    // Both fail only for a process that is gone already.
    signal::send(holder.as_fd(), Signal::KILL.as_raw()).unwrap_or_default();
    pidfd::reap(holder.as_fd(), true).at(Step::Clone, "the holder of a user namespace")?;
    drop(ours);
    opened
}

fn open(map: &IdMap, pid: Pid) -> Result<OwnedFd, Error> {
    map.write_from_outside(pid)?;
    user_namespace_of(pid)
}

/// The user namespace of a child of the caller's.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn user_namespace_of(pid: Pid) -> Result<OwnedFd, Error> {
    let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
    Ok(openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(Step::IdMap, path)?)
}
