//! Which namespaces a box has, and whose.

use std::path::PathBuf;

use boxr_sys::namespace::NamespaceKind;
use serde::{Deserialize, Serialize};

/// How one namespace of a box comes to be (ARCHITECTURE.md, "Namespaces").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceMode {
    /// Made for this box.
    New,
    /// The caller's.
    Host,
    /// Another's, which exists.
    Join(JoinTarget),
}

/// Whose namespace is joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinTarget {
    /// `container:NAME`: a running box, by name, id or id prefix.
    Container(String),
    /// `pid:N`: the namespace of a process.
    Pid(i32),
    /// That of the pod which the box is a member of ([`crate::pod`]).
    Pod,
    /// A path of an nsfs file, such as `/run/netns/blue`.
    Path(PathBuf),
    /// `id:INODE` or `net:[INODE]`: the number that lsns(8) prints.
    Id(u64),
}

/// The mode of each of the eight namespaces. `user: None` means: decided when the box
/// starts (new when the caller lacks the privilege to do without one, otherwise the caller's).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// pid
    pub pid: NamespaceMode,
    /// network
    pub network: NamespaceMode,
    /// mount
    pub mount: NamespaceMode,
    /// uts
    pub uts: NamespaceMode,
    /// ipc
    pub ipc: NamespaceMode,
    /// user
    pub user: Option<NamespaceMode>,
    /// cgroup
    pub cgroup: NamespaceMode,
    /// time
    pub time: NamespaceMode,
}

impl Namespaces {
    /// The mode of `kind`; `None` only for an undecided user namespace.
    pub fn get(&self, kind: NamespaceKind) -> Option<&NamespaceMode> {
        Some(match kind {
            NamespaceKind::Pid => &self.pid,
            NamespaceKind::Network => &self.network,
            NamespaceKind::Mount => &self.mount,
            NamespaceKind::Uts => &self.uts,
            NamespaceKind::Ipc => &self.ipc,
            NamespaceKind::User => return self.user.as_ref(),
            NamespaceKind::Cgroup => &self.cgroup,
            NamespaceKind::Time => &self.time,
        })
    }

    /// Sets the mode of `kind`.
    pub fn set(&mut self, kind: NamespaceKind, mode: NamespaceMode) {
        match kind {
            NamespaceKind::Pid => self.pid = mode,
            NamespaceKind::Network => self.network = mode,
            NamespaceKind::Mount => self.mount = mode,
            NamespaceKind::Uts => self.uts = mode,
            NamespaceKind::Ipc => self.ipc = mode,
            NamespaceKind::User => self.user = Some(mode),
            NamespaceKind::Cgroup => self.cgroup = mode,
            NamespaceKind::Time => self.time = mode,
        }
    }
}

impl Default for Namespaces {
    /// Defaults of a host command: pid, uts and mount new, the rest inherited.
    fn default() -> Self {
        Self {
            pid: NamespaceMode::New,
            network: NamespaceMode::Host,
            mount: NamespaceMode::New,
            uts: NamespaceMode::New,
            ipc: NamespaceMode::Host,
            user: None,
            cgroup: NamespaceMode::Host,
            time: NamespaceMode::Host,
        }
    }
}
