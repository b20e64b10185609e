//! boxr's own table in nf_tables.
//!
//! The fixed part, table, chains, rules and empty sets, is made once per network namespace ([`table`]). A network adds
//! elements to the sets of bridges and subnets, a published port one to a map. Nobody else's tables are looked
//! at or changed, but for docker's chain for others' rules ([`docker`]): podman's and firewalld's rules stand beside
//! it, and what one of them drops is dropped.

mod conntrack;
mod docker;
mod element;
mod expression;
mod foreign;
mod table;

use boxr_sys::netlink::{Body, Message, Netlink, Refused, Request};
use rustix::io::Errno;

use crate::address::Subnet;
use crate::error::Error;
pub(crate) use element::{Element, Forward};
pub(crate) use foreign::{Foreign, legacy_tables};

/// The name of boxr's table.
pub(crate) const TABLE: &str = "boxr";

/// `NFT_MSG_…`
mod message {
    pub(super) const NEW_TABLE: u16 = 0;
    pub(super) const DELETE_TABLE: u16 = 2;
    pub(super) const NEW_CHAIN: u16 = 3;
    pub(super) const GET_CHAIN: u16 = 4;
    pub(super) const NEW_RULE: u16 = 6;
    pub(super) const GET_RULE: u16 = 7;
    pub(super) const NEW_SET: u16 = 9;
    pub(super) const NEW_ELEMENT: u16 = 12;
    pub(super) const GET_ELEMENT: u16 = 13;
    pub(super) const DELETE_ELEMENT: u16 = 14;
}

/// `struct nfgenmsg` of the family `inet`: IPv4 and IPv6.
const INET: [u8; 4] = [1, 0, 0, 0];

/// How a bridge takes part.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    /// The bridge's name.
    pub bridge: String,
    /// Its subnets.
    pub subnets: Vec<Subnet>,
    /// Whether packets leave it for elsewhere, with the host's address.
    pub internal: bool,
    /// Whether others reach it by published ports only.
    pub closed: bool,
    /// Whether its own containers do, too.
    pub apart: bool,
    /// Whether what leaves it keeps its source.
    pub keeps_source: bool,
}

impl Membership {
    fn elements(&self) -> Vec<Element> {
        let mut elements = vec![Element::bridge(&self.bridge)];
        if !self.apart {
            elements.push(Element::within(&self.bridge));
        }
        if self.closed || self.internal {
            elements.push(Element::closed(&self.bridge));
        }
        if self.internal {
            elements.push(Element::internal(&self.bridge));
        } else {
            elements.extend(self.subnets.iter().flat_map(|subnet| Element::subnet(subnet, self.source())));
        }
        elements
    }

    fn source(&self) -> Source {
        if self.keeps_source { Source::Kept } else { Source::Masked }
    }
}

/// With which address packets of a subnet leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The host's.
    Masked,
    /// Their own.
    Kept,
}

/// nf_tables of the caller's network namespace.
#[derive(Debug)]
pub(crate) struct Firewall(Netlink);

impl Firewall {
    pub(crate) fn open() -> Result<Self, Error> {
        let opened = Netlink::open_netfilter();
        opened.map(Self).map_err(|errno| Error::Firewall { what: "networks".to_owned(), errno })
    }

    /// For taking something away: where the kernel has no nf_tables, nothing is there.
    pub(crate) fn open_to_remove() -> Result<Option<Self>, Error> {
        match Self::open() {
            Err(Error::Firewall { errno: Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT, .. }) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Asks nf_tables for something.
    fn ask(&mut self, kind: u16, flags: u16, body: &Body) -> Result<Vec<Message>, Errno> {
        self.0.ask_tables(kind, flags, body).map_err(|errno| match errno {
            // Every question is invalid to nfnetlink where it is there without nf_tables, and every transaction not supported.
            Errno::INVAL => Errno::OPNOTSUPP,
            errno => errno,
        })
    }

    /// Whether the table is there and knows the bridge: a look, before every start.
    pub(crate) fn knows(&mut self, bridge: &str) -> Result<bool, Error> {
        self.finds(&Element::bridge(bridge), || format!("bridge {bridge}"))
    }

    fn finds(&mut self, element: &Element, what: impl Fn() -> String) -> Result<bool, Error> {
        match self.ask(message::GET_ELEMENT, 0, &element.only(Body::new(&INET))) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::Firewall { what: what(), errno }),
        }
    }

    /// Whether a port is published.
    pub(crate) fn has(&mut self, forward: &Forward) -> Result<bool, Error> {
        self.finds(&Element::forward(forward), || "published ports".to_owned())
    }

