//! One line of `ps`, with docker's fields, each made only when it is asked for.

use std::borrow::Cow;

use boxr_engine::id::Id;
use boxr_engine::lifecycle::usage;
use boxr_engine::options::{JoinTarget, NamespaceMode};
use boxr_engine::record::{Record, State};
use boxr_engine::status::namespace_id;
use boxr_engine::store::{Observed, Store};
use boxr_sys::namespace::NamespaceKind;
use serde_json::Value;

use crate::format::template::{Object, quote};
use crate::format::{condition, size, table, time};

/// What `--ns` shows.
const NAMESPACES: [(&str, NamespaceKind); 7] = [
    ("CGROUPNS", NamespaceKind::Cgroup),
    ("IPC", NamespaceKind::Ipc),
    ("MNT", NamespaceKind::Mount),
    ("NET", NamespaceKind::Network),
    ("PIDNS", NamespaceKind::Pid),
    ("USERNS", NamespaceKind::User),
    ("UTS", NamespaceKind::Uts),
];

const FIELDS: [&str; 16] = [
    "Command",
    "CreatedAt",
    "ID",
    "Image",
    "Labels",
    "LocalVolumes",
    "Mounts",
    "Names",
    "Networks",
    "Pod",
    "PodName",
    "Ports",
    "RunningFor",
    "Size",
    "State",
    "Status",
];

/// How many columns of a terminal the command gets (docker's).
const COMMAND_WIDTH: usize = 20;
/// The same of each mount.
const MOUNT_WIDTH: usize = 15;

/// A box whose state could be read.
pub(super) struct Row<'a> {
    pub store: &'a Store,
    pub state: &'a State,
    pub observed: Observed,
    /// Nanoseconds since 1970 UTC.
    pub now: i64,
    /// `--no-trunc`
    pub full: bool,
}

impl Row<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let state = self.state;
        Some(match name {
            "ID" => id(&state.id, self.full).to_owned(),
            "Image" => state.image.clone(),
            "Command" if self.full => quote(&state.command),
            "Command" => quote(&table::ellipsis(&state.command, COMMAND_WIDTH)),
            "CreatedAt" => time::go_time(state.created),
            "RunningFor" => {
                format!("{} ago", time::human_duration(self.now.saturating_sub(state.created)))
            }
            "Ports" => self.ports(),
            "State" => condition::state(self.observed).to_owned(),
            "Status" => {
                let frozen = super::is_frozen(state, self.observed);
                condition::sentence(state, self.observed, frozen, self.now)
            }
            "Size" => size::decimal(self.size()),
            "Names" => state.name.clone(),
            "Labels" => {
                let pairs: Vec<String> =
                    state.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                pairs.join(",")
            }
            "Mounts" => self.mounts(),
            "Networks" => self.networks(),
            "LocalVolumes" => "0".to_owned(),
            "Pod" => state.pod.as_deref().map(|pod| id(pod, self.full)).unwrap_or_default().to_owned(),
            "PodName" => self.pod_name(),
            "Pid" => self.pid().unwrap_or_default().to_string(),
            name => {
                let (_, kind) = NAMESPACES.into_iter().find(|(known, _)| *known == name)?;
                let id = self.pid().and_then(|pid| namespace_id(pid, kind));
                id.map(|id| id.to_string()).unwrap_or_default()
            }
        })
    }

    /// The first process, while there is one.
    fn pid(&self) -> Option<i32> {
        self.state.process.as_ref().filter(|_| condition::is_up(self.observed)).map(|process| process.pid)
    }

    /// The record, for fields that the state has not; a box without one shows nothing there.
    fn record(&self) -> Option<Record> {
        self.store.resolve(&self.state.id).and_then(|dir| dir.read_record()).ok()
    }

    fn size(&self) -> u64 {
        let data = self.store.resolve(&self.state.id).and_then(|dir| dir.data_path());
        data.ok().flatten().map_or(0, |path| usage::bytes_below(&path))
    }

    fn mounts(&self) -> String {
        let mounts = self.record().map(|record| record.options.mounts).unwrap_or_default();
        let names: Vec<String> = mounts
            .iter()
            .map(|mount| {
                let name = mount.source.clone().unwrap_or_else(|| mount.destination.display().to_string());
                if self.full { name } else { table::ellipsis(&name, MOUNT_WIDTH) }
            })
            .collect();
        names.join(",")
    }

    fn pod_name(&self) -> String {
        let record = |pod: &String| self.store.resolve_pod(pod).and_then(|dir| dir.read_record());
        self.state.pod.as_ref().and_then(|pod| record(pod).ok()).map(|record| record.name).unwrap_or_default()
    }

    /// docker's: `0.0.0.0:8080->80/tcp`; of a member of a pod those of the pod.
    fn ports(&self) -> String {
        if !(self.state.networked || self.state.pod.is_some()) || !condition::is_up(self.observed) {
            return String::new();
        }
        let owner = match &self.state.pod {
            Some(pod) if !self.state.networked => pod,
            _ => &self.state.id,
        };
        // A listing does not fail because of what one box's record has become.
        let networks = boxr_engine::network::networks(self.store.paths());
        let attachment = networks.attachment(owner).ok().flatten();
        let lines = attachment.iter().flat_map(|attachment| &attachment.published).flat_map(|port| {
            let addresses = crate::commands::port::addresses(attachment.as_ref(), port);
            addresses
                .into_iter()
                .map(|address| format!("{address}->{}/{}", port.container, port.protocol.name()))
        });
        lines.collect::<Vec<_>>().join(", ")
    }

    fn networks(&self) -> String {
        let Some(Record { options, .. }) = self.record() else { return String::new() };
        if !options.network.is_wanted() {
            return network_word(&options.namespaces.network);
        }
        let names: Vec<String> = options.network.networks.into_iter().map(|network| network.name).collect();
        names.join(",")
    }
}

