//! Devices, addresses and routes: rtnetlink(7).

mod wire;

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use boxr_sys::netlink::{Body, CREATE, CREATE_NEW, DUMP, Message, Netlink, Refused, Request, message};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::address::{MacAddress, Subnet, from_octets, octets};
use crate::error::Error;
pub(crate) use wire::Wire;

/// `struct ifinfomsg`, `struct ifaddrmsg`, `struct rtmsg`.
const LINK: usize = 16;
const ROUTE: usize = 12;
const UP: u32 = 1;

/// `IFLA_…` (`<linux/if_link.h>`).
mod attribute {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const NAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const LINK: u16 = 5;
    pub(super) const MASTER: u16 = 10;
    pub(super) const INFO: u16 = 18;
    pub(super) const NAMESPACE: u16 = 28;
    /// `IFLA_AF_SPEC`, `AF_INET6`, `IFLA_INET6_ADDR_GEN_MODE`.
    pub(super) const FAMILIES: u16 = 26;
    pub(super) const INET6: u16 = 10;
    pub(super) const GENERATION: u16 = 8;
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const SLAVE_KIND: u16 = 4;
    pub(super) const SLAVE_DATA: u16 = 5;
    /// `IFLA_BRPORT_MODE`, `IFLA_BRPORT_ISOLATED`.
    pub(super) const PORT_HAIRPIN: u16 = 4;
    pub(super) const PORT_ISOLATED: u16 = 33;
    /// `VETH_INFO_PEER`
    pub(super) const VETH_PEER: u16 = 1;
}

/// `IFA_LOCAL`, `IFA_ADDRESS`, `IFA_BROADCAST`, `IFA_FLAGS`; `IFA_F_NODAD`.
const IFA: [u16; 4] = [2, 1, 4, 8];
const NO_DUPLICATE_DETECTION: u32 = 2;
/// `IN6_ADDR_GEN_MODE_NONE`
const NO_GENERATION: u8 = 1;
/// `RTA_DST`, `RTA_OIF`, `RTA_GATEWAY`, and `RTA_PRIORITY`.
const RTA: [u16; 3] = [1, 4, 5];
const METRIC: u16 = 6;

/// Whether a port of a bridge reaches the bridge's other ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Neighbours {
    Reached,
    /// The bridge passes nothing between such ports.
    Apart,
    /// The same, but where bridges pass their packets to the firewall, that sees to it: there what is forwarded from
    /// one port to another, because of a published port, never leaves the bridge.
    ApartByFirewall,
}

/// A default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WayOut {
    /// Through what it leads.
    pub gateway: IpAddr,
    /// Of several routes that with the lowest is taken; the kernel's choice when `None`.
    pub metric: Option<u32>,
}

/// What a device of a container's is to be.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// Its name inside.
    pub name: String,
    /// Its hardware address; the kernel's choice when `None`.
    pub mac: Option<MacAddress>,
    /// Its MTU; the kernel's choice when `None`.
    pub mtu: Option<u32>,
    /// Addresses, each with the length of its subnet.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Default routes.
    pub ways_out: Vec<WayOut>,
    /// Its addresses of IPv6 that nobody gave it.
    pub own_ipv6: OwnIpv6,
}

/// Whether the kernel makes a device addresses of IPv6 by itself: on its link, and of what routers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnIpv6 {
    /// It does.
    Made,
    /// It does not. Each such address is announced with some ten packets, which a bridge passes to all of its ports.
    None,
}

/// What there is of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub index: u32,
    pub up: bool,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
}

/// rtnetlink of one network namespace.
#[derive(Debug)]
pub(crate) struct Links(Netlink);

impl Links {
    /// Of the caller's.
    pub(crate) fn open() -> Result<Self, Error> {
        Netlink::open().map(Self).map_err(|errno| Error::system("open", "a netlink socket", errno))
    }

