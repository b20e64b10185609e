//! podman's fields (libpod/define, Info): `.Host`, `.Store`, `.Registries`, `.Plugins` and `.Version`.

use serde_json::{Value, json};

use super::pair::Pair;
use super::{Facts, Network, docker};

pub(super) fn fields(facts: &Facts) -> Pair {
    Pair::map(vec![
        ("Host", "host", host(facts)),
        ("Store", "store", store(facts)),
        ("Registries", "registries", registries(facts).into()),
        ("Version", "version", version(facts)),
    ])
}

fn host(facts: &Facts) -> Pair {
    let host = &facts.host;
    let distribution = Pair::map(vec![
        ("Codename", "codename", host.distribution.codename.clone().into()),
        ("Distribution", "distribution", host.distribution.id.clone().into()),
        ("Version", "version", host.distribution.version.clone().into()),
    ]);
    let security = Pair::map(vec![
        ("AppArmorEnabled", "apparmorEnabled", false.into()),
        ("Rootless", "rootless", facts.rootless.into()),
        ("SECCOMPEnabled", "seccompEnabled", facts.seccomp.into()),
        ("SECCOMPProfilePath", "seccompProfilePath", "".into()),
        ("SELinuxEnabled", "selinuxEnabled", false.into()),
    ]);
    let runtime = Pair::map(vec![
        ("Name", "name", "boxr".into()),
        ("Path", "path", program().into()),
        ("Version", "version", format!("boxr version {}", env!("CARGO_PKG_VERSION")).into()),
    ]);
    let version = match facts.limits.version {
        0 => String::new(),
        number => format!("v{number}"),
    };
    let rootless = if let Network::Helper(helper) = facts.network { helper } else { "" };
    Pair::map(vec![
        ("Arch", "arch", docker_architecture(&host.machine).into()),
        ("CgroupManager", "cgroupManager", facts.cgroup_driver().into()),
        ("CgroupsVersion", "cgroupVersion", version.into()),
        ("CgroupControllers", "cgroupControllers", facts.limits.controllers.clone().into()),
        ("CPUs", "cpus", host.cpus.into()),
        ("Distribution", "distribution", distribution),
        ("EventLogger", "eventLogger", "file".into()),
        ("Hostname", "hostname", host.name.clone().into()),
        ("Kernel", "kernel", host.kernel.clone().into()),
        ("LogDriver", "logDriver", docker::LOGGING.into()),
        ("MemFree", "memFree", host.memory_free.into()),
        ("MemTotal", "memTotal", host.memory.into()),
        ("NetworkBackend", "networkBackend", "boxr".into()),
        ("RootlessNetworkCmd", "rootlessNetworkCmd", rootless.into()),
        ("OCIRuntime", "ociRuntime", runtime),
        ("OS", "os", "linux".into()),
        ("Security", "security", security),
        ("ServiceIsRemote", "serviceIsRemote", false.into()),
        ("SwapFree", "swapFree", host.swap_free.into()),
        ("SwapTotal", "swapTotal", host.swap.into()),
        ("Uptime", "uptime", uptime(host.uptime).into()),
    ])
}

fn store(facts: &Facts) -> Pair {
    let containers = Pair::map(vec![
        ("Number", "number", facts.boxes.all.into()),
        ("Paused", "paused", facts.boxes.paused.into()),
        ("Running", "running", facts.boxes.running.into()),
        ("Stopped", "stopped", facts.boxes.stopped.into()),
    ]);
    let images = Pair::map(vec![("Number", "number", facts.images.into())]);
    let path = |path: &std::path::Path| Pair::from(path.to_string_lossy().into_owned());
    Pair::map(vec![
        ("ContainerStore", "containerStore", containers),
        ("GraphDriverName", "graphDriverName", "overlay".into()),
        ("GraphRoot", "graphRoot", path(&facts.paths.data)),
        ("GraphRootAllocated", "graphRootAllocated", facts.storage.allocated.into()),
        ("GraphRootUsed", "graphRootUsed", facts.storage.used.into()),
        ("GraphStatus", "graphStatus", json!({ "Backing Filesystem": facts.storage.filesystem }).into()),
        ("ImageStore", "imageStore", images),
        ("RunRoot", "runRoot", path(&facts.paths.state)),
        ("VolumePath", "volumePath", path(&facts.paths.data.join("volumes"))),
    ])
}

fn registries(facts: &Facts) -> Value {
    let mut all = serde_json::Map::new();
    for entry in &facts.registries {
        let mirrors: Vec<Value> =
            entry.mirrors.iter().map(|location| json!({ "Location": location })).collect();
        let told = json!({
            "Prefix": entry.prefix,
            "Location": entry.location,
            "Insecure": entry.insecure,
            "Blocked": entry.blocked,
            "Mirrors": mirrors,
        });
        all.insert(entry.prefix.clone(), told);
    }
    // Short names are docker's.
    all.insert("search".to_owned(), json!(["docker.io"]));
    Value::Object(all)
}

fn version(facts: &Facts) -> Pair {
    let version = env!("CARGO_PKG_VERSION");
    let arch = docker_architecture(&facts.host.machine);
    Pair::map(vec![
        ("APIVersion", "APIVersion", version.into()),
        ("Version", "Version", version.into()),
        ("Os", "Os", "linux".into()),
        ("OsArch", "OsArch", format!("linux/{arch}").into()),
    ])
}

/// Go's word for a processor.
fn docker_architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn program() -> String {
    std::env::current_exe().map_or_else(|_| "boxr".to_owned(), |path| path.to_string_lossy().into_owned())
}

/// `6h 40m 36.00s`, as podman has it, with days where there are some.
fn uptime(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let days = seconds as f64 / 86_400.0;
    format!("{hours}h {minutes}m {rest}.00s (Approximately {days:.2} days)")
}
