//! Putting images into an archive.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;

use super::layout::{self, blob_name};
use super::{ArchiveError, docker};
use crate::digest::{Digest, Hasher};
use crate::oci::media_type::OCI_INDEX;
use crate::oci::{Descriptor, Document, Index, LONGEST_CONFIG, LONGEST_MANIFEST, MediaType, Platforms};
use crate::reference::Reference;
use crate::store::{ImageIndex, ImageLayer, ImageRecord, Store, StoreError};
use crate::tar::{Entry, Kind, Writer};
use crate::unpack::Decompressor;

/// Bytes that go through at once.
const BUFFER: usize = 128 * 1024;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What `docker load` takes, of whatever age: layers as tar streams and a `manifest.json`.
    Docker,
    /// An OCI layout: manifests and layers as they came; with docker's `manifest.json`, as docker itself adds it.
    Oci,
}

/// Which images are saved, and how.
#[derive(Clone, Debug)]
pub struct Save<'a> {
    /// Where they are.
    pub store: &'a Store,
    /// They, and the names that they are to have in the archive.
    pub images: Vec<(ImageRecord, Vec<Reference>)>,
    /// What is written.
    pub format: Format,
    /// Whether those of other platforms are written, too, with their index: OCI layouts alone have room for them.
    pub platforms: Platforms,
}

/// Takes the files of an archive.
pub trait Sink {
    /// Takes a file of `size` bytes.
    ///
    /// # Errors
    /// It cannot be read or written.
    fn add(&mut self, name: &str, size: u64, from: &mut dyn Read) -> io::Result<()>;
}

/// An archive.
#[derive(Debug)]
pub struct Tar<W> {
    writer: Writer<W>,
    /// Directories that have an entry: skopeo, as an ordinary user, cannot make those that have none.
    dirs: HashSet<String>,
}

impl<W: Write> Tar<W> {
    /// At its beginning.
    pub fn new(to: W) -> Self {
        Self { writer: Writer::new(to), dirs: HashSet::new() }
    }

    /// Ends it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<W, ArchiveError> {
        self.writer.finish().map_err(ArchiveError::Write)
    }
}

impl<W: Write> Sink for Tar<W> {
    fn add(&mut self, name: &str, size: u64, from: &mut dyn Read) -> io::Result<()> {
        for (slash, _) in name.match_indices('/') {
            let dir = &name[..slash];
            if self.dirs.insert(dir.to_owned()) {
                self.writer.append(&Entry::new(Kind::Directory, dir, 0o755), io::empty())?;
            }
        }
        self.writer.append(&Entry { size, ..Entry::new(Kind::File, name, 0o644) }, from)
    }
}

/// A directory, which is there and empty.
#[derive(Clone, Debug)]
pub struct Directory(pub PathBuf);

impl Sink for Directory {
    fn add(&mut self, name: &str, _: u64, from: &mut dyn Read) -> io::Result<()> {
        let path = self.0.join(name);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        io::copy(from, &mut File::create_new(path)?).map(drop)
    }
}

