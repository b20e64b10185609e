//! What was said, by flags or by a file: everything is optional.

use std::path::PathBuf;

use boxr_sys::namespace::NamespaceKind;

use boxr_network::{MacAddress, NetworkUse, PortSpec};

use super::grammar::{Id, UserSpec};
use crate::config::overlay::overlay;
use crate::image::mounted::MountedImage;
use crate::image::{Image, Said, SystemdMode};
use crate::notify::SdNotify;
use crate::options::{
    CgroupMode, IdExtent, LogDriver, MountOption, NamespaceMode, Propagation, Rare, Restart, Tty, Ulimit,
};
use crate::pod::PodSaid;

/// A path with what was written, for those that mean something else in another root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidPath {
    /// As it was written.
    pub said: PathBuf,
    /// Made absolute on the host.
    pub absolute: PathBuf,
}

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// stdin
    Input,
    /// stdout
    Output,
    /// stderr
    Errors,
}

/// What was said about a box. `None` and an empty list: nothing.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the setting of the same name says what each is")]
pub struct RawRun {
    pub args: Option<Vec<String>>,
    /// The image that was named, once it was found.
    pub image: Option<Box<Image>>,
    /// Those that are mounted, once they were found.
    pub mounted: Vec<MountedImage>,
    /// The pod that was named, once it was found.
    pub pod: Option<Box<PodSaid>>,
    pub container: Said,
    pub sandbox: crate::sandbox::Said,
    pub name: Option<String>,
    pub detach: Option<bool>,
    pub interactive: Option<bool>,
    pub tty: Option<Tty>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    /// `KEY=VALUE`, or `KEY` for the caller's value (`None`).
    pub env: Vec<(String, Option<String>)>,
    pub env_files: Vec<PathBuf>,
    /// `KEY=VALUE` with `${NAME}` of what there is.
    pub env_merge: Vec<(String, String)>,
    pub clear_env: Option<bool>,
    pub env_host: Option<bool>,
    pub http_proxy: Option<bool>,
    pub unset_all_env: Option<bool>,
    pub unset_env: Vec<String>,
    pub annotations: Vec<(String, String)>,
    pub personality: Option<String>,
    pub init_path: Option<PathBuf>,
    pub requires: Vec<String>,
    pub read_only_tmpfs: Option<bool>,
    pub monitor_pidfile: Option<PathBuf>,
    /// Which standard streams are connected; nothing said is all.
    pub attach: Vec<Stream>,
    pub signal_proxy: Option<bool>,
    pub systemd: Option<SystemdMode>,
    pub cgroup_mode: Option<CgroupMode>,
    pub cgroup_parent: Option<String>,
    pub workdir: Option<SaidPath>,
    pub labels: Vec<(String, String)>,
    pub label_files: Vec<PathBuf>,
    /// In the order of [`NamespaceKind::ALL`].
    pub namespaces: [Option<NamespaceMode>; 8],
    pub networks: Vec<NetworkUse>,
    pub publish: Vec<PortSpec>,
    pub publish_all: Option<bool>,
    pub expose: Vec<PortSpec>,
    pub ip: Option<std::net::IpAddr>,
    pub ip6: Option<std::net::IpAddr>,
    pub mac_address: Option<MacAddress>,
    pub network_alias: Vec<String>,
    pub share: Option<String>,
    pub map_self: Option<bool>,
    pub uid_map: Vec<IdExtent>,
    pub gid_map: Vec<IdExtent>,
    pub monotonic: Option<i64>,
    pub boottime: Option<i64>,
    pub rootfs: Option<PathBuf>,
    pub read_only: Option<bool>,
    pub mounts: Vec<MountOption>,
    pub propagation: Option<Propagation>,
    pub user: Option<UserSpec>,
    pub group_add: Vec<Id>,
    pub umask: Option<u32>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub no_new_privs: Option<bool>,
    /// Bytes; 0 is no limit.
    pub memory: Option<u64>,
    /// Bytes; -1 is no limit, 0 nothing said.
    pub memory_swap: Option<i64>,
    pub cpus_milli: Option<u64>,
    /// 0 is no weight.
    pub cpu_shares: Option<u64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    /// 0 or less is no limit.
    pub pids: Option<i64>,
    pub rare: Rare,
    pub ulimits: Vec<Ulimit>,
    pub oom_score_adj: Option<i32>,
    /// Seconds; 0 is never.
    pub timeout: Option<u64>,
    pub sdnotify: Option<SdNotify>,
    pub rm: Option<bool>,
    pub restart: Option<Restart>,
    pub keep: Option<bool>,
    pub init: Option<bool>,
    pub die_with_parent: Option<bool>,
    pub new_session: Option<bool>,
    pub stop_signal: Option<String>,
    pub stop_timeout: Option<u32>,
    pub log_max_size: Option<u64>,
    pub log_max_files: Option<u32>,
    pub log_driver: Option<LogDriver>,
    pub log_path: Option<PathBuf>,
    pub log_tag: Option<String>,
    pub pidfile: Option<PathBuf>,
    pub cidfile: Option<PathBuf>,
    pub preserve_fds: Option<u32>,
    pub detach_keys: Option<Vec<u8>>,
    /// What a person is to be told: something that was said has no effect.
    pub notes: Vec<String>,
}

