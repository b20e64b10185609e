//! Ports that come and go while a container runs.

use std::os::fd::BorrowedFd;

use crate::attach::check_users_ports;
use crate::attachment::{Attachment, short};
use crate::claims::Asker;
use crate::error::{Collected, Error};
use crate::firewall::Firewall;
use crate::forwarder::Sockets;
use crate::helper;
use crate::networks::{IsAlive, Networks};
use crate::port::{HostPort, PortSpec, Published};
use crate::publish;

/// A container that runs.
#[derive(Clone, Copy, Debug)]
pub struct RunningBox<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its first process.
    pub pid: i32,
    /// The network namespace of that.
    pub namespace: BorrowedFd<'a>,
}

impl PortSpec {
    /// Whether a port that is published is meant: by the container's port, and by the host's where that is said.
    pub fn means(&self, published: &Published) -> bool {
        let host = |range: crate::port::PortRange| range.ports().any(|port| port == published.host);
        self.protocol == published.protocol
            && self.container.ports().any(|port| port == published.container)
            && self.host.is_none_or(host)
            && self.ip.is_none_or(|ip| published.ip == Some(ip))
    }

    /// What is left of it without the ports that `others` mean: one for each port.
    #[must_use]
    pub fn without(&self, others: &[PortSpec]) -> Vec<PortSpec> {
        let one = |port| crate::port::PortRange { first: port, last: port };
        let single = |(host, container): (HostPort, u16)| {
            let host = match host {
                HostPort::Exactly(port) => Some(one(port)),
                HostPort::OneOf(range) => Some(range),
                HostPort::Any => None,
            };
            PortSpec { ip: self.ip, host, container: one(container), protocol: self.protocol }
        };
        let all: Vec<PortSpec> = self.pairs().into_iter().map(single).collect();
        let meant = |port: &PortSpec| {
            others.iter().any(|other| {
                other.protocol == port.protocol
                    && other.container.ports().any(|number| number == port.container.first)
                    && other.host.is_none_or(|range| {
                        port.host
                            .is_none_or(|host| host.ports().any(|number| range.ports().any(|n| n == number)))
                    })
                    && other.ip.is_none_or(|ip| port.ip == Some(ip))
            })
        };
        let kept: Vec<PortSpec> = all.iter().filter(|port| !meant(port)).cloned().collect();
        if kept.len() == all.len() { vec![self.clone()] } else { kept }
    }
}

impl Networks {
    /// Publishes further ports of a container that runs. Whoever looks after it is still to hold them.
    ///
    /// # Errors
    /// A port that is taken; no network of the container's has ports. Nothing is changed then.
    pub fn publish_more(
        &self,
        container: RunningBox<'_>,
        specs: &[PortSpec],
        is_alive: &IsAlive<'_>,
    ) -> Result<Vec<Published>, Error> {
        let before = self.changeable(container.id)?;
        let endpoint = before.endpoints.iter().find(|endpoint| endpoint.takes_ports());
        let endpoint = endpoint.ok_or_else(|| Error::Unsupported {
            network: before.endpoints.first().map_or("none", |endpoint| &endpoint.network).to_owned(),
            why: "ports are published on bridge networks that are not internal and have a default route"
                .to_owned(),
        })?;
        if before.realm {
            check_users_ports(specs)?;
            helper::find()?;
        }
        let host_ip = self.find(&endpoint.network)?.options.host_ip;
        if !before.realm {
            publish::check_forwarded(specs, host_ip)?;
        }
        let ipv6 = before.ipv6_of_ports(endpoint);
        let asker = Asker { networks: self, id: container.id, is_alive };
        let (more, holds) = publish::take(specs, host_ip, ipv6, &asker)?;
        drop(holds);
        let after = Attachment { published: [&before.published[..], &more].concat(), ..before.clone() };
        // From here on one is missing, which whoever looks at networks starts with the ports that are noted then.
        let _alone = before.realm.then(|| self.lock_realm()).transpose()?;
        if before.realm {
            helper::vacate(&self.pid_file(container.id))?;
        }
        let only = Attachment { published: more.clone(), ..before.clone() };
        self.retire_forwarder_of(&only)?;
        self.note(&after)?;
        let done = self.claim_ports(&asker, &more).and_then(|()| match before.realm {
            true => self.lead_ports_again(&after, container),
            false => self.lead_ports(&after, &only),
        });
        match done {
            Ok(()) => Ok(more),
            Err(error) => {
                self.give_back_ports(&more, container.id)?;
                self.note(&before)?;
                if before.realm {
                    self.lead_ports_again(&before, container)?;
                }
                self.follow_with_forwarder(&after, &before)?;
                Err(error)
            }
        }
    }

