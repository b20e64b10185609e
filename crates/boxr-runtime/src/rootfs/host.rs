//! Mounts upon the caller's own tree.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use boxr_sys::mount::{Change, attr, set_attributes};
use rustix::mount::MountFlags;

use super::mounts::{self, Tree};
use super::pool::Pool;
use super::scratch::Scratch;
use super::target::MissingTarget;
use super::{Sources, devices, masks, open_directory, reopen};
use crate::error::{At, Step, StepError};
use crate::plan::{MountPlan, MountSource, Plan, holds};

/// The caller's own tree: targets must exist, since making them would change the host.
pub(super) fn set_up(plan: &Plan, sources: &Sources<'_>, read_only: bool) -> Result<(), StepError> {
    if let (false, [only]) = (read_only, plan.mounts.as_slice()) {
        // The common box: one system call instead of six.
        if is_plain_proc(only) {
            return mount_plain_proc();
        }
    }
    if plan.mounts.is_empty() && plan.masked.is_empty() && plan.read_only_paths.is_empty() && !read_only {
        return Ok(());
    }
    let root = open_directory(Path::new("/"))?;
    let mut upon = Upon { plan, root: root.as_fd(), sources, trees: Vec::new(), pool: Pool::default() };
    upon.open_sources()?;
    if read_only {
        let change = Change { set: attr::RDONLY, ..Change::default() };
        set_attributes(root.as_fd(), c"", true, &change).at(Step::ReadOnly, "/")?;
    }
    for index in 0..plan.mounts.len() {
        upon.mount(index)?;
        if index == 0 {
            // The first makes all of it read-only, and nothing is covered yet.
            reopen::all(root.as_fd(), plan)?;
        }
    }
    if plan.mounts.iter().any(|mount| is_tmpfs(mount) && mount.destination == Path::new("/dev")) {
        devices::links(root.as_fd())?;
    }
    masks::apply(root.as_fd(), plan, &upon.pool)
}

struct Upon<'a> {
    plan: &'a Plan,
    root: BorrowedFd<'a>,
    sources: &'a Sources<'a>,
    /// What is mounted, by the number of the mount; of a bind before it is mounted, too.
    trees: Vec<Option<Scratch>>,
    pool: Pool,
}

impl Upon<'_> {
    /// Clones what is to be bound, as it is before one mount covers another's source.
    fn open_sources(&mut self) -> Result<(), StepError> {
        self.trees.reserve(self.plan.mounts.len());
        for (index, mount) in self.plan.mounts.iter().enumerate() {
            self.trees.push(match mount.source {
                MountSource::Bind { .. } if self.twin_of(index).is_none() => {
                    Some(mounts::clone_source(mount)?.into())
                }
                _ => None,
            });
        }
        Ok(())
    }

    /// The first of the mounts that are one in several places, where this is another of them.
    fn twin_of(&self, index: usize) -> Option<usize> {
        let (earlier, from_here) = self.plan.mounts.split_at(index);
        let mount = from_here.first().filter(|mount| mount.shared)?;
        earlier.iter().position(|other| {
            other.shared && other.source == mount.source && other.attributes == mount.attributes
        })
    }

    fn mount(&mut self, index: usize) -> Result<(), StepError> {
        let Some(mount) = self.plan.mounts.get(index) else { return Ok(()) };
        let missing = missing(&self.plan.mounts[..index], &self.trees, &mount.destination);
        let tree = Tree { plan: self.plan, root: self.root, missing };
        if let Some(Some(first)) = self.twin_of(index).and_then(|twin| self.trees.get(twin)) {
            return mounts::repeat(tree, mount, first.as_fd());
        }
        if let Some(mode) = self.pool.takes(mount) {
            let made = self.pool.mount(tree, mount, mode, index)?;
            self.trees[index] = Some(made);
            return Ok(());
        }
        let cloned = self.trees.get(index).and_then(Option::as_ref).map(AsFd::as_fd);
        let source = cloned.or_else(|| self.sources.get(index));
        if let Some(made) = mounts::make(tree, mount, source)? {
            self.trees[index] = Some(made);
        }
        Ok(())
    }
}

/// What becomes of a target `path` that is not there: what is in a new tmpfs of the box's is made, as it is not the
/// host's.
fn missing<'t>(earlier: &[MountPlan], trees: &'t [Option<Scratch>], path: &Path) -> MissingTarget<'t> {
    let around = earlier.iter().zip(trees);
    let around = around.filter(|(mount, _)| holds(&mount.destination, path) && mount.destination != path);
    match around.max_by_key(|(mount, _)| mount.destination.as_os_str().len()) {
        Some((mount, Some(tree))) if is_tmpfs(mount) && path.parent() == Some(&mount.destination) => {
            MissingTarget::CreateIn(tree.as_fd())
        }
        Some((mount, _)) if is_tmpfs(mount) => MissingTarget::Create,
        _ => MissingTarget::Refuse,
    }
}

fn is_tmpfs(mount: &MountPlan) -> bool {
    matches!(&mount.source, MountSource::Filesystem { kind, .. } if kind == "tmpfs")
}

fn is_plain_proc(mount: &MountPlan) -> bool {
    matches!(&mount.source, MountSource::Filesystem { kind, parameters, .. } if kind == "proc" && parameters.is_empty())
        && mount.destination == Path::new("/proc")
        && mount.attributes.set == attr::NOSUID | attr::NODEV | attr::NOEXEC
        && mount.propagation.is_none()
}

fn mount_plain_proc() -> Result<(), StepError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount(c"proc", c"/proc", c"proc", flags, None).at(Step::Mount, "/proc")
}
