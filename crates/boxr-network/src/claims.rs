//! Whose a published port is, found without a look at every container.
//!
//! `ports/8080.tcp/ADDRESS -> ID`, `all` where no address was said. What keeps a port from others is the socket that is
//! bound to it; an entry says whose it is, also where whoever held that socket was killed. It is made after the
//! record that has the port is written, and goes before that: an entry that no record bears out means nothing.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::PathBuf;

use crate::attachment::{Attachment, short};
use crate::error::{Collected, Error};
use crate::files::{self, failed};
use crate::networks::{IsAlive, Networks};
use crate::port::{Protocol, Published};
use crate::publish;

/// The entry of a port on all addresses.
const ALL: &str = "all";

/// Who asks for ports.
pub(crate) struct Asker<'a> {
    pub networks: &'a Networks,
    /// The container that is to have them.
    pub id: &'a str,
    /// Whether a container still lives.
    pub is_alive: &'a IsAlive<'a>,
}

impl Asker<'_> {
    /// Who has published a port on an address that `ip` meets, for people. What a dead container had of it is given back.
    pub(crate) fn owner(
        &self,
        ip: Option<IpAddr>,
        port: u16,
        protocol: Protocol,
    ) -> Result<Option<String>, Error> {
        let dir = self.networks.port_dir(port, protocol);
        for entry in files::names(&dir)? {
            let address = entry.parse().ok();
            if !overlap(address, ip) || address.is_none() && entry != ALL {
                continue;
            }
            let path = dir.join(&entry);
            let owner = match fs::read_link(&path) {
                Ok(owner) => owner.to_string_lossy().into_owned(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("read", &path)(error)),
            };
            let claimed = Published { ip: address, host: port, container: 0, protocol };
            let attachment = self.networks.attachment(&owner)?;
            match attachment.filter(|attachment| attachment.has_published(&claimed)) {
                None => self.networks.give_back_port(&claimed, &owner)?,
                Some(other) if other.id == self.id || (self.is_alive)(&other.id) => {
                    return Ok(Some(format!("container {} ({})", other.name, short(&other.id))));
                }
                Some(other) => self.networks.detach(&other.id)?,
            }
        }
        Ok(None)
    }
}

impl Attachment {
    /// Whether it has a port on the same address.
    fn has_published(&self, wanted: &Published) -> bool {
        let is_same = |port: &Published| entry(port) == entry(wanted);
        self.published
            .iter()
            .any(|port| port.host == wanted.host && port.protocol == wanted.protocol && is_same(port))
    }
}

impl Networks {
    fn ports(&self) -> PathBuf {
        self.state().join("ports")
    }

    fn port_dir(&self, port: u16, protocol: Protocol) -> PathBuf {
        self.ports().join(format!("{port}.{}", protocol.name()))
    }

    /// Writes the record of a container, and notes whose its ports are.
    pub(crate) fn note_with_ports(
        &self,
        attachment: &Attachment,
        is_alive: &IsAlive<'_>,
    ) -> Result<(), Error> {
        self.note(attachment)?;
        self.claim_ports(&Asker { networks: self, id: &attachment.id, is_alive }, &attachment.published)
    }

    /// Notes whose ports these are. The record of `id` has them already.
    ///
    /// # Errors
    /// Another was faster; those before it are noted.
    pub(crate) fn claim_ports(&self, asker: &Asker<'_>, ports: &[Published]) -> Result<(), Error> {
        ports.iter().try_for_each(|port| self.claim_port(asker, port))
    }

    fn claim_port(&self, asker: &Asker<'_>, port: &Published) -> Result<(), Error> {
        let dir = self.port_dir(port.host, port.protocol);
        let path = dir.join(entry(port));
        loop {
            match fs::DirBuilder::new().mode(0o700).create(&dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => files::make_dir(&self.ports())?,
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(failed("make", &dir)(error));
                }
                _ => {}
            }
            match symlink(asker.id, &path) {
                Ok(()) => return Ok(()),
                // Whoever has given back the last entry there has taken the directory away meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if let Some(owner) = asker.owner(port.ip, port.host, port.protocol)? {
                        let port = publish::words(port.ip, &port.host.to_string(), port.protocol);
                        return Err(Error::PortTaken { port, owner: Some(owner) });
                    }
                }
                Err(error) => return Err(failed("make", &path)(error)),
            }
        }
    }

    /// Ends the notes about ports of `id`'s.
    pub(crate) fn give_back_ports(&self, ports: &[Published], id: &str) -> Result<(), Error> {
        let mut collected = Collected::default();
        ports.iter().for_each(|port| collected.take(self.give_back_port(port, id)));
        collected.finish()
    }

    fn give_back_port(&self, port: &Published, id: &str) -> Result<(), Error> {
        let dir = self.port_dir(port.host, port.protocol);
        let path = dir.join(entry(port));
        match fs::read_link(&path) {
            Ok(owner) if owner.to_str() == Some(id) => files::remove(&path)?,
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed("read", &path)(error)),
        }
        remove_if_empty(&dir)
    }

    /// Removes what killed boxrs have left: directories without an entry.
    pub(crate) fn sweep_ports(&self) -> Result<(), Error> {
        let ports = self.ports();
        files::names(&ports)?.iter().try_for_each(|port| remove_if_empty(&ports.join(port)))
    }
}

