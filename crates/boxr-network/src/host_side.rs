//! How a container without privilege reaches the host.
//!
//! pasta gives a container the host's own address, at which it finds itself. One that is to reach the host has an
//! address of its own instead, and its way out leads through the neighbouring one: the host's side. Where that was
//! asked for, what is sent to the host's side comes to the host's loopback interface.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::helper::{Ends, NAME_SERVER};

/// The host's side where nothing else was said; podman's choice for the same.
pub(crate) const USUAL: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);

/// At which address a container is to find the host's loopback interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostLoopback {
    /// At the helper's choice.
    Usual,
    /// Here.
    At(Ipv4Addr),
}

impl FromStr for HostLoopback {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why| Error::invalid("address for the host's loopback interface", text, why);
        let address: Ipv4Addr = text.parse().map_err(|_| invalid("it is no address of IPv4"))?;
        let side = HostSide { at: address, has_loopback: true };
        let is_ones = |address: Ipv4Addr| {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_broadcast())
        };
        if !is_ones(address) || !is_ones(side.own()) {
            return Err(invalid("no device can have it or its neighbour"));
        }
        if [address, side.own()].iter().any(|one| one.to_string() == NAME_SERVER) {
            return Err(invalid("pasta answers names there, or at its neighbour"));
        }
        Ok(Self::At(address))
    }
}

/// The other end of a container's own device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostSide {
    /// Its address.
    pub at: Ipv4Addr,
    /// Whether the host's loopback interface is there.
    pub has_loopback: bool,
}

impl HostSide {
    /// The length of the subnet that has nothing but the two ends (RFC 3021).
    const PREFIX: u8 = 31;

    /// The container's end.
    pub(crate) fn own(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.at.to_bits() ^ 1)
    }

    /// The same as a device's.
    pub(crate) fn ends(self, device: &'static str) -> Ends {
        Ends { device, own: self.own().into(), other: self.at.into(), prefix: Self::PREFIX }
    }
}

impl HostLoopback {
    /// For pasta.
    pub(crate) fn side(self) -> HostSide {
        let at = match self {
            Self::Usual => USUAL,
            Self::At(address) => address,
        };
        HostSide { at, has_loopback: true }
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
        let side = |text: &str| text.parse::<HostLoopback>().map(HostLoopback::side);
        assert_eq!(side("10.9.0.4").unwrap().own().to_string(), "10.9.0.5");
        assert_eq!(HostLoopback::Usual.side().own().to_string(), "169.254.1.3");
        for text in
            ["127.0.0.1", "0.0.0.0", "0.0.0.1", "224.0.0.1", "255.255.255.254", "169.254.1.0", "::1", "x"]
        {
            assert!(side(text).is_err(), "{text}");
        }
    }
}
