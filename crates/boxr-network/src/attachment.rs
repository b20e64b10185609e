//! What a container has of networks: its record on disk.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::address::MacAddress;
use crate::definition::Driver;
use crate::error::Error;
use crate::files::{self, Existing, Lasting};
use crate::firewall::Forward;
use crate::host_side::{self, HostLoopback};
use crate::link::WayOut;
use crate::networks::Networks;
use crate::options::DefaultRoute;
use crate::port::Published;
use crate::publish::Ipv6;

/// `boxes/ID.json`: what a container has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: String,
    /// Its name when it was attached.
    pub name: String,
    /// Where it is attached.
    pub endpoints: Vec<Endpoint>,
    /// Ports of the host's that lead into it.
    pub published: Vec<Published>,
    /// Further names on all of its networks: of those that share them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// Whether a helper without privilege does all this.
    #[serde(default)]
    pub helped: bool,
    /// Where the helper itself answers names: slirp4netns does; pasta leads to the host's name servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_server: Option<IpAddr>,
    /// Name servers that the networks' resolvers ask for it, in place of the host's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<IpAddr>,
    /// Whether its networks are in the user's realm.
    #[serde(default)]
    pub realm: bool,
    /// Where it reaches the host, if not at its gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<IpAddr>,
    /// Where it reaches the host as well, by IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host6: Option<IpAddr>,
    /// Whether the host's loopback interface is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_loopback: Option<HostLoopback>,
    /// Written before addresses are taken and gone when all are noted: until then what it has is to be looked for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reserving: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Attachment {
    /// Nothing yet.
    pub(crate) fn new(id: &str, name: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            endpoints: Vec::new(),
            published: Vec::new(),
            members: Vec::new(),
            helped: false,
            name_server: None,
            servers: Vec::new(),
            realm: false,
            host: None,
            host6: None,
            host_loopback: None,
            reserving: false,
        }
    }
}

impl Attachment {
    /// Whether a container on networks of the user's realm has a helper of its own beside it.
    pub(crate) fn needs_helper(&self) -> bool {
        !self.published.is_empty() || self.host_loopback.is_some()
    }

    /// Which ports of IPv6 lead to it: in a realm by its helper.
    pub(crate) fn ipv6_of_ports(&self, endpoint: &Endpoint) -> Ipv6 {
        match self.realm {
            true if host_side::device_with_ipv6().is_some() => Ipv6::All,
            true => Ipv6::None,
            false if endpoint.address(true).is_some() => Ipv6::All,
            false => Ipv6::Loopback,
        }
    }

    /// The endpoint through which default routes of IPv4, or of IPv6, lead, and how: of those with the lowest metric
    /// the first.
    fn way_out(&self, ipv6: bool) -> Option<(usize, WayOut)> {
        let way = |(place, endpoint): (usize, &Endpoint)| {
            // A network may have several subnets of one kind.
            let gateway = endpoint.gateways.iter().copied().find(|gateway| gateway.is_ipv6() == ipv6)?;
            let route = endpoint.default_route;
            Some((route.rank()?, place, WayOut { gateway, metric: route.metric() }))
        };
        let ways = self.endpoints.iter().enumerate().filter_map(way);
        ways.min_by_key(|(rank, ..)| *rank).map(|(_, place, way)| (place, way))
    }

    /// The default routes through the endpoint at this place.
    pub(crate) fn ways_out_at(&self, place: usize) -> Vec<WayOut> {
        let ways = [false, true].into_iter().filter_map(|ipv6| self.way_out(ipv6));
        ways.filter(|(at, _)| *at == place).map(|(_, way)| way).collect()
    }

    /// The endpoint through which packets leave: of IPv4, where that has a way out.
    pub(crate) fn leads_out(&self) -> Option<&Endpoint> {
        self.way_out(false).or_else(|| self.way_out(true)).and_then(|(place, _)| self.endpoints.get(place))
    }

    /// Where it reaches the host.
    pub fn way_to_host(&self) -> Option<IpAddr> {
        // The gateway of a user's network is in his realm, and has nothing of the host's.
        let gateways = self.endpoints.iter().filter(|_| !self.realm).flat_map(|endpoint| &endpoint.gateways);
        self.host.or_else(|| gateways.copied().next())
    }

    /// The name of the helper, for one that has it.
    pub(crate) fn helper(&self) -> &'static str {
        if self.name_server.is_some() { crate::slirp4netns::PROGRAM } else { "pasta" }
    }
}

