//! Many datagrams with one call: recvmmsg(2) and sendmmsg(2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::clone::last_errno;

/// Datagrams with one call.
const MOST: usize = 16;
/// Bytes of a `sockaddr_in6`, the longest address here.
const LONGEST_ADDRESS: usize = 28;

/// Whom a datagram came from, as the kernel has written it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// A `sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7)).
    bytes: [u8; LONGEST_ADDRESS],
    length: libc::socklen_t,
}

impl Sender {
    /// `None` for what is no address of the internet's.
    pub fn address(&self) -> Option<SocketAddr> {
        let bytes = &self.bytes;
        let port = u16::from_be_bytes([bytes[2], bytes[3]]);
        match (libc::c_int::from(u16::from_ne_bytes([bytes[0], bytes[1]])), self.length) {
            (libc::AF_INET, 16..) => {
                Some((IpAddr::from(Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7])), port).into())
            }
            (libc::AF_INET6, 28..) => {
                let part = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
                let address = Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[8..24]).ok()?);
                Some(SocketAddrV6::new(address, port, part(4)?, part(24)?).into())
            }
            _ => None,
        }
    }
}

/// Room for datagrams that come.
#[derive(Debug)]
pub struct Inbox {
    /// `size` bytes for each.
    room: Vec<u8>,
    size: usize,
    senders: [Sender; MOST],
    /// What was received, in bytes; `None` for one that was longer than its room.
    lengths: [Option<usize>; MOST],
}

impl Inbox {
    /// For datagrams of up to `size` bytes; longer ones are dropped.
    pub fn new(size: usize) -> Self {
        Self { room: vec![0; size * MOST], size, senders: Default::default(), lengths: [None; MOST] }
    }

    /// Takes what lies in a socket, without waiting; how many datagrams that is. Those from before are gone.
    ///
    /// # Errors
    /// `EAGAIN` where there is none; recvmsg(2).
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.lengths = [None; MOST];
        let mut rooms = self.room.chunks_exact_mut(self.size);
        let mut parts: [libc::iovec; MOST] = std::array::from_fn(|_| match rooms.next() {
            Some(room) => libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() },
            None => libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 },
        });
        let mut senders = self.senders.iter_mut();
        let mut headers: [libc::mmsghdr; MOST] = std::array::from_fn(|at| {
            let name = senders.next().map(|sender| (sender.bytes.as_mut_ptr(), LONGEST_ADDRESS));
            header(&mut parts[at], name)
        });
        // SAFETY: each header names one buffer and one address of this inbox, which live, and are not used otherwise,
        // until the call has returned; no time to wait is given.
        let received = unsafe {
            libc::syscall(
                libc::SYS_recvmmsg,
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                MOST,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut::<libc::timespec>(),
            )
        };
        let count = usize::try_from(received).map_err(|_| last_errno())?;
        let received = self.senders.iter_mut().zip(&mut self.lengths).zip(&headers).take(count);
        for ((sender, length), header) in received {
            sender.length = header.msg_hdr.msg_namelen;
            let is_whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            *length = is_whole.then_some(header.msg_len as usize);
        }
        Ok(count)
    }

    /// What was received last, without datagrams that were too long.
    pub fn datagrams(&self) -> impl Iterator<Item = (&[u8], Sender)> {
        let all = self.room.chunks_exact(self.size).zip(&self.senders).zip(&self.lengths);
        all.filter_map(|((room, sender), length)| Some((room.get(..(*length)?)?, *sender)))
    }
}

/// Datagrams that are to go.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Where each ends in `bytes`, and whose it is.
    parts: Vec<(usize, Sender)>,
}

impl Outbox {
    /// Adds one to whoever sent another: what `write` appends to the bytes that it is given.
    pub fn add<T>(&mut self, to: Sender, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let before = self.bytes.len();
        let written = write(&mut self.bytes);
        if self.bytes.len() > before {
            self.parts.push((self.bytes.len(), to));
        }
        written
    }

    /// Sends all, and is empty again. One that cannot go is passed over, as it may get lost on its way too.
    pub fn send(&mut self, socket: BorrowedFd<'_>) {
        let mut first = 0;
        let mut rest = self.parts.as_mut_slice();
        while !rest.is_empty() {
            let sent = send_some(socket, &mut self.bytes, first, rest).unwrap_or(1).clamp(1, rest.len());
            first = rest[sent - 1].0;
            rest = &mut rest[sent..];
        }
        self.bytes.clear();
        self.parts.clear();
    }
}

