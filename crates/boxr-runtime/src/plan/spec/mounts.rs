//! `mounts`.

use std::path::Path;

use oci_spec::runtime::Mount;

use super::super::{MountPlan, MountSource, RootPlan, mount_options};
use super::absolute;
use crate::error::Error;

pub(super) fn mounts(list: &[Mount], root: &RootPlan) -> Result<Vec<MountPlan>, Error> {
    if !list.is_empty() && *root == RootPlan::Unchanged {
        return Err(Error::field("mounts", "mounts need a new mount namespace"));
    }
    list.iter().enumerate().map(|(index, mount)| mount_plan(index, mount)).collect()
}

fn mount_plan(index: usize, mount: &Mount) -> Result<MountPlan, Error> {
    let field = |part: &str| format!("mounts[{index}].{part}");
    let destination = absolute(&field("destination"), mount.destination())?;
    let parsed = mount_options::parse(mount.options().as_deref().unwrap_or_default());
    let kind = mount.typ().clone().unwrap_or_else(|| "none".to_owned());
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        return Err(Error::field(field("uidMappings"), "not supported by this version of boxr"));
    }
    let source = match parsed.bind.or((kind == "bind").then_some(false)) {
        Some(recursive) => {
            let path = mount.source().clone().ok_or_else(|| Error::field(field("source"), "missing"))?;
            if let Some((word, _)) = parsed.parameters.first() {
                return Err(Error::field(field("options"), format!("{word}: not an option of a bind mount")));
            }
            MountSource::Bind { path, recursive }
        }
        None => MountSource::Filesystem {
            source: mount
                .source()
                .as_ref()
                .map_or_else(|| kind.clone(), |s| s.to_string_lossy().into_owned()),
            kind,
            parameters: parsed.parameters,
        },
    };
    check_place(&field("destination"), &destination, &source)?;
    Ok(MountPlan { destination, source, attributes: parsed.attributes, propagation: parsed.propagation })
}

/// Files of /proc that may be covered: each shows figures that something like lxcfs(1) narrows.
const COVERABLE: [&str; 9] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
];

/// The root cannot be covered, and /proc only by a procfs: what runs in the box, and the runtime
/// itself when it enters the box, must be able to believe /proc (CVE-2019-16884).
fn check_place(field: &str, destination: &Path, source: &MountSource) -> Result<(), Error> {
    if destination.parent().is_none() {
        return Err(Error::field(field, "/: the root itself; give the box another root instead"));
    }
    let is_proc = match source {
        MountSource::Filesystem { kind, .. } => kind == "proc",
        MountSource::Bind { path, .. } => path == Path::new("/proc"),
    };
    let covers = destination == Path::new("/proc") && !is_proc;
    let inside = destination.starts_with("/proc") && destination != Path::new("/proc");
    if covers || inside && !COVERABLE.iter().any(|path| destination == Path::new(path)) {
        return Err(Error::field(field, format!("{}: /proc cannot be covered", destination.display())));
    }
    Ok(())
}
