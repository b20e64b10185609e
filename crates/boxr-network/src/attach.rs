//! A container comes to its networks, and leaves them.
//!
//! First everything is checked and reserved: addresses, ports, the record. Nothing of that needs the container's
//! namespace, so a start that is refused has made no process. Then the devices are made. What fails in between
//! is rolled back whole.

mod helped;
mod host;

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

use crate::address::MacAddress;
use crate::attachment::{Attachment, Endpoint, short};
use crate::claims::Asker;
use crate::definition::{Definition, Driver};
use crate::error::{Collected, Error};
use crate::files::{self, Lock, Sharing};
use crate::firewall::Firewall;
use crate::helper::{self, Helper};
use crate::host_side::{HostLoopback, HostSide};
use crate::link::Links;
use crate::networks::{IsAlive, Networks};
use crate::port::PortSpec;
use crate::publish::{self, Holds};
use crate::realm::{Owner, Realm};

pub(crate) use helped::check_ports as check_users_ports;

/// One network that a container is to be on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkUse {
    /// Its name, or the beginning of its id.
    pub name: String,
    /// The address of IPv4; a free one when `None`.
    pub ip: Option<IpAddr>,
    /// The address of IPv6.
    pub ip6: Option<IpAddr>,
    /// The hardware address.
    pub mac: Option<MacAddress>,
    /// Further names.
    pub aliases: Vec<String>,
    /// The name of the device inside; the first free one of `eth0`, `eth1`…, or of the network's prefix, when `None`.
    pub interface: Option<String>,
    /// Whether the container reaches the host's loopback interface, and where: without root alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_loopback: Option<HostLoopback>,
}

/// What a container is to have.
#[derive(Clone, Debug)]
pub struct AttachRequest<'a> {
    /// The container's id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Networks, the one with the default route first.
    pub networks: &'a [NetworkUse],
    /// Ports to publish.
    pub ports: &'a [PortSpec],
    /// Name servers that are asked for it, in place of the host's.
    pub servers: &'a [IpAddr],
    /// Whether it has to know an address of the host's.
    pub asks_for_host: bool,
    /// How it is done.
    pub means: Means,
}

impl AttachRequest<'_> {
    /// What the container has before it has anything.
    fn nothing_yet(&self) -> Attachment {
        Attachment { servers: self.servers.to_vec(), ..Attachment::new(self.id, self.name) }
    }
}

/// How a container comes to its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// By devices and rules of the kernel's, for which `CAP_NET_ADMIN` is needed.
    Kernel,
    /// By a helper that needs no privilege.
    Helper,
    /// By devices and rules in the user's own realm, and a helper for its way out.
    Realm,
}

/// Addresses and ports that were taken for a container; given back when dropped unconnected.
#[derive(Debug)]
pub struct Reservation<'n> {
    networks: &'n Networks,
    attachment: Attachment,
    /// What there was before, for a container that runs already.
    before: Option<Attachment>,
    /// The networks of the new endpoints, which are the last ones.
    new: Vec<Definition>,
    holds: Holds,
    connected: bool,
    help: Option<Help>,
    /// Where its devices are made, for a user's container.
    realm: Option<Realm>,
}

/// The helper of a container.
#[derive(Debug)]
struct Help {
    helper: Helper,
    mac: Option<MacAddress>,
    host: Option<HostSide>,
    /// Whether the container has IPv6, and its ports.
    has_ipv6: bool,
}

/// A container that is on its networks.
#[derive(Debug)]
pub struct Connected {
    /// What it has.
    pub attachment: Attachment,
    /// To be held while it runs.
    pub holds: Holds,
}

