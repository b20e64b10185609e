//! /etc/hosts, /etc/hostname and /etc/resolv.conf of a container: files of its own, made anew at every start and bound
//! over what the image has (hosts(5), hostname(5), resolv.conf(5)).

use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use boxr_sys::file::read_text;
use rustix::io::Errno;

use super::ImageError;
use super::options::Naming;
use crate::options::NamespaceMode;

/// What is known of a container's network when it starts.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Addresses of the container itself; none on another's network, or without one.
    pub addresses: Vec<String>,
    /// Name servers that it reaches; none: the host's.
    pub servers: Vec<String>,
    /// Who those ask in place of the host's servers.
    pub asked: Vec<IpAddr>,
    /// Where it reaches the host.
    pub gateway: Option<String>,
    /// Where it reaches the host by IPv6 as well.
    pub gateway6: Option<String>,
    /// The host name that it shares with others.
    pub hostname: Option<String>,
    /// Names and addresses that all who share it know.
    pub hosts: Vec<(String, String)>,
}

/// Who the container is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    pub hostname: &'a str,
    pub network: &'a NamespaceMode,
    /// The host's ids of the container's root, where it has others than the caller.
    pub owner: Option<(u32, u32)>,
}

/// Writes the files below `dir` and gives where each belongs.
///
/// # Errors
/// A file cannot be written; `host-gateway` is not known.
pub(crate) fn write(
    dir: &Path,
    naming: &Naming,
    who: Who<'_>,
    around: &Surroundings,
) -> Result<Vec<(PathBuf, &'static str)>, ImageError> {
    let mut files = vec![("hostname", "/etc/hostname", format!("{}\n", who.hostname))];
    if !naming.keeps_hosts {
        files.push(("hosts", "/etc/hosts", hosts(naming, who, around)?));
    }
    files.push(("resolv.conf", "/etc/resolv.conf", resolv_conf(naming, who.network, around)));
    let place = |(name, target, text): (&str, &'static str, String)| {
        let path = dir.join(name);
        put(&path, &text, who.owner)?;
        Ok((path, target))
    };
    files.into_iter().map(place).collect()
}

/// In place: the file may be bound into the container that is about to start again.
fn put(path: &Path, text: &str, owner: Option<(u32, u32)>) -> Result<(), ImageError> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o644).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes())).and_then(|()| match owner {
        Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    });
    written.map_err(|error| ImageError::File {
        action: "write",
        path: path.to_owned(),
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    })
}

/// Stands for the address at which a container reaches the host.
pub(crate) const HOST_GATEWAY: &str = "host-gateway";
/// podman's names for the host, and docker's.
const HOSTS_NAMES: [&str; 2] = ["host.containers.internal", "host.docker.internal"];

/// The line of /etc/hosts that tells a container where the host is.
pub(crate) fn line_of_host(host: IpAddr) -> String {
    format!("{host}\t{}", HOSTS_NAMES.join(" "))
}

const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

