//! What a box is to be: the resolved options, after flags, file and defaults.
//!
//! The command line and the configuration file are read into types of their own and
//! merged into this one; nothing here is optional because a person might not have said it,
//! only because a box may not have it.

mod limits;
mod log;
mod namespaces;

use std::collections::BTreeMap;
use std::path::PathBuf;

use boxr_network::{NetworkUse, PortSpec};
use serde::{Deserialize, Serialize};

use crate::image::mounted::MountedImage;
use crate::image::{ContainerOptions, ImageRoot};
use crate::notify::SdNotify;
use crate::sandbox::SandboxOptions;

pub use limits::{CgroupChoice, CgroupMode, DeviceFigure, Limits, Rare, Ulimit};
pub use log::{LogDriver, LogLimits, LogTarget};
pub use namespaces::{JoinTarget, NamespaceMode, Namespaces};

/// What the box sees as `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// The caller's own file tree.
    #[default]
    Host,
    /// A directory, entered with pivot_root(2).
    Directory(PathBuf),
    /// The layers of an image, with the box's own changes upon them.
    Image(Box<ImageRoot>),
}

impl Root {
    /// Whether it is another than the caller's.
    pub fn is_own(&self) -> bool {
        !matches!(self, Self::Host)
    }

    /// The image, if it is one.
    pub fn image(&self) -> Option<&ImageRoot> {
        match self {
            Self::Image(image) => Some(image),
            Self::Host | Self::Directory(_) => None,
        }
    }
}

/// How mounts travel between the host and the box (mount_namespaces(7), `unshare --propagation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Neither way.
    #[default]
    Private,
    /// Both ways.
    Shared,
    /// From the host into the box.
    Slave,
    /// As it is.
    Unchanged,
}

/// One mount that was asked for, in the words of the OCI specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountOption {
    /// `bind`, or a filesystem type such as `tmpfs`.
    pub kind: String,
    /// The host path of a bind (absolute), or the filesystem's source.
    pub source: Option<String>,
    /// Where, absolute inside the box.
    pub destination: PathBuf,
    /// fstab-style options: `ro`, `rbind`, `size=64m`…
    pub options: Vec<String>,
}

/// Who the command runs as, in the box's ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups; `None` keeps the caller's.
    pub groups: Option<Vec<u32>>,
}

/// Which ids a new user namespace maps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdMapping {
    /// The caller becomes root; further ids from /etc/subuid and /etc/subgid where offered.
    #[default]
    Root,
    /// The caller stays who it is (`--map-self`).
    Caller,
    /// Explicit extents (`--uidmap`, `--gidmap`).
    Explicit {
        /// User ids.
        uids: Vec<IdExtent>,
        /// Group ids.
        gids: Vec<IdExtent>,
    },
}

/// A run of ids: `size` ids from `container` on are `host` on outside (user_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdExtent {
    /// First id inside.
    pub container: u32,
    /// First id outside.
    pub host: u32,
    /// How many.
    pub size: u32,
}

/// Whether the command gets a terminal of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tty {
    /// When stdin and stdout are terminals.
    #[default]
    Auto,
    /// Always (`-t`).
    Always,
    /// Never (`--tty=false`).
    Never,
}

/// What remains of a box when its command has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retention {
    /// Nothing (a foreground box, or `--rm`).
    #[default]
    Ephemeral,
    /// Record and log, until `rm`.
    Kept,
}

/// Whether a box that has ended is started again (docker's words).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// It is not.
    #[default]
    No,
    /// When it has failed, at most so many times.
    OnFailure {
        /// `None` is for ever.
        most: Option<u32>,
    },
    /// Always, unless a person has stopped it.
    Always,
    /// The same; when the host starts, only if nobody had stopped it (`boxr system boot-unit`).
    UnlessStopped,
}

impl Restart {
    /// Whether nothing is started again.
    pub fn is_no(&self) -> bool {
        *self == Self::No
    }

    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure { .. } => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }
}

/// Changes of the box's capability set, without the `CAP_` prefix and in capitals; `ALL` is all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityChange {
    /// Added to the default set.
    pub add: Vec<String>,
    /// Removed from it; applied first when it is `ALL`, last otherwise.
    pub drop: Vec<String>,
}

/// What a box has of networks, beside the mode of its network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkOptions {
    /// The networks it is on, the one with the default route first. Empty: none of boxr's, and nothing is set up.
    pub networks: Vec<NetworkUse>,
    /// Published ports.
    pub publish: Vec<PortSpec>,
    /// Whether exposed ports are published on any free ones of the host's (`-P`).
    pub publish_all: bool,
    /// Exposed ports, of the container's side.
    pub exposed: Vec<PortSpec>,
    /// Name servers; the host's when empty.
    pub dns: Vec<String>,
    /// Domains that short names are looked up in; the host's when empty.
    pub dns_search: Vec<String>,
    /// Options of the resolver; the host's when empty.
    pub dns_options: Vec<String>,
}

