//! Containers of images: what an image and the options of a person make of a box.
//!
//! [`Image`] is what was found in the store; [`defaults`] merges it with what was said into
//! [`BoxOptions`](crate::options::BoxOptions), whose [`ContainerOptions`] only such containers have. At
//! every start [`settle`] looks up what only the container's own files tell, and [`rootfs`] lays the layers and the
//! container's changes upon each other.
//!
//! ```text
//! DATA/images/               the store (boxr_image::store)
//!     holds/ID               -> the manifest of the image that container ID uses (others that it has: [`mounted`])
//! DATA/containers/ID/
//!     upper/                 what the container has changed
//!     work/                  overlayfs' own
//! ```

pub(crate) mod accounts;
mod changes;
pub(crate) mod container_root;
pub(crate) mod defaults;
mod devices;
pub(crate) mod files;
pub(crate) mod healthcheck;
pub(crate) mod keep;
pub mod mounted;
pub mod naming;
mod numbers;
mod options;
mod passwd;
pub(crate) mod quota;
pub(crate) mod ranges;
pub(crate) mod rootfs;
mod said;
pub(crate) mod seccomp;
pub(crate) mod settle;
pub(crate) mod spec;
mod tree;
pub(crate) mod unmapped;
pub(crate) mod userns;
pub(crate) mod users;

use std::path::PathBuf;

use boxr_image::oci::Config;
use boxr_image::rootfs::RootfsError;
use boxr_image::store::StoreError;
use rustix::io::Errno;
use thiserror::Error;

pub use changes::changes;
pub use files::{ContainerFiles, is_stale};
pub use naming::Surroundings;
pub use options::{
    Accounts, ContainerOptions, Device, DeviceRule, ImageRoot, Link, Naming, Seccomp, SystemdMode,
};
pub use quota::LayerLimits;
pub use said::{ImageVolume, Said, SaidHealth};
pub use tree::tree;
pub use userns::{KeepId, UserIds, UserIdsWord};
pub use users::UserError;

use crate::cdi::CdiError;
use crate::paths::Paths;

/// An image that was found, as far as a container of it is concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Its layers.
    pub root: ImageRoot,
    /// How it is run.
    pub config: Config,
}

/// Why a container of an image cannot be made or started.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The store of images.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its root filesystem.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// Its user.
    #[error(transparent)]
    User(#[from] UserError),
    /// A file or directory of the container's own.
    #[error("cannot {action} {}: {}", path.display(), boxr_runtime::error::describe(*errno))]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// A part of an image that is not to be had.
    #[error("cannot open the mount source {} of image {image}: {}", path.display(), boxr_runtime::error::describe(*errno))]
    Part {
        /// Where in it.
        path: PathBuf,
        /// Which image.
        image: String,
        /// The system's reason.
        errno: Errno,
    },
    /// A device of the host that cannot be given.
    #[error("--device {}: {}", path.display(), boxr_runtime::error::describe(*errno))]
    Device {
        /// Its path on the host.
        path: PathBuf,
        /// The system's reason; `ENODEV` for what is no device.
        errno: Errno,
    },
    /// A device by name.
    #[error(transparent)]
    Cdi(#[from] CdiError),
    /// The profile of system calls.
    #[error("--security-opt seccomp: {0}")]
    Seccomp(String),
    /// The host's address is not known.
    #[error("--add-host {0}:host-gateway: the container's network has no way to the host")]
    NoGateway(String),
    /// Layers with other owners cannot be had.
    #[error("cannot give the image's files other owners: {0}")]
    Owners(String),
    /// No range of ids is left.
    #[error("every range of ids for containers is in use")]
    NoIds,
    /// Its layer cannot be limited.
    #[error("--storage-opt: cannot limit what is in {}: {}", path.display(), boxr_runtime::error::describe(*errno))]
    Quota {
        /// Where it is.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// No project is left.
    #[error("--storage-opt: every project of boxr's on this filesystem is in use")]
    NoProject,
    /// A filesystem that overlayfs does not take for changes.
    #[error("{} is on a filesystem that cannot hold the changes of a container: {}", path.display(), boxr_runtime::error::describe(*errno))]
    Filesystem {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
}

/// Whether `text` is a seccomp profile, in docker's format or the OCI's.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_profile(text: &str) -> Result<(), String> {
    seccomp::of(&Seccomp::Profile(text.to_owned()), &[]).map(|_| ())
}

/// Where images are kept.
pub fn store_path(paths: &Paths) -> PathBuf {
    paths.data.join("images")
}
