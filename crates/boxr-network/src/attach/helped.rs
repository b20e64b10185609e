//! A user's container on the default network: all of its network is a helper's.

use std::path::Path;

use super::{AttachRequest, Help, NetworkUse, Reservation};
use crate::attachment::Attachment;
use crate::claims::Asker;
use crate::error::Error;
use crate::helper::{self, Helper, Task, Wanted};
use crate::host_side::{self, HostLoopback, HostSide};
use crate::networks::{DEFAULT, IsAlive, Networks};
use crate::port::{PortSpec, Protocol};
use crate::publish::{self, Holds, Ipv6};
use crate::realm::Realm;
use crate::slirp4netns;

impl Networks {
    /// The same by a helper.
    pub(super) fn reserve_help(
        &self,
        attachment: Attachment,
        request: &AttachRequest<'_>,
        is_alive: &IsAlive<'_>,
    ) -> Result<Reservation<'_>, Error> {
        let helper = helper::find_for_container()?;
        check_networks(&helper, request.networks)?;
        check_ports(request.ports)?;
        if let Helper::Slirp4netns(_) = helper {
            slirp4netns::check_ports(request.ports)?;
        }
        let has_ipv6 = matches!(helper, Helper::Pasta(_)) && host_side::has_way_out_by_ipv6();
        check_ipv6(request.networks, has_ipv6)?;
        let (attachment, host) = with_host(&helper, attachment, request, has_ipv6);
        let mac = request.networks.first().and_then(|network| network.mac);
        let mut reservation = Reservation {
            networks: self,
            attachment: Attachment { helped: true, name_server: helper.name_server(), ..attachment },
            before: None,
            new: Vec::new(),
            holds: Holds::new(),
            connected: false,
            help: Some(Help { helper, mac, host, has_ipv6 }),
            realm: None,
        };
        let asker = Asker { networks: self, id: request.id, is_alive };
        // Found free and let go again: the helper binds them itself, while the first process, a copy of this
        // one, would still hold them.
        let ipv6 = if has_ipv6 { Ipv6::All } else { Ipv6::None };
        let (published, _) = publish::take(request.ports, None, ipv6, &asker)?;
        reservation.attachment.published = published;
        self.note_with_ports(&reservation.attachment, is_alive)?;
        Ok(reservation)
    }
}

impl Help {
    /// Starts it for the container's first process.
    pub(super) fn connect(&self, attachment: &Attachment, pid_file: &Path, pid: i32) -> Result<(), Error> {
        if self.has_ipv6 && !attachment.published.is_empty() {
            let opened = Realm::of(pid);
            let inside =
                opened.map_err(|errno| Error::system("open the network of", &attachment.name, errno))?;
            inside.run(crate::sysctl::announce_no_address)?;
        }
        self.helper.start(&Wanted {
            pid,
            published: &attachment.published,
            mac: self.mac,
            pid_file,
            task: Task::Container,
            host: self.host,
            ipv6: None,
        })
    }
}

fn check_networks(helper: &Helper, networks: &[NetworkUse]) -> Result<(), Error> {
    for wanted in networks {
        let unsupported =
            |why: &str| Error::Unsupported { network: wanted.name.clone(), why: why.to_owned() };
        if wanted.name != DEFAULT {
            return Err(unsupported("a container that is on it is on no other"));
        }
        if wanted.ip.is_some() || wanted.ip6.is_some() {
            return Err(unsupported(match helper {
                Helper::Pasta(_) => "without root a container has the host's address, and no other",
                Helper::Slirp4netns(_) => {
                    "behind slirp4netns a container has the address 10.0.2.100, and no other"
                }
            }));
        }
        let slirps = [None, Some(HostLoopback::Usual), Some(HostLoopback::At(slirp4netns::HOST))];
        if matches!(helper, Helper::Slirp4netns(_)) && !slirps.contains(&wanted.host_loopback) {
            return Err(unsupported(
                "slirp4netns has the host's loopback interface at 10.0.2.2, and nowhere else",
            ));
        }
    }
    Ok(())
}

/// An address of IPv6 for the host's loopback interface needs a container that has IPv6.
pub(super) fn check_ipv6(networks: &[NetworkUse], has_ipv6: bool) -> Result<(), Error> {
    let needs = |network: &&NetworkUse| network.host_loopback.is_some_and(HostLoopback::needs_ipv6);
    match networks.iter().find(needs).filter(|_| !has_ipv6) {
        Some(network) => Err(Error::Unsupported {
            network: network.name.clone(),
            why: "the host has no way out by IPv6, so pasta gives a container none, nor an address of it for the host's \
                  loopback interface"
                .to_owned(),
        }),
        None => Ok(()),
    }
}

/// Notes where the container reaches the host, and gives what pasta has to do for it.
fn with_host(
    helper: &Helper,
    attachment: Attachment,
    request: &AttachRequest<'_>,
    has_ipv6: bool,
) -> (Attachment, Option<HostSide>) {
    let loopback = request.networks.iter().find_map(|network| network.host_loopback);
    let noted = |host| Attachment { host, host_loopback: loopback, ..attachment.clone() };
    match (helper, loopback) {
        (Helper::Pasta(_), Some(loopback)) => {
            let (host, host6) = loopback.for_hosts();
            (Attachment { host6, ..noted(Some(host)) }, Some(loopback.side(has_ipv6)))
        }
        (Helper::Slirp4netns(_), Some(_)) => {
            let side = HostSide { at: slirp4netns::HOST, at6: None, has_loopback: true };
            (noted(Some(side.at.into())), Some(side))
        }
        (Helper::Slirp4netns(_), None) => (noted(host_side::address_of_host()), None),
        (Helper::Pasta(_), None) if request.asks_for_host => {
            (noted(host_side::address_of_host()), Some(HostSide::PLAIN))
        }
        // Its address is the container's, too.
        (Helper::Pasta(_), None) => (noted(None), None),
    }
}

/// What a helper passes on.
pub(crate) fn check_ports(ports: &[PortSpec]) -> Result<(), Error> {
    match ports.iter().find(|port| port.protocol == Protocol::Sctp) {
        Some(port) => Err(Error::invalid("port", &port.to_string(), "without root there are tcp and udp")),
        None => Ok(()),
    }
}
