//! One connection of a client's, and the one to the container that belongs to it.
//!
//! Nothing is kept in between: what a side has sent is looked at (`MSG_PEEK`), sent on, and taken from its socket as far as
//! the other side took it. So one that does not read holds up the other as if they spoke directly, and
//! costs no memory here.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, connect, recv, send, shutdown,
    socket_with, sockopt,
};

/// So long a container may take to accept.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many buffers of one direction are sent on before others have their turn.
const ROUNDS: usize = 16;
/// A side that is silent is asked after so long whether it is there, and so often in such steps.
const SILENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_secs(10);
const STEPS: u32 = 6;

/// The client's side of a connection, and the container's.
pub(super) const CLIENT: usize = 0;
pub(super) const CONTAINER: usize = 1;

/// How it is with what comes from one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// The other side does not take more now.
    Blocked,
    /// That side has said all.
    Over,
}

/// What is to be done about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing until a socket has something.
    Wait,
    /// It has more to do.
    Again,
    /// Both have said all.
    End,
    /// One side is gone, which the other is to see as such.
    Reset,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Stream {
    ends: [OwnedFd; 2],
    ways: [Way; 2],
    /// Since when the container is to accept; `None` when it has.
    asked: Option<Instant>,
}

/// What holds for both sides. Accepted sockets have it of their listener.
pub(super) fn prepare(socket: &OwnedFd) -> Result<(), Errno> {
    // What is sent on has waited already.
    sockopt::set_tcp_nodelay(socket, true)?;
    // An urgent byte is one like the others.
    sockopt::set_socket_oobinline(socket, true)?;
    sockopt::set_tcp_keepidle(socket, SILENCE)?;
    sockopt::set_tcp_keepintvl(socket, STEP)?;
    sockopt::set_tcp_keepcnt(socket, STEPS)?;
    sockopt::set_socket_keepalive(socket, true)
}

impl Stream {
    /// Begins to connect a client.
    ///
    /// # Errors
    /// No socket is to be had, or nothing leads to the container. The client sees a reset.
    pub(super) fn new(client: OwnedFd, to: SocketAddr) -> Result<Self, Errno> {
        match dial(to) {
            Ok(container) => {
                Ok(Self { ends: [client, container], ways: [Way::Open; 2], asked: Some(Instant::now()) })
            }
            Err(errno) => {
                reset(&client);
                Err(errno)
            }
        }
    }

    /// Its sockets.
    pub(super) fn ends(&self) -> &[OwnedFd; 2] {
        &self.ends
    }

    /// Whether the container has not accepted it in time.
    pub(super) fn is_late(&self) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() > PATIENCE)
    }

    /// Whether the container has still to accept it.
    pub(super) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Does what there is to do, now that a side has something.
    pub(super) fn go_on(&mut self, side: usize, flags: EventFlags, buffer: &mut [u8]) -> Next {
        if self.asked.is_some() {
            let speaks = EventFlags::OUT | EventFlags::ERR | EventFlags::HUP;
            if side != CONTAINER || !flags.intersects(speaks) {
                return Next::Wait;
            }
            match sockopt::socket_error(&self.ends[CONTAINER]) {
                Ok(Ok(())) if flags.contains(EventFlags::OUT) => self.asked = None,
                _ => return Next::Reset,
            }
        }
        if flags.contains(EventFlags::OUT)
            && let Some(way @ Way::Blocked) = self.ways.get_mut(1 - side)
        {
            *way = Way::Open;
        }
        let done = [self.carry(CLIENT, buffer), self.carry(CONTAINER, buffer)];
        match done {
            _ if flags.contains(EventFlags::ERR) => Next::Reset,
            [Err(_), _] | [_, Err(_)] => Next::Reset,
            [Ok(Next::Again), _] | [_, Ok(Next::Again)] => Next::Again,
            _ if self.ways == [Way::Over; 2] => Next::End,
            _ => Next::Wait,
        }
    }

    /// Ends it so that both sides see that it was cut.
    pub(super) fn reset(self) {
        self.ends.iter().for_each(reset);
    }

    /// Sends on what comes from one side.
    fn carry(&mut self, from: usize, buffer: &mut [u8]) -> Result<Next, Errno> {
        let [client, container] = &self.ends;
        let (source, target) = if from == CLIENT { (client, container) } else { (container, client) };
        let Some(way) = self.ways.get_mut(from) else { return Ok(Next::Wait) };
        for _ in 0..ROUNDS {
            if *way != Way::Open {
                return Ok(Next::Wait);
            }
            let length = match recv(source, &mut *buffer, RecvFlags::PEEK) {
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => return Ok(Next::Wait),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            if length == 0 {
                *way = Way::Over;
                return shutdown(target, Shutdown::Write).map(|()| Next::Wait);
            }
            let sent = match send(target, buffer.get(..length).unwrap_or_default(), SendFlags::NOSIGNAL) {
                Ok(sent) => sent,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => 0,
                Err(errno) => return Err(errno),
            };
            discard(source, sent, buffer)?;
            if sent < length {
                *way = Way::Blocked;
            }
        }
        Ok(Next::Again)
    }
}

/// A connection that is under way.
fn dial(to: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if to.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    prepare(&socket)?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// Has its end, when it is closed, tell the other side that it was cut (socket(7), `SO_LINGER`).
fn reset(socket: &OwnedFd) {
    // Where it cannot be told so, it is told of an end.
    sockopt::set_socket_linger(socket, Some(Duration::ZERO)).unwrap_or_default();
}

/// Takes what was sent on, without a copy (tcp(7), `MSG_TRUNC`).
fn discard(source: &OwnedFd, mut length: usize, buffer: &mut [u8]) -> Result<(), Errno> {
    while length > 0 {
        let Some(room) = buffer.get_mut(..length) else { return Err(Errno::INVAL) };
        match recv(source, room, RecvFlags::TRUNC) {
            // It was there a moment ago.
            Ok((_, 0)) => return Err(Errno::IO),
            Ok((_, taken)) => length = length.saturating_sub(taken),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
