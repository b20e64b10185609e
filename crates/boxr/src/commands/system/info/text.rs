//! What a person reads: docker's lines.

use super::{Facts, Network, docker};
use crate::format::size;

pub(super) fn lines(facts: &Facts) -> String {
    let (host, boxes) = (&facts.host, &facts.boxes);
    let mut lines = vec![
        format!("Containers: {}", boxes.all),
        format!(" Running: {}", boxes.running),
        format!(" Paused: {}", boxes.paused),
        format!(" Stopped: {}", boxes.stopped),
        format!("Images: {}", facts.images),
        format!("Server Version: {}", env!("CARGO_PKG_VERSION")),
        "Storage Driver: overlay".to_owned(),
        format!(" Backing Filesystem: {}", facts.storage.filesystem),
        format!(" Used: {} of {}", size::decimal(facts.storage.used), size::decimal(facts.storage.allocated)),
        format!("Logging Driver: {}", docker::LOGGING),
        format!("Cgroup Driver: {}", facts.cgroup_driver()),
        format!("Cgroup Version: {}", facts.limits.version),
        "Plugins:".to_owned(),
        " Volume: local".to_owned(),
        format!(" Network: {}", docker::networks(facts).join(" ")),
        format!(" Log: {}", docker::LOGGING),
        format!("Network Backend: {}", backend(&facts.network)),
        "Runtimes: boxr".to_owned(),
        "Default Runtime: boxr".to_owned(),
        "Security Options:".to_owned(),
    ];
    for option in facts.security_options() {
        let mut parts = option.split(',');
        lines.extend(parts.next().map(|name| format!(" {}", name.trim_start_matches("name="))));
        lines.extend(
            parts
                .filter_map(|part| part.strip_prefix("profile="))
                .map(|profile| format!("  Profile: {profile}")),
        );
    }
    lines.extend([
        format!("Kernel Version: {}", host.kernel),
        format!("Operating System: {}", host.distribution.pretty),
        "OSType: linux".to_owned(),
        format!("Architecture: {}", host.machine),
        format!("CPUs: {}", host.cpus),
        format!("Total Memory: {}", size::binary(host.memory)),
        format!("Name: {}", host.name),
        format!("Root Dir: {}", facts.paths.data.display()),
        format!("State Dir: {}", facts.paths.state.display()),
        format!("Rootless: {}", facts.rootless),
        format!("Registry: {}", docker::REGISTRY),
    ]);
    registries(facts, &mut lines);
    lines.push("Insecure Registries:".to_owned());
    let said = facts.registries.iter().filter(|entry| entry.insecure).map(|entry| entry.prefix.as_str());
    lines.extend(said.chain(docker::INSECURE).map(|name| format!(" {name}")));
    lines.push("Live Restore Enabled: true".to_owned());
    // What comes from files may hold anything; it is not to paint on a terminal.
    lines.iter().map(|line| crate::report::visible(line) + "\n").collect()
}

fn registries(facts: &Facts, lines: &mut Vec<String>) {
    let mirrored: Vec<_> = facts.registries.iter().filter(|entry| !entry.mirrors.is_empty()).collect();
    if !mirrored.is_empty() {
        lines.push("Registry Mirrors:".to_owned());
        lines.extend(mirrored.iter().map(|entry| format!(" {}: {}", entry.prefix, entry.mirrors.join(" "))));
    }
    let blocked: Vec<&str> =
        facts.registries.iter().filter(|entry| entry.blocked).map(|entry| entry.prefix.as_str()).collect();
    if !blocked.is_empty() {
        lines.push(format!("Blocked Registries: {}", blocked.join(" ")));
    }
}

fn backend(network: &Network) -> &'static str {
    match network {
        Network::Kernel => "netlink and nf_tables",
        Network::Helper(helper) => helper,
        Network::Host => "none: containers have the host's network",
    }
}