/// A container on one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network's name.
    pub network: String,
    /// How the network comes to be.
    pub driver: Driver,
    /// Whether nothing leaves the network.
    pub internal: bool,
    /// The host's end of the pair.
    pub outside: Option<String>,
    /// The device in the container.
    pub inside: String,
    /// Its addresses, each with the length of its subnet.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The ways out, whether they are default routes or not.
    pub gateways: Vec<IpAddr>,
    /// Whether those are default routes.
    #[serde(default, skip_serializing_if = "DefaultRoute::is_usual")]
    pub default_route: DefaultRoute,
    /// Where names are answered.
    #[serde(default)]
    pub resolver: Option<IpAddr>,
    /// Its hardware address.
    pub mac: Option<MacAddress>,
    /// Further names on this network.
    pub aliases: Vec<String>,
}

impl Endpoint {
    /// Its address of IPv4, or of IPv6.
    pub fn address(&self, ipv6: bool) -> Option<IpAddr> {
        self.addresses.iter().map(|(address, _)| *address).find(|address| address.is_ipv6() == ipv6)
    }

    /// Whether ports of the host's can lead here.
    pub(crate) fn takes_ports(&self) -> bool {
        // What comes from elsewhere is answered by a default route.
        self.driver == Driver::Bridge && !self.internal && self.default_route.rank().is_some()
    }
}

impl Attachment {
    /// What is published, address by address.
    pub(crate) fn forwards(&self) -> Vec<Forward> {
        self.published.iter().flat_map(|port| self.forwards_of(port)).map(|(_, forward)| forward).collect()
    }

    /// The same, each with what it comes from.
    pub(crate) fn forwards_with_ports(&self) -> Vec<(Published, Forward)> {
        self.published.iter().flat_map(|port| self.forwards_of(port)).collect()
    }

    fn forwards_of(&self, port: &Published) -> Vec<(Published, Forward)> {
        // A helper does it there, or a forwarder.
        if self.realm || self.is_forwarded(port) {
            return Vec::new();
        }
        let Some(endpoint) = self.endpoints.iter().find(|endpoint| endpoint.takes_ports()) else {
            return Vec::new();
        };
        let family = |ipv6: bool| port.ip.is_none_or(|ip| ip.is_ipv6() == ipv6);
        let forward = |ipv6: bool| {
            let to = endpoint.address(ipv6).filter(|_| family(ipv6))?;
            let ip = port.ip.filter(|ip| !ip.is_unspecified());
            Some((
                port.clone(),
                Forward { ip, port: port.host, protocol: port.protocol, to: (to, port.container) },
            ))
        };
        [false, true].into_iter().filter_map(forward).collect()
    }
}

/// The first twelve digits of an id, as people see it.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

impl Networks {
    /// What the container of this id has; `None` when it has nothing.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn attachment(&self, id: &str) -> Result<Option<Attachment>, Error> {
        files::read(&self.boxes().join(format!("{id}.json")))
    }

    /// What people call a container that has something of networks: its name, or its short id.
    pub(crate) fn called(&self, id: &str) -> String {
        let known = self.attachment(id).ok().flatten();
        known.map_or_else(|| short(id).to_owned(), |attachment| attachment.name)
    }

    /// What each container has.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn attachments(&self) -> Result<Vec<Attachment>, Error> {
        let mut all = Vec::new();
        for file in files::names(&self.boxes())? {
            if let Some(id) = file.strip_suffix(".json") {
                all.extend(self.attachment(id)?);
            }
        }
        Ok(all)
    }

    /// Whether `name` is one of what `id` has of networks, from now on. Nothing where it has none.
    ///
    /// # Errors
    /// The record cannot be read or written.
    pub fn name_member(&self, id: &str, name: &str, is_one: bool) -> Result<(), Error> {
        if self.attachment(id)?.is_none_or(|known| known.members.iter().any(|other| other == name) == is_one)
        {
            return Ok(());
        }
        // Others come and go at the same time.
        let _alone = self.lock()?;
        let Some(mut attachment) = self.attachment(id)? else { return Ok(()) };
        attachment.members.retain(|other| other != name);
        if is_one {
            attachment.members.push(name.to_owned());
        }
        self.note(&attachment)
    }

    pub(crate) fn note(&self, attachment: &Attachment) -> Result<(), Error> {
        files::make_dir(&self.boxes())?;
        let path = self.boxes().join(format!("{}.json", attachment.id));
        files::write(&path, attachment, Existing::Replace, Lasting::No)
    }

    /// Where the helper of a container writes its pid.
    pub(crate) fn pid_file(&self, id: &str) -> PathBuf {
        self.boxes().join(format!("{id}.pid"))
    }

    pub(crate) fn forget(&self, id: &str) -> Result<(), Error> {
        files::remove(&self.boxes().join(format!("{id}.json")))
    }
}
