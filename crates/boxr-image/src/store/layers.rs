//! Layers as files.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::lock::{Wait, lock_file};
use super::{BlobWriter, ImageRecord, Store, StoreError};
use crate::digest::Digest;

/// What a layer amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// Bytes in its files, each hard link counted once.
    pub size: u64,
    /// Files, directories and all else.
    pub entries: u64,
    /// The highest user or group id in it.
    #[serde(default)]
    pub highest_id: u32,
    /// Bytes of its tar stream; 0 when an earlier boxr has unpacked it, which did not count them.
    #[serde(default)]
    pub stream: u64,
    /// Whether owners and attributes are as in the archive, which not everybody can make; unknown of what an earlier boxr
    /// has unpacked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_exact: bool,
}

/// A layer that is here.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The digest of its tar stream.
    pub diff_id: Digest,
    /// What it amounts to.
    pub info: LayerInfo,
}

/// What came of asking to unpack a layer.
#[derive(Debug)]
pub enum Unpack<'s> {
    /// It is here.
    Present(Layer),
    /// It is to be unpacked; others who want it wait.
    Write(LayerWriter<'s>),
    /// Somebody else is unpacking it, and this call was not to wait.
    Busy,
}

/// A layer being unpacked. Dropped before [`LayerWriter::commit`], it goes away.
#[derive(Debug)]
pub struct LayerWriter<'s> {
    store: &'s Store,
    diff_id: Digest,
    /// What it is called in `staging`.
    name: String,
    fs: OwnedFd,
    /// Keeps others out until it is closed.
    _lock: OwnedFd,
    committed: bool,
}

/// Where a layer is, relative to the store's root.
fn layer_path(diff_id: &Digest) -> String {
    format!("layers/{}", diff_id.file_name())
}

pub(super) fn layer_lock_path(diff_id: &str) -> String {
    format!("ingest/layer.{diff_id}")
}

fn staging_path(name: &str) -> String {
    format!("staging/{name}")
}

impl Store {
    /// The layer whose tar stream has this digest; `None` when it is not here.
    ///
    /// # Errors
    /// Its `layer.json` cannot be read or understood.
    pub fn layer(&self, diff_id: &Digest) -> Result<Option<Layer>, StoreError> {
        let info = self.read_json(&format!("{}/layer.json", layer_path(diff_id)))?;
        Ok(info.map(|info| Layer { diff_id: diff_id.clone(), info }))
    }

    /// Opens the directory that overlayfs takes.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or it cannot be opened.
    pub fn open_layer(&self, diff_id: &Digest) -> Result<OwnedFd, StoreError> {
        match self.root.open_dir(&format!("{}/fs", layer_path(diff_id))) {
            Err(StoreError::System { errno: Errno::NOENT, .. }) => Err(StoreError::Missing(diff_id.clone())),
            opened => opened,
        }
    }

    /// Opens the layers of an image, the lowest first.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or one cannot be opened.
    pub fn open_layers(&self, image: &ImageRecord) -> Result<Vec<OwnedFd>, StoreError> {
        image.layers.iter().map(|layer| self.open_layer(&layer.diff_id)).collect()
    }

    /// Opens a directory that has nothing in it.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub fn empty_dir(&self) -> Result<OwnedFd, StoreError> {
        self.root.ensure_dir("empty")?;
        self.root.open_dir("empty")
    }

    /// Asks to unpack the layer `diff_id`.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn unpack(&self, diff_id: &Digest, wait: Wait) -> Result<Unpack<'_>, StoreError> {
        if let Some(layer) = self.layer(diff_id)? {
            return Ok(Unpack::Present(layer));
        }
        let name = diff_id.file_name();
        let lock_path = layer_lock_path(&name);
        let Some(lock) = lock_file(&self.root, &lock_path, wait)? else { return Ok(Unpack::Busy) };
        if let Some(layer) = self.layer(diff_id)? {
            self.root.remove_file(&lock_path)?;
            return Ok(Unpack::Present(layer));
        }
        self.begin(diff_id, name, lock).map(Unpack::Write)
    }

    /// To unpack the layer `diff_id` once more, beside what is here: what is written is never kept.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) fn unpack_beside(&self, diff_id: &Digest) -> Result<Option<LayerWriter<'_>>, StoreError> {
        let name = format!("check.{}", diff_id.file_name());
        let lock = lock_file(&self.root, &layer_lock_path(&name), Wait::Yes)?;
        lock.map(|lock| self.begin(diff_id, name, lock)).transpose()
    }

    fn begin(&self, diff_id: &Digest, name: String, lock: OwnedFd) -> Result<LayerWriter<'_>, StoreError> {
        let staging = staging_path(&name);
        // Left by somebody who was killed: he has no lock any more.
        self.root.remove_tree(&staging)?;
        self.root.ensure_dir(&staging)?;
        let fs = format!("{staging}/fs");
        self.root.ensure_dir(&fs)?;
        let fs = self.root.open_dir(&fs)?;
        Ok(LayerWriter { store: self, diff_id: diff_id.clone(), name, fs, _lock: lock, committed: false })
    }

    /// All layers.
    pub(super) fn layers(&self) -> Result<Vec<Digest>, StoreError> {
        let names = self.root.names("layers")?;
        Ok(names.iter().filter_map(|name| Digest::from_file_name(name)).collect())
    }

    /// Takes a layer out of the way, to `staging`; what is there is removed by [`Store::empty_staging`].
    pub(super) fn discard_layer(&self, diff_id: &Digest) -> Result<(), StoreError> {
        // First: they have no data without it.
        self.discard_shifted(|layer| layer == diff_id)?;
        let to = format!("staging/gone.{}", diff_id.file_name());
        self.root.remove_tree(&to)?;
        self.root.rename(&layer_path(diff_id), &to)
    }
}

impl LayerWriter<'_> {
    /// The directory to unpack into; empty.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.fs.as_fd()
    }

    /// Makes the layer last and gives it its name. Whoever calls it has verified the digest.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn commit(self, info: LayerInfo) -> Result<Layer, StoreError> {
        self.finish(info, None)
    }

    /// The same, and for the blob that it came from: verified, made to last and named together.
    ///
    /// # Errors
    /// The blob is not what it should be; it cannot be written.
    pub fn commit_with(self, mut blob: BlobWriter<'_>, info: LayerInfo) -> Result<Layer, StoreError> {
        blob.verify()?;
        self.finish(info, Some(blob))
    }

    fn finish(mut self, info: LayerInfo, blob: Option<BlobWriter<'_>>) -> Result<Layer, StoreError> {
        let (store, staging) = (self.store, staging_path(&self.name));
        store.write_unsynced(&format!("{staging}/layer.json"), &info)?;
        store.flusher.flush(&store.root)?;
        if let Some(blob) = blob {
            blob.publish()?;
        }
        store.root.rename(&staging, &layer_path(&self.diff_id))?;
        self.committed = true;
        store.root.remove_file(&layer_lock_path(&self.name))?;
        Ok(Layer { diff_id: self.diff_id.clone(), info })
    }
}

impl Drop for LayerWriter<'_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        // What cannot be removed now is removed by the next one, or by a sweep.
        self.store.root.remove_tree(&staging_path(&self.name)).ok();
        self.store.root.remove_file(&layer_lock_path(&self.name)).ok();
    }
}
