//! The boxes of one user: directories, names, locks (ARCHITECTURE.md, "State on disk").
//!
//! ```text
//! STATE/containers/ID/           one directory per box, locked with flock(2) for one operation
//!     state.json                 how it is; a box without one is being made, or half gone
//!     record.json                what it is (a box without a data directory)
//!     data -> DATA/containers/ID
//! STATE/names/NAME -> ID         whoever makes this symlink has the name
//! DATA/containers/ID/            kept boxes and logs: what a reboot leaves
//!     record.json, state.json, log, log.1 …
//!     home -> STATE              the state root it belongs to
//! ```
//!
//! *Order.* A box comes to be as directory, lock, name, record, state; it is listed from then on. It
//! goes as name, data directory, state, directory. Whoever is killed in between leaves something that
//! nobody holds the lock of: [`Store::list`] sweeps it up, a claim of its name takes the name over,
//! and `rm` by id finishes the removal.
//!
//! *A name* belongs to the box it points to as long as that box's directory is there and its state
//! says so. Whoever removes a name that points to a box holds that box's lock; a name whose box is
//! gone is removed under the lock of `names` itself, so that two cannot both take it over.
//!
//! *Reboot.* When `STATE/containers` is missing, the kept boxes are put back from DATA before it
//! appears ([`restore`]). Where STATE outlives a reboot, the boot id in each state tells.

mod claim;
mod dir;
mod error;
pub(crate) mod files;
mod list;
mod naming;
mod observe;
mod pods;
mod resolve;
mod restore;
mod steps;
#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use boxr_image::nothing;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

pub use claim::Claim;
pub use dir::{BoxDir, Lock, Wait};
pub use error::StoreError;
pub(crate) use files::remove_tree_of_user_at;
pub use list::{Contents, Entry};
pub use observe::{Observed, current};
pub use pods::{Hold, PodClaim, PodDir, PodLock};
pub(crate) use restore::make_directories;

use crate::boot::Here;
use crate::paths::Paths;
use crate::record::State;

/// All boxes of one user. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    paths: Paths,
    /// The state root; everything below is opened relative to it.
    root: OwnedFd,
    /// Whether the state root is missing where nothing can be made: it looks empty.
    is_missing: bool,
    here: OnceLock<Here>,
}

impl Store {
    /// Opens the store at `paths`, making the state root if it is missing. One system call as a rule. Where nothing can be
    /// written there is nothing to read.
    pub fn open(paths: Paths) -> Result<Self, StoreError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(CWD, &paths.state, flags, Mode::empty());
        let (root, is_missing) = match open() {
            Err(Errno::NOENT) => match restore::make_directories(&paths.state) {
                Err(Errno::ROFS) => (nothing::directory(), true),
                made => (made.and_then(|()| open()), false),
            },
            root => (root, false),
        };
        let root = root.map_err(|errno| StoreError::system("open the state root", &paths.state, errno))?;
        Ok(Self(Arc::new(Inner { paths, root, is_missing, here: OnceLock::new() })))
    }

    fn of(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    /// Where it is.
    pub fn paths(&self) -> &Paths {
        &self.0.paths
    }

    /// The boot and pid namespace of this process; looked up once.
    pub fn here(&self) -> &Here {
        self.0.here()
    }

    /// What is true of a box now ([`current`]).
    pub fn observe(&self, state: &State) -> Observed {
        current(state, self.here())
    }
}

impl Inner {
    fn here(&self) -> &Here {
        self.here.get_or_init(Here::look)
    }

    fn error(&self, action: &'static str, path: &str, errno: Errno) -> StoreError {
        StoreError::system(action, self.path(path), errno)
    }

    /// The absolute path of something relative to the state root, for messages.
    fn path(&self, path: &str) -> PathBuf {
        self.paths.state.join(path)
    }
}

/// Where the directory of box `id` is, relative to the state root.
fn in_containers(id: &str) -> String {
    format!("containers/{id}")
}

/// Where the name `name` is, relative to the state root.
fn in_names(name: &str) -> String {
    format!("names/{name}")
}
