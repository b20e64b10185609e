//! /dev of a container with a root of its own: nodes, links, and the console.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use boxr_sys::namespace::NamespaceKind;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, chownat, makedev, mknodat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::beneath::{self, Shape};
use super::mounts::move_onto;
use crate::error::{Step, StepError};
use crate::plan::{DevicePlan, Plan};

/// Links of every container's /dev (runtime specification, "Default Devices", and /dev/fd).
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/proc/kcore", "/dev/core"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// Creates the nodes and links of `plan`, if it mounts a /dev of its own.
pub(super) fn create(root: BorrowedFd<'_>, plan: &Plan) -> Result<(), StepError> {
    if !plan.mounts.iter().any(|mount| mount.destination == Path::new("/dev")) {
        return Ok(());
    }
    // Whoever is not root of the first user namespace cannot make device nodes (mknod(2)).
    let by_bind = plan.makes(NamespaceKind::User) || plan.joins(NamespaceKind::User) || !may_make_nodes();
    for device in &plan.devices {
        let made = if by_bind { bind_from_host(root, device) } else { make_node(root, device) };
        made.map_err(|errno| StepError::new(Step::Device, device.path.display(), errno))?;
    }
    for (target, link) in LINKS {
        make_link(root, target, Path::new(link))
            .map_err(|errno| StepError::new(Step::Device, link, errno))?;
    }
    Ok(())
}

/// Whether this user namespace is the first one, by its id map.
fn may_make_nodes() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}

fn make_node(root: BorrowedFd<'_>, device: &DevicePlan) -> Result<(), Errno> {
    let (parent, name) = beneath::open_parent(root, &device.path)?;
    let kind = if device.block { FileType::BlockDevice } else { FileType::CharacterDevice };
    let mode = Mode::from_raw_mode(device.mode);
    // Without a umask no chmod(2) is needed, which would follow a link that somebody else has put
    // there meanwhile. One thread runs.
    let umask = rustix::process::umask(Mode::empty());
    let made = mknodat(&parent, name, kind, mode, makedev(device.major, device.minor));
    rustix::process::umask(umask);
    match made {
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    }
    let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn bind_from_host(root: BorrowedFd<'_>, device: &DevicePlan) -> Result<(), Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let source = open_tree(CWD, &device.path, flags)?;
    let target = beneath::open_or_create(root, &device.path, Shape::File)?;
    move_onto(&source, target.as_fd())
}

fn make_link(root: BorrowedFd<'_>, target: &str, link: &Path) -> Result<(), Errno> {
    let (parent, name) = beneath::open_parent(root, link)?;
    match symlinkat(target, &parent, name) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}
