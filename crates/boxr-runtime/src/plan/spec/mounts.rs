//! `mounts`.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::super::mount_options::Parsed;
use super::super::{COPY_UP, Cover, IdShift, MountPlan, MountSource, RootPlan, TREE, mount_options};
use super::clean;
use super::namespaces::{UserNamespace, extents};
use crate::error::Error;

/// What of the container a mount can refer to.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub root: &'a RootPlan,
    pub user: UserNamespace,
    /// Attribute and label that filesystems are mounted with (SELinux).
    pub context: Option<(String, String)>,
    /// Where trees are mounted that are made at every start, by their numbers.
    pub trees: &'a [PathBuf],
}

pub(super) fn mounts(list: &[Mount], surroundings: &Surroundings<'_>) -> Result<Vec<MountPlan>, Error> {
    if !list.is_empty() && !surroundings.root.has_own_mounts() {
        return Err(Error::field("mounts", "mounts need a new mount namespace"));
    }
    list.iter().enumerate().map(|(index, mount)| mount_plan(index, mount, surroundings)).collect()
}

/// Binds alone, of a container with a root of its own.
pub(crate) fn binds(list: &[Mount], own_users: bool) -> Result<Vec<MountPlan>, Error> {
    let user = if own_users { UserNamespace::New } else { UserNamespace::Callers };
    let surroundings = Surroundings { root: &RootPlan::Unchanged, user, context: None, trees: &[] };
    list.iter().enumerate().map(|(index, mount)| mount_plan(index, mount, &surroundings)).collect()
}

fn mount_plan(index: usize, mount: &Mount, surroundings: &Surroundings<'_>) -> Result<MountPlan, Error> {
    let field = |part: &str| format!("mounts[{index}].{part}");
    let destination = clean(mount.destination());
    let parsed = mount_options::parse(mount.options().as_deref().unwrap_or_default());
    let is_bind = parsed.bind.is_some() || mount.typ().as_deref() == Some("bind");
    let cover = match (parsed.copy_up, parsed.links.cover_destination) {
        (false, _) if parsed.fill && (!is_bind || parsed.remount) => {
            return Err(Error::field(field("options"), format!("{COPY_UP}: only a bind mount is filled")));
        }
        (false, _) if parsed.fill => Cover::Fill { owners: parsed.filled },
        (true, _) if mount.typ().as_deref() != Some("tmpfs") => {
            return Err(Error::field(field("options"), "tmpcopyup: only a tmpfs is copied into"));
        }
        (true, _) => Cover::CopyUp,
        (false, true) => Cover::Link,
        (false, false) => Cover::Hide,
    };
    let (attributes, propagation) = (parsed.attributes, parsed.propagation);
    let (no_links, inode) = (parsed.no_links, parsed.inode);
    let (shared, pooled) = (parsed.shared, parsed.pooled);
    let source = source(&field, mount, parsed, surroundings)?;
    check_place(&field("destination"), &destination, &source)?;
    Ok(MountPlan { destination, source, attributes, propagation, cover, no_links, inode, shared, pooled })
}

