//! Names of hosts to addresses, by /etc/hosts and the servers in /etc/resolv.conf.
//!
//! boxr is linked statically: the C library's resolver would load the system's name-service modules,
//! which a static program cannot do reliably (glibc's own warning). This asks as musl's does: the names
//! in hosts(5), then A and AAAA of each server in turn (RFC 1035), search domains by resolv.conf(5).

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::rand::{GetRandomFlags, getrandom};

const PORT: u16 = 53;
/// `MAXNS` of resolv.conf(5).
const MOST_SERVERS: usize = 3;
const A: u16 = 1;
const AAAA: u16 = 28;
/// The answer did not fit (RFC 1035, section 4.1.1).
const TRUNCATED: u8 = 0x02;

/// Where names are looked up.
#[derive(Clone, Debug)]
pub struct Resolver {
    hosts: PathBuf,
    configuration: PathBuf,
    port: u16,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), configuration: "/etc/resolv.conf".into(), port: PORT }
    }
}

/// What /etc/resolv.conf says.
#[derive(Debug, PartialEq, Eq)]
struct Configuration {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
    timeout: Duration,
    attempts: u32,
}

impl Resolver {
    /// The addresses of `host`, at least one.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Ok(vec![address]);
        }
        let hosts = std::fs::read_to_string(&self.hosts).unwrap_or_default();
        let found = in_hosts(&hosts, host);
        if !found.is_empty() {
            return Ok(found);
        }
        // RFC 6761, section 6.3.
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
        }
        let text = std::fs::read_to_string(&self.configuration).unwrap_or_default();
        let configuration = configuration(&text);
        let mut last = "no name server answered".to_owned();
        for name in candidates(host, &configuration) {
            match self.ask_all(&name, &configuration) {
                Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
                Ok(_) => "it has no address".clone_into(&mut last),
                Err(reason) => last = reason,
            }
        }
        Err(last)
    }

    fn ask_all(&self, name: &str, configuration: &Configuration) -> Result<Vec<IpAddr>, String> {
        let mut last = String::new();
        for _ in 0..configuration.attempts {
            for server in &configuration.servers {
                let server = SocketAddr::new(*server, self.port);
                match ask_both(server, name, configuration.timeout) {
                    Ok(addresses) => return Ok(addresses),
                    Err(error) => last = format!("name server {}: {error}", server.ip()),
                }
            }
        }
        Err(last)
    }
}

/// hosts(5): an address and its names on each line.
fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let found = lines.filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    });
    found.collect()
}

fn configuration(text: &str) -> Configuration {
    let mut found = Configuration {
        servers: Vec::new(),
        search: Vec::new(),
        ndots: 1,
        timeout: Duration::from_secs(5),
        attempts: 2,
    };
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") if found.servers.len() < MOST_SERVERS => {
                // A zone after % is of no use to a server that is not on the link.
                let address: Option<IpAddr> =
                    words.next().and_then(|word| word.split('%').next()?.parse().ok());
                found.servers.extend(address);
            }
            Some("search" | "domain") => found.search = words.map(str::to_owned).collect(),
            Some("options") => words.for_each(|word| option(&mut found, word)),
            _ => {}
        }
    }
    if found.servers.is_empty() {
        found.servers.push(Ipv4Addr::LOCALHOST.into());
    }
    found
}

fn option(found: &mut Configuration, word: &str) {
    let Some((name, value)) = word.split_once(':') else { return };
    let Ok(value) = value.parse::<u32>() else { return };
    match name {
        "ndots" => found.ndots = value.min(15) as usize,
        "timeout" => found.timeout = Duration::from_secs(u64::from(value.clamp(1, 30))),
        "attempts" => found.attempts = value.clamp(1, 5),
        _ => {}
    }
}

/// The full names to try: a name with enough dots as it is first, others with the search domains.
fn candidates(host: &str, configuration: &Configuration) -> Vec<String> {
    if let Some(full) = host.strip_suffix('.') {
        return vec![full.to_owned()];
    }
    let mut names: Vec<String> =
        configuration.search.iter().map(|domain| format!("{host}.{}", domain.trim_matches('.'))).collect();
    let is_full = host.matches('.').count() >= configuration.ndots;
    names.insert(if is_full { 0 } else { names.len() }, host.to_owned());
    names
}

