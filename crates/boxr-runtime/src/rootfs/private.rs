//! Files that are in the container's memory only: what boxr has not on any disk that the container sees.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_sys::mount::{Change, attr, set_attributes};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::beneath::{self, Shape};
use crate::error::{Step, StepError};
use crate::plan::PrivateFile;

/// Where the tmpfs is.
const DIRECTORY: &str = "/run/secrets";

/// Writes them, as root of the container, whose root is `root`.
pub(super) fn lay(root: BorrowedFd<'_>, files: &[PrivateFile]) -> Result<(), StepError> {
    if files.is_empty() {
        return Ok(());
    }
    let refused = |step, what: &Path| {
        let what = what.display().to_string();
        move |errno| StepError::new(step, what.clone(), errno)
    };
    let at = |what: &Path| refused(Step::Mount, what);
    let target = |path: &Path, shape| {
        beneath::open_or_create(root, path, shape).map_err(refused(Step::MountTarget, path))
    };
    let directory = Path::new(DIRECTORY);
    let tree = tmpfs().map_err(at(directory))?;
    let place = target(directory, Shape::Directory)?;
    attach(tree.as_fd(), place.as_fd()).map_err(at(directory))?;
    for (index, file) in files.iter().enumerate() {
        match file.path.strip_prefix(directory) {
            Ok(below) => write(tree.as_fd(), below, file).map_err(at(&file.path))?,
            Err(_) => {
                let place = target(&file.path, Shape::File)?;
                elsewhere(place.as_fd(), tree.as_fd(), index, file).map_err(at(&file.path))?;
            }
        }
    }
    let change = Change { set: attr::RDONLY, ..Change::default() };
    set_attributes(tree.as_fd(), c"", false, &change).map_err(at(directory))
}

fn tmpfs() -> Result<OwnedFd, Errno> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "source", "secrets")?;
    fsconfig_set_string(&fs, "mode", "0755")?;
    fsconfig_create(&fs)?;
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, safe)
}

fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", target, "", both)
}

fn write(tree: BorrowedFd<'_>, path: &Path, file: &PrivateFile) -> Result<(), Errno> {
    let (parent, name) = match path.parent() {
        Some(parent) if parent != Path::new("") => {
            let dir = beneath::open_or_create(tree, &Path::new("/").join(parent), Shape::Directory)?;
            (dir, path.file_name().ok_or(Errno::INVAL)?)
        }
        _ => (rustix::io::fcntl_dupfd_cloexec(tree, 3)?, path.as_os_str()),
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(&parent, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut rest = file.contents.as_slice();
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&made, rest))?;
        rest = &rest[written..];
    }
    rustix::fs::fchown(&made, Some(Uid::from_raw(file.uid)), Some(Gid::from_raw(file.gid)))?;
    rustix::fs::fchmod(&made, Mode::from_raw_mode(file.mode))
}

/// One that is not to be below the directory: a mount of the file alone, which has no name there any more.
fn elsewhere(
    place: BorrowedFd<'_>,
    tree: BorrowedFd<'_>,
    index: usize,
    file: &PrivateFile,
) -> Result<(), Errno> {
    let name = PathBuf::from(format!(".{index}"));
    write(tree, &name, file)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let one = open_tree(tree, &name, flags)?;
    let change = Change { set: attr::RDONLY, ..Change::default() };
    set_attributes(one.as_fd(), c"", false, &change)?;
    attach(one.as_fd(), place)?;
    rustix::fs::unlinkat(tree, &name, rustix::fs::AtFlags::empty())
}