/// The mode of a namespace as flags spell it; a new network has nothing in it yet.
fn network_word(mode: &NamespaceMode) -> String {
    match mode {
        NamespaceMode::New => "none".to_owned(),
        NamespaceMode::Host => "host".to_owned(),
        NamespaceMode::Join(JoinTarget::Container(name)) => format!("container:{name}"),
        NamespaceMode::Join(JoinTarget::Pod) => "pod".to_owned(),
        NamespaceMode::Join(JoinTarget::Pid(pid)) => format!("pid:{pid}"),
        NamespaceMode::Join(JoinTarget::Path(path)) => path.display().to_string(),
        NamespaceMode::Join(JoinTarget::Id(id)) => format!("id:{id}"),
    }
}

/// All fields that there are.
fn fields() -> Vec<&'static str> {
    FIELDS.into_iter().chain(["Pid"]).chain(NAMESPACES.map(|(name, _)| name)).collect()
}

fn id(id: &str, full: bool) -> &str {
    if full { id } else { id.get(..boxr_engine::id::SHORT).unwrap_or(id) }
}

impl Object for Row<'_> {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.text(name).map(|text| Cow::Owned(Value::String(text)))
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Option<Value> {
        match (name, arguments) {
            ("Label", [Value::String(key)]) => {
                Some(Value::from(self.state.labels.get(key).map_or("", String::as_str)))
            }
            _ => None,
        }
    }

    fn all(&self) -> Value {
        FIELDS.iter().map(|field| ((*field).to_owned(), Value::from(self.text(field)))).collect()
    }

    fn names(&self) -> Vec<&str> {
        fields()
    }
}

/// A box of which there is nothing but its directory.
pub(super) struct Broken<'a> {
    pub id: &'a Id,
    pub full: bool,
    pub damaged: bool,
}

impl Object for Broken<'_> {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        let text = match (name, self.damaged) {
            ("ID", _) => id(self.id.as_str(), self.full),
            ("State", true) => "dead",
            ("State", false) => "created",
            ("Status", true) => "Dead (its state is damaged)",
            ("Status", false) => "Starting",
            ("Pid", _) => "0",
            _ if fields().contains(&name) => "",
            _ => return None,
        };
        Some(Cow::Owned(Value::from(text)))
    }

    fn method(&self, name: &str, _arguments: &[Value]) -> Option<Value> {
        (name == "Label").then(|| Value::from(""))
    }

    fn all(&self) -> Value {
        FIELDS
            .iter()
            .map(|field| ((*field).to_owned(), self.field(field).map(Cow::into_owned).unwrap_or_default()))
            .collect()
    }

    fn names(&self) -> Vec<&str> {
        fields()
    }
}
