//! Layers with other owners ([`crate::shift`]).

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::layers::layer_lock_path;
use super::lock::{Wait, lock_file};
use super::{Store, StoreError};
use crate::digest::Digest;
use crate::shift::{Shift, Why, shift as shift_tree};

/// Its name: the layer's, and the shift's.
fn name(diff_id: &Digest, shift: &Shift) -> String {
    format!("{}.{}", diff_id.file_name(), shift.name())
}

/// The layer that a shifted one is of.
pub(super) fn layer_of(name: &str) -> Option<Digest> {
    Digest::from_file_name(name.rsplit_once('.')?.0)
}

impl Store {
    /// Opens a layer with other owners.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or it cannot be opened.
    pub fn open_shifted(&self, diff_id: &Digest, shift: &Shift) -> Result<OwnedFd, StoreError> {
        match self.root.open_dir(&format!("shifted/{}/fs", name(diff_id, shift))) {
            Err(StoreError::System { errno: Errno::NOENT, .. }) => Err(StoreError::Missing(diff_id.clone())),
            opened => opened,
        }
    }

    /// Where the data of layers is found, from which on their shifted ones say where.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open_data(&self) -> Result<OwnedFd, StoreError> {
        self.root.open_dir("layers")
    }

    /// Whether a layer is here with these owners.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn has_shifted(&self, diff_id: &Digest, shift: &Shift) -> Result<bool, StoreError> {
        self.root.exists(&format!("shifted/{}", name(diff_id, shift)))
    }

    /// Makes a layer with other owners, unless it is here. It has its name when it is whole and on the disk. The
    /// caller holds the image, and has all ids.
    ///
    /// # Errors
    /// [`StoreError::Owner`] for an id that becomes none; the system's.
    pub fn shift(&self, diff_id: &Digest, shift: &Shift) -> Result<(), StoreError> {
        let name = name(diff_id, shift);
        let (place, staging, lock) =
            (format!("shifted/{name}"), format!("staging/{name}"), layer_lock_path(&name));
        self.root.ensure_dir("shifted")?;
        let _locked = lock_file(&self.root, &lock, Wait::Yes)?;
        if !self.root.exists(&place)? {
            // Left by somebody who was killed: he has no lock any more.
            self.root.remove_tree(&staging)?;
            self.root.ensure_dir(&staging)?;
            if let Err(error) = self.fill(diff_id, shift, &staging) {
                // What cannot be removed now is removed by a sweep.
                self.root.remove_tree(&staging).ok();
                self.root.remove_file(&lock).ok();
                return Err(error);
            }
            self.flusher.flush(&self.root)?;
            self.root.rename(&staging, &place)?;
        }
        self.root.remove_file(&lock)
    }

    fn fill(&self, diff_id: &Digest, shift: &Shift, staging: &str) -> Result<(), StoreError> {
        let (layer, fs) = (self.open_layer(diff_id)?, format!("{staging}/fs"));
        self.root.ensure_dir(&fs)?;
        let to = self.root.open_dir(&fs)?;
        let data = format!("{}/fs", diff_id.file_name());
        shift_tree(layer.as_fd(), to.as_fd(), shift, data.as_bytes()).map_err(|failure| {
            let path = String::from_utf8_lossy(&failure.path).into_owned();
            match failure.why {
                Why::System { action, errno } => self.root.error(action, &format!("{fs}/{path}"), errno),
                Why::Unmapped { kind, id } => StoreError::Owner { path, kind, id },
            }
        })
    }

    /// Takes those away that `is_gone` says of their layer, to `staging`.
    pub(super) fn discard_shifted(&self, is_gone: impl Fn(&Digest) -> bool) -> Result<(), StoreError> {
        for name in self.root.names("shifted")? {
            if layer_of(&name).is_none_or(|layer| is_gone(&layer)) {
                let to = format!("staging/gone.{name}");
                self.root.remove_tree(&to)?;
                self.root.rename(&format!("shifted/{name}"), &to)?;
            }
        }
        Ok(())
    }
}