/// Sends some of `datagrams`, the first of which begins at `first` in `bytes`; how many.
fn send_some(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    first: usize,
    datagrams: &mut [(usize, Sender)],
) -> Result<usize, Errno> {
    let count = datagrams.len().min(MOST);
    let mut rest = bytes.get_mut(first..).unwrap_or_default();
    let mut begin = first;
    let mut parts: [libc::iovec; MOST] = std::array::from_fn(|at| {
        let end = datagrams.get(at).map_or(begin, |(end, _)| *end);
        let (part, after) = std::mem::take(&mut rest).split_at_mut(end - begin);
        (rest, begin) = (after, end);
        libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() }
    });
    let mut receivers = datagrams.iter_mut();
    let mut headers: [libc::mmsghdr; MOST] = std::array::from_fn(|at| {
        let name = receivers.next().map(|(_, to)| (to.bytes.as_mut_ptr(), to.length as usize));
        header(&mut parts[at], name)
    });
    // SAFETY: each of the `count` headers names bytes and an address that live until the call has returned, which
    // only reads them.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_sendmmsg,
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).map_err(|_| last_errno())
}

/// A message of one part, from or to an address.
fn header(part: &mut libc::iovec, name: Option<(*mut u8, usize)>) -> libc::mmsghdr {
    // SAFETY: numbers and pointers, for which all zeroes are values.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    let (name, length) = name.unwrap_or((std::ptr::null_mut(), 0));
    header.msg_hdr.msg_name = name.cast();
    header.msg_hdr.msg_namelen = length as libc::socklen_t;
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    header
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    fn echo(server: &UdpSocket, inbox: &mut Inbox) -> usize {
        let received = inbox.receive(server.as_fd()).unwrap();
        let mut outbox = Outbox::default();
        for (datagram, sender) in inbox.datagrams() {
            outbox.add(sender, |bytes| bytes.extend(datagram.iter().rev()));
        }
        outbox.send(server.as_fd());
        assert!(outbox.bytes.is_empty() && outbox.parts.is_empty());
        received
    }

    #[test]
    fn each_datagram_goes_back_to_whom_it_came_from() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(server) = UdpSocket::bind(address) else { continue };
            let mut inbox = Inbox::new(64);
            assert_eq!(inbox.receive(server.as_fd()), Err(Errno::AGAIN));
            let clients = [0; 3].map(|_| UdpSocket::bind(address).unwrap());
            for (number, client) in clients.iter().enumerate() {
                client.connect(server.local_addr().unwrap()).unwrap();
                client.send(&[number as u8, 7, 8]).unwrap();
                client.send(&[0; 65]).unwrap();
            }
            assert_eq!(echo(&server, &mut inbox), 6);
            let senders: Vec<SocketAddr> =
                inbox.datagrams().map(|(_, sender)| sender.address().unwrap()).collect();
            assert_eq!(senders, clients.each_ref().map(|client| client.local_addr().unwrap()));
            for (number, client) in clients.iter().enumerate() {
                let mut answer = [0; 8];
                assert_eq!(client.recv(&mut answer).unwrap(), 3);
                assert_eq!(answer[..3], [8, 7, number as u8]);
            }
        }
    }

    #[test]
    fn more_than_one_call_takes_go_and_what_cannot_go_is_passed_over() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        (0..MOST + 3).for_each(|number| assert_eq!(client.send(&[number as u8]).unwrap(), 1));
        let mut inbox = Inbox::new(8);
        assert_eq!(inbox.receive(server.as_fd()).unwrap(), MOST);
        let mut outbox = Outbox::default();
        let senders: Vec<Sender> = inbox.datagrams().map(|(_, sender)| sender).collect();
        assert_eq!(senders.len(), MOST);
        outbox.add(Sender::default(), |bytes| bytes.push(99));
        for number in 0..MOST + 3 {
            outbox.add(senders[0], |bytes| bytes.push(number as u8));
        }
        outbox.add(senders[0], |_| ());
        outbox.send(server.as_fd());
        let mut byte = [0; 2];
        for number in 0..MOST + 3 {
            assert_eq!((client.recv(&mut byte).unwrap(), byte[0]), (1, number as u8));
        }
        assert_eq!(echo(&server, &mut inbox), 3);
    }
}
