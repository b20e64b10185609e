//! All networks of one user: making, finding, listing, removing.
//!
//! ```text
//! DATA/networks/NAME.json            what a network is; whoever links this file has the name
//! STATE/network/                     locked (flock) by whoever sets a bridge up, makes or removes a network
//!     nets/NAME/                     locked shared by whoever attaches to it, alone by whoever removes it
//!         leases/ADDRESS -> ID       whoever makes this symlink has the address
//!         last4, last6 -> ADDRESS    the address that was given last: a hint
//!     boxes/ID.json                  what a container has of all this
//!     boxes/ID.forwarder             locked by the process that serves its ports at ::1 ([`crate::forwarder`])
//!     ports/8080.tcp/ADDRESS -> ID   whose a published port is ([`crate::claims`])
//! ```
//!
//! A lease is made before the record of its container, and goes before it. What a killed boxr leaves belongs to an
//! id that no longer lives, and goes when it is in the way, when its container is removed, or by a sweep.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::address::Subnet;
use crate::attachment::Attachment;
use crate::bridge;
use crate::definition::{self, Definition, Driver, FORMAT};
use crate::error::{Collected, Error};
use crate::files::{self, Existing, Lasting, Lock, Sharing};
use crate::firewall::{Firewall, Membership};
use crate::link::{Links, Wire};
use crate::options::NetworkOptions;
use crate::realm::Owner;
use crate::subnets::Chooser;

/// The default network.
pub const DEFAULT: &str = "bridge";

/// Names that mean something else where a network is named.
const RESERVED: [&str; 8] = ["bridge", "host", "none", "default", "new", "private", "pasta", "slirp4netns"];

/// Whether a container still lives, or is being started.
pub type IsAlive<'a> = dyn Fn(&str) -> bool + 'a;

/// All networks of one user.
#[derive(Clone, Debug)]
pub struct Networks {
    data: PathBuf,
    state: PathBuf,
}

/// What `network create` asks for.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// Its name.
    pub name: String,
    /// The driver; bridge when `None`.
    pub driver: Option<Driver>,
    /// Subnets; one of IPv4 is chosen when there is none.
    pub subnets: Vec<Subnet>,
    /// At most one in each subnet.
    pub gateways: Vec<IpAddr>,
    /// At most one in each subnet.
    pub ranges: Vec<Subnet>,
    /// Nothing leaves it.
    pub internal: bool,
    /// A subnet of IPv6 is chosen when there is none.
    pub ipv6: bool,
    /// `--opt`
    pub options: BTreeMap<String, String>,
    /// `--label`
    pub labels: BTreeMap<String, String>,
}

impl Networks {
    /// Those below boxr's data and state roots. Nothing is made before it is needed.
    pub fn new(data: &Path, state: &Path) -> Self {
        Self { data: data.join("networks"), state: state.join("network") }
    }

    /// `STATE/network`
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn state_of(&self, network: &str) -> PathBuf {
        self.state.join("nets").join(network)
    }

    pub(crate) fn leases_of(&self, network: &str) -> PathBuf {
        self.state_of(network).join("leases")
    }

    pub(crate) fn boxes(&self) -> PathBuf {
        self.state.join("boxes")
    }

    fn record(&self, name: &str) -> PathBuf {
        self.data.join(format!("{name}.json"))
    }

    /// The lock of all of it.
    pub(crate) fn lock(&self) -> Result<Option<Lock>, Error> {
        files::make_dir(&self.state)?;
        files::lock(&self.state, Sharing::Alone)
    }