    /// Each subnet of a network that has a way out, and whether the table knows how it leaves.
    pub(crate) fn leaving(&mut self, member: &Membership) -> Result<Vec<(bool, Subnet)>, Error> {
        let mut all = Vec::new();
        for subnet in member.subnets.iter().filter(|_| !member.internal) {
            let found = match Element::subnet(subnet, member.source()).first() {
                Some(element) => self.finds(element, || format!("subnet {subnet}"))?,
                None => false,
            };
            all.push((found, *subnet));
        }
        Ok(all)
    }

    /// Makes the fixed part anew, without elements.
    pub(crate) fn replace(&mut self) -> Result<(), Error> {
        self.0
            .transact(&table::fixed_part(table::Already::Replace))
            .map_err(|Refused { errno, .. }| Error::Firewall { what: "the table".to_owned(), errno })
    }

    /// Makes what is missing of the fixed part and of a network's elements, in one transaction.
    pub(crate) fn join(&mut self, member: &Membership) -> Result<(), Error> {
        let failed =
            |Refused { errno, .. }| Error::Firewall { what: format!("bridge {}", member.bridge), errno };
        let elements = member.elements();
        let with_fixed_part = |already: table::Already| {
            let mut requests = table::fixed_part(already);
            requests.extend(adding(&elements, element::CREATE));
            requests
        };
        let attempts = [
            adding(&elements, element::CREATE),
            // Somebody else may make it at the same time.
            with_fixed_part(table::Already::Refuse),
            adding(&elements, element::CREATE),
            // A table that lacks what it should have.
            with_fixed_part(table::Already::Replace),
        ];
        let mut outcome = Ok(());
        for attempt in attempts {
            outcome = self.0.transact(&attempt);
            if !matches!(outcome, Err(Refused { errno: Errno::NOENT | Errno::EXIST, .. })) {
                break;
            }
        }
        outcome.map_err(failed)
    }

    /// Takes a network's elements away again.
    pub(crate) fn leave(&mut self, member: &Membership) -> Result<(), Error> {
        self.remove(&member.elements(), || format!("bridge {}", member.bridge))
    }

    /// Publishes ports, all or none.
    ///
    /// # Errors
    /// The place in `forwards` of one that is published already.
    pub(crate) fn publish(&mut self, forwards: &[Forward]) -> Result<Result<(), usize>, Error> {
        if forwards.is_empty() {
            return Ok(Ok(()));
        }
        let elements: Vec<Element> = forwards.iter().map(Element::forward).collect();
        match self.0.transact(&adding(&elements, element::CREATE_NEW)) {
            Ok(()) => conntrack::forget(&mut self.0, forwards).map(Ok),
            Err(Refused { index, errno: Errno::EXIST | Errno::BUSY }) => Ok(Err(index.unwrap_or(0))),
            Err(Refused { errno, .. }) => Err(Error::Firewall { what: "published ports".to_owned(), errno }),
        }
    }

    /// Ends publishing them; those that are not published are skipped.
    pub(crate) fn withdraw(&mut self, forwards: &[Forward]) -> Result<(), Error> {
        let elements: Vec<Element> = forwards.iter().map(Element::forward).collect();
        self.remove(&elements, || "published ports".to_owned())?;
        conntrack::forget(&mut self.0, forwards)
    }

    fn remove(&mut self, elements: &[Element], what: impl Fn() -> String) -> Result<(), Error> {
        let removing = |elements: &[Element]| -> Vec<Request> {
            let body = |element: &Element| element.only(Body::new(&INET));
            let kind = message::DELETE_ELEMENT;
            elements.iter().map(|element| Request { kind, flags: 0, body: body(element) }).collect()
        };
        if elements.is_empty() {
            return Ok(());
        }
        match self.0.transact(&removing(elements)) {
            // `EOPNOTSUPP`: nfnetlink is there without nf_tables.
            Ok(()) | Err(Refused { errno: Errno::OPNOTSUPP, .. }) => return Ok(()),
            Err(Refused { errno: Errno::NOENT, .. }) => {}
            Err(Refused { errno, .. }) => return Err(Error::Firewall { what: what(), errno }),
        }
        // Somebody has flushed the ruleset: what there is goes one by one.
        for element in elements {
            match self.0.transact(&removing(std::slice::from_ref(element))) {
                Ok(()) | Err(Refused { errno: Errno::NOENT, .. }) => {}
                Err(Refused { errno, .. }) => return Err(Error::Firewall { what: what(), errno }),
            }
        }
        Ok(())
    }
}

fn adding(elements: &[Element], flags: u16) -> Vec<Request> {
    let body = |element: &Element| element.whole(Body::new(&INET));
    elements
        .iter()
        .map(|element| Request { kind: message::NEW_ELEMENT, flags, body: body(element) })
        .collect()
}