    /// Of another, which a thread that may do so enters for a moment: a socket belongs to the namespace it was
    /// made in.
    pub(crate) fn open_in(namespace: BorrowedFd<'_>) -> Result<Self, Error> {
        let failed = |errno| Error::system("enter", "the network namespace of the container", errno);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let home: OwnedFd = openat(CWD, "/proc/thread-self/ns/net", flags, Mode::empty()).map_err(failed)?;
        let enter = |fd: BorrowedFd<'_>| {
            move_into_link_name_space(fd, Some(LinkNameSpaceType::Network)).map_err(failed)
        };
        enter(namespace)?;
        let opened = Self::open();
        enter(home.as_fd())?;
        opened
    }

    /// The number of a device; `None` when there is none of that name.
    pub(crate) fn index(&mut self, name: &str) -> Result<Option<u32>, Error> {
        let body = Body::new(&link(0, 0, 0)).with_text(attribute::NAME, name);
        match self.0.ask(message::GET_LINK, 0, &body) {
            Ok(links) => Ok(links.first().and_then(index_of)),
            Err(Errno::NODEV) => Ok(None),
            Err(errno) => Err(Error::system("look for the device", name, errno)),
        }
    }

    /// What there is of a device; `None` when there is none of that name.
    pub(crate) fn look_at(&mut self, name: &str) -> Result<Option<Found>, Error> {
        let body = Body::new(&link(0, 0, 0)).with_text(attribute::NAME, name);
        let links = match self.0.ask(message::GET_LINK, 0, &body) {
            Err(errno) if errno == Errno::NODEV => return Ok(None),
            links => links.map_err(|errno| Error::system("look for the device", name, errno))?,
        };
        let found = |link: &Message| {
            let index = index_of(link)?;
            let flags = link.fixed(LINK)?.get(8..12)?.try_into().ok().map(u32::from_ne_bytes)?;
            let attributes = link.attributes(LINK);
            let master = attributes.iter().find(|(kind, _)| *kind == attribute::MASTER);
            let master = master.and_then(|(_, value)| (*value).try_into().ok()).map(u32::from_ne_bytes);
            Some(Found { index, up: flags & UP != 0, master })
        };
        Ok(links.first().and_then(found))
    }

    /// Makes a bridge that is up.
    pub(crate) fn make_bridge(
        &mut self,
        name: &str,
        mac: Option<MacAddress>,
        mtu: Option<u32>,
    ) -> Result<(), Error> {
        let mut body = Body::new(&link(0, UP, UP)).with_text(attribute::NAME, name);
        if let Some(mac) = mac {
            body = body.with(attribute::ADDRESS, &mac.0);
        }
        if let Some(mtu) = mtu {
            body = body.with(attribute::MTU, &mtu.to_ne_bytes());
        }
        body = body.with_nested(attribute::INFO, |info| info.with_text(attribute::INFO_KIND, "bridge"));
        self.0
            .ask(message::NEW_LINK, CREATE_NEW, &body)
            .map(|_| ())
            .map_err(|errno| Error::system("make the bridge", name, errno))
    }

    /// Makes a pair: `outside` as a port of the bridge, the other end in `namespace`, which [`Links::configure`] sets up.
    pub(crate) fn make_veth(
        &mut self,
        outside: &str,
        (bridge, neighbours): (u32, Neighbours),
        device: &Device,
        namespace: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let mut body = Body::new(&link(0, 0, 0))
            .with_text(attribute::NAME, outside)
            .with(attribute::MASTER, &bridge.to_ne_bytes());
        if let Some(mtu) = device.mtu {
            body = body.with(attribute::MTU, &mtu.to_ne_bytes());
        }
        let failed = |errno| Error::system("make the pair of devices", outside, errno);
        let body = body.with_nested(attribute::INFO, |info| {
            info.with_text(attribute::INFO_KIND, "veth").with_nested(attribute::INFO_DATA, |data| {
                data.with_nested(attribute::VETH_PEER, |peer| {
                    // Not up yet: it has no other end before both are made.
                    inside(peer.with_raw(&link(0, 0, 0)), device, namespace)
                })
            })
        });
        match self.make_port(outside, &body) {
            // Of the container's last start: the kernel has not come to taking its namespace down.
            Err(Errno::EXIST) => {
                self.remove(outside)?;
                self.make_port(outside, &body).map_err(failed)?;
            }
            done => done.map_err(failed)?,
        }
        let filtered = crate::sysctl::bridges_are_filtered();
        if !filtered && neighbours == Neighbours::Reached {
            return Ok(());
        }
        self.change_port(outside, filtered, neighbours).map_err(failed)
    }

    /// Sets a port as [`Links::make_veth`] would now; one that is not there needs nothing.
    pub(crate) fn set_port(&mut self, outside: &str, neighbours: Neighbours) -> Result<(), Error> {
        match self.change_port(outside, crate::sysctl::bridges_are_filtered(), neighbours) {
            Ok(()) | Err(Errno::NODEV) => Ok(()),
            Err(errno) => Err(Error::system("set the port of the bridge", outside, errno)),
        }
    }

    fn change_port(&mut self, outside: &str, filtered: bool, neighbours: Neighbours) -> Result<(), Errno> {
        // Where bridges pass their packets to the firewall, the answer to a container that reached itself by a
        // published port goes back by the port it came from, which a port only does when told to.
        let hairpin = [u8::from(filtered)];
        let isolated = match neighbours {
            Neighbours::Reached => None,
            Neighbours::Apart => Some([1]),
            Neighbours::ApartByFirewall => {
                let sees_all = filtered && crate::sysctl::bridges_are_filtered_for_ipv6();
                Some([u8::from(!sees_all)])
            }
        };
        let body = Body::new(&link(0, 0, 0)).with_text(attribute::NAME, outside).with_nested(
            attribute::INFO,
            |info| {
                info.with_text(attribute::SLAVE_KIND, "bridge").with_nested(attribute::SLAVE_DATA, |data| {
                    let data = data.with(attribute::PORT_HAIRPIN, &hairpin);
                    isolated.iter().fold(data, |data, value| data.with(attribute::PORT_ISOLATED, value))
                })
            },
        );
        self.0.ask(message::NEW_LINK, 0, &body).map(|_| ())
    }

    /// Makes the port of a bridge, which needs no address, and sets it up.
    fn make_port(&mut self, name: &str, body: &Body) -> Result<(), Errno> {
        let named = |flags| Body::new(&link(0, flags, flags)).with_text(attribute::NAME, name);
        let change = |body| Request { kind: message::NEW_LINK, flags: 0, body };
        let up = change(named(UP));
        let made = Request { kind: message::NEW_LINK, flags: CREATE_NEW, body: body.clone() };
        match self.0.ask_all(&[made, change(without_own_ipv6(named(0))), up.clone()]) {
            // A kernel without IPv6.
            Err(Refused { index: Some(1), .. }) => self.0.ask_all(&[up]),
            done => done,
        }
        .map_err(|Refused { errno, .. }| errno)
    }

    /// Removes a device; one that is not there is removed.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Error> {
        let body = Body::new(&link(0, 0, 0)).with_text(attribute::NAME, name);
        match self.0.ask(message::DELETE_LINK, 0, &body) {
            Ok(_) | Err(Errno::NODEV) => Ok(()),
            Err(errno) => Err(Error::system("remove the device", name, errno)),
        }
    }

    /// Gives a device addresses, and the namespace default routes through it; sets `lo` up as well.
    pub(crate) fn configure(&mut self, index: u32, device: &Device) -> Result<(), Error> {
        if device.own_ipv6 == OwnIpv6::None {
            let body = without_own_ipv6(Body::new(&link(index, 0, 0)));
            // Refused where there is no IPv6.
            self.0.ask(message::NEW_LINK, 0, &body).unwrap_or_default();
        }
        let mut requests = vec![
            Request { kind: message::NEW_LINK, flags: 0, body: Body::new(&link(1, UP, UP)) },
            Request { kind: message::NEW_LINK, flags: 0, body: Body::new(&link(index, UP, UP)) },
        ];
        requests
            .extend(device.addresses.iter().map(|(address, prefix)| add_address(index, *address, *prefix)));
        requests.extend(device.ways_out.iter().map(|way| add_default_route(index, way)));
        self.0.ask_all(&requests).map_err(|Refused { index, errno }| {
            let routes = requests.len() - device.ways_out.len();
            let doing = match index {
                Some(0 | 1) => "set up the device",
                Some(at) if at >= routes => "set the default route through",
                _ => "give an address to",
            };
            Error::system(doing, &device.name, errno)
        })
    }

    /// Sets default routes through a device; one that is there is fine.
    pub(crate) fn lead_out(&mut self, name: &str, ways: &[WayOut]) -> Result<(), Error> {
        let failed = |errno| Error::system("set the default route through", name, errno);
        if ways.is_empty() {
            return Ok(());
        }
        let index = self.index(name)?.ok_or_else(|| failed(Errno::NODEV))?;
        for way in ways {
            let Request { kind, flags, body } = add_default_route(index, way);
            match self.0.ask(kind, flags, &body) {
                Ok(_) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }

    /// Removes a default route through a device; one that is not there is removed.
    pub(crate) fn lead_out_no_more(&mut self, name: &str, way: &WayOut) -> Result<(), Error> {
        let failed = |errno| Error::system("remove the default route through", name, errno);
        let index = self.index(name)?.ok_or_else(|| failed(Errno::NODEV))?;
        let Request { body, .. } = add_default_route(index, way);
        match self.0.ask(message::DELETE_ROUTE, 0, &body) {
            Ok(_) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Gives a device an address; one that it has is fine.
    pub(crate) fn add_address(
        &mut self,
        name: &str,
        index: u32,
        address: IpAddr,
        prefix: u8,
    ) -> Result<(), Error> {
        let request = add_address(index, address, prefix);
        match self.0.ask(request.kind, request.flags, &request.body) {
            Ok(_) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(Error::system("give an address to", name, errno)),
        }
    }

    /// The same for IPv6, without announcing an address: a helper would take the question whether somebody has it for
    /// a packet from nowhere, and send there from then on.
    ///
    /// A container without IPv6 goes without.
    pub(crate) fn answer_through_ipv6(
        &mut self,
        name: &str,
        (own, near): (Ipv6Addr, Ipv6Addr),
        gateway: Ipv6Addr,
    ) -> Result<(), Error> {
        let missing = || Error::system("find the device", name, Errno::NODEV);
        let index = self.index(name)?.ok_or_else(missing)?;
        let no_own = without_own_ipv6(Body::new(&link(index, 0, 0)));
        let requests = [
            Request { kind: message::NEW_LINK, flags: 0, body: no_own },
            add_address(index, near.into(), 64),
            add_address(index, own.into(), 64),
            Request { kind: message::NEW_LINK, flags: 0, body: Body::new(&link(index, UP, UP)) },
            add_route_of_table(index, gateway.into()),
            add_rule_for(own.into()),
        ];
        match self.0.ask_all(&requests) {
            Ok(()) => Ok(()),
            // The rule, of a device that was there before.
            Err(Refused { index: Some(5), errno: Errno::EXIST }) => Ok(()),
            Err(Refused { errno: Errno::ACCESS | Errno::AFNOSUPPORT | Errno::OPNOTSUPP, .. }) => Ok(()),
            Err(Refused { errno, .. }) => Err(Error::system("set up IPv6 of the device", name, errno)),
        }
    }

    /// Gives a device, which is set up, an address of its own; what is sent from that address leaves by it.
    pub(crate) fn answer_through(
        &mut self,
        name: &str,
        (own, prefix): (IpAddr, u8),
        gateway: IpAddr,
    ) -> Result<(), Error> {
        let missing = || Error::system("find the device", name, Errno::NODEV);
        let index = self.index(name)?.ok_or_else(missing)?;
        let requests = [
            Request { kind: message::NEW_LINK, flags: 0, body: Body::new(&link(index, UP, UP)) },
            add_address(index, own, prefix),
            add_route_of_table(index, gateway),
        ];
        let failed = |errno| Error::system("set up the device", name, errno);
        self.0.ask_all(&requests).map_err(|Refused { errno, .. }| failed(errno))?;
        let rule = add_rule_for(own);
        match self.0.ask(rule.kind, rule.flags, &rule.body) {
            // Of a device that was there before.
            Ok(_) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Whether there is a default route, of IPv4 or IPv6.
    pub(crate) fn has_default_route(&mut self) -> Result<bool, Error> {
        let routes = self
            .0
            .ask(message::GET_ROUTE, DUMP, &Body::new(&[0; ROUTE]))
            .map_err(|errno| Error::system("read", "the host's routes", errno))?;
        // A length of 0 in the main table; others may be there to refuse packets.
        Ok(routes.iter().any(|route| matches!(route.fixed(ROUTE), Some([_, 0, _, _, 254, _, _, 1, ..]))))
    }

    /// Where the host's routes lead, the default route left out.
    pub(crate) fn routes(&mut self) -> Result<Vec<Subnet>, Error> {
        let routes = self
            .0
            .ask(message::GET_ROUTE, DUMP, &Body::new(&[0; ROUTE]))
            .map_err(|errno| Error::system("read", "the host's routes", errno))?;
        Ok(routes.iter().filter_map(destination).collect())
    }
}

/// The inner end of a pair, or a whole device: name, namespace and the rest.
fn inside(body: Body, device: &Device, namespace: BorrowedFd<'_>) -> Body {
    let mut body = body
        .with_text(attribute::NAME, &device.name)
        .with(attribute::NAMESPACE, &namespace.as_raw_fd().to_ne_bytes());
    if let Some(mac) = device.mac {
        body = body.with(attribute::ADDRESS, &mac.0);
    }
    if let Some(mtu) = device.mtu {
        body = body.with(attribute::MTU, &mtu.to_ne_bytes());
    }
    body
}

fn without_own_ipv6(body: Body) -> Body {
    body.with_nested(attribute::FAMILIES, |families| {
        families.with_nested(attribute::INET6, |inet6| inet6.with(attribute::GENERATION, &[NO_GENERATION]))
    })
}

/// `struct ifinfomsg`.
fn link(index: u32, flags: u32, change: u32) -> [u8; LINK] {
    let mut fixed = [0; LINK];
    for (at, number) in [(4, index), (8, flags), (12, change)] {
        if let Some(place) = fixed.get_mut(at..at + 4) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
    }
    fixed
}

/// `AF_INET` or `AF_INET6`.
pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

fn add_address(index: u32, address: IpAddr, prefix: u8) -> Request {
    let [i0, i1, i2, i3] = index.to_ne_bytes();
    let bytes = octets(address);
    let [local, plain, broadcast, flags] = IFA;
    let mut body =
        Body::new(&[family(address), prefix, 0, 0, i0, i1, i2, i3]).with(local, &bytes).with(plain, &bytes);
    match Subnet::of(address, prefix) {
        Some(subnet) if address.is_ipv4() && prefix < 31 => {
            body = body.with(broadcast, &octets(subnet.last()))
        }
        // Leases see to it that there is no duplicate, and a start does not wait for a second.
        _ => body = body.with(flags, &NO_DUPLICATE_DETECTION.to_ne_bytes()),
    }
    Request { kind: message::NEW_ADDRESS, flags: CREATE_NEW, body }
}

fn add_default_route(index: u32, way: &WayOut) -> Request {
    let [_, device, through] = RTA;
    // `RT_TABLE_MAIN`, `RTPROT_STATIC`, everywhere, `RTN_UNICAST`.
    let body = Body::new(&[family(way.gateway), 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0])
        .with(device, &index.to_ne_bytes())
        .with(through, &octets(way.gateway));
    let body = way.metric.iter().fold(body, |body, metric| body.with(METRIC, &metric.to_ne_bytes()));
    Request { kind: message::NEW_ROUTE, flags: CREATE, body }
}

/// The routing table for packets from one address.
const TABLE: u8 = 77;

fn add_route_of_table(index: u32, gateway: IpAddr) -> Request {
    let [_, device, through] = RTA;
    let body = Body::new(&[family(gateway), 0, 0, 0, TABLE, 4, 0, 1, 0, 0, 0, 0])
        .with(device, &index.to_ne_bytes())
        .with(through, &octets(gateway));
    Request { kind: message::NEW_ROUTE, flags: CREATE, body }
}

/// `struct fib_rule_hdr`: packets from `source` are routed by that table (`FRA_SRC`, `FR_ACT_TO_TBL`).
fn add_rule_for(source: IpAddr) -> Request {
    let bytes = octets(source);
    let length = (bytes.len() * 8) as u8;
    let body = Body::new(&[family(source), 0, length, 0, TABLE, 0, 0, 1, 0, 0, 0, 0]).with(2, &bytes);
    Request { kind: message::NEW_RULE, flags: CREATE_NEW, body }
}

fn destination(route: &Message) -> Option<Subnet> {
    let [_, prefix, ..] = *route.fixed(ROUTE)? else { return None };
    let attributes = route.attributes(ROUTE);
    let (_, bytes) = attributes.iter().find(|(kind, _)| *kind == RTA[0])?;
    Subnet::of(from_octets(bytes)?, prefix).filter(|subnet| subnet.prefix() > 0)
}

fn index_of(link: &Message) -> Option<u32> {
    link.fixed(LINK)?.get(4..8)?.try_into().ok().map(u32::from_ne_bytes)
}
