//! `boxr pod inspect` and `boxr pod exists`

use std::net::IpAddr;

use boxr_engine::pod::{Owner, PodOptions, View};
use boxr_engine::store::{Store, StoreError};
use boxr_network::{Attachment, HostPort, PortSpec, Protocol};
use boxr_sys::namespace::NamespaceKind;
use serde_json::{Map, Value, json};

use crate::boxes;
use crate::cli::Invocation;
use crate::format::template::Template;
use crate::format::time;
use crate::report::{Report, write_stdout};

/// Carries out `boxr pod inspect`: podman's keys, an object for each.
///
/// # Errors
/// A template that cannot be used; a store that cannot be opened.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let template = match invocation.value("format") {
        None | Some("json") => None,
        Some(text) => Some(Template::parse(text)?),
    };
    let store = boxes::open_store(&invocation.globals)?;
    let mut text = String::new();
    let mut status = 0;
    for word in invocation.positionals() {
        let dir = match super::find(&store, word) {
            Ok(dir) => dir,
            Err(report) => {
                report.print();
                status = 125;
                continue;
            }
        };
        let value = value(&store, &super::view(&store, dir)?)?;
        match &template {
            None => text.push_str(&pretty(&value)?),
            Some(template) => template.render(&value, &mut text)?,
        }
        text.push('\n');
    }
    write_stdout(&text)?;
    Ok(status)
}

