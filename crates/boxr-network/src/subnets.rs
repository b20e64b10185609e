//! Which subnets, gateways and ranges a new network gets: those that were asked for, if they go together, and free
//! ones for the rest.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::Subnet;
use crate::definition::{Definition, Driver, Pool};
use crate::error::Error;
use crate::link::Links;
use crate::networks::{CreateRequest, random};

/// What no container can have an address of, and why.
const NOBODYS: [(IpAddr, u8, &str); 5] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8, "addresses of 0.0.0.0/8 are nobody's (RFC 1122)"),
    (
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
        8,
        "addresses of 127.0.0.0/8 are each computer's own (RFC 1122)",
    ),
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4, "addresses of 224.0.0.0/4 are groups' (RFC 1112)"),
    (
        IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)),
        10,
        "addresses of fe80::/10 are each link's own (RFC 4291)",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)),
        8,
        "addresses of ff00::/8 are groups' (RFC 4291)",
    ),
];

/// Why no container can have an address of this subnet, or of a part of it.
fn reserved(subnet: &Subnet) -> Option<&'static str> {
    let is_in = |base, prefix| Subnet::of(base, prefix).is_some_and(|other| other.overlaps(subnet));
    NOBODYS.into_iter().find(|(base, prefix, _)| is_in(*base, *prefix)).map(|(_, _, why)| why)
}

/// Subnets of which no address is in use.
pub(crate) struct Chooser {
    /// Each with whose it is.
    taken: Vec<(Subnet, String)>,
}

impl Chooser {
    pub(crate) fn look(links: &mut Links, all: &[Definition], driver: Driver) -> Result<Self, Error> {
        let network = |network: &Definition| {
            let whose = format!("network {}", network.name);
            network.pools.iter().map(move |pool| (pool.subnet, whose.clone())).collect::<Vec<_>>()
        };
        let mut taken: Vec<(Subnet, String)> = all.iter().flat_map(network).collect();
        // A network on the host's wire shares the host's subnet as a rule.
        if driver == Driver::Bridge {
            let route = |subnet| (subnet, format!("{subnet}, to which the host has a route"));
            taken.extend(links.routes()?.into_iter().map(route));
        }
        Ok(Self { taken })
    }

    fn conflict(&self, subnet: &Subnet) -> Option<&str> {
        let found = self.taken.iter().find(|(other, _)| other.overlaps(subnet));
        found.map(|(_, whose)| whose.as_str())
    }

    pub(crate) fn pools(&mut self, request: &CreateRequest) -> Result<Vec<Pool>, Error> {
        let mut pools: Vec<Pool> = Vec::new();
        for subnet in &request.subnets {
            let least = if subnet.is_ipv6() { 126 } else { 30 };
            if subnet.prefix() > least || subnet.prefix() == 0 {
                return Err(Error::invalid(
                    "subnet",
                    &subnet.to_string(),
                    "it has no room for a gateway and a container, or is everything",
                ));
            }
            if let Some(why) = reserved(subnet) {
                return Err(Error::invalid("subnet", &subnet.to_string(), why));
            }
            if let Some(other) = self.conflict(subnet) {
                return Err(Error::Overlap { subnet: *subnet, other: other.to_owned() });
            }
            self.taken.push((*subnet, format!("{subnet}, which was given too")));
            pools.push(Pool { subnet: *subnet, gateway: None, range: None });
        }
        if !pools.iter().any(|pool| !pool.subnet.is_ipv6()) {
            let subnet = self.free_ipv4()?;
            pools.insert(0, Pool { subnet, gateway: None, range: None });
        }
        if request.ipv6 && !pools.iter().any(|pool| pool.subnet.is_ipv6()) {
            pools.push(Pool { subnet: self.free_ipv6()?, gateway: None, range: None });
        }
        place_gateways(&mut pools, &request.gateways)?;
        place_ranges(&mut pools, &request.ranges)?;
        Ok(pools)
    }

    pub(crate) fn default_pool(&self) -> Result<Pool, Error> {
        let wide = (88..=255).filter_map(|second| Subnet::of([10, second, 0, 0].into(), 16));
        let subnet = self.first_free(wide).map_or_else(|| self.free_ipv4(), Ok)?;
        Ok(Pool { subnet, gateway: subnet.nth(1), range: None })
    }

    fn first_free(&self, mut candidates: impl Iterator<Item = Subnet>) -> Option<Subnet> {
        candidates.find(|subnet| self.conflict(subnet).is_none())
    }

    fn free_ipv4(&self) -> Result<Subnet, Error> {
        let ten = (89..=255u8).flat_map(|second| (0..=255u8).map(move |third| [10, second, third, 0]));
        let others = (0..=255u8).map(|third| [192, 168, third, 0]);
        let all = ten.chain(others).filter_map(|base| Subnet::of(base.into(), 24));
        self.first_free(all).ok_or(Error::NoFreeSubnet)
    }

