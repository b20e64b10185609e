//! The resolver's loop: queries, answers, and what the host's name servers say.

use std::fs;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::memory;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use super::names::{Names, Outcome, fail};
use super::wire::Transport;
use crate::definition::Definition;
use crate::networks::Networks;

const PORT: u16 = 53;
/// How long a name server may take; clients ask again before that.
const PATIENCE: Duration = Duration::from_secs(5);
/// Queries under way, and connections; who has more asks again.
const MOST_QUERIES: usize = 512;
const MOST_CONNECTIONS: usize = 32;
/// A datagram.
const LONGEST: usize = 65_535;

/// A query that was passed on.
#[derive(Debug)]
struct Pending {
    /// Its number on the way.
    id: [u8; 2],
    /// The client's number.
    original: [u8; 2],
    client: SocketAddr,
    /// Which of our sockets it came to, which server was asked, and how many before.
    socket: usize,
    server: usize,
    tries: usize,
    since: Instant,
}

/// The resolver of one network.
#[derive(Debug)]
pub(super) struct Server {
    networks: Networks,
    network: Definition,
    datagrams: Vec<UdpSocket>,
    streams: Vec<TcpListener>,
    watch: OwnedFd,
    names: Names,
    /// Those that have been asked, each with a socket that hears it only.
    servers: Vec<(IpAddr, UdpSocket)>,
    /// The host's.
    hosts: Vec<IpAddr>,
    pending: Vec<Pending>,
    connections: Vec<OwnedFd>,
    /// Whether it is in the realm of an ordinary user.
    in_realm: bool,
    /// The process that goes on when this one is killed.
    standby: Option<OwnedFd>,
    /// Whether that may have ended.
    standby_spoke: bool,
    /// Room for one message; only what was written to is memory of its own.
    buffer: Vec<u8>,
    /// Room for the answer to it.
    answer: Vec<u8>,
}

/// What the resolver has to do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A lease is gone.
    Fewer,
    /// There is no standby.
    Alone,
}

impl Server {
    /// Binds the network's own addresses.
    pub(super) fn bind(networks: &Networks, network: &Definition) -> Result<Self, Errno> {
        let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let (mut datagrams, mut streams) = (Vec::new(), Vec::new());
        for gateway in network.pools.iter().filter_map(|pool| pool.gateway) {
            let socket = UdpSocket::bind((gateway, PORT)).map_err(errno)?;
            socket.set_nonblocking(true).map_err(errno)?;
            datagrams.push(socket);
            streams.push(TcpListener::bind((gateway, PORT)).map_err(errno)?);
        }
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        // Records come by a rename; a lease that comes has one soon.
        let (gone, come) = (inotify::WatchFlags::DELETE, inotify::WatchFlags::MOVED_TO);
        inotify::add_watch(&watch, networks.leases_of(&network.name), gone)?;
        inotify::add_watch(&watch, networks.boxes(), gone | come)?;
        let names = Names::read(networks, &network.name).unwrap_or_default();
        Ok(Self {
            networks: networks.clone(),
            network: network.clone(),
            datagrams,
            streams,
            watch,
            names,
            servers: Vec::new(),
            hosts: Vec::new(),
            pending: Vec::new(),
            connections: Vec::new(),
            in_realm: networks.is_in_realm(),
            standby: None,
            standby_spoke: true,
            buffer: vec![0; LONGEST],
            answer: Vec::new(),
        })
    }

    /// The process that goes on when this one is killed; `None` in that one.
    pub(super) fn set_standby(&mut self, standby: Option<OwnedFd>) {
        if standby.is_none() {
            // What the one before had under way was its own.
            self.pending.clear();
            self.connections.clear();
            self.read_all();
        }
        self.standby = standby;
    }

    /// Lets go of the network's addresses.
    pub(super) fn close(&mut self) {
        self.datagrams.clear();
        self.streams.clear();
    }

