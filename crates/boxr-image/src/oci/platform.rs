//! Operating systems and processors, by the names that Go gives them (OCI image specification, `image-index.md`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`
    #[serde(default)]
    pub os: String,
    /// `amd64`, `arm64` …
    #[serde(default)]
    pub architecture: String,
    /// `v7` of `arm`, `v8` of `arm64` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no platform: give OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64 or linux/arm/v7")]
pub struct PlatformError(pub String);

impl Platform {
    /// Where this program runs.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        let variant = (architecture == "arm").then(|| "v7".to_owned());
        Self { os: "linux".into(), architecture: architecture.into(), variant }
    }

    /// How well an image of `self` serves whoever wants `wanted`: the higher the better; `None` not at all.
    pub fn fitness(&self, wanted: &Self) -> Option<u32> {
        if self.os != wanted.os || self.architecture != wanted.architecture {
            return None;
        }
        let (have, want) = (self.version(), wanted.version());
        match wanted.architecture.as_str() {
            // Later processors run what was made for earlier ones.
            "arm" | "amd64" => (have <= want).then_some(have),
            _ => (have == want).then_some(have),
        }
    }

    /// The number of the variant, or that of what has none.
    fn version(&self) -> u32 {
        let usual = match self.architecture.as_str() {
            "arm" => 7,
            "arm64" => 8,
            _ => 1,
        };
        let number = self.variant.as_ref().map(|variant| variant.trim_start_matches('v').parse());
        number.and_then(Result::ok).unwrap_or(usual)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        if !parts.iter().all(is_word) {
            return Err(PlatformError(text.into()));
        }
        let (os, rest) = match &parts[..] {
            // docker takes a processor alone.
            [architecture] => ("linux", vec![*architecture]),
            [os, rest @ ..] if rest.len() <= 2 => (*os, rest.to_vec()),
            _ => return Err(PlatformError(text.into())),
        };
        let architecture = match rest[0].to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            "i386" | "i686" => "386".to_owned(),
            "armhf" => "arm".to_owned(),
            other => other.to_owned(),
        };
        Ok(Self { os: os.to_ascii_lowercase(), architecture, variant: rest.get(1).map(|&v| v.to_owned()) })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(to, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn platforms_are_read_as_docker_reads_them() {
        assert_eq!(platform("linux/arm/v7").to_string(), "linux/arm/v7");
        assert_eq!(platform("aarch64").to_string(), "linux/arm64");
        assert_eq!(platform("Linux/x86_64"), platform("linux/amd64"));
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/a b"] {
            bad.parse::<Platform>().unwrap_err();
        }
    }

    #[test]
    fn what_runs_is_chosen_and_the_best_of_it() {
        let fitness = |have, want| platform(have).fitness(&platform(want));
        assert_eq!(fitness("linux/arm64", "linux/amd64"), None);
        assert_eq!(fitness("windows/amd64", "linux/amd64"), None);
        assert!(fitness("linux/arm64/v8", "linux/arm64").is_some());
        assert!(fitness("linux/arm/v7", "linux/arm/v7") > fitness("linux/arm/v6", "linux/arm/v7"));
        assert_eq!(fitness("linux/arm/v7", "linux/arm/v6"), None);
        assert_eq!(fitness("linux/amd64/v3", "linux/amd64"), None);
    }
}
