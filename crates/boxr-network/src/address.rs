//! Subnets and hardware addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;

/// A subnet such as `10.88.0.0/16`, without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    base: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The subnet of this length that `address` is in; `None` when the length is too great.
    pub fn of(address: IpAddr, prefix: u8) -> Option<Self> {
        if prefix > width(address) {
            return None;
        }
        let base = from_bits(address, bits(address) & mask(width(address), prefix));
        Some(Self { base, prefix })
    }

    /// Its first address.
    pub fn base(&self) -> IpAddr {
        self.base
    }

    /// Its length in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is one of IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.base.is_ipv6()
    }

    /// Its last address, which IPv4 uses for broadcast.
    pub fn last(&self) -> IpAddr {
        from_bits(self.base, bits(self.base) | !mask(width(self.base), self.prefix) & all(width(self.base)))
    }

    /// The address that is `offset` after the first one, if it is inside.
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        let address = from_bits(self.base, bits(self.base).checked_add(offset)?);
        self.contains(address).then_some(address)
    }

    /// How far `address` is from the first one.
    pub fn offset(&self, address: IpAddr) -> u128 {
        bits(address).wrapping_sub(bits(self.base))
    }

    /// How many addresses it has, less one.
    pub fn span(&self) -> u128 {
        !mask(width(self.base), self.prefix) & all(width(self.base))
    }

    /// Whether `address` is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.base.is_ipv4()
            && bits(address) & mask(width(address), self.prefix) == bits(self.base)
    }

    /// Whether the two have addresses in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }

    /// Whether all of `other` is inside.
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.base)
    }

    /// Whether a host can have `address`: neither the name of an IPv4 subnet nor its broadcast address.
    pub fn is_host(&self, address: IpAddr) -> bool {
        self.contains(address)
            && address != self.base
            && (self.is_ipv6() || self.prefix >= 31 || address != self.last())
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn all(width: u8) -> u128 {
    if width == 32 { u128::from(u32::MAX) } else { u128::MAX }
}

fn mask(width: u8, prefix: u8) -> u128 {
    let host = u32::from(width - prefix.min(width));
    u128::MAX.checked_shl(host).unwrap_or(0) & all(width)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// An address of the family of `like`.
fn from_bits(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        // The callers' arithmetic stays in 32 bits; what does not is no address of the subnet.
        IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(bits).unwrap_or(0)).into(),
        IpAddr::V6(_) => Ipv6Addr::from(bits).into(),
    }
}

/// The bytes of an address in the order of the network.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The address that these bytes are.
pub(crate) fn from_octets(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).into())
}

impl FromStr for Subnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why: &str| Error::invalid("subnet", text, why);
        let (address, prefix) =
            text.split_once('/').ok_or_else(|| invalid("not ADDRESS/LENGTH such as 10.5.0.0/24"))?;
        let address: IpAddr = address.parse().map_err(|_| invalid("not an IP address"))?;
        let prefix: u8 = prefix.parse().map_err(|_| invalid("the length is not a number"))?;
        let subnet = Self::of(address, prefix).ok_or_else(|| invalid("the length is too great"))?;
        if subnet.base != address {
            return Err(invalid(&format!("not the first address; {subnet} is")));
        }
        Ok(subnet)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// The one that goes with an IPv4 address (docker's rule): as unique as that is in its network, and the same
    /// again when the address is given again, so that no neighbour keeps a stale one.
    pub fn of(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }
}

impl FromStr for MacAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why: &str| Error::invalid("hardware address", text, why);
        let mut bytes = [0u8; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2);
            let parsed = part.and_then(|part| u8::from_str_radix(part, 16).ok());
            *byte = parsed.ok_or_else(|| invalid("not six pairs of hexadecimal digits"))?;
        }
        if parts.next().is_some() {
            return Err(invalid("not six pairs of hexadecimal digits"));
        }
        if bytes[0] & 1 == 1 {
            return Err(invalid("this is one for groups (its first byte is odd)"));
        }
        if bytes == [0; 6] {
            return Err(invalid("all zero"));
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// In files both are what people write.
macro_rules! as_text {
    ($kind:ty) => {
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Subnet);
as_text!(MacAddress);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn a_subnet_knows_its_hosts() {
        let net = subnet("10.88.0.0/16");
        assert_eq!(net.nth(1).unwrap().to_string(), "10.88.0.1");
        assert_eq!(net.last().to_string(), "10.88.255.255");
        assert!(!net.is_host(net.base()) && !net.is_host(net.last()));
        assert_eq!(net.nth(65536), None);
        let six = subnet("fd00:1::/64");
        assert_eq!(six.nth(2).unwrap().to_string(), "fd00:1::2");
        assert!(!six.contains("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_subnet_is_said() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/x", "x/8", "::/129"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
        let told = "10.1.2.3/24".parse::<Subnet>().unwrap_err().to_string();
        assert!(told.contains("10.1.2.0/24"), "{told}");
    }

    #[test]
    fn hardware_addresses_are_checked() {
        assert_eq!("02:42:0a:58:00:02".parse::<MacAddress>().unwrap().to_string(), "02:42:0a:58:00:02");
        for text in [
            "",
            "02:42",
            "03:42:0a:58:00:02",
            "02:42:0a:58:00:02:01",
            "0x:42:0a:58:00:02",
            "00:00:00:00:00:00",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn overlap_is_a_common_address(a: u32, b: u32, p in 0u8..=32, q in 0u8..=32) {
            let one = Subnet::of(Ipv4Addr::from(a).into(), p).unwrap();
            let two = Subnet::of(Ipv4Addr::from(b).into(), q).unwrap();
            let common = one.contains(two.base()) || one.contains(two.last())
                || two.contains(one.base()) || two.contains(one.last());
            prop_assert_eq!(one.overlaps(&two), common);
            prop_assert_eq!(one.to_string().parse::<Subnet>().unwrap(), one);
        }

        #[test]
        fn an_address_is_where_its_offset_says(a: u128, p in 0u8..=128, b: u128) {
            let net = Subnet::of(Ipv6Addr::from(a).into(), p).unwrap();
            let offset = b & net.span();
            let address = net.nth(offset).unwrap();
            prop_assert!(net.contains(address));
            prop_assert_eq!(net.offset(address), offset);
        }
    }
}
