//! Published ports: what `-p` says.
//!
//! docker's forms: `80`, `8080:80`, `127.0.0.1:8080:80`, `127.0.0.1::80`, `[::1]:8080:80`, ranges on either
//! side, `/tcp`, `/udp` or `/sctp` behind, and `published=8080,target=80,protocol=tcp`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A protocol with ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Its number (protocols(5)).
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|known| text.eq_ignore_ascii_case(known.name()))
    }
}

/// Ports from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// At least 1.
    pub first: u16,
    /// At least `first`.
    pub last: u16,
}

impl PortRange {
    /// How many they are.
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// All of them.
    pub fn ports(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        if last < first {
            return Err(format!("the range {text} ends before it begins"));
        }
        Ok(Self { first, last })
    }
}

/// A port number as people write one.
fn port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(0) => Err("port 0 is none".to_owned()),
        Ok(number) if digits => Ok(number),
        _ if digits => Err(format!("port {text} is greater than 65535")),
        _ => Err(format!("{text:?} is not a port")),
    }
}

/// One `-p`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    /// The host's address; all of them when `None`.
    pub ip: Option<IpAddr>,
    /// The host's ports; any free one for each when `None`. More than the container's: one of these is taken.
    pub host: Option<PortRange>,
    /// The container's ports.
    pub container: PortRange,
    /// The protocol.
    pub protocol: Protocol,
}

impl PortSpec {
    /// One port of the container's, on any free port of the host's (`-P`).
    pub fn any(container: u16, protocol: Protocol) -> Self {
        let container = PortRange { first: container, last: container };
        Self { ip: None, host: None, container, protocol }
    }

    /// What each port of the container's may be on the host.
    pub fn pairs(&self) -> Vec<(HostPort, u16)> {
        let choose = self.host.filter(|host| host.count() > self.container.count());
        let host = |index: u32| match (choose, self.host) {
            (Some(range), _) => HostPort::OneOf(range),
            (None, Some(range)) => HostPort::Exactly(range.first.saturating_add(index as u16)),
            (None, None) => HostPort::Any,
        };
        (0..).zip(self.container.ports()).map(|(index, port)| (host(index), port)).collect()
    }
}

/// What a port on the host may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPort {
    /// This one.
    Exactly(u16),
    /// The first free one of these.
    OneOf(PortRange),
    /// Any that is free.
    Any,
}

impl FromStr for PortSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = if text.contains('=') { parse_keys(text) } else { parse_colons(text) };
        parsed.map_err(|why| Error::invalid("port", text, &why))
    }
}

fn parse_keys(text: &str) -> Result<PortSpec, String> {
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is not KEY=VALUE"))?;
        match key {
            "published" => published = value,
            "target" => target = value,
            "protocol" => protocol = value,
            // How a swarm publishes; there is one way here.
            "mode" if value == "host" || value == "ingress" => {}
            _ => return Err(format!("no such key or value: {part}")),
        }
    }
    parse_colons(&format!("{published}:{target}/{protocol}"))
}

fn parse_colons(text: &str) -> Result<PortSpec, String> {
    let (rest, protocol) = match text.split_once('/') {
        Some((rest, word)) => {
            (rest, Protocol::parse(word).ok_or(format!("{word:?} is not tcp, udp or sctp"))?)
        }
        None => (text, Protocol::Tcp),
    };
    let (rest, container) = rest.rsplit_once(':').map_or((None, rest), |(rest, last)| (Some(rest), last));
    if container.is_empty() {
        return Err("the port of the container is missing".to_owned());
    }
    let container = PortRange::parse(container)?;
    let (ip, host) = match rest {
        None => (None, ""),
        Some(rest) => match rest.rsplit_once(':') {
            None => (None, rest),
            Some((ip, host)) => (Some(address(ip)?), host),
        },
    };
    let host = if host.is_empty() { None } else { Some(PortRange::parse(host)?) };
    if let Some(host) = host
        && host.count() != container.count()
        && container.count() != 1
    {
        return Err("the two ranges are not equally long".to_owned());
    }
    Ok(PortSpec { ip, host, container, protocol })
}

