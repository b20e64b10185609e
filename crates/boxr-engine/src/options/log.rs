//! What is kept of a box's output, and where.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How logs of a detached box are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes at which a log file is rotated.
    pub max_size: u64,
    /// How many files are kept, the current one included; at least 1.
    pub max_files: u32,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { max_size: 10 << 20, max_files: 3 }
    }
}

/// Where the output of a box with a monitor goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogTarget {
    /// What keeps it.
    pub driver: LogDriver,
    /// The file, in place of the one in the box's data directory.
    pub path: Option<PathBuf>,
    /// What entries of a journal are tagged with; `None` is the box's id.
    pub tag: Option<String>,
}

impl LogTarget {
    /// Whether nothing was said.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What keeps the output of a box (podman's words, `local` being docker's).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// A file in the form of Kubernetes.
    #[default]
    K8sFile,
    /// The same under docker's name, as in podman.
    JsonFile,
    /// The same under docker's other name.
    Local,
    /// Nothing does.
    None,
    /// The box has boxr's own standard descriptors.
    Passthrough,
    /// systemd's journal.
    Journald,
}

impl LogDriver {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::K8sFile => "k8s-file",
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::None => "none",
            Self::Passthrough => "passthrough",
            Self::Journald => "journald",
        }
    }

    /// The driver of a word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::K8sFile, Self::JsonFile, Self::Local, Self::None, Self::Passthrough, Self::Journald];
        all.into_iter().find(|driver| driver.word() == word)
    }

    /// Whether `boxr logs` has something to read.
    pub fn is_file(self) -> bool {
        matches!(self, Self::K8sFile | Self::JsonFile | Self::Local)
    }
}
