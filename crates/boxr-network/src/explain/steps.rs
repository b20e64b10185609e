//! Stations on a packet's way, each looked at where it is.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::{Listening, Step, Verdict, listening};
use crate::attachment::Attachment;
use crate::beside::Post;
use crate::error::Error;
use crate::firewall::{Firewall, Foreign, Forward};
use crate::forwarder::Lead;
use crate::helper;
use crate::link::Links;
use crate::port::Published;

/// What was found on the way so far.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) steps: Vec<Step>,
    /// Chains of boxr's that lack rules.
    broken: Vec<&'static str>,
}

impl Way {
    fn add(&mut self, verdict: Verdict, station: &str, found: &str, remedy: Option<String>) {
        self.steps.push(Step { verdict, station: station.to_owned(), found: found.to_owned(), remedy });
    }

    /// What is so.
    pub(super) fn rule(&mut self, station: &str, found: &str) {
        self.add(Verdict::Ok, station, found, None);
    }

    /// What a chain of boxr's does, if it is whole.
    pub(super) fn own_rule(&mut self, chain: &str, what: &str) {
        if !self.broken.contains(&chain) {
            self.rule(chain, &format!("table inet boxr, chain {chain}: {what}"));
        }
    }

    pub(super) fn stops(&mut self, station: &str, found: &str, remedy: &str) {
        self.add(Verdict::Stops, station, found, Some(remedy.to_owned()));
    }

    /// Whoever has a socket on the port: packets go on before it would get them, but other programs are told.
    pub(super) fn holder(&mut self, port: &Published) {
        let owner = crate::publish::listener(port.host, port.protocol);
        match (owner, crate::publish::is_held(port)) {
            (Some(owner), _) => self.rule("socket", &format!("{port} is held by {owner}")),
            // Bound and not listening: the kernel lists no such socket.
            (None, true) => self.rule("socket", &format!("{port} is held, so that other programs are told")),
            (None, false) => self.add(
                Verdict::May,
                "socket",
                &format!("nobody holds {port}: another program could take it without being told"),
                Some("boxr restart CONTAINER".to_owned()),
            ),
        }
    }

    /// pasta, by the file with its pid.
    pub(super) fn helper(&mut self, name: &'static str, pid_file: &Path, what: &str) {
        match helper::running(pid_file) {
            Some(pid) => self.rule(name, &format!("{name} (process {pid}) {what}")),
            None => self.stops(
                name,
                &format!("its {name} does not run"),
                "boxr network reload, or boxr restart CONTAINER",
            ),
        }
    }

    /// The process that serves a port at `::1`.
    pub(super) fn forwarder(&mut self, post: &Post, attachment: &Attachment, port: &Published) {
        let is_it = |lead: &&Lead| lead.port == port.host && lead.protocol == port.protocol;
        let forwarding = attachment.forwarding();
        let lead = forwarding.as_ref().and_then(|forwarding| forwarding.leads.iter().find(is_it));
        match (post.pids().first(), lead) {
            (Some(pid), Some(lead)) => self.rule(
                "forwarder",
                &format!(
                    "boxr-forwarder (process {pid}) passes it on to {}, as the kernel leads nothing from ::1; the \
                     container sees the bridge's address as the client",
                    lead.to
                ),
            ),
            _ => self.stops("forwarder", "its boxr-forwarder does not run", "boxr network reload"),
        }
    }

    /// Whether the host forwards at all.
    pub(super) fn forwarding(&mut self, ipv6: bool) {
        let (name, file) = match ipv6 {
            false => ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
            true => ("net.ipv6.conf.all.forwarding", "/proc/sys/net/ipv6/conf/all/forwarding"),
        };
        let value = fs::read_to_string(file).unwrap_or_default();
        match value.trim() {
            "1" => self.rule("forwarding", &format!("{name} is 1")),
            other => {
                let found = format!("{name} is {other}: the host forwards nothing");
                self.stops("forwarding", &found, &format!("sysctl -w {name}=1"));
            }
        }
    }

    /// The fixed part of boxr's table, by the number of rules in each chain.
    pub(super) fn table(&mut self, firewall: &mut Firewall, chains: &[&str]) -> Result<(), Error> {
        for (chain, wanted, found) in firewall.rules()?.iter().filter(|(chain, ..)| chains.contains(chain)) {
            if found == wanted {
                continue;
            }
            let text = format!("table inet boxr, chain {chain}: {found} of {wanted} rules are there");
            self.stops("rules", &text, "boxr network reload");
            self.broken.push(chain);
        }
        Ok(())
    }

    /// The element of a published port.
    pub(super) fn element(&mut self, firewall: &mut Firewall, forward: &Forward) -> Result<(), Error> {
        let text = forward.to_string();
        match firewall.has(forward)? {
            true => self.rule("arrive", &format!("table inet boxr, chains arrive and local: {text}")),
            false => {
                let found = format!("table inet boxr: the element is missing: {text}");
                self.stops("arrive", &found, "boxr network reload");
            }
        }
        Ok(())
    }

