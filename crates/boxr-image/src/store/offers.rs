//! The images that one name stands for on different platforms: unpacked, or kept with an index.

use serde::de::{DeserializeOwned, Error};

use super::{ImageIndex, ImageLayer, ImageRecord, Store, StoreError};
use crate::digest::Digest;
use crate::oci::{ImageConfig, Kind, LONGEST_CONFIG, LONGEST_MANIFEST, Manifest, Platform};
use crate::reference::Reference;

/// An image for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it runs on.
    pub platform: Platform,
    /// Which, by the digest of its manifest.
    pub manifest: Digest,
}

impl Store {
    /// What there is here, for all platforms, where `name` stands for `image`: that first, then the others of its index.
    ///
    /// # Errors
    /// A record or a configuration cannot be read.
    pub fn offers(&self, image: &ImageRecord, name: Option<&Reference>) -> Result<Vec<Offer>, StoreError> {
        let indexes: Vec<&Digest> = image.indexes_of(name).iter().map(|index| &index.digest).collect();
        let mut offers = vec![self.offer(image)?];
        for other in self.images()? {
            let common: Vec<&ImageIndex> =
                other.indexes.iter().filter(|index| indexes.contains(&&index.digest)).collect();
            if !common.is_empty() && other.manifest != image.manifest {
                offers.push(self.offer(&other)?);
            }
            offers.extend(common.into_iter().flat_map(ImageIndex::offers));
        }
        let mut known = std::collections::HashSet::new();
        offers.retain(|offer| known.insert(offer.manifest.clone()));
        Ok(offers)
    }

    fn offer(&self, image: &ImageRecord) -> Result<Offer, StoreError> {
        let config: ImageConfig = self.read_document(&image.config, LONGEST_CONFIG)?;
        Ok(Offer { platform: config.platform, manifest: image.manifest.clone() })
    }

    /// The image with this manifest, whose layers need not be unpacked; what has no record of its own has no names and
    /// sources.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when its manifest or configuration is not here; they cannot be read or understood.
    pub fn any_image(&self, manifest: &Digest) -> Result<ImageRecord, StoreError> {
        if let Some(record) = self.image(manifest)? {
            return Ok(record);
        }
        let parts: Manifest = self.read_document(manifest, LONGEST_MANIFEST)?;
        let config: ImageConfig = self.read_document(&parts.config.digest, LONGEST_CONFIG)?;
        let diff_ids = config.rootfs.diff_ids;
        if diff_ids.len() != parts.layers.len() {
            let reason = format!("it has {} layers, and its image {}", parts.layers.len(), diff_ids.len());
            return Err(self.damaged(manifest, serde_json::Error::custom(reason)));
        }
        let layers = parts.layers.into_iter().zip(diff_ids).map(|(blob, diff_id)| ImageLayer {
            blob: blob.digest,
            size: blob.size,
            media_type: blob.media_type.0,
            diff_id,
        });
        Ok(ImageRecord {
            manifest: manifest.clone(),
            config: parts.config.digest,
            layers: layers.collect(),
            sources: Vec::new(),
            indexes: Vec::new(),
            added: crate::pull::now(),
        })
    }

    fn read_document<T: DeserializeOwned>(&self, digest: &Digest, longest: u64) -> Result<T, StoreError> {
        let bytes = self.read_blob(digest, longest)?;
        serde_json::from_slice(&bytes).map_err(|reason| self.damaged(digest, reason))
    }

    fn damaged(&self, digest: &Digest, reason: serde_json::Error) -> StoreError {
        StoreError::Damaged { path: self.root.path(&super::blobs::blob_path(digest)), reason }
    }
}

impl ImageIndex {
    /// The images of an index that is here whole, as far as it says what they run on.
    fn offers(&self) -> impl Iterator<Item = Offer> {
        let images = self.documents.iter().filter(|document| document.media_type.kind() == Kind::Manifest);
        images.filter_map(|image| {
            let platform = image.platform.clone()?;
            // What builds leave beside images.
            let is_image = platform.os != "unknown" && platform.architecture != "unknown";
            is_image.then(|| Offer { platform, manifest: image.digest.clone() })
        })
    }
}
