//! Which hosts a sandbox may reach: `HOST[:PORT]`, `*.example.org`, an address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostRule {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// This name.
    Name(String),
    /// All names below this one.
    Below(String),
    /// This address.
    Address(IpAddr),
}

impl FromStr for HostRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = split(text)?;
        let host = match (host.parse::<IpAddr>(), host.strip_prefix("*.")) {
            (Ok(address), _) => Host::Address(address.to_canonical()),
            (Err(_), Some(domain)) => Host::Below(name(domain)?),
            (Err(_), None) => Host::Name(name(host)?),
        };
        Ok(Self { host, port })
    }
}

/// Host and port; an address of IPv6 with a port is in brackets.
fn split(text: &str) -> Result<(&str, Option<u16>), String> {
    let number = |port: &str| match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(format!("{port:?} is no port")),
    };
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        address.parse::<Ipv6Addr>().map_err(|_| format!("{address:?} is no address of IPv6"))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, number(port)?)),
            None if rest.is_empty() => Ok((address, None)),
            None => Err(format!("{rest:?} follows the address")),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    match text.split_once(':') {
        Some((host, port)) => Ok((host, number(port)?)),
        None => Ok((text, None)),
    }
}

/// A name of a host in small letters, without a dot at its end.
fn name(text: &str) -> Result<String, String> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    let good = |label: &str| {
        (1..64).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    match bare.len() <= 253 && bare.split('.').all(good) {
        true => Ok(bare.to_ascii_lowercase()),
        false => Err(format!("{text:?} is no name of a host")),
    }
}

impl HostRule {
    /// Whether `host` on `port` is meant. `host` is a name or an address as a client wrote it.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        let bare = host.trim_matches(['[', ']']);
        match (&self.host, bare.parse::<IpAddr>()) {
            (Host::Address(own), Ok(address)) => *own == address.to_canonical(),
            (_, Ok(_)) | (Host::Address(_), Err(_)) => false,
            (Host::Name(own), Err(_)) => name(bare).is_ok_and(|asked| asked == *own),
            (Host::Below(domain), Err(_)) => name(bare).is_ok_and(|asked| {
                asked
                    .strip_suffix(domain.as_str())
                    .is_some_and(|front| front.len() > 1 && front.ends_with('.'))
            }),
        }
    }

    /// Whether it names the machine itself or an address, so that whoever wrote it has meant a private one too.
    pub fn is_literal(&self) -> bool {
        match &self.host {
            Host::Address(_) => true,
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Below(_) => false,
        }
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (Host::Address(IpAddr::V6(address)), Some(_)) => write!(f, "[{address}]")?,
            (Host::Address(address), _) => write!(f, "{address}")?,
            (Host::Name(name), _) => write!(f, "{name}")?,
            (Host::Below(domain), _) => write!(f, "*.{domain}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl TryFrom<String> for HostRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HostRule> for String {
    fn from(rule: HostRule) -> Self {
        rule.to_string()
    }
}

/// Whether an address is one of the internet's, not one that only this machine, its link or its own network reaches
/// (RFC 6890 and its registries). What embeds an address of IPv4 counts as that.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            !(a == 0
                || a == 10
                || a == 127
                || (a == 100 && b & 0xc0 == 64)
                || (a == 169 && b == 254)
                || (a == 172 && b & 0xf0 == 16)
                || (a == 192 && b == 168)
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && b & 0xfe == 18)
                || a >= 224)
        }
        IpAddr::V6(address) => match address.segments() {
            // ::, ::1 and the old form of embedded addresses.
            [0, 0, 0, 0, 0, 0, ..] => false,
            // NAT64 and 6to4 lead to the address within.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
                is_public(IpAddr::from([a, b, c, d]))
            }
            [0x64, 0xff9b, 1, ..] => false,
            [0x2001, 0, ..] => false,
            // What is given to the internet is 2000::/3: link-local, unique local and multicast are not.
            [first, ..] => first & 0xe000 == 0x2000,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> HostRule {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_ports_and_wildcards() {
        assert!(
            rule("example.org").allows("Example.ORG.", 443) && rule("example.org").allows("example.org", 1)
        );
        assert!(
            rule("example.org:443").allows("example.org", 443)
                && !rule("example.org:443").allows("example.org", 80)
        );
        assert!(
            !rule("example.org").allows("a.example.org", 443)
                && !rule("example.org").allows("badexample.org", 443)
        );
        let below = rule("*.example.org");
        assert!(below.allows("a.example.org", 1) && below.allows("a.b.example.org", 1));
        assert!(
            !below.allows("example.org", 1)
                && !below.allows("xexample.org", 1)
                && !below.allows(".example.org", 1)
        );
        assert!(
            rule("[2001:db8::1]:80").allows("[2001:db8::1]", 80)
                && rule("10.0.0.1").allows("::ffff:10.0.0.1", 80)
        );
        assert!(!rule("*.0.0.1").allows("10.0.0.1", 80), "an address is no name");
        for text in [
            "", "a b", "a..b", "*.", "*", "a:0", "a:65536", "a:x", "[::1", "[a]:1", "a*b.c", "-a/b",
            "http://a",
        ] {
            assert!(text.parse::<HostRule>().is_err(), "{text}");
        }
        for text in ["example.org:443", "*.example.org", "[2001:db8::1]:80", "10.0.0.1"] {
            assert_eq!(rule(text).to_string(), text);
        }
    }

    #[test]
    fn addresses_of_this_machine_and_its_networks_are_told_from_the_internets() {
        for text in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "::7f00:1",
            "2001::1",
            "64:ff9b:1::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:101:101::",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
