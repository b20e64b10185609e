//! A box that is a member of a pod: what it takes from it, and how it enters.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use boxr_cgroup::Location;
use boxr_sys::namespace::NamespaceKind;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::infra::{self, Up, has_infra};
use super::lifecycle::{self, Lowered};
use super::record::{ExitPolicy, Owner, PodOptions, PodRecord};
use super::{PodError, holder, shm, status};
use crate::events::Action;
use crate::id::Id;
use crate::image::Surroundings;
use crate::network;
use crate::options::{BoxOptions, JoinTarget, MountOption, NamespaceMode, Root};
use crate::outcome::EngineError;
use crate::record::State;
use crate::store::{Hold, PodDir, PodLock, Store};

const SHM: &str = "/dev/shm";

/// Which pod a box is a member of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its id.
    pub id: String,
}

/// The pod that a command line names, once it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSaid {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub options: PodOptions,
}

impl PodSaid {
    /// How a member comes to its namespace of `kind`, where the pod says so.
    pub(crate) fn mode(&self, kind: NamespaceKind) -> Option<NamespaceMode> {
        if kind == NamespaceKind::User {
            let own = self.options.users.is_some() && has_infra(&self.options);
            return own.then_some(NamespaceMode::Join(JoinTarget::Pod));
        }
        Some(match self.options.shared(kind)? {
            Owner::Pod => NamespaceMode::Join(JoinTarget::Pod),
            Owner::Host => NamespaceMode::Host,
        })
    }
}

/// A member on its way into its pod, which stays up meanwhile.
#[derive(Debug)]
pub(crate) struct Joined {
    store: Store,
    /// The member's name.
    name: String,
    /// Held until the member runs.
    _lock: PodLock,
    namespaces: Vec<(NamespaceKind, OwnedFd)>,
    cgroup: Option<Location>,
    id: String,
    record: PodRecord,
    around: Option<Surroundings>,
    shm: Option<PathBuf>,
}

/// What a plan needs of a pod.
#[derive(Debug, Default)]
pub struct PodSide {
    /// The namespaces to join, open.
    pub namespaces: Vec<(NamespaceKind, OwnedFd)>,
    /// The pod's id, and its cgroup, which the member's is to be below.
    pub cgroup: Option<(String, Location)>,
    /// What all members have as /dev/shm; what they make there has their ids.
    pub shm: Option<PathBuf>,
}

/// Keeps the pod of a new box from being removed until the box is there to be seen.
///
/// # Errors
/// There is no such pod any more.
pub(crate) fn admit(store: &Store, options: &BoxOptions) -> Result<Option<PodLock>, EngineError> {
    let Some(member) = &options.pod else { return Ok(None) };
    Ok(store.resolve_pod(&member.id)?.lock(Hold::Shared)?)
}

/// Brings the pod of a box up and opens what the box joins.
///
/// # Errors
/// The pod is gone, or does not come up.
pub(crate) fn enter(store: &Store, options: &BoxOptions, name: &str) -> Result<Option<Joined>, EngineError> {
    let Some(member) = &options.pod else { return Ok(None) };
    let dir = store.resolve_pod(&member.id)?;
    let record = dir.read_record()?;
    let Up { lock, state } = match has_infra(&record.options) {
        true => infra::ensure(store, &dir, &record)?,
        false => without_infra(&dir)?,
    };
    let namespaces = match &state.infra {
        Some(infra) => open_held(&record, infra)?,
        None => Vec::new(),
    };
    let joins = |kind| options.namespaces.get(kind) == Some(&NamespaceMode::Join(JoinTarget::Pod));
    let around = joins(NamespaceKind::Network).then(|| surroundings(store, &record)).transpose()?;
    let shm = joins(NamespaceKind::Ipc).then(|| shm::path(&dir));
    Ok(Some(Joined {
        store: store.clone(),
        name: name.to_owned(),
        _lock: lock,
        namespaces,
        cgroup: state.cgroup,
        id: member.id.clone(),
        record,
        around,
        shm,
    }))
}

fn without_infra(dir: &PodDir) -> Result<Up, EngineError> {
    let gone = || crate::store::StoreError::NoPod { wanted: dir.id().short().to_owned() };
    let lock = dir.lock(Hold::Shared)?.ok_or_else(gone)?;
    Ok(Up { lock, state: dir.read_state()?.ok_or_else(gone)? })
}

