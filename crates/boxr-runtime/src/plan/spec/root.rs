//! `root` and `linux.rootfsPropagation`.

use std::path::Path;

use boxr_sys::mount::Propagation;
use oci_spec::runtime::{Linux, Root};

use super::super::{RootPlan, mount_options};
use crate::error::Error;

pub(super) fn root(root: Option<&Root>, linux: &Linux, new_mount: bool) -> Result<RootPlan, Error> {
    let propagation = match linux.rootfs_propagation().as_deref() {
        None | Some("") => Some(Propagation::Slave),
        Some("unchanged") => None,
        Some(word) => {
            let (propagation, _) = mount_options::propagation(word).ok_or_else(|| {
                Error::field(
                    "linux.rootfsPropagation",
                    format!("{word}: not private, slave, shared or unbindable"),
                )
            })?;
            Some(propagation)
        }
    };
    let Some(root) = root else {
        return Ok(if new_mount {
            RootPlan::HostTree { propagation, read_only: false }
        } else {
            RootPlan::Unchanged
        });
    };
    let read_only = root.readonly().unwrap_or(false);
    if root.path() == Path::new("/") {
        return match (new_mount, read_only) {
            (true, _) => Ok(RootPlan::HostTree { propagation, read_only }),
            (false, false) => Ok(RootPlan::Unchanged),
            (false, true) => Err(Error::field("root.readonly", "needs a new mount namespace")),
        };
    }
    if !new_mount {
        return Err(Error::field("root.path", "a root of its own needs a new mount namespace"));
    }
    Ok(RootPlan::Directory { path: root.path().clone(), propagation, read_only })
}
