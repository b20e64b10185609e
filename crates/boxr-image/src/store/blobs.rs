//! Content by its digest.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::files::append;
use super::lock::{Wait, lock_file};
use super::{Store, StoreError};
use crate::digest::{Digest, Hasher};

/// What came of asking to fetch a blob.
#[derive(Debug)]
pub enum Ingest<'s> {
    /// It is here.
    Present,
    /// It is to be written; others who want it wait.
    Write(BlobWriter<'s>),
    /// Somebody else is writing it, and this call was not to wait.
    Busy,
}

/// A blob being written. Dropped before [`BlobWriter::commit`], what was written stays for the next one,
/// who reads it back and goes on from there.
#[derive(Debug)]
pub struct BlobWriter<'s> {
    store: &'s Store,
    digest: Digest,
    /// What was said of its length, in bytes.
    size: u64,
    file: File,
    hasher: Hasher,
    /// Bytes written or read back and hashed: where the file's position is.
    position: u64,
    /// Bytes in the file from an earlier attempt.
    left: u64,
}

pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

pub(super) fn ingest_path(digest: &Digest) -> String {
    format!("ingest/{}", digest.file_name())
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

impl Store {
    /// Whether the blob is here. Put it on a [`super::Lease`] first.
    ///
    /// # Errors
    /// The store cannot be looked at.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.root.exists(&blob_path(digest))
    }

    /// Opens a blob and gives its length in bytes. Its contents are not verified again.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or it cannot be opened.
    pub fn open_blob(&self, digest: &Digest) -> Result<(File, u64), StoreError> {
        let found = self.root.open_file(&blob_path(digest))?;
        found.ok_or_else(|| StoreError::Missing(digest.clone()))
    }

    /// Reads a blob of at most `limit` bytes whole, and verifies it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::TooLarge`], [`StoreError::WrongDigest`], or it cannot be read.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let (file, size) = self.open_blob(digest)?;
        if size > limit {
            return Err(StoreError::TooLarge { digest: digest.clone(), size, limit });
        }
        let mut bytes = Vec::new();
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| self.root.error("read", &blob_path(digest), errno(&error)))?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let found = hasher.finish();
        if found != *digest {
            return Err(StoreError::WrongDigest { what: "a blob", expected: digest.clone(), found });
        }
        Ok(bytes)
    }

    /// Writes small content that is at hand, and gives its digest.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        self.put_blob_as(&digest, bytes)?;
        Ok(digest)
    }

    /// Writes small content that is at hand and has this digest.
    ///
    /// # Errors
    /// It has another, or cannot be written.
    pub fn put_blob_as(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if let Ingest::Write(mut writer) = self.ingest(digest, bytes.len() as u64, Wait::Yes)? {
            writer.restart()?;
            writer.write(bytes)?;
            writer.commit()?;
        }
        Ok(())
    }

    /// Asks to write the blob `digest`, of which it was said that it has `size` bytes.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn ingest(&self, digest: &Digest, size: u64, wait: Wait) -> Result<Ingest<'_>, StoreError> {
        if self.has_blob(digest)? {
            return Ok(Ingest::Present);
        }
        let Some(writer) = self.writer(digest, size, wait)? else { return Ok(Ingest::Busy) };
        if self.has_blob(digest)? {
            // Whoever had the lock before was writing it.
            self.root.remove_file(&ingest_path(digest))?;
            return Ok(Ingest::Present);
        }
        Ok(Ingest::Write(writer))
    }

    /// Asks to write a blob that is here and damaged; it is replaced when the writer commits.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn replace_blob(&self, digest: &Digest, size: u64) -> Result<BlobWriter<'_>, StoreError> {
        let writer = self.writer(digest, size, Wait::Yes)?;
        writer.ok_or_else(|| self.root.error("lock", &ingest_path(digest), Errno::WOULDBLOCK))
    }

    fn writer(&self, digest: &Digest, size: u64, wait: Wait) -> Result<Option<BlobWriter<'_>>, StoreError> {
        let path = ingest_path(digest);
        let Some(fd) = lock_file(&self.root, &path, wait)? else { return Ok(None) };
        let file = File::from(fd);
        let left = file.metadata().map_err(|error| self.root.error("look at", &path, errno(&error)))?.len();
        let hasher = Hasher::new(digest.algorithm());
        let mut writer =
            BlobWriter { store: self, digest: digest.clone(), size, file, hasher, position: 0, left };
        if left > size {
            writer.restart()?;
        }
        Ok(Some(writer))
    }
}