impl Save<'_> {
    /// Writes all images to `sink`.
    ///
    /// # Errors
    /// Something is missing or damaged, or cannot be written; what was written then is of no use.
    pub fn run(&self, sink: &mut dyn Sink) -> Result<(), ArchiveError> {
        let lease = self.store.lease()?;
        let layers = self.images.iter().flat_map(|(image, _)| &image.layers).map(|layer| &layer.blob);
        let documents = self.images.iter().flat_map(|(image, _)| [&image.manifest, &image.config]);
        let indexes = self.images.iter().flat_map(|image| self.indexes(image));
        lease.add(layers.chain(documents).chain(indexes.flat_map(|(_, index)| index.content())))?;
        match self.format {
            Format::Docker => self.docker(sink),
            Format::Oci => self.layout(sink),
        }
    }

    /// The indexes that are written for an image, by its names.
    fn indexes<'r>(
        &self,
        (image, names): &'r (ImageRecord, Vec<Reference>),
    ) -> Vec<(Option<&'r Reference>, &'r ImageIndex)> {
        let mut all: Vec<Option<&Reference>> = names.iter().map(Some).collect();
        if all.is_empty() {
            all.push(None);
        }
        all.retain(|_| self.platforms == Platforms::All);
        all.into_iter().filter_map(|name| Some((name, image.index(name)?))).collect()
    }

    fn docker(&self, sink: &mut dyn Sink) -> Result<(), ArchiveError> {
        let layer_name = |diff_id: &Digest| format!("{}.tar", diff_id.hex());
        let config_name = |config: &Digest| format!("{}.json", config.hex());
        self.docker_manifest(sink, config_name, |layer| layer_name(&layer.diff_id))?;
        let mut written = HashSet::new();
        for (image, _) in &self.images {
            if written.insert(&image.config) {
                let config = self.store.read_blob(&image.config, LONGEST_CONFIG)?;
                add_bytes(sink, &format!("{}.json", image.config.hex()), &config)?;
            }
            for layer in &image.layers {
                if written.insert(&layer.diff_id) {
                    self.stream(sink, &layer_name(&layer.diff_id), layer)?;
                }
            }
        }
        Ok(())
    }

    /// What docker looks for, whose versions before 25 know nothing of OCI layouts.
    fn docker_manifest(
        &self,
        sink: &mut dyn Sink,
        config: impl Fn(&Digest) -> String,
        layer: impl Fn(&ImageLayer) -> String,
    ) -> Result<(), ArchiveError> {
        let images = self.images.iter().map(|(image, names)| docker::Image {
            config: config(&image.config),
            repo_tags: (!names.is_empty()).then(|| names.iter().map(Reference::familiar).collect()),
            layers: Some(image.layers.iter().map(&layer).collect()),
        });
        add_json(sink, docker::MANIFEST, &images.collect::<Vec<_>>())
    }

    /// A layer's tar stream, whatever it is packed in.
    fn stream(&self, sink: &mut dyn Sink, name: &str, layer: &ImageLayer) -> Result<(), ArchiveError> {
        let open = || -> Result<_, ArchiveError> {
            let (file, _) = self.store.open_blob(&layer.blob)?;
            let stream = Decompressor::new(BufReader::with_capacity(BUFFER, file));
            stream.map_err(|source| ArchiveError::Read { what: layer.blob.to_string(), source })
        };
        let known = self.store.layer(&layer.diff_id)?.map_or(0, |known| known.info.stream);
        let size = match known {
            // A layer that an earlier boxr has unpacked.
            0 => io::copy(&mut open()?, &mut io::sink())
                .map_err(|source| ArchiveError::Read { what: layer.blob.to_string(), source })?,
            known => known,
        };
        add_verified(sink, name, size, open()?, &layer.diff_id)
    }

    fn layout(&self, sink: &mut dyn Sink) -> Result<(), ArchiveError> {
        add_bytes(sink, layout::MARK, layout::VERSION)?;
        let (mut index, mut manifests) = (Vec::new(), Vec::new());
        for saved @ (image, names) in &self.images {
            let indexes = self.indexes(saved);
            if !indexes.is_empty() {
                index.extend(indexes.iter().filter_map(|(name, whole)| layout::describe_index(whole, *name)));
                manifests.push(self.store.read_blob(&image.manifest, LONGEST_MANIFEST)?);
                continue;
            }
            let bytes = self.store.read_blob(&image.manifest, LONGEST_MANIFEST)?;
            let failed = |source| ArchiveError::Document { name: image.manifest.to_string(), source };
            let manifest = match Document::parse(&bytes, None).map_err(failed)? {
                Document::Manifest(manifest) => layout::of_oci(bytes, manifest)?,
                Document::Index(_) => bytes,
            };
            let mut entries: Vec<Descriptor> =
                names.iter().map(|name| layout::describe(&manifest, Some(name))).collect();
            if entries.is_empty() {
                entries.push(layout::describe(&manifest, None));
            }
            index.extend(entries);
            manifests.push(manifest);
        }
        let media_type = Some(MediaType(OCI_INDEX.to_owned()));
        let index =
            Index { schema_version: 2, media_type, manifests: index, annotations: Default::default() };
        add_json(sink, layout::INDEX, &index)?;
        self.docker_manifest(sink, blob_name, |layer| blob_name(&layer.blob))?;
        let mut written = HashSet::new();
        for ((image, _), manifest) in self.images.iter().zip(&manifests) {
            let digest = Digest::of(manifest);
            if written.insert(digest.clone()) {
                add_bytes(sink, &blob_name(&digest), manifest)?;
            }
            for blob in image.layers.iter().map(|layer| &layer.blob).chain([&image.config]) {
                if written.insert(blob.clone()) {
                    self.blob(sink, blob)?;
                }
            }
        }
        let indexes = self.images.iter().flat_map(|image| self.indexes(image));
        for blob in indexes.flat_map(|(_, index)| index.content()) {
            if written.insert(blob.clone()) {
                self.blob(sink, blob)?;
            }
        }
        Ok(())
    }

    fn blob(&self, sink: &mut dyn Sink, blob: &Digest) -> Result<(), ArchiveError> {
        let (file, size) = self.store.open_blob(blob)?;
        add_verified(sink, &blob_name(blob), size, file, blob)
    }
}

fn add_json(sink: &mut dyn Sink, name: &str, value: &impl serde::Serialize) -> Result<(), ArchiveError> {
    let bytes = serde_json::to_vec(value).map_err(|error| super::refused(name, error.to_string()))?;
    add_bytes(sink, name, &bytes)
}

fn add_bytes(sink: &mut dyn Sink, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
    sink.add(name, bytes.len() as u64, &mut &bytes[..]).map_err(ArchiveError::Write)
}

/// Adds what has this digest, or fails.
fn add_verified(
    sink: &mut dyn Sink,
    name: &str,
    size: u64,
    from: impl Read,
    expected: &Digest,
) -> Result<(), ArchiveError> {
    let mut from = Verified { from, hasher: Hasher::new(expected.algorithm()), failure: None };
    let added = sink.add(name, size, &mut from);
    if let Some(source) = from.failure {
        return Err(ArchiveError::Read { what: expected.to_string(), source });
    }
    let found = from.hasher.finish();
    match added {
        // It ended early, so it is not what was measured.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(ArchiveError::Write(error)),
        _ if found != *expected => {
            Err(StoreError::WrongDigest { what: "a layer", expected: expected.clone(), found }.into())
        }
        added => added.map_err(ArchiveError::Write),
    }
}

/// Hashes what is read through it, and remembers why it could not be read.
struct Verified<R> {
    from: R,
    hasher: Hasher,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.from.read(buffer) {
            Ok(read) => {
                self.hasher.update(&buffer[..read]);
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.failure = Some(error);
                Err(told)
            }
        }
    }
}
