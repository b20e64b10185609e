//! Trees that are cloned before the container's namespaces are entered, or before the host's mounts
//! lose their peers: later they could not be reached, or not as they are meant.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use boxr_sys::mount::{Change, Propagation, attr, set_attributes};
use boxr_sys::namespace::{NamespaceKind, unshare};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::Pid;

use super::mounts::clone_source;
use crate::error::{At, Error, Step, StepError};
use crate::idmap::{Extent, IdMap, Writer};
use crate::plan::{IdShift, MountPlan, MountSource, Plan, RootPlan, RootPropagation, TreeMaker, TreeSource};
use crate::process::holder;

/// Detached trees, made ahead of their use.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// By the number of their mount in the plan.
    sources: Vec<(usize, OwnedFd)>,
    root: Option<OwnedFd>,
}

type Maps = (Vec<Extent>, Vec<Extent>);

impl Ahead {
    /// What only boxr itself can open, with its privileges over the host: mounts that show other
    /// ids, and everything that root of a user namespace may not reach by its path.
    ///
    /// # Errors
    /// The mount whose source cannot be opened or shown.
    pub fn from_outside(plan: &Plan) -> Result<Self, Error> {
        let mut ahead = Self::default();
        let shifted = plan.makes(NamespaceKind::User) || plan.joins(NamespaceKind::User);
        let own_root = matches!(plan.root, RootPlan::Directory { .. });
        let mut namespaces = Vec::new();
        for (index, mount) in plan.mounts.iter().enumerate() {
            if let Some(source) = tree_of(plan, mount, TreeMaker::Outside) {
                ahead.sources.push((index, made(source, plan, &mut namespaces)?));
            }
            let MountSource::Bind { links, id_shift, .. } = &mount.source else { continue };
            if id_shift.is_none() && !(shifted && own_root && !links.copy) {
                continue;
            }
            let Some(tree) = clone_if_allowed(mount)? else {
                if id_shift.is_some() {
                    return Err(
                        StepError::new(Step::MountAttributes, with_other_ids(mount), Errno::PERM).into()
                    );
                }
                continue;
            };
            if let Some(shift) = id_shift {
                show_other_ids(&tree, mount, shift, plan, &mut namespaces)?;
            }
            if shifted {
                follow_host(&tree).at(Step::Propagation, mount.destination.display())?;
            }
            ahead.sources.push((index, tree));
        }
        ahead.root = match (&plan.root, &plan.root_source) {
            (RootPlan::Directory { .. }, Some(source)) => match source.by {
                TreeMaker::Outside if comes_later(plan) => None,
                TreeMaker::Outside => Some(made(source, plan, &mut namespaces)?),
                TreeMaker::Inside | TreeMaker::Above => None,
            },
            (RootPlan::Directory { path, .. }, None) if shifted => clone_root(path)?,
            _ => None,
        };
        Ok(ahead)
    }

    /// What the user namespace above the container's can open, for a process that has entered it and whose mounts are its
    /// own from then on: the first process has no id by which it could reach the caller's files.
    ///
    /// # Errors
    /// The mount whose source cannot be opened, or the root.
    pub fn from_above(plan: &Plan) -> Result<Self, StepError> {
        unshare(NamespaceKind::Mount).at(Step::Unshare, "mount (above the container's)")?;
        let mut ahead = Self::default();
        for (index, mount) in plan.mounts.iter().enumerate() {
            if let Some(source) = tree_of(plan, mount, TreeMaker::Above) {
                ahead.sources.push((index, source.tree.make(None)?));
            }
            let MountSource::Bind { links, .. } = &mount.source else { continue };
            if !links.copy {
                let tree = clone_source(mount)?;
                follow_host(&tree).at(Step::Propagation, mount.destination.display())?;
                ahead.sources.push((index, tree));
            }
        }
        ahead.root = plan.root_source.as_ref().map(|source| source.tree.make(None)).transpose()?;
        Ok(ahead)
    }

    /// The root of a plan whose root is shifted by the maps of its own user namespace: the first process `pid` is in it and
    /// waits. Another one would take a process more, whose end is waited for.
    ///
    /// # Errors
    /// The step that the kernel refused.
    pub fn root_for(plan: &Plan, pid: Pid) -> Result<Option<OwnedFd>, Error> {
        match &plan.root_source {
            Some(source) if comes_later(plan) => {
                let user_namespace = holder::user_namespace_of(pid)?;
                Ok(Some(source.tree.make(Some(user_namespace.as_fd()))?))
            }
            _ => Ok(None),
        }
    }

    /// Takes the root that came from [`Ahead::root_for`].
    pub fn receive_root(&mut self, root: Option<OwnedFd>) {
        self.root = root.or(self.root.take());
    }

    /// In a container whose root is shared, binds that are to be shared stay peers of the host's
    /// mounts: they are cloned while those still are.
    ///
    /// # Errors
    /// The mount whose source cannot be opened.
    fn keep_peers(plan: &Plan) -> Result<Vec<(usize, OwnedFd)>, StepError> {
        let RootPlan::Directory { propagation: RootPropagation::Set(Propagation::Shared, _), .. } = plan.root
        else {
            return Ok(Vec::new());
        };
        let shared = |mount: &&MountPlan| matches!(mount.propagation, Some((Propagation::Shared, _)));
        let numbered = plan.mounts.iter().enumerate();
        numbered
            .filter(|(_, mount)| shared(mount) && matches!(mount.source, MountSource::Bind { .. }))
            .map(|(index, mount)| Ok((index, clone_source(mount)?)))
            .collect()
    }