    /// Serves until `is_over`, which is told of all that happens.
    pub(super) fn run(mut self, mut is_over: impl FnMut(&mut Self, Event) -> bool) -> Result<(), Errno> {
        // At once, and once again in a standby that goes on; where none can be made, not again and again.
        let mut tries = 3;
        loop {
            let has_one =
                |standby: &OwnedFd| matches!(boxr_sys::pidfd::reap(standby.as_fd(), false), Ok(None));
            // Asked for only when it has something to say: this is on the way of every question.
            let may_be_gone = std::mem::take(&mut self.standby_spoke) || self.standby.is_none();
            if may_be_gone && tries > 0 && !self.standby.as_ref().is_some_and(has_one) {
                tries -= 1;
                self.standby = None;
                let me = rustix::process::getpid();
                is_over(&mut self, Event::Alone);
                if self.standby.is_some() || rustix::process::getpid() != me {
                    tries = 3;
                }
                if self.standby.is_none() {
                    continue;
                }
            }
            let ready = self.wait()?;
            let mut ready = ready.into_iter();
            if ready.next() == Some(true) && self.take_changes() && is_over(&mut self, Event::Fewer) {
                return Ok(());
            }
            for socket in 0..self.datagrams.len() {
                if ready.next() == Some(true) {
                    self.take_queries(socket);
                }
            }
            for listener in 0..self.streams.len() {
                if ready.next() == Some(true) {
                    self.take_connection(listener);
                }
            }
            for server in 0..self.servers.len() {
                if ready.next() == Some(true) {
                    self.take_answers(server);
                }
            }
            self.connections = std::mem::take(&mut self.connections)
                .into_iter()
                .filter(|process| {
                    !matches!(boxr_sys::pidfd::reap(process.as_fd(), false), Ok(Some(_)) | Err(_))
                })
                .collect();
            self.pending.retain(|pending| pending.since.elapsed() < PATIENCE);
        }
    }

    /// Which descriptors have something: the watch, then sockets in their order.
    fn wait(&mut self) -> Result<Vec<bool>, Errno> {
        let mut fds = vec![PollFd::new(&self.watch, PollFlags::IN)];
        fds.extend(self.datagrams.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        fds.extend(self.streams.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        fds.extend(self.servers.iter().map(|(_, socket)| PollFd::new(socket, PollFlags::IN)));
        let sockets = fds.len();
        fds.extend(self.connections.iter().map(|process| PollFd::new(process, PollFlags::IN)));
        fds.extend(self.standby.iter().map(|process| PollFd::new(process, PollFlags::IN)));
        rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
        let spoke = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let has_standby = self.standby.is_some();
        let standby_spoke = has_standby && fds.last().is_some_and(spoke);
        let ready = fds.iter().take(sockets).map(spoke).collect();
        drop(fds);
        self.standby_spoke |= standby_spoke;
        Ok(ready)
    }

    /// Looks at the records that have changed, and says whether a lease may be gone.
    fn take_changes(&mut self) -> bool {
        let (mut changed, mut fewer, mut lost) = (Vec::new(), false, false);
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.watch, &mut buffer);
        while let Ok(event) = events.next() {
            let name = event.file_name().and_then(|name| name.to_str().ok());
            match name.and_then(|name| name.strip_suffix(".json")) {
                Some(id) => changed.push(id.to_owned()),
                None => fewer = true,
            }
            lost |= event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW);
        }
        // A start writes its record twice.
        changed.sort_unstable();
        changed.dedup();
        for id in changed.iter().filter(|_| !lost) {
            // What cannot be read now stays as it was known.
            self.names.follow(&self.networks, &self.network.name, id).unwrap_or_default();
        }
        if lost {
            self.read_all();
        }
        // Questions are answered by less of the program.
        memory::release_program().unwrap_or_default();
        fewer
    }

    fn read_all(&mut self) {
        if let Ok(names) = Names::read(&self.networks, &self.network.name) {
            self.names = names;
        }
    }

    /// Answers what has come, of one client after the other and without memory of its own for each.
    fn take_queries(&mut self, socket: usize) {
        let (mut buffer, mut answer) = (std::mem::take(&mut self.buffer), std::mem::take(&mut self.answer));
        while let Some(Ok((length, client))) =
            self.datagrams.get(socket).map(|socket| socket.recv_from(&mut buffer))
        {
            let Some(query) = buffer.get(..length) else { continue };
            answer.clear();
            match self.names.ask(&self.network, (client.ip(), query), Transport::Datagram, &mut answer) {
                Outcome::Answered => self.tell(socket, &answer, client),
                Outcome::Forward => self.forward(query, client, socket),
                Outcome::Drop => {}
            }
        }
        (self.buffer, self.answer) = (buffer, answer);
    }

    /// What does not arrive is asked for again.
    fn tell(&self, socket: usize, answer: &[u8], client: SocketAddr) {
        if let Some(socket) = self.datagrams.get(socket) {
            socket.send_to(answer, client).ok();
        }
    }

