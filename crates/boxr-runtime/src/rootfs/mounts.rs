//! One mount: a detached tree from its source, its attributes, attached to its target.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use boxr_sys::mount::{Change, set_attributes};
use rustix::fs::{CWD, FileType, OFlags, fstat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::beneath::{self, Shape};
use crate::error::{At, Step, StepError};
use crate::plan::{MountPlan, MountSource};

/// What happens when a mount target is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MissingTarget {
    /// It is made, in a root of the container's own.
    Create,
    /// An error: the tree is the host's.
    Refuse,
}

/// A detached mount of what `mount` names.
pub(super) fn open_source(mount: &MountPlan) -> Result<OwnedFd, StepError> {
    match &mount.source {
        MountSource::Bind { path, recursive } => {
            let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            if *recursive {
                flags |= OpenTreeFlags::AT_RECURSIVE;
            }
            open_tree(CWD, path, flags).at(Step::MountSource, path.display())
        }
        MountSource::Filesystem { kind, source, parameters } => {
            let target = mount.destination.display();
            create_filesystem(kind, source, parameters)
                .map_err(|(errno, what)| StepError::new(Step::Mount, format!("{target} ({what})"), errno))
        }
    }
}

/// A detached instance; an error also says which option the kernel refused.
fn create_filesystem(
    kind: &str,
    source: &str,
    parameters: &[(String, Option<String>)],
) -> Result<OwnedFd, (Errno, String)> {
    let whole = |errno| (errno, kind.to_owned());
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(whole)?;
    fsconfig_set_string(&context, "source", source).map_err(whole)?;
    for (key, value) in parameters {
        match value {
            Some(value) => fsconfig_set_string(&context, key.as_str(), value.as_str())
                .map_err(|errno| (errno, format!("{kind} with {key}={value}")))?,
            None => fsconfig_set_flag(&context, key.as_str())
                .map_err(|errno| (errno, format!("{kind} with {key}")))?,
        }
    }
    fsconfig_create(&context).map_err(whole)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map_err(whole)
}

/// Gives the detached `source` its attributes and puts it at its place beneath `root`.
pub(super) fn attach(
    root: BorrowedFd<'_>,
    mount: &MountPlan,
    source: OwnedFd,
    missing: MissingTarget,
) -> Result<(), StepError> {
    let place = mount.destination.display();
    set_options(source.as_fd(), mount)?;
    let target = match missing {
        // A link would put them where masks and the runtime itself do not look (CVE-2023-27561).
        MissingTarget::Create if is_kernel_view(mount) && beneath::is_link(root, &mount.destination) => {
            Err(Errno::LOOP)
        }
        MissingTarget::Create => {
            let shape = shape_of(source.as_fd()).at(Step::MountTarget, place)?;
            beneath::open_or_create(root, &mount.destination, shape)
        }
        MissingTarget::Refuse => beneath::open(root, &mount.destination, OFlags::PATH),
    }
    .at(Step::MountTarget, mount.destination.display())?;
    move_onto(&source, target.as_fd()).at(Step::Mount, mount.destination.display())
}

fn set_options(source: BorrowedFd<'_>, mount: &MountPlan) -> Result<(), StepError> {
    let place = || mount.destination.display();
    let attributes = &mount.attributes;
    if attributes.recursive_set | attributes.recursive_clear != 0 {
        let change =
            Change { set: attributes.recursive_set, clear: attributes.recursive_clear, ..Change::default() };
        set_attributes(source, c"", true, &change).at(Step::MountAttributes, place())?;
    }
    if attributes.set | attributes.clear != 0 {
        let change = Change { set: attributes.set, clear: attributes.clear, ..Change::default() };
        set_attributes(source, c"", false, &change).at(Step::MountAttributes, place())?;
    }
    if let Some((propagation, recursive)) = mount.propagation {
        let change = Change { propagation: Some(propagation), ..Change::default() };
        set_attributes(source, c"", recursive, &change).at(Step::MountAttributes, place())?;
    }
    Ok(())
}

/// procfs and sysfs.
fn is_kernel_view(mount: &MountPlan) -> bool {
    matches!(&mount.source, MountSource::Filesystem { kind, .. } if kind == "proc" || kind == "sysfs")
}

fn shape_of(fd: BorrowedFd<'_>) -> Result<Shape, Errno> {
    let stat = fstat(fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Shape::Directory,
        _ => Shape::File,
    })
}

/// Attaches a detached mount on top of what `target` refers to.
pub(super) fn move_onto(source: &OwnedFd, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(source, c"", target, c"", flags)
}
