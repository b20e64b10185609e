//! What a container was told about the host: docker's `HostConfig` and `Mounts`.

use std::collections::BTreeMap;
use std::path::Path;

use boxr_engine::config::grammar::mode_text;
use boxr_engine::image::mounted;
use boxr_engine::image::{Device, DeviceRule, LayerLimits, Naming};
use boxr_engine::options::{BoxOptions, DeviceFigure, MountOption, NamespaceMode, Restart, Retention};
use boxr_engine::volume;
use boxr_network::HostPort;
use serde_json::{Value, json};

/// What is mounted on its root.
pub(super) fn mounts(options: &BoxOptions, data: Option<&Path>) -> Vec<Value> {
    // DATA/containers/ID
    let volumes = data.and_then(|data| data.ancestors().nth(2)).map(|root| root.join("volumes"));
    options
        .mounts
        .iter()
        .map(|mount| {
            let mut view = json!({
                "Type": mount.kind,
                "Source": mount.source.clone().unwrap_or_default(),
                "Destination": mount.destination,
                "Mode": mode_of(mount),
                "RW": !mount.options.iter().any(|option| option == "ro"),
                "Propagation": propagation(mount),
            });
            if let (mounted::KIND, Some(view)) = (mount.kind.as_str(), view.as_object_mut()) {
                // podman's, whose image volumes have neither.
                view.insert("Mode".to_owned(), json!(""));
                view.insert("Propagation".to_owned(), json!(""));
                if let Some(path) = mount.options.iter().find_map(|word| word.strip_prefix(volume::SUBPATH)) {
                    view.insert("SubPath".to_owned(), json!(path));
                }
            }
            if let (volume::KIND, Some(name), Some(view)) =
                (mount.kind.as_str(), &mount.source, view.as_object_mut())
            {
                let place = volumes.as_ref().map(|volumes| volumes.join(name).join("_data"));
                view.insert("Name".to_owned(), json!(name));
                view.insert("Source".to_owned(), json!(place));
                view.insert("Driver".to_owned(), json!("local"));
            }
            view
        })
        .collect()
}

pub(super) fn host_config(options: &BoxOptions, links: Vec<String>) -> Value {
    let namespaces = &options.namespaces;
    let ulimits: Vec<Value> = options
        .ulimits
        .iter()
        .map(|limit| json!({"Name": limit.kind.trim_start_matches("RLIMIT_").to_lowercase(), "Soft": limit.soft, "Hard": limit.hard}))
        .collect();
    let mut view = json!({
        "Annotations": options.annotations,
        "AutoRemove": options.retention == Retention::Ephemeral,
        "Binds": binds(options),
        "CapAdd": options.capabilities.add,
        "CapDrop": options.capabilities.drop,
        "CgroupnsMode": mode(&namespaces.cgroup, "private"),
        "DeviceCgroupRules": options.container.iter().flat_map(|container| &container.device_rules).map(rule_text).collect::<Vec<_>>(),
        "Init": options.init,
        "IpcMode": mode(&namespaces.ipc, "private"),
        "Links": links,
        "LogConfig": {
            "Type": options.log_to.driver.word(),
            "Config": log_config(options),
        },
        "NetworkMode": match options.network.networks.first() {
            Some(network) => network.name.clone(),
            None => mode(&namespaces.network, "none"),
        },
        "OomScoreAdj": options.oom_score_adj.unwrap_or(0),
        "PidMode": mode(&namespaces.pid, ""),
        "Privileged": options.container.as_ref().is_some_and(|container| container.privileged),
        "ReadonlyRootfs": options.read_only,
        "StorageOpt": options.container.as_ref().map(|container| storage_options(container.layer)),
        "RestartPolicy": {
            "Name": options.restart.word(),
            "MaximumRetryCount": match options.restart {
                Restart::OnFailure { most } => most.unwrap_or(0),
                _ => 0,
            },
        },
        "SecurityOpt": if options.no_new_privileges { vec!["no-new-privileges"] } else { Vec::new() },
        "UTSMode": mode(&namespaces.uts, ""),
        "Ulimits": ulimits,
        "UsernsMode": match &options.container {
            Some(container) => container.user_ids.mode.clone(),
            None => namespaces.user.as_ref().map(mode_text).unwrap_or_default(),
        },
    });
    if let Some(view) = view.as_object_mut() {
        view.append(&mut limits_view(options));
        view.append(&mut network_view(options));
        view.append(&mut container_view(options));
    }
    view
}

