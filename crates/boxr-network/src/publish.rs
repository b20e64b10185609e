//! Ports of the host's: found free, held, and whose they are.
//!
//! Packets to a published port are sent on before a socket of the host's would get them. A socket is bound to it all
//! the same, and held while the container runs: another program that asks for the port is told that it is in
//! use, and one that has it already is found out before the start.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, socket_with};

use crate::claims::Asker;
use crate::error::Error;
use crate::port::{HostPort, PortSpec, Protocol, Published};

/// Sockets that hold ports while a container runs.
pub type Holds = Vec<OwnedFd>;

/// On which addresses of IPv6 a container's ports can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    /// On none.
    None,
    /// On `::1`, from which a forwarder leads to the container's address of IPv4.
    Loopback,
    /// On each.
    All,
}

/// Finds a port on the host for each of `specs` and binds it, on IPv6 too where there is `ipv6`.
pub(crate) fn take(
    specs: &[PortSpec],
    default_ip: Option<IpAddr>,
    ipv6: Ipv6,
    asker: &Asker<'_>,
) -> Result<(Vec<Published>, Holds), Error> {
    let (mut published, mut holds) = (Vec::<Published>::new(), Holds::new());
    for spec in specs {
        let ip = spec.ip.or(default_ip);
        let can_be = |ip: &IpAddr| match ipv6 {
            Ipv6::All => true,
            Ipv6::Loopback => ip.is_ipv4() || ip.is_loopback(),
            Ipv6::None => ip.is_ipv4(),
        };
        if let Some(ip) = ip.filter(|ip| !can_be(ip)) {
            return Err(Error::invalid(
                "port",
                &spec.to_string(),
                &format!("the container has no address of IPv6 for {ip}"),
            ));
        }
        for (host, container) in spec.pairs() {
            let taker = Taker { ip, ipv6, protocol: spec.protocol, asker };
            let (host, sockets) = taker.take(host).map_err(|error| match host {
                HostPort::Exactly(port) if published.iter().any(|other| taker.meets(other, port)) => {
                    Error::invalid(
                        "port",
                        &spec.to_string(),
                        "the host's port leads into the container already",
                    )
                }
                _ => error,
            })?;
            holds.extend(sockets);
            published.push(Published { ip, host, container, protocol: spec.protocol });
        }
    }
    Ok((published, holds))
}

/// Checks ports at `::1`, where the kernel leads nothing from: a forwarder does ([`crate::forwarder`]).
///
/// # Errors
/// One of SCTP, which it does not know.
pub(crate) fn check_forwarded(specs: &[PortSpec], default_ip: Option<IpAddr>) -> Result<(), Error> {
    let is_lost = |spec: &&PortSpec| {
        matches!(spec.ip.or(default_ip), Some(IpAddr::V6(ip)) if ip.is_loopback())
            && spec.protocol == Protocol::Sctp
    };
    match specs.iter().find(is_lost) {
        Some(port) => Err(Error::invalid(
            "port",
            &port.to_string(),
            "at ::1 there are tcp and udp: publish it on 127.0.0.1, or on an address of the host's",
        )),
        None => Ok(()),
    }
}

/// Binds again what a container has published, as far as it can be had.
pub(crate) fn take_again<'a>(published: impl Iterator<Item = &'a Published>) -> Holds {
    let all = |port: &Published| (port.ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port.host, port.protocol);
    published.map(all).filter_map(|(ip, port, protocol)| Some(hold(ip, port, protocol).ok()?.1)).collect()
}

/// Whether somebody has a socket on a published port.
pub(crate) fn is_held(port: &Published) -> bool {
    let ip = port.ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    // A module that is missing holds nothing, and is in nobody's way.
    matches!(hold(ip, port.host, port.protocol), Err(errno) if errno != Errno::ADDRNOTAVAIL)
}

struct Taker<'a> {
    ip: Option<IpAddr>,
    ipv6: Ipv6,
    protocol: Protocol,
    asker: &'a Asker<'a>,
}

