//! Content whose digests are not known before it is here: the files of an archive.
//!
//! They lie in `staging/load.HEX`, which is locked as a layer that is being unpacked is: what a killed
//! process has left is removed by the next sweep.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::blobs::blob_path;
use super::files::append;
use super::layers::layer_lock_path;
use super::lock::{Wait, lock_file};
use super::{Store, StoreError};
use crate::digest::{Algorithm, Digest, Hasher};

/// A place for content that has no name yet. Dropped, it goes away with what was not published.
#[derive(Debug)]
pub struct Spool<'s> {
    store: &'s Store,
    name: String,
    next: AtomicU64,
    /// Keeps sweeps out until it is closed.
    _lock: OwnedFd,
}

/// A file of it being written.
#[derive(Debug)]
pub struct SpoolWriter<'s> {
    store: &'s Store,
    path: String,
    file: File,
    hasher: Hasher,
    size: u64,
}

/// A file of it, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl Store {
    /// Makes a place for content that has no name yet.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn spool(&self) -> Result<Spool<'_>, StoreError> {
        let name = format!("load.{}", self.random_name("staging")?);
        let lock_path = layer_lock_path(&name);
        let Some(lock) = lock_file(&self.root, &lock_path, Wait::No)? else {
            return Err(self.root.error("make", &lock_path, rustix::io::Errno::EXIST));
        };
        self.root.ensure_dir(&format!("staging/{name}"))?;
        Ok(Spool { store: self, name, next: AtomicU64::new(0), _lock: lock })
    }
}

impl<'s> Spool<'s> {
    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin(&self, algorithm: Algorithm) -> Result<SpoolWriter<'s>, StoreError> {
        let path = format!("staging/{}/{}", self.name, self.next.fetch_add(1, Relaxed));
        let file = File::from(self.store.root.open_or_make(&path)?);
        Ok(SpoolWriter { store: self.store, path, file, hasher: Hasher::new(algorithm), size: 0 })
    }

    /// Opens a file that is whole.
    ///
    /// # Errors
    /// It cannot be opened; [`StoreError::Missing`] when it was published.
    pub fn open(&self, spooled: &Spooled) -> Result<File, StoreError> {
        let found = self.store.root.open_file(&spooled.path)?;
        found.map(|(file, _)| file).ok_or_else(|| StoreError::Missing(spooled.digest.clone()))
    }

    /// Makes files last and gives them their names as blobs, unless those are here. Whoever calls it has
    /// a lease of them.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn publish(&self, files: &[&Spooled]) -> Result<(), StoreError> {
        self.store.flusher.flush(&self.store.root)?;
        for file in files {
            if !self.store.has_blob(&file.digest)? {
                self.store.root.rename(&file.path, &blob_path(&file.digest))?;
            }
        }
        Ok(())
    }
}

impl Drop for Spool<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is removed by a sweep.
        self.store.root.remove_tree(&format!("staging/{}", self.name)).ok();
        self.store.root.remove_file(&layer_lock_path(&self.name)).ok();
    }
}

impl SpoolWriter<'_> {
    /// Adds to it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        append(&mut self.file, &self.path, bytes)
            .map_err(|errno| self.store.root.error("write", &self.path, errno))?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Ends it.
    pub fn finish(self) -> Spooled {
        Spooled { path: self.path, digest: self.hasher.finish(), size: self.size }
    }
}
