//! What has happened to boxes, images, volumes and networks, in docker's words, and to pods in podman's (`boxr events`).
//!
//! There is nobody who would have to hear of it: whichever process makes a thing happen appends it to a journal
//! ([`journal`]), and whoever wants to know reads that ([`follow`]). An event that cannot be written, as on a full
//! disk, is lost, and what happened has happened all the same.
//!
//! Boxes of host commands in the foreground are not journaled: they are to cost nothing ([`is_journaled`]).

mod action;
mod follow;
mod journal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use boxr_cgroup::Cgroup;
use serde::{Deserialize, Serialize};

pub use action::Action;
pub use follow::{EventError, Follower, Woken};
pub use journal::Journal;

use crate::foreground::now;
use crate::options::BoxOptions;
use crate::paths::Paths;
use crate::record::{Exit, State};

/// What something happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A box.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A pod.
    Pod,
    /// A volume.
    Volume,
}

impl Kind {
    /// All, in the order of their words.
    pub const ALL: [Self; 5] = [Self::Container, Self::Image, Self::Network, Self::Pod, Self::Volume];

    /// docker's word; podman's of a pod.
    pub fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Pod => "pod",
            Self::Volume => "volume",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since 1970 UTC.
    pub time: i64,
    /// To what kind of thing.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// [`Action::word`], and for some what was done: `exec_create: sh -c date`. A text, as a newer boxr may know more.
    pub action: String,
    /// To which: the id of a box or a pod, the id or name of an image, the name of a volume or a network.
    pub id: String,
    /// What else is known of it; of a box also its labels.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Whether the journal may have grown too long, which is looked at when nobody waits.
    #[serde(skip)]
    checks: bool,
}

impl Event {
    /// Something that happens now.
    pub fn new(kind: Kind, action: Action, id: &str) -> Self {
        let (time, action, checks) = (now(), action.word().to_owned(), !action.is_of_a_start());
        Self { time, kind, action, id: id.to_owned(), attributes: BTreeMap::new(), checks }
    }

    /// The same to a box, with what docker tells of one: its image, its name and its labels; of a pod's member also
    /// podman's `pod_id`.
    pub fn of_box(state: &State, action: Action) -> Self {
        let mut event = Self::new(Kind::Container, action, &state.id);
        event.attributes = state.labels.clone();
        let event = event.with("image", &state.image).with("name", &state.name);
        match &state.pod {
            Some(pod) => event.with("pod_id", pod),
            None => event,
        }
    }

    /// The same to a pod, with what podman's line tells of one: its name, and that it has no image.
    pub fn of_pod(id: &str, name: &str, action: Action) -> Self {
        Self::new(Kind::Pod, action, id).with("image", "").with("name", name)
    }

    /// With something more.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.attributes.insert(key.to_owned(), value.into());
        self
    }

    /// With what follows the action's word: `: sh -c date`.
    pub fn with_detail(mut self, detail: &str) -> Self {
        self.action = format!("{}: {detail}", self.action);
        self
    }

    /// The action without what follows its word.
    pub fn word(&self) -> &str {
        self.action.split_once(": ").map_or(&self.action, |(word, _)| word)
    }
}

/// Whether what happens to a box that is made so is journaled from its beginning.
pub fn is_journaled(options: &BoxOptions, monitored: bool) -> bool {
    monitored || options.root.image().is_some()
}

/// Journals what happens to a box, if it is one of those that are.
pub fn note(paths: &Paths, state: &State, action: Action) {
    if state.journaled {
        Journal::of(paths).note(&[Event::of_box(state, action)]);
    }
}

/// Journals what is done to a box with something more, if it is one of those that are journaled.
pub fn note_with(paths: &Paths, state: &State, action: Action, more: impl FnOnce(Event) -> Event) {
    if state.journaled {
        Journal::of(paths).note(&[more(Event::of_box(state, action))]);
    }
}

/// Journals that a signal is sent to the first process of a box.
pub fn note_kill(paths: &Paths, state: &State, number: i32) {
    note_with(paths, state, Action::Kill, |event| event.with("signal", number.to_string()));
}

/// Journals the end of a box that was in this state, with this cgroup: `oom` if the kernel has killed for want of memory, `die` with
/// docker's `exitCode` and how many seconds it ran, and that it leaves its networks.
pub fn note_end(paths: &Paths, state: &State, exit: Exit, cgroup: Option<&Cgroup>, networks: &[String]) {
    if !state.journaled {
        return;
    }
    let kills = cgroup.and_then(|cgroup| cgroup.oom_kills().ok().flatten());
    let oom = kills.filter(|kills| *kills > 0).map(|_| Event::of_box(state, Action::Oom));
    let ran = state.started.map_or(0, |started| now().saturating_sub(started).max(0) / 1_000_000_000);
    let die = Event::of_box(state, Action::Die)
        .with("exitCode", exit.status().to_string())
        .with("execDuration", ran.to_string());
    let left = networks.iter().map(|network| of_network(network, Action::Disconnect, state));
    let events: Vec<Event> = oom.into_iter().chain([die]).chain(left).collect();
    Journal::of(paths).note(&events);
}

/// The start of a box: that it came to its networks and got its volumes, and `start`.
pub fn of_start(state: &State, options: &BoxOptions) -> Vec<Event> {
    if !state.journaled {
        return Vec::new();
    }
    let networks = networks_of(state, options).into_iter();
    let joined = networks.map(|network| of_network(&network, Action::Connect, state));
    let volumes = options.mounts.iter().filter(|mount| mount.kind == crate::volume::KIND);
    let mounted = volumes.filter_map(|mount| {
        let is_read_only = mount.options.iter().any(|option| option == "ro");
        let event = Event::new(Kind::Volume, Action::Mount, mount.source.as_deref()?)
            .with("container", &state.id)
            .with("destination", mount.destination.to_string_lossy())
            .with("driver", "local")
            .with("read/write", if is_read_only { "false" } else { "true" });
        Some(event)
    });
    let mut events: Vec<Event> = joined.chain(mounted).collect();
    events.push(Event::of_box(state, Action::Start));
    events
}

/// The names of the networks that a box is on while it runs.
pub fn networks_of(state: &State, options: &BoxOptions) -> Vec<String> {
    if !state.networked {
        return Vec::new();
    }
    options.network.networks.iter().map(|network| network.name.clone()).collect()
}

/// That a box came to a network, or left it.
pub fn of_network(network: &str, action: Action, state: &State) -> Event {
    Event::new(Kind::Network, action, network)
        .with("container", &state.id)
        .with("name", network)
        .with("type", "bridge")
}
