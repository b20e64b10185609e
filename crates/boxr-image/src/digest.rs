//! Digests: what content is called (OCI image specification, `descriptor.md`, "Digests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// How a digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// What everybody uses.
    Sha256,
    /// The other one that is registered.
    Sha512,
}

impl Algorithm {
    /// Its name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Hexadecimal digits of a digest.
    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// `sha256:HEX`; always well-formed and in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

/// Not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No known algorithm before the colon.
    #[error("{0:?} is no digest: it begins with neither \"sha256:\" nor \"sha512:\"")]
    Algorithm(String),
    /// What follows is not what the algorithm makes.
    #[error("{text:?} is no digest: {digits} digits 0-9 and a-f must follow \"{algorithm}:\"")]
    Digits {
        /// What was given.
        text: String,
        /// Its algorithm.
        algorithm: &'static str,
        /// How many digits that makes.
        digits: usize,
    },
}

impl Digest {
    /// The digest of `bytes` by SHA-256.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// How it was made.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// All digits, without the algorithm.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first 12 digits, as tables show them.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }

    /// A name for a file: the algorithm, a dot, the digits.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.algorithm.name(), self.hex)
    }

    /// The digest whose [`Digest::file_name`] this is.
    pub fn from_file_name(name: &str) -> Option<Self> {
        name.replacen('.', ":", 1).parse().ok()
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let known = [Algorithm::Sha256, Algorithm::Sha512];
        let found = text
            .split_once(':')
            .and_then(|(name, hex)| Some((known.into_iter().find(|known| known.name() == name)?, hex)));
        let (algorithm, hex) = found.ok_or_else(|| DigestError::Algorithm(text.to_owned()))?;
        let digits = algorithm.digits();
        if hex.len() != digits || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::Digits { text: text.to_owned(), algorithm: algorithm.name(), digits });
        }
        Ok(Self { algorithm, hex: hex.into() })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, to)
    }
}

/// A digest in the making.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// Of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(sha2::Sha512::new())),
        })
    }

    /// And of this.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all that was given.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest { algorithm: Algorithm::Sha256, hex: hex(&state.finalize()) },
            State::Sha512(state) => Digest { algorithm: Algorithm::Sha512, hex: hex(&state.finalize()) },
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Hasher")
    }
}

fn hex(bytes: &[u8]) -> Box<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"ab");
        hasher.update(b"c");
        assert!(hasher.finish().hex().starts_with("ddaf35a193617abacc417349ae204131"));
    }

    #[test]
    fn only_well_formed_digests_are_taken() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!((digest.to_string().as_str(), digest.short()), (EMPTY, "e3b0c44298fc"));
        assert_eq!(Digest::from_file_name(&digest.file_name()), Some(digest));
        for bad in ["", "sha256", "sha256:", "sha256:12", "md5:d41d8cd98f00b204e9800998ecf8427e", &EMPTY[1..]]
        {
            bad.parse::<Digest>().unwrap_err();
        }
        EMPTY.to_uppercase().parse::<Digest>().unwrap_err();
        EMPTY.replace("sha256:e", "sha256:E").parse::<Digest>().unwrap_err();
        EMPTY.replace("sha256:e3", "sha256:/.").parse::<Digest>().unwrap_err();
    }
}
