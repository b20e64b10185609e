//! `boxr run --sandbox`: a command of this host that is not trusted.
//!
//! A preset over what a box can be anyway ([`preset`]): it fills a [`RawRun`](crate::config::RawRun) with namespaces,
//! mounts, a clean environment and limits, and adds what only a sandbox has ([`SandboxOptions`]). All paths are
//! resolved here, once, as the caller; the mounts that come of it refuse any symbolic link that appears afterwards.
//!
//! It fails closed: what this host cannot give is an error, unless `--allow-degraded` names it.

mod error;
mod files;
mod hosts;
mod present;
mod preset;
mod said;
mod seccomp;
mod secrets;
mod sockets;
pub(crate) mod spec;
mod surroundings;
mod view;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use error::SandboxError;
pub use hosts::{HostRule, is_public};
pub(crate) use preset::apply;
pub use said::{Allow, Home, NetAllow, Protection, Said};

/// What a sandbox has besides the box that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxOptions {
    /// Whether its limits were not asked for, and are had only where the host gives them.
    pub limits_where_possible: bool,
    /// Files that the host would run later, which were not there when it was made.
    pub watched: Vec<PathBuf>,
}

impl SandboxOptions {
    /// What a person is to know when the command has ended, a line each.
    pub fn afterwards(&self) -> Vec<String> {
        let appeared = self.watched.iter().filter(|path| path.symlink_metadata().is_ok());
        appeared
            .map(|path| {
                format!("{} was made in the sandbox: look at it before the host uses it", path.display())
            })
            .collect()
    }
}
