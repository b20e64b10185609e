//! Where a container reaches the host itself.

use std::net::IpAddr;

use super::{NetworkUse, Reservation};
use crate::address::Subnet;
use crate::attachment::Endpoint;
use crate::error::Error;
use crate::host_side;

/// Root's containers are on bridges, and what is behind a bridge is not the loopback interface.
pub(super) fn check_no_loopback(networks: &[NetworkUse]) -> Result<(), Error> {
    match networks.iter().find(|network| network.host_loopback.is_some()) {
        Some(network) => Err(Error::Unsupported {
            network: network.name.clone(),
            why: "only a helper without root leads to the host's loopback interface; as root let the service listen \
                  on the network's gateway, which host.containers.internal stands for"
                .to_owned(),
        }),
        None => Ok(()),
    }
}

impl Reservation<'_> {
    /// Where a container on networks of the user's realm reaches the host.
    pub(super) fn look_for_host(&mut self, uses: &[NetworkUse]) -> Result<(), Error> {
        let asked = uses.iter().zip(&self.attachment.endpoints);
        let asked = asked.filter_map(|(wanted, endpoint)| Some((wanted.host_loopback?, endpoint))).next();
        let Some((loopback, asked)) = asked else {
            let leads_out = self.attachment.endpoints.iter().any(|endpoint| !endpoint.internal);
            self.attachment.host = leads_out.then(host_side::address_of_host).flatten();
            return Ok(());
        };
        let unsupported =
            |why: &str| Error::Unsupported { network: asked.network.clone(), why: why.to_owned() };
        if asked.internal {
            return Err(unsupported("nothing leads out of it, nor to the host's loopback interface"));
        }
        let ipv6 = host_side::device_with_ipv6().is_some();
        super::helped::check_ipv6(uses, ipv6)?;
        let side = loopback.side(ipv6);
        let addresses = [Some(IpAddr::from(side.at)), side.at6.map(IpAddr::from)];
        let is_in = |endpoint: &Endpoint, side: IpAddr| {
            let subnets =
                endpoint.addresses.iter().filter_map(|(address, prefix)| Subnet::of(*address, *prefix));
            subnets.into_iter().any(|subnet| subnet.contains(side))
        };
        for side in addresses.into_iter().flatten() {
            if self.attachment.endpoints.iter().any(|endpoint| is_in(endpoint, side)) {
                return Err(unsupported(&format!(
                    "the host's loopback interface cannot be at {side}: that is a subnet's of the container",
                )));
            }
        }
        let (host, host6) = loopback.for_hosts();
        self.attachment.host = Some(host);
        self.attachment.host6 = host6;
        self.attachment.host_loopback = Some(loopback);
        Ok(())
    }
}
