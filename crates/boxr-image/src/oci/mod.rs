//! What registries and archives hold: the documents of the OCI image specification 1.1, and docker's
//! image manifest version 2, schema 2, which are the same but for the names of their types.

mod change;
mod config;
mod manifest;
pub(crate) mod media_type;
mod platform;
pub(crate) mod whole;

pub use change::ChangeError;
pub use config::{Config, History, ImageConfig, RootFs};
pub use manifest::{Descriptor, Document, DocumentError, Index, Manifest};
pub use media_type::{Compression, Kind, ManifestForm, MediaType};
pub use platform::{Platform, PlatformError};
pub use whole::Platforms;

/// The longest manifest or index that is read, in bytes. Docker's registry refuses longer ones too.
pub const LONGEST_MANIFEST: u64 = 4 << 20;
/// The most layers of an image; overlayfs takes 500.
pub const MOST_LAYERS: usize = 1000;
/// The longest image configuration that is read, in bytes.
pub const LONGEST_CONFIG: u64 = 8 << 20;