/// IPv6 addresses come first (RFC 6724); who cannot reach one goes on to the next.
fn ask_both(server: SocketAddr, name: &str, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    let six = ask(server, name, AAAA, timeout);
    match (six, ask(server, name, A, timeout)) {
        (Ok(six), Ok(four)) => Ok(six.into_iter().chain(four).collect()),
        // There are servers that fail for one kind.
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

fn ask(server: SocketAddr, name: &str, kind: u16, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    let question = Question::new(name, kind)?;
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(&question.bytes)?;
    let end = Instant::now() + timeout;
    let mut buffer = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            received => received?,
        };
        match question.answer(&buffer[..length]) {
            // Not the answer to this question: a late one, or a forged one.
            None => {}
            Some(Answer::Truncated) => return ask_by_tcp(server, &question, timeout),
            Some(Answer::Refused(code)) => return Err(io::Error::other(format!("refused with code {code}"))),
            Some(Answer::Addresses(addresses)) => return Ok(addresses),
        }
    }
}

fn ask_by_tcp(server: SocketAddr, question: &Question, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut message = (question.bytes.len() as u16).to_be_bytes().to_vec();
    message.extend(&question.bytes);
    stream.write_all(&message)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    match question.answer(&answer) {
        Some(Answer::Addresses(addresses)) => Ok(addresses),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A question as it is sent (RFC 1035, section 4.1).
struct Question {
    bytes: Vec<u8>,
    kind: u16,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Addresses(Vec<IpAddr>),
    Truncated,
    Refused(u8),
}

impl Question {
    fn new(name: &str, kind: u16) -> io::Result<Self> {
        let mut id = [0; 2];
        rustix::io::retry_on_intr(|| getrandom(&mut id[..], GetRandomFlags::empty()))?;
        // One question, recursion wanted.
        let mut bytes = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length));
            bytes.push(length.ok_or(io::ErrorKind::InvalidInput)?);
            bytes.extend(label.bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        if bytes.len() > 12 + 255 + 4 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { bytes, kind })
    }

    /// Reads an answer; `None` when it is not one to this question.
    fn answer(&self, message: &[u8]) -> Option<Answer> {
        let question_end = self.bytes.len();
        let same = message.get(..2)? == &self.bytes[..2]
            && message.get(2)? & 0x80 != 0
            && message.get(12..question_end)?.eq_ignore_ascii_case(&self.bytes[12..]);
        if !same {
            return None;
        }
        match message[3] & 0x0f {
            0 => {}
            // No such name: no addresses.
            3 => return Some(Answer::Addresses(Vec::new())),
            code => return Some(Answer::Refused(code)),
        }
        if message[2] & TRUNCATED != 0 {
            return Some(Answer::Truncated);
        }
        let count = u16::from_be_bytes([message[6], message[7]]);
        let mut addresses = Vec::new();
        let mut rest = &message[question_end..];
        for _ in 0..count {
            let (kind, data, after) = take_record(rest)?;
            // A canonical name's addresses follow in the same answer.
            if kind == self.kind {
                addresses.extend(address(data));
            }
            rest = after;
        }
        Some(Answer::Addresses(addresses))
    }
}

/// The type and data of a record, and what follows it.
fn take_record(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => break at += 1,
            // A pointer ends a name (RFC 1035, section 4.1.4).
            length if length >= 0xc0 => break at += 2,
            length => at += 1 + usize::from(length),
        }
    }
    let head = bytes.get(at..at + 10)?;
    let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
    let data = bytes.get(at + 10..at + 10 + length)?;
    Some((u16::from_be_bytes([head[0], head[1]]), data, &bytes[at + 10 + length..]))
}

fn address(data: &[u8]) -> Option<IpAddr> {
    match data.len() {
        4 => Some(<[u8; 4]>::try_from(data).ok()?.into()),
        16 => Some(<[u8; 16]>::try_from(data).ok()?.into()),
        _ => None,
    }
}

impl ureq::unversioned::resolver::Resolver for Resolver {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: ureq::unversioned::transport::NextTimeout,
    ) -> Result<ureq::unversioned::resolver::ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let found = self
            .look_up(host)
            .map_err(|reason| ureq::Error::Other(Box::new(NotFound { host: host.to_owned(), reason })))?;
        let mut addresses = ureq::unversioned::resolver::Resolver::empty(self);
        // As many as fit in what ureq takes.
        found.into_iter().take(16).for_each(|address| addresses.push(SocketAddr::new(address, port)));
        Ok(addresses)
    }
}

/// A host without an address, as it travels through ureq.
#[derive(Debug, thiserror::Error)]
#[error("cannot find the host {host:?}: {reason}")]
pub(super) struct NotFound {
    pub(super) host: String,
    pub(super) reason: String,
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;

    fn resolver(hosts: &str, configuration: &str, port: u16) -> (tempfile::TempDir, Resolver) {
        let dir = tempfile::tempdir().unwrap();
        let (hosts_file, configuration_file) = (dir.path().join("hosts"), dir.path().join("resolv.conf"));
        std::fs::write(&hosts_file, hosts).unwrap();
        std::fs::write(&configuration_file, configuration).unwrap();
        (dir, Resolver { hosts: hosts_file, configuration: configuration_file, port })
    }

