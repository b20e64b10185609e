//! The fixed part of boxr's table, as nft(8) would list it:
//!
//! ```text
//! table inet boxr {
//!     set bridges { ifname }               boxr's bridges
//!     set within  { ifname . ifname }      each with itself
//!     set closed  { ifname }               those that others reach by published ports only
//!     set internal { ifname }              those that nothing leaves
//!     set masked4, masked6 { interval }    subnets that leave with the host's address
//!     set kept4, kept6 { interval }        subnets that leave with their own
//!     map ports4     { proto . port : address . port }            -p 8080:80
//!     map ports4at   { address . proto . port : address . port }  -p 127.0.0.1:8080:80; the same for IPv6
//!
//!     chain guard    raw         iifname @bridges ip daddr 127.0.0.0/8 drop
//!     chain arrive   dstnat      dnat to (address . proto . port) map @ports4at
//!                                fib daddr type local dnat to (proto . port) map @ports4
//!     chain local    dstnat of the host's own packets: the same
//!     chain forward  filter      ct state established,related accept
//!                                ct status dnat accept
//!                                iifname . oifname @within accept
//!                                oifname @closed drop
//!                                iifname @internal drop
//!     chain leave    srcnat      ct status dnat oifname @bridges ip saddr @masked4 masquerade, and for @kept4
//!                                ct status dnat oifname @bridges ip saddr 127.0.0.0/8 masquerade
//!                                ip saddr @masked4 oifname != @bridges masquerade
//! }
//! ```
//!
//! A container that reaches itself or its neighbour by a published port (hairpin) gets the bridge's address as source,
//! or the answer would not come back through here; so does the host itself from 127.0.0.1. Everybody else's
//! address is kept.

use boxr_sys::netlink::{Body, CREATE, CREATE_NEW, Request};

use super::expression::{Header, Member, Meta, Register, Rule, Verdict};
use super::{INET, Source, TABLE, message};

pub(super) const BRIDGES: &str = "bridges";
pub(super) const WITHIN: &str = "within";
pub(super) const CLOSED: &str = "closed";
pub(super) const INTERNAL: &str = "internal";

/// `IFNAMSIZ`
pub(super) const NAME_LENGTH: u32 = 16;
/// `NLM_F_APPEND`
const APPEND: u16 = 0x800;
/// `NFT_SET_INTERVAL`, `NFT_SET_MAP`.
const INTERVAL: u32 = 4;
const MAP: u32 = 8;
/// Of established and of related connections (`NF_CT_STATE_BIT`).
const KNOWN: u32 = 2 | 4;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// The map for published ports: of IPv6 or not, with an address of the host's or without.
pub(super) fn ports(ipv6: bool, at: bool) -> &'static str {
    match (ipv6, at) {
        (false, false) => "ports4",
        (false, true) => "ports4at",
        (true, false) => "ports6",
        (true, true) => "ports6at",
    }
}

/// The set of subnets that leave so: of IPv6 or not.
pub(super) fn sources(ipv6: bool, source: Source) -> &'static str {
    match (ipv6, source) {
        (false, Source::Masked) => "masked4",
        (true, Source::Masked) => "masked6",
        (false, Source::Kept) => "kept4",
        (true, Source::Kept) => "kept6",
    }
}

/// Types of keys, for who lists the table; nft(8)'s numbers, one in six bits where several are joined.
#[derive(Clone, Copy)]
enum Type {
    Ipv4 = 7,
    Ipv6 = 8,
    Protocol = 12,
    Port = 13,
    Device = 41,
}

impl Type {
    fn length(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Protocol | Self::Port => 4,
            Self::Ipv6 | Self::Device => 16,
        }
    }
}

fn joined(types: &[Type]) -> (u32, u32) {
    types.iter().fold((0, 0), |(number, length), kind| (number << 6 | *kind as u32, length + kind.length()))
}

/// What is done about a table that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Already {
    /// It stays, and the transaction is refused.
    Refuse,
    /// It is removed with all that is in it.
    Replace,
}

