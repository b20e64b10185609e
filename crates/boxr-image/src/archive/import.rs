//! A root filesystem that becomes an image of one layer.

use std::io::{BufReader, Read};

use super::ArchiveError;
use super::contents::check_compression;
use super::docker::manifest;
use crate::digest::{Algorithm, Digest};
use crate::oci::media_type::{OCI_CONFIG, layer_of};
use crate::oci::{Config, Descriptor, History, ImageConfig, Platform, RootFs};
use crate::pull::{now, unpack_blob, verify_blob};
use crate::reference::Reference;
use crate::store::{ImageLayer, ImageRecord, Store, Unpack, Wait, Which};
use crate::unpack::{Decompressor, How, LeftOut, Limits, diff_id};

/// Bytes that go through at once.
const BUFFER: usize = 128 * 1024;

/// What an import makes.
#[derive(Clone, Debug)]
pub struct Import<'a> {
    /// Where it is to go.
    pub store: &'a Store,
    /// How the layer is unpacked.
    pub how: How,
    /// What the image runs on.
    pub platform: Platform,
    /// How it is run.
    pub config: Config,
    /// What is noted about it.
    pub comment: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Its name, if it has one.
    pub name: Option<Reference>,
}

impl Import<'_> {
    /// Makes an image of the archive `from`, compressed or not. The layer's blob is what came.
    ///
    /// # Errors
    /// There is no such image afterwards.
    pub fn run(&self, from: &mut dyn Read) -> Result<(ImageRecord, LeftOut), ArchiveError> {
        let made = self.make(from);
        if made.is_err() {
            // Nothing refers to what had its name already. The error that counts is the first.
            self.store.sweep(Which::Unreferenced).ok();
        }
        made
    }

    fn make(&self, from: &mut dyn Read) -> Result<(ImageRecord, LeftOut), ArchiveError> {
        let lease = self.store.lease()?;
        let spool = self.store.spool()?;
        let unreadable = |source| ArchiveError::Read { what: "the archive".to_owned(), source };
        let mut from = BufReader::with_capacity(BUFFER, from);
        check_compression(&mut from)?;
        let mut file = spool.begin(Algorithm::Sha256)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => file.write(&buffer[..read])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        let blob = file.finish();
        let stream = diff_id(spool.open(&blob)?, Limits::default().stream).map_err(unreadable)?;
        let head = BufReader::with_capacity(512, spool.open(&blob)?);
        let compression = Decompressor::new(head).map_err(unreadable)?.compression();
        let layer = ImageLayer {
            blob: blob.digest.clone(),
            size: blob.size,
            media_type: layer_of(compression).to_owned(),
            diff_id: stream,
        };
        lease.add([&layer.blob, &layer.diff_id])?;
        spool.publish(&[&blob])?;
        let left_out = match self.store.unpack(&layer.diff_id, Wait::Yes)? {
            Unpack::Write(writer) => unpack_blob(self.store, writer, &layer, &self.how)?,
            Unpack::Present(_) | Unpack::Busy => {
                verify_blob(self.store, &layer)?;
                LeftOut::default()
            }
        };
        let encoded = |error: serde_json::Error| super::refused("the configuration", error.to_string());
        let config = serde_json::to_vec(&self.config_of(&layer.diff_id)).map_err(encoded)?;
        let layers = vec![layer];
        let described = Descriptor::new(OCI_CONFIG, &Digest::of(&config), config.len() as u64);
        let bytes = serde_json::to_vec(&manifest(&layers, described)).map_err(encoded)?;
        lease.add([&Digest::of(&config), &Digest::of(&bytes)])?;
        let (config, manifest) = (self.store.put_blob(&config)?, self.store.put_blob(&bytes)?);
        let record = ImageRecord { manifest, config, layers, sources: Vec::new(), added: now() };
        Ok((self.store.put_image(record, self.name.as_slice())?, left_out))
    }

    fn config_of(&self, diff_id: &Digest) -> ImageConfig {
        let history = History {
            created: Some(self.created.clone()),
            comment: self.comment.clone(),
            ..History::default()
        };
        ImageConfig {
            created: Some(self.created.clone()),
            author: None,
            platform: self.platform.clone(),
            config: self.config.clone(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id.clone()] },
            history: vec![history],
        }
    }
}