fn open_held(
    record: &PodRecord,
    infra: &super::record::Infra,
) -> Result<Vec<(NamespaceKind, OwnedFd)>, EngineError> {
    let failed =
        |kind: &str, errno| PodError::Open { kind: kind.to_owned(), name: record.name.clone(), errno };
    let mut opened = Vec::new();
    for (index, word) in infra.held.iter().enumerate() {
        let fd = holder::open(infra.holder, index).map_err(|errno| failed(word, errno))?;
        let kind = NamespaceKind::from_word(word).ok_or_else(|| failed(word, Errno::INVAL))?;
        opened.push((kind, fd));
    }
    // Opened by number: it must still be the same process.
    if !infra.holder.is_alive() {
        return Err(failed("first", Errno::SRCH).into());
    }
    Ok(opened)
}

/// What a member is told of the network that it shares.
fn surroundings(store: &Store, record: &PodRecord) -> Result<Surroundings, EngineError> {
    let networks = network::networks(store.paths());
    let attachment = networks.attachment(&record.id)?;
    let naming = &record.options.naming;
    Ok(Surroundings {
        hostname: None,
        hosts: naming.hosts.clone(),
        ..network::surroundings_of(attachment.as_ref())
    })
}

impl Joined {
    /// It runs: others on the pod's networks find it by its name.
    ///
    /// # Errors
    /// The record of the pod's networks cannot be written.
    pub fn announce(&self) -> Result<(), EngineError> {
        if !self.has_network() {
            return Ok(());
        }
        Ok(network::networks(self.store.paths()).name_member(&self.id, &self.name, true)?)
    }

    /// What the plan of the box needs.
    pub fn take_side(&mut self) -> PodSide {
        PodSide {
            namespaces: std::mem::take(&mut self.namespaces),
            cgroup: self.cgroup.clone().map(|location| (self.id.clone(), location)),
            shm: self.shm.clone(),
        }
    }

    /// What a member is told of its network and its host name, where it shares them.
    pub fn surroundings(&self, options: &BoxOptions) -> Option<Surroundings> {
        let shares_name = options.namespaces.uts == NamespaceMode::Join(JoinTarget::Pod);
        let hostname = shares_name.then(|| self.record.hostname().to_owned());
        match (&self.around, hostname) {
            (Some(around), hostname) => Some(Surroundings { hostname, ..around.clone() }),
            (None, Some(hostname)) => {
                Some(Surroundings { hostname: Some(hostname), ..Surroundings::default() })
            }
            (None, None) => None,
        }
    }

    /// What the member's resolv.conf says where it has no file of its own otherwise.
    pub fn servers(&self) -> Option<Vec<String>> {
        let around = self.around.as_ref()?;
        Some(around.servers.clone()).filter(|servers| !servers.is_empty())
    }

    /// Whom those ask in place of the host's servers.
    pub fn asked(&self) -> Vec<IpAddr> {
        self.around.as_ref().map(|around| around.asked.clone()).unwrap_or_default()
    }

    /// Whether the member shares a network of the pod's that is set up.
    pub fn has_network(&self) -> bool {
        self.around.is_some() && self.record.options.network.is_wanted()
    }

    /// The mounts that it has of the pod's, unless it has another at the same place.
    pub fn mounts(&self, options: &BoxOptions) -> Vec<MountOption> {
        if options.namespaces.mount != NamespaceMode::New {
            return Vec::new();
        }
        let has_place = options.root != Root::Host || Path::new(SHM).is_dir();
        let shm = self.shm.as_ref().filter(|_| has_place).map(|source| MountOption {
            kind: "bind".to_owned(),
            source: Some(source.display().to_string()),
            destination: PathBuf::from(SHM),
            options: ["bind", "rw", "nosuid", "nodev", "noexec"].map(str::to_owned).to_vec(),
        });
        let taken =
            |mount: &MountOption| options.mounts.iter().any(|other| other.destination == mount.destination);
        shm.into_iter().filter(|mount| !taken(mount)).collect()
    }
}

/// Called when the end of a member has been written down: the last one takes a pod down whose policy says so.
///
/// # Errors
/// What could not be taken.
pub(crate) fn after_end(store: &Store, state: &State) -> Result<(), EngineError> {
    let Some(id) = state.pod.as_deref().and_then(Id::parse) else { return Ok(()) };
    let Ok(dir) = store.resolve_pod(id.as_str()) else { return Ok(()) };
    let record = dir.read_record()?;
    if record.options.network.is_wanted() {
        network::networks(store.paths()).name_member(id.as_str(), &state.name, false)?;
    }
    let is_last = || !status::has_running_members(store, &id);
    if record.options.exit_policy == ExitPolicy::Stop
        && is_last()
        && let Lowered::Now(_lock) = lifecycle::lower(store, &dir)?
    {
        super::note(store, &record.id, &record.name, Action::Stop);
    }
    Ok(())
}
