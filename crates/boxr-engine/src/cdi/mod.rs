//! Devices by name: the Container Device Interface
//! (<https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md>, versions up to 1.0).
//!
//! A specification file, JSON or YAML, describes devices of one kind, `vendor.com/class`, and what a container needs for each:
//! nodes, mounts, variables, hooks. Files are looked for at each start, so that none is stale.

mod apply;
mod find;
mod spec;
mod yaml;

use std::path::PathBuf;

use thiserror::Error;

pub(crate) use apply::{Edits, apply};
pub use find::{Found, directories, find_all};

/// The kind of NVIDIA's devices, which `--gpus` asks for (docker, podman).
pub const GPUS: &str = "nvidia.com/gpu";

/// Why a device cannot be had.
#[derive(Debug, Error)]
pub enum CdiError {
    /// No file describes it.
    #[error("no device {name} is described")]
    Unknown {
        /// As it was asked for.
        name: String,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
        /// What there is.
        known: Vec<String>,
        /// Files that cannot be used, and why.
        broken: Vec<String>,
    },
    /// Two files of the same directory rank describe it.
    #[error("the device {name} is described twice: in {} and {}", one.display(), other.display())]
    Twice {
        /// As it was asked for.
        name: String,
        /// A file.
        one: PathBuf,
        /// Another.
        other: PathBuf,
    },
    /// Its description cannot be followed.
    #[error("the device {name}, described in {}: {why}", file.display())]
    Unusable {
        /// As it was asked for.
        name: String,
        /// The file.
        file: PathBuf,
        /// Why not.
        why: String,
    },
}

/// Whether `text` is `VENDOR/CLASS=NAME`.
pub fn is_name(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    is_kind(kind) && is_word(name, b"_-.:")
}

/// `vendor.com/class`
fn is_kind(kind: &str) -> bool {
    kind.split_once('/').is_some_and(|(vendor, class)| {
        is_word(vendor, b"_-.")
            && is_word(class, b"_-.")
            && vendor.starts_with(|first: char| first.is_ascii_alphabetic())
    })
}

/// Letters and digits, with others between them.
fn is_word(word: &str, between: &[u8]) -> bool {
    let bytes = word.as_bytes();
    let edges = [bytes.first(), bytes.last()];
    edges.iter().all(|byte| byte.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || between.contains(byte))
}

/// The devices that `--gpus` asks for, by name.
///
/// # Errors
/// What is wrong with it.
pub fn gpus(text: &str) -> Result<Vec<String>, String> {
    let named = |name: &str| format!("{GPUS}={name}");
    let count = |text: &str| -> Result<Vec<String>, String> {
        match text {
            "all" | "-1" => Ok(vec![named("all")]),
            _ => match text.parse::<u32>() {
                Ok(count) if count > 0 => Ok((0..count).map(|index| named(&index.to_string())).collect()),
                _ => Err(format!("{text:?} is neither all nor a number of devices")),
            },
        }
    };
    let text = text.trim_matches('"');
    let mut found = None;
    // device=0,1: what has no key belongs to the key before it.
    let mut devices: Vec<String> = Vec::new();
    let mut in_devices = false;
    for field in text.split(',').filter(|field| !field.is_empty()) {
        match field.trim_matches('"').split_once('=') {
            Some(("device", name)) => {
                in_devices = true;
                devices.push(named(name));
            }
            Some(("count", number)) => {
                in_devices = false;
                found = Some(count(number)?);
            }
            // What of the driver is wanted is in the device's description.
            Some(("capabilities" | "driver" | "options", _)) => in_devices = false,
            Some((key, _)) => {
                return Err(format!("{key} is no key: device, count, capabilities and driver are"));
            }
            None if in_devices => devices.push(named(field.trim_matches('"'))),
            None => found = Some(count(field)?),
        }
    }
    match (found, devices.is_empty()) {
        (Some(_), false) => Err("count and device exclude each other".to_owned()),
        (Some(found), true) => Ok(found),
        (None, false) => Ok(devices),
        (None, true) => Err("all, a number, or device=NAME".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_vendor_and_a_class() {
        for name in ["vendor.com/gpu=0", "nvidia.com/gpu=all", "v/c=GPU-1:2", "a.b/c-d=e_f"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["/dev/x=y", "vendor.com=0", "v/c=", "v/c=-x", "9v/c=x", "v/c/d=e", "", "v/c=x="] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn gpus_in_dockers_words() {
        assert_eq!(gpus("all").unwrap(), ["nvidia.com/gpu=all"]);
        assert_eq!(gpus("2").unwrap(), ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]);
        assert_eq!(gpus("device=0,2").unwrap(), ["nvidia.com/gpu=0", "nvidia.com/gpu=2"]);
        assert_eq!(gpus("\"device=GPU-3\",capabilities=utility").unwrap(), ["nvidia.com/gpu=GPU-3"]);
        for text in ["", "0", "x", "frob=1", "all,device=0"] {
            assert!(gpus(text).is_err(), "{text}");
        }
    }
}
