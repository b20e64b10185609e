//! What refers to content: images and their names.

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{ImageIndex, Store, StoreError};
use crate::digest::Digest;
use crate::link;
use crate::reference::Reference;

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLayer {
    /// The blob as it came.
    pub blob: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What the blob is, as manifests say.
    pub media_type: String,
    /// The digest of the tar stream in it.
    pub diff_id: Digest,
}

/// An image that is here whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The blob of its manifest.
    pub manifest: Digest,
    /// The blob of its configuration; its digest is the id that people see.
    pub config: Digest,
    /// Its layers, the lowest first.
    pub layers: Vec<ImageLayer>,
    /// The names with a digest under which registries gave it out.
    #[serde(default)]
    pub sources: Vec<Reference>,
    /// Indexes that it is one of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<ImageIndex>,
    /// When it came, nanoseconds since 1970 UTC.
    pub added: i64,
}

/// A name and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The name, with a tag and without a digest.
    pub reference: Reference,
    /// The image, by the digest of its manifest.
    pub image: Digest,
}

fn image_path(manifest: &Digest) -> String {
    format!("images/{}", manifest.file_name())
}

fn name_path(reference: &Reference) -> String {
    // A name may be longer than a file's.
    format!("names/{}", Digest::of(reference.to_string().as_bytes()).hex())
}

fn hold_path(holder: &str) -> String {
    format!("holds/{holder}")
}

/// The file that says that `holder` uses an image of the store at `store`. Removing it ends that.
pub fn hold_file(store: &std::path::Path, holder: &str) -> std::path::PathBuf {
    store.join(hold_path(holder))
}