impl NetworkOptions {
    /// Whether anything is to be set up for the box.
    pub fn is_wanted(&self) -> bool {
        !self.networks.is_empty()
    }
}

/// Everything a box is made from. Paths are absolute and the environment is complete, so
/// that a start from another directory, at another time, makes the same box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BoxOptions {
    /// The command and its arguments.
    pub args: Vec<String>,
    /// `KEY=VALUE`, complete.
    pub env: Vec<String>,
    /// Where the command starts, in the box.
    pub workdir: Option<PathBuf>,
    /// Who the command runs as; `None` is root of the box, or the caller where no user namespace is made.
    pub user: Option<User>,
    /// File mode creation mask; `None` is the caller's.
    pub umask: Option<u32>,
    /// Host name; `None` is the box's name when uts is new.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// The eight namespaces.
    pub namespaces: Namespaces,
    /// Networks, where the network namespace is new.
    pub network: NetworkOptions,
    /// Id maps of a new user namespace.
    pub id_mapping: IdMapping,
    /// Offset of the monotonic clock of a new time namespace, nanoseconds.
    pub monotonic_offset: Option<i64>,
    /// Offset of the boot-time clock of a new time namespace, nanoseconds.
    pub boottime_offset: Option<i64>,
    /// The file tree.
    pub root: Root,
    /// Whether the root is mounted read-only.
    pub read_only: bool,
    /// Mounts on top of the root, in order.
    pub mounts: Vec<MountOption>,
    /// How mounts travel.
    pub propagation: Propagation,
    /// Capabilities.
    pub capabilities: CapabilityChange,
    /// Whether execve(2) may not grant privileges.
    pub no_new_privileges: bool,
    /// setrlimit(2) limits.
    pub ulimits: Vec<Ulimit>,
    /// cgroup limits.
    pub limits: Limits,
    /// proc_pid_oom_score_adj(5), -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// boxr's own init as first process (`--init`).
    pub init: bool,
    /// The box ends when boxr does (`--die-with-parent`).
    pub die_with_parent: bool,
    /// The command gets a session of its own (`--new-session`).
    pub new_session: bool,
    /// How many descriptors from 3 on the command inherits.
    pub preserve_fds: u32,
    /// Whether stdin stays open (`-i`).
    pub interactive: bool,
    /// Whether the command gets a terminal.
    pub tty: Tty,
    /// Signal that asks the command to end, by name without SIG.
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL.
    pub stop_timeout: Option<u32>,
    /// Seconds after which the box is ended with status 124; `None` is never.
    pub timeout: Option<u64>,
    /// What remains at the end.
    pub retention: Retention,
    /// Who tells systemd that it is ready.
    #[serde(skip_serializing_if = "SdNotify::is_usual")]
    pub sdnotify: SdNotify,
    /// What is done about its end.
    #[serde(skip_serializing_if = "Restart::is_no")]
    pub restart: Restart,
    /// Log bounds.
    pub log: LogLimits,
    /// Where the log is.
    #[serde(skip_serializing_if = "LogTarget::is_usual")]
    pub log_to: LogTarget,
    /// `KEY=VALUE` labels.
    pub labels: BTreeMap<String, String>,
    /// Where its cgroup is, if it has one.
    #[serde(skip_serializing_if = "CgroupChoice::is_usual")]
    pub cgroup: CgroupChoice,
    /// `KEY=VALUE` annotations of the specification.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Execution domain of personality(2), in the specification's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personality: Option<String>,
    /// A program of the host that is the first process and has the command as its arguments (`--init-path`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_path: Option<PathBuf>,
    /// Ids of boxes that are started before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// File that gets the pid of the monitor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor_pidfile: Option<PathBuf>,
    /// File that gets the pid of the first process.
    pub pidfile: Option<PathBuf>,
    /// What a sandbox has besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Box<SandboxOptions>>,
    /// The pod that it is a member of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<crate::pod::Membership>,
    /// What containers of images have besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Box<ContainerOptions>>,
    /// Images that are mounted in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<MountedImage>,
    /// The text of a profile of system calls, for a command of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<String>,
    /// Whether what it does is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<Box<crate::watch::Watch>>,
    /// What a try has besides: writes to the host's tree are kept aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Box<crate::attempt::Attempt>>,
}
