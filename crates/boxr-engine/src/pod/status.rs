//! How a pod is: what its members are, put together (libpod's rules).

use boxr_sys::namespace::NamespaceKind;

use crate::boot::Here;
use crate::id::Id;
use crate::options::{BoxOptions, JoinTarget, NamespaceMode};
use crate::outcome::EngineError;
use crate::record::{ProcessRef, State, Status};
use crate::store::{BoxDir, Contents, Observed, PodDir, Store};

use super::holder;
use super::infra::has_infra;
use super::record::{PodRecord, PodState};

/// How a pod is, in podman's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodStatus {
    /// Nothing of it has run.
    Created,
    /// All of it runs.
    Running,
    /// Some of it runs.
    Degraded,
    /// All of it is paused.
    Paused,
    /// All of it has ended.
    Exited,
    /// Some of it has ended, and nothing runs.
    Stopped,
    /// Nothing can be said of some of it.
    Dead,
}

impl PodStatus {
    /// Podman's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Running => "Running",
            Self::Degraded => "Degraded",
            Self::Paused => "Paused",
            Self::Exited => "Exited",
            Self::Stopped => "Stopped",
            Self::Dead => "Dead",
        }
    }
}

/// One of a pod's containers.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `created`, `running`, `paused`, `exited`…
    pub status: &'static str,
    /// Its state; `None` for what keeps the namespaces.
    pub state: Option<Box<State>>,
}

/// A pod with all that is known of it.
#[derive(Debug)]
pub struct View {
    /// Its directory.
    pub dir: PodDir,
    /// What it is.
    pub record: PodRecord,
    /// How it was last written down.
    pub state: PodState,
    /// What keeps its namespaces, first, and its members, the oldest first.
    pub members: Vec<Member>,
    /// How it is.
    pub status: PodStatus,
}

/// Podman's word for a container's state.
fn word(observed: Observed) -> &'static str {
    match observed {
        Observed::Creating | Observed::Created => "created",
        Observed::Running | Observed::Unresponsive => "running",
        Observed::Paused => "paused",
        Observed::Restarting(_) => "restarting",
        Observed::Ending => "stopping",
        Observed::Exited(_) => "exited",
        Observed::Unclear(_) => "unknown",
    }
}

/// The status of a pod whose members are so.
pub fn status_of<'a>(words: impl Iterator<Item = &'a str>) -> PodStatus {
    let words: Vec<&str> = words.collect();
    let count = |of: &[&str]| words.iter().filter(|word| of.contains(word)).count();
    let running = count(&["running", "stopping", "restarting"]);
    let (paused, ended, unknown) = (count(&["paused"]), count(&["exited"]), count(&["unknown"]));
    match words.len() {
        0 => PodStatus::Created,
        all if running == all => PodStatus::Running,
        _ if running > 0 => PodStatus::Degraded,
        all if paused == all => PodStatus::Paused,
        all if ended == all => PodStatus::Exited,
        _ if ended > 0 => PodStatus::Stopped,
        _ if unknown > 0 => PodStatus::Dead,
        _ => PodStatus::Created,
    }
}

/// Every box of the store that is a member of a pod, with how it is.
///
/// # Errors
/// Boxes cannot be listed.
pub fn members(store: &Store) -> Result<Vec<(Box<State>, Observed)>, EngineError> {
    let known = |contents| match contents {
        Contents::Known { state, observed } if state.pod.is_some() => Some((state, observed)),
        _ => None,
    };
    Ok(store.list()?.into_iter().filter_map(|entry| known(entry.contents)).collect())
}

