//! Clients of a port of datagrams: each has a socket of its own to the container, so that answers find back.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, recvfrom, send, sendto,
    socket_with,
};

use super::Lead;

/// A client that has been silent for so long, and was told nothing, is forgotten.
const SILENCE: Duration = Duration::from_secs(90);
/// So many datagrams of one socket are sent on before others have their turn.
const ROUNDS: usize = 64;

/// A client.
#[derive(Debug)]
struct Client {
    address: SocketAddr,
    /// Which port it came to.
    port: usize,
    socket: OwnedFd,
    heard: Instant,
}

/// Whether it tells what became of a datagram that was sent, once: nobody listens in the container, perhaps.
fn is_passing(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::INTR | Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::MSGSIZE
    )
}

/// Whether a socket has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    No,
    Perhaps,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Clients {
    all: Vec<Option<Client>>,
    /// So many at most: a new one takes the place of whoever was silent longest.
    most: usize,
}

impl Clients {
    pub(super) fn new(most: usize) -> Self {
        Self { all: Vec::new(), most }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.iter().all(Option::is_none)
    }

    /// Lets go of those who have been silent for long, or of all.
    pub(super) fn forget_the_silent(&mut self) {
        for place in &mut self.all {
            place.take_if(|client| client.heard.elapsed() > SILENCE);
        }
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// Sends on what has come to a port. `watch` is told of the socket of each new client, and its place.
    pub(super) fn ask(
        &mut self,
        (port, socket, lead): (usize, &OwnedFd, Lead),
        buffer: &mut [u8],
        mut watch: impl FnMut(&OwnedFd, usize) -> Result<(), Errno>,
    ) -> More {
        for _ in 0..ROUNDS {
            let (length, address) = match recvfrom(socket, &mut *buffer, RecvFlags::empty()) {
                Ok((length, _, address)) => (length, address),
                Err(errno) if is_passing(errno) => continue,
                Err(_) => return More::No,
            };
            let Some(Ok(address)) = address.map(SocketAddr::try_from) else { continue };
            let place = match self.find(port, address) {
                Some(place) => place,
                None => match self.admit(port, address, lead, &mut watch) {
                    Ok(place) => place,
                    // As a datagram that is lost on the way.
                    Err(_) => continue,
                },
            };
            if let Some(Some(client)) = self.all.get_mut(place) {
                client.heard = Instant::now();
                send(&client.socket, buffer.get(..length).unwrap_or_default(), SendFlags::NOSIGNAL)
                    .unwrap_or_default();
            }
        }
        More::Perhaps
    }

    /// Sends back what the container has answered a client. `socket_of` gives the socket of a port.
    pub(super) fn answer<'s>(
        &mut self,
        place: usize,
        buffer: &mut [u8],
        socket_of: impl Fn(usize) -> Option<&'s OwnedFd>,
    ) -> More {
        let Some(Some(client)) = self.all.get_mut(place) else { return More::No };
        let Some(back) = socket_of(client.port) else { return More::No };
        for _ in 0..ROUNDS {
            match recv(&client.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((length, _)) => {
                    client.heard = Instant::now();
                    let answer = buffer.get(..length).unwrap_or_default();
                    sendto(back.as_fd(), answer, SendFlags::NOSIGNAL, &client.address).unwrap_or_default();
                }
                Err(errno) if is_passing(errno) => {}
                Err(_) => return More::No,
            }
        }
        More::Perhaps
    }

    fn find(&self, port: usize, address: SocketAddr) -> Option<usize> {
        let is_it = |client: &Client| client.address == address && client.port == port;
        self.all.iter().position(|place| place.as_ref().is_some_and(is_it))
    }

    fn admit(
        &mut self,
        port: usize,
        address: SocketAddr,
        lead: Lead,
        watch: &mut impl FnMut(&OwnedFd, usize) -> Result<(), Errno>,
    ) -> Result<usize, Errno> {
        let free = self.all.iter().position(Option::is_none);
        let heard = |place: usize| self.all.get(place).and_then(|client| Some(client.as_ref()?.heard));
        let place = match free {
            Some(place) => place,
            None if self.all.len() < self.most => self.all.len(),
            None => (0..self.all.len()).min_by_key(|place| heard(*place)).ok_or(Errno::MFILE)?,
        };
        if let Some(old) = self.all.get_mut(place) {
            // Its descriptor is free for the new one.
            *old = None;
        } else {
            self.all.push(None);
        }
        let family = if lead.to.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
        connect(&socket, &lead.to)?;
        watch(&socket, place)?;
        if let Some(new) = self.all.get_mut(place) {
            *new = Some(Client { address, port, socket, heard: Instant::now() });
        }
        Ok(place)
    }
}