impl RawRun {
    /// What was said of the namespace of `kind`.
    pub fn namespace(&self, kind: NamespaceKind) -> Option<&NamespaceMode> {
        self.namespaces[index(kind)].as_ref()
    }

    /// Tells a person that something that was said has no effect.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Says the mode of the namespace of `kind`.
    pub fn set_namespace(&mut self, kind: NamespaceKind, mode: NamespaceMode) {
        if kind == NamespaceKind::Network {
            self.networks.clear();
        }
        self.namespaces[index(kind)] = Some(mode);
    }

    /// What was said there of the namespace of `kind` is said here.
    pub fn move_namespace_from(&mut self, other: &mut Self, kind: NamespaceKind) {
        self.namespaces[index(kind)] = other.namespaces[index(kind)].take();
    }

    /// Says that the box is on a network, beside those that were said before.
    pub fn add_network(&mut self, network: NetworkUse) {
        self.namespaces[index(NamespaceKind::Network)] = Some(NamespaceMode::New);
        self.networks.push(network);
    }

    /// What `self`, a file, says where `flags` says nothing. Lists are joined, the file's first; a
    /// mount of a flag takes the place of the file's at the same destination.
    #[must_use]
    pub fn overlaid_by(mut self, flags: Self) -> Self {
        if flags.rm.is_some() || flags.keep.is_some() {
            (self.rm, self.keep) = (None, None);
        }
        if flags.share.is_some() {
            // Said later, and of all: the file's word on single namespaces gives way.
            self.namespaces = [const { None }; 8];
        }
        self.mounts.retain(|mount| !flags.mounts.iter().any(|other| other.destination == mount.destination));
        self.ulimits.retain(|limit| !flags.ulimits.iter().any(|other| other.kind == limit.kind));
        if flags.namespaces[index(NamespaceKind::Network)].is_some() {
            self.networks = flags.networks;
        }
        for (mine, said) in self.namespaces.iter_mut().zip(flags.namespaces) {
            if said.is_some() {
                *mine = said;
            }
        }
        if !flags.uid_map.is_empty() || !flags.gid_map.is_empty() {
            (self.uid_map, self.gid_map) = (flags.uid_map, flags.gid_map);
        }
        self.container = self.container.overlaid_by(flags.container);
        self.rare = self.rare.overlaid_by(flags.rare);
        self.sandbox = self.sandbox.overlaid_by(flags.sandbox);
        let mut file = self;
        overlay! {
            file, flags:
            args image pod name detach interactive tty hostname domainname clear_env workdir share map_self monotonic
            boottime rootfs read_only propagation user umask no_new_privs memory memory_swap cpus_milli
            cpu_shares cpuset_cpus cpuset_mems pids oom_score_adj timeout sdnotify rm restart keep init die_with_parent
            new_session stop_signal stop_timeout log_max_size log_max_files pidfile cidfile preserve_fds
            detach_keys publish_all ip ip6 mac_address env_host http_proxy unset_all_env personality init_path
            read_only_tmpfs monitor_pidfile signal_proxy log_driver log_path log_tag systemd cgroup_mode cgroup_parent;
            publish expose network_alias unset_env annotations attach requires
            env env_files env_merge labels label_files mounts mounted group_add cap_add cap_drop ulimits notes
        }
        file
    }
}

fn index(kind: NamespaceKind) -> usize {
    NamespaceKind::ALL.iter().position(|other| *other == kind).unwrap_or(0)
}
