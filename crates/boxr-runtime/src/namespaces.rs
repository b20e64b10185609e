//! Namespaces of processes that exist, as open descriptors.

use std::os::fd::OwnedFd;

use boxr_sys::namespace::NamespaceKind;
use rustix::fs::{CWD, Mode, OFlags, fstat, openat, stat};
use rustix::io::Errno;

/// Every namespace of process `pid` that is not the caller's own. Opened by number: afterwards it must
/// still be the same process.
///
/// # Errors
/// Which one cannot be opened, and why: `ENOENT` when the process has ended, `EACCES` when it is another
/// user's.
pub fn of_process(pid: i32) -> Result<Vec<(NamespaceKind, OwnedFd)>, (NamespaceKind, Errno)> {
    let mut namespaces = Vec::new();
    for kind in NamespaceKind::ALL {
        let fd = match open(kind, pid) {
            // A kernel without time namespaces has no file for them.
            Err(Errno::NOENT) if kind == NamespaceKind::Time => continue,
            other => other.map_err(|errno| (kind, errno))?,
        };
        if !is_own(kind, &fd) {
            namespaces.push((kind, fd));
        }
    }
    Ok(namespaces)
}

/// The namespace of process `pid`.
///
/// # Errors
/// open(2).
pub fn open(kind: NamespaceKind, pid: i32) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/{pid}/ns/{}", kind.proc_name());
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}

/// Whether the caller is in that namespace already; joining its own user namespace is refused
/// by the kernel, and joining the others changes nothing.
pub fn is_own(kind: NamespaceKind, fd: &OwnedFd) -> bool {
    let own = stat(format!("/proc/self/ns/{}", kind.proc_name()));
    match (own, fstat(fd)) {
        (Ok(own), Ok(other)) => (own.st_ino, own.st_dev) == (other.st_ino, other.st_dev),
        _ => false,
    }
}
