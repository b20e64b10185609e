//! Indexes that are here whole, with the images of other platforms, which are not unpacked.

use serde::{Deserialize, Serialize};

use super::ImageRecord;
use crate::digest::Digest;
use crate::oci::Descriptor;
use crate::oci::whole::Whole;
use crate::reference::Reference;

/// An index of which an image is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageIndex {
    /// The blob of the index.
    pub digest: Digest,
    /// The name that stood for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Reference>,
    /// Its manifests and indexes, each after those that it names: itself is the last.
    pub documents: Vec<Descriptor>,
    /// Their configurations and layers.
    pub blobs: Vec<Descriptor>,
}

impl ImageIndex {
    pub(crate) fn new(digest: Digest, name: Option<Reference>, whole: Whole) -> Self {
        Self { digest, name, documents: whole.documents, blobs: whole.blobs }
    }

    /// All its content, by digest.
    pub fn content(&self) -> impl Iterator<Item = &Digest> {
        self.documents.iter().chain(&self.blobs).map(|one| &one.digest)
    }
}

impl ImageRecord {
    /// The blobs that it needs, and those of the indexes that it is one of.
    pub fn blobs(&self) -> impl Iterator<Item = &Digest> {
        let own = self.layers.iter().map(|layer| &layer.blob).chain([&self.manifest, &self.config]);
        own.chain(self.indexes.iter().flat_map(ImageIndex::content))
    }

    /// The index that `name` stood for; without a name, or where it is a later one, the only one that there is.
    pub fn index(&self, name: Option<&Reference>) -> Option<&ImageIndex> {
        let named = self.indexes.iter().find(|index| index.name.is_some() && index.name.as_ref() == name);
        named.or(match self.indexes.as_slice() {
            [only] => Some(only),
            _ => None,
        })
    }

    /// Takes over the indexes of what was known of the same image before, but for those that have been replaced.
    pub(super) fn keep_indexes(&mut self, known: Vec<ImageIndex>) {
        let is_replaced = |old: &ImageIndex| {
            let same =
                |new: &ImageIndex| new.name == old.name && (new.name.is_some() || new.digest == old.digest);
            self.indexes.iter().any(same)
        };
        let kept: Vec<ImageIndex> = known.into_iter().filter(|old| !is_replaced(old)).collect();
        self.indexes.splice(0..0, kept);
    }
}
