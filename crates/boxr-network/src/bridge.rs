//! The bridge of a network: a device of the host's with the gateways' addresses, and a name that no other has.

use std::net::IpAddr;

use rustix::io::Errno;

use crate::address::MacAddress;
use crate::definition::Definition;
use crate::error::Error;
use crate::link::Links;

pub(crate) fn make(network: &Definition, links: &mut Links) -> Result<u32, Error> {
    let name = &network.interface;
    // A bridge without an address of its own takes that of its ports, and changes with them.
    let mac = network.pools.iter().find_map(|pool| match pool.gateway {
        Some(IpAddr::V4(gateway)) => Some(MacAddress::of(gateway)),
        _ => None,
    });
    links.make_bridge(name, mac, network.options.mtu)?;
    let made = address(network, links);
    if made.is_err() {
        // The error that counts is the first.
        links.remove(name).unwrap_or_default();
    }
    made
}

fn address(network: &Definition, links: &mut Links) -> Result<u32, Error> {
    let name = &network.interface;
    let index = links.index(name)?.ok_or_else(|| Error::system("find the bridge", name, Errno::NODEV))?;
    for pool in &network.pools {
        if let Some(gateway) = pool.gateway {
            links.add_address(name, index, gateway, pool.subnet.prefix())?;
        }
    }
    crate::sysctl::prepare(name, network.has_ipv6(), network.internal)?;
    Ok(index)
}

pub(crate) fn free_name(links: &mut Links, all: &[Definition]) -> Result<String, Error> {
    for number in 0..=9999 {
        let name = format!("boxr{number}");
        if all.iter().all(|network| network.interface != name) && links.index(&name)?.is_none() {
            return Ok(name);
        }
    }
    Err(Error::system("find a name for", "the bridge", Errno::EXIST))
}

pub(crate) fn taken_by_none(links: &mut Links, all: &[Definition], name: &str) -> Result<String, Error> {
    if all.iter().any(|network| network.interface == name) || links.index(name)?.is_some() {
        return Err(Error::invalid("bridge name", name, "a device or a network has it already"));
    }
    Ok(name.to_owned())
}
