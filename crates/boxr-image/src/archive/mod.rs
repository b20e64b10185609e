//! Images in files: docker's archives (`docker save`), OCI layouts (OCI image specification,
//! `image-layout.md`) in a directory, and those in an archive.
//!
//! *Saving* streams: layers of docker's archives are tar streams, so they are decompressed on the way; those of OCI
//! layouts are as they came. Whatever is written is verified once more.
//!
//! *Loading* takes what is there, compressed or not, from a pipe if need be. An archive is hostile input: its names are
//! looked up and never used as paths, what is in it is spooled in the store and counts only by its digest, and all of it is
//! verified and unpacked before the first image has a name. What a killed load leaves the next sweep removes.

mod contents;
mod docker;
mod import;
mod layout;
mod load;
mod save;
#[cfg(test)]
mod tests;

use std::io;

pub use import::{Base, Import};
pub use load::{Load, Loaded, Source};
pub use save::{Directory, Format, Save, Sink, Tar};

use crate::digest::Digest;
use crate::oci::{DocumentError, MediaType};
use crate::pull::PullError;
use crate::reference::ReferenceError;
use crate::store::StoreError;
use crate::tar::TarError;

/// Images were not saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is no archive that can be used.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A layer.
    #[error(transparent)]
    Layer(Box<PullError>),
    /// It cannot be read.
    #[error("cannot read {what:?}: {source}")]
    Read {
        /// The file in it.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the archive: {0}")]
    Write(io::Error),
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// Nothing that boxr knows.
    #[error(
        "there are no images in it: it has neither docker's manifest.json nor an OCI layout's index.json\n  a tar of a \
         root filesystem becomes an image by: boxr import FILE NAME"
    )]
    NoImages,
    /// Compressed in a way that boxr does not know.
    #[error(
        "it is compressed by {0}, which boxr does not read: decompress it first ({0} -dc FILE | boxr load)"
    )]
    Compression(&'static str),
    /// A file that is referred to.
    #[error("the archive is refused: {0:?} is not in it")]
    Missing(String),
    /// A contradiction.
    #[error("the archive is refused: {name:?} {reason}")]
    Refused {
        /// The file in it.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file has other contents than its name says.
    #[error("the archive is damaged: {name:?} has the digest {found}")]
    WrongDigest {
        /// The file in it.
        name: String,
        /// What its digest is.
        found: Digest,
    },
    /// JSON, or what it says.
    #[error("the archive is refused: {name:?}: {source}")]
    Document {
        /// The file in it.
        name: String,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// A name of an image.
    #[error("the archive is refused: {0}")]
    Name(#[from] ReferenceError),
    /// A layer of a kind that cannot be put into this kind of archive.
    #[error("layer {} cannot be saved: {} is no type of a layer", digest.short(), media_type.0)]
    MediaType {
        /// The layer.
        digest: Digest,
        /// What it is.
        media_type: MediaType,
    },
}

impl From<PullError> for ArchiveError {
    fn from(error: PullError) -> Self {
        Self::Layer(Box::new(error))
    }
}

fn refused(name: impl Into<String>, reason: impl Into<String>) -> ArchiveError {
    ArchiveError::Refused { name: name.into(), reason: reason.into() }
}
