//! The way of a packet to a container and from it, as the kernel says that it is now.

mod sockets;
mod steps;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::attachment::{Attachment, Endpoint, short};
use crate::error::Error;
use crate::firewall::Firewall;
use crate::link::Links;
use crate::networks::{IsAlive, Networks, membership};
use crate::port::{Protocol, Published};
use crate::realm::Realm;
use steps::Way;

pub(crate) use sockets::owner;
use sockets::{Listening, listening};

/// How one station on the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The packet goes on.
    Ok,
    /// Somebody else decides, and may drop it.
    May,
    /// Here it ends.
    Stops,
}

/// One station on a packet's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// How it is.
    pub verdict: Verdict,
    /// What it is: `bridge`, `forward`…
    pub station: String,
    /// What was found there.
    pub found: String,
    /// What to do, where it is not ok.
    pub remedy: Option<String>,
}

/// One way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// From where to where.
    pub title: String,
    /// In the order in which a packet meets them.
    pub steps: Vec<Step>,
}

impl Path {
    /// Whether a packet comes through, as far as boxr decides.
    pub fn is_open(&self) -> bool {
        self.steps.iter().all(|step| step.verdict != Verdict::Stops)
    }
}

impl Networks {
    /// The ways to a port of the host's that containers have published.
    ///
    /// # Errors
    /// Nobody has published it; what the kernel does not tell.
    pub fn explain_port(
        &self,
        port: u16,
        protocol: Option<Protocol>,
        is_alive: &IsAlive<'_>,
        process: &dyn Fn(&str) -> Option<i32>,
    ) -> Result<Vec<Path>, Error> {
        let is_meant = |published: &Published| {
            published.host == port && protocol.is_none_or(|said| said == published.protocol)
        };
        let mut paths = Vec::new();
        for attachment in self.attachments()?.iter().filter(|attachment| is_alive(&attachment.id)) {
            for published in attachment.published.iter().filter(|published| is_meant(published)) {
                paths.push(self.way_in(attachment, published, process)?);
            }
        }
        if paths.is_empty() {
            let protocol = protocol.unwrap_or_default();
            let owner = crate::publish::listener(port, protocol);
            let owner = owner.map(|owner| format!("; {owner} listens on it")).unwrap_or_default();
            let why = format!("no container that runs has published it{owner}");
            return Err(Error::invalid("port", &format!("{port}/{}", protocol.name()), &why));
        }
        Ok(paths)
    }

    /// All ways of a container that runs: in by its ports, and out.
    ///
    /// # Errors
    /// It has no network of boxr's; what the kernel does not tell.
    pub fn explain_container(
        &self,
        id: &str,
        process: &dyn Fn(&str) -> Option<i32>,
    ) -> Result<Vec<Path>, Error> {
        let none = || Error::Unsupported {
            network: "none".to_owned(),
            why: format!("container {} does not run on a network of boxr's", short(id)),
        };
        let attachment = self.attachment(id)?.ok_or_else(none)?;
        let ways = attachment.published.iter().map(|published| self.way_in(&attachment, published, process));
        let mut paths = ways.collect::<Result<Vec<_>, _>>()?;
        paths.push(self.way_out(&attachment, process)?);
        Ok(paths)
    }

    fn way_in(
        &self,
        attachment: &Attachment,
        port: &Published,
        process: &dyn Fn(&str) -> Option<i32>,
    ) -> Result<Path, Error> {
        let title = format!("port {port} of the host to {} ({})", attachment.name, short(&attachment.id));
        let mut way = Way::default();
        let pid = process(&attachment.id);
        way.holder(port);
        if attachment.helped || attachment.realm {
            let what = match attachment.name_server {
                None => "passes it on from its socket, with the client's address",
                Some(_) => "passes it on from its socket; the container sees 10.0.2.2 as the client",
            };
            way.helper(attachment.helper(), &self.pid_file(&attachment.id), what);
            way.listener(pid, port);
            return Ok(Path { title, steps: way.steps });
        }
        let endpoint = attachment.endpoints.iter().find(|endpoint| endpoint.takes_ports());
        let Some(endpoint) = endpoint else {
            way.stops("network", "the container is on none that has ports", "boxr network connect");
            return Ok(Path { title, steps: way.steps });
        };
        if attachment.is_forwarded(port) {
            way.forwarder(&self.forwarder(&attachment.id), attachment, port);
            self.way_to_device(&mut way, attachment, endpoint, pid)?;
            way.listener(pid, port);
            return Ok(Path { title, steps: way.steps });
        }
        let mut firewall = Firewall::open()?;
        way.forwarding(endpoint.address(false).is_none());
        way.table(&mut firewall, &["arrive", "local", "forward", "leave"])?;
        for (published, forward) in attachment.forwards_with_ports() {
            if published == *port {
                way.element(&mut firewall, &forward)?;
            }
        }
        way.others(&mut firewall, &endpoint_bridge(self, endpoint)?)?;
        way.own_rule("forward", "ct status dnat accept");
        self.way_to_device(&mut way, attachment, endpoint, pid)?;
        way.listener(pid, port);
        way.own_rule(
            "leave",
            "the client keeps its address; 127.0.0.1 and neighbours come from the bridge's",
        );
        Ok(Path { title, steps: way.steps })
    }

