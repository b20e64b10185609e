//! Messages that a call is about to send: to which address, and which names it asks a name server for.

use boxr_sys::seccomp_listener::Notification;

use super::memory::{is_native, read, read_whole};

/// Messages that are looked at of one sendmmsg(2); a resolver sends two.
const MOST: u64 = 16;
/// Lengths of `struct msghdr` and `struct mmsghdr` of 64 bits.
const HEADER: usize = 56;
const HEADER_OF_MANY: u64 = 64;
/// The longest question of a name (RFC 1035: 512 bytes in all).
const QUESTION: usize = 512;

/// One message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Where the address is, and how long; 0 where the socket is connected.
    pub address: (u64, u64),
    /// Its first bytes.
    pub bytes: (u64, u64),
}

/// The messages at `address`: one, or `count` in an array.
pub(super) fn messages(call: &Notification, address: u64, count: Option<u64>) -> Vec<Message> {
    if !is_native(call) {
        return Vec::new();
    }
    let at = |index: u64| address.checked_add(index * HEADER_OF_MANY);
    (0..count.unwrap_or(1).min(MOST)).filter_map(|index| message(call, at(index)?)).collect()
}

fn message(call: &Notification, address: u64) -> Option<Message> {
    let mut header = [0; HEADER];
    read_whole(call, address, &mut header).ok()?;
    let (name, length) = (number(&header, 0)?, number(&header, 8)? & 0xffff_ffff);
    let mut message = Message { address: (name, length), bytes: (0, 0) };
    if number(&header, 24)? > 0 {
        let mut part = [0; 16];
        read_whole(call, number(&header, 16)?, &mut part).ok()?;
        message.bytes = (number(&part, 0)?, number(&part, 8)?);
    }
    Some(message)
}

/// The name that `bytes` of the caller's memory ask a name server for.
pub(super) fn question(call: &Notification, bytes: (u64, u64)) -> Option<String> {
    let mut buffer = [0; QUESTION];
    let length = usize::try_from(bytes.1).ok()?.min(QUESTION);
    let read = read(call, bytes.0, buffer.get_mut(..length)?).ok()?;
    name_in(buffer.get(..read)?)
}

/// The first name in a question of the domain name system (RFC 1035, 4.1).
fn name_in(message: &[u8]) -> Option<String> {
    let is_question = message.get(2)? & 0x80 == 0;
    let questions = u16::from_be_bytes([*message.get(4)?, *message.get(5)?]);
    let (mut name, mut at) = (String::new(), 12);
    while let Some(length @ 1..=63) = message.get(at).copied().map(usize::from) {
        let label = message.get(at + 1..at + 1 + length)?;
        let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
        if !label.iter().all(is_good) || name.len() + length > 253 {
            return None;
        }
        let dot = if name.is_empty() { "" } else { "." };
        name.push_str(dot);
        name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + length;
    }
    let ends = message.get(at) == Some(&0);
    // Names of addresses, backwards, are of no host that one wants to reach.
    (is_question && questions > 0 && ends && !name.is_empty() && !name.ends_with(".arpa")).then_some(name)
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_questions_alone() {
        let head = [1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let message = |rest: &[u8]| [&head[..], rest].concat();
        assert_eq!(name_in(&message(b"\x03Www\x07example\x03org\0\0\x01\0\x01")).unwrap(), "www.example.org");
        for rest in
            [&b"\0\0\x01"[..], b"\x03a b\0", b"\x05ab", b"\xc0\x0c", b"\x011\x07in-addr\x04arpa\0", b""]
        {
            assert_eq!(name_in(&message(rest)), None, "{rest:?}");
        }
        let mut answer = message(b"\x01a\0");
        assert_eq!(name_in(&answer).unwrap(), "a");
        answer[2] |= 0x80;
        assert_eq!(name_in(&answer), None);
        assert_eq!(name_in(&head[..5]), None);
    }
}
