//! Looking whether all is as it should be.

use std::path::PathBuf;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::sweep::read_through;
use super::{ImageRecord, Name, Store, StoreError};
use crate::digest::{Digest, Hasher};
use crate::pull::Aspect;

/// A thing in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Content as it came.
    Blob(Digest),
    /// A layer unpacked.
    Layer(Digest),
    /// The record of an image.
    Image(String),
    /// The record of a name.
    Name(String),
}

/// What is wrong with it.
#[derive(Debug)]
pub enum Problem {
    /// An image needs it and it is not here.
    Missing,
    /// Its contents have another digest.
    WrongDigest(Digest),
    /// It cannot be read or understood.
    Unreadable(StoreError),
    /// A file of it is not what the layer says, in this.
    Changed(PathBuf, Aspect),
    /// A name stands for an image that is not here.
    Dangling(Digest),
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Finding {
    /// Which thing.
    pub item: Item,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Store {
    /// Reads every blob and every record. What is wrong is given to `report`; `progress` hears of
    /// every blob's bytes. Operations may run meanwhile; what they remove is not missed.
    ///
    /// # Errors
    /// The store itself cannot be read.
    pub fn verify(
        &self,
        mut progress: impl FnMut(u64),
        mut report: impl FnMut(Finding),
    ) -> Result<(), StoreError> {
        // Nothing is swept while this goes on.
        let _lock = self.lock(FlockOperation::LockShared)?;
        for digest in self.blobs()? {
            match self.digest_of_blob(&digest, &mut progress) {
                Ok(found) if found == digest => {}
                Ok(found) => {
                    report(Finding { item: Item::Blob(digest), problem: Problem::WrongDigest(found) });
                }
                Err(error) => {
                    report(Finding { item: Item::Blob(digest), problem: Problem::Unreadable(error) });
                }
            }
        }
        self.verify_images(&mut report)?;
        self.verify_names(&mut report)
    }

    fn digest_of_blob(&self, digest: &Digest, progress: &mut impl FnMut(u64)) -> Result<Digest, StoreError> {
        let (file, _) = self.open_blob(digest)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let read = read_through(file, |bytes| {
            hasher.update(bytes);
            progress(bytes.len() as u64);
        });
        match read {
            Ok(_) => Ok(hasher.finish()),
            Err(error) => {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                Err(self.root.error("read", digest.hex(), errno))
            }
        }
    }

    fn verify_images(&self, report: &mut impl FnMut(Finding)) -> Result<(), StoreError> {
        for file in self.record_names("images")? {
            let image = match self.read_json::<ImageRecord>(&format!("images/{file}")) {
                Ok(Some(image)) => image,
                Ok(None) => continue,
                Err(error) => {
                    report(Finding { item: Item::Image(file), problem: Problem::Unreadable(error) });
                    continue;
                }
            };
            for blob in image.blobs() {
                if !self.has_blob(blob)? {
                    report(Finding { item: Item::Blob(blob.clone()), problem: Problem::Missing });
                }
            }
            for layer in &image.layers {
                let problem = match self.layer(&layer.diff_id) {
                    Ok(Some(_)) => continue,
                    Ok(None) => Problem::Missing,
                    Err(error) => Problem::Unreadable(error),
                };
                report(Finding { item: Item::Layer(layer.diff_id.clone()), problem });
            }
        }
        Ok(())
    }

    fn verify_names(&self, report: &mut impl FnMut(Finding)) -> Result<(), StoreError> {
        for file in self.record_names("names")? {
            match self.read_json::<Name>(&format!("names/{file}")) {
                Ok(Some(name)) if self.root.exists(&format!("images/{}", name.image.file_name()))? => {}
                Ok(Some(name)) => report(Finding {
                    item: Item::Name(name.reference.familiar()),
                    problem: Problem::Dangling(name.image),
                }),
                Ok(None) => {}
                Err(error) => {
                    report(Finding { item: Item::Name(file), problem: Problem::Unreadable(error) });
                }
            }
        }
        Ok(())
    }

    /// Takes a damaged record or layer away, so that it can be made again. A blob is left for
    /// [`Store::replace_blob`].
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn discard_damaged(&self, item: &Item) -> Result<(), StoreError> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        match item {
            Item::Blob(_) => Ok(()),
            Item::Layer(digest) if self.layers()?.contains(digest) => self.discard_layer(digest),
            Item::Layer(_) => Ok(()),
            Item::Image(file) => self.root.remove_file(&format!("images/{file}")),
            Item::Name(file) => self.root.remove_file(&format!("names/{file}")),
        }
    }
}
