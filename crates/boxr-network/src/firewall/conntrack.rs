//! Connections that the kernel remembers (`<linux/netfilter/nfnetlink_conntrack.h>`).
//!
//! Who has sent datagrams to a port is remembered, with where they went: a rule that is made afterwards does not
//! change that as long as datagrams come. So what is remembered of a UDP port goes when the port's way changes.

use boxr_sys::netlink::{Body, DUMP, Message, Netlink, attributes};
use rustix::io::Errno;

use super::Forward;
use crate::address::from_octets;
use crate::error::Error;
use crate::port::Protocol;

/// `NFNL_SUBSYS_CTNETLINK`, `IPCTNL_MSG_CT_GET`, `IPCTNL_MSG_CT_DELETE`.
const CONNTRACK: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;
/// `struct nfgenmsg`
const FIXED: usize = 4;
/// `CTA_TUPLE_ORIG`, `CTA_ZONE`; `CTA_TUPLE_IP`, `CTA_TUPLE_PROTO`; `CTA_PROTO_NUM`, `CTA_PROTO_DST_PORT`.
const ORIGINAL: u16 = 1;
const ZONE: u16 = 18;
const ADDRESSES: u16 = 1;
const PROTOCOL: u16 = 2;
const NUMBER: u16 = 1;
const PORT: u16 = 3;
/// `CTA_IP_V4_DST`, `CTA_IP_V6_DST`
const DESTINATIONS: [u16; 2] = [2, 4];

/// Forgets what went to these ports, as far as they are of UDP.
pub(super) fn forget(socket: &mut Netlink, forwards: &[Forward]) -> Result<(), Error> {
    let udp: Vec<&Forward> = forwards.iter().filter(|forward| forward.protocol == Protocol::Udp).collect();
    if udp.is_empty() {
        return Ok(());
    }
    let failed = |errno| Error::Firewall { what: "remembered connections".to_owned(), errno };
    for family in [2u8, 10] {
        let all = match socket.ask(CONNTRACK << 8 | GET, DUMP, &Body::new(&[family, 0, 0, 0])) {
            // Nothing is remembered where the kernel has no such thing.
            Err(Errno::OPNOTSUPP | Errno::INVAL) => continue,
            all => all.map_err(failed)?,
        };
        for entry in all.iter().filter(|entry| udp.iter().any(|forward| is_to(entry, forward))) {
            match socket.ask(CONNTRACK << 8 | DELETE, 0, &same(family, entry)) {
                // It has ended meanwhile.
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
    }
    Ok(())
}

/// Whether an entry began with a packet to this port of the host's.
fn is_to(entry: &Message, forward: &Forward) -> bool {
    let find = |list: &[u8], wanted: u16| -> Option<Vec<u8>> {
        attributes(list).into_iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| value.to_vec())
    };
    let attributes = entry.attributes(FIXED);
    let Some((_, original)) = attributes.iter().find(|(kind, _)| *kind == ORIGINAL) else { return false };
    let protocol = find(original, PROTOCOL).unwrap_or_default();
    let destination = find(original, ADDRESSES)
        .and_then(|list| from_octets(&DESTINATIONS.iter().find_map(|kind| find(&list, *kind))?));
    find(&protocol, NUMBER).as_deref() == Some(&[forward.protocol.number()])
        && find(&protocol, PORT).as_deref() == Some(&forward.port.to_be_bytes())
        && destination.is_some_and(|address| {
            address.is_ipv6() == forward.to.0.is_ipv6() && forward.ip.is_none_or(|ip| ip == address)
        })
}

/// What names this entry.
fn same(family: u8, entry: &Message) -> Body {
    let kept = entry.attributes(FIXED).into_iter().filter(|(kind, _)| matches!(*kind, ORIGINAL | ZONE));
    kept.fold(Body::new(&[family, 0, 0, 0]), |body, (kind, value)| {
        // The original tuple holds attributes.
        let nested = if kind == ORIGINAL { 0x8000 } else { 0 };
        body.with(kind | nested, value)
    })
}
