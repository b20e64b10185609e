//! Volumes: directories of boxr's own that outlive the boxes they are mounted in.
//!
//! ```text
//! DATA/volumes/NAME/
//!     volume.json                what it is
//!     _data/                     what is mounted
//!     holds/ID                   a box that has it, running or not; one of a box that is gone counts for nothing
//! DATA/volumes/.new-X, .gone-X   half made, half removed: swept up when nobody holds the lock of it
//! DATA/containers/ID/volumes.json    which volumes a box has, and which of them go with it
//! ```
//!
//! A volume appears whole, by a rename, and goes by one. Its directory's lock (flock) is held while a box
//! takes it and while it is removed, so that none is removed that somebody is just taking.

mod attach;
pub(crate) mod from;
mod name;
pub(crate) mod owners;
mod places;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use attach::{Attached, attached, remove_anonymous};
pub(crate) use attach::{attach, let_go};
pub use name::VolumeName;
pub(crate) use places::bind;
pub use places::{Places, find};
pub use store::{Created, Volumes};

/// What kind of mount a volume is in [`MountOption`](crate::options::MountOption).
pub const KIND: &str = "volume";
/// The beginning of the mount option that says where in a volume what is mounted is.
pub const SUBPATH: &str = "subpath=";
/// The mount option that leaves a new volume empty.
pub const NO_COPY: &str = "nocopy";

/// Format of `volume.json` that this version writes.
const FORMAT: u32 = 1;

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    format: u32,
    /// Its name.
    pub name: VolumeName,
    /// When it was made, nanoseconds since 1970 UTC.
    pub created: i64,
    /// Whether nobody gave it its name.
    pub anonymous: bool,
    /// `KEY=VALUE` labels.
    pub labels: BTreeMap<String, String>,
    /// What was asked of the driver (`--opt`).
    pub options: BTreeMap<String, String>,
}

/// What a volume is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewVolume {
    /// Whether nobody gave it its name.
    pub anonymous: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// Something about a volume did not work.
#[derive(Debug, Error)]
pub enum VolumeError {
    /// A name that no volume may have.
    #[error(
        "{0:?} is no name of a volume: letters, digits, '_', '.' and '-', a letter or digit first, at most 255"
    )]
    Name(String),
    /// There is none of this name.
    #[error("no such volume: {0}")]
    Missing(VolumeName),
    /// A box has it.
    #[error("volume {name} is in use by {}", users.join(", "))]
    InUse {
        /// Its name.
        name: VolumeName,
        /// Names or short ids of the boxes.
        users: Vec<String>,
    },
    /// An option of the driver that boxr cannot give.
    #[error("--opt {key}={value}: {why}")]
    Option {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
        /// Why not.
        why: &'static str,
    },
    /// A file of it that makes no sense.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A system call.
    #[error("cannot {action} {}: {}", path.display(), boxr_runtime::error::describe(*errno))]
    System {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
}

impl Volume {
    /// The host's directory that is mounted instead of one of boxr's own (`type=none,o=bind,device=DIR`).
    pub fn device(&self) -> Option<PathBuf> {
        self.options.get("device").map(PathBuf::from)
    }
}

/// Checks options of the driver `local`: of its mounts boxr has the bind.
///
/// # Errors
/// [`VolumeError::Option`]
pub fn check_options(options: &BTreeMap<String, String>) -> Result<(), VolumeError> {
    let refuse = |key: &str, value: &str, why| {
        Err(VolumeError::Option { key: key.to_owned(), value: value.to_owned(), why })
    };
    let is_bind = options.get("o").is_some_and(|o| o.split(',').any(|word| word == "bind"));
    for (key, value) in options {
        match key.as_str() {
            "type" if ["none", "bind", ""].contains(&value.as_str()) => {}
            "type" => {
                return refuse(
                    key,
                    value,
                    "a volume is a directory; --mount type=tmpfs and others mount a filesystem",
                );
            }
            "o" if value.split(',').all(|word| ["bind", "rbind", "rw", ""].contains(&word)) => {}
            "o" => return refuse(key, value, "only bind is possible here"),
            "device" if !is_bind => return refuse(key, value, "it needs --opt o=bind"),
            "device" if !value.starts_with('/') => return refuse(key, value, "not an absolute path"),
            "device" => {}
            _ => return refuse(key, value, "no such option: type, o and device are"),
        }
    }
    match is_bind && !options.contains_key("device") {
        true => refuse("o", "bind", "it needs --opt device=DIR"),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