impl Networks {
    /// Checks what is asked for and reserves it.
    ///
    /// # Errors
    /// No such network, an address or a port that is taken, something the network does not have. Nothing is kept.
    pub fn reserve(
        &self,
        request: &AttachRequest<'_>,
        is_alive: &IsAlive<'_>,
    ) -> Result<Reservation<'_>, Error> {
        let attachment = request.nothing_yet();
        // Of an earlier start that was killed.
        self.detach(request.id)?;
        match request.means {
            Means::Helper => return self.reserve_help(attachment, request, is_alive),
            Means::Kernel => host::check_no_loopback(request.networks)?,
            Means::Realm => {}
        }
        let attachment = Attachment { realm: request.means == Means::Realm, ..attachment };
        if attachment.realm {
            check_users_ports(request.ports)?;
        }
        let mut reservation = self.extend(attachment, None, request.networks, is_alive)?;
        reservation.publish(request.ports, is_alive)?;
        if reservation.attachment.realm {
            reservation.look_for_host(request.networks)?;
            if reservation.attachment.needs_helper() {
                helper::find()?;
            }
            // Found free and let go again: the helper binds them.
            reservation.holds.clear();
        }
        self.note_with_ports(&reservation.attachment, is_alive)?;
        Ok(reservation)
    }

    /// The same for one more network of a container that runs.
    ///
    /// # Errors
    /// As [`Networks::reserve`]; it is on that network already.
    pub fn reserve_more(
        &self,
        request: &AttachRequest<'_>,
        is_alive: &IsAlive<'_>,
    ) -> Result<Reservation<'_>, Error> {
        let mut before = self.attachment(request.id)?;
        if let Some(before) = &mut before
            && std::mem::take(&mut before.reserving)
        {
            self.give_back_strays(request.id, &before.endpoints)?;
        }
        if request.means != Means::Kernel && !before.as_ref().is_some_and(|before| before.realm) {
            // Its user namespace is not below the realm's, so that no device can be moved into it.
            let why = format!(
                "container {} runs without a network of the user's own, and gets none while it runs; it is put on \
                 one when it is stopped",
                short(request.id)
            );
            let network = request.networks.first().map(|network| network.name.clone()).unwrap_or_default();
            return Err(Error::Unsupported { network, why });
        }
        let base = before.clone().unwrap_or_else(|| request.nothing_yet());
        let reservation = self.extend(base, before, request.networks, is_alive)?;
        self.note(&reservation.attachment)?;
        Ok(reservation)
    }

    fn extend(
        &self,
        attachment: Attachment,
        before: Option<Attachment>,
        uses: &[NetworkUse],
        is_alive: &IsAlive<'_>,
    ) -> Result<Reservation<'_>, Error> {
        self.note(&Attachment { reserving: true, ..attachment.clone() })?;
        let mut reservation = Reservation {
            networks: self,
            attachment,
            before,
            new: Vec::new(),
            holds: Holds::new(),
            connected: false,
            help: None,
            realm: None,
        };
        for wanted in uses {
            let network = self.find(&wanted.name)?;
            reservation.add(network, wanted, is_alive)?;
        }
        Ok(reservation)
    }

    /// The lock of a network that is not to be removed meanwhile. Makes its directory if it is missing.
    fn hold_network(&self, network: &str) -> Result<Lock, Error> {
        let place = self.state_of(network);
        let leases = self.leases_of(network);
        loop {
            if let Some(lock) = files::lock(&place, Sharing::Shared)?
                && leases.exists()
            {
                return Ok(lock);
            }
            files::make_dir(&leases)?;
        }
    }

    /// Holds the published ports of a container whose holder was killed, as far as they can be had.
    ///
    /// # Errors
    /// Its record cannot be read.
    pub fn hold_again(&self, id: &str) -> Result<Holds, Error> {
        let attachment = self.attachment(id)?.filter(|attachment| !attachment.helped && !attachment.realm);
        let Some(attachment) = attachment else { return Ok(Holds::new()) };
        // A forwarder has its own.
        let ports = attachment.published.iter().filter(|port| !attachment.is_forwarded(port));
        Ok(publish::take_again(ports))
    }

    /// Takes everything of networks from a container: ports, devices, addresses, the record. What it does not
    /// have is taken already.
    ///
    /// # Errors
    /// What could not be taken, after the rest was.
    pub fn detach(&self, id: &str) -> Result<(), Error> {
        self.detach_by(id, Links::remove)
    }

    /// The same for a container whose end a person waits for. The kernel takes a pair down with the container's
    /// namespace, and removing it takes 15 ms. Setting it down would keep the namespace: a connection that is about
    /// to be closed would not hear of the other side any more.
    ///
    /// # Errors
    /// As [`Networks::detach`].
    pub fn detach_quickly(&self, id: &str) -> Result<(), Error> {
        self.detach_by(id, |_, _| Ok(()))
    }

    fn detach_by(&self, id: &str, how: fn(&mut Links, &str) -> Result<(), Error>) -> Result<(), Error> {
        let Some(attachment) = self.attachment(id)? else { return Ok(()) };
        let mut collected = Collected::default();
        if attachment.helped || attachment.realm {
            collected.take(helper::end(&self.pid_file(id)));
        }
        collected.take(self.end_forwarder(&attachment));
        // In a realm the kernel takes devices down with their container.
        let how = if attachment.realm { |_: &mut Links, _: &str| Ok(()) } else { how };
        let forwards = attachment.forwards();
        if !forwards.is_empty() {
            collected.take(
                Firewall::open_to_remove().and_then(|firewall| {
                    firewall.map_or(Ok(()), |mut firewall| firewall.withdraw(&forwards))
                }),
            );
        }
        collected.take(self.leave(id, &attachment.endpoints, how));
        collected.take(self.give_back_ports(&attachment.published, id));
        if attachment.reserving {
            collected.take(self.give_back_strays(id, &[]));
        }
        collected.finish()?;
        self.forget(id)?;
        // Whoever looks after networks may have started one again meanwhile; from now on none comes.
        self.end_forwarder(&attachment)?;
        if attachment.realm { self.end_deserted_realm() } else { Ok(()) }
    }

    /// `how` ends a device.
    fn leave(
        &self,
        id: &str,
        endpoints: &[Endpoint],
        how: fn(&mut Links, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut collected = Collected::default();
        let outsides: Vec<&str> =
            endpoints.iter().filter_map(|endpoint| endpoint.outside.as_deref()).collect();
        if !outsides.is_empty() {
            match Links::open() {
                Ok(mut links) => outsides.iter().for_each(|outside| collected.take(how(&mut links, outside))),
                Err(error) => collected.take(Err(error)),
            }
        }
        for endpoint in endpoints {
            for (address, _) in &endpoint.addresses {
                collected.take(self.give_back(&endpoint.network, *address, id));
            }
        }
        collected.finish()
    }

    /// Takes a running container from one network. `namespace` is its network namespace.
    ///
    /// # Errors
    /// It is not on that network; what could not be taken, after the rest was.
    pub fn disconnect(&self, id: &str, network: &str, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        let is_in_realm = self.attachment(id)?.is_some_and(|attachment| attachment.realm);
        match self.realm()?.filter(|_| is_in_realm) {
            Some(realm) => realm.run(|| self.disconnect_here(id, network, namespace)),
            None => self.disconnect_here(id, network, namespace),
        }
    }

    fn disconnect_here(&self, id: &str, network: &str, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        let network = self.find(network)?.name;
        let not_on =
            || Error::Connection { container: short(id).to_owned(), how: "not on", network: network.clone() };
        let attachment = self.attachment(id)?.ok_or_else(not_on)?;
        let (gone, kept): (Vec<Endpoint>, Vec<Endpoint>) =
            attachment.endpoints.iter().cloned().partition(|endpoint| endpoint.network == network);
        let endpoint = gone.first().ok_or_else(not_on)?;
        let after = Attachment { endpoints: kept, ..attachment.clone() };
        let mut collected = Collected::default();
        if attachment.forwards() != after.forwards() {
            // Ports that led here lead to the next network that can have them.
            let moved = Firewall::open().and_then(|mut firewall| {
                firewall.withdraw(&attachment.forwards())?;
                firewall.publish(&after.forwards()).map(|_| ())
            });
            collected.take(moved);
        }
        if endpoint.driver.is_on_wire() {
            collected.take(Links::open_in(namespace).and_then(|mut links| links.remove(&endpoint.inside)));
        }
        collected.take(self.leave(id, &gone, Links::remove));
        collected.finish()?;
        // Its way out may have been there. Done before it is noted, so that who was killed in between can ask again.
        if !endpoint.gateways.is_empty() {
            let mut inside = Links::open_in(namespace)?;
            for (place, endpoint) in after.endpoints.iter().enumerate() {
                inside.lead_out(&endpoint.inside, &after.ways_out_at(place))?;
            }
        }
        self.note(&after)?;
        self.follow_with_forwarder(&attachment, &after)
    }
}