    /// Tables of others that see a packet which is forwarded.
    pub(super) fn others(&mut self, firewall: &mut Firewall, bridge: &str) -> Result<(), Error> {
        for foreign in firewall.foreign()?.iter().filter(|foreign| foreign.may_drop()) {
            self.add(Verdict::May, "forward", &foreign.to_string(), Some(foreign.remedy(bridge)));
        }
        for table in crate::firewall::legacy_tables() {
            let found = format!("table {table} of iptables-legacy, which boxr cannot read, may drop it");
            self.add(Verdict::May, "forward", &found, Some(format!("iptables-legacy -t {table} -L -v -n")));
        }
        Ok(())
    }

    /// A device of the host's; its number.
    pub(super) fn device(
        &mut self,
        links: &mut Links,
        station: &str,
        name: &str,
        master: Option<u32>,
    ) -> Result<Option<u32>, Error> {
        let Some(found) = links.look_at(name)? else {
            self.stops(
                station,
                &format!("there is no device {name}"),
                "boxr network reload, or boxr restart CONTAINER",
            );
            return Ok(None);
        };
        match (found.up, master.is_none_or(|master| found.master == Some(master))) {
            (true, true) => self.rule(station, &format!("{name} is up")),
            (false, _) => self.stops(station, &format!("{name} is down"), &format!("ip link set {name} up")),
            (_, false) => {
                self.stops(station, &format!("{name} is no port of its bridge"), "boxr restart CONTAINER");
            }
        }
        Ok(Some(found.index))
    }

    /// The addresses of the container's device, as its own namespace has them.
    pub(super) fn addresses(&mut self, pid: Option<i32>, device: &str, wanted: &[IpAddr], container: &str) {
        let text = wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let Some(pid) = pid else {
            return self.stops("container", "it does not run", &format!("boxr start {container}"));
        };
        // What the kernel takes for the namespace's own: fib_trie(5) and if_inet6.
        let four = fs::read_to_string(format!("/proc/{pid}/net/fib_trie")).unwrap_or_default();
        let six = fs::read_to_string(format!("/proc/{pid}/net/if_inet6")).unwrap_or_default();
        let has = |address: &IpAddr| match address {
            IpAddr::V4(address) => {
                four.lines().any(|line| line.trim_start_matches([' ', '|', '-']) == address.to_string())
            }
            IpAddr::V6(address) => {
                let digits: String = address.octets().iter().map(|byte| format!("{byte:02x}")).collect();
                six.lines().any(|line| line.starts_with(&digits))
            }
        };
        match wanted.iter().find(|address| !has(address)) {
            None => self.rule("address", &format!("{device} of the container has {text}")),
            Some(lost) => {
                self.stops(
                    "address",
                    &format!("the container has lost {lost}"),
                    &format!("boxr restart {container}"),
                );
            }
        }
    }

    /// Who listens in the container.
    pub(super) fn listener(&mut self, pid: Option<i32>, port: &Published) {
        let Some(pid) = pid else { return };
        let what = format!("{}/{}", port.container, port.protocol.name());
        let found = listening(&pid.to_string(), port.container, port.protocol);
        if found.is_empty() {
            let text = format!("nothing listens in the container on {what}");
            return self.stops(
                "listener",
                &text,
                "start what is to serve there, or publish the port that it listens on",
            );
        }
        let only_lo = found.iter().all(|socket| socket.ip.is_loopback());
        let names: Vec<String> = found.iter().map(|socket| named(socket, port.container)).collect();
        match only_lo {
            true => self.stops(
                "listener",
                &format!("{} listens on the container's own loopback interface only", names.join(", ")),
                "have it listen on 0.0.0.0",
            ),
            false => self.rule("listener", &format!("{} in the container", names.join(", "))),
        }
    }
}

fn named(socket: &Listening, port: u16) -> String {
    let program = socket.program.as_deref().unwrap_or("a process");
    format!("{program} listens on {}", std::net::SocketAddr::new(socket.ip, port))
}

impl Foreign {
    /// What lets boxr's packets through there.
    pub(crate) fn remedy(&self, bridge: &str) -> String {
        let accepts = |chain: &str| {
            format!("iptables -I {chain} -o {bridge} -j ACCEPT; iptables -I {chain} -i {bridge} -j ACCEPT")
        };
        match (self.table.as_str(), self.chain.as_str(), self.has_docker) {
            ("filter", "FORWARD", true) => accepts("DOCKER-USER"),
            ("filter", "FORWARD", false) => accepts("FORWARD"),
            ("firewalld", ..) => format!(
                "firewall-cmd --permanent --zone=trusted --add-interface={bridge}; firewall-cmd --reload"
            ),
            (table, chain, _) => format!("nft list chain {} {table} {chain}", self.family),
        }
    }
}
