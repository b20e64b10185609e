//! Control groups, version 1 and 2 and by systemd: limits, freezing, killing, figures.
//!
//! | wanted | called |
//! |---|---|
//! | a box of boxr's own | [`Request::new`], [`Host::plan`], [`Plan::create`] |
//! | an OCI container | [`Request::container`] with [`Place::Path`] or, for systemd, [`Place::Scope`] of [`Unit::parse`] |
//! | its first process | cloned with [`Cgroup::clone_into_fd`]; it calls [`Entrance::enter`] itself; [`Cgroup::adopt`] where [`Cgroup::waits_for_process`] |
//! | a further process | the same on [`Cgroup::open`] of the kept [`Location`] |
//! | other limits | [`Cgroup::update`]; keep the location that it returns |
//! | `ps`, `pause`, `kill` | [`Cgroup::processes`], [`Cgroup::freeze`], [`Cgroup::thaw`], [`Cgroup::kill`] |
//! | figures | [`Cgroup::stats`], or in runc's shape [`Cgroup::container_stats`] |
//! | a lack of memory | [`Cgroup::watch_oom`] while it runs, [`Cgroup::oom_kills`] afterwards |
//! | the end | [`Location::remove`], or [`Location::kill_and_remove`] |
//!
//! [`Host::detect`] finds out what this machine has; [`Host::plan`] checks a [`Request`] against it
//! and changes nothing; [`Plan::create`] makes the directories and writes the limits before any
//! process is in them. The [`Cgroup`] that comes out is entered by `CLONE_INTO_CGROUP` or
//! [`Cgroup::entrance`], and found again from its [`Location`] by later commands with [`Cgroup::open`].
//!
//! In the hybrid layout limits go to version 1's controllers, below the cgroup the caller is in,
//! and freezing and killing go through the version 2 tree, which needs no controller for them.
//! Putting another process into a version 1 hierarchy is slow (it takes a lock over all processes of the
//! machine); a process that enters by itself is not, which is what [`Entrance`] is for. Still a box joins only
//! those that carry a limit, as each costs a directory; an OCI container joins all ([`Accounting::Every`]).

mod cgroup;
mod controller;
mod create;
mod dbus;
mod device_program;
mod devices;
mod entrance;
mod error;
pub mod events;
mod field;
mod file;
mod freeze;
mod host;
mod kill;
mod parent;
mod place;
mod plan;
mod remove;
mod resources;
mod stats;
mod systemd;
mod update;
mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use cgroup::Cgroup;
pub use controller::Controller;
pub use dbus::BusError;
pub use entrance::Entrance;
pub use error::{Absence, Error, Result};
pub use field::Field;
pub use freeze::{FREEZE_PATIENCE, Frozen};
pub use host::{Hierarchy, Host, Layout};
pub use plan::{Accounting, Need, Place, Plan, Request, Within};
pub use resources::cpu::{bandwidth, weight_of_shares};
pub use resources::cpuset::parse_list;
pub use resources::devices::DeviceDefaults;
pub use resources::memory::MINIMUM as MEMORY_MINIMUM;
pub use stats::{
    CpuStats, IoStats, MemoryStats, PidsStats, Pressure, PressureFigures, PressureLine, Stats, Throttling,
};

pub use systemd::{Manager, Unit};

/// Where the cgroups of one container are; kept in its state, so that a later command finds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Directory in the cgroup v2 tree, if it has one there.
    pub unified: Option<PathBuf>,
    /// Directories in cgroup v1 hierarchies, by controller.
    pub legacy: BTreeMap<String, PathBuf>,
    /// Directories that boxes share, which go with the last of them.
    #[serde(default)]
    pub parents: Vec<PathBuf>,
    /// Directories of a pod in hierarchies that only its members are in, from below; they go with the last of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enclosing: Vec<PathBuf>,
    /// The scope of systemd's that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

impl Location {
    /// Where process `pid` is, whoever made its cgroups.
    ///
    /// # Errors
    /// When its files in `/proc` cannot be read.
    pub fn of_process(pid: i32) -> Result<Self> {
        let host = Host::of_process(pid)?;
        let legacy = host.legacy.into_iter();
        Ok(Self {
            unified: host.unified.map(|hierarchy| hierarchy.own),
            legacy: legacy.map(|(of, hierarchy)| (of.legacy_name().to_owned(), hierarchy.own)).collect(),
            ..Self::default()
        })
    }

    /// Where files of `controller` are; `None` stands for version 2's core.
    pub(crate) fn directory(&self, controller: Option<Controller>) -> Option<&Path> {
        controller
            .and_then(|controller| self.legacy.get(controller.legacy_name()))
            .or(self.unified.as_ref())
            .map(PathBuf::as_path)
    }

    /// The v1 directories, each once.
    pub(crate) fn legacy_directories(&self) -> BTreeSet<&Path> {
        self.legacy.values().map(PathBuf::as_path).collect()
    }

    /// All directories, each once.
    pub(crate) fn directories(&self) -> BTreeSet<&Path> {
        self.unified.iter().chain(self.legacy.values()).map(PathBuf::as_path).collect()
    }

    /// The directory that has every process of the box: version 2's if there is one.
    pub(crate) fn any(&self) -> Option<&Path> {
        self.unified.as_deref().or_else(|| self.legacy.values().next().map(PathBuf::as_path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_of_an_older_state_is_read() {
        let text = r#"{"unified":"/sys/fs/cgroup/boxr/x","legacy":{"memory":"/m/x","cpu":"/m/x"}}"#;
        let location: Location = serde_json::from_str(text).unwrap();
        assert_eq!(location.directories().len(), 2);
        assert_eq!(location.directory(Some(Controller::Memory)), Some(Path::new("/m/x")));
        assert_eq!(location.directory(Some(Controller::Pids)), location.unified.as_deref());
        assert!(location.parents.is_empty());
    }
}