impl Reservation<'_> {
    fn add(&mut self, network: Definition, wanted: &NetworkUse, is_alive: &IsAlive<'_>) -> Result<(), Error> {
        let name = network.name.clone();
        let unsupported = |why: &str| Error::Unsupported { network: name.clone(), why: why.to_owned() };
        if matches!(network.driver, Driver::None | Driver::Host) {
            return Err(unsupported("a container that is on it is on no other"));
        }
        if self.attachment.endpoints.iter().any(|endpoint| endpoint.network == name) {
            if self.before.is_none() {
                return Err(unsupported("it is named twice, and a container is on a network once"));
            }
            let container = short(&self.attachment.id).to_owned();
            return Err(Error::Connection { container, how: "already on", network: name });
        }
        if self.attachment.realm && network.driver.is_on_wire() {
            return Err(unsupported("a device on one of the host's needs root"));
        }
        if network.driver == Driver::Ipvlan && wanted.mac.is_some() {
            return Err(unsupported("an ipvlan device has the hardware address of its parent, and no other"));
        }
        if self.attachment.realm && network.options.keeps_source && !network.internal {
            let why = "enable_ip_masquerade=false needs root: what leaves a user's networks leaves by sockets of the \
                       user's, with the host's address";
            return Err(unsupported(why));
        }
        for (said, ipv6) in [(wanted.ip, false), (wanted.ip6, true)] {
            if let Some(address) = said
                && !network
                    .pools
                    .iter()
                    .any(|pool| pool.subnet.contains(address) && pool.subnet.is_ipv6() == ipv6)
            {
                return Err(Error::AddressOutside { network: name, address });
            }
        }
        let inside = self.device_name(wanted, network.options.prefix.as_deref().unwrap_or("eth"))?;
        let endpoint = Endpoint {
            network: name.clone(),
            driver: network.driver,
            internal: network.internal,
            outside: (network.driver == Driver::Bridge).then(|| self.outside_name()),
            inside,
            addresses: Vec::new(),
            gateways: Vec::new(),
            default_route: network.options.default_route,
            resolver: network.pools.iter().find_map(|pool| pool.gateway).filter(|_| network.has_resolver()),
            mac: wanted.mac,
            aliases: wanted.aliases.clone(),
        };
        self.attachment.endpoints.push(endpoint);
        let _stays = self.networks.hold_network(&name)?;
        self.take_addresses(&network, wanted, is_alive)?;
        self.new.push(network);
        Ok(())
    }

    /// Addresses for the last endpoint; each is noted there at once, so that it can be given back.
    fn take_addresses(
        &mut self,
        network: &Definition,
        wanted: &NetworkUse,
        is_alive: &IsAlive<'_>,
    ) -> Result<(), Error> {
        let id = self.attachment.id.clone();
        for ipv6 in [false, true] {
            let said = if ipv6 { wanted.ip6 } else { wanted.ip };
            let mut pools = network.pools.iter().filter(|pool| pool.subnet.is_ipv6() == ipv6);
            let Some(pool) = pools.find(|pool| said.is_none_or(|address| pool.subnet.contains(address)))
            else {
                continue;
            };
            let address = self.networks.take_lease(network, pool, said, &id, is_alive)?;
            let Some(endpoint) = self.attachment.endpoints.last_mut() else { continue };
            endpoint.addresses.push((address, pool.subnet.prefix()));
            endpoint.gateways.extend(pool.gateway.filter(|_| !network.internal));
            if let (IpAddr::V4(address), None, false) =
                (address, endpoint.mac, network.driver == Driver::Ipvlan)
            {
                endpoint.mac = Some(MacAddress::of(address));
            }
        }
        Ok(())
    }

    fn device_name(&self, wanted: &NetworkUse, prefix: &str) -> Result<String, Error> {
        let taken = |name: &str| self.attachment.endpoints.iter().any(|endpoint| endpoint.inside == name);
        match &wanted.interface {
            Some(name) => {
                let invalid = |why: &str| Error::invalid("device name", name, why);
                crate::definition::device_name(name).map_err(|why| invalid(&why))?;
                if taken(name) { Err(invalid("the container has it already")) } else { Ok(name.clone()) }
            }
            None => {
                let mut names =
                    (0u32..).map(|number| format!("{prefix}{number}")).filter(|name| !taken(name));
                Ok(names.next().unwrap_or_default())
            }
        }
    }

    /// The name of the host's end: of the container's id, and a number where it has several.
    fn outside_name(&self) -> String {
        let start: String = self.attachment.id.chars().take(8).collect();
        let taken = |name: &String| {
            self.attachment.endpoints.iter().any(|endpoint| endpoint.outside.as_ref() == Some(name))
        };
        let mut names = (0u32..).map(|number| format!("bx{start}.{number}")).filter(|name| !taken(name));
        names.next().unwrap_or_default()
    }

    fn publish(&mut self, ports: &[PortSpec], is_alive: &IsAlive<'_>) -> Result<(), Error> {
        if ports.is_empty() {
            return Ok(());
        }
        let found =
            self.attachment.endpoints.iter().zip(&self.new).find(|(endpoint, _)| endpoint.takes_ports());
        let Some((endpoint, network)) = found else {
            let network = self.new.first().map_or_else(|| "none".to_owned(), |network| network.name.clone());
            return Err(Error::Unsupported {
                network,
                why: "ports are published on bridge networks that are not internal and have a default route"
                    .to_owned(),
            });
        };
        let ipv6 = self.attachment.ipv6_of_ports(endpoint);
        if !self.attachment.realm {
            publish::check_forwarded(ports, network.options.host_ip)?;
        }
        let asker = Asker { networks: self.networks, id: &self.attachment.id, is_alive };
        let (published, holds) = publish::take(ports, network.options.host_ip, ipv6, &asker)?;
        self.attachment.published = published;
        self.holds = holds;
        Ok(())
    }

    /// What was reserved.
    pub fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Makes the devices in the network namespace of the container's first process `pid`, and lets ports lead there. The calling thread enters
    /// the namespace for a moment.
    ///
    /// # Errors
    /// The kernel's refusal; nothing is left, and nothing reserved.
    pub fn connect(mut self, pid: i32, namespace: BorrowedFd<'_>) -> Result<Connected, Error> {
        if let Some(help) = &self.help {
            help.connect(&self.attachment, &self.networks.pid_file(&self.attachment.id), pid)?;
        } else if let Some(realm) = &self.realm {
            self.make_in_realm(realm, pid, namespace)?;
        } else {
            self.make(namespace)?;
            match &self.before {
                None => self.networks.start_forwarder(&self.attachment, &mut self.holds)?,
                Some(before) => self.networks.follow_with_forwarder(before, &self.attachment)?,
            }
        }
        self.connected = true;
        Ok(Connected { attachment: self.attachment.clone(), holds: std::mem::take(&mut self.holds) })
    }

    /// Another process of this start, which has a copy, connects it.
    pub fn hand_over(mut self) {
        self.connected = true;
    }

    /// Enters the realm: the user namespace in which the container's own is to be made. `None` where root makes the
    /// devices, or a helper.
    ///
    /// # Errors
    /// No realm is to be had; nothing is left.
    pub fn enter_realm(&mut self, owner: Owner<'_>) -> Result<Option<&Realm>, Error> {
        if self.attachment.realm && self.realm.is_none() {
            self.realm = Some(self.networks.ensure_realm(owner)?);
        }
        Ok(self.realm.as_ref())
    }

    fn make(&self, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        let old = self.attachment.endpoints.len() - self.new.len();
        self.networks.make_devices(&self.attachment, old, namespace)?;
        let forwards = self.attachment.forwards_with_ports();
        let only: Vec<_> = forwards.iter().map(|(_, forward)| forward.clone()).collect();
        match Firewall::open()?.publish(&only)? {
            _ if self.before.is_some() => Ok(()),
            Ok(()) => Ok(()),
            Err(index) => {
                let port = forwards.get(index).map(|(port, _)| port.to_string()).unwrap_or_default();
                let owner = Some(format!(
                    "an element of nf_tables that boxr did not find the owner of (table {})",
                    crate::firewall::TABLE
                ));
                Err(Error::PortTaken { port, owner })
            }
        }
    }

    /// The same in the user's realm, and a helper for its ports.
    fn make_in_realm(&self, realm: &Realm, pid: i32, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        let old = self.attachment.endpoints.len() - self.new.len();
        realm.run(|| self.networks.make_devices(&self.attachment, old, namespace))?;
        if self.before.is_some() || !self.attachment.needs_helper() {
            return Ok(());
        }
        self.networks.lead_ports_in(&self.attachment, realm, pid, namespace)
    }

    fn give_back(&self) -> Result<(), Error> {
        let id = &self.attachment.id;
        let Some(before) = &self.before else {
            // Also what the record does not say yet.
            let mut collected = Collected::default();
            collected.take(self.networks.detach(id));
            collected.take(self.networks.leave(id, &self.attachment.endpoints, Links::remove));
            return collected.finish();
        };
        let new = self.attachment.endpoints.get(before.endpoints.len()..).unwrap_or_default();
        match &self.realm {
            Some(realm) => realm.run(|| self.networks.leave(id, new, Links::remove))?,
            None => self.networks.leave(id, new, Links::remove)?,
        }
        self.networks.note(before)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.connected {
            // What made the start fail is what is reported; what is left here goes with the container.
            self.give_back().unwrap_or_default();
        }
    }
}
