//! Paths of the container, resolved by the kernel as if its root were `/`.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::scratch::Scratch;

/// In the root, and never through a magic link of procfs.
const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Opens `path` beneath `root` (openat2(2), `RESOLVE_IN_ROOT`).
///
/// # Errors
/// openat2(2). `EAGAIN`, which a concurrent rename causes, is tried again.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut tries = 0;
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), IN_ROOT) {
            Err(Errno::AGAIN) if tries < 32 => tries += 1,
            other => return other,
        }
    }
}

/// The same where no part of `path` may be a symbolic link.
///
/// # Errors
/// openat2(2); `ELOOP` for a link.
pub(crate) fn open_without_links(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

/// What a mount target has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// Opens `path` beneath `root` for mounting on, and makes it first where it is missing.
///
/// # Errors
/// `ELOOP` when a component is a symbolic link that leads nowhere in the root: following it
/// would create something at a place that the image chose.
pub fn open_or_create(root: BorrowedFd<'_>, path: &Path, shape: Shape) -> Result<OwnedFd, Errno> {
    match open(root, path, OFlags::PATH) {
        Err(Errno::NOENT) => create(root, path, shape),
        other => other,
    }
}

/// Makes `path`, which is not there, and the directories above it which are not there either.
///
/// # Errors
/// As [`open_or_create`].
pub(super) fn create(root: BorrowedFd<'_>, path: &Path, shape: Shape) -> Result<OwnedFd, Errno> {
    let (parent, name) = path.parent().zip(path.file_name()).ok_or(Errno::INVAL)?;
    let parent = match open(root, parent, OFlags::PATH) {
        Err(Errno::NOENT) => create(root, parent, Shape::Directory),
        other => other,
    };
    create_one(Scratch::from(parent?).as_fd(), name, shape)
}

/// Makes `name` in `parent`, and opens just that, not what somebody put there meanwhile: a link, also one
/// that was there before, is `ELOOP`.
pub(super) fn create_one(parent: BorrowedFd<'_>, name: &OsStr, shape: Shape) -> Result<OwnedFd, Errno> {
    let made = match shape {
        Shape::Directory => rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)),
        Shape::File => {
            // By mknod(2), which leaves nothing open: everybody may make a regular file so.
            rustix::fs::mknodat(parent, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)
        }
    };
    match made {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    // Not `NOFOLLOW`: with `PATH` it would open a link itself.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(parent, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// The directory that holds `path`, beneath `root`, and its last name.
///
/// # Errors
/// `EINVAL` for the root itself, otherwise as [`open_or_create`].
pub fn open_parent<'p>(root: BorrowedFd<'_>, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Errno> {
    let (parent, name) = path.parent().zip(path.file_name()).ok_or(Errno::INVAL)?;
    Ok((open_or_create(root, parent, Shape::Directory)?, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd = rustix::fs::open(dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (dir, fd)
    }

    #[test]
    fn links_stay_in_the_root() {
        let (dir, fd) = root();
        let outside = tempfile::tempdir().unwrap();
        symlink("/inside", dir.path().join("absolute")).unwrap();
        symlink("../../../../inside", dir.path().join("dots")).unwrap();
        symlink(outside.path(), dir.path().join("out")).unwrap();
        fs::create_dir(dir.path().join("inside")).unwrap();
        for link in ["/absolute/new", "/dots/newer"] {
            open_or_create(fd.as_fd(), Path::new(link), Shape::Directory).unwrap();
        }
        assert!(dir.path().join("inside/new").is_dir());
        assert!(dir.path().join("inside/newer").is_dir());
        let refused = open_or_create(fd.as_fd(), Path::new("/out/x"), Shape::Directory);
        assert_eq!(refused.err(), Some(Errno::LOOP));
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "nothing appeared outside");
    }

    #[test]
    fn missing_targets_are_made_with_the_right_shape() {
        let (dir, fd) = root();
        open_or_create(fd.as_fd(), Path::new("/a/b/file"), Shape::File).unwrap();
        open_or_create(fd.as_fd(), Path::new("/a/c"), Shape::Directory).unwrap();
        assert!(dir.path().join("a/b/file").is_file());
        assert!(dir.path().join("a/c").is_dir());
    }

    #[test]
    fn links_are_told_from_directories() {
        let (dir, fd) = root();
        fs::create_dir(dir.path().join("real")).unwrap();
        symlink("real", dir.path().join("proc")).unwrap();
        let open = |path: &str| open_without_links(fd.as_fd(), Path::new(path), OFlags::PATH);
        assert_eq!(open("/proc").err(), Some(Errno::LOOP));
        assert!(open("/real").is_ok());
        assert_eq!(open("/missing").err(), Some(Errno::NOENT));
    }

    #[test]
    fn magic_links_are_not_followed() {
        let fd = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        assert_eq!(open(fd.as_fd(), Path::new("/proc/self/root/etc"), OFlags::PATH).err(), Some(Errno::LOOP));
    }
}
