//! `root` and `linux.rootfsPropagation`.

use std::path::Path;

use oci_spec::runtime::{Linux, Root};

use super::super::{RootEntry, RootPlan, RootPropagation, mount_options};
use super::namespaces::MountNamespace;
use crate::error::Error;

pub(super) fn root(
    root: Option<&Root>,
    linux: &Linux,
    mount: MountNamespace,
    entry: RootEntry,
) -> Result<RootPlan, Error> {
    let propagation = propagation(linux.rootfs_propagation().as_deref())?;
    let new_mount = mount == MountNamespace::New;
    let read_only = root.and_then(Root::readonly).unwrap_or(false);
    match root {
        Some(_) if read_only && !new_mount => {
            Err(Error::field("root.readonly", "needs a new mount namespace"))
        }
        None if new_mount => Ok(RootPlan::HostTree { propagation, read_only: false }),
        None => Ok(RootPlan::Unchanged),
        Some(root) if root.path().as_os_str().is_empty() => Err(Error::field("root.path", "missing")),
        Some(root) if root.path() == Path::new("/") && new_mount => {
            Ok(RootPlan::HostTree { propagation, read_only })
        }
        Some(root) if root.path() == Path::new("/") => Ok(RootPlan::Unchanged),
        Some(root) => {
            let path = root.path().clone();
            Ok(match new_mount {
                true => RootPlan::Directory { path, propagation, read_only, entry },
                false => RootPlan::Chroot { path },
            })
        }
    }
}

fn propagation(word: Option<&str>) -> Result<RootPropagation, Error> {
    match word {
        None | Some("") => Ok(RootPropagation::Unsaid),
        Some("unchanged") => Ok(RootPropagation::Unchanged),
        Some(word) => match mount_options::propagation(word) {
            Some((propagation, recursive)) => Ok(RootPropagation::Set(propagation, recursive)),
            None => Err(Error::field(
                "linux.rootfsPropagation",
                format!("{word}: not private, slave, shared or unbindable"),
            )),
        },
    }
}
