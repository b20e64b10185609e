//! `boxr run --sandbox`: a command of this host that is not trusted.
//!
//! A preset over what a box can be anyway ([`preset`]): it fills a [`RawRun`](crate::config::RawRun) with namespaces,
//! mounts, a clean environment and limits, and adds what only a sandbox has ([`SandboxOptions`]). All paths are
//! resolved here, once, as the caller; the mounts that come of it refuse any symbolic link that appears afterwards.
//!
//! It fails closed: what this host cannot give is an error, unless `--allow-degraded` names it.

mod aliases;
mod error;
mod files;
mod hosts;
pub(crate) mod landlock;
pub(crate) mod leftovers;
pub(crate) mod limits;
mod present;
mod preset;
pub mod profile;
pub mod proxy;
mod repository;
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
pub use landlock::LandlockOptions;
pub use limits::Limits;
pub(crate) use preset::apply;
pub use said::{Allow, Home, NetAllow, Protection, Said};
pub(crate) use seccomp::OF_METADATA;
pub use surroundings::{is_wide, places};

/// Sockets that a command may make, as far as the filter of system calls decides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sockets {
    /// Those of the file tree and of the internet, where namespaces and mounts decide what they reach.
    #[default]
    Any,
    /// None but connected pairs.
    None,
    /// Those of the file tree.
    Unix,
    /// Those of the internet.
    Internet,
    /// Both.
    Both,
}

/// Files whose metadata a command may change: mode, owner, times, extended attributes (inode(7), xattr(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metadata {
    /// All that it can open: mounts decide.
    #[default]
    OfAny,
    /// Those that it may write. Landlock knows no such right, so that boxr makes the change for it
    /// ([`watch`](crate::watch)).
    OfWritable,
}

/// What a sandbox has besides the box that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxOptions {
    /// What becomes of its limits where no cgroup is to be had.
    pub limits: Limits,
    /// The hosts that it reaches through boxr's proxy; `None` where there is no proxy.
    pub hosts: Option<Vec<HostRule>>,
    /// What Landlock does.
    pub landlock: Option<LandlockOptions>,
    /// Whether it has an empty home directory, where that is no mount.
    pub empty_home: bool,
    /// Why it has no namespaces, where nobody has asked for that.
    pub alone: String,
    /// Which sockets it makes.
    pub sockets: Sockets,
    /// Whose metadata it changes.
    pub metadata: Metadata,
    /// Descriptors of files that were given for reading, at this start.
    #[serde(skip)]
    pub reopened: Vec<i32>,
    /// Whether it is told at the end what was refused and would have been allowed by an opening.
    pub explain_refusals: bool,
    /// Files that the host would run later, which were not there when it was made.
    pub watched: Vec<PathBuf>,
    /// Whether there may be git repositories further down whose hooks it can write.
    pub hides_repositories: bool,
}

impl SandboxOptions {
    /// What a person is to know before the command runs, a line each.
    pub fn beforehand(&self) -> Vec<String> {
        let said = (!self.alone.is_empty()).then(|| {
            format!("no user namespaces here ({}): Landlock and a filter of system calls confine the command; it sees other processes", self.alone)
        });
        said.into_iter().collect()
    }

    /// What `--explain` says beside the plan, a line each.
    pub fn besides(&self) -> Vec<String> {
        let said = self.hides_repositories.then(|| {
            "not all directories were searched for git repositories: hooks and settings of those further down can be written".to_owned()
        });
        said.into_iter().collect()
    }

    /// What a person is to know when the command has ended, a line each.
    pub fn afterwards(&self) -> Vec<String> {
        let appeared = self.watched.iter().zip(present::of(&self.watched)).filter(|(_, there)| *there);
        appeared
            .map(|(path, _)| {
                format!("{} was made in the sandbox: look at it before the host uses it", path.display())
            })
            .collect()
    }
}
