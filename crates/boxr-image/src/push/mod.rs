//! Giving an image to a registry: what it lacks is sent, several blobs side by side, and the manifest after them.
//!
//! The store keeps every blob as it came, so what is sent has the digests it had. Layers that came as plain tar streams, from
//! docker's archives and imports, are packed by gzip on their way, as docker and podman do; the registry's
//! manifest is then another than the store's, of the same configuration.

mod pack;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::digest::{Digest, Hasher};
use crate::oci::media_type::OCI_MANIFEST;
use crate::oci::{Descriptor, Document, LONGEST_MANIFEST};
use crate::pull::{Event, Progress};
use crate::reference::Reference;
use crate::registry::{Client, Content, Endpoint, RegistryError, Sent};
use crate::side_by_side::side_by_side;
use crate::store::{ImageIndex, ImageRecord, Spool, Store, StoreError};
use pack::Packed;

/// An image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest cannot be used.
    #[error("the manifest of image {} cannot be used: {reason}", image.short())]
    Manifest {
        /// The image.
        image: Digest,
        /// Why not.
        reason: String,
    },
    /// A layer cannot be packed.
    #[error("cannot pack layer {}: {source}", digest.short())]
    Pack {
        /// The layer's blob.
        digest: Digest,
        /// The system's reason.
        source: io::Error,
    },
    /// Another blob failed, and its error counts.
    #[error("the push was given up")]
    GivenUp,
}

/// What to push, and where to.
#[derive(Clone, Copy)]
pub struct Push<'a> {
    /// Where it is.
    pub store: &'a Store,
    /// To whom.
    pub client: &'a Client,
    /// What.
    pub image: &'a ImageRecord,
    /// The name that it is to have.
    pub reference: &'a Reference,
    /// Who hears of it.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for Push<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Push of {}", self.reference)
    }
}

/// An image that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of its manifest there.
    pub digest: Digest,
    /// The length of the manifest, in bytes.
    pub size: u64,
}

impl Push<'_> {
    /// Pushes it.
    ///
    /// # Errors
    /// The registry does not have it under this name afterwards, unless it did before.
    pub fn run(&self) -> Result<Pushed, PushError> {
        let record = self.image;
        let lease = self.store.lease()?;
        let layers = record.layers.iter().map(|layer| &layer.blob);
        lease.add(layers.chain([&record.manifest, &record.config]))?;
        let bytes = self.store.read_blob(&record.manifest, LONGEST_MANIFEST)?;
        let unusable = |reason: String| PushError::Manifest { image: record.config.clone(), reason };
        let manifest = match Document::parse(&bytes, None).map_err(|error| unusable(error.to_string()))? {
            Document::Manifest(manifest) => manifest,
            Document::Index(_) => return Err(unusable("it is an index".to_owned())),
        };
        let (spool, endpoint) = (self.store.spool()?, self.endpoint()?);
        let mut once: Vec<&Descriptor> = Vec::new();
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            if !once.iter().any(|known| known.digest == blob.digest) {
                once.push(blob);
            }
        }
        let given_up = Arc::new(AtomicBool::new(false));
        let work = Work { push: self, endpoint: &endpoint, spool: &spool, given_up: &given_up };
        let packed: Vec<Packed> =
            side_by_side(&once, &given_up, |blob| work.blob(blob))?.into_iter().flatten().collect();
        let bytes = pack::replace(bytes, &packed).map_err(|error| unusable(error.to_string()))?;
        let media_type = manifest.media_type.map_or_else(|| OCI_MANIFEST.to_owned(), |known| known.0);
        let digest = Digest::of(&bytes);
        self.client.send_manifest(&endpoint, &self.version(&digest), &media_type, &bytes)?;
        self.note(digest, bytes.len() as u64)
    }

    /// Pushes `index`, which the image is one of, with all that it names, as it is.
    ///
    /// # Errors
    /// As [`Push::run`].
    pub fn run_whole(&self, index: &ImageIndex) -> Result<Pushed, PushError> {
        let lease = self.store.lease()?;
        lease.add(index.content())?;
        let (spool, endpoint) = (self.store.spool()?, self.endpoint()?);
        let given_up = Arc::new(AtomicBool::new(false));
        let work = Work { push: self, endpoint: &endpoint, spool: &spool, given_up: &given_up };
        side_by_side(&index.blobs, &given_up, |blob| work.as_it_is(blob))?;
        let mut size = 0;
        for document in &index.documents {
            let bytes = self.store.read_blob(&document.digest, LONGEST_MANIFEST)?;
            size = bytes.len() as u64;
            // A registry may want what a document names before it.
            let version = match document.digest == index.digest {
                true => self.version(&document.digest),
                false => document.digest.to_string(),
            };
            self.client.send_manifest(&endpoint, &version, &document.media_type.0, &bytes)?;
        }
        self.note(index.digest.clone(), size)
    }

    /// What the registry is to call it.
    fn version(&self, digest: &Digest) -> String {
        match (self.reference.digest(), self.reference.tag()) {
            (Some(_), None) => digest.to_string(),
            (_, Some(tag)) => tag.to_owned(),
            (None, None) => self.reference.version(),
        }
    }

    /// Notes that the registry has it, unless it is known as part of an index only.
    fn note(&self, digest: Digest, size: u64) -> Result<Pushed, PushError> {
        let source = self.reference.with_digest(digest.clone());
        if self.store.image(&self.image.manifest)?.is_some() {
            self.store.put_image(ImageRecord { sources: vec![source], ..self.image.clone() }, &[])?;
        }
        Ok(Pushed { digest, size })
    }

    /// The registry itself: mirrors are for pulling.
    fn endpoint(&self) -> Result<Endpoint, RegistryError> {
        let options = self.client.options();
        let mut all = options.registries.endpoints(self.reference, options.tls_verify)?;
        all.pop().ok_or_else(|| RegistryError::Answer {
            url: self.reference.to_string(),
            reason: "no registry is named for it".to_owned(),
        })
    }

    /// Another repository of the registry that may have the image's layers.
    fn relative(&self) -> Option<&str> {
        let sources = self.image.sources.iter();
        let mut others = sources.filter(|source| {
            source.registry() == self.reference.registry()
                && source.repository() != self.reference.repository()
        });
        others.next().map(Reference::repository)
    }
}

