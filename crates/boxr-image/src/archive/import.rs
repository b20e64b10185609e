//! Files that become an image: a root filesystem that becomes one of a single layer, or changes that become a
//! layer upon those of another.

use std::io::{self, BufReader, Read, Write};

use super::ArchiveError;
use super::contents::check_compression;
use super::docker::manifest;
use crate::digest::{Algorithm, Digest};
use crate::oci::media_type::layer_of;
use crate::oci::{Config, Descriptor, History, ImageConfig, ManifestForm, Platform, RootFs};
use crate::pull::{now, unpack_blob, verify_blob};
use crate::reference::Reference;
use crate::store::{ImageLayer, ImageRecord, SpoolWriter, Store, StoreError, Unpack, Wait, Which};
use crate::unpack::{Decompressor, How, LeftOut, Limits, diff_id};

/// Bytes that go through at once.
const BUFFER: usize = 128 * 1024;

/// The image that a new one is built upon.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its layers.
    pub record: ImageRecord,
    /// How it was made.
    pub config: ImageConfig,
}

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
    /// What lies below the new layer.
    pub base: Option<Base>,
    /// Who made it.
    pub author: Option<String>,
    /// By what command the new layer was made.
    pub created_by: String,
    /// What is noted about it.
    pub comment: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Whose words its manifest is in.
    pub form: ManifestForm,
    /// Its name, if it has one.
    pub name: Option<Reference>,
}

impl Import<'_> {
    /// Makes an image of the archive `from`, compressed or not. The layer's blob is what came.
    ///
    /// # Errors
    /// There is no such image afterwards.
    pub fn run(&self, from: &mut dyn Read) -> Result<(ImageRecord, LeftOut), ArchiveError> {
        let mut from = BufReader::with_capacity(BUFFER, from);
        check_compression(&mut from)?;
        self.run_with(|to| copy(&mut from, to))
    }

    /// The same of a layer that `write` writes.
    ///
    /// # Errors
    /// There is no such image afterwards.
    pub fn run_with(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), ArchiveError>,
    ) -> Result<(ImageRecord, LeftOut), ArchiveError> {
        let made = self.make(write);
        if made.is_err() {
            // Nothing refers to what had its name already. The error that counts is the first.
            self.store.sweep(Which::Unreferenced).ok();
        }
        made
    }

    fn make(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), ArchiveError>,
    ) -> Result<(ImageRecord, LeftOut), ArchiveError> {
        let lease = self.store.lease()?;
        let spool = self.store.spool()?;
        let mut file = Spooling { file: spool.begin(Algorithm::Sha256)?, error: None };
        let written = write(&mut file);
        // What the store says is the cause of what the writer says.
        match (file.error, written) {
            (Some(error), _) => return Err(error.into()),
            (None, written) => written?,
        }
        let blob = file.file.finish();
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
        let mut layers = self.base.as_ref().map(|base| base.record.layers.clone()).unwrap_or_default();
        lease.add(layers.iter().flat_map(|layer| [&layer.blob, &layer.diff_id]))?;
        layers.push(layer);
        let described = Descriptor::new(self.form.config(), &Digest::of(&config), config.len() as u64);
        let bytes = serde_json::to_vec(&manifest(&layers, described, self.form)).map_err(encoded)?;
        lease.add([&Digest::of(&config), &Digest::of(&bytes)])?;
        let (config, manifest) = (self.store.put_blob(&config)?, self.store.put_blob(&bytes)?);
        let record =
            ImageRecord { manifest, config, layers, sources: Vec::new(), indexes: Vec::new(), added: now() };
        Ok((self.store.put_image(record, self.name.as_slice())?, left_out))
    }

    fn config_of(&self, diff_id: &Digest) -> ImageConfig {
        let base = self.base.as_ref().map(|base| &base.config);
        let mut history = base.map(|base| base.history.clone()).unwrap_or_default();
        history.push(History {
            created: Some(self.created.clone()),
            created_by: self.created_by.clone(),
            author: self.author.clone().unwrap_or_default(),
            comment: self.comment.clone(),
            ..History::default()
        });
        let mut diff_ids = base.map(|base| base.rootfs.diff_ids.clone()).unwrap_or_default();
        diff_ids.push(diff_id.clone());
        ImageConfig {
            created: Some(self.created.clone()),
            author: self.author.clone(),
            platform: self.platform.clone(),
            config: self.config.clone(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids },
            history,
        }
    }
}

fn unreadable(source: io::Error) -> ArchiveError {
    ArchiveError::Read { what: "the archive".to_owned(), source }
}

/// Moves all of it. What cannot be read is told from what cannot be written.
fn copy(from: &mut dyn Read, to: &mut dyn Write) -> Result<(), ArchiveError> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(&buffer[..read]).map_err(ArchiveError::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
}

/// A file of the store's as a [`Write`], which knows no errors of the store.
struct Spooling<'s> {
    file: SpoolWriter<'s>,
    error: Option<StoreError>,
}

impl Write for Spooling<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                let told = io::Error::other(error.to_string());
                self.error = Some(error);
                Err(told)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
