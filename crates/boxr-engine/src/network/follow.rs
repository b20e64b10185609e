//! /etc/hosts and /etc/resolv.conf of a box that runs follow its networks.
//!
//! The files are bound into the box, so they are changed in place; lines that boxr has not written stay.

use std::fs::OpenOptions;
use std::io::{Read, Seek, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use boxr_network::Attachment;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::image::{ContainerFiles, naming};
use crate::options::BoxOptions;
use crate::outcome::EngineError;
use crate::store::BoxDir;

/// What a box has of networks, as its files know it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    addresses: Vec<IpAddr>,
    servers: Vec<IpAddr>,
    /// Where the host is.
    host: Option<IpAddr>,
}

impl Known {
    fn of(attachment: Option<&Attachment>) -> Self {
        let endpoints = attachment.map(|attachment| attachment.endpoints.as_slice()).unwrap_or_default();
        Self {
            addresses: endpoints.iter().flat_map(|e| &e.addresses).map(|(address, _)| *address).collect(),
            servers: endpoints.iter().filter_map(|endpoint| endpoint.resolver).collect(),
            host: attachment.and_then(Attachment::way_to_host),
        }
    }
}

/// Changes the files of a box whose networks were `before` and are `after`.
///
/// # Errors
/// A file cannot be written; the box is on its networks all the same.
pub(super) fn follow(
    dir: &BoxDir,
    options: &BoxOptions,
    before: Option<&Attachment>,
    after: Option<&Attachment>,
) -> Result<(), EngineError> {
    let (before, after) = (Known::of(before), Known::of(after));
    let place = place(dir, options)?;
    let _held = hold(options, &place)?;
    change(&place.join("hosts"), |text| hosts(text, &before, &after))?;
    let said = options.container.as_ref().map_or(&options.network.dns, |container| &container.naming.servers);
    let said = if said.is_empty() { &options.network.dns } else { said };
    // Where one is the box itself, they are all that it asks.
    let is_asked = said.iter().all(|server| server.parse().is_ok_and(|server: IpAddr| !server.is_loopback()));
    if is_asked {
        change(&place.join("resolv.conf"), |text| resolv_conf(text, &before, &after, said))?;
    }
    Ok(())
}

/// Changes /etc/hosts of a box.
///
/// # Errors
/// It cannot be read or written.
pub(super) fn change_hosts(
    dir: &BoxDir,
    options: &BoxOptions,
    how: impl FnOnce(&str) -> String,
) -> Result<(), EngineError> {
    let place = place(dir, options)?;
    let _held = hold(options, &place)?;
    change(&place.join("hosts"), how)
}

/// Where the files are.
fn place(dir: &BoxDir, options: &BoxOptions) -> Result<PathBuf, EngineError> {
    Ok(ContainerFiles::of(dir, options)?.map_or_else(|| dir.path(), |files| files.data))
}

/// The lock of a container's files: others that start change them too (`--link`), and none waits for its box.
fn hold(options: &BoxOptions, place: &Path) -> Result<Option<OwnedFd>, EngineError> {
    if options.container.is_none() {
        return Ok(None);
    }
    let failed = |errno| EngineError::File { path: place.display().to_string(), errno };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(place, flags, Mode::empty()).map_err(failed)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&fd, FlockOperation::LockExclusive)).map_err(failed)?;
    Ok(Some(fd))
}

/// The box writes the file too: more is not read of it than names can be.
const LONGEST: u64 = 16 << 20;

/// A file that is not there belongs to a box without one of its own.
fn change(path: &Path, how: impl FnOnce(&str) -> String) -> Result<(), EngineError> {
    let failed = |error: std::io::Error| EngineError::File {
        path: path.display().to_string(),
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    };
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = match OpenOptions::new().read(true).write(true).custom_flags(no_follow).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(failed)?,
    };
    if file.metadata().map_err(failed)?.len() > LONGEST {
        return Err(failed(Errno::FBIG.into()));
    }
    let mut text = String::new();
    (&mut file).take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    let changed = how(&text);
    if changed == text {
        return Ok(());
    }
    let write = |file: &mut std::fs::File| {
        file.rewind()?;
        file.write_all(changed.as_bytes())?;
        file.set_len(changed.len() as u64)
    };
    write(&mut file).map_err(failed)
}

fn first_word(line: &str) -> Option<IpAddr> {
    line.split_whitespace().next()?.parse().ok()
}