    /// Makes a network.
    ///
    /// # Errors
    /// A name or a subnet that is taken, or values that do not go together; nothing is made.
    pub fn create(&self, request: &CreateRequest) -> Result<Definition, Error> {
        definition::check_name(&request.name)?;
        if RESERVED.contains(&request.name.as_str()) {
            return Err(Error::Predefined { name: request.name.clone(), change: "made" });
        }
        let driver = request.driver.unwrap_or(Driver::Bridge);
        if matches!(driver, Driver::None | Driver::Host) {
            let why = format!("there is one network of this kind, named {}", driver.name());
            return Err(Error::invalid("driver", driver.name(), &why));
        }
        let options = NetworkOptions::read(&request.options, driver)?;
        if driver.is_on_wire() && options.parent.is_none() {
            let why = format!("{} needs a device of the host's: --opt parent=eth0", driver.name());
            return Err(Error::Unsupported { network: request.name.clone(), why });
        }
        let has_ipv6 = request.ipv6 || request.subnets.iter().any(Subnet::is_ipv6);
        if let Some(mtu) = options.mtu.filter(|mtu| has_ipv6 && *mtu < 1280) {
            let why = "IPv6 needs 1280 at the least (RFC 8200)";
            return Err(Error::invalid("option", &format!("mtu={mtu}"), why));
        }
        let _alone = self.lock()?;
        let all = self.list()?;
        if all.iter().any(|other| other.name == request.name) {
            return Err(Error::Exists { name: request.name.clone() });
        }
        check_parent(&all, driver, &options)?;
        let mut links = Links::open()?;
        let pools = Chooser::look(&mut links, &all, driver)?.pools(request)?;
        let said = request.options.get("com.docker.network.bridge.name");
        let interface = match (driver, said) {
            (Driver::Bridge, Some(name)) => bridge::taken_by_none(&mut links, &all, name)?,
            (Driver::Bridge, None) => bridge::free_name(&mut links, &all)?,
            _ => String::new(),
        };
        let definition = Definition {
            format: FORMAT,
            id: random_id()?,
            name: request.name.clone(),
            driver,
            interface,
            pools,
            internal: request.internal,
            options,
            said: request.options.clone(),
            labels: request.labels.clone(),
            created: now(),
        };
        self.keep(&definition)?;
        Ok(definition)
    }

    fn keep(&self, definition: &Definition) -> Result<(), Error> {
        files::make_dir(&self.data)?;
        files::write(&self.record(&definition.name), definition, Existing::Keep, Lasting::Yes)
    }

    /// The network `bridge`, which is made when it is first asked for.
    ///
    /// # Errors
    /// No subnet is free.
    pub fn default_bridge(&self) -> Result<Definition, Error> {
        if let Some(definition) = files::read(&self.record(DEFAULT))? {
            return Ok(definition);
        }
        let _alone = self.lock()?;
        if let Some(definition) = files::read(&self.record(DEFAULT))? {
            return Ok(definition);
        }
        let mut links = Links::open()?;
        let all = self.list()?;
        let pools = vec![Chooser::look(&mut links, &all, Driver::Bridge)?.default_pool()?];
        let interface = bridge::free_name(&mut links, &all)?;
        let definition = Definition {
            pools,
            interface,
            id: random_id()?,
            created: now(),
            ..predefined(DEFAULT, Driver::Bridge)
        };
        self.keep(&definition)?;
        Ok(definition)
    }