    /// Ends publishing ports of a container that runs.
    ///
    /// # Errors
    /// One of `specs` means none; what could not be taken.
    pub fn publish_less(
        &self,
        container: RunningBox<'_>,
        specs: &[PortSpec],
    ) -> Result<Vec<Published>, Error> {
        let before = self.changeable(container.id)?;
        if let Some(spec) = specs.iter().find(|spec| !before.published.iter().any(|port| spec.means(port))) {
            let why = format!("container {} has published no such port", before.name);
            return Err(Error::invalid("port", &spec.to_string(), &why));
        }
        let is_meant = |port: &&Published| specs.iter().any(|spec| spec.means(port));
        let (gone, kept): (Vec<_>, Vec<_>) = before.published.iter().partition(is_meant);
        let (gone, kept): (Vec<Published>, Vec<Published>) =
            (gone.into_iter().cloned().collect(), kept.into_iter().cloned().collect());
        let after = Attachment { published: kept, ..before.clone() };
        let mut collected = Collected::default();
        let _alone = before.realm.then(|| self.lock_realm()).transpose()?;
        if before.realm {
            // Started again below; or, with the ports that are noted then, by whoever looks at networks.
            collected.take(helper::vacate(&self.pid_file(container.id)));
        } else {
            let only = Attachment { published: gone.clone(), ..before.clone() };
            // Started again below, or by whoever looks at networks.
            collected.take(self.retire_forwarder_of(&only));
            collected.take(Firewall::open().and_then(|mut firewall| firewall.withdraw(&only.forwards())));
        }
        collected.finish()?;
        self.give_back_ports(&gone, container.id)?;
        self.note(&after)?;
        if after.realm {
            self.lead_ports_again(&after, container)?;
        }
        self.follow_with_forwarder(&before, &after)?;
        Ok(gone)
    }

    /// Has what is published anew, `only`, lead to the container.
    fn lead_ports(&self, after: &Attachment, only: &Attachment) -> Result<(), Error> {
        if only.forwarding().is_some() {
            self.restart_forwarder(after, || Ok(Sockets::All))?;
        }
        let forwards = only.forwards_with_ports();
        if forwards.is_empty() {
            return Ok(());
        }
        let (ports, forwards): (Vec<Published>, Vec<_>) = forwards.into_iter().unzip();
        Firewall::open()?.publish(&forwards)?.map_err(|index| {
            let port = ports.get(index).map(ToString::to_string).unwrap_or_default();
            Error::PortTaken { port, owner: None }
        })
    }

    /// What a container has, if its ports can be changed while it runs.
    fn changeable(&self, id: &str) -> Result<Attachment, Error> {
        let container = short(id);
        let unsupported =
            |network: &str, why: String| Error::Unsupported { network: network.to_owned(), why };
        match self.attachment(id)? {
            None => Err(unsupported("none", format!("container {container} has no network of boxr's"))),
            Some(attachment) if attachment.helped => Err(unsupported(
                attachment.endpoints.first().map_or("bridge", |endpoint| &endpoint.network),
                format!(
                    "all of the network of container {container} is pasta's, which takes ports at its start only; \
                     change them while the container is stopped, or start it on a network of your own"
                ),
            )),
            Some(attachment) => Ok(attachment),
        }
    }

    /// The helper for a user's ports takes them at its start: it is started again.
    fn lead_ports_again(&self, attachment: &Attachment, container: RunningBox<'_>) -> Result<(), Error> {
        if !attachment.needs_helper() {
            return helper::end(&self.pid_file(&attachment.id));
        }
        let missing = || Error::system("find", "the user's network namespace", rustix::io::Errno::SRCH);
        let realm = self.realm()?.ok_or_else(missing)?;
        self.lead_ports_in(attachment, &realm, container.pid, container.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs(text: &[&str]) -> Vec<PortSpec> {
        text.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn ports_are_taken_out_of_ranges() {
        let [range] = &specs(&["8000-8002:80-82"])[..] else { panic!() };
        let left = |others: &[&str]| -> Vec<String> {
            range.without(&specs(others)).iter().map(ToString::to_string).collect()
        };
        assert_eq!(left(&["81"]), ["8000:80/tcp", "8002:82/tcp"]);
        assert_eq!(left(&["8001:81"]), ["8000:80/tcp", "8002:82/tcp"]);
        assert_eq!(left(&["9000:81", "80/udp"]), ["8000-8002:80-82/tcp"]);
        assert_eq!(left(&["80-82"]), Vec::<String>::new());
    }
}
