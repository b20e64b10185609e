//! The container's file tree, built by descriptors.
//!
//! Nothing beneath the root is ever reached by a path that the host resolves: every target is
//! opened with openat2(2) and `RESOLVE_IN_ROOT` beneath the root's descriptor (DESIGN.md section 7).

pub mod beneath;
pub(crate) mod console;
mod devices;
mod masks;
mod mounts;
mod pivot;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use boxr_sys::mount::{Change, Propagation, attr, set_attributes};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags, open_tree};

use crate::error::{At, Failure, Step, StepError};
use crate::plan::{MountSource, Plan, RootPlan};

/// What is done when all mounts are made and the root is not entered yet.
pub(crate) type BeforeEntering<'a> = &'a dyn Fn() -> Result<(), Failure>;

/// Builds the tree of `plan` in the caller's new mount namespace and makes it `/`.
///
/// # Errors
/// The step and path that the kernel refused, and what `before_entering` returned.
pub(crate) fn set_up(plan: &Plan, before_entering: BeforeEntering<'_>) -> Result<(), Failure> {
    match &plan.root {
        RootPlan::Unchanged => before_entering(),
        RootPlan::HostTree { propagation, read_only } => {
            set_propagation(*propagation)?;
            set_up_host_tree(plan, *read_only)?;
            before_entering()
        }
        RootPlan::Directory { path, propagation, read_only } => {
            // Until the host's tree is out of reach nothing that is mounted here may travel to it.
            set_propagation(match propagation {
                None | Some(Propagation::Shared) => Some(Propagation::Slave),
                other => *other,
            })?;
            set_up_directory(plan, path, *read_only, before_entering)?;
            match propagation {
                Some(Propagation::Shared) => Ok(set_propagation(*propagation)?),
                _ => Ok(()),
            }
        }
    }
}

fn set_propagation(propagation: Option<Propagation>) -> Result<(), StepError> {
    let flags = match propagation {
        None => return Ok(()),
        Some(Propagation::Private) => MountPropagationFlags::PRIVATE,
        Some(Propagation::Slave) => MountPropagationFlags::DOWNSTREAM,
        Some(Propagation::Shared) => MountPropagationFlags::SHARED,
        Some(Propagation::Unbindable) => MountPropagationFlags::UNBINDABLE,
    };
    rustix::mount::mount_change(c"/", flags | MountPropagationFlags::REC).at(Step::Propagation, "/")
}

/// The caller's own tree: targets must exist, since making them would change the host.
fn set_up_host_tree(plan: &Plan, read_only: bool) -> Result<(), StepError> {
    if let (false, [only]) = (read_only, plan.mounts.as_slice()) {
        // The common box: one system call instead of six.
        if is_plain_proc(only) {
            return mount_plain_proc();
        }
    }
    if plan.mounts.is_empty() && !read_only {
        return Ok(());
    }
    let root = open_directory(Path::new("/"))?;
    let opened: Vec<_> = plan.mounts.iter().map(mounts::open_source).collect::<Result<_, _>>()?;
    if read_only {
        let change = Change { set: attr::RDONLY, ..Change::default() };
        set_attributes(root.as_fd(), c"", true, &change).at(Step::ReadOnly, "/")?;
    }
    for (mount, source) in plan.mounts.iter().zip(opened) {
        mounts::attach(root.as_fd(), mount, source, mounts::MissingTarget::Refuse)?;
    }
    masks::apply(root.as_fd(), plan)
}

fn is_plain_proc(mount: &crate::plan::MountPlan) -> bool {
    matches!(&mount.source, MountSource::Filesystem { kind, parameters, .. } if kind == "proc" && parameters.is_empty())
        && mount.destination == Path::new("/proc")
        && mount.attributes.set == attr::NOSUID | attr::NODEV | attr::NOEXEC
        && mount.propagation.is_none()
}

fn mount_plain_proc() -> Result<(), StepError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount(c"proc", c"/proc", c"proc", flags, None).at(Step::Mount, "/proc")
}

fn set_up_directory(
    plan: &Plan,
    path: &Path,
    read_only: bool,
    before_entering: BeforeEntering<'_>,
) -> Result<(), Failure> {
    let below = open_directory(path)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let root = open_tree(&below, c"", flags).at(Step::OpenRoot, path.display())?;
    let slave = Change { propagation: Some(Propagation::Private), ..Change::default() };
    set_attributes(root.as_fd(), c"", true, &slave).at(Step::Propagation, path.display())?;
    pivot::attach_root(&root, &below, path)?;
    for mount in &plan.mounts {
        let source = mounts::open_source(mount)?;
        mounts::attach(root.as_fd(), mount, source, mounts::MissingTarget::Create)?;
    }
    devices::create(root.as_fd(), plan)?;
    masks::apply(root.as_fd(), plan)?;
    before_entering()?;
    pivot::enter(&root, path)?;
    if read_only {
        let change = Change { set: attr::RDONLY, ..Change::default() };
        set_attributes(root.as_fd(), c"", false, &change).at(Step::ReadOnly, "/")?;
    }
    Ok(())
}

fn open_directory(path: &Path) -> Result<OwnedFd, StepError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).at(Step::OpenRoot, path.display())
}
