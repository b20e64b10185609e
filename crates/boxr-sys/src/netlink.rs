//! rtnetlink(7) in small: one request, its answer.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// Kinds of message.
pub mod message {
    /// A link is made or changed.
    pub const NEW_LINK: u16 = 16;
    /// A link is asked for.
    pub const GET_LINK: u16 = 18;
    /// An address is added.
    pub const NEW_ADDRESS: u16 = 20;
    /// Addresses are asked for.
    pub const GET_ADDRESS: u16 = 22;
}

/// All of a kind are asked for (`NLM_F_DUMP`).
pub const DUMP: u16 = 0x300;
/// What is not there is made (`NLM_F_CREATE`), and must not be there (`NLM_F_EXCL`).
pub const CREATE_NEW: u16 = 0x600;

const REQUEST: u16 = 0x01;
const ACKNOWLEDGE: u16 = 0x04;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `struct nlmsghdr`.
const HEADER: usize = 16;

/// A message without its header: the fixed part, then attributes.
#[derive(Clone, Debug, Default)]
pub struct Body(Vec<u8>);

impl Body {
    /// Begins with the fixed part, `struct ifinfomsg` or `struct ifaddrmsg`.
    pub fn new(fixed: &[u8]) -> Self {
        Self(fixed.to_vec())
    }

    /// Adds an attribute (`struct rtattr`).
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (4 + value.len()) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}

/// A message of the kernel's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its kind.
    pub kind: u16,
    body: Vec<u8>,
}

impl Message {
    /// The fixed part, if it is that long.
    pub fn fixed(&self, length: usize) -> Option<&[u8]> {
        self.body.get(..length)
    }

    /// The attributes after a fixed part of this length: kind and value.
    pub fn attributes(&self, fixed: usize) -> Vec<(u16, &[u8])> {
        let mut all = Vec::new();
        let mut rest = self.body.get(fixed..).unwrap_or_default();
        while let [l0, l1, k0, k1, ..] = *rest {
            let length = usize::from(u16::from_ne_bytes([l0, l1]));
            let Some(value) = rest.get(4..length) else { break };
            // The upper two bits say how the value is written.
            all.push((u16::from_ne_bytes([k0, k1]) & 0x3fff, value));
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        all
    }
}

/// A socket of the network namespace that the caller was in when it was opened.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens one.
    ///
    /// # Errors
    /// socket(2).
    pub fn open() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC;
        // NETLINK_ROUTE is protocol 0, the default.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a request and returns what the kernel answers; nothing, where it only has to be done.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn ask(&mut self, kind: u16, flags: u16, body: &Body) -> Result<Vec<Message>, Errno> {
        self.sequence += 1;
        let length = (HEADER + body.0.len()) as u32;
        let mut request = length.to_ne_bytes().to_vec();
        request.extend(kind.to_ne_bytes());
        request.extend((REQUEST | ACKNOWLEDGE | flags).to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        request.extend([0; 4]);
        request.extend(&body.0);
        send(&self.socket, &request, SendFlags::empty())?;
        self.receive()
    }

    fn receive(&mut self) -> Result<Vec<Message>, Errno> {
        let mut answers = Vec::new();
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            let (length, _) = match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((message, sequence, after)) = split(rest) {
                rest = after;
                if sequence != self.sequence {
                    continue;
                }
                match message.kind {
                    DONE => return Ok(answers),
                    ERROR => return refusal(&message).map(|()| answers),
                    _ => answers.push(message),
                }
            }
        }
    }
}

/// An acknowledgement is an error of 0 (`struct nlmsgerr`).
fn refusal(message: &Message) -> Result<(), Errno> {
    let code = message.body.get(..4).and_then(|code| code.try_into().ok()).ok_or(Errno::PROTO)?;
    match i32::from_ne_bytes(code) {
        0 => Ok(()),
        code => Err(Errno::from_raw_os_error(-code)),
    }
}

/// The first message, its sequence number, and what follows it.
fn split(bytes: &[u8]) -> Option<(Message, u32, &[u8])> {
    let number = |range: std::ops::Range<usize>| bytes.get(range)?.try_into().ok().map(u32::from_ne_bytes);
    let length = number(0..4)? as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let sequence = number(8..12)?;
    let body = bytes.get(HEADER..length)?.to_vec();
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((Message { kind, body }, sequence, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_there() {
        let mut netlink = Netlink::open().unwrap();
        let links = netlink.ask(message::GET_LINK, DUMP, &Body::new(&[0; 16])).unwrap();
        let is_lo = |link: &Message| link.attributes(16).contains(&(3, b"lo\0".as_slice()));
        assert!(links.iter().any(is_lo), "{links:?}");
    }

    #[test]
    fn a_refusal_is_an_errno() {
        let mut netlink = Netlink::open().unwrap();
        let body = Body::new(&[0; 16]).with(3, b"no-such-link\0");
        assert_eq!(netlink.ask(message::GET_LINK, 0, &body), Err(Errno::NODEV));
    }

    #[test]
    fn attributes_are_padded() {
        let message = Message { kind: 1, body: Body::new(&[9, 9, 9, 9]).with(3, b"abc").with(4, b"").0 };
        assert_eq!(message.attributes(4), [(3, b"abc".as_slice()), (4, b"".as_slice())]);
        assert_eq!(message.fixed(4), Some([9; 4].as_slice()));
    }
}