    /// The network of this name, or whose id begins with it.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, name: &str) -> Result<Definition, Error> {
        match name {
            DEFAULT | "default" => return self.default_bridge(),
            "host" => return Ok(predefined("host", Driver::Host)),
            "none" => return Ok(predefined("none", Driver::None)),
            _ => {}
        }
        let none = || Error::NoNetwork { name: name.to_owned() };
        if definition::check_name(name).is_err() {
            return Err(none());
        }
        if let Some(definition) = files::read(&self.record(name))? {
            return Ok(definition);
        }
        let mut found = self.list()?.into_iter().filter(|network| network.id.starts_with(name));
        match (found.next(), found.next()) {
            (Some(network), None) => Ok(network),
            _ => Err(none()),
        }
    }

    /// All networks, boxr's own first.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn list(&self) -> Result<Vec<Definition>, Error> {
        let mut all = vec![
            predefined(DEFAULT, Driver::Bridge),
            predefined("host", Driver::Host),
            predefined("none", Driver::None),
        ];
        for file in files::names(&self.data)? {
            let Some(name) = file.strip_suffix(".json") else { continue };
            let Some(definition) = files::read::<Definition>(&self.record(name))? else { continue };
            match all.iter_mut().find(|network| network.name == definition.name) {
                Some(network) => *network = definition,
                None => all.push(definition),
            }
        }
        Ok(all)
    }

    /// Removes a network: its bridge, its elements, its record.
    ///
    /// # Errors
    /// A living container is on it; what could not be removed, after the rest was.
    pub fn remove(&self, name: &str, is_alive: &IsAlive<'_>) -> Result<Definition, Error> {
        let network = self.find(name)?;
        if RESERVED.contains(&network.name.as_str()) {
            return Err(Error::Predefined { name: network.name, change: "removed" });
        }
        let _alone = self.lock()?;
        let place = self.state_of(&network.name);
        let _unused = files::lock(&place, Sharing::Alone)?;
        let by = self.users(&network, is_alive)?;
        if !by.is_empty() {
            let by = by.iter().map(|id| self.called(id)).collect();
            return Err(Error::InUse { name: network.name, by });
        }
        let mut collected = Collected::default();
        if network.driver == Driver::Bridge {
            let take_down = || {
                let mut collected = Collected::default();
                collected.take(Links::open().and_then(|mut links| links.remove(&network.interface)));
                collected.take(Firewall::open_to_remove().and_then(|firewall| {
                    firewall.map_or(Ok(()), |mut firewall| firewall.leave(&membership(&network)))
                }));
                collected.finish()
            };
            collected.take(match (self.realm()?, rustix::process::geteuid().is_root()) {
                (Some(realm), _) => realm.run(take_down),
                (None, true) => take_down(),
                // A user's are in his realm, and went with it.
                (None, false) => Ok(()),
            });
        }
        for hint in ["last4", "last6", "resolver"] {
            collected.take(files::remove(&place.join(hint)));
        }
        collected.take(files::remove_dir(&place.join("leases")));
        collected.take(files::remove_dir(&place));
        collected.finish()?;
        // Last: until then it can be removed again.
        files::remove(&self.record(&network.name))?;
        Ok(network)
    }

    /// Removes what writers of records that were killed have left.
    ///
    /// # Errors
    /// A directory cannot be read, or a file not be removed.
    pub fn sweep(&self) -> Result<(), Error> {
        files::sweep(&self.data)?;
        self.sweep_ports()?;
        self.sweep_forwarders()?;
        files::sweep(&self.boxes())
    }

    /// The ids of living containers on a network; what dead ones left of it is removed on the way.
    ///
    /// # Errors
    /// What is on disk cannot be read or removed.
    pub fn users(&self, network: &Definition, is_alive: &IsAlive<'_>) -> Result<Vec<String>, Error> {
        let mut living = Vec::new();
        for lease in self.leases(&network.name)? {
            if is_alive(&lease.owner) {
                if !living.contains(&lease.owner) {
                    living.push(lease.owner);
                }
            } else {
                self.reclaim(&network.name, &lease)?;
            }
        }
        Ok(living)
    }

    /// Makes again what others have removed of the rules: of every network that a living container is on, and of
    /// every published port. What was killed of resolvers, forwarders and the user's realm is there again.
    ///
    /// # Errors
    /// The kernel's refusal; a record that cannot be read.
    pub fn reload(&self, is_alive: &IsAlive<'_>, owner: Owner<'_>) -> Result<(), Error> {
        let attachments = self.attachments()?;
        let living = attachments.iter().filter(|attachment| is_alive(&attachment.id));
        let (in_realm, on_host): (Vec<&Attachment>, Vec<&Attachment>) =
            living.filter(|attachment| !attachment.helped).partition(|attachment| attachment.realm);
        self.look_after_realm(owner)?;
        if let Some(realm) = self.realm()?.filter(|_| !in_realm.is_empty()) {
            realm.run(|| self.reload_these(&in_realm))?;
        }
        if on_host.is_empty() { Ok(()) } else { self.reload_these(&on_host) }
    }

    fn reload_these(&self, living: &[&Attachment]) -> Result<(), Error> {
        let (mut links, mut firewall) = (Links::open()?, Firewall::open()?);
        if !firewall.is_whole()? {
            // All elements go with it, and come again below.
            firewall.replace()?;
        }
        firewall.pass_docker()?;
        let mut done: Vec<&str> = Vec::new();
        for endpoint in living.iter().flat_map(|attachment| &attachment.endpoints) {
            if endpoint.driver == Driver::Bridge && !done.contains(&endpoint.network.as_str()) {
                done.push(&endpoint.network);
                let network = self.find(&endpoint.network)?;
                self.bring_up(&network, &mut links, &mut firewall)?;
                self.ensure_resolver(&network)?;
                if network.options.apart {
                    keep_apart_again(&network, living, &mut links)?;
                }
            }
        }
        let forwards: Vec<_> = living.iter().flat_map(|attachment| attachment.forwards()).collect();
        // Some may be there: then they are taken out and put in again.
        firewall.withdraw(&forwards)?;
        firewall
            .publish(&forwards)?
            .map_err(|_| Error::Firewall { what: "published ports".to_owned(), errno: Errno::EXIST })?;
        self.look_after_forwarders(living.iter().copied())
    }

    /// A network that a container was on a moment ago.
    pub(crate) fn find_if_there(&self, name: &str) -> Result<Option<Definition>, Error> {
        match self.find(name) {
            Err(Error::NoNetwork { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// What was killed of resolvers, forwarders and the user's realm is there again. A look at one directory, where nothing is
    /// attached; every command about networks does it.
    ///
    /// # Errors
    /// As [`Networks::reload`].
    pub fn look_after(&self, is_alive: &IsAlive<'_>, owner: Owner<'_>) -> Result<(), Error> {
        self.look_after_realm(owner)?;
        let on_host = |other: &Attachment| !other.realm && !other.helped && is_alive(&other.id);
        for network in self.networks_of(on_host)? {
            let Some(network) = self.find_if_there(&network)? else { continue };
            if !self.has_living_resolver(&network)? {
                self.restore_resolver(&network)?;
            }
        }
        let needs_forwarder = |other: &&Attachment| other.forwarding().is_some() && on_host(other);
        self.look_after_forwarders(self.attachments()?.iter().filter(needs_forwarder))
    }

    /// Starts a network's resolver again. Where there is no bridge a connection was cut short, and there was none.
    pub(crate) fn restore_resolver(&self, network: &Definition) -> Result<(), Error> {
        match Links::open()?.index(&network.interface)? {
            Some(_) => self.ensure_resolver(network),
            None => Ok(()),
        }
    }

    /// Sees to it that a bridge network is there as its definition says, and gives the number of its bridge.
    /// Where all is well that takes two questions to the kernel.
    pub(crate) fn bring_up(
        &self,
        network: &Definition,
        links: &mut Links,
        firewall: &mut Firewall,
    ) -> Result<u32, Error> {
        if let Some(index) = links.index(&network.interface)?
            && firewall.knows(&network.interface)?
        {
            return Ok(index);
        }
        let _alone = self.lock()?;
        if let Some(index) = links.index(&network.interface)? {
            return firewall.join(&membership(network)).map(|()| index);
        }
        let index = bridge::make(network, links)?;
        let joined = firewall.join(&membership(network));
        if joined.is_err() {
            // The error that counts is the first.
            links.remove(&network.interface).unwrap_or_default();
        }
        joined.map(|()| index)
    }
}

/// All devices of one parent are of one driver, and of one mode with ipvlan: the kernel changes those that are there.
fn check_parent(all: &[Definition], driver: Driver, options: &NetworkOptions) -> Result<(), Error> {
    let Some(wire) = Wire::of(driver, options) else { return Ok(()) };
    let is_other = |other: &Wire| !wire.goes_with(*other);
    let same_parent = all.iter().filter(|other| other.options.parent == options.parent);
    let found =
        same_parent.into_iter().find(|one| Wire::of(one.driver, &one.options).as_ref().is_some_and(is_other));
    found.map_or(Ok(()), |other| {
        let parent = options.parent.as_deref().unwrap_or_default();
        let why = format!(
            "network {} has it, and a device has devices of one driver and one mode of ipvlan's",
            other.name
        );
        Err(Error::invalid("option", &format!("parent={parent}"), &why))
    })
}

/// Who keeps neighbours apart, the bridge or the firewall, changes with what bridges show to the firewall.
fn keep_apart_again(network: &Definition, living: &[&Attachment], links: &mut Links) -> Result<(), Error> {
    for attachment in living {
        let of_network = attachment.endpoints.iter().filter(|endpoint| endpoint.network == network.name);
        for outside in of_network.filter_map(|endpoint| endpoint.outside.as_deref()) {
            links.set_port(outside, network.neighbours(attachment.realm))?;
        }
    }
    Ok(())
}

/// A network that boxr provides.
fn predefined(name: &str, driver: Driver) -> Definition {
    let letters: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    Definition {
        format: FORMAT,
        id: format!("{letters:0<64}"),
        name: name.to_owned(),
        driver,
        interface: String::new(),
        pools: Vec::new(),
        internal: false,
        options: NetworkOptions::default(),
        said: BTreeMap::new(),
        labels: BTreeMap::new(),
        created: 0,
    }
}

pub(crate) fn membership(network: &Definition) -> Membership {
    Membership {
        bridge: network.interface.clone(),
        subnets: network.pools.iter().map(|pool| pool.subnet).collect(),
        internal: network.internal,
        closed: !network.options.open,
        apart: network.options.apart,
        keeps_source: network.options.keeps_source,
    }
}

/// Up to 256 bytes, which come whole (getrandom(2)).
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0u8; N];
    let filled = rustix::io::retry_on_intr(|| {
        rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
    });
    filled.map(|_| bytes).map_err(|errno| Error::system("name", "a network".to_owned(), errno))
}

fn random_id() -> Result<String, Error> {
    Ok(random::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn now() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
