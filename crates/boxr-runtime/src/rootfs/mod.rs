//! The container's file tree, built by descriptors.
//!
//! Nothing beneath the root is ever reached by a path that the host resolves: every target is
//! opened with openat2(2) and `RESOLVE_IN_ROOT` beneath the root's descriptor (ARCHITECTURE.md, "Security rules").

mod ahead;
pub mod beneath;
mod binds;
mod cgroups;
pub(crate) mod console;
mod copy;
mod devices;
mod filesystem;
mod host;
mod masks;
mod mounts;
mod pivot;
mod pool;
mod private;
mod reopen;
mod scratch;
mod target;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use boxr_sys::mount::{Change, Propagation, attr, set_attributes};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, OpenTreeFlags, open_tree};

use crate::error::{At, Failure, Step, StepError};
use crate::plan::{Plan, RootEntry, RootPlan, RootPropagation};
pub(crate) use ahead::Ahead;
pub use binds::Binds;
use mounts::Tree;
use pool::Pool;
use target::MissingTarget;

/// What is done when all mounts are made and the root is not entered yet.
pub(crate) type BeforeEntering<'a> = &'a dyn Fn() -> Result<(), Failure>;

/// Builds the tree of `plan` in the caller's new mount namespace and makes it `/`.
///
/// # Errors
/// The step and path that the kernel refused, and what `before_entering` returned.
pub(crate) fn set_up(plan: &Plan, ahead: &Ahead, before_entering: BeforeEntering<'_>) -> Result<(), Failure> {
    match &plan.root {
        RootPlan::Unchanged => {
            if !plan.confinement.reopened.is_empty() {
                reopen::all(open_directory(Path::new("/"))?.as_fd(), plan)?;
            }
            before_entering()
        }
        RootPlan::Chroot { path } => {
            before_entering()?;
            Ok(pivot::chroot(open_directory(path)?.as_fd(), path)?)
        }
        RootPlan::HostTree { propagation, read_only } => {
            match propagation {
                RootPropagation::Unsaid => set_propagation(Propagation::Slave, true)?,
                RootPropagation::Unchanged => {}
                RootPropagation::Set(propagation, _) => set_propagation(*propagation, true)?,
            }
            let sources = Sources { ahead, own: Ahead::from_inside(plan)? };
            if let Some(source) = &plan.root_source {
                let root = source.tree.make(None)?;
                pivot::enter(root.as_fd(), Path::new("/"))?;
            }
            host::set_up(plan, &sources, *read_only)?;
            before_entering()
        }
        RootPlan::Directory { path, propagation, read_only, entry } => {
            let own = Ahead::from_inside(plan)?;
            // Until the host's tree is out of reach nothing that is mounted here may travel to it.
            set_propagation(before_root(*propagation), true)?;
            let builder = Builder { plan, sources: &Sources { ahead, own }, path };
            let root = builder.build(*propagation)?;
            before_entering()?;
            if *read_only {
                let change = Change { set: attr::RDONLY, ..Change::default() };
                set_attributes(root.as_fd(), c"", false, &change).at(Step::ReadOnly, "/")?;
            }
            match entry {
                RootEntry::Pivot => pivot::enter(root.as_fd(), path)?,
                RootEntry::MoveAndChroot => pivot::move_over(root.as_fd(), path)?,
            }
            match propagation {
                RootPropagation::Set(kind @ (Propagation::Shared | Propagation::Unbindable), _) => {
                    Ok(set_propagation(*kind, false)?)
                }
                _ => Ok(()),
            }
        }
    }
}

/// Of the host's mounts, as the container's namespace has them, while its root is built.
fn before_root(propagation: RootPropagation) -> Propagation {
    match propagation {
        RootPropagation::Set(Propagation::Private | Propagation::Unbindable, _) => Propagation::Private,
        _ => Propagation::Slave,
    }
}

fn set_propagation(propagation: Propagation, recursive: bool) -> Result<(), StepError> {
    let mut flags = match propagation {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Shared => MountPropagationFlags::SHARED,
        Propagation::Unbindable => MountPropagationFlags::UNBINDABLE,
    };
    if recursive {
        flags |= MountPropagationFlags::REC;
    }
    rustix::mount::mount_change(c"/", flags).at(Step::Propagation, "/")
}

/// What a root of the container's own is built from.
struct Builder<'a> {
    plan: &'a Plan,
    sources: &'a Sources<'a>,
    path: &'a Path,
}

/// Trees that were opened or made before the first mount.
struct Sources<'a> {
    ahead: &'a Ahead,
    /// By this process, with the number of their mount.
    own: Vec<(usize, OwnedFd)>,
}

impl Sources<'_> {
    /// For the mount with this number.
    fn get(&self, index: usize) -> Option<BorrowedFd<'_>> {
        let own = self.own.iter().find(|(of, _)| *of == index).map(|(_, tree)| tree.as_fd());
        own.or_else(|| self.ahead.source(index))
    }
}

impl Builder<'_> {
    /// The whole tree, at its place in the host's.
    fn build(&self, propagation: RootPropagation) -> Result<Root<'_>, StepError> {
        let (plan, path) = (self.plan, self.path);
        let root = match self.sources.ahead.root() {
            Some(root) => Root::Ahead(root),
            None => Root::Own(self.own_root()?.into()),
        };
        // One that is to be a slave stays one, of whatever its mount was a peer of.
        if !matches!(propagation, RootPropagation::Set(Propagation::Slave, _)) {
            let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
            set_attributes(root.as_fd(), c"", true, &private).at(Step::Propagation, path.display())?;
        }
        pivot::attach_root(root.as_fd(), path)?;
        let tree = Tree { plan, root: root.as_fd(), missing: MissingTarget::Create };
        for (index, mount) in plan.mounts.iter().enumerate() {
            mounts::make(tree, mount, self.sources.get(index))?;
        }
        private::lay(root.as_fd(), &plan.private_files)?;
        devices::create(root.as_fd(), plan)?;
        masks::apply(root.as_fd(), plan, &Pool::default())?;
        make_workdir(root.as_fd(), plan)?;
        Ok(root)
    }

    fn own_root(&self) -> Result<OwnedFd, StepError> {
        match &self.plan.root_source {
            Some(source) => source.tree.make(None),
            None => clone_root(self.path),
        }
    }
}

/// The tree that becomes the root.
enum Root<'a> {
    Ahead(BorrowedFd<'a>),
    Own(scratch::Scratch),
}

impl AsFd for Root<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Ahead(fd) => *fd,
            Self::Own(fd) => fd.as_fd(),
        }
    }
}

/// As other runtimes do: a missing working directory is made.
fn make_workdir(root: BorrowedFd<'_>, plan: &Plan) -> Result<(), StepError> {
    match plan.process.workdir.as_deref() {
        Some(dir) if dir != Path::new("/") => {
            match beneath::open_or_create(root, dir, beneath::Shape::Directory) {
                // Entering it will say so, with the rights of its user.
                Err(Errno::LOOP | Errno::ROFS | Errno::ACCESS | Errno::NOTDIR) => Ok(()),
                other => other.map(|_| ()).at(Step::Workdir, dir.display()),
            }
        }
        _ => Ok(()),
    }
}

fn clone_root(path: &Path) -> Result<OwnedFd, StepError> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    // With a slash at its end it must be a directory.
    open_tree(CWD, path.join(""), flags).at(Step::OpenRoot, path.display())
}

fn open_directory(path: &Path) -> Result<OwnedFd, StepError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).at(Step::OpenRoot, path.display())
}