struct Work<'a> {
    push: &'a Push<'a>,
    endpoint: &'a Endpoint,
    spool: &'a Spool<'a>,
    given_up: &'a Arc<AtomicBool>,
}

impl Work<'_> {
    /// Has the registry have a blob; what it was packed into, if it was.
    fn blob(&self, blob: &Descriptor) -> Result<Option<Packed>, PushError> {
        let Push { store, progress, .. } = *self.push;
        if !pack::is_plain(blob) {
            return self.as_it_is(blob).map(|()| None);
        }
        progress.layer(&blob.digest, Event::Packing);
        let (file, _) = store.open_blob(&blob.digest)?;
        let packed = pack::pack(self.spool, blob, file)?;
        let open = || self.spool.open(&packed.spooled);
        self.send(blob, &packed.spooled.digest, packed.spooled.size, &open)?;
        Ok(Some(packed))
    }

    fn as_it_is(&self, blob: &Descriptor) -> Result<(), PushError> {
        let open = || Ok(self.push.store.open_blob(&blob.digest)?.0);
        self.send(blob, &blob.digest, blob.size, &open)
    }

    fn send(
        &self,
        blob: &Descriptor,
        digest: &Digest,
        size: u64,
        file: &dyn Fn() -> Result<std::fs::File, StoreError>,
    ) -> Result<(), PushError> {
        let Push { client, progress, .. } = *self.push;
        if self.given_up.load(Relaxed) {
            return Err(PushError::GivenUp);
        }
        if client.has_blob(self.endpoint, digest)? {
            progress.layer(&blob.digest, Event::Present);
            return Ok(());
        }
        let failure = Failure::default();
        let open = |from| {
            if self.given_up.load(Relaxed) {
                // Not something that may pass.
                return Err(io::Error::other(PushError::GivenUp));
            }
            let mut file = file().map_err(|error| failure.set(error))?;
            file.seek(SeekFrom::Start(from))?;
            let hasher = (from == 0).then(|| Hasher::new(digest.algorithm()));
            let given_up = self.given_up.as_ref();
            let known = (&blob.digest, digest);
            Ok(Box::new(Sending {
                file,
                hasher,
                done: from,
                size,
                known,
                given_up,
                progress,
                failure: &failure,
            }) as Box<dyn Read>)
        };
        let content = Content { digest, size, open: &open };
        match client.send_blob(self.endpoint, content, self.push.relative()) {
            Ok(Sent::Mounted) => progress.layer(&blob.digest, Event::Mounted),
            Ok(Sent::Sent) => progress.layer(&blob.digest, Event::Done),
            Err(_) if self.given_up.load(Relaxed) => return Err(PushError::GivenUp),
            // What the registry makes of half a blob is not what happened.
            Err(error) => return Err(failure.take().map_or(error.into(), PushError::Store)),
        }
        Ok(())
    }
}

/// Why a blob could not be read to its end.
#[derive(Default)]
struct Failure(Mutex<Option<StoreError>>);

impl Failure {
    /// Remembers it, and gives what is told to those who only read.
    fn set(&self, error: StoreError) -> io::Error {
        let told = io::Error::other(error.to_string());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        told
    }

    fn take(&self) -> Option<StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A blob on its way: told of, verified, and ended when the push is given up.
struct Sending<'a> {
    file: std::fs::File,
    /// Missing when it does not begin at the beginning.
    hasher: Option<Hasher>,
    done: u64,
    size: u64,
    /// What it is called to the user, and what it is.
    known: (&'a Digest, &'a Digest),
    given_up: &'a AtomicBool,
    progress: &'a dyn Progress,
    failure: &'a Failure,
}

impl Read for Sending<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given_up.load(Relaxed) {
            return Err(io::Error::other(PushError::GivenUp));
        }
        let read = self.file.read(buffer)?;
        self.done += read as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        if self.done == self.size
            && read > 0
            && let Some(found) = self.hasher.take().map(Hasher::finish)
            && found != *self.known.1
        {
            let expected = self.known.1.clone();
            return Err(self.failure.set(StoreError::WrongDigest { what: "a blob", expected, found }));
        }
        self.progress.layer(self.known.0, Event::Sending { done: self.done, total: self.size });
        Ok(read)
    }
}