    fn forward(&mut self, query: &[u8], client: SocketAddr, socket: usize) {
        if self.pending.is_empty() {
            // Nobody waits for the old ones.
            self.servers.clear();
            self.hosts = servers(self.in_realm);
        }
        let [a, b, ..] = *query else { return };
        // Who asks again was not answered by the first one.
        let again = self.pending.iter().rposition(|old| old.client == client && old.original == [a, b]);
        let tries = again.map(|at| self.pending.remove(at).tries + 1).unwrap_or(0);
        let all = self.names.servers_of(client.ip()).unwrap_or(&self.hosts).to_vec();
        let (first, second) = all.split_at(tries.checked_rem(all.len()).unwrap_or(0));
        let server = second.iter().chain(first).find_map(|address| self.socket_to(*address));
        let Some(server) = server.filter(|_| self.pending.len() < MOST_QUERIES) else {
            return self.tell(socket, &failure(query), client);
        };
        let mut id = [0u8; 2];
        rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty()).unwrap_or_default();
        let mut passed = query.to_vec();
        if let Some(place) = passed.get_mut(..2) {
            place.copy_from_slice(&id);
        }
        if self.servers.get(server).is_none_or(|(_, target)| target.send(&passed).is_err()) {
            return self.tell(socket, &failure(query), client);
        }
        let since = Instant::now();
        self.pending.push(Pending { id, original: [a, b], client, socket, server, tries, since });
    }

    /// Where the socket to this server is among all.
    fn socket_to(&mut self, server: IpAddr) -> Option<usize> {
        let known = self.servers.iter().position(|(address, _)| *address == server);
        known.or_else(|| {
            self.servers.push((server, open(server)?));
            Some(self.servers.len() - 1)
        })
    }

    fn take_answers(&mut self, server: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(Ok(length)) = self.servers.get(server).map(|(_, socket)| socket.recv(&mut buffer)) {
            let Some([a, b, ..]) = buffer.get(..length) else { continue };
            let asked = |pending: &Pending| pending.id == [*a, *b] && pending.server == server;
            let Some(at) = self.pending.iter().position(asked) else { continue };
            let Pending { original, client, socket, .. } = self.pending.swap_remove(at);
            let mut answer = buffer.get(..length).unwrap_or_default().to_vec();
            if let Some(place) = answer.get_mut(..2) {
                place.copy_from_slice(&original);
            }
            self.tell(socket, &answer, client);
        }
        self.buffer = buffer;
    }

    /// A connection gets a process of its own, which may wait for its client.
    fn take_connection(&mut self, listener: usize) {
        let Some(Ok((stream, _))) = self.streams.get(listener).map(TcpListener::accept) else { return };
        if self.connections.len() >= MOST_CONNECTIONS {
            return;
        }
        match clone3(0, None, Parent::Caller) {
            Ok(Cloned::Child) => {
                let done = self.converse(stream);
                exit_now(u8::from(done.is_err()))
            }
            Ok(Cloned::Parent { pidfd, .. }) => self.connections.push(pidfd),
            // The client sees the connection end, and asks again.
            Err(_) => {}
        }
    }

    fn converse(&self, mut client: TcpStream) -> std::io::Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        let who = client.peer_addr()?.ip();
        while let Ok(query) = read_message(&mut client) {
            let mut answer = Vec::new();
            match self.names.ask(&self.network, (who, &query), Transport::Stream, &mut answer) {
                Outcome::Answered => {}
                Outcome::Forward => {
                    let hosts = || servers(self.in_realm);
                    let all = self.names.servers_of(who).map_or_else(hosts, <[IpAddr]>::to_vec);
                    answer = ask_by_stream(&query, all).unwrap_or_else(|| failure(&query));
                }
                Outcome::Drop => return Ok(()),
            }
            write_message(&mut client, &answer)?;
        }
        Ok(())
    }
}

fn failure(query: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    fail(&mut answer, query);
    answer
}

fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0u8; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn write_message(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = (message.len() as u16).to_be_bytes();
    stream.write_all(&[&length, message].concat())
}

fn ask_by_stream(query: &[u8], servers: Vec<IpAddr>) -> Option<Vec<u8>> {
    servers.into_iter().find_map(|server| {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(server, PORT), PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write_message(&mut stream, query).ok()?;
        read_message(&mut stream).ok()
    })
}

/// A socket that hears this server only.
fn open(server: IpAddr) -> Option<UdpSocket> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((server, PORT)).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

fn servers_in(file: &str) -> Vec<IpAddr> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.trim().split('%').next()?.parse().ok()).collect()
}

/// Whether the host asks name servers on its loopback interface only, and nobody tells which are behind them, as
/// systemd-resolved(8) does.
pub(super) fn host_servers_are_near() -> bool {
    let servers = servers_in("/etc/resolv.conf");
    let is_near = |server: &IpAddr| server.is_loopback();
    !servers.is_empty()
        && servers.iter().all(is_near)
        && servers_in("/run/systemd/resolve/resolv.conf").iter().all(is_near)
}

/// The host's name servers, a stub on its loopback interface too (resolv.conf(5)). From a user's realm the helper
/// leads to the first of them, where there is one.
fn servers(in_realm: bool) -> Vec<IpAddr> {
    let mut servers = servers_in("/etc/resolv.conf");
    if in_realm && !servers.is_empty() {
        servers = crate::helper::NAME_SERVER.parse().into_iter().collect();
    }
    servers
}