    /// The answer of a server to `question`: an alias, and these addresses.
    fn reply(question: &[u8], addresses: &[&[u8]], flags: [u8; 2]) -> Vec<u8> {
        let mut message = question.to_vec();
        (message[2], message[3]) = (flags[0], flags[1]);
        message[7] = addresses.len() as u8 + 1;
        message.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 3, 1, b'a', 0]);
        for address in addresses {
            let kind = if address.len() == 4 { 1 } else { 28 };
            message.extend([1, b'a', 0, 0, kind, 0, 1, 0, 0, 0, 9, 0, address.len() as u8]);
            message.extend(*address);
        }
        message
    }

    #[test]
    fn hosts_come_first() {
        let (_dir, resolver) = resolver("# none\n10.0.0.1 a B.example # c\n::1 b.example\n", "", 1);
        assert_eq!(
            resolver.look_up("b.example").unwrap(),
            ["10.0.0.1".parse::<IpAddr>().unwrap(), Ipv6Addr::LOCALHOST.into()]
        );
        assert_eq!(resolver.look_up("10.1.2.3").unwrap(), ["10.1.2.3".parse::<IpAddr>().unwrap()]);
        assert_eq!(resolver.look_up("[::1]").unwrap(), [IpAddr::from(Ipv6Addr::LOCALHOST)]);
        assert_eq!(resolver.look_up("x.localhost").unwrap().len(), 2);
    }

    #[test]
    fn resolv_conf_is_understood() {
        let found = configuration(
            "nameserver 10.0.0.1\n; x\nnameserver fe80::1%eth0\nsearch a b.\noptions ndots:2 timeout:99 edns0\n",
        );
        assert_eq!(found.servers, ["10.0.0.1".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        assert_eq!((found.ndots, found.timeout.as_secs(), found.attempts), (2, 30, 2));
        assert_eq!(candidates("h", &found), ["h.a", "h.b", "h"]);
        assert_eq!(candidates("h.x.y", &found), ["h.x.y", "h.x.y.a", "h.x.y.b"]);
        assert_eq!(candidates("h.", &found), ["h"]);
        assert_eq!(configuration("").servers, [IpAddr::from(Ipv4Addr::LOCALHOST)]);
    }

    #[test]
    fn a_server_is_asked_and_a_truncated_answer_again_by_tcp() {
        let (udp, tcp, port) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            let port = udp.local_addr().unwrap().port();
            if let Ok(tcp) = TcpListener::bind(("127.0.0.1", port)) {
                break (udp, tcp, port);
            }
        };
        let server = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            for kind in [28, 1] {
                let (length, from) = udp.recv_from(&mut buffer).unwrap();
                assert_eq!(buffer[length - 3], kind);
                let mut forged = reply(&buffer[..length], &[&[6, 6, 6, 6]], [0x81, 0x80]);
                forged[0] ^= 0xff;
                udp.send_to(&forged, from).unwrap();
                if kind == 28 {
                    udp.send_to(&reply(&buffer[..length], &[&[1; 16]], [0x81, 0x80]), from).unwrap();
                } else {
                    udp.send_to(&reply(&buffer[..length], &[], [0x83, 0x80]), from).unwrap();
                }
            }
            let (mut stream, _) = tcp.accept().unwrap();
            let length = stream.read(&mut buffer).unwrap();
            let answer = reply(&buffer[2..length], &[&[10, 0, 0, 1], &[10, 0, 0, 2]], [0x81, 0x80]);
            stream.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat()).unwrap();
        });
        let (_dir, resolver) = resolver("", "nameserver 127.0.0.1\n", port);
        let found = resolver.look_up("registry.example").unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[2], "10.0.0.2".parse::<IpAddr>().unwrap());
        server.join().unwrap();
    }

    #[test]
    fn a_host_that_is_not_there_is_said_so() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            for _ in 0..2 {
                let (length, from) = udp.recv_from(&mut buffer).unwrap();
                udp.send_to(&reply(&buffer[..length], &[], [0x81, 0x83]), from).unwrap();
            }
        });
        let (_dir, resolver) = resolver("", "nameserver 127.0.0.1\n", port);
        assert_eq!(resolver.look_up("nobody.example").unwrap_err(), "it has no address");
        server.join().unwrap();
        assert!(resolver.look_up(&"a".repeat(64)).is_err());
    }

    proptest! {
        #[test]
        fn any_message_is_survived(message in prop::collection::vec(any::<u8>(), 0..120), keep in 0..40usize) {
            let question = Question::new("a.example", A).unwrap();
            let mut reply = question.bytes[..keep.min(question.bytes.len())].to_vec();
            reply.extend(message);
            if let Some(flags) = reply.get_mut(2) {
                *flags |= 0x80;
            }
            question.answer(&reply);
        }
    }
}
