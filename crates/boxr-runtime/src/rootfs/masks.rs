//! Paths of the container that are hidden or made read-only.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use boxr_sys::mount::{Change, attr, set_attributes};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, major, minor};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::beneath;
use super::mounts::move_onto;
use super::pool::Pool;
use super::scratch::Scratch;
use crate::error::{At, Step, StepError};
use crate::plan::Plan;

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE
    .union(OpenTreeFlags::OPEN_TREE_CLOEXEC)
    .union(OpenTreeFlags::AT_EMPTY_PATH);

/// Makes and applies the masks of `plan`; a path that does not exist needs none. A masked directory is one of `pool`,
/// where there is one.
pub(super) fn apply(root: BorrowedFd<'_>, plan: &Plan, pool: &Pool) -> Result<(), StepError> {
    for path in &plan.read_only_paths {
        make_read_only(root, path)?;
    }
    if plan.masked.is_empty() {
        return Ok(());
    }
    let null = host_null()?;
    let mut empty_directory = None;
    for path in &plan.masked {
        mask(root, path, &null, pool, &mut empty_directory)?;
    }
    Ok(())
}

fn make_read_only(root: BorrowedFd<'_>, path: &Path) -> Result<(), StepError> {
    let step = |errno| StepError::new(Step::ReadOnly, path.display(), errno);
    let Some(target) = open_existing(root, path).map_err(step)? else { return Ok(()) };
    let copy = open_tree(target.as_fd(), c"", CLONE | OpenTreeFlags::AT_RECURSIVE).map_err(step)?;
    let copy = Scratch::from(copy);
    let change = Change { set: attr::RDONLY, ..Change::default() };
    set_attributes(copy.as_fd(), c"", true, &change).map_err(step)?;
    move_onto(copy.as_fd(), target.as_fd()).map_err(step)
}

fn mask(
    root: BorrowedFd<'_>,
    path: &Path,
    null: &Scratch,
    pool: &Pool,
    empty_directory: &mut Option<Scratch>,
) -> Result<(), StepError> {
    let step = |errno| StepError::new(Step::Mask, path.display(), errno);
    let Some(target) = open_existing(root, path).map_err(step)? else { return Ok(()) };
    let stat = fstat(target.as_fd()).map_err(step)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return cover(null, &target).map_err(step);
    }
    match empty_directory {
        Some(mounted) => cover(mounted, &target).map_err(step),
        None => {
            let mounted = match pool.empty().map_err(step)? {
                Some(part) => part,
                None => new_empty_directory().map_err(step)?,
            };
            move_onto(mounted.as_fd(), target.as_fd()).map_err(step)?;
            *empty_directory = Some(mounted);
            Ok(())
        }
    }
}

/// Mounts a copy of `what` on `target`. The original must be mounted somewhere: before Linux 6.15 one that
/// is attached nowhere cannot be copied (open_tree(2), `EINVAL`).
fn cover(what: &Scratch, target: &Scratch) -> Result<(), Errno> {
    let copy = Scratch::from(open_tree(what.as_fd(), c"", CLONE)?);
    move_onto(copy.as_fd(), target.as_fd())
}

fn open_existing(root: BorrowedFd<'_>, path: &Path) -> Result<Option<Scratch>, Errno> {
    match beneath::open(root, path, OFlags::PATH) {
        Ok(fd) => Ok(Some(fd.into())),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The host's null device: checked to be one, because a container may have replaced its own by
/// a link to something worth reading (CVE-2025-31133).
fn host_null() -> Result<Scratch, StepError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null = rustix::fs::openat(CWD, c"/dev/null", flags, Mode::empty()).at(Step::Mask, "/dev/null")?;
    let stat = fstat(&null).at(Step::Mask, "/dev/null")?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3);
    if is_null { Ok(null.into()) } else { Err(StepError::new(Step::Mask, "/dev/null", Errno::NODEV)) }
}

/// One read-only tmpfs for all masked directories: a superblock each would slow the end of a
/// container with many masks.
fn new_empty_directory() -> Result<Scratch, Errno> {
    use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
    let context = Scratch::from(fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?);
    rustix::mount::fsconfig_set_string(context.as_fd(), "nr_blocks", "1")?;
    rustix::mount::fsconfig_set_string(context.as_fd(), "nr_inodes", "1")?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?.into())
}
