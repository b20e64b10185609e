//! Secrets: small files that a container may read and nobody else, in no image, record or log (podman-secret(1)).
//!
//! ```text
//! DATA/secrets/NAME/          appears whole, by a rename
//!     data                    what is secret, 0600
//!     secret.json             what is known of it
//! DATA/containers/ID/secrets/SECRET   a hard link to the data: a container keeps what it was made with
//! ```
//!
//! In the container they are files of a tmpfs, which its first process writes from memory.

mod attach;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use attach::attach;
pub use attach::{environment, files};
pub use store::Secrets;

/// The most that one may be, in bytes: podman's bound.
pub const LARGEST: u64 = 512_000;

/// What is known of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// 25 hexadecimal digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// The same, of its data.
    pub updated: i64,
    /// `KEY=VALUE`
    pub labels: BTreeMap<String, String>,
}

/// How a container has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretUse {
    /// As a file.
    Mount {
        /// Absolute, or below /run/secrets.
        target: PathBuf,
        /// The container's user.
        uid: u32,
        /// The container's group.
        gid: u32,
        /// Permissions.
        mode: u32,
    },
    /// As a variable of this name.
    Environment(String),
}

/// One that a container is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretOption {
    /// As it was said: a name or the beginning of an id.
    pub secret: String,
    /// Its id, once the container is made.
    #[serde(default)]
    pub id: String,
    /// How.
    pub how: SecretUse,
}

/// What can go wrong.
#[derive(Debug, Error)]
pub enum SecretError {
    /// None of this name or id.
    #[error("no secret with name or id {0:?}")]
    Missing(String),
    /// The beginning of more than one id.
    #[error("{0:?} is the beginning of more than one secret's id")]
    Ambiguous(String),
    /// The name is in use.
    #[error("there is a secret {0} already")]
    Exists(String),
    /// No name.
    #[error(
        "{0:?} is no name of a secret: up to 253 letters, digits, - _ and ., the first and the last a letter or a digit"
    )]
    Name(String),
    /// Too much, or nothing.
    #[error("a secret has 1 to {LARGEST} bytes, and this one {0}")]
    Size(u64),
    /// One for a variable cannot be one.
    #[error("the secret {0} cannot be a variable: it has a zero byte in it")]
    Zero(String),
    /// A file of it is not what boxr wrote.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// Which file.
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

/// Checks a name: podman's rule.
///
/// # Errors
/// [`SecretError::Name`]
pub fn check_name(text: &str) -> Result<(), SecretError> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_name = text.len() <= 253
        && text.bytes().all(inner)
        && outer(text.bytes().next())
        && outer(text.bytes().last());
    if is_name { Ok(()) } else { Err(SecretError::Name(text.to_owned())) }
}

/// `NAME[,type=mount|env][,target=T][,uid=N][,gid=N][,mode=OCTAL]`
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<SecretOption, String> {
    let mut secret = None;
    let (mut is_env, mut target) = (false, None);
    let (mut uid, mut gid, mut mode) = (None, None, None);
    for (index, field) in text.split(',').enumerate() {
        let number = |value: &str| {
            value.parse::<u32>().ok().filter(|id| *id < u32::MAX).ok_or(format!("{field}: not a number"))
        };
        match field.split_once('=') {
            None if index == 0 => secret = Some(field.to_owned()),
            Some(("source" | "src", name)) => secret = Some(name.to_owned()),
            Some(("type", "mount")) => is_env = false,
            Some(("type", "env")) => is_env = true,
            Some(("type", other)) => return Err(format!("type is mount or env, not {other}")),
            Some(("target", value)) if !value.is_empty() => target = Some(value.to_owned()),
            Some(("uid", value)) => uid = Some(number(value)?),
            Some(("gid", value)) => gid = Some(number(value)?),
            Some(("mode", value)) => {
                let bits = u32::from_str_radix(value, 8).ok().filter(|bits| *bits <= 0o7777);
                mode = Some(bits.ok_or(format!("{field}: not an octal mode such as 0400"))?);
            }
            _ => return Err(format!("{field:?} is none of type, target, uid, gid and mode")),
        }
    }
    let secret = secret.filter(|name| !name.is_empty()).ok_or("the name of the secret is missing")?;
    let target = target.unwrap_or_else(|| secret.clone());
    let how = if is_env {
        if uid.or(gid).or(mode).is_some() {
            return Err("uid, gid and mode are for type=mount".to_owned());
        }
        if target.contains(['=', '\0']) {
            return Err(format!("{target:?} is not the name of a variable"));
        }
        SecretUse::Environment(target)
    } else {
        if target.split('/').any(|part| part == "..") || target.ends_with('/') {
            return Err(format!("{target:?} is not the path of a file"));
        }
        SecretUse::Mount {
            target: target.into(),
            uid: uid.unwrap_or(0),
            gid: gid.unwrap_or(0),
            mode: mode.unwrap_or(0o444),
        }
    };
    Ok(SecretOption { secret, id: String::new(), how })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_in_podmans_words() {
        let file = |target: &str, uid, gid, mode| SecretUse::Mount { target: target.into(), uid, gid, mode };
        assert_eq!(parse("a").unwrap().how, file("a", 0, 0, 0o444));
        assert_eq!(
            parse("a,target=/etc/key,uid=5,gid=6,mode=0400").unwrap().how,
            file("/etc/key", 5, 6, 0o400)
        );
        assert_eq!(parse("a,type=env,target=KEY").unwrap().how, SecretUse::Environment("KEY".to_owned()));
        assert_eq!(parse("source=a,type=env").unwrap().secret, "a");
        for text in [
            "",
            ",uid=1",
            "a,b",
            "a,type=x",
            "a,uid=x",
            "a,mode=9",
            "a,type=env,uid=1",
            "a,target=../x",
            "a,target=x/",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_podmans() {
        for name in ["a", "a-b_c.d", "A1"] {
            check_name(name).unwrap();
        }
        for name in ["", "-a", "a/", "a/b", "a.", "..", "a b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
