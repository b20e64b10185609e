//! A pod comes up, is repaired, and goes down.

use std::os::fd::{AsFd, OwnedFd};

use boxr_cgroup::{Location, Need};
use boxr_runtime::plan::CgroupPlan;
use boxr_runtime::process::parent::{Spawned, spawn};
use boxr_runtime::{capabilities, namespaces};
use boxr_sys::namespace::NamespaceKind;
use boxr_sys::{pidfd, signal};
use rustix::process::Signal;

use super::plan::{self, Namespacing};
use super::record::{Infra, Owner, PodOptions, PodRecord, PodState};
use super::{holder, shm, status};
use crate::foreground::now;
use crate::network::{self, Held};
use crate::options::{JoinTarget, NamespaceMode};
use crate::outcome::EngineError;
use crate::prepare::PrepareError;
use crate::record::{FORMAT, ProcessRef};
use crate::resources;
use crate::store::{Hold, PodDir, PodLock, Store};

/// A pod that is up and stays so while this is held.
#[derive(Debug)]
pub(super) struct Up {
    pub lock: PodLock,
    pub state: PodState,
}

/// Brings a pod up, or repairs what was killed of it, if need be.
///
/// # Errors
/// What does not start; nothing is left of it.
pub(super) fn ensure(store: &Store, dir: &PodDir, record: &PodRecord) -> Result<Up, EngineError> {
    loop {
        if let Some(lock) = dir.lock(Hold::Shared)?
            && let Some(state) = dir.read_state()?
            && state.is_up(store.here())
        {
            return Ok(Up { lock, state });
        }
        let Some(lock) = dir.lock(Hold::Alone)? else { continue };
        let state = dir.read_state()?.unwrap_or_else(|| PodState::new(dir.id()));
        let state = if state.is_up(store.here()) { state } else { raise(store, dir, record, state)? };
        let lock = lock.share().map_err(|errno| EngineError::system("share the pod's lock", errno))?;
        if dir.read_state()?.as_ref() == Some(&state) {
            return Ok(Up { lock, state });
        }
    }
}

/// Starts the process that keeps the pod's namespaces again where that was killed and members live; whoever is at work on
/// the pod is left alone.
///
/// # Errors
/// What does not start.
pub fn repair(
    store: &Store,
    dir: &PodDir,
    record: &PodRecord,
    state: PodState,
) -> Result<PodState, EngineError> {
    if state.infra.is_none() || state.is_up(store.here()) || !status::has_running_members(store, dir.id()) {
        return Ok(state);
    }
    let Some(_lock) = dir.lock(Hold::TryAlone)? else { return Ok(state) };
    match dir.read_state()? {
        Some(state) if state.infra.is_some() && !state.is_up(store.here()) => {
            raise(store, dir, record, state)
        }
        Some(state) => Ok(state),
        None => Ok(state),
    }
}

/// What has been made while a pod comes up, and goes when that fails.
struct Raising<'a> {
    store: &'a Store,
    dir: &'a PodDir,
    record: &'a PodRecord,
    privileged: bool,
    /// Whether nothing of an earlier time lives on.
    fresh: bool,
    connected: bool,
}

fn raise(store: &Store, dir: &PodDir, record: &PodRecord, before: PodState) -> Result<PodState, EngineError> {
    let privileged = capabilities::is_privileged().map_err(PrepareError::Caller)?;
    let living = living(store, dir, record, &before, privileged)?;
    let fresh = !status::has_running_members(store, dir.id());
    let mut raising = Raising { store, dir, record, privileged, fresh, connected: false };
    if fresh {
        end_processes(&before)?;
    }
    let state = raising.cgroup(before).and_then(|state| raising.namespaces(state, living));
    if state.is_err() && fresh {
        // The failure of the start is what is reported; what is left here goes with the pod.
        lower(dir, &dir.read_state()?.unwrap_or_else(|| PodState::new(dir.id()))).unwrap_or_default();
    }
    state
}