/// What docker calls a namespace; `new` is its word for one that is the container's own.
fn mode(mode: &NamespaceMode, new: &str) -> String {
    if *mode == NamespaceMode::New { new.to_owned() } else { mode_text(mode) }
}

/// Options as a person gives them behind the second colon of `-v`.
fn mode_of(mount: &MountOption) -> String {
    let said = mount.options.iter().filter(|option| !matches!(option.as_str(), "rbind" | "bind" | "rw"));
    said.map(String::as_str).collect::<Vec<_>>().join(",")
}

fn propagation(mount: &MountOption) -> String {
    let is_one = |option: &&String| ["private", "shared", "slave"].iter().any(|word| option.ends_with(word));
    match mount.options.iter().rev().find(is_one) {
        Some(said) => said.clone(),
        None if mount.kind == "bind" => "rprivate".to_owned(),
        None => String::new(),
    }
}

/// Binds and volumes that somebody named.
fn binds(options: &BoxOptions) -> Vec<String> {
    let is_named = |mount: &&MountOption| {
        mount.kind == "bind"
            || mount.kind == volume::KIND
                && mount.source.as_deref().is_some_and(|name| boxr_engine::id::Id::parse(name).is_none())
    };
    let bind = |mount: &MountOption| {
        let (source, mode) = (mount.source.as_deref().unwrap_or_default(), mode_of(mount));
        let colon = if mode.is_empty() { "" } else { ":" };
        format!("{source}:{}{colon}{mode}", mount.destination.display())
    };
    options.mounts.iter().filter(is_named).map(bind).collect()
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => serde_json::Map::new(),
    }
}

/// What it was told of networks, ports and names.
fn network_view(options: &BoxOptions) -> serde_json::Map<String, Value> {
    let network = &options.network;
    let naming = options.container.as_ref().map(|container| &container.naming);
    let or = |own: &[String], of: fn(&Naming) -> &Vec<String>| match naming.map(of) {
        Some(others) if own.is_empty() => others.clone(),
        _ => own.to_vec(),
    };
    let hosts = naming.iter().flat_map(|naming| &naming.hosts);
    object(json!({
        "Dns": or(&network.dns, |naming| &naming.servers),
        "DnsOptions": or(&network.dns_options, |naming| &naming.options),
        "DnsSearch": or(&network.dns_search, |naming| &naming.search),
        "ExtraHosts": hosts.map(|(name, address)| format!("{name}:{address}")).collect::<Vec<_>>(),
        "PortBindings": port_bindings(options),
        "PublishAllPorts": network.publish_all,
    }))
}

/// What was said of ports, by those of the container.
fn port_bindings(options: &BoxOptions) -> BTreeMap<String, Vec<Value>> {
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for spec in &options.network.publish {
        let ip = spec.ip.map(|ip| ip.to_string()).unwrap_or_default();
        for (host, port) in spec.pairs() {
            let host = match host {
                HostPort::Any => String::new(),
                HostPort::Exactly(port) => port.to_string(),
                HostPort::OneOf(range) => range.to_string(),
            };
            let binding = json!({"HostIp": ip, "HostPort": host});
            bindings.entry(format!("{port}/{}", spec.protocol.name())).or_default().push(binding);
        }
    }
    bindings
}