fn address(text: &str) -> Result<IpAddr, String> {
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let parsed = inner.parse().map(IpAddr::V6);
        return parsed.map_err(|_| format!("{inner:?} is not an IPv6 address"));
    }
    if text.contains(':') {
        return Err("an IPv6 address is written in brackets: [::1]:8080:80".to_owned());
    }
    // docker's words for all addresses and for this host.
    match text {
        "" => Err("the address is missing".to_owned()),
        "localhost" => Ok(std::net::Ipv4Addr::LOCALHOST.into()),
        _ => text.parse().map_err(|_| format!("{text:?} is not an IP address")),
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.map(|host| host.to_string()).unwrap_or_default();
        match self.ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{host}:")?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:{host}:")?,
            None if self.host.is_some() => write!(f, "{host}:")?,
            None => {}
        }
        write!(f, "{}/{}", self.container, self.protocol.name())
    }
}

/// One port of the host's that leads to one of the container's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The host's address; all of them when `None`.
    pub ip: Option<IpAddr>,
    /// The host's port.
    pub host: u16,
    /// The container's port.
    pub container: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.host)?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.host)?,
            None => write!(f, "0.0.0.0:{}", self.host)?,
        }
        write!(f, "->{}/{}", self.container, self.protocol.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec(text: &str) -> PortSpec {
        text.parse().unwrap()
    }

    #[test]
    fn each_form_is_read() {
        for (text, written) in [
            ("80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            (":80", "80/tcp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
            ("127.0.0.1::80/udp", "127.0.0.1::80/udp"),
            ("[::1]:8080:80/SCTP", "[::1]:8080:80/sctp"),
            ("8000-8002:80-82", "8000-8002:80-82/tcp"),
            ("8000-8010:80", "8000-8010:80/tcp"),
            ("80-82", "80-82/tcp"),
            ("localhost:1:2", "127.0.0.1:1:2/tcp"),
            ("published=8080,target=80,protocol=udp", "8080:80/udp"),
            ("target=80", "80/tcp"),
        ] {
            assert_eq!(spec(text).to_string(), written, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, word) in [
            ("", "missing"),
            ("8080:", "missing"),
            ("0:80", "port 0"),
            ("80:0", "port 0"),
            ("65536", "65535"),
            ("+80", "not a port"),
            ("a:80", "not a port"),
            ("90-80", "before it begins"),
            ("1-3:1-2", "equally long"),
            ("::1:8080:80", "brackets"),
            ("[10.0.0.1]:1:2", "IPv6"),
            ("1.2.3:1:2", "not an IP address"),
            ("80/icmp", "icmp"),
            ("target=80,colour=red", "colour"),
        ] {
            let told = text.parse::<PortSpec>().unwrap_err().to_string();
            assert!(told.contains(word), "{text}: {told}");
        }
    }

    #[test]
    fn ranges_go_side_by_side_or_give_a_choice() {
        use HostPort::{Any, Exactly, OneOf};
        assert_eq!(spec("8000-8001:80-81").pairs(), [(Exactly(8000), 80), (Exactly(8001), 81)]);
        assert_eq!(spec("80-81").pairs(), [(Any, 80), (Any, 81)]);
        assert_eq!(spec("8000-8001:80").pairs(), [(OneOf(PortRange { first: 8000, last: 8001 }), 80)]);
        assert_eq!(spec("1-65535:1-65535").pairs().len(), 65535);
    }

    fn range() -> impl Strategy<Value = PortRange> {
        (1u16.., 0u16..200).prop_map(|(first, more)| PortRange { first, last: first.saturating_add(more) })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            ip in proptest::option::of(any::<IpAddr>()),
            container in range(),
            host in proptest::option::of(1u16..),
            protocol in prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)],
        ) {
            let span = container.last - container.first;
            let host = host.map(|first| first.min(u16::MAX - span))
                .map(|first| PortRange { first, last: first + span });
            let spec = PortSpec { ip, host, container, protocol };
            prop_assert_eq!(spec.to_string().parse::<PortSpec>().unwrap(), spec);
        }

        #[test]
        fn no_text_is_too_strange(text in ".*") {
            if let Ok(spec) = text.parse::<PortSpec>() {
                prop_assert!(!spec.pairs().is_empty());
            }
        }

        #[test]
        fn no_text_of_its_letters_is_too_strange(text in "[0-9:.\\[\\]/,=a-z-]{0,24}") {
            if let Ok(spec) = text.parse::<PortSpec>() {
                prop_assert_eq!(spec.pairs().len() as u32, spec.container.count());
            }
        }
    }
}
