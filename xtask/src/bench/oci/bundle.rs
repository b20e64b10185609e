//! Bundles that every runtime understands.

use std::path::Path;

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::top;

/// A bundle on disk.
pub struct Bundle {
    pub path: String,
}

impl Bundle {
    /// A container with everything that a usual one has, whose command is `program` of its root.
    pub fn make(bench: &Bench, name: &str, program: &str, seccomp: Option<Value>) -> Result<Self, String> {
        let dir = bench.dir.path().join(name);
        let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
        let root = dir.join("rootfs");
        for directory in ["proc", "dev", "sys"] {
            std::fs::create_dir_all(root.join(directory)).map_err(failed)?;
        }
        for program in ["true", "hold"] {
            std::fs::copy(bench.program(program), root.join(program)).map_err(failed)?;
        }
        let sleep = Path::new("/bin/busybox");
        if sleep.exists() {
            std::fs::copy(sleep, root.join("sleep")).map_err(failed)?;
        }
        let arguments: &[&str] = if program == "/sleep" { &[program, "100000"] } else { &[program] };
        let mut config = config(arguments);
        if let Some(profile) = seccomp {
            config["linux"]["seccomp"] = profile;
        }
        std::fs::write(dir.join("config.json"), config.to_string()).map_err(failed)?;
        Ok(Self { path: dir.display().to_string() })
    }
}

/// docker's default profile, as the seccomp crate tests it.
pub fn default_profile() -> Result<Value, String> {
    let path = top().join("crates/boxr-seccomp/tests/data/docker.json");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn mount(destination: &str, kind: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": kind, "source": kind, "options": options})
}

fn config(arguments: &[&str]) -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": arguments,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
