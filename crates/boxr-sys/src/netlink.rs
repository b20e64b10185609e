//! netlink(7) in small: one request and its answer, or several that go in one message.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// Kinds of message.
pub mod message {
    /// A link is made or changed.
    pub const NEW_LINK: u16 = 16;
    /// A link is removed.
    pub const DELETE_LINK: u16 = 17;
    /// A link is asked for.
    pub const GET_LINK: u16 = 18;
    /// An address is added.
    pub const NEW_ADDRESS: u16 = 20;
    /// Addresses are asked for.
    pub const GET_ADDRESS: u16 = 22;
    /// A route is added.
    pub const NEW_ROUTE: u16 = 24;
    /// A route is removed.
    pub const DELETE_ROUTE: u16 = 25;
    /// Routes are asked for.
    pub const GET_ROUTE: u16 = 26;
    /// A rule of routing is added.
    pub const NEW_RULE: u16 = 32;
}

/// All of a kind are asked for (`NLM_F_DUMP`).
pub const DUMP: u16 = 0x300;
/// What is not there is made (`NLM_F_CREATE`), and must not be there (`NLM_F_EXCL`).
pub const CREATE_NEW: u16 = 0x600;

/// What is not there is made (`NLM_F_CREATE`).
pub const CREATE: u16 = 0x400;

