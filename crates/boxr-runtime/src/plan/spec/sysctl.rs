//! `linux.sysctl`: only what belongs to a namespace of the container's own can be set.

use std::collections::HashMap;

use boxr_sys::namespace::NamespaceKind;

use crate::error::Error;

/// What of the ipc namespace stands in /proc/sys/kernel.
const IPC: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// Pairs of a path below /proc and the value, ordered by name. `owns` tells whether the container
/// has a namespace that is not the caller's.
pub(super) fn sysctls(
    map: Option<&HashMap<String, String>>,
    owns: impl Fn(NamespaceKind) -> bool,
) -> Result<Vec<(String, String)>, Error> {
    let mut all = Vec::new();
    for (key, value) in map.into_iter().flatten() {
        let field = || format!("linux.sysctl.{key}");
        let path = path(key);
        if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(Error::field(field(), "not the name of a setting"));
        }
        if path == "kernel/hostname" {
            return Err(Error::field(field(), "use the field hostname instead"));
        }
        let Some(kind) = namespace_of(&path) else {
            return Err(Error::field(field(), "belongs to no namespace: it would change the whole host"));
        };
        if !owns(kind) {
            return Err(Error::field(field(), format!("needs a {kind} namespace that is not the host's")));
        }
        all.push((format!("sys/{path}"), value.clone()));
    }
    all.sort();
    Ok(all)
}

/// As sysctl(8): the separator that comes first is the separator, the other one is part of a name.
fn path(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key[at..].starts_with('.') => key
            .chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => key.to_owned(),
    }
}

fn namespace_of(path: &str) -> Option<NamespaceKind> {
    match path.split_once('/')? {
        ("net", _) => Some(NamespaceKind::Network),
        ("fs", rest) if rest.starts_with("mqueue/") => Some(NamespaceKind::Ipc),
        ("kernel", "domainname") => Some(NamespaceKind::Uts),
        ("kernel", name) if IPC.contains(&name) => Some(NamespaceKind::Ipc),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, owns: bool) -> Result<Vec<(String, String)>, String> {
        let map = HashMap::from([(key.to_owned(), "1".to_owned())]);
        sysctls(Some(&map), |_| owns).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_paths_with_either_separator() {
        let path = |key| one(key, true).unwrap().remove(0).0;
        assert_eq!(path("net.ipv4.ip_forward"), "sys/net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/conf/eth0.100/rp_filter"), "sys/net/ipv4/conf/eth0.100/rp_filter");
        assert_eq!(path("net.ipv4.conf.eth0/100.rp_filter"), "sys/net/ipv4/conf/eth0.100/rp_filter");
        assert_eq!(path("kernel.shm_rmid_forced"), "sys/kernel/shm_rmid_forced");
        assert_eq!(path("fs.mqueue.msg_max"), "sys/fs/mqueue/msg_max");
    }

    #[test]
    fn what_is_the_hosts_is_refused() {
        for key in [
            "kernel.core_pattern",
            "vm.swappiness",
            "kernel.hostname",
            "net",
            "net..x",
            "net/../vm/x",
            "fs.mqueue",
        ] {
            let error = one(key, true).unwrap_err();
            assert!(error.starts_with(&format!("linux.sysctl.{key}: ")), "{error}");
        }
        assert!(one("net.ipv4.ip_forward", false).unwrap_err().contains("network namespace"));
        assert!(one("kernel.sem", false).unwrap_err().contains("ipc namespace"));
    }
}
