//! Addresses of a network, each given to one container.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::symlink;

use crate::address::Subnet;
use crate::attachment::Endpoint;
use crate::definition::{Definition, Pool};
use crate::error::Error;
use crate::files::{self, failed};
use crate::networks::{IsAlive, Networks};

/// Who has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The address.
    pub address: IpAddr,
    /// The id of a container.
    pub owner: String,
}

impl Networks {
    /// All leases of a network.
    pub(crate) fn leases(&self, network: &str) -> Result<Vec<Lease>, Error> {
        let dir = self.leases_of(network);
        let mut leases = Vec::new();
        for name in files::names(&dir)? {
            let Ok(address) = name.parse() else { continue };
            leases.extend(self.owner(network, address)?.map(|owner| Lease { address, owner }));
        }
        Ok(leases)
    }

    /// Who has an address.
    fn owner(&self, network: &str, address: IpAddr) -> Result<Option<String>, Error> {
        let path = self.leases_of(network).join(address.to_string());
        match fs::read_link(&path) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Takes an address for `id`: the one that is asked for, or a free one. The network's lock is held, shared.
    pub(crate) fn take_lease(
        &self,
        network: &Definition,
        pool: &Pool,
        wanted: Option<IpAddr>,
        id: &str,
        is_alive: &IsAlive<'_>,
    ) -> Result<IpAddr, Error> {
        let name = &network.name;
        let Some(address) = wanted else { return self.take_any(network, pool, id, is_alive) };
        let taken = |owner: String| Error::AddressTaken { network: name.clone(), address, owner };
        if !pool.subnet.is_host(address) {
            let network = name.clone();
            return Err(match pool.subnet.contains(address) {
                true => Error::AddressNobodys { network, address },
                false => Error::AddressOutside { network, address },
            });
        }
        if pool.gateway == Some(address) {
            return Err(taken("the network itself, as its gateway".to_owned()));
        }
        if self.try_take(name, address, id)? {
            return Ok(address);
        }
        match self.owner(name, address)? {
            Some(owner) if owner != id && is_alive(&owner) => {
                Err(taken(format!("container {}", self.called(&owner))))
            }
            Some(owner) if owner != id => {
                self.reclaim(name, &Lease { address, owner })?;
                self.take_freed(name, address, id, taken)
            }
            Some(_) => Ok(address),
            None => self.take_freed(name, address, id, taken),
        }
    }

    /// Somebody else may be faster.
    fn take_freed(
        &self,
        network: &str,
        address: IpAddr,
        id: &str,
        taken: impl Fn(String) -> Error,
    ) -> Result<IpAddr, Error> {
        if self.try_take(network, address, id)? {
            Ok(address)
        } else {
            Err(taken("another container".to_owned()))
        }
    }

    fn take_any(
        &self,
        network: &Definition,
        pool: &Pool,
        id: &str,
        is_alive: &IsAlive<'_>,
    ) -> Result<IpAddr, Error> {
        let last = self.last_given(&network.name, pool.subnet);
        if let Some(address) = self.take_next(&network.name, pool, last, id)? {
            return Ok(address);
        }
        // Full, of what killed boxrs have left perhaps.
        for lease in self.leases(&network.name)? {
            if !is_alive(&lease.owner) {
                self.reclaim(&network.name, &lease)?;
            }
        }
        let taken = self.take_next(&network.name, pool, None, id)?;
        let subnet = pool.range.unwrap_or(pool.subnet);
        taken.ok_or_else(|| Error::Full { network: network.name.clone(), subnet })
    }

    /// The first free address after `last`, from the beginning again behind the end.
    fn take_next(
        &self,
        network: &str,
        pool: &Pool,
        last: Option<IpAddr>,
        id: &str,
    ) -> Result<Option<IpAddr>, Error> {
        let range = pool.range.unwrap_or(pool.subnet);
        // No directory holds more than this many leases; a subnet of IPv6 has no end.
        let count = range.span().saturating_add(1).min(1 << 20);
        let first = last.filter(|last| range.contains(*last)).map_or(0, |last| range.offset(last) + 1);
        for step in 0..count {
            let Some(address) = range.nth((first + step) % range.span().saturating_add(1).max(1)) else {
                continue;
            };
            if !pool.subnet.is_host(address) || pool.gateway == Some(address) {
                continue;
            }
            if self.try_take(network, address, id)? {
                self.note_given(network, address)?;
                return Ok(Some(address));
            }
        }
        Ok(None)
    }

    /// Whether the address is `id`'s now.
    fn try_take(&self, network: &str, address: IpAddr, id: &str) -> Result<bool, Error> {
        let path = self.leases_of(network).join(address.to_string());
        match symlink(id, &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed("make", &path)(error)),
        }
    }