impl Raising<'_> {
    fn options(&self) -> &PodOptions {
        &self.record.options
    }

    /// The cgroup of the whole pod, below which its members' are. Without limits it is a convenience.
    fn cgroup(&self, before: PodState) -> Result<PodState, EngineError> {
        if !self.fresh {
            return Ok(before);
        }
        let limits = &self.options().limits;
        let resources =
            (!limits.is_empty()).then(|| resources::of(limits).map_err(PrepareError::from)).transpose()?;
        let request = boxr_cgroup::Request {
            resources: resources.as_ref(),
            need: if limits.is_empty() { Need::IfPossible } else { Need::Required },
            ..boxr_cgroup::Request::new(self.dir.id().as_str())
        };
        let plan = boxr_cgroup::Host::detect()?.plan(&request)?;
        let location = (!plan.is_empty()).then(|| plan.location().clone());
        // Known before it is made, so that a kill in between leaves none that nobody knows of.
        let state = PodState { cgroup: location, infra: None, ..before };
        self.dir.write_state(&state)?;
        if state.cgroup.is_some() {
            plan.create()?;
        }
        Ok(state)
    }

    fn namespaces(
        &mut self,
        state: PodState,
        living: Vec<(NamespaceKind, OwnedFd)>,
    ) -> Result<PodState, EngineError> {
        let kinds = plan::held_kinds(self.options(), self.privileged);
        let is_living = |kind: &NamespaceKind| living.iter().any(|(other, _)| other == kind);
        let new: Vec<NamespaceKind> = kinds.iter().filter(|kind| !is_living(kind)).copied().collect();
        if new.contains(&NamespaceKind::Ipc) {
            shm::make(self.dir, self.options().shm_size, self.privileged)?;
        }
        let before = state.infra.as_ref().and_then(|infra| infra.first).filter(|first| first.is_alive());
        let mut held: Vec<Option<OwnedFd>> = kinds.iter().map(|_| None).collect();
        let (spawned, ports) = match new.is_empty() {
            true => (None, network::hold_again(self.store.paths(), self.dir.id())),
            false => self
                .make(&kinds, &new, &living, &state, &mut held)
                .map(|(spawned, ports)| (Some(spawned), ports))?,
        };
        for (kind, fd) in living {
            if let Some(index) = kinds.iter().position(|other| *other == kind) {
                held[index] = Some(fd);
            }
        }
        let made = self.keep(state, &kinds, held.into_iter().flatten().collect(), ports, spawned, before);
        if made.is_err() && self.connected {
            network::release(self.store.paths(), self.dir.id())?;
        }
        made
    }

    /// Makes what does not live, and opens it. The process that it was made in waits.
    fn make(
        &mut self,
        kinds: &[NamespaceKind],
        new: &[NamespaceKind],
        living: &[(NamespaceKind, OwnedFd)],
        state: &PodState,
        held: &mut [Option<OwnedFd>],
    ) -> Result<(Spawned, Held), EngineError> {
        let options = plan::options(self.record, self.dir, new);
        if options.root.is_own() {
            self.make_root()?;
        }
        let mut joined = Vec::new();
        for (kind, fd) in living {
            let copy = rustix::io::fcntl_dupfd_cloexec(fd, 3);
            joined.push((*kind, copy.map_err(|errno| EngineError::system("hold a namespace", errno))?));
        }
        let networks = network::networks(self.store.paths());
        let attaches = new.contains(&NamespaceKind::Network);
        if attaches && state.started.is_none() {
            network::check_names(&networks, &options)?;
        }
        let mut network = match attaches {
            true => {
                let (id, name) = (self.dir.id(), &self.record.name);
                network::reserve(
                    self.store,
                    &networks,
                    &options,
                    id,
                    name,
                    &self.record.options.naming.hosts,
                )?
            }
            false => network::Reserved::default(),
        };
        let above = network.above(self.store)?;
        let cgroup = self.cgroup_of_first(state, new)?;
        let plan =
            plan::plan(self.record, &options, Namespacing { new: new.to_vec(), joined }, cgroup, above)?;
        let mut spawned = spawn(plan, &signal::nothing_blocked())?;
        let prepared = spawned.await_prepared().map_err(EngineError::from);
        let opened =
            prepared.and_then(|()| self.open_made(kinds, new, &spawned, held)).and_then(
                |()| match attaches {
                    true => network.connect(spawned.pid),
                    false => Ok(network::hold_again(self.store.paths(), self.dir.id())),
                },
            );
        match opened {
            Ok(ports) => {
                self.connected = attaches;
                Ok((spawned, ports))
            }
            Err(error) => Err(spawned.abandon_for(error)),
        }
    }

    /// An empty tree, which root of another user namespace may enter.
    fn make_root(&self) -> Result<(), EngineError> {
        let path = self.dir.path().join("root");
        crate::store::make_directories(&path)
            .map_err(|errno| crate::store::StoreError::system("make", &path, errno))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).map_err(|error| EngineError::File {
            path: path.display().to_string(),
            errno: rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO),
        })
    }

    /// The first process of a pid namespace is counted with the pod.
    fn cgroup_of_first(&self, state: &PodState, new: &[NamespaceKind]) -> Result<CgroupPlan, EngineError> {
        let Some(location) = &state.cgroup else { return Ok(CgroupPlan::Inherit) };
        if new.contains(&NamespaceKind::Cgroup) {
            return Ok(CgroupPlan::Existing(location.clone()));
        }
        if !new.contains(&NamespaceKind::Pid) {
            return Ok(CgroupPlan::Inherit);
        }
        let request = boxr_cgroup::Request {
            need: Need::IfPossible,
            within: Some(within(self.dir, location)),
            ..boxr_cgroup::Request::new("infra")
        };
        let plan = boxr_cgroup::Host::detect()?.plan(&request)?;
        Ok(if plan.is_empty() { CgroupPlan::Inherit } else { CgroupPlan::New(Box::new(plan)) })
    }

    fn open_made(
        &self,
        kinds: &[NamespaceKind],
        new: &[NamespaceKind],
        spawned: &Spawned,
        held: &mut [Option<OwnedFd>],
    ) -> Result<(), EngineError> {
        for (index, kind) in kinds.iter().enumerate().filter(|(_, kind)| new.contains(kind)) {
            let opened = namespaces::open(*kind, spawned.pid.as_raw_nonzero().get());
            held[index] = Some(opened.map_err(|errno| super::PodError::Open {
                kind: kind.word().to_owned(),
                name: self.record.name.clone(),
                errno,
            })?);
        }
        Ok(())
    }

    /// From here on the namespaces do not need the process that they were made in.
    fn keep(
        &self,
        state: PodState,
        kinds: &[NamespaceKind],
        held: Vec<OwnedFd>,
        ports: Held,
        spawned: Option<Spawned>,
        before: Option<ProcessRef>,
    ) -> Result<PodState, EngineError> {
        let stays = spawned.is_some() && before.is_none() && kinds.contains(&NamespaceKind::Pid);
        let waiting = holder::start(&self.record.name, held, ports.into_sockets());
        let noted = waiting.and_then(|waiting| {
            let made = spawned.as_ref().filter(|_| stays).map(|spawned| spawned.pid.as_raw_nonzero().get());
            let first = made.map(ProcessRef::of).transpose()?.flatten().or(before);
            let here = self.store.here();
            let state = PodState {
                format: FORMAT,
                infra: Some(Infra {
                    holder: waiting.process(),
                    first,
                    held: kinds.iter().map(|kind| kind.word().to_owned()).collect(),
                }),
                started: Some(now()),
                boot_id: here.boot_id.clone(),
                pid_namespace: here.pid_namespace,
                ..state
            };
            self.dir.write_state(&state)?;
            Ok((waiting, state))
        });
        let (waiting, state) = match (noted, spawned) {
            (Ok(noted), Some(spawned)) if stays => {
                spawned.go()?;
                noted
            }
            (noted, spawned) => {
                if let Some(spawned) = spawned {
                    spawned.abandon();
                }
                noted?
            }
        };
        waiting.release()?;
        Ok(state)
    }
}

