//! Namespaces that a container shares: criu does not keep them, but finds those that are there at the
//! restore (criu(8), `--external`, `--inherit-fd`, `--join-ns`).

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Spec};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::error::Error as CriuError;
use super::options::{Inherited, JoinedNamespace};
use super::rpc::Version;
use crate::error::Error;

/// A kind of namespace whose place criu keeps free.
#[derive(Debug)]
struct External {
    typ: LinuxNamespaceType,
    /// In /proc/PID/ns.
    kind: &'static str,
    /// What it is called in the images: runc's name.
    name: &'static str,
    since: Version,
    what: &'static str,
}

const EXTERNAL: [External; 2] = [
    External {
        typ: LinuxNamespaceType::Network,
        kind: "net",
        name: "extRootNetNS",
        since: Version(31100),
        what: "a network namespace given by its path",
    },
    External {
        typ: LinuxNamespaceType::Pid,
        kind: "pid",
        name: "extRootPidNS",
        since: Version(31500),
        what: "a pid namespace given by its path",
    },
];

impl External {
    fn check(&self, criu: Version) -> Result<(), Error> {
        if criu >= self.since {
            return Ok(());
        }
        Err(CriuError::TooOld { what: self.what, needed: self.since, found: criu }.into())
    }
}

/// What a dump is told: `net[INODE]:NAME`.
///
/// # Errors
/// criu is too old for it; a namespace is not there.
pub fn for_dump(spec: &Spec, criu: Version) -> Result<Vec<String>, Error> {
    let mut told = Vec::new();
    for external in &EXTERNAL {
        let Some(path) = joined(spec).find(|(typ, _)| *typ == external.typ).map(|(_, path)| path) else {
            continue;
        };
        external.check(criu)?;
        let stat = rustix::fs::stat(path).map_err(|errno| Error::at("look at the namespace", path, errno))?;
        told.push(format!("{}[{}]:{}", external.kind, stat.st_ino, external.name));
    }
    Ok(told)
}

/// What a restore is told, and the descriptors that are for criu.
#[derive(Debug, Default)]
pub struct Restored {
    /// Those whose place is free in the images.
    pub inherited: Vec<Inherited>,
    /// Those that criu joins.
    pub joined: Vec<JoinedNamespace>,
    /// Open namespaces, which `inherited` names by number.
    pub open: Vec<OwnedFd>,
}

/// Finds the namespaces of `spec` that are there already.
///
/// # Errors
/// A namespace cannot be opened; a cgroup or time namespace is to be joined, which criu cannot.
pub fn for_restore(spec: &Spec) -> Result<Restored, Error> {
    let mut restored = Restored::default();
    for (typ, path) in joined(spec) {
        if let Some(external) = EXTERNAL.iter().find(|external| external.typ == typ) {
            let fd = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| Error::at("open the namespace", path, errno))?;
            restored.inherited.push(Inherited { key: external.name.into(), fd: fd.as_raw_fd() });
            restored.open.push(fd);
            continue;
        }
        let kind = match typ {
            LinuxNamespaceType::Ipc => "ipc",
            LinuxNamespaceType::Uts => "uts",
            LinuxNamespaceType::User => "user",
            LinuxNamespaceType::Mount => "mnt",
            _ => {
                let why = format!("criu cannot restore into the {typ} namespace {}", path.display());
                return Err(Error::WrongState(why));
            }
        };
        restored.joined.push(JoinedNamespace { kind, path: path.to_owned() });
    }
    Ok(restored)
}

/// Whether criu is as new as the namespaces of `spec` need.
///
/// # Errors
/// It is older.
pub fn check_version(spec: &Spec, criu: Version) -> Result<(), Error> {
    let mut used = EXTERNAL.iter().filter(|external| joined(spec).any(|(typ, _)| typ == external.typ));
    used.try_for_each(|external| external.check(criu))
}

fn joined(spec: &Spec) -> impl Iterator<Item = (LinuxNamespaceType, &Path)> {
    let namespaces = spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten());
    namespaces.filter_map(|namespace: &LinuxNamespace| Some((namespace.typ(), namespace.path().as_deref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(namespaces: &str) -> Spec {
        let text = format!(r#"{{"ociVersion":"1.0.0","linux":{{"namespaces":{namespaces}}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn network_and_pid_stay_free_in_the_images() {
        let spec = spec(
            r#"[{"type":"network","path":"/proc/self/ns/net"},{"type":"pid"},
            {"type":"ipc","path":"/proc/self/ns/ipc"}]"#,
        );
        let inode = rustix::fs::stat("/proc/self/ns/net").unwrap().st_ino;
        let told = for_dump(&spec, Version(31701)).unwrap();
        assert_eq!(told, [format!("net[{inode}]:extRootNetNS")]);
        let restored = for_restore(&spec).unwrap();
        assert_eq!(restored.inherited[0].key, "extRootNetNS");
        assert_eq!(restored.inherited[0].fd, restored.open[0].as_raw_fd());
        let ipc = JoinedNamespace { kind: "ipc", path: "/proc/self/ns/ipc".into() };
        assert_eq!(restored.joined, [ipc]);
    }

    #[test]
    fn what_criu_cannot_do_is_said() {
        let pid = spec(r#"[{"type":"pid","path":"/proc/self/ns/pid"}]"#);
        let said = for_dump(&pid, Version(31400)).unwrap_err().to_string();
        assert_eq!(said, "a pid namespace given by its path needs criu 3.15 or later, and this one is 3.14");
        assert!(check_version(&pid, Version(31400)).is_err() && check_version(&pid, Version(31500)).is_ok());
        let cgroup = spec(r#"[{"type":"cgroup","path":"/proc/self/ns/cgroup"}]"#);
        assert!(for_restore(&cgroup).unwrap_err().to_string().contains("/proc/self/ns/cgroup"));
        let missing = spec(r#"[{"type":"network","path":"/no/such"}]"#);
        assert!(for_restore(&missing).unwrap_err().to_string().contains("/no/such"));
    }
}
