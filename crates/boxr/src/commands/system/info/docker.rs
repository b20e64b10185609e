//! docker's fields (moby's api/types/system, Info). What boxr has no such thing of is not there.

use boxr_cgroup::Controller;
use serde_json::{Value, json};

use super::{Facts, Network};
use crate::format::time;

pub(super) const REGISTRY: &str = "https://index.docker.io/v1/";
/// Addresses to which certificates are not verified.
pub(super) const INSECURE: [&str; 2] = ["127.0.0.0/8", "::1/128"];
pub(super) const LOGGING: &str = "boxr";

pub(super) fn fields(facts: &Facts) -> Value {
    let mut fields = state(facts);
    for more in [kernel(facts), machine(facts)] {
        if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
            fields.extend(more);
        }
    }
    fields
}

/// What boxr keeps, and how.
fn state(facts: &Facts) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "ID": "",
        "Containers": facts.boxes.all,
        "ContainersRunning": facts.boxes.running,
        "ContainersPaused": facts.boxes.paused,
        "ContainersStopped": facts.boxes.stopped,
        "Images": facts.images,
        "Driver": "overlay",
        "DriverStatus": [["Backing Filesystem", facts.storage.filesystem]],
        "DockerRootDir": facts.paths.data,
        "Plugins": { "Volume": ["local"], "Network": networks(facts), "Authorization": null, "Log": [LOGGING] },
        "LoggingDriver": LOGGING,
        "ServerVersion": version,
        "Runtimes": { "boxr": { "path": "boxr" } },
        "DefaultRuntime": "boxr",
        "InitBinary": "boxr",
        "CDISpecDirs": boxr_engine::cdi::directories(),
        "IndexServerAddress": REGISTRY,
        "RegistryConfig": registries(facts),
        "HttpProxy": variable("http_proxy"),
        "HttpsProxy": variable("https_proxy"),
        "NoProxy": variable("no_proxy"),
        "Labels": [],
        "ExperimentalBuild": false,
        "LiveRestoreEnabled": true,
        "Debug": false,
        "Swarm": { "LocalNodeState": "inactive" },
        "ClientInfo": { "Debug": false, "Version": version, "Context": "default", "Plugins": [], "Warnings": null },
        "Warnings": facts.warnings,
    })
}

/// What the kernel gives.
fn kernel(facts: &Facts) -> Value {
    let has = |controller| facts.limits.has(controller);
    json!({
        "CgroupDriver": facts.cgroup_driver(),
        "CgroupVersion": facts.limits.version.to_string(),
        "MemoryLimit": has(Controller::Memory),
        "SwapLimit": has(Controller::Memory),
        "OomKillDisable": facts.limits.version == 1 && has(Controller::Memory),
        "CpuCfsPeriod": has(Controller::Cpu),
        "CpuCfsQuota": has(Controller::Cpu),
        "CPUShares": has(Controller::Cpu),
        "CPUSet": has(Controller::Cpuset),
        "PidsLimit": has(Controller::Pids),
        "SecurityOptions": facts.security_options(),
        "IPv4Forwarding": forwards("net/ipv4/ip_forward"),
    })
}

fn machine(facts: &Facts) -> Value {
    let host = &facts.host;
    json!({
        "Name": host.name,
        "KernelVersion": host.kernel,
        "OperatingSystem": host.distribution.pretty,
        "OSVersion": host.distribution.version,
        "OSType": "linux",
        "Architecture": host.machine,
        "NCPU": host.cpus,
        "MemTotal": host.memory,
        "SystemTime": time::rfc3339_nano(time::now()),
    })
}

/// The kinds of networks that this user's boxes can have.
pub(super) fn networks(facts: &Facts) -> &'static [&'static str] {
    match facts.network {
        Network::Kernel => &["bridge", "host", "ipvlan", "macvlan", "none"],
        Network::Helper(_) => &["bridge", "host", "none"],
        Network::Host => &["host", "none"],
    }
}

fn registries(facts: &Facts) -> Value {
    let mirrors: Vec<&String> = facts
        .registries
        .iter()
        .filter(|entry| entry.prefix == "docker.io")
        .flat_map(|entry| &entry.mirrors)
        .collect();
    let mut configs = serde_json::Map::new();
    let hub = json!({ "Name": "docker.io", "Mirrors": mirrors, "Secure": true, "Official": true });
    configs.insert("docker.io".to_owned(), hub);
    for entry in facts.registries.iter().filter(|entry| entry.prefix != "docker.io") {
        let config = json!({
            "Name": entry.prefix, "Mirrors": entry.mirrors, "Secure": !entry.insecure, "Official": false,
        });
        configs.insert(entry.prefix.clone(), config);
    }
    json!({ "InsecureRegistryCIDRs": INSECURE, "IndexConfigs": configs, "Mirrors": mirrors })
}

/// A variable that says how registries are reached, in either case.
fn variable(name: &str) -> String {
    let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    of(name).or_else(|| of(&name.to_uppercase())).map(|url| without_password(&url)).unwrap_or_default()
}

/// What is shown is passed on, and a proxy's address may have a password in it.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}xxxxx@{}", &url[..scheme + 3], &url[at + 1..]),
        _ => url.to_owned(),
    }
}

fn forwards(file: &str) -> bool {
    std::fs::read_to_string(format!("/proc/sys/{file}")).is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        assert_eq!(without_password("http://me:secret@proxy:3128/"), "http://xxxxx@proxy:3128/");
        assert_eq!(without_password("http://proxy:3128"), "http://proxy:3128");
    }
}