    /// Gives an address back, if it is `id`'s.
    pub(crate) fn give_back(&self, network: &str, address: IpAddr, id: &str) -> Result<(), Error> {
        if self.owner(network, address)?.as_deref() != Some(id) {
            return Ok(());
        }
        files::remove(&self.leases_of(network).join(address.to_string()))
    }

    /// Gives back what a boxr that was killed had taken for `id` and not noted in `endpoints` yet.
    pub(crate) fn give_back_strays(&self, id: &str, endpoints: &[Endpoint]) -> Result<(), Error> {
        let is_noted = |network: &str, address: IpAddr| {
            let mut there = endpoints.iter().filter(|endpoint| endpoint.network == network);
            there.any(|endpoint| endpoint.addresses.iter().any(|(noted, _)| *noted == address))
        };
        for network in files::names(&self.state().join("nets"))? {
            for Lease { address, owner } in self.leases(&network)? {
                if owner == id && !is_noted(&network, address) {
                    self.give_back(&network, address, id)?;
                }
            }
        }
        Ok(())
    }

    /// Takes everything from a container that no longer lives, this address among it.
    pub(crate) fn reclaim(&self, network: &str, lease: &Lease) -> Result<(), Error> {
        self.detach(&lease.owner)?;
        self.give_back(network, lease.address, &lease.owner)
    }

    /// So that an address is not given again at once, and the next free one is found at once.
    fn last_given(&self, network: &str, subnet: Subnet) -> Option<IpAddr> {
        let link = fs::read_link(self.state_of(network).join(hint(subnet))).ok()?;
        link.to_string_lossy().parse().ok()
    }

    fn note_given(&self, network: &str, address: IpAddr) -> Result<(), Error> {
        let dir = self.state_of(network);
        let subnet = Subnet::of(address, 0);
        let path = dir.join(subnet.map(hint).unwrap_or("last4"));
        // A hint: whoever loses a race here has lost nothing.
        fs::remove_file(&path).unwrap_or_default();
        match symlink(address.to_string(), &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("make", &path)(error)),
            _ => Ok(()),
        }
    }
}

/// The name of the hint for addresses of this family.
fn hint(subnet: Subnet) -> &'static str {
    if subnet.is_ipv6() { "last6" } else { "last4" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::definition::{Driver, FORMAT};
    use crate::options::NetworkOptions;

    /// A network on disk with one subnet.
    fn network(dir: &std::path::Path, subnet: &str) -> (Networks, Definition) {
        let networks = Networks::new(dir, dir);
        let subnet: Subnet = subnet.parse().unwrap();
        let definition = Definition {
            format: FORMAT,
            id: "0".repeat(64),
            name: "blue".to_owned(),
            driver: Driver::Bridge,
            interface: "boxr0".to_owned(),
            pools: vec![Pool { subnet, gateway: subnet.nth(1), range: None }],
            internal: false,
            options: NetworkOptions::default(),
            said: Default::default(),
            labels: Default::default(),
            created: 0,
        };
        files::make_dir(&networks.leases_of("blue")).unwrap();
        (networks, definition)
    }

    #[test]
    fn an_address_is_given_once_also_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (networks, blue) = network(dir.path(), "10.5.0.0/24");
        let take =
            |id: usize| networks.take_lease(&blue, &blue.pools[0], None, &format!("{id:064}"), &|_| true);
        let given: BTreeSet<IpAddr> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..50)
                .map(|id| scope.spawn(move || (0..5).map(|_| take(id).unwrap()).collect::<Vec<_>>()))
                .collect();
            takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
        });
        assert_eq!(given.len(), 250);
        // 254 hosts, one of them the gateway.
        for id in 0..3 {
            take(id).unwrap();
        }
        assert!(matches!(take(0), Err(Error::Full { .. })));
    }

    #[test]
    fn what_the_dead_had_is_given_again() {
        let dir = tempfile::tempdir().unwrap();
        let (networks, blue) = network(dir.path(), "10.5.0.0/30");
        let pool = &blue.pools[0];
        let address = networks.take_lease(&blue, pool, None, "dead", &|_| true).unwrap();
        assert!(matches!(networks.take_lease(&blue, pool, None, "new", &|_| true), Err(Error::Full { .. })));
        assert_eq!(networks.take_lease(&blue, pool, None, "new", &|id| id != "dead").unwrap(), address);
        let wanted = Some(address);
        let taken = networks.take_lease(&blue, pool, wanted, "other", &|_| true);
        assert!(matches!(taken, Err(Error::AddressTaken { .. })));
        networks.give_back("blue", address, "other").unwrap();
        networks.give_back("blue", address, "new").unwrap();
        assert_eq!(networks.take_lease(&blue, pool, wanted, "other", &|_| true).unwrap(), address);
    }
}