/// Requests for everything but elements.
pub(super) fn fixed_part(already: Already) -> Vec<Request> {
    let mut requests = match already {
        Already::Refuse => vec![table(message::NEW_TABLE, CREATE_NEW)],
        // Made if it is missing, so that it can be removed.
        Already::Replace => vec![
            table(message::NEW_TABLE, CREATE),
            table(message::DELETE_TABLE, 0),
            table(message::NEW_TABLE, CREATE),
        ],
    };
    requests.extend(sets());
    requests.extend(chains());
    requests
}

fn table(kind: u16, flags: u16) -> Request {
    Request { kind, flags, body: Body::new(&INET).with_text(1, TABLE) }
}

fn sets() -> Vec<Request> {
    use Type::{Device, Ipv4, Ipv6, Port, Protocol};
    let plain: [(&str, u32, &[Type]); 8] = [
        (BRIDGES, 0, &[Device]),
        (CLOSED, 0, &[Device]),
        (INTERNAL, 0, &[Device]),
        (WITHIN, 0, &[Device, Device]),
        (sources(false, Source::Masked), INTERVAL, &[Ipv4]),
        (sources(true, Source::Masked), INTERVAL, &[Ipv6]),
        (sources(false, Source::Kept), INTERVAL, &[Ipv4]),
        (sources(true, Source::Kept), INTERVAL, &[Ipv6]),
    ];
    let maps: [(&str, &[Type], &[Type]); 4] = [
        (ports(false, false), &[Protocol, Port], &[Ipv4, Port]),
        (ports(false, true), &[Ipv4, Protocol, Port], &[Ipv4, Port]),
        (ports(true, false), &[Protocol, Port], &[Ipv6, Port]),
        (ports(true, true), &[Ipv6, Protocol, Port], &[Ipv6, Port]),
    ];
    let sets = plain.into_iter().map(|(name, flags, key)| (name, flags, key, None));
    let maps = maps.into_iter().map(|(name, key, data)| (name, MAP, key, Some(data)));
    (1..)
        .zip(sets.chain(maps))
        .map(|(id, (name, flags, key, data))| set(id, name, flags, key, data))
        .collect()
}

fn set(id: u32, name: &str, flags: u32, key: &[Type], data: Option<&[Type]>) -> Request {
    let (kind, length) = joined(key);
    let mut body = Body::new(&INET)
        .with_text(1, TABLE)
        .with_text(2, name)
        .with_be32(3, flags)
        .with_be32(4, kind)
        .with_be32(5, length);
    if let Some(data) = data {
        let (kind, length) = joined(data);
        body = body.with_be32(6, kind).with_be32(7, length);
    }
    body = body.with_be32(10, id);
    if let [Type::Device] = key {
        // For who lists the table: the key is in the host's byte order (nft(8)'s own note to itself).
        body = body.with(13, &[&[0, 4][..], &1u32.to_ne_bytes()].concat());
    }
    Request { kind: message::NEW_SET, flags: CREATE, body }
}

/// Name, type, hook, priority, rules. Hooks: prerouting 0, forward 2, output 3, postrouting 4.
fn all_chains() -> [(&'static str, &'static str, u32, i32, Vec<Rule>); 5] {
    [
        ("guard", "filter", 0, -300, vec![guard()]),
        ("arrive", "nat", 0, -100, forwards(Sender::Others)),
        ("local", "nat", 3, -100, forwards(Sender::Host)),
        ("forward", "filter", 2, 0, forward()),
        ("leave", "nat", 4, 100, leave()),
    ]
}

/// How many rules each chain has.
pub(super) fn rules_of_chains() -> Vec<(&'static str, usize)> {
    all_chains().into_iter().map(|(name, _, _, _, rules)| (name, rules.len())).collect()
}

fn chains() -> Vec<Request> {
    let mut requests = Vec::new();
    for (name, kind, hook, priority, rules) in all_chains() {
        requests.push(chain(name, kind, hook, priority));
        requests.extend(rules.iter().map(|rule| self::rule(name, rule)));
    }
    requests
}

fn chain(name: &str, kind: &str, hook: u32, priority: i32) -> Request {
    let body = Body::new(&INET)
        .with_text(1, TABLE)
        .with_text(3, name)
        .with_nested(4, |at| at.with_be32(1, hook).with(2, &priority.to_be_bytes()))
        .with_be32(5, Verdict::Accept as u32)
        .with_text(7, kind);
    Request { kind: message::NEW_CHAIN, flags: CREATE, body }
}

