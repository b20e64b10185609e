//! Fetching an image: every layer is fetched, verified, decompressed and unpacked at once, several side
//! by side.
//!
//! What a cancelled pull leaves is continued by the next one, and verified as a whole. Two pulls at
//! once, in this process or in two, fetch and unpack what they share once: see [`crate::store`].

mod compare;
mod index;
mod layer;
mod progress;
mod repair;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicBool;

pub use compare::Aspect;
pub(crate) use layer::{unpack_blob, verify_blob};
pub use progress::{Event, Progress, Silent};
pub use repair::{Repaired, compare_layers, repair};

use crate::digest::Digest;
use crate::oci::{Descriptor, ImageConfig, Kind, LONGEST_CONFIG, Platform, Platforms};
use crate::reference::Reference;
use crate::registry::{Client, Fetched, RegistryError};
use crate::side_by_side::side_by_side;
use crate::store::{ImageIndex, ImageLayer, ImageRecord, Lease, Store, StoreError};
use crate::unpack::{How, LeftOut, UnpackError};

/// An image was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer cannot be unpacked.
    #[error("layer {}: {source}", digest.short())]
    Unpack {
        /// The layer's blob.
        digest: Digest,
        /// Why not.
        source: UnpackError,
    },
    /// A layer is not what the configuration says.
    #[error("layer {} has the contents {found}, where the image says {expected}", digest.short())]
    WrongContents {
        /// The layer's blob.
        digest: Digest,
        /// What its tar stream should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// The configuration cannot be used.
    #[error("the configuration of {image} cannot be used: {reason}")]
    Config {
        /// The image.
        image: String,
        /// Why not.
        reason: String,
    },
    /// Another layer failed, and its error counts.
    #[error("the pull was given up")]
    GivenUp,
}

/// What to fetch, and how.
#[derive(Clone, Copy)]
pub struct Pull<'a> {
    /// Where it is to go.
    pub store: &'a Store,
    /// From whom.
    pub client: &'a Client,
    /// What.
    pub reference: &'a Reference,
    /// What it is to run on.
    pub platform: &'a Platform,
    /// Whether those for other platforms are to be here, too, with their index.
    pub platforms: Platforms,
    /// How layers are unpacked.
    pub how: How,
    /// Who hears of it.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for Pull<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Pull of {}", self.reference)
    }
}

/// An image that was fetched, or was here.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// What is in the store now.
    pub image: ImageRecord,
    /// What the name stands for at the registry.
    pub source: Digest,
    /// Whether anything was not here before.
    pub is_new: bool,
    /// What it runs on.
    pub platform: Platform,
    /// What could not be made without privilege.
    pub left_out: LeftOut,
}

impl Pull<'_> {
    /// Fetches it.
    ///
    /// # Errors
    /// The image is not there afterwards, unless it was before.
    pub fn run(&self) -> Result<Pulled, PullError> {
        let fetched = self.client.fetch(self.reference, self.platform)?;
        let known = self.store.image(&fetched.digest)?;
        let lease = self.store.lease()?;
        let manifest = &fetched.manifest;
        let blobs = manifest.layers.iter().map(|layer| &layer.digest);
        lease.add(blobs.chain([&fetched.digest, &manifest.config.digest]))?;
        self.store.put_blob_as(&fetched.digest, &fetched.bytes)?;
        let config = self.config(&fetched)?;
        let layers = self.layers(&fetched, &config, &lease)?;
        let left_out = self.fetch_layers(&fetched, &layers)?;
        let index = self.index(&fetched, &lease)?;
        let image = ImageRecord {
            manifest: fetched.digest.clone(),
            config: manifest.config.digest.clone(),
            layers,
            sources: vec![self.reference.with_digest(fetched.source.clone())],
            indexes: index.into_iter().collect(),
            added: now(),
        };
        let name = self.reference.given();
        let is_new = match (&known, &name) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(known), Some(name)) => {
                let is_known = |index: &ImageIndex| known.indexes.contains(index);
                self.store.named(name)?.is_none_or(|named| named.manifest != known.manifest)
                    || image.indexes.iter().any(|index| index.is_here() && !is_known(index))
            }
        };
        let image = self.store.put_image(image, name.as_slice())?;
        Ok(Pulled { image, source: fetched.source, is_new, platform: config.platform, left_out })
    }

    /// The index that the image was chosen from.
    fn index(&self, fetched: &Fetched, lease: &Lease<'_>) -> Result<Option<ImageIndex>, PullError> {
        if fetched.source == fetched.digest {
            return Ok(None);
        }
        let elsewhere = |name| ImageIndex::elsewhere(fetched.source.clone(), name);
        match self.platforms {
            Platforms::All => index::fetch(self, fetched, lease).map(Some),
            Platforms::One => Ok(self.reference.given().map(elsewhere)),
        }
    }

    fn config(&self, fetched: &Fetched) -> Result<ImageConfig, PullError> {
        let Descriptor { digest, size, media_type, .. } = &fetched.manifest.config;
        let bad = |reason: String| PullError::Config { image: self.reference.familiar(), reason };
        if media_type.kind() != Kind::Config {
            return Err(bad(format!(
                "it is no image's but {:?} (a chart, a signature, an artifact)",
                media_type.0
            )));
        }
        let bytes = if self.store.has_blob(digest)? {
            self.store.read_blob(digest, LONGEST_CONFIG)?
        } else {
            let bytes = self.client.small_blob(&fetched.endpoint, digest, LONGEST_CONFIG)?;
            self.store.put_blob_as(digest, &bytes)?;
            bytes
        };
        if bytes.len() as u64 != *size {
            return Err(bad(format!("it has {} bytes, not {size} as the manifest says", bytes.len())));
        }
        serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))
    }

    fn layers(
        &self,
        fetched: &Fetched,
        config: &ImageConfig,
        lease: &Lease<'_>,
    ) -> Result<Vec<ImageLayer>, PullError> {
        let (blobs, diff_ids) = (&fetched.manifest.layers, &config.rootfs.diff_ids);
        if blobs.len() != diff_ids.len() {
            let reason = format!("it has {} layers, and the manifest {}", diff_ids.len(), blobs.len());
            return Err(PullError::Config { image: self.reference.familiar(), reason });
        }
        lease.add(diff_ids)?;
        let pairs = blobs.iter().zip(diff_ids);
        Ok(pairs
            .map(|(blob, diff_id)| ImageLayer {
                blob: blob.digest.clone(),
                size: blob.size,
                media_type: blob.media_type.0.clone(),
                diff_id: diff_id.clone(),
            })
            .collect())
    }

    /// Fetches all layers; the first error ends it all.
    fn fetch_layers(&self, fetched: &Fetched, layers: &[ImageLayer]) -> Result<LeftOut, PullError> {
        let mut once: Vec<&ImageLayer> = Vec::new();
        for layer in layers {
            if !once.contains(&layer) {
                once.push(layer);
            }
        }
        let given_up = AtomicBool::new(false);
        let fetch = |layer: &&ImageLayer| layer::fetch(self, fetched, layer, &given_up);
        let done = self.store.writing_much(|| side_by_side(&once, &given_up, fetch))?;
        Ok(done.into_iter().fold(LeftOut::default(), LeftOut::plus))
    }
}

/// Nanoseconds since 1970 UTC.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
