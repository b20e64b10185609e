//! Ids of boxes: 64 hexadecimal digits, as docker's and podman's are.

use std::fmt;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

/// Digits of a full id.
pub const LENGTH: usize = 64;
/// Digits of an id in a table.
pub const SHORT: usize = 12;

/// The full id of a box.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(Box<str>);

impl Id {
    /// A new one, and 64 random bits beside it (for a name): one system call for both.
    pub fn random() -> Result<(Self, u64), Errno> {
        let mut bytes = [0u8; LENGTH / 2 + 8];
        let mut filled = 0;
        while filled < bytes.len() {
            let rest = &mut bytes[filled..];
            filled += rustix::io::retry_on_intr(|| getrandom(&mut *rest, GetRandomFlags::empty()))?;
        }
        let (id, seed) = bytes.split_at(LENGTH / 2);
        let mut text = String::with_capacity(LENGTH);
        for byte in id {
            text.push(hex(byte >> 4));
            text.push(hex(byte & 15));
        }
        let seed = seed.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Ok((Self(text.into()), seed))
    }

    /// Takes `text` if it is a full id.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == LENGTH && is_prefix(text)).then(|| Self(text.into()))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits.
    pub fn short(&self) -> &str {
        &self.0[..SHORT]
    }
}

/// Whether `text` could be the beginning of an id.
pub fn is_prefix(text: &str) -> bool {
    (1..=LENGTH).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn hex(digit: u8) -> char {
    char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 })
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an id: an id has 64 hexadecimal digits")]
pub struct NotAnId(String);

impl TryFrom<String> for Id {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        Self::parse(&text).ok_or(NotAnId(text))
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_ids_and_differ() {
        let (a, seed_a) = Id::random().unwrap();
        let (b, seed_b) = Id::random().unwrap();
        assert_ne!((a.clone(), seed_a), (b, seed_b));
        assert_eq!(Id::parse(a.as_str()), Some(a.clone()));
        assert_eq!(a.short().len(), 12);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in ["", "abc", &"g".repeat(64), &"A".repeat(64), &"a".repeat(65), &"../".repeat(22)[..64]] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
        assert!(is_prefix("0af"));
        assert!(!is_prefix(""));
        assert!(!is_prefix("a/"));
    }
}