impl BlobWriter<'_> {
    /// Which blob.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What was said of its length, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes are still to be read back by [`BlobWriter::read_back`].
    pub fn left(&self) -> u64 {
        self.left - self.position.min(self.left)
    }

    /// How many bytes were read back or written.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads on in what an earlier attempt has left; 0 at its end. Whoever does not want it calls
    /// [`BlobWriter::restart`]. It is verified with the rest, when all is there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_back(&mut self, buffer: &mut [u8]) -> Result<usize, StoreError> {
        let most = usize::try_from(self.left()).unwrap_or(usize::MAX).min(buffer.len());
        let read = rustix::io::retry_on_intr(|| rustix::io::read(self.file.as_fd(), &mut buffer[..most]))
            .map_err(|errno| self.error("read", errno))?;
        if read == 0 {
            // Shorter than it was: somebody else has cut it.
            self.left = self.position;
        }
        self.hasher.update(&buffer[..read]);
        self.position += read as u64;
        Ok(read)
    }

    /// Throws away what was written so far.
    ///
    /// # Errors
    /// The file cannot be emptied.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        self.hasher = Hasher::new(self.digest.algorithm());
        (self.position, self.left) = (0, 0);
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map(drop).map_err(|error| self.error("empty", errno(&error)))
    }

    /// Adds to what was read back and written.
    ///
    /// # Errors
    /// [`StoreError::WrongSize`] for more than was said; it cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let position = self.position + bytes.len() as u64;
        if position > self.size {
            return Err(self.wrong_size(position));
        }
        append(&mut self.file, &ingest_path(&self.digest), bytes)
            .map_err(|errno| self.error("write", errno))?;
        self.store.flusher.wrote(bytes.len());
        self.hasher.update(bytes);
        (self.position, self.left) = (position, 0);
        Ok(())
    }

    /// Verifies the whole, makes it last, and gives it its name.
    ///
    /// # Errors
    /// [`StoreError::WrongSize`], [`StoreError::WrongDigest`]: nothing of it is kept. It cannot be written.
    pub fn commit(mut self) -> Result<(), StoreError> {
        self.verify()?;
        self.store.flusher.flush(&self.store.root)?;
        self.publish()
    }

    /// Verifies the whole.
    ///
    /// # Errors
    /// [`StoreError::WrongSize`], [`StoreError::WrongDigest`]: nothing of it is kept.
    pub fn verify(&mut self) -> Result<(), StoreError> {
        if self.position != self.size {
            return Err(self.wrong_size(self.position));
        }
        let found = self.hasher.clone().finish();
        if found != self.digest {
            self.restart()?;
            return Err(StoreError::WrongDigest { what: "a blob", expected: self.digest.clone(), found });
        }
        Ok(())
    }

    /// Gives it its name, once it is verified and lasts.
    pub(super) fn publish(self) -> Result<(), StoreError> {
        self.store.root.rename(&ingest_path(&self.digest), &blob_path(&self.digest))
    }

    fn wrong_size(&self, found: u64) -> StoreError {
        StoreError::WrongSize { digest: self.digest.clone(), expected: self.size, found }
    }

    fn error(&self, action: &'static str, errno: Errno) -> StoreError {
        self.store.root.error(action, &ingest_path(&self.digest), errno)
    }
}

impl Store {
    /// All blobs.
    pub(super) fn blobs(&self) -> Result<Vec<Digest>, StoreError> {
        let mut all = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let names = self.root.names(&format!("blobs/{algorithm}"))?;
            all.extend(names.iter().filter_map(|hex| format!("{algorithm}:{hex}").parse::<Digest>().ok()));
        }
        Ok(all)
    }

    pub(super) fn remove_blob(&self, digest: &Digest) -> Result<(), StoreError> {
        self.root.remove_file(&blob_path(digest))
    }
}
