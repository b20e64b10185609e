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
mod given;
mod name;
pub(crate) mod owners;
mod places;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::grammar;

use given::Given;

pub use attach::{Attached, attached, remove_anonymous};
pub(crate) use attach::{attach, let_go};
pub use name::VolumeName;
pub use places::{Place, Places, find};
pub(crate) use places::{bind, check_memory};
pub use store::{Created, Volumes};

/// What kind of mount a volume is in [`MountOption`](crate::options::MountOption).
pub const KIND: &str = "volume";
/// The beginning of the mount option that says where in a volume what is mounted is.
pub const SUBPATH: &str = "subpath=";
/// The beginning of the mount option that says what a new volume is made with (`volume-opt`).
pub const OPTION: &str = "volume-opt=";
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
    /// It is in the memory of one box.
    #[error(
        "volume {name} is in memory (type=tmpfs), which one box at a time has, whole: {by} is in the way"
    )]
    Shared {
        /// Its name.
        name: VolumeName,
        /// The box that has it, or what was asked for.
        by: String,
    },
    /// An option of the driver that boxr cannot give.
    #[error("--opt {key}={value}: {why}")]
    Option {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
        /// Why not.
        why: String,
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
        self.options.get("device").filter(|_| !self.is_in_memory()).map(PathBuf::from)
    }

    /// Whose it is from the beginning, where that was said (`o=uid=,gid=`), in ids of containers.
    pub fn owner(&self) -> (Option<u32>, Option<u32>) {
        self.given().map_or((None, None), |given| (given.uid, given.gid))
    }

    fn given(&self) -> Option<Given> {
        if self.is_in_memory() || self.device().is_some() { None } else { Given::of(&self.options) }
    }

    fn is_in_memory(&self) -> bool {
        self.options.get("type").is_some_and(|kind| kind == "tmpfs")
    }

    /// What is mounted, where boxr's own directory of it is `data`.
    fn place(&self, data: PathBuf) -> Place {
        let words = self.options.get("o").map_or("", String::as_str);
        match (self.is_in_memory(), memory_options(words)) {
            (true, Ok(options)) => Place::Memory(options),
            (false, _) if self.given().is_some() => Place::Given(data),
            _ => {
                let is_mounts = |word: &&str| !["", "rw", "bind", "rbind"].contains(word);
                let words = words.split(',').filter(is_mounts).map(str::to_owned);
                Place::Directory(self.device().unwrap_or(data), words.collect())
            }
        }
    }
}

/// Options of a tmpfs that a volume is: as `--tmpfs` takes them, but for `noexec`, which is not usual for volumes.
fn memory_options(words: &str) -> Result<Vec<String>, String> {
    let words = if words.is_empty() { "exec".to_owned() } else { format!("exec,{words}") };
    grammar::tmpfs(&format!("/volume:{words}")).map(|mount| mount.options).map_err(|error| error.why)
}

/// What a bind may say besides.
const BIND_WORDS: [&str; 11] =
    ["bind", "rbind", "rw", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow", ""];

/// Checks options of the driver `local`: of its mounts boxr has the bind and the tmpfs.
///
/// # Errors
/// [`VolumeError::Option`]
pub fn check_options(options: &BTreeMap<String, String>) -> Result<(), VolumeError> {
    let refuse = |key: &str, value: &str, why: &str| {
        Err(VolumeError::Option { key: key.to_owned(), value: value.to_owned(), why: why.to_owned() })
    };
    let in_memory = options.get("type").is_some_and(|kind| kind == "tmpfs");
    let is_bind =
        options.get("o").is_some_and(|o| o.split(',').any(|word| word == "bind" || word == "rbind"));
    for (key, value) in options {
        match key.as_str() {
            "type" if ["none", "bind", "tmpfs", ""].contains(&value.as_str()) => {}
            "type" => {
                return refuse(
                    key,
                    value,
                    "a volume is a directory or a tmpfs; boxr mounts no disks and no network's files",
                );
            }
            "o" if in_memory => match memory_options(value) {
                Ok(_) => {}
                Err(why) => return refuse(key, value, &why),
            },
            "o" if value.split(',').all(|word| BIND_WORDS.contains(&word))
                && (is_bind || value.is_empty()) => {}
            "o" if is_bind => {
                return refuse(
                    key,
                    value,
                    "bind goes with ro, nosuid, nodev, noexec and the like: owner and mode are the directory's own",
                );
            }
            "o" => match Given::parse(value).and_then(|given| given.check()) {
                Ok(()) => {}
                Err(why) => return refuse(key, value, &why),
            },
            // A word without a meaning, which docker asks for.
            "device" if in_memory => {}
            "device" if !is_bind => return refuse(key, value, "it needs --opt o=bind"),
            "device" if !value.starts_with('/') => return refuse(key, value, "not an absolute path"),
            "device" => {}
            _ => return refuse(key, value, "no such option: type, o and device are"),
        }
    }
    match is_bind && !in_memory && !options.contains_key("device") {
        true => refuse("o", "bind", "it needs --opt device=DIR"),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