/// With podman's indent.
pub(super) fn pretty(value: &Value) -> Result<String, Report> {
    use serde::Serialize;
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"     ");
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        .map_err(|error| Report::new(format!("cannot write it as JSON: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Carries out `boxr pod exists`: 0 or 1, and nothing printed.
///
/// # Errors
/// The store cannot be read.
pub fn exists(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    match store.resolve_pod(invocation.first()) {
        Ok(_) => Ok(0),
        Err(StoreError::NoPod { .. }) => Ok(1),
        Err(error) => Err(error.into()),
    }
}

fn value(store: &Store, view: &View) -> Result<Value, Report> {
    let (record, options) = (&view.record, &view.record.options);
    let networks = boxr_engine::network::networks(store.paths());
    let attachment = networks.attachment(&record.id)?.filter(|_| view.state.is_up(store.here()));
    let containers = view.members.iter();
    let containers: Vec<Value> = containers
        .map(|member| json!({ "Id": member.id, "Name": member.name, "State": member.status }))
        .collect();
    let mut value = json!({
        "Id": record.id,
        "Name": record.name,
        "Created": time::rfc3339(record.created),
        "CreateCommand": record.command,
        "ExitPolicy": options.exit_policy.word(),
        "State": view.status.word(),
        "Hostname": options.hostname.as_deref().unwrap_or_default(),
        "Labels": options.labels,
        "CreateCgroup": true,
        "CgroupParent": "",
        "CgroupPath": cgroup(view),
        "CreateInfra": options.infra,
        "InfraContainerID": if options.infra { record.infra_id.as_str() } else { "" },
        "InfraConfig": infra(options, attachment.as_ref()),
        "SharedNamespaces": shared(options),
        "NumContainers": view.members.len(),
        "Containers": containers,
        "RestartPolicy": options.restart.word(),
        "Pids": view.state.infra(store.here()).map(|infra| {
            json!({ "Holder": infra.holder.pid, "First": infra.first.map(|first| first.pid) })
        }),
    });
    if let Value::Object(value) = &mut value {
        value.extend(limits(options));
    }
    Ok(value)
}

fn cgroup(view: &View) -> String {
    let location = view.state.cgroup.as_ref();
    let path = location.and_then(|location| location.unified.as_ref().or(location.legacy.values().next()));
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

/// What is limited, as far as something is.
fn limits(options: &PodOptions) -> Map<String, Value> {
    let limits = &options.limits;
    let entries = [
        ("cpu_period", limits.cpus_milli.map(|_| json!(100_000))),
        ("cpu_quota", limits.cpus_milli.map(|milli| json!(milli * 100))),
        ("cpu_shares", limits.cpu_shares.map(|shares| json!(shares))),
        ("cpuset_cpus", limits.cpuset_cpus.as_ref().map(|list| json!(list))),
        ("cpuset_mems", limits.cpuset_mems.as_ref().map(|list| json!(list))),
        ("memory_limit", limits.memory.map(|bytes| json!(bytes))),
        ("memory_swap", limits.memory_swap.map(|bytes| json!(bytes))),
        ("pids_limit", limits.pids.map(|most| json!(most))),
    ];
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// Podman's words for what is shared, in its order.
pub(super) fn shared(options: &PodOptions) -> Vec<&'static str> {
    let order = [
        (NamespaceKind::Pid, "pid"),
        (NamespaceKind::Ipc, "ipc"),
        (NamespaceKind::Network, "net"),
        (NamespaceKind::Uts, "uts"),
        (NamespaceKind::Cgroup, "cgroup"),
    ];
    order.into_iter().filter(|(kind, _)| options.shared(*kind).is_some()).map(|(_, word)| word).collect()
}

/// What is published: the port of the pod, and the host's address and port. Before the pod is up, as it was said; a port
/// of the host's that is to be chosen then is none yet.
fn bindings(options: &PodOptions, attachment: Option<&Attachment>) -> Vec<(String, Option<IpAddr>, String)> {
    let key = |port: u16, protocol: Protocol| format!("{port}/{}", protocol.name());
    match attachment {
        Some(attachment) => {
            let all = attachment.published.iter();
            all.map(|port| (key(port.container, port.protocol), port.ip, port.host.to_string())).collect()
        }
        None => {
            let of = |spec: &PortSpec| {
                let (ip, protocol) = (spec.ip, spec.protocol);
                let pairs = spec.pairs().into_iter();
                pairs.map(move |(host, port)| (key(port, protocol), ip, host_port(host))).collect::<Vec<_>>()
            };
            options.network.publish.iter().flat_map(of).collect()
        }
    }
}

fn host_port(host: HostPort) -> String {
    match host {
        HostPort::Exactly(port) => port.to_string(),
        HostPort::OneOf(range) => range.to_string(),
        HostPort::Any => String::new(),
    }
}

fn infra(options: &PodOptions, attachment: Option<&Attachment>) -> Value {
    if !options.infra {
        return Value::Null;
    }
    let private = |kind| if options.shared(kind) == Some(Owner::Host) { "host" } else { "private" };
    let mut ports: Map<String, Value> = Map::new();
    for (key, ip, host) in bindings(options, attachment) {
        let host = json!({ "HostIp": ip.map(|ip| ip.to_string()).unwrap_or_default(), "HostPort": host });
        if let Value::Array(list) = ports.entry(key).or_insert_with(|| json!([])) {
            list.push(host);
        }
    }
    let first = options.network.networks.first();
    let hosts = options.naming.hosts.iter().map(|(name, address)| format!("{name}:{address}"));
    json!({
        "PortBindings": ports,
        "HostNetwork": options.shared(NamespaceKind::Network) == Some(Owner::Host),
        "StaticIP": first.and_then(|network| network.ip).map(|ip| ip.to_string()).unwrap_or_default(),
        "StaticMAC": first.and_then(|network| network.mac).map(|mac| mac.to_string()).unwrap_or_default(),
        "NoManageResolvConf": false,
        "DNSServer": options.naming.servers,
        "DNSSearch": options.naming.search,
        "DNSOption": options.naming.options,
        "NoManageHosts": options.naming.keeps_hosts,
        "HostAdd": hosts.collect::<Vec<_>>(),
        "Networks": options.network.networks.iter().map(|network| &network.name).collect::<Vec<_>>(),
        "NetworkOptions": Value::Null,
        "pid_ns": private(NamespaceKind::Pid),
        "userns": if options.users.is_some() { "private" } else { "host" },
        "uts_ns": "private",
    })
}
