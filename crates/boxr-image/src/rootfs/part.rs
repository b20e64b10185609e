//! A part of a root filesystem, for who mounts no more of it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{RootfsError, attach, attached, clone_tree, failed};
use crate::copy::open_within;

/// What is at `path` in `mount`, which is attached nowhere: a mount of that directory or file alone, attached nowhere
/// either. Links on the way do not lead out of `mount`.
///
/// # Errors
/// `ENOENT` and its kin where there is nothing; what the kernel refuses.
pub fn part(mount: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, RootfsError> {
    let found = open_within(mount, path, OFlags::PATH).map_err(failed("find a part of an image"))?;
    match clone_tree(found.as_fd()) {
        // Before Linux 6.15 only of what is attached.
        Err(RootfsError { errno: Errno::INVAL, .. }) => of_attached(mount, found.as_fd()),
        cloned => cloned,
    }
}

fn of_attached(mount: BorrowedFd<'_>, found: BorrowedFd<'_>) -> Result<OwnedFd, RootfsError> {
    attached::in_own_mounts(|| {
        attach(mount, Path::new("/"))?;
        clone_tree(found)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_earlier_linux_clones_parts_of_what_is_attached() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("part")).unwrap();
        std::fs::write(dir.path().join("part/file"), "in it").unwrap();
        symlink("../../../part", dir.path().join("link")).unwrap();
        let opened: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let mount = clone_tree(opened.as_fd()).unwrap();
        let found = open_within(mount.as_fd(), Path::new("link"), OFlags::PATH).unwrap();
        let cloned = of_attached(mount.as_fd(), found.as_fd()).unwrap();
        drop((mount, found));
        let file = rustix::fs::openat(&cloned, "file", OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        assert_eq!(std::io::read_to_string(std::fs::File::from(file)).unwrap(), "in it");
        assert_eq!(part(cloned.as_fd(), Path::new("none")).unwrap_err().errno, Errno::NOENT);
    }
}