impl Store {
    /// Notes an image all of whose content is here, and gives it names. An image that is known gets
    /// the names and sources besides those it has; a name that another image has is taken from it.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when content is not here; a record cannot be read or written.
    pub fn put_image(&self, mut image: ImageRecord, names: &[Reference]) -> Result<ImageRecord, StoreError> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        self.check_content(&image)?;
        for dir in ["blobs/sha256", "blobs/sha512", "layers"] {
            self.root.sync_dir(dir)?;
        }
        if let Some(known) = self.image(&image.manifest)? {
            image.keep_indexes(known.indexes);
            let more = known.sources.into_iter().filter(|source| !image.sources.contains(source));
            image.sources.splice(0..0, more.collect::<Vec<_>>());
            image.added = known.added;
        }
        self.write_json(&image_path(&image.manifest), &image)?;
        for reference in names {
            self.put_name(reference, &image.manifest)?;
        }
        Ok(image)
    }

    fn check_content(&self, image: &ImageRecord) -> Result<(), StoreError> {
        for digest in image.blobs() {
            if !self.has_blob(digest)? {
                return Err(StoreError::Missing(digest.clone()));
            }
        }
        for layer in &image.layers {
            if self.layer(&layer.diff_id)?.is_none() {
                return Err(StoreError::Missing(layer.diff_id.clone()));
            }
        }
        Ok(())
    }

    /// Gives an image that is here another name.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the image is not here; the name cannot be written.
    pub fn tag(&self, reference: &Reference, manifest: &Digest) -> Result<(), StoreError> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        if self.image(manifest)?.is_none() {
            return Err(StoreError::Missing(manifest.clone()));
        }
        self.put_name(reference, manifest)
    }

    fn put_name(&self, reference: &Reference, manifest: &Digest) -> Result<(), StoreError> {
        let name = Name { reference: reference.clone(), image: manifest.clone() };
        self.write_json(&name_path(reference), &name)
    }

    /// Takes a name away; false when there was none. The image stays.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn untag(&self, reference: &Reference) -> Result<bool, StoreError> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        let path = name_path(reference);
        let was_there = self.root.exists(&path)?;
        self.root.remove_file(&path)?;
        Ok(was_there)
    }

    /// Forgets an image and its names, unless somebody holds it: then who is given, and nothing was done.
    /// Its content goes with the next sweep.
    ///
    /// # Errors
    /// A record cannot be read or removed.
    pub fn forget_image(&self, manifest: &Digest) -> Result<Option<String>, StoreError> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        if let Some((holder, _)) = self.holds()?.into_iter().find(|(_, held)| held == manifest) {
            return Ok(Some(holder));
        }
        for name in self.names()?.iter().filter(|name| name.image == *manifest) {
            self.root.remove_file(&name_path(&name.reference))?;
        }
        self.root.remove_file(&image_path(manifest))?;
        Ok(None)
    }

    /// The image with this manifest; `None` when it is not here.
    ///
    /// # Errors
    /// Its record cannot be read or understood.
    pub fn image(&self, manifest: &Digest) -> Result<Option<ImageRecord>, StoreError> {
        self.read_json(&image_path(manifest))
    }

    /// All images, in the order of their manifests' digests.
    ///
    /// # Errors
    /// A record cannot be read or understood.
    pub fn images(&self) -> Result<Vec<ImageRecord>, StoreError> {
        self.read_all("images")
    }

    /// The image that this name stands for; `None` when it stands for none.
    ///
    /// # Errors
    /// A record cannot be read or understood.
    pub fn named(&self, reference: &Reference) -> Result<Option<ImageRecord>, StoreError> {
        let name: Option<Name> = self.read_json(&name_path(reference))?;
        name.map_or(Ok(None), |name| self.image(&name.image))
    }

    /// All names, in no particular order.
    ///
    /// # Errors
    /// A record cannot be read or understood.
    pub fn names(&self) -> Result<Vec<Name>, StoreError> {
        self.read_all("names")
    }

    /// Keeps an image for as long as `holder`, a container's id, needs it. The hold is a symbolic link, so that it
    /// is whole at once and takes no block of the disk ([`link`]), and is not waited for: a container that the power failed has gone with it, or is
    /// written later.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the image is not here; the hold cannot be written; `EINVAL` when
    /// `holder` is no name for a file.
    pub fn hold(&self, holder: &str, manifest: &Digest) -> Result<(), StoreError> {
        let path = hold_path(holder);
        if holder.is_empty() || !holder.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(self.root.error("write", &path, Errno::INVAL));
        }
        // Whoever forgets an image has it exclusively.
        let _lock = self.lock(FlockOperation::LockShared)?;
        if self.root.identity(&image_path(manifest))?.is_none() {
            return Err(StoreError::Missing(manifest.clone()));
        }
        if self.holder_of(holder)?.as_ref() == Some(manifest) {
            return Ok(());
        }
        self.root.remove_file(&path)?;
        self.root.make_link(&link::shortened(&manifest.to_string()), &path)
    }

    /// Ends what [`Store::hold`] began; one that never began has ended.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn release(&self, holder: &str) -> Result<(), StoreError> {
        self.root.remove_file(&hold_path(holder))
    }

    /// Who holds which image.
    ///
    /// # Errors
    /// A hold cannot be read.
    pub fn holds(&self) -> Result<Vec<(String, Digest)>, StoreError> {
        let mut all = Vec::new();
        for holder in self.record_names("holds")? {
            if let Some(manifest) = self.holder_of(&holder)? {
                all.push((holder, manifest));
            }
        }
        Ok(all)
    }

    /// The image that `holder` holds.
    fn holder_of(&self, holder: &str) -> Result<Option<Digest>, StoreError> {
        let path = hold_path(holder);
        match self.root.read_link(&path) {
            Ok(target) => Ok(target.and_then(|target| link::whole(&target).parse().ok())),
            // Of a boxr that wrote files.
            Err(StoreError::System { errno: Errno::INVAL, .. }) => self.read_json(&path),
            Err(error) => Err(error),
        }
    }

    /// The names of the records in a directory, without those that are being written.
    pub(super) fn record_names(&self, dir: &str) -> Result<Vec<String>, StoreError> {
        let mut names = self.root.names(dir)?;
        names.retain(|name| !name.ends_with(".new"));
        Ok(names)
    }

    fn read_all<T: DeserializeOwned>(&self, dir: &str) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        for name in self.record_names(dir)? {
            // One that has gone meanwhile is none.
            all.extend(self.read_json(&format!("{dir}/{name}"))?);
        }
        Ok(all)
    }

    pub(super) fn read_json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.root.read(path)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Some).map_err(|reason| StoreError::Damaged { path: self.root.path(path), reason })
    }

    /// The images whose records can be read.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn readable_images(&self) -> Result<Vec<ImageRecord>, StoreError> {
        let mut all = Vec::new();
        for name in self.record_names("images")? {
            all.extend(self.read_json(&format!("images/{name}")).ok().flatten());
        }
        Ok(all)
    }

    /// Writes a file that nobody looks for yet; whoever calls this makes it last.
    pub(super) fn write_unsynced(&self, path: &str, value: &impl Serialize) -> Result<(), StoreError> {
        self.root.write_new(path, &self.encode(path, value)?)
    }

    pub(super) fn write_json(&self, path: &str, value: &impl Serialize) -> Result<(), StoreError> {
        self.root.write_whole(path, &self.encode(path, value)?)
    }

    fn encode(&self, path: &str, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        let encoded = serde_json::to_vec(value);
        encoded.map_err(|reason| StoreError::Encode { path: self.root.path(path), reason })
    }
}