fn hosts(text: &str, before: &Known, after: &Known) -> String {
    /// What stands for a box that has no address.
    const NOWHERE: &str = "127.0.1.1";
    let is_own = |line: &str| {
        first_word(line)
            .is_some_and(|address| before.addresses.contains(&address) || address.to_string() == NOWHERE)
    };
    let is_hosts = |line: &&str| before.host.is_some_and(|host| *line == naming::line_of_host(host));
    let mut moved = text.to_owned();
    if let Some(line) = text.lines().find(is_hosts).filter(|_| before.host != after.host) {
        let new = after.host.map(|host| naming::line_of_host(host) + "\n").unwrap_or_default();
        moved = moved.replacen(&format!("{line}\n"), &new, 1);
    }
    let text = moved.as_str();
    let Some(name) = text.lines().find(|line| is_own(line)).and_then(|line| line.split_whitespace().nth(1))
    else {
        return text.to_owned();
    };
    let mut lines: Vec<String> = text.lines().filter(|line| !is_own(line)).map(str::to_owned).collect();
    lines.extend(after.addresses.iter().map(|address| format!("{address}\t{name}")));
    if after.addresses.is_empty() {
        lines.push(format!("{NOWHERE}\t{name}"));
    }
    lines.join("\n") + "\n"
}

/// Where nobody is left who asks them, `said` are there.
fn resolv_conf(text: &str, before: &Known, after: &Known, said: &[String]) -> String {
    let server = |line: &str| line.strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok();
    let is_own = |line: &str| server(line).is_some_and(|address| before.servers.contains(&address));
    // Where a box had others' servers only, its own come before them.
    let at = text.lines().position(is_own).or_else(|| text.lines().position(|line| server(line).is_some()));
    let mut lines: Vec<String> = text.lines().filter(|line| !is_own(line)).map(str::to_owned).collect();
    let at = at.unwrap_or(lines.len()).min(lines.len());
    let is_any_left = lines.iter().any(|line| server(line).is_some());
    let own = after.servers.iter().map(|address| format!("nameserver {address}"));
    let others = said.iter().map(|server| format!("nameserver {server}"));
    let mut own: Vec<String> = own.collect();
    if own.is_empty() && !is_any_left {
        own.extend(others);
    }
    lines.splice(at..at, own);
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(addresses: &[&str], servers: &[&str]) -> Known {
        let parse = |all: &[&str]| all.iter().map(|text| text.parse().unwrap()).collect();
        let host = servers.first().map(|text| text.parse().unwrap());
        Known { addresses: parse(addresses), servers: parse(servers), host }
    }

    #[test]
    fn lines_of_others_stay() {
        let one = known(&["10.5.0.2"], &["10.5.0.1"]);
        let two = known(&["10.5.0.2", "10.6.0.2"], &["10.5.0.1", "10.6.0.1"]);
        let text = "127.0.0.1\tlocalhost\n10.9.9.9\tmine\n10.5.0.2\tweb\n# a note\n";
        let more = hosts(text, &one, &two);
        assert_eq!(more, "127.0.0.1\tlocalhost\n10.9.9.9\tmine\n# a note\n10.5.0.2\tweb\n10.6.0.2\tweb\n");
        let none = hosts(&more, &two, &Known::default());
        assert!(none.ends_with("# a note\n127.0.1.1\tweb\n"), "{none}");
        assert_eq!(hosts(&none, &Known::default(), &one).lines().last(), Some("10.5.0.2\tweb"));
        assert_eq!(hosts("", &one, &two), "");
        let text = "10.5.0.1\thost.containers.internal host.docker.internal\n10.5.0.2\tweb\n";
        let other = known(&["10.6.0.2"], &["10.6.0.1"]);
        let moved = hosts(text, &one, &other);
        assert_eq!(moved, "10.6.0.1\thost.containers.internal host.docker.internal\n10.6.0.2\tweb\n");
        assert_eq!(hosts(&moved, &other, &Known::default()), "127.0.1.1\tweb\n");
    }

    #[test]
    fn servers_come_and_go_in_their_place() {
        let one = known(&[], &["10.5.0.1"]);
        let two = known(&[], &["10.5.0.1", "10.6.0.1"]);
        let text = "search a\nnameserver 10.5.0.1\noptions ndots:1\n";
        let more = resolv_conf(text, &one, &two, &[]);
        assert_eq!(more, "search a\nnameserver 10.5.0.1\nnameserver 10.6.0.1\noptions ndots:1\n");
        assert_eq!(resolv_conf(&more, &two, &one, &[]), text);
        assert_eq!(
            resolv_conf("nameserver 9.9.9.9\n", &Known::default(), &one, &[]),
            "nameserver 10.5.0.1\nnameserver 9.9.9.9\n"
        );
        let none = resolv_conf(text, &one, &Known::default(), &["9.9.9.9".to_owned()]);
        assert_eq!(none, "search a\nnameserver 9.9.9.9\noptions ndots:1\n");
    }
}