/// What only containers of images have.
fn container_view(options: &BoxOptions) -> serde_json::Map<String, Value> {
    /// docker's, bytes.
    const SHM: u64 = 64 << 20;
    let Some(container) = options.container.as_deref() else { return serde_json::Map::new() };
    let device = |device: &Device| {
        json!({
            "PathOnHost": device.host,
            "PathInContainer": device.container,
            "CgroupPermissions": device.access,
        })
    };
    let tmpfs = options.mounts.iter().filter(|mount| mount.kind == "tmpfs");
    let tmpfs: BTreeMap<String, String> =
        tmpfs.map(|mount| (mount.destination.display().to_string(), mode_of(mount))).collect();
    object(json!({
        "Devices": container.devices.iter().map(device).collect::<Vec<_>>(),
        "GroupAdd": container.groups,
        "ShmSize": container.shm_size.unwrap_or(SHM),
        "Sysctls": container.sysctls,
        "Tmpfs": tmpfs,
        "VolumesFrom": container.volumes_from,
    }))
}

/// The limits of its cgroup, in docker's keys.
fn limits_view(options: &BoxOptions) -> serde_json::Map<String, Value> {
    let limits = &options.limits;
    let view = json!({
        "BlkioWeight": limits.rare.blkio_weight.unwrap_or(0),
        "BlkioWeightDevice": figures(&limits.rare.blkio_weight_devices, "Weight"),
        "BlkioDeviceReadBps": figures(&limits.rare.read_bps, "Rate"),
        "BlkioDeviceWriteBps": figures(&limits.rare.write_bps, "Rate"),
        "BlkioDeviceReadIOps": figures(&limits.rare.read_iops, "Rate"),
        "BlkioDeviceWriteIOps": figures(&limits.rare.write_iops, "Rate"),
        "Cgroups": options.cgroup.mode.word(),
        "CgroupParent": options.cgroup.parent.clone().unwrap_or_default(),
        "CgroupConf": limits.rare.unified,
        "CpuPeriod": limits.rare.cpu_period.unwrap_or(0),
        "CpuQuota": limits.rare.cpu_quota.unwrap_or(0),
        "CpuRealtimePeriod": limits.rare.cpu_rt_period.unwrap_or(0),
        "CpuRealtimeRuntime": limits.rare.cpu_rt_runtime.unwrap_or(0),
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "CpusetCpus": limits.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.clone().unwrap_or_default(),
        "Memory": limits.memory.unwrap_or(0),
        "MemoryReservation": limits.rare.memory_reservation.unwrap_or(0),
        "MemorySwap": limits.memory_swap.unwrap_or(0),
        "MemorySwappiness": limits.rare.memory_swappiness,
        "NanoCpus": limits.cpus_milli.unwrap_or(0).saturating_mul(1_000_000),
        "OomKillDisable": limits.rare.oom_kill_disable.unwrap_or(false),
        "PidsLimit": limits.pids,
    });
    match view {
        Value::Object(view) => view,
        _ => serde_json::Map::new(),
    }
}

/// Options of the log, in docker's words.
fn log_config(options: &BoxOptions) -> Value {
    let mut config = serde_json::Map::new();
    let target = &options.log_to;
    if target.driver.is_file() {
        config.insert("max-size".to_owned(), json!(options.log.max_size.to_string()));
        config.insert("max-file".to_owned(), json!(options.log.max_files.to_string()));
    }
    config.extend(target.path.as_ref().map(|path| ("path".to_owned(), json!(path))));
    config.extend(target.tag.as_ref().map(|tag| ("tag".to_owned(), json!(tag))));
    config.into()
}

/// In bytes; docker's map of words.
fn storage_options(layer: LayerLimits) -> Value {
    let said = [("size", layer.size), ("inodes", layer.inodes)];
    let words =
        said.into_iter().filter_map(|(key, number)| Some((key.to_owned(), json!(number?.to_string()))));
    Value::Object(words.collect())
}

/// As docker writes it.
fn rule_text(rule: &DeviceRule) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    format!("{} {}:{} {}", rule.kind, number(rule.major), number(rule.minor), rule.access)
}

/// Weights or rates of devices, in docker's keys.
fn figures(list: &[DeviceFigure], key: &str) -> Value {
    list.iter().map(|device| json!({ "Path": device.path, key: device.figure })).collect()
}
