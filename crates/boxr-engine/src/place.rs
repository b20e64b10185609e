//! Where a box's cgroup is made, if that was said.

use std::path::{Path, PathBuf};

use boxr_cgroup::{Host, Layout, Manager, Place, Unit};

use crate::options::{CgroupChoice, CgroupMode};

/// The path that a choice comes to, of a box with this id.
pub(crate) fn path(choice: &CgroupChoice, id: &str, host: &Host) -> Option<PathBuf> {
    let leaf = format!("boxr-{id}");
    match (&choice.parent, choice.mode) {
        (Some(slice), _) if is_slice(slice) => Some(PathBuf::from(format!("{slice}:boxr:{id}"))),
        (Some(parent), _) => Some(Path::new("/").join(parent).join(leaf)),
        (None, CgroupMode::Split) => match (host.layout(), own()) {
            // Below the caller's, where a relative path would be beside it.
            (Layout::Unified, Some(own)) => Some(own.join(leaf)),
            _ => Some(PathBuf::from(leaf)),
        },
        (None, _) => None,
    }
}

/// A path without a directory that boxes share, for one that starts and ends often: with version 1 making that directory
/// and removing it again costs as much as the box's own, in each hierarchy. `None` with version 2 alone, where
/// the shared one is made where controllers are handed down.
pub(crate) fn of_one(id: &str, host: &Host) -> Option<PathBuf> {
    (host.layout() != Layout::Unified).then(|| PathBuf::from(format!("boxr-{id}")))
}

/// The place that the path is.
///
/// # Errors
/// A slice that systemd would not know.
pub(crate) fn of<'a>(
    choice: &CgroupChoice,
    path: Option<&'a Path>,
    id: &str,
) -> Result<Place<'a>, boxr_cgroup::Error> {
    match (path, &choice.parent) {
        (Some(path), Some(slice)) if is_slice(slice) => {
            Unit::parse(Some(path), id, Manager::of_caller()).map(Place::Scope)
        }
        (Some(path), _) => Ok(Place::Path(path)),
        (None, _) => Ok(Place::Boxr),
    }
}

/// Whether it is the name of a slice, on a machine that systemd runs.
fn is_slice(parent: &str) -> bool {
    parent.ends_with(".slice") && !parent.contains('/') && Path::new("/run/systemd/system").exists()
}

/// The caller's own cgroup of version 2 (cgroups(7)).
fn own() -> Option<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(PathBuf::from)
}