fn hosts(naming: &Naming, who: Who<'_>, around: &Surroundings) -> Result<String, ImageError> {
    let mut text = match who.network {
        NamespaceMode::Host => read_text("/etc/hosts").unwrap_or_else(|_| LOCAL.to_owned()),
        NamespaceMode::New | NamespaceMode::Join(_) => LOCAL.to_owned(),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let gateway = match who.network {
        NamespaceMode::Host => Some("127.0.0.1"),
        NamespaceMode::New | NamespaceMode::Join(_) => around.gateway.as_deref(),
    };
    let mut line = |address: &str, name: &str| {
        // A string takes whatever is written to it.
        writeln!(text, "{address}\t{name}").unwrap_or_default();
    };
    for (name, address) in around.hosts.iter().chain(&naming.hosts) {
        match (address.as_str(), gateway) {
            (HOST_GATEWAY, Some(gateway)) => line(gateway, name),
            (HOST_GATEWAY, None) => return Err(ImageError::NoGateway(name.clone())),
            (address, _) => line(address, name),
        }
    }
    if let Some(gateway) = gateway {
        let said = |name: &str| around.hosts.iter().chain(&naming.hosts).any(|(other, _)| other == name);
        let names: Vec<&str> = HOSTS_NAMES.into_iter().filter(|name| !said(name)).collect();
        if !names.is_empty() {
            [Some(gateway), around.gateway6.as_deref()]
                .into_iter()
                .flatten()
                .for_each(|address| line(address, &names.join(" ")));
        }
    }
    if *who.network != NamespaceMode::Host {
        match around.addresses.as_slice() {
            // Debian's address for a name without one.
            [] => line("127.0.1.1", who.hostname),
            addresses => addresses.iter().for_each(|address| line(address, who.hostname)),
        }
    }
    Ok(text)
}

fn resolv_conf(naming: &Naming, network: &NamespaceMode, around: &Surroundings) -> String {
    let host = host_resolv_conf(network);
    let lines = |keyword: &str| -> Vec<String> {
        let of = host.lines().filter_map(move |line| line.trim().strip_prefix(keyword));
        of.filter(|rest| rest.starts_with([' ', '\t'])).map(|rest| rest.trim().to_owned()).collect()
    };
    let first_said = |lists: &[&Vec<String>], otherwise: Vec<String>| {
        lists.iter().find(|list| !list.is_empty()).map_or(otherwise, |list| (*list).clone())
    };
    // Who knows the neighbours asks them.
    let is_asked = are_asked(&naming.servers, &around.asked);
    let said = if is_asked { &around.servers } else { &naming.servers };
    let servers = first_said(&[said, &around.servers], lines("nameserver"));
    let mut search = first_said(&[&naming.search], lines("search"));
    search.retain(|domain| domain != ".");
    let options = first_said(&[&naming.options], lines("options"));
    let mut text = String::new();
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    servers.iter().for_each(|server| text.push_str(&format!("nameserver {server}\n")));
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

/// Whether the name servers that were said are those that a network's resolver asks.
pub(crate) fn are_asked(said: &[String], asked: &[IpAddr]) -> bool {
    let said: Vec<IpAddr> = said.iter().filter_map(|server| server.parse().ok()).collect();
    !asked.is_empty() && said == asked
}

/// The host's name servers; where those are a stub on the host's own loopback interface, which another network does
/// not reach, the ones behind it (systemd-resolved(8)).
fn host_resolv_conf(network: &NamespaceMode) -> String {
    let read = |path: &str| read_text(path).unwrap_or_default();
    let text = read("/etc/resolv.conf");
    if *network == NamespaceMode::Host || !text.contains("nameserver 127.0.0.53") {
        return text;
    }
    let behind = read("/run/systemd/resolve/resolv.conf");
    if behind.is_empty() { text } else { behind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(network: &NamespaceMode) -> Who<'_> {
        Who { hostname: "blue", network, owner: None }
    }

    #[test]
    fn a_container_knows_itself() {
        let naming = Naming { hosts: vec![("db".into(), "10.0.0.5".into())], ..Naming::default() };
        let none = hosts(&naming, who(&NamespaceMode::New), &Surroundings::default()).unwrap();
        assert_eq!(none, format!("{LOCAL}10.0.0.5\tdb\n127.0.1.1\tblue\n"));
        let around = Surroundings {
            addresses: vec!["10.88.0.2".into()],
            gateway: Some("10.88.0.1".into()),
            ..Surroundings::default()
        };
        let naming = Naming { hosts: vec![("host".into(), "host-gateway".into())], ..Naming::default() };
        let bridged = hosts(&naming, who(&NamespaceMode::New), &around).unwrap();
        assert_eq!(
            bridged,
            format!("{LOCAL}10.88.0.1\thost\n{}\n10.88.0.2\tblue\n", line_of_host([10, 88, 0, 1].into()))
        );
        // A name that was given an address keeps it.
        let said = Naming { hosts: vec![(HOSTS_NAMES[1].into(), "10.0.0.5".into())], ..Naming::default() };
        let text = hosts(&said, who(&NamespaceMode::New), &around).unwrap();
        assert!(
            text.contains("10.0.0.5\thost.docker.internal\n10.88.0.1\thost.containers.internal\n"),
            "{text}"
        );
        assert!(hosts(&naming, who(&NamespaceMode::New), &Surroundings::default()).is_err());
        let host = hosts(&naming, who(&NamespaceMode::Host), &Surroundings::default()).unwrap();
        assert!(
            host.contains("127.0.0.1\thost\n127.0.0.1\thost.containers.internal ")
                && !host.contains("\tblue")
        );
    }

    #[test]
    fn what_is_said_of_name_servers_counts() {
        let naming = Naming {
            servers: vec!["10.0.0.1".into()],
            search: vec!["a".into(), "b".into()],
            options: vec!["ndots:2".into()],
            ..Naming::default()
        };
        let text = resolv_conf(&naming, &NamespaceMode::Host, &Surroundings::default());
        assert_eq!(text, "search a b\nnameserver 10.0.0.1\noptions ndots:2\n");
        let none = Naming { search: vec![".".into()], servers: vec!["::1".into()], ..Naming::default() };
        let text = resolv_conf(&none, &NamespaceMode::New, &Surroundings::default());
        assert!(text.starts_with("nameserver ::1\n"), "{text}");
    }
}
