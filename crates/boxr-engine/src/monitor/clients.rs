//! Attached clients: `attach`, `run --keep`, `start -a`.
//!
//! A packet of `SOCK_SEQPACKET` each; its first byte says what it is. From the client: `I` input,
//! `Z` end of input, `W` window size (rows, columns, little-endian), `P` changed ports. To the client: `O` and
//! `E` output and error output, `X` the end with the exit status.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, send,
    socket_with,
};
use rustix::termios::Winsize;

use super::streams::{Streams, receive};
use crate::logs::Stream;

pub(super) const INPUT: u8 = b'I';
pub(super) const INPUT_END: u8 = b'Z';
pub(super) const WINDOW: u8 = b'W';
pub(super) const OUTPUT: u8 = b'O';
pub(super) const ERROR_OUTPUT: u8 = b'E';
pub(super) const EXIT: u8 = b'X';
/// From the client: the box's ports have changed. Said back when they are held.
pub(super) const PORTS: u8 = b'P';

/// Payload of one packet at the most.
pub(super) const PACKET: usize = 16 * 1024;

/// The listening socket and whoever has connected.
#[derive(Debug)]
pub(super) struct Clients {
    listener: OwnedFd,
    connected: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    /// A packet that its socket had no room for. While there is one, no more output is read: a
    /// client that is slow slows the box, as a pipe would.
    pending: Option<Vec<u8>>,
    gone: bool,
    /// Whether it waits for ports to be held.
    waits_for_ports: bool,
}

impl Clients {
    /// Listens in the box's directory.
    pub fn listen(dir: BorrowedFd<'_>, path: &str, first: Option<OwnedFd>) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        match rustix::fs::unlinkat(dir, super::attach::SOCKET, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        bind(&listener, &SocketAddrUnix::new(path)?)?;
        listen(&listener, 16)?;
        let connected = first.into_iter().map(Client::new).collect();
        Ok(Self { listener, connected })
    }

    /// In a standby: those who are connected are the monitor's, and see its end by theirs. The door stays.
    pub fn forget_connected(&mut self) {
        self.connected.clear();
    }

    /// The same door for who becomes the monitor: whoever has knocked meanwhile is let in.
    pub fn take_over(&self) -> Result<Self, Errno> {
        let listener = rustix::io::fcntl_dupfd_cloexec(&self.listener, 3)?;
        Ok(Self { listener, connected: Vec::new() })
    }

    /// Whether some client still has to take what it was sent.
    pub fn are_behind(&self) -> bool {
        self.connected.iter().any(|client| client.pending.is_some())
    }

    /// Adds everything to wait for. While the box has input to take (`input_is_full`), clients are not
    /// read, and poll(2) must not tell of them either: it would return at once, again and again.
    /// The first of them is for new clients.
    pub fn interest<'s>(&'s self, input_is_full: bool, fds: &mut Vec<PollFd<'s>>) {
        fds.push(PollFd::new(&self.listener, PollFlags::IN));
        for client in &self.connected {
            match (client.pending.is_some(), input_is_full) {
                (false, true) => {}
                (true, true) => fds.push(PollFd::new(&client.socket, PollFlags::OUT)),
                (true, false) => fds.push(PollFd::new(&client.socket, PollFlags::IN | PollFlags::OUT)),
                (false, false) => fds.push(PollFd::new(&client.socket, PollFlags::IN)),
            }
        }
    }

    /// Lets go of those that are behind.
    pub fn drop_those_behind(&mut self) {
        self.connected.retain(|client| client.pending.is_none());
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.connected.is_empty()
    }

    /// Accepts and serves; `streams` gets what clients type.
    pub fn turn(&mut self, streams: &mut Streams) -> Result<(), Errno> {
        match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => self.connected.push(Client::new(socket)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            Err(errno) => return Err(errno),
        }
        for client in &mut self.connected {
            client.flush();
            client.serve(streams);
        }
        self.connected.retain(|client| !client.gone);
        Ok(())
    }

    /// Whether somebody has said that the ports have changed.
    pub fn want_ports(&self) -> bool {
        self.connected.iter().any(|client| client.waits_for_ports)
    }

    /// The ports are held.
    pub fn ports_are_held(&mut self) {
        for client in self.connected.iter_mut().filter(|client| client.waits_for_ports) {
            client.waits_for_ports = false;
            if client.pending.is_none() {
                client.send(vec![PORTS]);
            }
        }
    }

    /// Sends output to all.
    pub fn send(&mut self, stream: Stream, bytes: &[u8]) {
        let kind = match stream {
            Stream::Stdout => OUTPUT,
            Stream::Stderr => ERROR_OUTPUT,
        };
        for client in &mut self.connected {
            client.send([&[kind], bytes].concat());
        }
    }

    /// Tells all that the box has ended, waiting for those that are behind no longer than they
    /// take to be killed or to read.
    pub fn finish(&mut self, status: u8) {
        for client in &mut self.connected {
            client.set_blocking();
            client.flush();
            client.send(vec![EXIT, status]);
        }
        self.connected.clear();
    }
}

impl Client {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, pending: None, gone: false, waits_for_ports: false }
    }

    fn send(&mut self, packet: Vec<u8>) {
        debug_assert!(self.pending.is_none() || self.gone, "output is not read while a client is behind");
        match send(&self.socket, &packet, SendFlags::NOSIGNAL) {
            Ok(_) => {}
            Err(Errno::AGAIN | Errno::NOBUFS) => self.pending = Some(packet),
            Err(_) => self.gone = true,
        }
    }

    fn flush(&mut self) {
        if let Some(packet) = self.pending.take() {
            self.send(packet);
        }
    }

    fn set_blocking(&mut self) {
        let cleared = rustix::fs::fcntl_getfl(&self.socket)
            .and_then(|flags| rustix::fs::fcntl_setfl(&self.socket, flags - rustix::fs::OFlags::NONBLOCK));
        // A second at the most for the last packet: a stopped client must not keep the monitor.
        let bounded = rustix::net::sockopt::set_socket_timeout(
            &self.socket,
            rustix::net::sockopt::Timeout::Send,
            Some(std::time::Duration::from_secs(1)),
        );
        self.gone = cleared.and(bounded).is_err();
    }

    fn serve(&mut self, streams: &mut Streams) {
        let mut buffer = [0u8; PACKET + 1];
        while !self.gone {
            // What was typed before comes first; until the box has taken it, the client waits.
            if streams.has_pending_input() {
                return;
            }
            match receive(&self.socket, &mut buffer) {
                Ok(None) => return,
                Ok(Some(0)) | Err(_) => self.gone = true,
                Ok(Some(1)) if buffer[0] == PORTS => self.waits_for_ports = true,
                Ok(Some(count)) => take(&buffer[..count], streams),
            }
        }
    }
}

fn take(packet: &[u8], streams: &mut Streams) {
    match packet {
        [INPUT, bytes @ ..] => streams.feed(bytes),
        [INPUT_END] => streams.close_input(),
        [WINDOW, r0, r1, c0, c1] => {
            let size = Winsize {
                ws_row: u16::from_le_bytes([*r0, *r1]),
                ws_col: u16::from_le_bytes([*c0, *c1]),
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            if let Some(terminal) = streams.terminal() {
                // A terminal that is gone has no size.
                rustix::termios::tcsetwinsize(terminal, size).unwrap_or_default();
            }
        }
        _ => {}
    }
}
