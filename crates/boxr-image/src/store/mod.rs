//! Where images are kept: content by its digest, and what refers to it.
//!
//! ```text
//! ROOT/format                    which format this is
//! ROOT/lock                      flock(2): shared to rely on content, exclusive to change records or sweep
//! ROOT/blobs/sha256/HEX          manifests, configurations, layers as they came; whole and verified
//! ROOT/layers/sha256.HEX/        a layer unpacked, by the digest of its tar stream (its "diff id")
//!     fs/                        its files, as overlayfs takes them
//!     layer.json                 how much that is
//! ROOT/shifted/sha256.HEX.MAP/   a layer with other owners, for containers with such ids; goes with the layer
//! ROOT/images/sha256.HEX         an image, by the digest of its manifest: all content it needs, and that of indexes
//!                                that were fetched whole for it
//! ROOT/names/HEX                 a name and the image it stands for, by the digest of the name
//! ROOT/holds/NAME                an image that a container uses
//! ROOT/leases/HEX                locked by a running operation: content that it uses
//! ROOT/ingest/sha256.HEX         a blob being fetched, locked by whoever fetches it
//! ROOT/ingest/layer.sha256.HEX   locked by whoever unpacks this layer
//! ROOT/staging/                  layers being unpacked or removed, archives being loaded
//! ROOT/mounts/HEX/               an image that is mounted to be looked at
//! ROOT/empty/                    nothing, ever: what overlayfs wants below a single layer
//! ROOT/places/                   what lies below all layers of a container: places for its mounts
//! ```
//!
//! *What can be trusted.* What has its final name is whole: it was written under another name, verified,
//! made to last (syncfs(2)) and then renamed. Content comes before the record that refers to it, and
//! that before the name. So a process may be killed and the power may fail at any point: what then
//! lies in `ingest`, `staging` and `leases` is used by nobody, or continued and verified as a whole.
//!
//! *Two at once.* Whoever fetches or unpacks holds the lock of that digest; others wait, and then find
//! it done. A thread that holds the lock of a blob waits for no other lock.
//!
//! *Removal.* Names and records go first. A sweep then marks what images, holds and leases of living
//! processes refer to, and removes the rest. Whoever wants to rely on content puts its digest on its
//! lease first, and looks whether it is there after that.

mod blobs;
mod error;
mod files;
mod flush;
mod indexes;
mod layers;
mod leases;
mod lock;
mod offers;
mod places;
mod records;
mod shifted;
mod spool;
mod steps;
mod sweep;
#[cfg(test)]
mod tests;
mod usage;
mod verify;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

pub use blobs::{BlobWriter, Ingest};
pub use error::StoreError;
pub use indexes::ImageIndex;
pub use layers::{Layer, LayerInfo, LayerWriter, Unpack};
pub use leases::Lease;
pub use lock::Wait;
pub use offers::Offer;
pub use records::{ImageLayer, ImageRecord, Name, hold_file};
pub use spool::{Spool, SpoolWriter, Spooled};
pub use sweep::{Swept, Which};
pub use usage::{Piece, PieceKind};
pub use verify::{Finding, Item, Problem};

pub(crate) use files::each_entry;
pub use files::remove_tree;
#[cfg(test)]
pub(crate) use steps::{Plan, with_plan};
#[cfg(test)]
pub(crate) use tests::everything;

use files::Root;
use flush::Flusher;

/// What this boxr writes to `format`.
const FORMAT: &str = "1\n";

/// All images of one user.
#[derive(Debug)]
pub struct Store {
    root: Root,
    flusher: Flusher,
}

impl Store {
    /// Opens the store in the directory `path`, making it if it is missing.
    ///
    /// # Errors
    /// The directory cannot be made or opened, or was made by a newer boxr.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let root = Root::open(path)?;
        let store = Self { root, flusher: Flusher::default() };
        match store.root.read("format")? {
            Some(format) => store.check_format(&format)?,
            None => match store.make() {
                // Nothing is in it, and nothing will be.
                Err(error) if error.is_read_only() => {}
                made => made?,
            },
        }
        Ok(store)
    }

    fn check_format(&self, format: &[u8]) -> Result<(), StoreError> {
        if format == FORMAT.as_bytes() {
            return Ok(());
        }
        let format = String::from_utf8_lossy(format.get(..64).unwrap_or(format));
        Err(StoreError::Format {
            path: self.root.path(""),
            format: format.trim().to_owned(),
            known: FORMAT.trim(),
        })
    }

    /// The format comes last: where it is, all the rest is.
    fn make(&self) -> Result<(), StoreError> {
        let dirs = [
            "blobs",
            "blobs/sha256",
            "blobs/sha512",
            "layers",
            "images",
            "names",
            "holds",
            "leases",
            "ingest",
            "staging",
        ];
        for dir in dirs {
            self.root.ensure_dir(dir)?;
        }
        // Others may be making it too.
        let _guard = self.lock(FlockOperation::LockExclusive)?;
        self.root.write_whole("format", FORMAT.as_bytes())
    }

    /// Takes the lock of the whole store; it goes with the descriptor.
    fn lock(&self, operation: FlockOperation) -> Result<OwnedFd, StoreError> {
        let fd = match self.root.open_or_make("lock") {
            Err(error) if error.is_read_only() => self.root.open_for_readers("lock")?,
            made => made?,
        };
        lock::lock(&fd, operation, Wait::Yes).map_err(|errno| self.root.error("lock", "lock", errno))?;
        Ok(fd)
    }

    /// Where something below the store's root is.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.path(relative)
    }
}