    /// What the first process opens before anything covers the host's tree: such peers, and trees that it makes itself.
    ///
    /// # Errors
    /// The mount whose source cannot be opened or made.
    pub fn from_inside(plan: &Plan) -> Result<Vec<(usize, OwnedFd)>, StepError> {
        let mut sources = Self::keep_peers(plan)?;
        for (index, mount) in plan.mounts.iter().enumerate() {
            if let Some(source) = tree_of(plan, mount, TreeMaker::Inside) {
                sources.push((index, source.tree.make(None)?));
            }
        }
        Ok(sources)
    }

    /// The tree for the mount with this number.
    pub fn source(&self, index: usize) -> Option<BorrowedFd<'_>> {
        self.sources.iter().find(|(of, _)| *of == index).map(|(_, tree)| tree.as_fd())
    }

    /// The container's root.
    pub fn root(&self) -> Option<BorrowedFd<'_>> {
        self.root.as_ref().map(AsFd::as_fd)
    }
}

/// What makes the tree that is mounted, where `by` does.
fn tree_of<'p>(plan: &'p Plan, mount: &MountPlan, by: TreeMaker) -> Option<&'p TreeSource> {
    let MountSource::Tree { number, .. } = mount.source else { return None };
    plan.trees.get(number).filter(|source| source.by == by)
}

/// Whether the root is made when the first process is there and has its maps.
fn comes_later(plan: &Plan) -> bool {
    let by_boxr = plan.root_source.as_ref().is_some_and(|source| source.by == TreeMaker::Outside);
    let mapped = plan.idmap.as_ref().is_some_and(|map| map.writer != Writer::FirstProcess);
    by_boxr && mapped && plan.joined.is_empty() && plan.makes(NamespaceKind::User)
}

/// `None` where boxr has no privilege over its own mounts: then the first process may try.
fn clone_if_allowed(mount: &MountPlan) -> Result<Option<OwnedFd>, StepError> {
    match clone_source(mount) {
        Err(StepError { errno: Errno::PERM, .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// A tree that is made for the container, in its ids.
fn made(source: &TreeSource, plan: &Plan, made: &mut Vec<(Maps, OwnedFd)>) -> Result<OwnedFd, Error> {
    let maps = plan.idmap.as_ref().map(|map| (map.uids.clone(), map.gids.clone()));
    let joined = plan.joined.iter().find(|(kind, _)| *kind == NamespaceKind::User);
    let shifted_by = match maps {
        Some(maps) => Some(namespace_with(maps, made)?),
        // One that is joined has maps already.
        None => joined.map(|(_, joined)| joined.as_fd()),
    };
    Ok(source.tree.make(shifted_by)?)
}

pub(super) fn clone_root(path: &Path) -> Result<Option<OwnedFd>, StepError> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    match open_tree(rustix::fs::CWD, path.join(""), flags) {
        Err(Errno::PERM) => Ok(None),
        other => {
            let tree = other.at(Step::OpenRoot, path.display())?;
            follow_host(&tree).at(Step::Propagation, path.display())?;
            Ok(Some(tree))
        }
    }
}

/// What is mounted there in the container must not travel to the host.
pub(super) fn follow_host(tree: &OwnedFd) -> Result<(), Errno> {
    let change = Change { propagation: Some(Propagation::Slave), ..Change::default() };
    set_attributes(tree.as_fd(), c"", true, &change)
}

fn show_other_ids(
    tree: &OwnedFd,
    mount: &MountPlan,
    shift: &IdShift,
    plan: &Plan,
    made: &mut Vec<(Maps, OwnedFd)>,
) -> Result<(), Error> {
    let of_container = || plan.idmap.as_ref().map(|map| (map.uids.clone(), map.gids.clone()));
    let joined = plan.joined.iter().find(|(kind, _)| *kind == NamespaceKind::User);
    let namespace = match (shift.maps.clone().or_else(of_container), joined) {
        (Some(maps), _) => namespace_with(maps, made)?,
        (None, Some((_, joined))) => joined.as_fd(),
        (None, None) => return Err(Error::field("mounts", "idmap: the container has no user namespace")),
    };
    Ok(show_through(tree, mount, shift.recursive, namespace)?)
}

/// Shows the ids of a tree as the user namespace `users` maps them.
pub(super) fn show_through(
    tree: &OwnedFd,
    mount: &MountPlan,
    recursive: bool,
    users: BorrowedFd<'_>,
) -> Result<(), StepError> {
    let change = Change { set: attr::IDMAP, user_namespace: Some(users), ..Change::default() };
    set_attributes(tree.as_fd(), c"", recursive, &change).at(Step::MountAttributes, with_other_ids(mount))
}

fn with_other_ids(mount: &MountPlan) -> String {
    format!("{} (idmap)", mount.destination.display())
}

/// A user namespace for its maps only; one for all mounts with the same.
fn namespace_with(maps: Maps, made: &mut Vec<(Maps, OwnedFd)>) -> Result<BorrowedFd<'_>, Error> {
    let known = made.iter().position(|(known, _)| *known == maps);
    let index = match known {
        Some(index) => index,
        None => {
            let map = IdMap { uids: maps.0.clone(), gids: maps.1.clone(), writer: Writer::Boxr };
            made.push((maps, holder::user_namespace(&map)?));
            made.len() - 1
        }
    };
    made.get(index).map(|(_, fd)| fd.as_fd()).ok_or_else(|| Error::field("mounts", "no user namespace"))
}
