//! Ports at `::1` of root's containers: a small process for each container that has one, and for no other.
//!
//! The kernel routes nothing from `::1` to another device, so that no rule could lead such packets in (for IPv4 there is
//! `route_localnet`). The forwarder listens there instead, connects to the container's address, of IPv6 or else of IPv4,
//! and copies ([`stream`], [`datagram`]); the container sees the bridge's address as the client.
//!
//! It lives as long as the container's device does, which the kernel tells it of: also when everything else was killed
//! at once. Whoever takes the container from its networks ends it. It reads the container's record when it has the lock of
//! its file ([`crate::beside`]), and so serves what is noted then: a record is written before it is started. One that
//! was killed is started again by the next command about networks.

mod datagram;
mod serve;
mod stream;

use std::ffi::CStr;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use boxr_sys::memory;
use boxr_sys::rights::{self, Tracers};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::getsockname;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::attachment::Attachment;
use crate::beside::{self, Post, note_pids};
use crate::error::Error;
use crate::files;
use crate::link::Links;
use crate::networks::Networks;
use crate::port::{Protocol, Published};
use crate::publish::{self, Holds};
use serve::Server;

/// What such a process is called.
const COMM: &CStr = c"boxr-forwarder";

/// What a forwarder is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarding {
    /// The host's end of the container's pair.
    pub device: String,
    /// Where what comes to the ports goes.
    pub leads: Vec<Lead>,
}

/// A port at `::1`, and where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lead {
    /// The host's port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// In the container.
    pub to: SocketAddr,
}

/// Where a forwarder has its sockets from.
#[derive(Debug)]
pub(crate) enum Sockets {
    /// They were bound when ports were reserved.
    Given(Holds),
    /// It binds them: all, or it does not start.
    All,
    /// It binds those that nobody else has taken meanwhile.
    Free,
}

impl Published {
    /// Whether it is at `::1`.
    pub(crate) fn is_at_loopback6(&self) -> bool {
        self.ip == Some(IpAddr::V6(Ipv6Addr::LOCALHOST))
    }
}

impl Attachment {
    /// Whether a forwarder leads this port in: in a realm, and without privilege, a helper does.
    pub(crate) fn is_forwarded(&self, port: &Published) -> bool {
        port.is_at_loopback6() && !self.realm && !self.helped
    }

    /// What its forwarder does; `None` where it needs none.
    pub(crate) fn forwarding(&self) -> Option<Forwarding> {
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.takes_ports())?;
        let address = endpoint.address(true).or_else(|| endpoint.address(false))?;
        let ports = self.published.iter().filter(|port| self.is_forwarded(port));
        let lead = |port: &Published| Lead {
            port: port.host,
            protocol: port.protocol,
            to: SocketAddr::new(address, port.container),
        };
        let leads: Vec<Lead> = ports.map(lead).collect();
        let device = endpoint.outside.clone()?;
        (!leads.is_empty()).then_some(Forwarding { device, leads })
    }
}

/// Whose lock it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Started {
    Ours,
    /// Another one was faster, and may have read the record before it was written.
    Anothers,
}

impl Networks {
    /// The file whose lock the forwarder of a container holds.
    pub(crate) fn forwarder(&self, id: &str) -> Post {
        Post { path: self.boxes().join(format!("{id}.forwarder")), comm: COMM }
    }

    /// Takes the sockets at `::1` out of `holds` and starts a forwarder with them, where the container needs one. Its record
    /// is written.
    pub(crate) fn start_forwarder(&self, attachment: &Attachment, holds: &mut Holds) -> Result<(), Error> {
        if attachment.forwarding().is_none() {
            return Ok(());
        }
        let (given, others): (Holds, Holds) = std::mem::take(holds).into_iter().partition(is_at_loopback6);
        *holds = others;
        self.restart_forwarder(attachment, || {
            let copies: std::io::Result<Holds> = given.iter().map(OwnedFd::try_clone).collect();
            copies.map(Sockets::Given).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })
    }

    /// Has the forwarder of a container that runs do what its record says now. One that there is gives up its ports, and goes
    /// on with the connections that it has.
    pub(crate) fn restart_forwarder(
        &self,
        attachment: &Attachment,
        sockets: impl Fn() -> Result<Sockets, Errno>,
    ) -> Result<(), Error> {
        let (id, failed) = (&attachment.id, failed("start", attachment));
        for _ in 0..8 {
            self.retire_forwarder(attachment)?;
            if attachment.forwarding().is_none() {
                return files::remove(&self.forwarder(id).path);
            }
            let started = sockets().and_then(|sockets| self.try_forwarder(id, sockets));
            if started.map_err(&failed)? == Started::Ours {
                return Ok(());
            }
        }
        Err(failed(Errno::BUSY))
    }

    /// Has the forwarder give up its ports where `changed`, which are to come or to go, are some of its own. Who looks at
    /// networks starts one with the ports that are noted then.
    pub(crate) fn retire_forwarder_of(&self, changed: &Attachment) -> Result<(), Error> {
        if changed.forwarding().is_some() { self.retire_forwarder(changed) } else { Ok(()) }
    }

    fn retire_forwarder(&self, attachment: &Attachment) -> Result<(), Error> {
        self.forwarder(&attachment.id).retire().map_err(failed("end", attachment))
    }

    /// The same where what it does has changed between two records.
    pub(crate) fn follow_with_forwarder(&self, before: &Attachment, after: &Attachment) -> Result<(), Error> {
        match before.forwarding() == after.forwarding() {
            true => Ok(()),
            false => self.restart_forwarder(after, || Ok(Sockets::Free)),
        }
    }

