//! The forwarder's loop: ports, connections, and when it is over.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use boxr_sys::signal;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, accept_with, bind, listen, netdevice, recv,
    socket_with, sockopt,
};
use rustix::process::{Resource, getrlimit};

use super::Lead;
use super::datagram::{Clients, More};
use super::stream::{self, CLIENT, CONTAINER, Next, Stream};
use crate::port::Protocol;

/// At most; who has more waits until one ends.
const MOST_STREAMS: usize = 1024;
const MOST_CLIENTS: usize = 512;
/// Descriptors beside ports, connections and clients.
const OTHERS: usize = 16;
/// So many connections of one port are accepted before others have their turn.
const ROUNDS: usize = 64;
/// Connections that wait for being accepted.
const BACKLOG: i32 = 512;
/// What is sent on at once.
const BUFFER: usize = 64 << 10;
/// How often what takes time is looked at, while there is something of the kind.
const TICK: Duration = Duration::from_secs(1);

/// What a descriptor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Watch,
    Signals,
    Port(usize),
    Client(usize),
    Stream(usize, usize),
}

impl Token {
    fn number(self) -> u64 {
        let (kind, place) = match self {
            Self::Watch => (0, 0),
            Self::Signals => (1, 0),
            Self::Port(place) => (2, place),
            Self::Client(place) => (3, place),
            Self::Stream(place, side) => (4 + side as u64, place),
        };
        kind << 32 | place as u64
    }

    fn of(number: u64) -> Self {
        let place = (number & 0xffff_ffff) as usize;
        match number >> 32 {
            0 => Self::Watch,
            1 => Self::Signals,
            2 => Self::Port(place),
            3 => Self::Client(place),
            4 => Self::Stream(place, CLIENT),
            _ => Self::Stream(place, CONTAINER),
        }
    }
}

/// The container's device, as long as it is there.
#[derive(Debug)]
struct Device {
    /// Hears of changes of devices.
    socket: OwnedFd,
    index: u32,
}

impl Device {
    /// `RTMGRP_LINK` of rtnetlink(7).
    const LINKS: u32 = 1;

    fn find(name: &str) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, Self::LINKS))?;
        // From here on its end is heard of.
        let index = netdevice::name_to_index(&socket, name)?;
        Ok(Self { socket, index })
    }

    /// Whether it is gone, now that some device has changed.
    fn is_gone(&self) -> bool {
        let mut message = [MaybeUninit::<u8>::uninit(); 64];
        // What is lost of it (ENOBUFS) says as much as what is heard; what is left is met at the next turn.
        for _ in 0..ROUNDS {
            if matches!(recv(&self.socket, &mut message, RecvFlags::empty()), Err(Errno::AGAIN)) {
                break;
            }
        }
        matches!(netdevice::index_to_name(&self.socket, self.index), Err(Errno::NODEV))
    }
}

/// The forwarder of one container.
#[derive(Debug)]
pub(super) struct Server {
    epoll: OwnedFd,
    device: Device,
    signals: OwnedFd,
    ports: Vec<(OwnedFd, Lead)>,
    /// Held until it gives up its ports.
    lock: Option<OwnedFd>,
    streams: Vec<Option<Stream>>,
    most_streams: usize,
    /// Whether a port has connections that could not be accepted.
    has_waiting: bool,
    clients: Clients,
    /// Who has more to do.
    again: Vec<Token>,
    ticked: Instant,
    buffer: Vec<u8>,
}