const REQUEST: u16 = 0x01;
const ACKNOWLEDGE: u16 = 0x04;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// Attributes that hold attributes are marked (`NLA_F_NESTED`).
const NESTED: u16 = 0x8000;
/// Room for one answer of the kernel's, which makes its messages as large as whoever listens has room for.
const ANSWER: usize = 16 << 10;
/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END` and the number of nf_tables (`<linux/netfilter/nfnetlink.h>`).
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NF_TABLES: u16 = 10;

/// Which part of the kernel a socket speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// rtnetlink(7).
    Route,
    /// `NETLINK_NETFILTER`.
    Netfilter,
}

/// One request of several.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its kind.
    pub kind: u16,
    /// `NLM_F_…`
    pub flags: u16,
    /// What it says.
    pub body: Body,
}

/// Which of several requests was refused, counted from 0, and why. `None` stands for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its place among the requests.
    pub index: Option<usize>,
    /// The kernel's reason.
    pub errno: Errno,
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self { index: None, errno }
    }
}

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

    /// Adds an attribute that holds what `fill` adds.
    #[must_use]
    pub fn with_nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.0.len();
        self.0.extend([0; 4]);
        let mut filled = fill(self);
        let length = (filled.0.len() - start) as u16;
        let header = [length.to_ne_bytes(), (kind | NESTED).to_ne_bytes()].concat();
        if let Some(place) = filled.0.get_mut(start..start + 4) {
            place.copy_from_slice(&header);
        }
        filled
    }

    /// Adds bytes that are no attribute, such as the fixed part of an inner message.
    #[must_use]
    pub fn with_raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Adds what another one holds.
    #[must_use]
    pub fn with_body(self, body: &Self) -> Self {
        self.with_raw(&body.0)
    }

    /// Adds a string, which ends with a zero byte.
    #[must_use]
    pub fn with_text(self, kind: u16, text: &str) -> Self {
        self.with(kind, &[text.as_bytes(), b"\0"].concat())
    }

    /// Adds a number in the byte order of the network, as nf_tables has them.
    #[must_use]
    pub fn with_be32(self, kind: u16, number: u32) -> Self {
        self.with(kind, &number.to_be_bytes())
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
        attributes(self.body.get(fixed..).unwrap_or_default())
    }
}

/// The attributes in `bytes`, such as the value of a nested one: kind and value.
pub fn attributes(bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let [l0, l1, k0, k1, ..] = *rest {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let Some(value) = rest.get(4..length) else { break };
        // The upper two bits say how the value is written.
        all.push((u16::from_ne_bytes([k0, k1]) & 0x3fff, value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

/// A socket of the network namespace that the caller was in when it was opened.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens one that speaks rtnetlink(7).
    ///
    /// # Errors
    /// socket(2).
    pub fn open() -> Result<Self, Errno> {
        Self::open_family(Family::Route)
    }

    /// Opens one that speaks to nf_tables.
    ///
    /// # Errors
    /// socket(2); `EPROTONOSUPPORT` where the kernel has no nfnetlink.
    pub fn open_netfilter() -> Result<Self, Errno> {
        Self::open_family(Family::Netfilter)
    }

    fn open_family(family: Family) -> Result<Self, Errno> {
        let protocol = match family {
            // NETLINK_ROUTE is protocol 0, the default.
            Family::Route => None,
            Family::Netfilter => Some(rustix::net::netlink::NETFILTER),
        };
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a request and returns what the kernel answers; nothing, where it only has to be done.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn ask(&mut self, kind: u16, flags: u16, body: &Body) -> Result<Vec<Message>, Errno> {
        self.sequence += 1;
        let mut request = Vec::with_capacity(HEADER + body.0.len());
        append(&mut request, kind, REQUEST | ACKNOWLEDGE | flags, self.sequence, &body.0);
        send(&self.socket, &request, SendFlags::empty())?;
        let last = self.sequence;
        let mut answers = Vec::new();
        self.receive(|message, sequence| {
            if sequence != last {
                return Ok(false);
            }
            match message.kind {
                DONE => return Ok(true),
                ERROR => return refusal(&message).map(|()| true),
                _ => answers.push(message),
            }
            Ok(false)
        })?;
        Ok(answers)
    }

    /// Sends several requests at once; the kernel carries out each, whatever becomes of those before it.
    ///
    /// # Errors
    /// The first that was refused.
    pub fn ask_all(&mut self, requests: &[Request]) -> Result<(), Refused> {
        if requests.is_empty() {
            return Ok(());
        }
        let first = self.sequence + 1;
        let mut bytes = Vec::with_capacity(1024);
        for (index, request) in requests.iter().enumerate() {
            self.sequence += 1;
            // A refusal is told of anyway.
            let last = if index + 1 == requests.len() { ACKNOWLEDGE } else { 0 };
            let flags = REQUEST | last | request.flags;
            append(&mut bytes, request.kind, flags, self.sequence, &request.body.0);
        }
        send(&self.socket, &bytes, SendFlags::empty())?;
        self.hear_all(first)
    }

    /// Sends several requests to nf_tables in one transaction: all are carried out, or none.
    ///
    /// # Errors
    /// The first that was refused.
    pub fn transact(&mut self, requests: &[Request]) -> Result<(), Refused> {
        let first = self.sequence + 1;
        let bounds = [0, 0, (NF_TABLES >> 8) as u8, NF_TABLES as u8];
        let mut bytes = Vec::with_capacity(4096);
        // What fails as a whole is told of the beginning, which has the number before the first.
        append(&mut bytes, BATCH_BEGIN, REQUEST, self.sequence, &bounds);
        for (index, request) in requests.iter().enumerate() {
            self.sequence += 1;
            let last = if index + 1 == requests.len() { ACKNOWLEDGE } else { 0 };
            let flags = REQUEST | last | request.flags;
            append(&mut bytes, NF_TABLES << 8 | request.kind, flags, self.sequence, &request.body.0);
        }
        append(&mut bytes, BATCH_END, REQUEST, self.sequence + 1, &bounds);
        send(&self.socket, &bytes, SendFlags::empty())?;
        let heard = self.hear_all(first);
        self.sequence += 1;
        heard
    }

    /// Asks nf_tables for something.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn ask_tables(&mut self, kind: u16, flags: u16, body: &Body) -> Result<Vec<Message>, Errno> {
        self.ask(NF_TABLES << 8 | kind, flags, body)
    }

    /// Hears of the requests from number `first` on, until the last has been answered.
    fn hear_all(&mut self, first: u32) -> Result<(), Refused> {
        let last = self.sequence;
        let mut refused: Option<Refused> = None;
        self.receive(|message, sequence| {
            if message.kind != ERROR || sequence.wrapping_add(1) < first {
                return Ok(false);
            }
            if let Err(errno) = refusal(&message) {
                let index = sequence.checked_sub(first).map(|index| index as usize);
                refused.get_or_insert(Refused { index, errno });
                // The beginning and the end stand for all: nothing else is answered then.
                return Ok(sequence < first || sequence >= last);
            }
            Ok(sequence == last)
        })?;
        refused.map_or(Ok(()), Err)
    }

    /// Gives `take` each message with its number, until it says that this was the last.
    fn receive(&mut self, mut take: impl FnMut(Message, u32) -> Result<bool, Errno>) -> Result<(), Errno> {
        let mut buffer = vec![0u8; ANSWER];
        loop {
            let (length, _) = match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((message, sequence, after)) = split(rest) {
                rest = after;
                if take(message, sequence)? {
                    return Ok(());
                }
            }
        }
    }
}

/// Adds a message with its header.
fn append(bytes: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, body: &[u8]) {
    bytes.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
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
    fn of_several_requests_the_refused_one_is_told() {
        let mut netlink = Netlink::open().unwrap();
        let get = |name: &str| Request {
            kind: message::GET_LINK,
            flags: 0,
            body: Body::new(&[0; 16]).with_text(3, name),
        };
        assert_eq!(netlink.ask_all(&[get("lo"), get("lo")]), Ok(()));
        let refused = Refused { index: Some(1), errno: Errno::NODEV };
        assert_eq!(netlink.ask_all(&[get("lo"), get("no-such-link"), get("lo")]), Err(refused));
        assert_eq!(netlink.ask_all(&[get("lo")]), Ok(()), "nothing of before is left over");
    }

    #[test]
    fn attributes_hold_attributes() {
        let body = Body::new(&[]).with_nested(5, |body| body.with_be32(1, 7).with_text(2, "ab"));
        let outer = attributes(&body.0);
        assert_eq!(outer.len(), 1);
        assert_eq!(outer[0].0, 5);
        assert_eq!(attributes(outer[0].1), [(1, [0, 0, 0, 7].as_slice()), (2, b"ab\0".as_slice())]);
    }

    #[test]
    fn attributes_are_padded() {
        let message = Message { kind: 1, body: Body::new(&[9, 9, 9, 9]).with(3, b"abc").with(4, b"").0 };
        assert_eq!(message.attributes(4), [(3, b"abc".as_slice()), (4, b"".as_slice())]);
        assert_eq!(message.fixed(4), Some([9; 4].as_slice()));
    }
}
