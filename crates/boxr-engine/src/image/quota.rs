//! Limits to what a container changes of its image (`--storage-opt`): a project quota of its own (quotactl(2)), where the
//! filesystem of the data root counts projects.
//!
//! ```text
//! DATA/projects/N -> ID             project FIRST+N is container ID's ([`Numbers`])
//! DATA/containers/ID/project -> N   which that is
//! ```
//!
//! overlayfs makes files in `work` and renames them into `upper`, so both are of the project. What it does for a container it
//! does without the right to exceed quotas, whatever the container may.

use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use boxr_sys::quota::{self, Limits};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::ImageError;
use super::numbers::{Numbers, seed};
use super::rootfs::open_dir;

/// Projects of boxr's: far from those that people number by hand in /etc/projid.
const FIRST: u32 = 0x6278_0000;
const COUNT: u32 = 0x1_0000;
const KIND: &str = "projects";
/// The container's note of its number.
const NOTE: &str = "project";

/// What a container may change of its image, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayerLimits {
    /// Bytes.
    pub size: Option<u64>,
    /// Files and directories.
    pub inodes: Option<u64>,
}

impl LayerLimits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What two say; `later` where both do.
    #[must_use]
    pub fn overlaid_by(self, later: Self) -> Self {
        Self { size: later.size.or(self.size), inodes: later.inodes.or(self.inodes) }
    }
}

/// Limits a new container, whose data directory is `own`: `written` are its directories of changes, all empty.
///
/// # Errors
/// [`ImageError::Quota`] where the filesystem counts no projects.
pub(super) fn limit<'w>(
    data: &Path,
    (own, id): (&Path, &str),
    mut written: impl Iterator<Item = &'w Path>,
    limits: LayerLimits,
) -> Result<(), ImageError> {
    if limits.is_empty() {
        return Ok(());
    }
    let failed = |errno| ImageError::Quota { path: data.to_owned(), errno };
    let dir = open_dir(own).map_err(failed)?;
    let numbers = Numbers::of(data, KIND);
    // Before anything is written.
    quota::is_unused(dir.as_fd(), FIRST).map_err(failed)?;
    let numbers = numbers.open()?;
    for attempt in 0..COUNT {
        let number = seed(id).wrapping_add(attempt) % COUNT;
        if !numbers.take(id, number).map_err(|error| numbers.failed(&error))? {
            continue;
        }
        let project = FIRST + number;
        // Another data root on the same filesystem may have it.
        if !quota::is_unused(dir.as_fd(), project).map_err(failed)? {
            numbers.release(id, number).map_err(|error| numbers.failed(&error))?;
            continue;
        }
        symlink(number.to_string(), own.join(NOTE)).map_err(|error| numbers.failed(&error))?;
        let LayerLimits { size: bytes, inodes } = limits;
        quota::limit(dir.as_fd(), project, Limits { bytes, inodes }).map_err(failed)?;
        let join = |dir: &Path| open_dir(dir).and_then(|dir| quota::join(dir.as_fd(), project));
        return written
            .try_for_each(|changes| join(&changes.join("work")).and_then(|()| join(&changes.join("upper"))))
            .map_err(failed);
    }
    Err(ImageError::NoProject)
}

/// The project of the container with the data directory `own`, to be given back when its files have gone.
#[derive(Debug)]
pub(crate) struct Project(u32);

impl Project {
    /// `None` where it has none of its own.
    pub fn of(own: &Path) -> Option<Self> {
        std::fs::read_link(own.join(NOTE)).ok()?.to_str()?.parse().ok().map(Self)
    }

    /// Gives it back.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn release(&self, data: &Path, id: &str) -> Result<(), Errno> {
        let dir = open_dir(data)?;
        match quota::limit(dir.as_fd(), FIRST.saturating_add(self.0), Limits::default()) {
            // The filesystem counts no projects any more.
            Ok(()) | Err(Errno::SRCH | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
        let released = Numbers::of(data, KIND).release(id, self.0);
        released.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}