impl Server {
    /// Listens on `ports`.
    ///
    /// # Errors
    /// The device is not there; no descriptors are to be had.
    pub(super) fn new(device: &str, ports: Vec<(OwnedFd, Lead)>, lock: OwnedFd) -> Result<Self, Errno> {
        let (signals, _) = signal::take_all()?;
        let limit = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| most as usize);
        let room = limit.saturating_sub(ports.len() + OTHERS);
        let most_clients = MOST_CLIENTS.min(room / 4);
        let server = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            device: Device::find(device)?,
            signals,
            ports,
            lock: Some(lock),
            streams: Vec::new(),
            most_streams: MOST_STREAMS.min((room - most_clients) / 2),
            has_waiting: false,
            clients: Clients::new(most_clients),
            again: Vec::new(),
            ticked: Instant::now(),
            buffer: vec![0; BUFFER],
        };
        server.watch(&server.device.socket, Token::Watch, epoll::EventFlags::empty())?;
        server.watch(&server.signals, Token::Signals, epoll::EventFlags::empty())?;
        for (place, (socket, lead)) in server.ports.iter().enumerate() {
            if lead.protocol == Protocol::Tcp {
                stream::prepare(socket)?;
                // Connections of its that have just ended are in the way of nobody who is next.
                sockopt::set_socket_reuseaddr(socket, true)?;
                listen(socket, BACKLOG)?;
            }
            rustix::io::ioctl_fionbio(socket, true)?;
            server.watch(socket, Token::Port(place), epoll::EventFlags::ET)?;
        }
        Ok(server)
    }

    fn watch(&self, socket: &OwnedFd, token: Token, how: epoll::EventFlags) -> Result<(), Errno> {
        let flags = epoll::EventFlags::IN | how;
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token.number()), flags)
    }

    /// Serves for as long as the container's device is there, and it was not told to stop with connections under way.
    pub(super) fn run(mut self) -> Result<(), Errno> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
        loop {
            let timeout = self.timeout();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Err(Errno::INTR) => {}
                waited => waited.map(|_| ())?,
            }
            let again = std::mem::take(&mut self.again);
            for event in events.drain(..) {
                let flags = event.flags;
                match Token::of(event.data.u64()) {
                    Token::Watch if self.device.is_gone() => return Ok(()),
                    Token::Signals => self.take_signals()?,
                    token => self.serve(token, flags),
                }
            }
            again.into_iter().for_each(|token| self.serve(token, epoll::EventFlags::empty()));
            if self.ticked.elapsed() >= TICK {
                self.tick();
            }
            if self.lock.is_none() && self.streams.iter().all(Option::is_none) {
                return Ok(());
            }
        }
    }

    /// How long nothing is to be done but what descriptors tell.
    fn timeout(&self) -> Option<Timespec> {
        if !self.again.is_empty() {
            return Some(Timespec { tv_sec: 0, tv_nsec: 0 });
        }
        let is_asking = |stream: &Stream| stream.is_asking();
        let takes_time =
            self.has_waiting || !self.clients.is_empty() || self.streams.iter().flatten().any(is_asking);
        takes_time.then_some(Timespec { tv_sec: TICK.as_secs().cast_signed(), tv_nsec: 0 })
    }

    fn tick(&mut self) {
        self.ticked = Instant::now();
        self.clients.forget_the_silent();
        for place in 0..self.streams.len() {
            if self.streams.get(place).is_some_and(|stream| stream.as_ref().is_some_and(Stream::is_late)) {
                self.end(place, Next::Reset);
            }
        }
        self.accept_waiting();
    }

    fn serve(&mut self, token: Token, flags: epoll::EventFlags) {
        let more = match token {
            Token::Watch | Token::Signals => More::No,
            Token::Port(place) => match self.ports.get(place) {
                Some((_, lead)) if lead.protocol == Protocol::Udp => self.take_datagrams(place),
                _ => self.accept(place),
            },
            Token::Client(place) => {
                let ports = &self.ports;
                self.clients.answer(place, &mut self.buffer, |port| Some(&ports.get(port)?.0))
            }
            Token::Stream(place, side) => self.go_on(place, side, flags),
        };
        if more == More::Perhaps && !self.again.contains(&token) {
            self.again.push(token);
        }
    }

    fn take_datagrams(&mut self, place: usize) -> More {
        let Some((socket, lead)) = self.ports.get(place) else { return More::No };
        let epoll = &self.epoll;
        self.clients.ask((place, socket, *lead), &mut self.buffer, |client, at| {
            let token = epoll::EventData::new_u64(Token::Client(at).number());
            epoll::add(epoll, client, token, epoll::EventFlags::IN | epoll::EventFlags::ET)
        })
    }

    fn accept(&mut self, place: usize) -> More {
        for _ in 0..ROUNDS {
            let Some((socket, lead)) = self.ports.get(place) else { return More::No };
            if self.streams.iter().flatten().count() >= self.most_streams {
                self.has_waiting = true;
                return More::No;
            }
            match accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(client) => {
                    // A client that cannot be had sees a reset.
                    Stream::new(client, lead.to).and_then(|stream| self.admit(stream)).unwrap_or_default();
                }
                Err(Errno::AGAIN) => return More::No,
                // The client has gone.
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                // There are no descriptors, or no memory: later.
                Err(_) => {
                    self.has_waiting = true;
                    return More::No;
                }
            }
        }
        More::Perhaps
    }

    fn admit(&mut self, stream: Stream) -> Result<(), Errno> {
        let free = self.streams.iter().position(Option::is_none);
        let place = free.unwrap_or(self.streams.len());
        let flags = epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        for (side, socket) in stream.ends().iter().enumerate() {
            if let Err(errno) = self.watch(socket, Token::Stream(place, side), flags) {
                stream.reset();
                return Err(errno);
            }
        }
        match self.streams.get_mut(place) {
            Some(free) => *free = Some(stream),
            None => self.streams.push(Some(stream)),
        }
        Ok(())
    }

    fn go_on(&mut self, place: usize, side: usize, flags: epoll::EventFlags) -> More {
        let Some(Some(stream)) = self.streams.get_mut(place) else { return More::No };
        match stream.go_on(side, flags, &mut self.buffer) {
            Next::Wait => More::No,
            Next::Again => More::Perhaps,
            how => {
                self.end(place, how);
                self.accept_waiting();
                More::No
            }
        }
    }

    fn end(&mut self, place: usize, how: Next) {
        match self.streams.get_mut(place).and_then(Option::take) {
            Some(stream) if how == Next::Reset => stream.reset(),
            // Both have said all, and been told so.
            _ => {}
        }
    }

    /// Who could not be accepted before is now, perhaps.
    fn accept_waiting(&mut self) {
        if std::mem::take(&mut self.has_waiting) {
            for place in 0..self.ports.len() {
                if self.ports.get(place).is_some_and(|(_, lead)| lead.protocol == Protocol::Tcp) {
                    self.serve(Token::Port(place), epoll::EventFlags::empty());
                }
            }
        }
    }

    /// Told to stop, it gives up its ports, and goes on with the connections that it has. No other signal means anything.
    fn take_signals(&mut self) -> Result<(), Errno> {
        while let Some(received) = signal::next(&self.signals)? {
            if received.signal == rustix::process::Signal::TERM.as_raw() && self.lock.is_some() {
                for place in 0..self.ports.len() {
                    while self.ports.get(place).is_some_and(|(_, lead)| lead.protocol == Protocol::Tcp)
                        && self.accept(place) == More::Perhaps
                    {}
                }
                self.has_waiting = false;
                self.clients.clear();
                self.ports.clear();
                self.lock = None;
            }
        }
        Ok(())
    }
}
