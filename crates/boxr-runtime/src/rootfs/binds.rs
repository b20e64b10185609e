//! What is bound in a container that does not run, for a process that looks at its files.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use boxr_sys::mount::Propagation;
use boxr_sys::namespace::{NamespaceKind, unshare};
use oci_spec::runtime::Mount;
use rustix::io::Errno;

use super::ahead::{clone_root, follow_host, show_through};
use super::mounts::{bind, clone_source};
use super::target::MissingTarget;
use super::{pivot, set_propagation};
use crate::error::{At, Error, Step, StepError};
use crate::plan::{IdShift, MountPlan, MountSource, binds};

/// Binds of a container with a root of its own, as its start makes them: their trees are cloned with the caller's right
/// over the host, and attached with that of the container's root.
#[derive(Debug)]
pub struct Binds(Vec<(MountPlan, OwnedFd)>);

impl Binds {
    /// Clones what `mounts` name. `users` has the ids of the container, where they are not the caller's.
    ///
    /// # Errors
    /// One is no bind, or its source cannot be opened or shown in those ids.
    pub fn open(mounts: &[Mount], users: Option<BorrowedFd<'_>>) -> Result<Self, Error> {
        let open = |mount: MountPlan| {
            let tree = clone_source(&mount)?;
            if let MountSource::Bind { id_shift: Some(IdShift { recursive, .. }), .. } = mount.source {
                let users = users.ok_or_else(|| Error::field("mounts", "idmap: there are no other ids"))?;
                show_through(&tree, &mount, recursive, users)?;
            }
            follow_host(&tree).at(Step::Propagation, mount.destination.display())?;
            Ok((mount, tree))
        };
        binds(mounts, users.is_some())?.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// The directory `path` with all that is mounted in it, as a root that mounts can be attached to.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn root_at(path: &Path) -> Result<OwnedFd, Error> {
        let refused = || StepError::new(Step::OpenRoot, path.display(), Errno::PERM);
        Ok(clone_root(path)?.ok_or_else(refused)?)
    }

    /// Attaches all beneath `root`, a mount that is attached nowhere, in a mount namespace that is this process's from
    /// then on. A volume that is empty is filled.
    ///
    /// # Errors
    /// The mount that cannot be attached: what its destination is, or leads to, is hostile perhaps.
    pub fn attach(&self, root: BorrowedFd<'_>) -> Result<(), Error> {
        unshare(NamespaceKind::Mount).at(Step::Propagation, "a mount namespace")?;
        set_propagation(Propagation::Private, true)?;
        pivot::attach_root(root, Path::new("/"))?;
        for (mount, tree) in &self.0 {
            bind(root, MissingTarget::Create, mount, tree.as_fd())?;
        }
        Ok(())
    }
}
