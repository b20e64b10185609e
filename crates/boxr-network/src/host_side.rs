//! How a container without privilege reaches the host.
//!
//! pasta gives a container the host's own address, at which it finds itself. One that is to reach the host has an
//! address of its own instead, and its way out leads through the neighbouring one: the host's side. Where that was
//! asked for, what is sent to the host's side comes to the host's loopback interface.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::helper::{Ends, NAME_SERVER};

/// The host's side where nothing else was said; podman's choice for the same.
pub(crate) const USUAL: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
/// The same of IPv6 (RFC 4193).
const USUAL6: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x6f78, 0x7278, 0, 0, 0, 0, 2);

/// At which address a container is to find the host's loopback interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostLoopback {
    /// At the helper's choice.
    Usual,
    /// Here.
    At(Ipv4Addr),
    /// Here, by IPv6.
    At6(Ipv6Addr),
    /// At both.
    AtBoth(Ipv4Addr, Ipv6Addr),
}

impl FromStr for HostLoopback {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why| Error::invalid("address for the host's loopback interface", text, why);
        let address: IpAddr = text.parse().map_err(|_| invalid("it is no address"))?;
        match address {
            IpAddr::V4(address) => check(address).map(|()| Self::At(address)),
            IpAddr::V6(address) => check6(address).map(|()| Self::At6(address)),
        }
        .map_err(invalid)
    }
}

fn check(address: Ipv4Addr) -> Result<(), &'static str> {
    let pair = [address, neighbour(address)];
    let is_ones = |address: &Ipv4Addr| {
        !(address.is_loopback()
            || address.is_unspecified()
            || address.is_multicast()
            || address.is_broadcast())
    };
    if !pair.iter().all(is_ones) {
        return Err("no device can have it or its neighbour");
    }
    match pair.iter().any(|one| one.to_string() == NAME_SERVER) {
        true => Err("pasta answers names there, or at its neighbour"),
        false => Ok(()),
    }
}

fn check6(address: Ipv6Addr) -> Result<(), &'static str> {
    let is_ones = |address: &Ipv6Addr| {
        !(address.is_loopback()
            || address.is_unspecified()
            || address.is_multicast()
            || address.to_ipv4_mapped().is_some())
    };
    if address.is_unicast_link_local() {
        return Err("an address of a link does not say on which it is: one of fd00::/8 does");
    }
    match [address, neighbour6(address)].iter().all(is_ones) {
        true => Ok(()),
        false => Err("no device can have it or its neighbour"),
    }
}

/// The other address of a subnet that has nothing but the two ends (RFC 3021).
fn neighbour(address: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() ^ 1)
}

fn neighbour6(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() ^ 1)
}

/// The other end of a container's own device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostSide {
    /// Its address.
    pub at: Ipv4Addr,
    /// That of IPv6, where it has one of its own.
    pub at6: Option<Ipv6Addr>,
    /// Whether the host's loopback interface is there.
    pub has_loopback: bool,
}

impl HostSide {
    /// The length of the subnet that has nothing but the two ends (RFC 3021).
    const PREFIX: u8 = 31;

    /// The host's side of a container that has its own address for it, and not the loopback interface.
    pub(crate) const PLAIN: Self = Self { at: USUAL, at6: None, has_loopback: false };

    /// The same as a device's.
    pub(crate) fn ends(self, device: &'static str) -> Ends {
        Ends { device, own: neighbour(self.at).into(), other: self.at.into(), prefix: Self::PREFIX }
    }

    /// The container's end, and this one, of IPv6.
    pub(crate) fn ends6(self) -> Option<[Ipv6Addr; 2]> {
        self.at6.map(|at| [neighbour6(at), at])
    }
}

impl HostLoopback {
    /// What is said of both kinds of addresses; of one kind the later counts.
    pub fn and(self, later: Self) -> Self {
        let at = later.said().0.or(self.said().0);
        match (at, later.said().1.or(self.said().1)) {
            (Some(at), Some(at6)) => Self::AtBoth(at, at6),
            (Some(at), None) => Self::At(at),
            (None, Some(at6)) => Self::At6(at6),
            (None, None) => Self::Usual,
        }
    }

