//! Devices of a container: those of the host that were asked for, and the rules of its cgroup.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};
use rustix::io::Errno;

use super::ImageError;
use super::options::{Device, DeviceRule};

/// What of the host's /dev no container gets: it has its own.
const OWN: [&str; 10] = ["console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "shm", "tty"];

/// Nodes to make, and who may use what.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    pub nodes: Vec<LinuxDevice>,
    pub rules: Vec<LinuxDeviceCgroup>,
}

/// The devices that were asked for.
///
/// # Errors
/// One that is not there, or is none.
pub(crate) fn asked(devices: &[Device], rules: &[DeviceRule]) -> Result<Devices, ImageError> {
    let mut all = Devices::default();
    for device in devices {
        let failed = |errno| ImageError::Device { path: device.host.clone(), errno };
        let found = std::fs::metadata(&device.host)
            .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        let before = all.nodes.len();
        if found.is_dir() {
            walk(&device.host, &device.container, &device.access, &mut all);
        } else {
            all.add(&found, &device.container, &device.access);
        }
        if all.nodes.len() == before {
            return Err(failed(Errno::NODEV));
        }
    }
    all.rules.extend(rules.iter().filter_map(said));
    Ok(all)
}

/// Everything that the host has (`--privileged`).
pub(crate) fn of_host() -> Devices {
    let mut all = Devices::default();
    walk(Path::new("/dev"), Path::new("/dev"), "rwm", &mut all);
    all.rules = vec![rule(true, LinuxDeviceType::A, None, None, "rwm")].into_iter().flatten().collect();
    all
}

fn walk(host: &Path, container: &Path, access: &str, all: &mut Devices) {
    // A directory that has gone meanwhile has no devices.
    let Ok(entries) = std::fs::read_dir(host) else { return };
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let (Some(name), Ok(found)) = (path.file_name(), std::fs::symlink_metadata(&path)) else { continue };
        if host == Path::new("/dev") && OWN.iter().any(|own| name == *own) {
            continue;
        }
        if found.is_dir() {
            walk(&path, &container.join(name), access, all);
        } else {
            all.add(&found, &container.join(name), access);
        }
    }
}

impl Devices {
    fn add(&mut self, found: &std::fs::Metadata, path: &Path, access: &str) {
        let kind = match found.file_type() {
            kind if kind.is_block_device() => LinuxDeviceType::B,
            kind if kind.is_char_device() => LinuxDeviceType::C,
            _ => return,
        };
        let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
        let node = LinuxDeviceBuilder::default()
            .typ(kind)
            .path(path)
            .major(i64::from(major))
            .minor(i64::from(minor))
            .file_mode(found.mode() & 0o7777)
            .uid(found.uid())
            .gid(found.gid())
            .build();
        self.nodes.extend(node.ok());
        self.rules.extend(rule(true, kind, Some(i64::from(major)), Some(i64::from(minor)), access));
    }
}

/// A rule that a person has said.
fn said(rule: &DeviceRule) -> Option<LinuxDeviceCgroup> {
    let kind = match rule.kind {
        'b' => LinuxDeviceType::B,
        'c' => LinuxDeviceType::C,
        _ => LinuxDeviceType::A,
    };
    let mut made = LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).access(rule.access.as_str());
    if let Some(major) = rule.major {
        made = made.major(major);
    }
    if let Some(minor) = rule.minor {
        made = made.minor(minor);
    }
    made.build().ok()
}

/// One rule; every field that a builder asks for is set.
fn rule(
    allow: bool,
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> Option<LinuxDeviceCgroup> {
    let mut rule = LinuxDeviceCgroupBuilder::default().allow(allow).typ(kind).access(access);
    if let (Some(major), Some(minor)) = (major, minor) {
        rule = rule.major(major).minor(minor);
    }
    rule.build().ok()
}

/// The rules of a container that may make nodes: nothing but what every container has, and what was asked for.
pub(crate) fn rules(devices: &Devices) -> Vec<LinuxDeviceCgroup> {
    let nothing = rule(false, LinuxDeviceType::A, None, None, "rwm");
    nothing.into_iter().chain(devices.rules.iter().cloned()).collect()
}
