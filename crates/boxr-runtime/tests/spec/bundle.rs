//! A bundle that a test changes and runs.

use std::path::{Path, PathBuf};

use boxr_testing::{Cmd, Output, Sandbox};
use serde_json::{Value, json};

/// A directory with config.json and rootfs.
pub struct Bundle {
    /// The directory.
    pub dir: PathBuf,
    /// What config.json will say.
    pub config: Value,
}

impl Bundle {
    /// As `runc spec` makes it, with busybox for a root filesystem, without network.
    pub fn new(t: &Sandbox) -> Self {
        let dir = t.path("bundle");
        std::fs::create_dir(&dir).unwrap();
        t.rootfs("bundle/rootfs");
        Self { dir, config: default_config() }
    }

    /// A path in the root filesystem, as the host sees it.
    pub fn in_root(&self, path: &str) -> PathBuf {
        self.dir.join("rootfs").join(path.trim_start_matches('/'))
    }

    /// Adds a namespace, or replaces the one of its type.
    pub fn namespace(&mut self, kind: &str, path: Option<&str>) {
        self.no_namespace(kind);
        let mut entry = json!({ "type": kind });
        if let Some(path) = path {
            entry["path"] = json!(path);
        }
        self.config["linux"]["namespaces"].as_array_mut().unwrap().push(entry);
    }

    /// Takes the mount at `destination` out.
    pub fn no_mount(&mut self, destination: &str) {
        self.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != destination);
    }

    /// Takes a namespace out.
    pub fn no_namespace(&mut self, kind: &str) {
        self.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|entry| entry["type"] != kind);
    }

    /// A new user namespace in which `container` ids from 0 on are those from `host` on.
    pub fn user_namespace(&mut self, host: u32, size: u32) {
        self.namespace("user", None);
        let map = json!([{ "containerID": 0, "hostID": host, "size": size }]);
        self.config["linux"]["uidMappings"] = map.clone();
        self.config["linux"]["gidMappings"] = map;
    }

    /// Makes the user with this id the owner of all in the root filesystem.
    pub fn give_root_to(&self, id: u32) {
        let owner = format!("{id}:{id}");
        let status = std::process::Command::new("chown").args(["-hR", &owner]).arg(self.in_root("")).status();
        assert!(status.unwrap().success());
    }

    /// Adds a mount.
    pub fn mount(&mut self, destination: &str, kind: &str, source: &str, options: &[&str]) {
        let entry = json!({ "destination": destination, "type": kind, "source": source, "options": options });
        self.config["mounts"].as_array_mut().unwrap().push(entry);
    }

    /// Runs a shell script in it.
    #[track_caller]
    pub fn sh(&mut self, script: &str) -> Output {
        self.run(&["sh", "-c", script])
    }

    /// Runs a command in it.
    #[track_caller]
    pub fn run(&mut self, args: &[&str]) -> Output {
        self.config["process"]["args"] = json!(args);
        self.start_runner()
    }

    /// Runs what config says.
    #[track_caller]
    pub fn start_runner(&self) -> Output {
        self.start(Cmd::new(std::env::current_exe().unwrap()).arg("--as=oci-run"))
    }

    /// Runs `runtime`, which looks for the bundle in its current directory.
    #[track_caller]
    pub fn start(&self, runtime: Cmd) -> Output {
        self.write();
        runtime.cwd(&self.dir).run()
    }

    /// Writes config.json.
    #[track_caller]
    pub fn write(&self) {
        std::fs::write(self.dir.join("config.json"), self.config.to_string()).unwrap();
    }
}

/// Makes a file with its directories.
#[track_caller]
pub fn file(path: &Path, contents: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, contents).unwrap();
}

fn default_config() -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": "1.3.0",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": ["true"],
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities
            },
            "noNewPrivileges": true
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "bundle",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
              "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
              "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs",
              "options": ["nosuid", "noexec", "nodev", "ro"] }
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/no/such/path"],
            "readonlyPaths": ["/proc/bus", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}