    /// The addresses that were said.
    fn said(self) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        match self {
            Self::Usual => (None, None),
            Self::At(at) => (Some(at), None),
            Self::At6(at6) => (None, Some(at6)),
            Self::AtBoth(at, at6) => (Some(at), Some(at6)),
        }
    }

    /// Whether it must be reached by IPv6.
    pub(crate) fn needs_ipv6(self) -> bool {
        self.said().1.is_some()
    }

    /// For pasta, which leads there by both kinds of addresses or by none.
    pub(crate) fn side(self, has_ipv6: bool) -> HostSide {
        let (at, at6) = self.said();
        let at6 = has_ipv6.then_some(at6.unwrap_or(USUAL6));
        HostSide { at: at.unwrap_or(USUAL), at6, has_loopback: true }
    }

    /// What /etc/hosts has of it: what was said, and otherwise what everything understands.
    pub(crate) fn for_hosts(self) -> (IpAddr, Option<IpAddr>) {
        match self {
            Self::Usual => (USUAL.into(), None),
            Self::At(at) => (at.into(), None),
            Self::At6(at6) => (at6.into(), None),
            Self::AtBoth(at, at6) => (at.into(), Some(at6.into())),
        }
    }
}

/// The address from which the host speaks to others, if it does. Nothing is sent for it.
pub(crate) fn address_of_host() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // Any address elsewhere (RFC 5737), and the port that discards.
    socket.connect(("192.0.2.1", 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback())
}

/// A device of the host's with an address of IPv6 that others reach (`if_inet6` of proc_net(5)).
pub(crate) fn device_with_ipv6() -> Option<String> {
    // Without IPv6 there is no such file.
    let text = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    text.lines().find_map(with_global_address).map(str::to_owned)
}

fn with_global_address(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip(3);
    (words.next() == Some("00")).then(|| words.nth(1)).flatten()
}

/// Whether pasta gives a container IPv6: it does where the host has a default route (`ipv6_route` of proc_net(5)).
pub(crate) fn has_way_out_by_ipv6() -> bool {
    let text = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    text.lines().any(is_default_route)
}

fn is_default_route(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    // Those that refuse packets are lo's.
    matches!(words[..], [to, "00", .., device] if to.bytes().all(|digit| digit == b'0') && device != "lo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_of_ipv6_is_read() {
        assert_eq!(with_global_address("20010db8000000000000000000000002 1f 40 00 82      up0"), Some("up0"));
        assert_eq!(with_global_address("fe800000000000001c0a8afffe9dd2ce 1f 40 20 80      up0"), None);
        assert_eq!(with_global_address("00000000000000000000000000000001 01 80 10 80       lo"), None);
        let zeros = "0".repeat(32);
        let route = |to: &str, length: &str, device: &str| {
            format!(
                "{to} {length} {zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 {device}"
            )
        };
        assert!(is_default_route(&route(&zeros, "00", "up0")));
        assert!(!is_default_route(&route(&zeros, "00", "lo")));
        assert!(!is_default_route(&route("20010db8000000000000000000000000", "40", "up0")));
    }

    #[test]
    fn a_container_is_the_neighbour_of_the_host() {
        let said = |text: &str| text.parse::<HostLoopback>();
        let side = |text: &str| said(text).unwrap().side(true);
        assert_eq!(side("10.9.0.4").ends("eth0").own.to_string(), "10.9.0.5");
        assert_eq!(HostLoopback::Usual.side(false).ends("eth0").own.to_string(), "169.254.1.3");
        assert_eq!(HostLoopback::Usual.side(false).ends6(), None);
        let [own, other] = side("fd00:9::4").ends6().unwrap();
        assert_eq!((own.to_string(), other.to_string()), ("fd00:9::5".into(), "fd00:9::4".into()));
        for text in [
            "127.0.0.1",
            "0.0.0.0",
            "0.0.0.1",
            "224.0.0.1",
            "255.255.255.254",
            "169.254.1.0",
            "::1",
            "::",
            "x",
        ] {
            assert!(said(text).is_err(), "{text}");
        }
        for text in ["fe80::2", "ff02::1", "::ffff:10.9.0.4"] {
            assert!(said(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_address_of_each_kind_may_be_said() {
        let said = |text: &str| text.parse::<HostLoopback>().unwrap();
        let both = said("10.9.0.4").and(said("fd00:9::4"));
        assert_eq!(both, said("fd00:9::4").and(said("10.9.0.4")));
        assert_eq!(both.and(said("10.9.0.8")), said("10.9.0.8").and(said("fd00:9::4")));
        assert_eq!(HostLoopback::Usual.and(said("10.9.0.4")), said("10.9.0.4"));
        assert!(both.needs_ipv6() && !HostLoopback::Usual.needs_ipv6());
        let [four, six] = ["10.9.0.4", "fd00:9::4"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(both.for_hosts(), (four, Some(six)));
        assert_eq!(said("fd00:9::4").for_hosts(), (six, None));
    }
}
