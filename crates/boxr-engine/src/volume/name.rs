//! Names of volumes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::VolumeError;

/// The name of a volume: docker's and podman's rule, so that it is always one part of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

impl VolumeName {
    /// Takes `text` if it can be one.
    ///
    /// # Errors
    /// [`VolumeError::Name`]
    pub fn parse(text: &str) -> Result<Self, VolumeError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_name = text.bytes().all(is_plain)
            && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
            && text.len() <= 255;
        if is_name { Ok(Self(text.to_owned())) } else { Err(VolumeError::Name(text.to_owned())) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for VolumeName {
    type Error = VolumeError;

    fn try_from(text: String) -> Result<Self, VolumeError> {
        Self::parse(&text)
    }
}

impl From<VolumeName> for String {
    fn from(name: VolumeName) -> Self {
        name.0
    }
}
