//! The host's procfs, held by a descriptor from before any namespace is joined or root entered.
//!
//! Whatever is written through it cannot be led astray by mounts or links that somebody else
//! has put at the container's /proc (CVE-2019-16884, CVE-2025-52881).

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstat, fstatfs, openat, openat2};
use rustix::io::Errno;

/// A directory that was checked to be the root of a procfs.
#[derive(Debug)]
pub(super) struct Procfs(OwnedFd);

/// The inode number of a procfs's root (`PROC_ROOT_INO`).
const ROOT: u64 = 1;

impl Procfs {
    /// /proc of the caller's mount namespace.
    pub fn open() -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(CWD, "/proc", flags, Mode::empty())?;
        if fstatfs(&root)?.f_type != PROC_SUPER_MAGIC || fstat(&root)?.st_ino != ROOT {
            return Err(Errno::XDEV);
        }
        Ok(Self(root))
    }

    /// Writes all of `text` to the file at `path` in one go. Nothing mounted over any part of the path
    /// is entered.
    pub fn write(&self, path: &str, text: &[u8]) -> Result<(), Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat2(&self.0, Path::new(path), flags, Mode::empty(), resolve)?;
        if rustix::io::write(&file, text)? == text.len() { Ok(()) } else { Err(Errno::IO) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_procfs_is_one() {
        let proc = Procfs::open().unwrap();
        proc.write("self/comm", b"renamed").unwrap();
        assert_eq!(std::fs::read_to_string("/proc/self/comm").unwrap(), "renamed\n");
        assert_eq!(proc.write("self/root/etc/x", b"y"), Err(Errno::LOOP));
    }
}