/// The pod's cgroup as the place of others.
pub(super) fn within<'a>(dir: &'a PodDir, location: &'a Location) -> boxr_cgroup::Within<'a> {
    boxr_cgroup::Within { name: dir.id().as_str(), location }
}

/// The namespaces that live although nobody keeps them: through members, and through the first process of a shared pid
/// namespace.
fn living(
    store: &Store,
    dir: &PodDir,
    record: &PodRecord,
    state: &PodState,
    privileged: bool,
) -> Result<Vec<(NamespaceKind, OwnedFd)>, EngineError> {
    let mut found: Vec<(NamespaceKind, OwnedFd)> = Vec::new();
    let first = state.infra.as_ref().and_then(|infra| infra.first).filter(ProcessRef::is_alive);
    for kind in plan::held_kinds(&record.options, privileged) {
        let mut processes = status::processes_in(store, dir.id(), |options| match kind {
            NamespaceKind::User => true,
            kind => options.namespaces.get(kind) == Some(&NamespaceMode::Join(JoinTarget::Pod)),
        });
        if kind == NamespaceKind::Pid {
            // A pid namespace whose first process has ended takes nobody any more.
            match first {
                Some(first) => processes.push(first),
                None => continue,
            }
        }
        let opened = processes.into_iter().find_map(|process| {
            // Opened by number: it must still be the same process.
            namespaces::open(kind, process.pid).ok().filter(|_| process.is_alive())
        });
        let is_anothers = |fd: &OwnedFd| !namespaces::is_own(kind, fd);
        found.extend(opened.filter(is_anothers).map(|fd| (kind, fd)));
    }
    Ok(found)
}

