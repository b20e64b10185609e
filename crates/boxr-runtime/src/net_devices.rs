//! `linux.netDevices`: devices of the host's network namespace that move into the container's.
//!
//! What becomes of them when the namespace ends is the kernel's business: real ones come back to the
//! first namespace, others end with theirs (network_namespaces(7)).

use std::os::fd::AsRawFd;
use std::os::fd::{AsFd, OwnedFd};

use boxr_sys::namespace::NamespaceKind;
use boxr_sys::netlink::{Body, CREATE_NEW, DUMP, Message, Netlink, message};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{At, Step, StepError};
use crate::plan::{NetDevice, Plan};

/// `struct ifinfomsg` and `struct ifaddrmsg`.
const LINK: usize = 16;
const ADDRESS: usize = 8;
/// Attributes of `<linux/if_link.h>` and `<linux/if_addr.h>`.
const LINK_NAME: u16 = 3;
const LINK_NAMESPACE: u16 = 28;
const ADDRESS_LABEL: u16 = 3;
const ADDRESS_CACHE: u16 = 6;
const ADDRESS_FLAGS: u16 = 8;
/// `IFA_F_PERMANENT`: not one that will expire.
const PERMANENT: u32 = 0x80;
const UP: u32 = 1;

/// Moves the devices of `plan` to the network namespace of its first process `pid`, with their
/// addresses, and sets them up. The caller has one thread.
pub(crate) fn move_all(plan: &Plan, pid: Pid) -> Result<(), StepError> {
    if plan.net_devices.is_empty() {
        return Ok(());
    }
    let opened;
    let namespace = match plan.joined.iter().find(|(kind, _)| *kind == NamespaceKind::Network) {
        Some((_, joined)) => joined,
        None => {
            opened = namespace_of(&pid.as_raw_nonzero().to_string())?;
            &opened
        }
    };
    let host = namespace_of("self")?;
    let mut outside = Netlink::open().at(Step::NetDevice, "rtnetlink")?;
    let mut inside = open_inside(namespace, &host)?;
    plan.net_devices
        .iter()
        .try_for_each(|device| Mover { outside: &mut outside, inside: &mut inside, device }.run(namespace))
}

fn namespace_of(process: &str) -> Result<OwnedFd, StepError> {
    let path = format!("/proc/{process}/ns/net");
    openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(Step::Join, path)
}

/// A socket belongs to the namespace in which it was made.
fn open_inside(namespace: &OwnedFd, host: &OwnedFd) -> Result<Netlink, StepError> {
    let enter = |fd: &OwnedFd| {
        move_into_link_name_space(fd.as_fd(), Some(LinkNameSpaceType::Network)).at(Step::Join, "network")
    };
    enter(namespace)?;
    let opened = Netlink::open();
    enter(host)?;
    opened.at(Step::NetDevice, "rtnetlink")
}

struct Mover<'a> {
    outside: &'a mut Netlink,
    inside: &'a mut Netlink,
    device: &'a NetDevice,
}

impl Mover<'_> {
    fn run(&mut self, namespace: &OwnedFd) -> Result<(), StepError> {
        let device = self.device;
        let step =
            |errno| StepError::new(Step::NetDevice, format!("{} as {}", device.host, device.name), errno);
        let index = self.index().map_err(step)?;
        let addresses = self.addresses(index).map_err(step)?;
        let before = self.links_inside().map_err(step)?;
        self.hand_over(index, namespace).map_err(step)?;
        let after = self.links_inside().map_err(step)?;
        let moved =
            after.iter().find(|link| !before.contains(link)).copied().ok_or(Errno::NODEV).map_err(step)?;
        for address in &addresses {
            self.add_address(moved, address).map_err(step)?;
        }
        let up = Body::new(&link(moved, UP, UP));
        self.inside.ask(message::NEW_LINK, 0, &up).map(|_| ()).map_err(step)
    }

    fn index(&mut self) -> Result<i32, Errno> {
        let body = Body::new(&link(0, 0, 0)).with(LINK_NAME, &c_name(&self.device.host));
        let links = self.outside.ask(message::GET_LINK, 0, &body)?;
        links.first().and_then(index_of).ok_or(Errno::NODEV)
    }

    /// Those that are to stay: permanent ones that are valid everywhere (`RT_SCOPE_UNIVERSE`).
    fn addresses(&mut self, index: i32) -> Result<Vec<Message>, Errno> {
        let mut all = self.outside.ask(message::GET_ADDRESS, DUMP, &Body::new(&[0; ADDRESS]))?;
        all.retain(|address| {
            let Some([_, _, flags, scope, i0, i1, i2, i3]) = address.fixed(ADDRESS) else { return false };
            let attribute = address.attributes(ADDRESS).into_iter().find(|(kind, _)| *kind == ADDRESS_FLAGS);
            let long = attribute.and_then(|(_, value)| value.try_into().ok()).map(u32::from_ne_bytes);
            *scope == 0
                && i32::from_ne_bytes([*i0, *i1, *i2, *i3]) == index
                && long.unwrap_or(u32::from(*flags)) & PERMANENT != 0
        });
        Ok(all)
    }

    fn links_inside(&mut self) -> Result<Vec<i32>, Errno> {
        let links = self.inside.ask(message::GET_LINK, DUMP, &Body::new(&link(0, 0, 0)))?;
        Ok(links.iter().filter_map(index_of).collect())
    }

    /// The kernel refuses a name that is taken there, and fills `%d` with a number that is free.
    fn hand_over(&mut self, index: i32, namespace: &OwnedFd) -> Result<(), Errno> {
        let body = Body::new(&link(index, 0, UP))
            .with(LINK_NAMESPACE, &namespace.as_raw_fd().to_ne_bytes())
            .with(LINK_NAME, &c_name(&self.device.name));
        self.outside.ask(message::NEW_LINK, 0, &body).map(|_| ())
    }

    fn add_address(&mut self, index: i32, address: &Message) -> Result<(), Errno> {
        let mut fixed = address.fixed(ADDRESS).ok_or(Errno::PROTO)?.to_vec();
        if let Some(place) = fixed.get_mut(4..8) {
            place.copy_from_slice(&index.to_ne_bytes());
        }
        let body = address
            .attributes(ADDRESS)
            .into_iter()
            // A label begins with the old name, and what is cached tells of the past.
            .filter(|(kind, _)| !matches!(*kind, ADDRESS_LABEL | ADDRESS_CACHE))
            .fold(Body::new(&fixed), |body, (kind, value)| body.with(kind, value));
        match self.inside.ask(message::NEW_ADDRESS, CREATE_NEW, &body) {
            Ok(_) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// `struct ifinfomsg`.
fn link(index: i32, flags: u32, change: u32) -> [u8; LINK] {
    let mut fixed = [0; LINK];
    for (at, number) in [(4, index.to_ne_bytes()), (8, flags.to_ne_bytes()), (12, change.to_ne_bytes())] {
        if let Some(place) = fixed.get_mut(at..at + 4) {
            place.copy_from_slice(&number);
        }
    }
    fixed
}

fn index_of(link: &Message) -> Option<i32> {
    link.fixed(LINK)?.get(4..8)?.try_into().ok().map(i32::from_ne_bytes)
}

fn c_name(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}
