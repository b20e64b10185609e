//! Removing what nothing refers to.

use std::collections::HashSet;
use std::io;

use rustix::fs::FlockOperation;

use super::layers::layer_lock_path;
use super::lock::{Wait, lock_file};
use super::{Store, StoreError};
use crate::digest::Digest;

/// How much a sweep takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// What no image refers to.
    Unreferenced,
    /// Also what cancelled pulls have left to be continued.
    AlsoPartial,
}

/// What a sweep removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Unpacked layers.
    pub layers: Vec<Digest>,
    /// Bytes of the blobs and of the files in the layers.
    pub bytes: u64,
}

impl Store {
    /// Removes content that no image and no living lease refers to, and what dead processes have left.
    ///
    /// # Errors
    /// A record cannot be read: then nothing was removed. Something cannot be removed.
    pub fn sweep(&self, which: Which) -> Result<Swept, StoreError> {
        let lock = self.lock(FlockOperation::LockExclusive)?;
        let live = self.live()?;
        let mut swept = Swept::default();
        for digest in self.blobs()?.into_iter().filter(|digest| !live.contains(digest)) {
            swept.bytes += self.open_blob(&digest)?.1;
            self.remove_blob(&digest)?;
            swept.blobs.push(digest);
        }
        for digest in self.layers()?.into_iter().filter(|digest| !live.contains(digest)) {
            // A damaged note of how much it is keeps nothing from being removed.
            swept.bytes += self.layer(&digest).ok().flatten().map_or(0, |layer| layer.info.size);
            self.discard_layer(&digest)?;
            swept.layers.push(digest);
        }
        self.discard_shifted(|layer| !live.contains(layer))?;
        self.sweep_ingest(which)?;
        drop(lock);
        self.empty_staging()?;
        Ok(swept)
    }

    pub(super) fn live(&self) -> Result<HashSet<Digest>, StoreError> {
        let mut live: HashSet<Digest> = self.leased()?.into_iter().collect();
        for image in self.images()? {
            live.extend(image.blobs().cloned());
            live.extend(image.layers.into_iter().map(|layer| layer.diff_id));
        }
        Ok(live)
    }

    /// Locks that nobody holds, and blobs that nobody fetches any more.
    fn sweep_ingest(&self, which: Which) -> Result<(), StoreError> {
        for name in self.root.names("ingest")? {
            if which == Which::Unreferenced && !name.starts_with("layer.") {
                continue;
            }
            let path = format!("ingest/{name}");
            let lock = lock_file(&self.root, &path, Wait::No)?;
            if lock.is_some() {
                self.root.remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Removes what is in `staging` and is not being unpacked. Takes long, and needs no lock.
    fn empty_staging(&self) -> Result<(), StoreError> {
        for name in self.root.names("staging")? {
            let path = format!("staging/{name}");
            if name.starts_with("gone.") {
                self.root.remove_tree(&path)?;
                continue;
            }
            let lock_path = layer_lock_path(&name);
            if let Some(_lock) = lock_file(&self.root, &lock_path, Wait::No)? {
                self.root.remove_tree(&path)?;
                self.root.remove_file(&lock_path)?;
            }
        }
        Ok(())
    }

    /// Bytes of the blobs that are being fetched or were left by cancelled pulls.
    ///
    /// # Errors
    /// The store cannot be looked at.
    pub fn partial_bytes(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for name in self.root.names("ingest")? {
            if let Some((_, size)) = self.root.open_file(&format!("ingest/{name}"))? {
                bytes += size;
            }
        }
        Ok(bytes)
    }
}

/// Reads all of `from` through `each`.
pub(super) fn read_through(mut from: impl io::Read, mut each: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; 128 * 1024];
    let mut total = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(read) => {
                each(&buffer[..read]);
                total += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