    /// Unique local addresses (RFC 4193): the bits after fd are random.
    fn free_ipv6(&self) -> Result<Subnet, Error> {
        let random = |_| {
            let mut bytes = [0u8; 16];
            bytes[..8].copy_from_slice(&random::<8>().ok()?);
            bytes[0] = 0xfd;
            Subnet::of(Ipv6Addr::from(bytes).into(), 64)
        };
        self.first_free((0..16).filter_map(random)).ok_or(Error::NoFreeSubnet)
    }
}

fn place_gateways(pools: &mut [Pool], gateways: &[IpAddr]) -> Result<(), Error> {
    for gateway in gateways {
        let invalid = |why| Error::invalid("gateway", &gateway.to_string(), why);
        let pool = pools.iter_mut().find(|pool| pool.subnet.contains(*gateway));
        let pool = pool.ok_or_else(|| invalid("it is in no subnet of the network"))?;
        if !pool.subnet.is_host(*gateway) {
            return Err(invalid("the first and the last address of a subnet are nobody's"));
        }
        if pool.gateway.replace(*gateway).is_some() {
            return Err(invalid("its subnet has one already"));
        }
    }
    for pool in pools {
        pool.gateway = pool.gateway.or_else(|| pool.subnet.nth(1));
    }
    Ok(())
}

fn place_ranges(pools: &mut [Pool], ranges: &[Subnet]) -> Result<(), Error> {
    for range in ranges {
        let invalid = |why| Error::invalid("range", &range.to_string(), why);
        let pool = pools.iter_mut().find(|pool| pool.subnet.covers(range));
        let pool = pool.ok_or_else(|| invalid("it is in no subnet of the network"))?;
        if pool.range.replace(*range).is_some() {
            return Err(invalid("its subnet has one already"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chooser(taken: &[&str]) -> Chooser {
        Chooser { taken: taken.iter().map(|text| (text.parse().unwrap(), (*text).to_owned())).collect() }
    }

    fn request(subnets: &[&str], gateways: &[&str], ranges: &[&str]) -> CreateRequest {
        CreateRequest {
            subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
            gateways: gateways.iter().map(|text| text.parse().unwrap()).collect(),
            ranges: ranges.iter().map(|text| text.parse().unwrap()).collect(),
            ..CreateRequest::default()
        }
    }

    #[test]
    fn a_subnet_is_chosen_beside_what_is_taken() {
        assert_eq!(chooser(&[]).default_pool().unwrap().subnet.to_string(), "10.88.0.0/16");
        assert_eq!(chooser(&["10.88.3.0/24"]).default_pool().unwrap().subnet.to_string(), "10.89.0.0/16");
        assert_eq!(chooser(&["10.0.0.0/8"]).free_ipv4().unwrap().to_string(), "192.168.0.0/24");
        assert!(matches!(chooser(&["0.0.0.0/1", "128.0.0.0/1"]).free_ipv4(), Err(Error::NoFreeSubnet)));
    }

    #[test]
    fn subnets_gateways_and_ranges_belong_together() {
        let pools = chooser(&[])
            .pools(&request(&["10.5.0.0/16", "fd00:5::/64"], &["fd00:5::9"], &["10.5.8.0/24"]))
            .unwrap();
        assert_eq!(pools[0].gateway, Some("10.5.0.1".parse().unwrap()));
        assert_eq!(pools[0].range.unwrap().to_string(), "10.5.8.0/24");
        assert_eq!(pools[1].gateway, Some("fd00:5::9".parse().unwrap()));
        for (subnets, gateways, ranges) in [
            (vec!["10.5.0.0/16", "10.5.9.0/24"], vec![], vec![]),
            (vec!["10.5.0.0/31"], vec![], vec![]),
            (vec!["0.1.0.0/24"], vec![], vec![]),
            (vec!["127.5.0.0/24"], vec![], vec![]),
            (vec!["224.0.0.0/24"], vec![], vec![]),
            (vec!["128.0.0.0/1"], vec![], vec![]),
            (vec!["fe80::/64"], vec![], vec![]),
            (vec!["ff05::/64"], vec![], vec![]),
            (vec!["10.5.0.0/16"], vec!["10.6.0.1"], vec![]),
            (vec!["10.5.0.0/16"], vec!["10.5.0.0"], vec![]),
            (vec!["10.5.0.0/16"], vec!["10.5.0.1", "10.5.0.2"], vec![]),
            (vec!["10.5.0.0/16"], vec![], vec!["10.4.0.0/14"]),
        ] {
            let asked = request(&subnets, &gateways, &ranges);
            assert!(chooser(&[]).pools(&asked).is_err(), "{asked:?}");
        }
    }

    #[test]
    fn ipv6_is_chosen_when_asked_for() {
        let asked = CreateRequest { ipv6: true, ..request(&[], &[], &[]) };
        let pools = chooser(&[]).pools(&asked).unwrap();
        assert!(pools[1].subnet.to_string().starts_with("fd"), "{pools:?}");
        assert_eq!(pools[1].subnet.prefix(), 64);
    }
}
