//! Taking images from an archive.

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;

use super::contents::Contents;
use super::{ArchiveError, docker, layout};
use crate::digest::Digest;
use crate::oci::{Platform, Platforms};
use crate::pull::{Event, Progress, PullError, now, unpack_blob, verify_blob};
use crate::reference::Reference;
use crate::side_by_side::side_by_side;
use crate::store::{ImageIndex, ImageLayer, ImageRecord, Lease, Spool, Store, Unpack, Wait, Which};
use crate::unpack::{How, LeftOut};

/// Where images come from.
pub enum Source<'a> {
    /// An archive, compressed or not.
    Stream(&'a mut dyn Read),
    /// A directory with an OCI layout or the files of docker's archive in it.
    Directory(OwnedFd),
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Self::Stream(_) => "an archive",
            Self::Directory(_) => "a directory",
        })
    }
}

/// How images are taken.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    /// Where they are to go.
    pub store: &'a Store,
    /// How layers are unpacked.
    pub how: How,
    /// Which image of an index is wanted.
    pub platform: &'a Platform,
    /// Whether the others are taken as well, with the index; only that one is unpacked.
    pub platforms: Platforms,
    /// Who hears of it.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for Load<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Load")
    }
}

/// An image that was in the archive.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in the store now.
    pub image: ImageRecord,
    /// Its names in the archive.
    pub names: Vec<Reference>,
    /// What could not be made without privilege, of all images together.
    pub left_out: LeftOut,
}

/// An image that is to be taken.
pub(super) struct Plan {
    pub(super) manifest: Digest,
    bytes: Vec<u8>,
    config: Digest,
    layers: Vec<ImageLayer>,
    pub(super) names: Vec<Reference>,
    /// Indexes that it is one of, all of which is wanted.
    pub(super) indexes: Vec<ImageIndex>,
    /// It is here already.
    known: Option<ImageRecord>,
}

impl Plan {
    pub(super) fn new(
        manifest: Vec<u8>,
        config: Digest,
        layers: Vec<ImageLayer>,
        names: Vec<Reference>,
    ) -> Self {
        Self {
            manifest: Digest::of(&manifest),
            bytes: manifest,
            config,
            layers,
            names,
            indexes: Vec::new(),
            known: None,
        }
    }

    pub(super) fn known(record: ImageRecord, names: Vec<Reference>) -> Self {
        let (manifest, config) = (record.manifest.clone(), record.config.clone());
        Self {
            manifest,
            bytes: Vec::new(),
            config,
            layers: record.layers.clone(),
            names,
            indexes: Vec::new(),
            known: Some(record),
        }
    }

    fn content(&self) -> impl Iterator<Item = &Digest> {
        let layers = self.layers.iter().flat_map(|layer| [&layer.blob, &layer.diff_id]);
        let indexes = self.indexes.iter().flat_map(ImageIndex::content);
        layers.chain([&self.manifest, &self.config]).chain(indexes)
    }
}

impl Load<'_> {
    /// Takes all images that are in `from`.
    ///
    /// # Errors
    /// None of them is there afterwards, unless it was before.
    pub fn run(&self, from: Source<'_>) -> Result<Vec<Loaded>, ArchiveError> {
        let loaded = self.load(from);
        if loaded.is_err() {
            // Nothing refers to what of it had its name already. The error that counts is the first.
            self.store.sweep(Which::Unreferenced).ok();
        }
        loaded
    }

    fn load(&self, from: Source<'_>) -> Result<Vec<Loaded>, ArchiveError> {
        let lease = self.store.lease()?;
        let spool = self.store.spool()?;
        let mut contents = match from {
            Source::Stream(from) => Contents::of_archive(&spool, from)?,
            Source::Directory(dir) => Contents::of_directory(&spool, dir),
        };
        let plans = if contents.has(layout::MARK)? {
            layout::plan(&mut contents, self.platform, self.platforms)?
        } else if contents.has(docker::MANIFEST)? {
            docker::plan(&mut contents, self.store)?
        } else {
            return Err(ArchiveError::NoImages);
        };
        let left_out = self.take_content(&plans, &contents, &spool, &lease)?;
        let mut loaded = Vec::with_capacity(plans.len());
        for plan in plans {
            let record = plan.known.unwrap_or(ImageRecord {
                manifest: plan.manifest,
                config: plan.config,
                layers: plan.layers,
                sources: Vec::new(),
                indexes: plan.indexes,
                added: now(),
            });
            let image = self.store.put_image(record, &plan.names)?;
            loaded.push(Loaded { image, names: plan.names, left_out });
        }
        Ok(loaded)
    }

    /// Has everything here that the images need, verified and unpacked.
    fn take_content(
        &self,
        plans: &[Plan],
        contents: &Contents<'_>,
        spool: &Spool<'_>,
        lease: &Lease<'_>,
    ) -> Result<LeftOut, ArchiveError> {
        let wanted: HashSet<&Digest> = plans.iter().flat_map(Plan::content).collect();
        lease.add(wanted.iter().copied())?;
        let mut spooled: Vec<_> = contents.files().filter(|file| wanted.contains(&file.digest)).collect();
        spooled.sort_unstable_by_key(|file| &file.digest);
        spooled.dedup_by_key(|file| &file.digest);
        spool.publish(&spooled)?;
        let mut layers: Vec<&ImageLayer> = Vec::new();
        for plan in plans {
            if plan.known.is_none() {
                self.store.put_blob_as(&plan.manifest, &plan.bytes)?;
            }
            for layer in &plan.layers {
                if !layers.contains(&layer) {
                    layers.push(layer);
                }
            }
        }
        let given_up = AtomicBool::new(false);
        let done = side_by_side(&layers, &given_up, |layer| self.take_layer(layer))?;
        Ok(done.into_iter().fold(LeftOut::default(), LeftOut::plus))
    }

    fn take_layer(&self, layer: &ImageLayer) -> Result<LeftOut, PullError> {
        match self.store.unpack(&layer.diff_id, Wait::Yes)? {
            Unpack::Write(writer) => {
                self.progress.layer(&layer.blob, Event::Unpacking);
                let left_out = unpack_blob(self.store, writer, layer, &self.how)?;
                self.progress.layer(&layer.blob, Event::Done);
                Ok(left_out)
            }
            Unpack::Present(_) | Unpack::Busy => {
                verify_blob(self.store, layer)?;
                self.progress.layer(&layer.blob, Event::Present);
                Ok(LeftOut::default())
            }
        }
    }
}