fn rule(chain: &str, rule: &Rule) -> Request {
    let body =
        Body::new(&INET).with_text(1, TABLE).with_text(2, chain).with_nested(4, |list| rule.encode(list));
    Request { kind: message::NEW_RULE, flags: CREATE | APPEND, body }
}

/// Nobody on a bridge reaches what listens on the host's 127.0.0.1, although route_localnet is set there.
fn guard() -> Rule {
    Rule::default()
        .meta(Meta::InName, Register(0))
        .member(BRIDGES, Register(0), Member::Is)
        .family(IPV4)
        .payload(Header::Network, 16, 1, Register(0))
        .equals(Register(0), &[127])
        .verdict(Verdict::Drop)
}

/// `::1`
const LOOPBACK6: [u8; 16] = std::net::Ipv6Addr::LOCALHOST.octets();

/// Whose packets a chain sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Others,
    Host,
}

fn forwards(sender: Sender) -> Vec<Rule> {
    [(IPV4, true), (IPV4, false), (IPV6, true), (IPV6, false)]
        .map(|(family, at)| forwarded(family, at, sender))
        .into()
}

/// Address, if wanted, protocol and port, side by side in registers, are looked up.
fn forwarded(family: u8, at: bool, sender: Sender) -> Rule {
    let ipv6 = family == IPV6;
    let words = if ipv6 { 4 } else { 1 };
    let mut rule = Rule::default().family(family);
    if ipv6 && sender == Sender::Host {
        // The kernel routes what comes from ::1 nowhere else: it would be lost, and its sender wait. So it is refused.
        rule = rule.payload(Header::Network, 24, 16, Register(0)).differs(Register(0), &LOOPBACK6);
    }
    let next = if at {
        let (offset, length) = if ipv6 { (24, 16) } else { (16, 4) };
        rule = rule.payload(Header::Network, offset, length, Register(0));
        words
    } else {
        rule = rule.for_host();
        0
    };
    rule.meta(Meta::Protocol, Register(next))
        .payload(Header::Transport, 2, 2, Register(next + 1))
        .map(ports(ipv6, at), Register(0), Register(0))
        .destination(family, Register(0), Register(words))
}

fn forward() -> Vec<Rule> {
    let name = |what, set| Rule::default().meta(what, Register(0)).member(set, Register(0), Member::Is);
    vec![
        Rule::default().connection_state(KNOWN).verdict(Verdict::Accept),
        Rule::default().was_forwarded().verdict(Verdict::Accept),
        Rule::default()
            .meta(Meta::InName, Register(0))
            .meta(Meta::OutName, Register(4))
            .member(WITHIN, Register(0), Member::Is)
            .verdict(Verdict::Accept),
        name(Meta::OutName, CLOSED).verdict(Verdict::Drop),
        name(Meta::InName, INTERNAL).verdict(Verdict::Drop),
    ]
}

fn leave() -> Vec<Rule> {
    let to_bridge = || {
        Rule::default().was_forwarded().meta(Meta::OutName, Register(0)).member(
            BRIDGES,
            Register(0),
            Member::Is,
        )
    };
    let is_from = |rule: Rule, family: u8, source: Source| {
        let (offset, length) = if family == IPV6 { (8, 16) } else { (12, 4) };
        let set = sources(family == IPV6, source);
        let rule = rule.family(family).payload(Header::Network, offset, length, Register(0));
        rule.member(set, Register(0), Member::Is)
    };
    let neighbour = |family, source| is_from(to_bridge(), family, source).masquerade();
    let elsewhere = |rule: Rule| {
        rule.meta(Meta::OutName, Register(0)).member(BRIDGES, Register(0), Member::IsNot).masquerade()
    };
    vec![
        neighbour(IPV4, Source::Masked),
        neighbour(IPV6, Source::Masked),
        neighbour(IPV4, Source::Kept),
        neighbour(IPV6, Source::Kept),
        to_bridge()
            .family(IPV4)
            .payload(Header::Network, 12, 1, Register(0))
            .equals(Register(0), &[127])
            .masquerade(),
        elsewhere(is_from(Rule::default(), IPV4, Source::Masked)),
        elsewhere(is_from(Rule::default(), IPV6, Source::Masked)),
    ]
}
