//! What only a container of an image has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use boxr_image::digest::Digest;
use serde::{Deserialize, Serialize};

use super::quota::LayerLimits;
use super::userns::UserIds;
use crate::health::Health;
use crate::secret::SecretOption;

/// The image that a container is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRoot {
    /// What it was called, in short.
    pub name: String,
    /// The digest of its manifest: what the store knows it by.
    pub manifest: Digest,
    /// The digest of its configuration: what people know it by.
    pub id: Digest,
    /// The digests of its layers' tar streams, the lowest first.
    pub layers: Vec<Digest>,
}

/// Options that mean something for containers of images alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerOptions {
    /// Who the command runs as, to be looked up in the container's own files: `USER[:GROUP]`, each a name or a
    /// number; empty is root.
    pub user: String,
    /// Supplementary groups, by name or number, besides those that the user is a member of.
    pub groups: Vec<String>,
    /// What of the command was the entrypoint, for those who ask.
    pub entrypoint: Vec<String>,
    /// Directories that the image wants to outlive the container's changes.
    pub volumes: Vec<String>,
    /// Ports that the image says it listens on: `8080/tcp`.
    pub ports: Vec<String>,
    /// All capabilities and devices, and nothing that protects the host (`--privileged`).
    pub privileged: bool,
    /// The filter of system calls.
    pub seccomp: Seccomp,
    /// The AppArmor profile, if one was named.
    pub apparmor: Option<String>,
    /// Whether /proc and /sys are as the kernel makes them (`--security-opt systempaths=unconfined`).
    pub open_system_paths: bool,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Rules of its cgroup, besides those of its devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_rules: Vec<DeviceRule>,
    /// Kernel parameters of the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of /dev/shm; `None` is 64 MiB.
    pub shm_size: Option<u64>,
    /// What /etc/hosts and /etc/resolv.conf say.
    pub naming: Naming,
    /// How it is found out whether it is well.
    pub health: Option<Health>,
    /// What its /etc/passwd and /etc/group have besides the image's lines.
    #[serde(skip_serializing_if = "Accounts::is_empty")]
    pub accounts: Accounts,
    /// Whether systemd is its first process, and may divide its cgroup.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub systemd: bool,
    /// Directories in it that have its /etc/hosts, /etc/hostname and /etc/resolv.conf, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chroot_dirs: Vec<PathBuf>,
    /// Containers whose volumes and binds it has too: `NAME[:ro]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    /// Devices by name (CDI).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cdi: Vec<String>,
    /// Secrets, by name only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretOption>,
    /// How much it may change of its image.
    #[serde(skip_serializing_if = "LayerLimits::is_empty")]
    pub layer: LayerLimits,
    /// Whose ids its ids are.
    pub user_ids: UserIds,
}

/// When a container is made for systemd (podman's `--systemd`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SystemdMode {
    /// When its command is called like it.
    #[default]
    Detected,
    /// Whatever its command is.
    Always,
    /// Never.
    Never,
}

/// Lines of a container's own in /etc/passwd and /etc/group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Accounts {
    /// Whether a user whom the image does not know gets a line.
    pub own: bool,
    /// That line, with `$USERNAME`, `$UID`, `$GID`, `$NAME` and `$HOME` to be replaced.
    pub passwd_entry: Option<String>,
    /// The line of a group that the image does not know, with `$GROUPNAME`, `$GID` and `$USERLIST`.
    pub group_entry: Option<String>,
    /// Lines of users of the host.
    pub host_users: Vec<String>,
}

impl Accounts {
    /// Whether the container has its image's files.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The filter of system calls of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// boxr's own.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// The text of a file, as it was when the container was made.
    Profile(String),
}

/// A device of the host, or a directory of devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its path on the host.
    pub host: PathBuf,
    /// Its path in the container.
    pub container: PathBuf,
    /// `r`, `w` and `m`: what may be done with it.
    pub access: String,
}

/// Devices that a container may use, whoever makes their nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// `a` for all, `b` block devices, `c` character devices.
    pub kind: char,
    /// `None` is any.
    pub major: Option<u32>,
    /// `None` is any.
    pub minor: Option<u32>,
    /// `r`, `w` and `m`.
    pub access: String,
}

/// Names of hosts in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Naming {
    /// Name and address of more lines of /etc/hosts.
    pub hosts: Vec<(String, String)>,
    /// Other containers that it knows by names of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// The container has the /etc/hosts of its image.
    pub keeps_hosts: bool,
    /// Name servers in place of the host's.
    pub servers: Vec<String>,
    /// Domains to look names up in, in place of the host's; `.` alone is none.
    pub search: Vec<String>,
    /// Options of resolv.conf(5), in place of the host's.
    pub options: Vec<String>,
}

/// Another container on one of its networks, in its /etc/hosts (`--link`, docker-run(1)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The other's name or id as it was said; its id from the creation on.
    pub container: String,
    /// How it is called here.
    pub alias: String,
}
