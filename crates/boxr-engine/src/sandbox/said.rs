//! What was said of a sandbox: everything is optional.

use std::path::PathBuf;

use super::hosts::HostRule;
use crate::config::ConfigError;
use crate::config::overlay::overlay;

/// A path that the sandbox is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// Absolute, on the host and in the sandbox.
    pub path: PathBuf,
    /// Whether it can be written.
    pub writable: bool,
}

/// What the sandbox has as home directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Home {
    /// An empty one, which is gone afterwards.
    #[default]
    Empty,
    /// The caller's, read-only and without its secrets.
    Keep,
    /// This directory, which it may write.
    Directory(PathBuf),
}

/// What it reaches of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetAllow {
    /// All that the host reaches.
    All,
    /// This, through boxr's proxy.
    Host(HostRule),
}

/// A protection that can be given up by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Abstract sockets of the host's network namespace, where `--allow-net` shares that, are out of reach.
    AbstractSockets,
    /// Memory and number of processes are limited.
    Limits,
    /// Sockets in the file tree are out of reach.
    Sockets,
    /// What the host would run later stays as it is in directories that can be written.
    Hooks,
    /// The session's processes are out of sight, and what is left behind ends.
    Processes,
    /// Modes, owners, times and extended attributes of files that it may not write stay as they are.
    Metadata,
}

impl Protection {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::AbstractSockets, "abstract-sockets"),
        (Self::Hooks, "hooks"),
        (Self::Limits, "limits"),
        (Self::Metadata, "metadata"),
        (Self::Sockets, "sockets"),
        (Self::Processes, "processes"),
    ];

    /// The protection of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, name)| *name == text).map(|(protection, _)| protection)
    }
}

/// `None` and an empty list: nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the setting of the same name says what each is")]
pub struct Said {
    /// The profile; an empty name is none but the preset itself.
    pub sandbox: Option<String>,
    pub allow: Vec<Allow>,
    pub hide: Vec<PathBuf>,
    pub allow_env: Vec<String>,
    pub allow_net: Vec<NetAllow>,
    pub allow_socket: Vec<PathBuf>,
    pub home: Option<Home>,
    pub degraded: Vec<Protection>,
    pub landlock: Option<bool>,
    pub explain_refusals: Option<bool>,
}

impl Said {
    /// What a file says where `flags` say nothing; lists are joined.
    #[must_use]
    pub fn overlaid_by(self, flags: Self) -> Self {
        let mut file = self;
        overlay! {
            file, flags: sandbox home landlock explain_refusals; allow hide allow_env allow_net allow_socket degraded
        }
        file
    }

    /// Refuses openings of what is no sandbox.
    ///
    /// # Errors
    /// [`ConfigError::Needs`]
    pub fn refuse(&self) -> Result<(), ConfigError> {
        let said = [
            (!self.allow.is_empty(), "--allow"),
            (!self.hide.is_empty(), "--hide"),
            (!self.allow_env.is_empty(), "--allow-env"),
            (!self.allow_net.is_empty(), "--allow-net"),
            (!self.allow_socket.is_empty(), "--allow-socket"),
            (self.home.is_some(), "--home"),
            (!self.degraded.is_empty(), "--allow-degraded"),
            (self.landlock == Some(true), "--landlock"),
            (self.explain_refusals == Some(true), "--explain-refusals"),
        ];
        match said.iter().find(|(said, _)| *said) {
            Some((_, flag)) => Err(ConfigError::Needs { one: (*flag).to_owned(), other: "--sandbox" }),
            None => Ok(()),
        }
    }
}