    /// Ends the forwarder of a container: its ports are free when this returns.
    pub(crate) fn end_forwarder(&self, attachment: &Attachment) -> Result<(), Error> {
        if !attachment.published.iter().any(|port| attachment.is_forwarded(port)) {
            return Ok(());
        }
        let post = self.forwarder(&attachment.id);
        post.end().map_err(failed("end", attachment))?;
        files::remove(&post.path)
    }

    /// Starts again what was killed of the forwarders of these containers.
    pub(crate) fn look_after_forwarders<'a>(
        &self,
        living: impl Iterator<Item = &'a Attachment>,
    ) -> Result<(), Error> {
        for attachment in living {
            let Some(forwarding) = attachment.forwarding() else { continue };
            let held = self.forwarder(&attachment.id).is_held(OFlags::empty());
            // Without its device it is on its way out, or has lost its network.
            if held == Ok(true) || Links::open()?.index(&forwarding.device)?.is_none() {
                continue;
            }
            match self.try_forwarder(&attachment.id, Sockets::Free) {
                // It has ended meanwhile; another program has all of its ports.
                Ok(_) | Err(Errno::NOENT | Errno::NODEV | Errno::ADDRINUSE) => {}
                Err(errno) => return Err(failed("start", attachment)(errno)),
            }
        }
        Ok(())
    }

    /// Removes what killed boxrs have left of forwarders whose containers are gone.
    pub(crate) fn sweep_forwarders(&self) -> Result<(), Error> {
        for file in files::names(&self.boxes())? {
            let Some(id) = file.strip_suffix(".forwarder") else { continue };
            let post = self.forwarder(id);
            if self.attachment(id)?.is_none() {
                post.end().map_err(|errno| Error::system("end", format!("the forwarder of {id}"), errno))?;
                files::remove(&post.path)?;
            }
        }
        Ok(())
    }

    fn try_forwarder(&self, id: &str, sockets: Sockets) -> Result<Started, Errno> {
        let post = self.forwarder(id);
        if post.is_held(OFlags::CREATE)? {
            return Ok(Started::Anothers);
        }
        match beside::start(|tell| self.be_forwarder(id, &post, sockets, tell)) {
            Ok(()) => Ok(Started::Ours),
            Err(Errno::ALREADY) => Ok(Started::Anothers),
            Err(errno) => {
                if self.attachment(id).is_ok_and(|attachment| attachment.is_none()) {
                    // Whoever ended the container has looked for it already.
                    files::remove(&post.path).unwrap_or_default();
                }
                Err(errno)
            }
        }
    }

    fn be_forwarder(&self, id: &str, post: &Post, sockets: Sockets, tell: OwnedFd) -> Result<(), Errno> {
        let (given, sockets) = match sockets {
            Sockets::Given(given) => (given, None),
            bound_here => (Holds::new(), Some(bound_here)),
        };
        let mut kept = beside::settle(COMM, id, given.into_iter().chain([tell]).collect())?;
        let Some(tell) = kept.pop() else { return Err(Errno::BADF) };
        let sockets = sockets.unwrap_or(Sockets::Given(kept));
        let begun = self.begin(id, post, sockets);
        beside::tell(tell, begun.as_ref().map(|_| ()).map_err(|errno| *errno))?;
        let server = begun?;
        memory::release_program().unwrap_or_default();
        server.run()
    }

    fn begin(&self, id: &str, post: &Post, sockets: Sockets) -> Result<Server, Errno> {
        let lock = post.take()?.ok_or(Errno::ALREADY)?;
        note_pids(&lock, None)?;
        let noted = self.attachment(id).map_err(|_| Errno::IO)?;
        let forwarding = noted.and_then(|attachment| attachment.forwarding()).ok_or(Errno::NOENT)?;
        rustix::process::chdir("/")?;
        // As many connections as it takes need more than programs are usually given.
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })?;
        let ports = bind(&forwarding.leads, sockets)?;
        let server = Server::new(&forwarding.device, ports, lock)?;
        // It reads what others send.
        rights::give_up(Tracers::Privileged)?;
        Ok(server)
    }
}

fn failed(doing: &'static str, attachment: &Attachment) -> impl Fn(Errno) -> Error {
    let object = format!("the forwarder of container {}", attachment.name);
    move |errno| Error::system(doing, object.clone(), errno)
}

/// Each port with its socket.
fn bind(leads: &[Lead], sockets: Sockets) -> Result<Vec<(OwnedFd, Lead)>, Errno> {
    let here = |lead: &Lead| publish::hold(Ipv6Addr::LOCALHOST.into(), lead.port, lead.protocol);
    let mut ports = Vec::new();
    match sockets {
        Sockets::Given(given) if given.len() == leads.len() => {
            ports.extend(given.into_iter().zip(leads.iter().copied()));
        }
        Sockets::Given(_) => return Err(Errno::BADF),
        Sockets::All => {
            for lead in leads {
                ports.push((here(lead)?.1, *lead));
            }
        }
        Sockets::Free => {
            ports.extend(leads.iter().filter_map(|lead| Some((here(lead).ok()?.1, *lead))));
        }
    }
    if ports.is_empty() { Err(Errno::ADDRINUSE) } else { Ok(ports) }
}

fn is_at_loopback6(socket: &OwnedFd) -> bool {
    let address = getsockname(socket).ok().and_then(|address| SocketAddr::try_from(address).ok());
    address.is_some_and(|address| address.ip() == Ipv6Addr::LOCALHOST)
}