fn source(
    field: &dyn Fn(&str) -> String,
    mount: &Mount,
    parsed: Parsed,
    surroundings: &Surroundings<'_>,
) -> Result<MountSource, Error> {
    if mount.typ().as_deref() == Some(TREE) {
        return tree(field, mount, surroundings.trees);
    }
    let kind = mount.typ().clone().filter(|kind| !kind.is_empty()).unwrap_or_else(|| "none".to_owned());
    let id_shift = id_shift(field, mount, parsed.idmap, surroundings.user)?;
    let bind = parsed.bind.or((kind == "bind").then_some(false));
    if id_shift.is_some() && (bind.is_none() || parsed.remount) {
        return Err(Error::field(field("uidMappings"), "only bind mounts can show other ids"));
    }
    if parsed.remount {
        // Beside `bind` only the mount changes, not the filesystem.
        let parameters = if bind.is_some() { Vec::new() } else { parsed.parameters };
        return Ok(MountSource::Remount { parameters });
    }
    if let Some(recursive) = bind {
        let path = mount.source().clone().ok_or_else(|| Error::field(field("source"), "missing"))?;
        let unknown = parsed.parameters.iter().find(|(key, _)| mount_options::superblock_flag(key).is_none());
        if let Some((word, _)) = unknown {
            return Err(Error::field(field("options"), format!("{word}: not an option of a bind mount")));
        }
        if let Some(below) = parsed.subpath.as_ref().filter(|below| !below.is_relative()) {
            return Err(Error::field(field("options"), format!("{}: not a relative path", below.display())));
        }
        return Ok(MountSource::Bind {
            path,
            below: parsed.subpath,
            recursive,
            links: parsed.links,
            id_shift,
        });
    }
    if parsed.subpath.is_some() {
        return Err(Error::field(field("options"), "a path in the source: only a bind mount has one"));
    }
    if matches!(kind.as_str(), "cgroup" | "cgroup2") {
        return Ok(MountSource::Cgroups);
    }
    let mut parameters = parsed.parameters;
    if let Some((attribute, label)) = surroundings.context.as_ref().filter(|_| takes_label(&kind)) {
        parameters.push((attribute.clone(), Some(label.clone())));
    }
    let source = mount.source().as_ref().filter(|source| !source.as_os_str().is_empty());
    Ok(MountSource::Filesystem {
        source: source.map_or_else(|| kind.clone(), |source| source.to_string_lossy().into_owned()),
        kind,
        parameters,
        inode_versions: parsed.inode_versions,
    })
}

/// Only who makes the plan can have something made for it.
fn tree(field: &dyn Fn(&str) -> String, mount: &Mount, trees: &[PathBuf]) -> Result<MountSource, Error> {
    let number = trees.iter().position(|place| place == mount.destination());
    let number =
        number.ok_or_else(|| Error::field(field("type"), format!("{TREE}: nothing is made for it")))?;
    let of = mount.source().as_ref().map(|of| of.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(MountSource::Tree { number, of })
}

/// Filesystems whose files the policy labels by itself.
fn takes_label(kind: &str) -> bool {
    !matches!(kind, "proc" | "sysfs")
}

fn id_shift(
    field: &dyn Fn(&str) -> String,
    mount: &Mount,
    option: Option<bool>,
    user: UserNamespace,
) -> Result<Option<IdShift>, Error> {
    let recursive = option.unwrap_or(false);
    let (uids, gids) = (extents(mount.uid_mappings()), extents(mount.gid_mappings()));
    match (uids.is_empty(), gids.is_empty()) {
        (false, false) => {
            crate::idmap::check_extents(&field("uidMappings"), &uids)?;
            crate::idmap::check_extents(&field("gidMappings"), &gids)?;
            Ok(Some(IdShift { maps: Some((uids, gids)), recursive }))
        }
        (true, true) if option.is_none() => Ok(None),
        (true, true) if user == UserNamespace::Callers => {
            Err(Error::field(field("options"), "idmap: needs mappings, here or of a user namespace"))
        }
        (true, true) => Ok(Some(IdShift { maps: None, recursive })),
        (true, false) => Err(Error::field(field("uidMappings"), "missing beside gidMappings")),
        (false, true) => Err(Error::field(field("gidMappings"), "missing beside uidMappings")),
    }
}

/// Files of /proc that may be covered: each shows figures that something like lxcfs(1) narrows.
const COVERABLE: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// The root cannot be covered, and /proc only by a procfs: what runs in the box, and the runtime
/// itself when it enters the box, must be able to believe /proc (CVE-2019-16884).
fn check_place(field: &str, destination: &Path, source: &MountSource) -> Result<(), Error> {
    if destination.parent().is_none() && !matches!(source, MountSource::Remount { .. }) {
        return Err(Error::field(field, "/: the root itself; give the box another root instead"));
    }
    let is_proc = match source {
        MountSource::Filesystem { kind, .. } => kind == "proc",
        MountSource::Bind { path, .. } => path == Path::new("/proc"),
        // Nothing new comes there.
        MountSource::Remount { .. } => return Ok(()),
        MountSource::Cgroups | MountSource::Tree { .. } => false,
    };
    let covers = destination == Path::new("/proc") && !is_proc;
    let inside = destination.starts_with("/proc") && destination != Path::new("/proc");
    if covers || inside && !COVERABLE.iter().any(|path| destination == Path::new(path)) {
        return Err(Error::field(field, format!("{}: /proc cannot be covered", destination.display())));
    }
    Ok(())
}