fn remove_if_empty(dir: &std::path::Path) -> Result<(), Error> {
    match fs::remove_dir(dir) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(failed("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

fn entry(port: &Published) -> String {
    port.ip.map_or_else(|| ALL.to_owned(), |ip| ip.to_string())
}

/// Whether two addresses of the host's, `None` being all, can be meant by one packet.
fn overlap(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            one == other
                || one.is_ipv4() == other.is_ipv4() && (one.is_unspecified() || other.is_unspecified())
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: Option<&str>, host: u16) -> Published {
        Published { ip: ip.map(|ip| ip.parse().unwrap()), host, container: 80, protocol: Protocol::Tcp }
    }

    fn has(id: &str, published: &[Published]) -> Attachment {
        Attachment { published: published.to_vec(), ..Attachment::new(id, id) }
    }

    #[test]
    fn the_owner_of_a_port_is_who_has_it_on_an_address_that_meets_it() {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::new(dir.path(), dir.path());
        let all =
            [port(None, 80), port(Some("127.0.0.1"), 81), port(Some("0.0.0.0"), 82), port(Some("::"), 83)];
        networks.note_with_ports(&has("old", &all), &|_| true).unwrap();
        let asker = Asker { networks: &networks, id: "new", is_alive: &|_| true };
        let is_taken = |ip: Option<&str>, host| {
            let ip = ip.map(|ip| ip.parse().unwrap());
            let owner = asker.owner(ip, host, Protocol::Tcp).unwrap();
            assert!(owner.as_deref().is_none_or(|owner| owner.starts_with("container old")));
            owner.is_some()
        };
        for (ip, host, taken) in [
            (None, 80, true),
            (Some("::1"), 80, true),
            (None, 81, true),
            (Some("127.0.0.2"), 81, false),
            (Some("0.0.0.0"), 81, true),
            (Some("127.0.0.1"), 82, true),
            (Some("::1"), 82, false),
            (Some("::1"), 83, true),
            (None, 84, false),
        ] {
            assert_eq!(is_taken(ip, host), taken, "{ip:?} {host}");
        }
        assert_eq!(asker.owner(None, 80, Protocol::Udp).unwrap(), None);
        let refused = networks.note_with_ports(&has("new", &all[..1]), &|_| true);
        assert!(matches!(refused, Err(Error::PortTaken { .. })), "{refused:?}");
        networks.detach("new").unwrap();
        assert!(is_taken(None, 80));
        networks.detach("old").unwrap();
        assert!(!is_taken(None, 80));
        assert_eq!(files::names(&networks.ports()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_the_dead_or_no_record_had_is_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::new(dir.path(), dir.path());
        let asker = Asker { networks: &networks, id: "new", is_alive: &|id| id != "dead" };
        networks.note_with_ports(&has("dead", &[port(None, 80)]), &|_| true).unwrap();
        assert_eq!(asker.owner(None, 80, Protocol::Tcp).unwrap(), None);
        assert_eq!(networks.attachment("dead").unwrap(), None, "all that it had is given back");
        // One that was killed after it had given up the port, and one between its two steps.
        networks.note_with_ports(&has("old", &[port(None, 81)]), &|_| true).unwrap();
        networks.note(&has("old", &[])).unwrap();
        fs::create_dir(networks.port_dir(82, Protocol::Tcp)).unwrap();
        networks.claim_ports(&asker, &[port(None, 81), port(None, 82)]).unwrap();
        networks.give_back_ports(&[port(None, 81)], "old").unwrap();
        assert!(networks.port_dir(81, Protocol::Tcp).join(ALL).is_symlink(), "it is another's now");
        networks.give_back_ports(&[port(None, 81)], "new").unwrap();
        fs::create_dir(networks.port_dir(83, Protocol::Tcp)).unwrap();
        networks.sweep_ports().unwrap();
        assert_eq!(files::names(&networks.ports()).unwrap(), ["82.tcp"]);
    }

    #[test]
    fn a_port_is_claimed_once_also_while_others_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::new(dir.path(), dir.path());
        let holders = std::sync::atomic::AtomicUsize::new(0);
        let come_and_go = |name: &str| {
            for number in 0..200 {
                let id = format!("{name}{number}");
                if networks.note_with_ports(&has(&id, &[port(None, 80)]), &|_| true).is_ok() {
                    assert_eq!(holders.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    holders.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                }
                networks.detach(&id).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for id in ["one", "two", "three"] {
                scope.spawn(move || come_and_go(id));
            }
        });
        assert_eq!(files::names(&networks.ports()).unwrap(), Vec::<String>::new());
    }
}