/// Looks at a pod. `all` are the members of all pods ([`members`]).
pub fn look(
    here: &Here,
    (dir, record, state): (PodDir, PodRecord, PodState),
    all: &[(Box<State>, Observed)],
) -> View {
    let own = all.iter().filter(|(member, _)| member.pod.as_deref() == Some(record.id.as_str()));
    let own: Vec<Member> = own
        .map(|(member, observed)| Member {
            id: member.id.clone(),
            name: member.name.clone(),
            status: word(*observed),
            state: Some(member.clone()),
        })
        .collect();
    let paused = !own.is_empty() && own.iter().all(|member| member.status == "paused");
    let keeper = (record.options.infra).then(|| Member {
        id: record.infra_id.clone(),
        name: record.infra_name(),
        status: match (state.is_up(here), state.started) {
            // It has no processes of the pod's that could be.
            (true, _) if paused => "paused",
            (true, _) => "running",
            // Without namespaces of the pod's it is as its members are.
            _ if !has_infra(&record.options) && !own.is_empty() => own[0].status,
            (false, None) => "created",
            (false, Some(_)) => "exited",
        },
        state: None,
    });
    let members: Vec<Member> = keeper.into_iter().chain(own).collect();
    let status = status_of(members.iter().map(|member| member.status));
    View { dir, record, state, members, status }
}

/// Whether a member of the pod runs.
pub(crate) fn has_running_members(store: &Store, pod: &Id) -> bool {
    !processes_in(store, pod, |_| true).is_empty()
}

/// A process on the pod's network, if one is.
pub(crate) fn process_on_network(store: &Store, pod: &str) -> Option<ProcessRef> {
    let shares = |options: &BoxOptions| options.namespaces.network == NamespaceMode::Join(JoinTarget::Pod);
    processes_in(store, &Id::parse(pod)?, shares).into_iter().next()
}

/// The user and the network namespace that are held for a pod that is up.
pub(crate) fn held_networks(store: &Store, pod: &str) -> Option<boxr_network::Realm> {
    let infra = store.resolve_pod(pod).ok()?.read_state().ok()??.infra?;
    let open = |kind: NamespaceKind| {
        let index = infra.held.iter().position(|held| held == kind.word())?;
        holder::open(infra.holder, index).ok()
    };
    let (user, network) = (open(NamespaceKind::User)?, open(NamespaceKind::Network)?);
    // Opened by number: it must still be the same process.
    infra.holder.is_alive().then(|| boxr_network::Realm::new(user, network))
}

/// The first processes of members that run and whose options `wanted` accepts.
pub(super) fn processes_in(store: &Store, pod: &Id, wanted: impl Fn(&BoxOptions) -> bool) -> Vec<ProcessRef> {
    let Ok(entries) = store.list() else { return Vec::new() };
    let process = |entry: crate::store::Entry| {
        let Contents::Known { state, .. } = entry.contents else { return None };
        let runs = matches!(state.status, Status::Running | Status::Paused);
        let process = state.process.filter(|process| runs && process.is_alive())?;
        let is_member = state.pod.as_deref() == Some(pod.as_str());
        let options = || store.resolve(&state.id).ok()?.read_record().ok().map(|record| record.options);
        (is_member && options().is_some_and(|options| wanted(&options))).then_some(process)
    };
    entries.into_iter().filter_map(process).collect()
}

impl View {
    /// The boxes among its members.
    pub fn boxes(&self) -> impl Iterator<Item = &State> {
        self.members.iter().filter_map(|member| member.state.as_deref())
    }

    /// The directory of each.
    ///
    /// # Errors
    /// One that has gone meanwhile is left out; others that cannot be opened.
    pub fn box_dirs(&self, store: &Store) -> Result<Vec<(String, BoxDir)>, EngineError> {
        let mut found = Vec::new();
        for state in self.boxes() {
            match store.resolve(&state.id) {
                Ok(dir) => found.push((state.name.clone(), dir)),
                Err(crate::store::StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_what_its_members_are() {
        let of = |words: &[&str]| status_of(words.iter().copied());
        assert_eq!(of(&[]), PodStatus::Created);
        assert_eq!(of(&["created", "created"]), PodStatus::Created);
        assert_eq!(of(&["running", "running"]), PodStatus::Running);
        assert_eq!(of(&["running", "exited"]), PodStatus::Degraded);
        assert_eq!(of(&["paused", "paused"]), PodStatus::Paused);
        assert_eq!(of(&["exited", "exited"]), PodStatus::Exited);
        assert_eq!(of(&["exited", "created"]), PodStatus::Stopped);
        assert_eq!(of(&["unknown", "created"]), PodStatus::Dead);
    }
}