/// Ends what keeps the pod's namespaces. A pid namespace that its members share ends with it.
fn end_processes(state: &PodState) -> Result<(), EngineError> {
    let Some(infra) = &state.infra else { return Ok(()) };
    for process in [Some(infra.holder), infra.first].into_iter().flatten() {
        // One that cannot be held has ended, or is another by now.
        let Ok(held) = process.open() else { continue };
        match signal::send(held.as_fd(), Signal::KILL.as_raw()) {
            Ok(()) => {
                let failed =
                    |errno| EngineError::system("wait for the process that keeps the pod's ports", errno);
                // They are free when it has ended.
                pidfd::wait_for_end(held.as_fd()).map_err(failed)?;
                pidfd::reap(held.as_fd(), false).unwrap_or_default();
            }
            Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => {
                return Err(EngineError::system("end the process that keeps the pod's namespaces", errno));
            }
        }
    }
    Ok(())
}

/// Takes a pod down, whose lock is held alone and whose members do not run.
///
/// # Errors
/// What could not be taken; it can be done again.
pub(super) fn lower(dir: &PodDir, state: &PodState) -> Result<(), EngineError> {
    network::release(dir.whole_store().paths(), dir.id())?;
    end_processes(state)?;
    shm::remove(dir)?;
    if let Some(location) = &state.cgroup {
        location.kill_and_remove()?;
    }
    dir.write_state(&PodState { infra: None, cgroup: None, ..state.clone() })?;
    Ok(())
}

/// What a pod that is half made or half gone may have outside of its directory.
pub(crate) fn clear(dir: &PodDir) -> Result<(), crate::store::StoreError> {
    network::release(dir.whole_store().paths(), dir.id())?;
    match shm::remove(dir) {
        Ok(()) => Ok(()),
        Err(EngineError::System { errno, .. }) => {
            Err(crate::store::StoreError::system("remove", dir.path(), errno))
        }
        Err(_) => Ok(()),
    }
}

/// Whether a pod has anything to come up with.
pub(super) fn has_infra(options: &PodOptions) -> bool {
    options.infra && options.share.values().any(|owner| *owner == Owner::Pod)
}
