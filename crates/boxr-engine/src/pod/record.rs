//! What boxr remembers of a pod: the record (what it is) and the state (how it is).

use std::collections::BTreeMap;

use boxr_sys::namespace::NamespaceKind;
use serde::{Deserialize, Serialize};

use crate::boot::{Here, Place};
use crate::id::Id;
use crate::image::Naming;
use crate::options::{IdMapping, Limits, MountOption, NetworkOptions, Restart};
use crate::record::{FORMAT, ProcessRef};

/// What becomes of a pod when the last of its members has ended (podman-pod-create(1), `--exit-policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitPolicy {
    /// It stays up.
    #[default]
    Continue,
    /// It is stopped.
    Stop,
}

impl ExitPolicy {
    /// Podman's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Stop => "stop",
        }
    }
}

/// Whose a namespace is that members share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The pod's.
    Pod,
    /// The host's.
    Host,
}

/// Everything a pod is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodOptions {
    /// The namespaces that its members share, by boxr's words.
    pub share: BTreeMap<String, Owner>,
    /// Whether there is somebody who keeps them while no member runs (`--infra`).
    pub infra: bool,
    /// What that is called; `None`: after the pod's id.
    pub infra_name: Option<String>,
    /// Host name of its uts namespace; `None` is the pod's name.
    pub hostname: Option<String>,
    /// Its networks and published ports.
    pub network: NetworkOptions,
    /// Names of hosts in its members.
    pub naming: Naming,
    /// The ids of a user namespace of the pod's own, which all members are in; `None`: none.
    pub users: Option<IdMapping>,
    /// Whether those ids are a range that boxr has given out.
    pub own_range: bool,
    /// What all members may use together.
    pub limits: Limits,
    /// Kernel parameters of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of /dev/shm.
    pub shm_size: Option<u64>,
    /// Mounts that every member has.
    pub mounts: Vec<MountOption>,
    /// What is done about the end of members that do not say.
    pub restart: Restart,
    /// Whether members may not gain privileges by execve(2).
    pub no_new_privileges: bool,
    /// What happens with the last member's end.
    pub exit_policy: ExitPolicy,
    /// `KEY=VALUE`
    pub labels: BTreeMap<String, String>,
}

impl PodOptions {
    /// Whose the namespace of `kind` is; `None` where members do not share it.
    pub fn shared(&self, kind: NamespaceKind) -> Option<Owner> {
        self.share.get(kind.word()).copied()
    }

    /// The kinds that are the pod's own.
    pub fn own_kinds(&self) -> impl Iterator<Item = NamespaceKind> + '_ {
        NamespaceKind::ALL.into_iter().filter(|kind| self.shared(*kind) == Some(Owner::Pod))
    }
}

/// `record.json`: what a pod was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRecord {
    /// [`FORMAT`]
    pub format: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What keeps its namespaces goes by this id.
    pub infra_id: String,
    /// Nanoseconds since 1970 UTC.
    pub created: i64,
    /// The command line that made it.
    pub command: Vec<String>,
    /// What it is.
    pub options: PodOptions,
}

impl PodRecord {
    /// What keeps its namespaces is called so.
    pub fn infra_name(&self) -> String {
        let made_up = || format!("{}-infra", self.id.get(..12).unwrap_or(&self.id));
        self.options.infra_name.clone().unwrap_or_else(made_up)
    }

    /// The host name of its uts namespace.
    pub fn hostname(&self) -> &str {
        self.options.hostname.as_deref().unwrap_or(&self.name)
    }
}

/// Who keeps a pod's namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Infra {
    /// The process that holds them open, outside of the pod; descriptor 3 and those that follow are [`Infra::held`].
    pub holder: ProcessRef,
    /// The first process of a pid namespace that members share.
    pub first: Option<ProcessRef>,
    /// What is held, by boxr's words.
    pub held: Vec<String>,
}

/// `state.json`: how a pod is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodState {
    /// [`FORMAT`]
    pub format: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Who keeps its namespaces, while it is up.
    pub infra: Option<Infra>,
    /// When it came up the last time, nanoseconds since 1970 UTC.
    pub started: Option<i64>,
    /// Its cgroup, which members' are below.
    pub cgroup: Option<boxr_cgroup::Location>,
    /// random/boot_id of the boot in which processes mean something.
    pub boot_id: String,
    /// Number of the pid namespace they are numbered in; 0 is not known.
    pub pid_namespace: u64,
}

impl PodState {
    /// Of a pod that has not been up.
    pub fn new(id: &Id) -> Self {
        Self {
            format: FORMAT,
            id: id.to_string(),
            infra: None,
            started: None,
            cgroup: None,
            boot_id: String::new(),
            pid_namespace: 0,
        }
    }

    /// Who keeps its namespaces, if that is still there.
    pub fn infra(&self, here: &Here) -> Option<&Infra> {
        let infra = self.infra.as_ref()?;
        match here.compare(&self.boot_id, self.pid_namespace) {
            Place::EarlierBoot => None,
            Place::Elsewhere => Some(infra),
            Place::Here => {
                let alive = infra.holder.is_alive() && infra.first.is_none_or(|first| first.is_alive());
                alive.then_some(infra)
            }
        }
    }

    /// Whether its namespaces are kept.
    pub fn is_up(&self, here: &Here) -> bool {
        self.infra(here).is_some()
    }
}
