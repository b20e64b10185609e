//! `--pod` of `boxr run` and `boxr create`.

use boxr_engine::config::RawRun;
use boxr_engine::lifecycle::remove::Force;
use boxr_engine::pod::{self, PodSaid};
use boxr_engine::store::Store;
use boxr_sys::namespace::NamespaceKind;

use super::create;
use crate::boxes;
use crate::cli::Invocation;
use crate::protect;
use crate::report::Report;

/// A pod that a command line has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPod {
    id: String,
}

/// Finds the pod that the command line names, or makes it, and says so in `raw`.
///
/// # Errors
/// There is none; it cannot be made.
pub fn say(invocation: &Invocation, raw: &mut RawRun) -> Result<Option<NewPod>, Report> {
    let word = match (invocation.value("pod"), invocation.value("pod-id-file")) {
        (Some(_), Some(_)) => {
            let command = invocation.command.name;
            return Err(Report::new(format!("boxr {command}: --pod and --pod-id-file cannot both be")));
        }
        (Some(word), None) => word.to_owned(),
        (None, Some(file)) => super::read_id(file)?,
        (None, None) => return Ok(None),
    };
    let store = boxes::open_store(&invocation.globals)?;
    let (record, new) = match word.strip_prefix("new:") {
        None => (store.resolve_pod(&word)?.read_record()?, None),
        Some(name) => {
            if invocation.command.name == "run" && invocation.switch("dry-run") {
                return Err(Report::new(format!("boxr run: --dry-run makes no pod: --pod {word}"))
                    .suggest(format!("boxr pod create {name}")));
            }
            if invocation.command.name == "run" {
                // Beginning anew after this, boxr would make another one.
                protect::now()?;
            }
            let name = (!name.is_empty()).then(|| name.to_owned());
            let record = create::make(&store, name, create::of_new(&of_pod(raw))?)?;
            let new = NewPod { id: record.id.clone() };
            (record, Some(new))
        }
    };
    raw.pod = Some(Box::new(PodSaid { id: record.id, name: record.name, options: record.options }));
    Ok(new)
}

/// What of a box's flags is about the pod that is made with it.
fn of_pod(raw: &mut RawRun) -> RawRun {
    let mut pod = RawRun {
        networks: std::mem::take(&mut raw.networks),
        publish: std::mem::take(&mut raw.publish),
        publish_all: raw.publish_all.take(),
        ip: raw.ip.take(),
        ip6: raw.ip6.take(),
        mac_address: raw.mac_address.take(),
        network_alias: std::mem::take(&mut raw.network_alias),
        hostname: raw.hostname.take(),
        ..RawRun::default()
    };
    pod.container.hosts = std::mem::take(&mut raw.container.hosts);
    pod.container.dns = std::mem::take(&mut raw.container.dns);
    pod.container.dns_search = std::mem::take(&mut raw.container.dns_search);
    pod.container.dns_options = std::mem::take(&mut raw.container.dns_options);
    pod.move_namespace_from(raw, NamespaceKind::Network);
    pod
}

impl NewPod {
    /// The box that it was made for is not to be: it goes, unless it has members.
    pub fn take_back(&self, store: &Store) {
        let Ok(dir) = store.resolve_pod(&self.id) else { return };
        let has_members = pod::members(store)
            .map_or(true, |all| all.iter().any(|(state, _)| state.pod.as_ref() == Some(&self.id)));
        if !has_members {
            // What kept the box from being is what is reported.
            drop(pod::remove(store, &dir, Force::No));
        }
    }
}
