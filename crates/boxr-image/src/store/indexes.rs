//! Indexes of images: whether they are here whole, with the images of other platforms, which are not unpacked.

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
    /// Its manifests and indexes, each after those that it names: itself is the last. Empty where it is not here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Descriptor>,
    /// Their configurations and layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Descriptor>,
}

impl ImageIndex {
    pub(crate) fn new(digest: Digest, name: Option<Reference>, whole: Whole) -> Self {
        Self { digest, name, documents: whole.documents, blobs: whole.blobs }
    }

    /// One of which only this image was fetched: so `name` stands for no other that is here.
    pub(crate) fn elsewhere(digest: Digest, name: Reference) -> Self {
        Self { digest, name: Some(name), documents: Vec::new(), blobs: Vec::new() }
    }

    /// Whether all that it names is here.
    pub fn is_here(&self) -> bool {
        !self.documents.is_empty()
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

    /// The index that `name` stood for, as far as it is here; for a name that was given here, and without one, the only
    /// index that is.
    pub fn index(&self, name: Option<&Reference>) -> Option<&ImageIndex> {
        match self.indexes.iter().find(|index| index.name.is_some() && index.name.as_ref() == name) {
            Some(named) => Some(named).filter(|index| index.is_here()),
            None => {
                let mut here = self.indexes.iter().filter(|index| index.is_here());
                here.next().filter(|_| here.next().is_none())
            }
        }
    }

    /// The indexes that `name` stood for; for a name that was given here, and without one, all of them.
    pub(super) fn indexes_of(&self, name: Option<&Reference>) -> Vec<&ImageIndex> {
        let is_named = |index: &&ImageIndex| index.name.is_some() && index.name.as_ref() == name;
        let named: Vec<_> = self.indexes.iter().filter(is_named).collect();
        if named.is_empty() { self.indexes.iter().collect() } else { named }
    }

    /// Takes over the indexes of what was known of the same image before, but for those that have been replaced.
    pub(super) fn keep_indexes(&mut self, known: Vec<ImageIndex>) {
        let same =
            |one: &ImageIndex, other: &ImageIndex| one.name == other.name && one.digest == other.digest;
        // What is here whole stays so.
        self.indexes.retain(|new| new.is_here() || !known.iter().any(|old| old.is_here() && same(old, new)));
        let is_replaced = |old: &ImageIndex| {
            self.indexes.iter().any(|new| same(old, new) || new.name.is_some() && new.name == old.name)
        };
        let kept: Vec<ImageIndex> = known.into_iter().filter(|old| !is_replaced(old)).collect();
        self.indexes.splice(0..0, kept);
    }
}
