//! Elements of the sets and maps of boxr's table.

use std::fmt;
use std::net::IpAddr;

use boxr_sys::netlink::Body;
pub(super) use boxr_sys::netlink::{CREATE, CREATE_NEW};

use super::expression::{DATA_VALUE, LIST_ELEMENT};
use super::{Source, TABLE, table};
use crate::address::{Subnet, octets};
use crate::port::Protocol;

/// `NFTA_SET_ELEM_LIST_…`
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
/// `NFTA_SET_ELEM_…`
const KEY: u16 = 1;
const DATA: u16 = 2;
const FLAGS: u16 = 3;
/// `NFT_SET_ELEM_INTERVAL_END`
const INTERVAL_END: u32 = 1;

/// A port of the host's that leads into a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forward {
    /// The host's address; all of the family of `to` when `None`.
    pub ip: Option<IpAddr>,
    /// The host's port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The container's address and port.
    pub to: (IpAddr, u16),
}

impl fmt::Display for Forward {
    /// As nft(8) lists it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (to, port) = self.to;
        write!(f, "map {}: ", table::ports(to.is_ipv6(), self.ip.is_some()))?;
        if let Some(ip) = self.ip {
            write!(f, "{ip} . ")?;
        }
        write!(f, "{} . {} : {to} . {port}", self.protocol.name(), self.port)
    }
}

/// One element: its set, its key, and what a map has for it.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    set: &'static str,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    end: bool,
}

impl Element {
    fn new(set: &'static str, key: Vec<u8>) -> Self {
        Self { set, key, value: None, end: false }
    }

    /// A bridge of boxr's.
    pub(super) fn bridge(name: &str) -> Self {
        Self::new(table::BRIDGES, device(name))
    }

    /// A bridge that others reach by published ports only.
    pub(super) fn closed(name: &str) -> Self {
        Self::new(table::CLOSED, device(name))
    }

    /// A bridge that nothing leaves.
    pub(super) fn internal(name: &str) -> Self {
        Self::new(table::INTERNAL, device(name))
    }

    /// The way from a bridge into itself.
    pub(super) fn within(name: &str) -> Self {
        Self::new(table::WITHIN, [device(name), device(name)].concat())
    }

    /// A subnet whose packets leave so: where it begins and where it has ended.
    pub(super) fn subnet(subnet: &Subnet, source: Source) -> Vec<Self> {
        let set = table::sources(subnet.is_ipv6(), source);
        let mut both = vec![Self::new(set, octets(subnet.base()))];
        if let Some(after) = after(&octets(subnet.last())) {
            both.push(Self { end: true, ..Self::new(set, after) });
        }
        both
    }

    /// A published port.
    pub(super) fn forward(forward: &Forward) -> Self {
        let (to, port) = forward.to;
        let set = table::ports(to.is_ipv6(), forward.ip.is_some());
        let mut key = forward.ip.map(octets).unwrap_or_default();
        key.extend([forward.protocol.number(), 0, 0, 0]);
        key.extend(padded(forward.port));
        let value = [octets(to), padded(port).to_vec()].concat();
        Self { value: Some(value), ..Self::new(set, key) }
    }

    /// With what a map has for it.
    pub(super) fn whole(&self, body: Body) -> Body {
        self.encode(body, self.value.as_deref())
    }

    /// The key alone.
    pub(super) fn only(&self, body: Body) -> Body {
        self.encode(body, None)
    }

    fn encode(&self, body: Body, value: Option<&[u8]>) -> Body {
        body.with_text(LIST_TABLE, TABLE).with_text(LIST_SET, self.set).with_nested(LIST_ELEMENTS, |list| {
            list.with_nested(LIST_ELEMENT, |element| {
                let mut element = element.with_nested(KEY, |key| key.with(DATA_VALUE, &self.key));
                if let Some(value) = value {
                    element = element.with_nested(DATA, |data| data.with(DATA_VALUE, value));
                }
                if self.end { element.with_be32(FLAGS, INTERVAL_END) } else { element }
            })
        })
    }
}

/// A device's name as a key.
fn device(name: &str) -> Vec<u8> {
    let mut key = name.as_bytes().to_vec();
    key.resize(table::NAME_LENGTH as usize, 0);
    key
}

/// Parts of a key begin at multiples of four bytes.
fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// The number after this one; `None` after the greatest.
fn after(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    for byte in bytes.iter_mut().rev() {
        let (next, carried) = byte.overflowing_add(1);
        *byte = next;
        if !carried {
            return Some(bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_after_carries() {
        assert_eq!(after(&[10, 88, 255, 255]), Some(vec![10, 89, 0, 0]));
        assert_eq!(after(&[255; 4]), None);
    }
}
