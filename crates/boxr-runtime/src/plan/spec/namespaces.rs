//! `linux.namespaces`, their id maps and clock offsets.

use std::os::fd::OwnedFd;
use std::path::Path;

use boxr_sys::namespace::NamespaceKind;
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType};
use rustix::fs::{CWD, Mode, OFlags};

use crate::error::{At, Error, Step};
use crate::idmap::{Extent, IdMap, Writer};

/// Mappings as extents.
pub(super) fn extents(list: &Option<Vec<LinuxIdMapping>>) -> Vec<Extent> {
    let one = |m: &LinuxIdMapping| Extent { container: m.container_id(), host: m.host_id(), size: m.size() };
    list.iter().flatten().map(one).collect()
}

/// How the container comes by its user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserNamespace {
    Callers,
    New,
    Joined,
}

/// Whether the container may change mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MountNamespace {
    New,
    CallersOrJoined,
}

/// Id maps by what they are for.
#[derive(Debug, Default)]
pub(super) struct Maps {
    /// Of a new user namespace.
    pub new: Option<IdMap>,
    /// That the joined one must turn out to have.
    pub expected: Option<IdMap>,
}

type Joined = Vec<(NamespaceKind, OwnedFd)>;

pub(super) fn namespaces(linux: &Linux, joined: Joined) -> Result<(Vec<NamespaceKind>, Joined), Error> {
    let (mut new, mut all) = (Vec::new(), joined);
    let given: Vec<NamespaceKind> = all.iter().map(|(kind, _)| *kind).collect();
    let mut seen = Vec::new();
    for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
        let kind = kind_of(namespace.typ());
        if seen.contains(&kind) {
            return Err(Error::field(
                format!("linux.namespaces[{index}]"),
                format!("{kind} is listed twice"),
            ));
        }
        seen.push(kind);
        match namespace.path() {
            _ if given.contains(&kind) => {}
            None => new.push(kind),
            Some(path) => all.push((kind, open_namespace(path, kind)?)),
        }
    }
    Ok((new, all))
}

/// Opens an nsfs file; setns(2) itself refuses one of the wrong type.
fn open_namespace(path: &Path, kind: NamespaceKind) -> Result<OwnedFd, Error> {
    let fd = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    Ok(fd.at(Step::Join, format!("{kind} {}", path.display()))?)
}

fn kind_of(typ: LinuxNamespaceType) -> NamespaceKind {
    match typ {
        LinuxNamespaceType::Mount => NamespaceKind::Mount,
        LinuxNamespaceType::Cgroup => NamespaceKind::Cgroup,
        LinuxNamespaceType::Uts => NamespaceKind::Uts,
        LinuxNamespaceType::Ipc => NamespaceKind::Ipc,
        LinuxNamespaceType::User => NamespaceKind::User,
        LinuxNamespaceType::Pid => NamespaceKind::Pid,
        LinuxNamespaceType::Network => NamespaceKind::Network,
        LinuxNamespaceType::Time => NamespaceKind::Time,
    }
}

pub(super) fn id_maps(linux: &Linux, user: UserNamespace, writer: Writer) -> Result<Maps, Error> {
    let map = IdMap { uids: extents(linux.uid_mappings()), gids: extents(linux.gid_mappings()), writer };
    let named = !map.uids.is_empty() || !map.gids.is_empty();
    match user {
        UserNamespace::Callers if named => {
            Err(Error::field("linux.uidMappings", "mappings need a new user namespace"))
        }
        UserNamespace::Callers => Ok(Maps::default()),
        UserNamespace::Joined => Ok(Maps { expected: named.then_some(map), ..Maps::default() }),
        UserNamespace::New => {
            map.validate()?;
            Ok(Maps { new: Some(map), ..Maps::default() })
        }
    }
}

pub(super) fn time_offsets(linux: &Linux, new_time: bool) -> Result<Vec<(&'static str, i64, u32)>, Error> {
    let mut offsets = Vec::new();
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        if !new_time {
            return Err(Error::field("linux.timeOffsets", "clock offsets need a new time namespace"));
        }
        let clock = match clock.as_str() {
            "monotonic" => "monotonic",
            "boottime" => "boottime",
            other => {
                return Err(Error::field(
                    "linux.timeOffsets",
                    format!("{other}: neither monotonic nor boottime"),
                ));
            }
        };
        offsets.push((clock, offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0)));
    }
    Ok(offsets)
}

/// Whether a namespace of `kind` is joined that is not the one the caller is in.
pub(super) fn joins_another(joined: &[(NamespaceKind, OwnedFd)], kind: NamespaceKind) -> bool {
    let id = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let own = rustix::fs::stat(format!("/proc/self/ns/{}", kind.proc_name())).map(id);
    joined
        .iter()
        .filter(|(joined, _)| *joined == kind)
        .any(|(_, fd)| rustix::fs::fstat(fd).map(id).is_ok_and(|other| own != Ok(other)))
}
