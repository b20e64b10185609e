//! Messages of the domain name system, as far as answers of one's own need them (RFC 1035).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use boxr_sys::copy;

/// A header, in bytes.
const HEADER: usize = 12;
/// Longest name in text.
const LONGEST: usize = 253;
const POINTER_TO_QUESTION: [u8; 2] = [0xc0, HEADER as u8];
const CLASS_IN: u16 = 1;

/// Types of records (RFC 1035, RFC 3596).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Address4,
    Address6,
    Pointer,
    Other,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// Without the dot at its end, in small letters.
    pub name: String,
    pub kind: Kind,
    /// Where it ends in the message.
    end: usize,
    edns: Option<Edns>,
}

/// What the client says of itself (EDNS, RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edns {
    /// The largest datagram that it takes.
    size: u16,
    /// The version that it speaks; there is only 0.
    version: u8,
}

/// The way an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// In a datagram, as large as the client takes.
    Datagram,
    /// In a stream, as large as it is.
    Stream,
}

/// The largest datagram without EDNS (RFC 1035), and the largest that is sent with it.
const PLAIN: u16 = 512;
const LARGEST: u16 = 1232;

/// How a query is answered that no name is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed = 1,
    Failure = 2,
    NotImplemented = 4,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data<'a> {
    Address(IpAddr),
    Name(&'a str),
}

/// Reads the one question of a query.
///
/// # Errors
/// What it is refused with; `None` is no query at all, and gets no answer.
pub(super) fn question(message: &[u8]) -> Result<Question, Option<Refusal>> {
    let header = message.get(..HEADER).ok_or(None)?;
    if header[2] & 0x80 != 0 {
        return Err(None);
    }
    if header[2] & 0x78 != 0 {
        return Err(Some(Refusal::NotImplemented));
    }
    let malformed = Some(Refusal::Malformed);
    if header[4..6] != [0, 1] {
        return Err(malformed);
    }
    // It is no longer than the message.
    let mut name = String::with_capacity(message.len());
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at).ok_or(malformed)?);
        at += 1;
        if length == 0 {
            break;
        }
        // The upper two bits point elsewhere, which a question has no cause to.
        let label = message.get(at..at + length).filter(|_| length < 64).ok_or(malformed)?;
        at += length;
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|byte| byte.to_ascii_lowercase() as char));
        if name.len() > LONGEST {
            return Err(malformed);
        }
    }
    let number = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let (kind, class) = (number(at).ok_or(malformed)?, number(at + 2).ok_or(malformed)?);
    let kind = match (kind, class) {
        (1, CLASS_IN) => Kind::Address4,
        (28, CLASS_IN) => Kind::Address6,
        (12, CLASS_IN) => Kind::Pointer,
        _ => Kind::Other,
    };
    let edns = number(10).filter(|additional| *additional > 0).and_then(|_| edns(message, at + 4));
    Ok(Question { name, kind, end: at + 4, edns })
}

/// What the client says, in its pseudo-record right after the question: the root's name, type 41, the size for a
/// class, and the version in the time to live.
fn edns(message: &[u8], at: usize) -> Option<Edns> {
    match message.get(at..at + 7)? {
        [0, 0, 41, high, low, _, version] => {
            Some(Edns { size: u16::from_be_bytes([*high, *low]).max(PLAIN), version: *version })
        }
        _ => None,
    }
}

/// Appends an answer with these records to `message`; none is a name without such records, `None` one that is not
/// there.
pub(super) fn answer<'a>(
    message: &mut Vec<u8>,
    query: &[u8],
    question: &Question,
    records: Option<impl Iterator<Item = Data<'a>>>,
    transport: Transport,
) {
    let begin = message.len();
    if question.edns.is_some_and(|edns| edns.version > 0) {
        return refuse_version(message, query, question.end);
    }
    reply(message, query, question.end, if records.is_some() { 0 } else { 3 });
    let mut count = 0u16;
    for record in records.into_iter().flatten() {
        append(message, record);
        count = count.saturating_add(1);
    }
    let room = match (transport, question.edns) {
        (Transport::Stream, _) => usize::from(u16::MAX),
        (Transport::Datagram, size) => {
            usize::from(size.map_or(PLAIN, |edns| edns.size).clamp(PLAIN, LARGEST))
        }
    };
    let pseudo: &[u8] = if question.edns.is_some() { &OWN_EDNS } else { &[] };
    let is_too_long = message.len() - begin + pseudo.len() > room;
    if is_too_long {
        message.truncate(begin + question.end);
    }
    let Some(head) = message.get_mut(begin..begin + HEADER) else { return };
    if is_too_long {
        // Truncated: the client asks again, by a stream.
        head[2] |= 2;
    } else {
        head[6..8].copy_from_slice(&count.to_be_bytes());
    }
    head[11] = u8::from(!pseudo.is_empty());
    message.extend_from_slice(pseudo);
}

fn append(message: &mut Vec<u8>, record: Data<'_>) {
    let kind: u16 = match record {
        Data::Address(IpAddr::V4(_)) => 1,
        Data::Address(IpAddr::V6(_)) => 28,
        Data::Name(_) => 12,
    };
    message.extend_from_slice(&POINTER_TO_QUESTION);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&CLASS_IN.to_be_bytes());
    // Not to be kept: containers come and go. And no length yet.
    message.extend_from_slice(&[0; 4 + 2]);
    let begin = message.len();
    match record {
        Data::Address(IpAddr::V4(address)) => message.extend_from_slice(&address.octets()),
        Data::Address(IpAddr::V6(address)) => message.extend_from_slice(&address.octets()),
        Data::Name(name) => encode(message, name),
    }
    let length = (message.len() - begin) as u16;
    message[begin - 2..begin].copy_from_slice(&length.to_be_bytes());
}

