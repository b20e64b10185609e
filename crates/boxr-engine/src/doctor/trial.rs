//! Trying a thing in a child that ends at once.

use std::os::fd::AsFd;

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::pidfd::{Ended, reap};
use rustix::io::Errno;

/// Makes a child in new namespaces (`CLONE_NEW*` bits), which does `step` and ends.
///
/// `step` must not allocate: the caller may have other threads that held a lock.
///
/// # Errors
/// That of clone(2), or that of `step`.
pub(super) fn in_child(namespaces: u64, step: fn() -> Result<(), Errno>) -> Result<(), Errno> {
    match clone3(namespaces, None, Parent::Caller)? {
        Cloned::Child => exit_now(match step() {
            Ok(()) => 0,
            Err(errno) => u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX),
        }),
        Cloned::Parent { pidfd, .. } => match reap(pidfd.as_fd(), true)? {
            Some(Ended::Code(0)) => Ok(()),
            Some(Ended::Code(code)) => Err(Errno::from_raw_os_error(i32::from(code))),
            _ => Err(Errno::CANCELED),
        },
    }
}