    /// Bridge, pair, address.
    fn way_to_device(
        &self,
        way: &mut Way,
        attachment: &Attachment,
        endpoint: &Endpoint,
        pid: Option<i32>,
    ) -> Result<(), Error> {
        let mut links = Links::open()?;
        let bridge = endpoint_bridge(self, endpoint)?;
        let master = way.device(&mut links, "bridge", &bridge, None)?;
        if let Some(outside) = &endpoint.outside {
            way.device(&mut links, "pair", outside, master)?;
        }
        let addresses: Vec<IpAddr> = endpoint.addresses.iter().map(|(address, _)| *address).collect();
        way.addresses(pid, &endpoint.inside, &addresses, short(&attachment.id));
        Ok(())
    }

    fn way_out(&self, attachment: &Attachment, process: &dyn Fn(&str) -> Option<i32>) -> Result<Path, Error> {
        let title = format!("from {} ({}) out", attachment.name, short(&attachment.id));
        let pid = process(&attachment.id);
        let mut way = Way::default();
        if attachment.helped {
            way.helper(
                attachment.helper(),
                &self.pid_file(&attachment.id),
                "sends it on from sockets of the user's",
            );
            return Ok(Path { title, steps: way.steps });
        }
        match self.realm()?.filter(|_| attachment.realm) {
            Some(realm) => {
                way.steps = realm.run(|| {
                    let mut way = Way::default();
                    self.way_out_here(&mut way, attachment, pid)?;
                    Ok(way.steps)
                })?;
                self.way_out_of_realm(&mut way, attachment, &realm);
            }
            None if attachment.realm => way.stops(
                "realm",
                "the process that holds the user's networks has ended",
                "boxr network reload",
            ),
            None => self.way_out_here(&mut way, attachment, pid)?,
        }
        Ok(Path { title, steps: way.steps })
    }

    fn way_out_of_realm(&self, way: &mut Way, attachment: &Attachment, _realm: &Realm) {
        if attachment.endpoints.iter().any(|endpoint| !endpoint.internal) {
            way.helper("pasta", &self.realm_helper(), "sends it on from sockets of the user's");
        }
    }

    fn way_out_here(&self, way: &mut Way, attachment: &Attachment, pid: Option<i32>) -> Result<(), Error> {
        let Some(endpoint) = attachment.leads_out() else {
            let all: Vec<&str> =
                attachment.endpoints.iter().map(|endpoint| endpoint.network.as_str()).collect();
            let found = format!("its networks lead nowhere else ({}): no default route", all.join(", "));
            way.stops("route", &found, "boxr network connect NETWORK CONTAINER");
            return Ok(());
        };
        if endpoint.driver.is_on_wire() {
            way.rule(
                "device",
                &format!("{} is on the host's wire: nothing of boxr's is in the way", endpoint.inside),
            );
            return Ok(());
        }
        let mut firewall = Firewall::open()?;
        self.way_to_device(way, attachment, endpoint, pid)?;
        way.forwarding(endpoint.address(false).is_none());
        way.table(&mut firewall, &["forward", "leave"])?;
        let network = self.find(&endpoint.network)?;
        way.others(&mut firewall, &network.interface)?;
        way.own_rule("forward", "no rule of it drops what leaves the bridge for elsewhere");
        let what = match network.options.keeps_source {
            true => "keeps its address: the answer needs a route to this host",
            false => "masquerade",
        };
        for (found, subnet) in firewall.leaving(&membership(&network))? {
            match found {
                true => way.rule("leave", &format!("table inet boxr, chain leave: ip saddr {subnet} {what}")),
                false => way.stops(
                    "leave",
                    &format!("{subnet} is in no set of subnets that leave"),
                    "boxr network reload",
                ),
            }
        }
        Ok(())
    }
}

fn endpoint_bridge(networks: &Networks, endpoint: &Endpoint) -> Result<String, Error> {
    Ok(networks.find(&endpoint.network)?.interface)
}

/// What others' rules may do to packets that the host forwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardRules {
    /// Chains that may drop them, in words, each with what lets boxr's through.
    pub foreign: Vec<(String, String)>,
    /// Tables of iptables-legacy, which nobody can read through nf_tables.
    pub legacy: Vec<String>,
}

/// Looks at the rules of the caller's network namespace. Without `CAP_NET_ADMIN` there is nothing to be seen.
///
/// # Errors
/// The kernel has no nf_tables.
pub fn forward_rules() -> Result<ForwardRules, Error> {
    let mut firewall = Firewall::open()?;
    let chains = match firewall.foreign() {
        Err(Error::Firewall { errno: rustix::io::Errno::PERM, .. }) => Vec::new(),
        chains => chains?,
    };
    let dropping = chains.iter().filter(|chain| chain.may_drop());
    // A chain of the bridge family is asked of what stays on the bridge, too: the interface is boxr's first.
    let foreign = dropping.map(|chain| (chain.to_string(), chain.remedy("boxr0"))).collect();
    Ok(ForwardRules { foreign, legacy: crate::firewall::legacy_tables() })
}