/// What this side takes: who was told by EDNS tells too (RFC 6891, 6.1.1).
const OWN_EDNS: [u8; 11] = {
    let [high, low] = LARGEST.to_be_bytes();
    [0, 0, 41, high, low, 0, 0, 0, 0, 0, 0]
};

/// Says that only version 0 of EDNS is spoken here (RFC 6891, 6.1.3: BADVERS, whose upper bits are the pseudo-record's).
fn refuse_version(message: &mut Vec<u8>, query: &[u8], end: usize) {
    let begin = message.len();
    reply(message, query, end, 0);
    message[begin + 11] = 1;
    message.extend_from_slice(&OWN_EDNS);
    message[begin + end + 5] = 1;
}

/// Appends an answer without a name.
pub(super) fn refuse(message: &mut Vec<u8>, query: &[u8], refusal: Refusal) {
    let begin = message.len();
    reply(message, query, HEADER, refusal as u8);
    message[begin + 4..begin + 6].fill(0);
}

/// Appends the query up to `end`, as an answer without records.
fn reply(message: &mut Vec<u8>, query: &[u8], end: usize, code: u8) {
    let begin = message.len();
    copy::append(message, query.get(..end).unwrap_or_default());
    message.resize(begin + end.max(HEADER), 0);
    let head = &mut message[begin..begin + HEADER];
    // An answer, by who knows, to who may ask for recursion, which is available.
    head[2] = 0x84 | head[2] & 0x01;
    head[3] = 0x80 | code;
    head[6..].fill(0);
}

fn encode(message: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty() && label.len() < 64) {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
}

/// The address that a name of in-addr.arpa or ip6.arpa stands for.
pub(super) fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let mut bytes = [0u8; 4];
        let mut parts = rest.split('.');
        for byte in bytes.iter_mut().rev() {
            *byte = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| Ipv4Addr::from(bytes).into());
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0u128;
    let mut count = 0;
    for digit in rest.split('.').rev() {
        bits = bits << 4 | u128::from_str_radix(digit, 16).ok().filter(|digit| *digit < 16)?;
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from(bits).into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A query of this type for a name.
    pub(in super::super) fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        encode(&mut message, name);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    /// The answer, behind something that is there already.
    fn told(query: &[u8], question: &Question, data: Option<&[Data<'_>]>, transport: Transport) -> Vec<u8> {
        let mut message = b"before".to_vec();
        answer(&mut message, query, question, data.map(|data| data.iter().copied()), transport);
        message.split_off(6)
    }

    #[test]
    fn an_answer_repeats_the_question() {
        let message = query("Web.example", 1);
        let asked = question(&message).unwrap();
        assert_eq!((asked.name.as_str(), asked.kind), ("web.example", Kind::Address4));
        let data = [Data::Address("10.5.0.9".parse().unwrap())];
        let told = told(&message, &asked, Some(&data), Transport::Datagram);
        assert_eq!(told[..8], [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1]);
        assert_eq!(told[HEADER..asked.end], message[HEADER..]);
        assert_eq!(told[told.len() - 4..], [10, 5, 0, 9]);
        assert_eq!(self::told(&message, &asked, None, Transport::Datagram)[3] & 15, 3);
    }

    #[test]
    fn what_does_not_fit_is_asked_for_again() {
        let plain = query("many", 1);
        let mut extended = plain.clone();
        extended[11] = 1;
        extended.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        let data: Vec<Data<'_>> = (0..60).map(|last| Data::Address([10, 5, 0, last].into())).collect();
        let told = |message: &[u8], transport| {
            let asked = question(message).unwrap();
            let told = told(message, &asked, Some(&data), transport);
            (told[2] & 2 != 0, told[7], told[11], told.len())
        };
        assert_eq!(told(&plain, Transport::Datagram), (true, 0, 0, plain.len()));
        assert_eq!(told(&plain, Transport::Stream), (false, 60, 0, plain.len() + 60 * 16));
        assert_eq!(told(&extended, Transport::Datagram), (false, 60, 1, plain.len() + 60 * 16 + 11));
    }

    #[test]
    fn another_version_of_edns_is_refused() {
        let mut later = query("web", 1);
        let end = later.len();
        later[11] = 1;
        later.extend([0, 0, 41, 0x04, 0xd0, 0, 1, 0, 0, 0, 0]);
        let data = [Data::Address("10.5.0.9".parse().unwrap())];
        let told = told(&later, &question(&later).unwrap(), Some(&data), Transport::Datagram);
        assert_eq!((told[3] & 15, told[7], told[11]), (0, 0, 1));
        assert_eq!(told[end..], [0, 0, 41, 0x04, 0xd0, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn addresses_are_read_backwards() {
        assert_eq!(reversed("9.0.5.10.in-addr.arpa"), Some("10.5.0.9".parse().unwrap()));
        let six = "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(reversed(six), Some("fd00:5::9".parse().unwrap()));
        for name in ["", "in-addr.arpa", "1.2.3.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "x.ip6.arpa"] {
            assert_eq!(reversed(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_message_is_too_strange(message in proptest::collection::vec(any::<u8>(), 0..600)) {
            match question(&message) {
                Ok(asked) => {
                    let told = told(&message, &asked, Some(&[]), Transport::Datagram);
                    prop_assert!(told.len() <= message.len() + 11);
                }
                Err(Some(refusal)) => {
                    let mut told = vec![7];
                    refuse(&mut told, &message, refusal);
                    prop_assert_eq!(told.len(), 1 + HEADER);
                }
                Err(None) => {}
            }
        }
    }
}
