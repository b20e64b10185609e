//! resolv.conf(5) of a box with a network of its own.

use std::borrow::Cow;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use boxr_sys::file::read_text;
use rustix::io::Errno;

use crate::image::naming::are_asked;
use crate::options::{BoxOptions, MountOption, NamespaceMode, NetworkOptions, Root};
use crate::outcome::EngineError;
use crate::store::BoxDir;

const HOSTS: &str = "/etc/resolv.conf";
/// What systemd-resolved knows, where the host's own file names only its stub on 127.0.0.53.
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// The box's options with a mount of a file of its own on /etc/resolv.conf, where it has mounts of its own.
pub(super) fn add<'o>(
    dir: &BoxDir,
    options: &'o BoxOptions,
    around: Around,
) -> Result<Cow<'o, BoxOptions>, EngineError> {
    let destination = PathBuf::from(HOSTS);
    let has_own = options.mounts.iter().any(|mount| mount.destination == destination);
    // In the host's tree there is a file to mount on, or there is none.
    let has_place = options.root != Root::Host || Path::new(HOSTS).exists();
    // A container of an image has such a file anyway.
    if options.container.is_some() || options.namespaces.mount != NamespaceMode::New || has_own || !has_place
    {
        return Ok(Cow::Borrowed(options));
    }
    let path = dir.path().join("resolv.conf");
    let failed = |error: std::io::Error| EngineError::File {
        path: path.display().to_string(),
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    };
    fs::write(&path, text(&options.network, around)).map_err(failed)?;
    // Whoever the command runs as reads it.
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).map_err(failed)?;
    let mut options = options.clone();
    options.mounts.push(MountOption {
        kind: "bind".to_owned(),
        source: Some(path.display().to_string()),
        destination,
        options: vec!["bind".to_owned(), "rw".to_owned()],
    });
    Ok(Cow::Owned(options))
}

/// What a box has of networks.
pub(super) struct Around {
    /// Who answers names there.
    pub servers: Option<Vec<String>>,
    /// Whom those ask in place of the host's servers.
    pub asked: Vec<IpAddr>,
}

fn text(options: &NetworkOptions, around: Around) -> String {
    let mut resolver = host();
    resolver.servers = around.servers.unwrap_or(resolver.servers);
    let own = resolver.servers.clone();
    let mut resolver = resolver.overlaid_by(options);
    if are_asked(&options.dns, &around.asked) {
        resolver.servers = own;
    }
    resolver.text()
}

/// The host's name servers, as far as another network reaches them.
pub(super) fn servers() -> Vec<String> {
    host().servers
}

/// Whoever is to ask the host's name servers can.
///
/// # Errors
/// [`EngineError::NoNameServer`]: the host's file is there and says nothing at all, as somebody who cut it short leaves
/// it. One in which somebody wrote that there is none, or none at all, is a host without names.
pub(super) fn check(options: &BoxOptions, is_internal: impl Fn() -> bool) -> Result<(), EngineError> {
    let has_own = || options.mounts.iter().any(|mount| mount.destination == Path::new(HOSTS));
    if options.network.dns.is_empty() && host_says_nothing() && !has_own() && !is_internal() {
        return Err(EngineError::NoNameServer);
    }
    Ok(())
}

/// Whether the host's file is there, and empty.
pub(crate) fn host_says_nothing() -> bool {
    read_text(HOSTS).is_ok_and(|text| text.trim().is_empty())
}

/// Whether the host has a name server.
pub(crate) fn host_names_a_server() -> bool {
    read_text(HOSTS).is_ok_and(|text| names_a_server(&text))
}

fn host() -> Resolver {
    let text = read_text(HOSTS).unwrap_or_default();
    let mut host = Resolver::parse(&text);
    if !names_a_server(&text) {
        // The helper would lead nowhere, and who asks would wait for an answer.
        return host;
    }
    if host.servers.is_empty()
        && let Ok(behind) = read_text(BEHIND_STUB)
    {
        host.servers = Resolver::parse(&behind).servers;
    }
    if host.servers.is_empty() && !rustix::process::geteuid().is_root() {
        // The helper of a network without privilege passes on what comes there.
        host.servers.push(boxr_network::NAME_SERVER.to_owned());
    }
    host
}

/// What resolv.conf(5) says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Resolver {
    servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}

impl Resolver {
    /// Servers on the host's own 127.0.0.0/8 or ::1 are left out: in the box that is the box.
    fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => {
                    resolver.servers.extend(words.next().filter(|server| is_elsewhere(server)))
                }
                // The last one counts.
                Some("search" | "domain") => resolver.search = words.collect(),
                Some("options") => resolver.options.extend(words),
                _ => {}
            }
        }
        resolver
    }

    fn overlaid_by(mut self, options: &NetworkOptions) -> Self {
        if !options.dns.is_empty() {
            self.servers.clone_from(&options.dns);
        }
        if !options.dns_search.is_empty() {
            self.search = options.dns_search.iter().filter(|domain| *domain != ".").cloned().collect();
        }
        if !options.dns_options.is_empty() {
            self.options.clone_from(&options.dns_options);
        }
        self
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.search.is_empty() {
            text.push_str(&format!("search {}\n", self.search.join(" ")));
        }
        self.servers.iter().for_each(|server| text.push_str(&format!("nameserver {server}\n")));
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

/// Whether there is a name server, wherever it is.
fn names_a_server(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("nameserver") && words.next().is_some()
    })
}

fn is_elsewhere(server: &str) -> bool {
    let address = server.split('%').next().unwrap_or_default();
    address.parse::<IpAddr>().is_ok_and(|address| !address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_the_hosts_loopback_are_left_out() {
        let resolver = Resolver::parse(
            "# a comment\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver ::1\nsearch a b\noptions edns0\n",
        );
        assert_eq!(
            resolver.text(),
            "search a b\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\noptions edns0\n"
        );
    }

    #[test]
    fn a_server_anywhere_is_one() {
        assert!(names_a_server("search a\n nameserver 127.0.0.53\n"));
        assert!(!names_a_server("") && !names_a_server("# nameserver 10.0.0.1\nnameserver\nsearch a\n"));
    }

    #[test]
    fn what_was_said_comes_first() {
        let options = NetworkOptions {
            dns: vec!["10.9.9.9".to_owned()],
            dns_search: vec![".".to_owned()],
            ..NetworkOptions::default()
        };
        let resolver =
            Resolver::parse("nameserver 10.0.0.1\nsearch a\noptions ndots:2\n").overlaid_by(&options);
        assert_eq!(resolver.text(), "nameserver 10.9.9.9\noptions ndots:2\n");
    }
}
