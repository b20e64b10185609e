//! What the kernel tells of a namespace by its descriptor: ioctl_nsfs(2).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::clone::last_errno;
use crate::namespace::NamespaceKind;

/// `_IO(0xb7, N)` of `<linux/nsfs.h>`.
const NS_GET_USERNS: u64 = 0xb701;
const NS_GET_PARENT: u64 = 0xb702;
const NS_GET_NSTYPE: u64 = 0xb703;
const NS_GET_OWNER_UID: u64 = 0xb704;

/// Magic of nsfs in statfs(2): `NSFS_MAGIC` of `<linux/magic.h>`.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// Whether a descriptor (also of `O_PATH`) is one of a namespace.
///
/// # Errors
/// fstatfs(2).
pub fn is_namespace(fd: impl AsFd) -> Result<bool, Errno> {
    Ok(rustix::fs::fstatfs(fd)?.f_type == NSFS_MAGIC)
}

/// The kind of a namespace.
///
/// # Errors
/// `ENOTTY` for what is not one, `ENOSYS` for a kind that boxr does not know.
pub fn kind(fd: impl AsFd) -> Result<NamespaceKind, Errno> {
    let flag = request(fd.as_fd(), NS_GET_NSTYPE)?;
    NamespaceKind::from_clone_flag(flag as u64).ok_or(Errno::NOSYS)
}

/// The user namespace that owns a namespace; for a user namespace, its parent.
///
/// # Errors
/// `EPERM` when it is outside of what the caller may see: not its own user namespace or one below.
pub fn owner(fd: impl AsFd) -> Result<OwnedFd, Errno> {
    descriptor(fd.as_fd(), NS_GET_USERNS)
}

/// The parent of a pid or user namespace.
///
/// # Errors
/// `EPERM` when it is outside of what the caller may see, or there is none; `EINVAL` for other kinds.
pub fn parent(fd: impl AsFd) -> Result<OwnedFd, Errno> {
    descriptor(fd.as_fd(), NS_GET_PARENT)
}

/// The user who made a user namespace, as a number of the caller's.
///
/// # Errors
/// `EINVAL` for other kinds.
pub fn owner_uid(fd: impl AsFd) -> Result<u32, Errno> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid_t to a place that lives through the call.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), NS_GET_OWNER_UID as _, &raw mut uid) };
    if result == -1 { Err(last_errno()) } else { Ok(uid) }
}

fn descriptor(fd: BorrowedFd<'_>, code: u64) -> Result<OwnedFd, Errno> {
    let number = request(fd, code)?;
    // SAFETY: these requests return a new close-on-exec descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn request(fd: BorrowedFd<'_>, code: u64) -> Result<i32, Errno> {
    // SAFETY: these requests have no argument.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), code as _) };
    if result == -1 { Err(last_errno()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_told() {
        for expected in NamespaceKind::ALL {
            let path = format!("/proc/self/ns/{}", expected.proc_name());
            let Ok(file) = std::fs::File::open(&path) else {
                assert_eq!(expected, NamespaceKind::Time, "only old kernels lack one");
                continue;
            };
            assert!(is_namespace(&file).unwrap());
            assert_eq!(kind(&file).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_namespace_is_refused() {
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        assert!(!is_namespace(&file).unwrap());
        assert_eq!(kind(&file), Err(Errno::NOTTY));
    }
}