impl Taker<'_> {
    fn take(&self, host: HostPort) -> Result<(u16, Holds), Error> {
        match host {
            HostPort::Exactly(port) => self.bind(port),
            HostPort::Any => self.any(),
            HostPort::OneOf(range) => {
                for port in range.ports() {
                    match self.bind(port) {
                        Err(Error::PortTaken { .. }) => {}
                        done => return done,
                    }
                }
                Err(self.taken(&range.to_string(), Some("others, all of them".to_owned())))
            }
        }
    }

    /// What the kernel finds free on the first address may be taken on the second.
    fn any(&self) -> Result<(u16, Holds), Error> {
        let mut last = Err(self.taken("any", None));
        for _ in 0..64 {
            last = self.bind(0);
            if !matches!(last, Err(Error::PortTaken { .. })) {
                break;
            }
        }
        last
    }

    fn addresses(&self) -> Vec<IpAddr> {
        match self.ip {
            Some(ip) => vec![ip],
            None if self.ipv6 == Ipv6::All => {
                vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
            }
            None => vec![Ipv4Addr::UNSPECIFIED.into()],
        }
    }

    fn bind(&self, wanted: u16) -> Result<(u16, Holds), Error> {
        let (mut port, mut holds) = (wanted, Holds::new());
        if port != 0 {
            self.check_published(port)?;
        }
        for ip in self.addresses() {
            match hold(ip, port, self.protocol) {
                Ok((bound, socket)) => {
                    port = bound;
                    holds.push(socket);
                }
                Err(Errno::ADDRINUSE) => {
                    return Err(self.taken(&port.to_string(), listener(port, self.protocol)));
                }
                Err(Errno::ADDRNOTAVAIL) => {
                    return Err(Error::invalid("address", &ip.to_string(), "no device of the host has it"));
                }
                // Without a module for SCTP the host can have no socket that is in the way.
                Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT)
                    if self.protocol == Protocol::Sctp && port != 0 => {}
                Err(errno) => {
                    return Err(Error::system("take", format!("port {}", SocketAddr::new(ip, port)), errno));
                }
            }
        }
        if wanted == 0 {
            self.check_published(port)?;
        }
        Ok((port, holds))
    }

    /// Sent on before any socket would get it: what another container has is no better than a socket.
    fn check_published(&self, port: u16) -> Result<(), Error> {
        match self.asker.owner(self.ip, port, self.protocol)? {
            Some(owner) => Err(self.taken(&port.to_string(), Some(owner))),
            None => Ok(()),
        }
    }

    /// Whether this port of the host's is the one that `other` leads from.
    fn meets(&self, other: &Published, port: u16) -> bool {
        let is_any = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
        (other.host, other.protocol) == (port, self.protocol)
            && (other.ip == self.ip || is_any(other.ip) || is_any(self.ip))
    }

    fn taken(&self, port: &str, owner: Option<String>) -> Error {
        Error::PortTaken { port: words(self.ip, port, self.protocol), owner }
    }
}

/// A port as people say it: `127.0.0.1:8080/tcp`.
pub(crate) fn words(ip: Option<IpAddr>, port: &str, protocol: Protocol) -> String {
    let ip = match ip {
        Some(IpAddr::V6(ip)) => format!("[{ip}]:"),
        Some(IpAddr::V4(ip)) => format!("{ip}:"),
        None => String::new(),
    };
    format!("{ip}{port}/{}", protocol.name())
}

/// Binds a port, or any free one for 0, and says which.
pub(crate) fn hold(ip: IpAddr, port: u16, protocol: Protocol) -> Result<(u16, OwnedFd), Errno> {
    let family = if ip.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(number))?;
    if ip.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    // Connections that have just ended are not in the way; a socket of somebody else's still is, and ours is
    // in the way of others.
    let stream = protocol == Protocol::Tcp;
    set_socket_reuseaddr(&socket, stream)?;
    bind(&socket, &SocketAddr::new(ip, port))?;
    set_socket_reuseaddr(&socket, false)?;
    let bound = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((bound.port(), socket))
}

/// The program that has a port: `nginx (process 4321)`.
pub(crate) fn listener(port: u16, protocol: Protocol) -> Option<String> {
    let inode = ["", "6"].into_iter().find_map(|family| {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{}{family}", protocol.name())).ok()?;
        table.lines().skip(1).find_map(|line| inode_of(line, port, protocol))
    });
    inode.and_then(crate::explain::owner)
}

/// The inode of a socket in a line of /proc/net/tcp or udp (proc_pid_net(5)), if it has this port.
fn inode_of(line: &str, port: u16, protocol: Protocol) -> Option<u64> {
    const LISTENING: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, number) = fields.get(1)?.rsplit_once(':')?;
    let listens = protocol != Protocol::Tcp || *fields.get(3)? == LISTENING || *fields.get(3)? == "07";
    (u16::from_str_radix(number, 16).ok()? == port && listens).then(|| fields.get(9)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_in_the_kernels_table() {
        let line = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1";
        assert_eq!(inode_of(line, 8080, Protocol::Tcp), Some(4711));
        assert_eq!(inode_of(line, 8081, Protocol::Tcp), None);
    }

    fn take_one(spec: &str) -> Result<(Vec<Published>, Holds), Error> {
        let dir = tempfile::tempdir().unwrap();
        let networks = crate::networks::Networks::new(dir.path(), dir.path());
        let asker = Asker { networks: &networks, id: "new", is_alive: &|_| true };
        take(&[spec.parse().unwrap()], None, Ipv6::None, &asker)
    }

    #[test]
    fn a_port_that_is_in_use_names_its_owner() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = take_one(&format!("127.0.0.1:{port}:80")).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            told.contains(&format!("127.0.0.1:{port}/tcp")) && told.contains(&format!("process {pid}")),
            "{told}"
        );
    }

    #[test]
    fn a_held_port_is_nobody_elses() {
        let (published, holds) = take_one("127.0.0.1::80").unwrap();
        let address = (Ipv4Addr::LOCALHOST, published[0].host);
        assert!(std::net::TcpListener::bind(address).is_err());
        drop(holds);
        std::net::TcpListener::bind(address).unwrap();
    }
}
