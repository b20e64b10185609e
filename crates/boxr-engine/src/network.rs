//! A box and its networks: what boxr-network does for it, and when.
//!
//! Addresses and ports are reserved before the first process is made, and a start that cannot have them ends there. The
//! devices are made when the first process exists and before its command runs. All is given back when the box has
//! ended, and with its directory: whoever removes a box whose boxr was killed gives back what it had.

mod follow;
pub(crate) mod links;
mod ports;
mod realm;
pub(crate) mod resolver;

use std::borrow::Cow;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use boxr_network::{
    AttachRequest, Attachment, Connected, Means, NetworkUse, Networks, PortSpec, Reservation,
};
use boxr_runtime::{capabilities, namespaces};
use boxr_sys::namespace::NamespaceKind;
use rustix::process::Pid;

use crate::events::{self, Action, Journal};
use crate::id::Id;
use crate::image::{ContainerOptions, Surroundings, naming};
use crate::options::{BoxOptions, NamespaceMode, NetworkOptions};
use crate::outcome::EngineError;
use crate::paths::Paths;
use crate::pod::{self, PodSide};
use crate::prepare::PrepareError;
use crate::record::{ProcessRef, State, Status};
use crate::store::{BoxDir, Lock, Store, Wait};

pub use links::{LinkError, shown as shown_links};
pub use ports::{PortChange, change_ports};

/// The networks of a store's user.
pub fn networks(paths: &Paths) -> Networks {
    Networks::new(&paths.data, &paths.state)
}

/// What a box has before it starts: nothing, where it has none of boxr's networks.
#[derive(Debug, Default)]
pub struct Reserved<'n> {
    own: Option<Reservation<'n>>,
    /// The pod whose network and other namespaces it shares.
    pod: Option<pod::Joined>,
}

/// What is held while a box runs: sockets of its ports.
#[derive(Debug, Default)]
pub struct Held(Vec<OwnedFd>);

/// Whether whoever starts for the first time could look up names at the host's servers. Later starts, at boot or when it
/// has ended, are not refused for a file that somebody is about to write.
///
/// # Errors
/// [`EngineError::NoNameServer`]
pub fn check_names(networks: &Networks, options: &BoxOptions) -> Result<(), EngineError> {
    let is_internal = |network: &NetworkUse| networks.find(&network.name).is_ok_and(|found| found.internal);
    match options.network.networks.as_slice() {
        [] => Ok(()),
        wanted => resolver::check(options, || wanted.iter().all(is_internal)),
    }
}

/// Reserves addresses and ports for a box that is to start. `hosts` are lines of its /etc/hosts.
///
/// # Errors
/// [`boxr_network::Error`]; nothing is kept.
pub fn reserve<'n>(
    store: &Store,
    networks: &'n Networks,
    options: &BoxOptions,
    id: &Id,
    name: &str,
    hosts: &[(String, String)],
) -> Result<Reserved<'n>, EngineError> {
    let pod = pod::enter(store, options, name)?;
    if !options.network.is_wanted() {
        return Ok(Reserved { own: None, pod });
    }
    let means = means_for(&options.network.networks)?;
    if means == Means::Realm {
        realm::check(options)?;
    }
    let ports = ports(&options.network, options.container.as_deref());
    let request = AttachRequest {
        id: id.as_str(),
        name,
        networks: &options.network.networks,
        ports: &ports,
        servers: &asked(&options.network),
        asks_for_host: hosts.iter().any(|(_, address)| address == naming::HOST_GATEWAY),
        means,
    };
    let reservation = networks.reserve(&request, &|id| store.is_living(id))?;
    Ok(Reserved { own: Some(reservation), pod })
}

/// The name servers that resolvers of its networks ask for a box, in place of the host's. None where one is the box itself,
/// which it asks by itself alone.
fn asked(options: &NetworkOptions) -> Vec<IpAddr> {
    let all: Vec<IpAddr> = options.dns.iter().filter_map(|server| server.parse().ok()).collect();
    if all.iter().any(IpAddr::is_loopback) { Vec::new() } else { all }
}

/// What a box is to know of hosts.
pub fn hosts_of(options: &BoxOptions) -> &[(String, String)] {
    options.container.as_ref().map_or(&[], |container| &container.naming.hosts)
}

/// A user's container that is on the default network alone has a helper; on others it is in his realm.
fn means_for(networks: &[NetworkUse]) -> Result<Means, EngineError> {
    let is_default = |network: &NetworkUse| network.name == boxr_network::DEFAULT;
    Ok(match means()? {
        Means::Helper if !networks.iter().all(is_default) => Means::Realm,
        means => means,
    })
}

/// By the kernel where the caller has `CAP_NET_ADMIN` over its network namespace: root, unless it is root of a user
/// namespace that does not own that.
fn means() -> Result<Means, EngineError> {
    let caller = |errno| EngineError::from(PrepareError::Caller(errno));
    if !capabilities::is_privileged().map_err(caller)? {
        return Ok(Means::Helper);
    }
    if !capabilities::is_in_user_namespace().map_err(caller)? {
        return Ok(Means::Kernel);
    }
    let own = namespaces::open(NamespaceKind::Network, std::process::id().cast_signed()).map_err(caller)?;
    // EPERM: owned by an ancestor.
    let owner = boxr_sys::nsfs::owner(own.as_fd()).ok();
    let is_owner = owner.is_some_and(|owner| namespaces::is_own(NamespaceKind::User, &owner));
    Ok(if is_owner { Means::Kernel } else { Means::Helper })
}

/// Whether devices and rules of networks are made by the kernel in the caller's own network namespace.
pub fn is_by_kernel() -> bool {
    matches!(means(), Ok(Means::Kernel))
}

/// Why a container that nothing was said about gets no network of its own; `None` where it does. Without privilege it
/// needs a helper, and where there is none it has the host's network, and its caller is told.
pub(crate) fn why_none() -> Option<String> {
    match means() {
        Ok(Means::Kernel) => None,
        Ok(Means::Helper | Means::Realm) => boxr_network::why_no_helper(),
        Err(error) => Some(error.to_string()),
    }
}

/// What is published: what was said, and with `-P` each exposed port that was not.
fn ports(options: &NetworkOptions, container: Option<&ContainerOptions>) -> Vec<PortSpec> {
    let mut ports = options.publish.clone();
    if !options.publish_all {
        return ports;
    }
    // What an image exposes was written by its builder; what is no port exposes nothing.
    let of_image =
        container.iter().flat_map(|container| &container.ports).filter_map(|port| port.parse().ok());
    let exposed: Vec<PortSpec> = options.exposed.iter().cloned().chain(of_image).collect();
    for PortSpec { container, protocol, .. } in exposed {
        for port in container.ports() {
            let covers = |spec: &PortSpec| {
                spec.protocol == protocol && (spec.container.first..=spec.container.last).contains(&port)
            };
            if !ports.iter().any(covers) {
                ports.push(PortSpec::any(port, protocol));
            }
        }
    }
    ports
}

impl Reserved<'_> {
    /// Whether there is anything of its own.
    pub fn is_some(&self) -> bool {
        self.own.is_some()
    }

    /// What its plan needs of its pod.
    pub fn take_side(&mut self) -> PodSide {
        self.pod.as_mut().map(pod::Joined::take_side).unwrap_or_default()
    }

    /// What a container of an image is told of its network, and of those that it links to.
    ///
    /// # Errors
    /// [`EngineError::Link`]
    pub fn surroundings(&self, store: &Store, options: &BoxOptions) -> Result<Surroundings, EngineError> {
        if options.container.is_none() {
            return Ok(Surroundings::default());
        }
        let shared = self.pod.as_ref().and_then(|pod| pod.surroundings(options));
        let own = self.own.as_ref().map(Reservation::attachment);
        let mut around = match (shared, own) {
            (Some(shared), None) => shared,
            (Some(Surroundings { hostname, .. }), Some(own)) => {
                Surroundings { hostname, ..surroundings_of(Some(own)) }
            }
            (None, own) => surroundings_of(own),
        };
        around.hosts.extend(links::hosts(store, options, own)?);
        Ok(around)
    }

    /// The options of the box, with what it has of its pod, and files of its own about names where it has a network of
    /// its own.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn with_files<'o>(
        &self,
        dir: &BoxDir,
        options: &'o BoxOptions,
    ) -> Result<Cow<'o, BoxOptions>, EngineError> {
        let mut whole = Cow::Borrowed(options);
        if let Some(pod) = &self.pod {
            let mounts = pod.mounts(options);
            if !mounts.is_empty() {
                whole.to_mut().mounts.extend(mounts);
            }
        }
        let (servers, asked) = match (&self.own, &self.pod) {
            (Some(own), _) => (servers_of(own.attachment()), asked_by_resolvers(own.attachment())),
            (None, Some(pod)) if pod.has_network() => (pod.servers(), pod.asked()),
            (None, _) => return Ok(whole),
        };
        let servers = resolver::Around { servers, asked };
        Ok(match resolver::add(dir, &whole, servers)? {
            Cow::Owned(changed) => Cow::Owned(changed),
            Cow::Borrowed(_) => whole,
        })
    }

    /// The user namespace below which the box's own is made; `None` for the caller's.
    ///
    /// # Errors
    /// The user's realm, which the box's networks are in, is not to be had; nothing is left.
    pub fn above(&mut self, store: &Store) -> Result<Option<OwnedFd>, EngineError> {
        let Some(reservation) = &mut self.own else { return Ok(None) };
        let realm = realm::with_owner(store, |owner| reservation.enter_realm(owner))?;
        realm.map(|realm| realm::duplicate(realm.user())).transpose()
    }

    /// Makes the devices, in the network namespace of the first process.
    ///
    /// # Errors
    /// The kernel's refusal; nothing is left, and nothing reserved.
    pub fn connect(self, pid: Pid) -> Result<Held, EngineError> {
        if let Some(pod) = &self.pod {
            pod.announce()?;
        }
        let Some(reservation) = self.own else { return Ok(Held::default()) };
        let pid = pid.as_raw_nonzero().get();
        let namespace = open_namespace(pid)?;
        let Connected { holds, .. } = reservation.connect(pid, namespace.as_fd())?;
        Ok(Held(holds))
    }

    /// The monitor has taken it over.
    pub fn hand_over(self) {
        if let Some(reservation) = self.own {
            reservation.hand_over();
        }
    }
}

/// What whoever has `attachment` is told of it; nothing where there is none.
pub(crate) fn surroundings_of(attachment: Option<&Attachment>) -> Surroundings {
    let Some(attachment) = attachment else { return Surroundings::default() };
    let endpoints = &attachment.endpoints;
    let addresses = endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
    Surroundings {
        addresses: addresses.map(|(address, _)| address.to_string()).collect(),
        servers: servers_of(attachment).unwrap_or_else(resolver::servers),
        asked: asked_by_resolvers(attachment),
        gateway: attachment.way_to_host().map(|address| address.to_string()),
        gateway6: attachment.host6.map(|address| address.to_string()),
        ..Surroundings::default()
    }
}

/// Who answers names on these networks, where they have somebody.
fn servers_of(attachment: &Attachment) -> Option<Vec<String>> {
    let resolvers = attachment.endpoints.iter().filter_map(|endpoint| endpoint.resolver);
    let servers: Vec<String> =
        resolvers.chain(attachment.name_server).map(|address| address.to_string()).collect();
    (!servers.is_empty()).then_some(servers)
}

/// The servers that its networks' resolvers ask for it: its own file names those resolvers.
fn asked_by_resolvers(attachment: &Attachment) -> Vec<IpAddr> {
    let has_one = attachment.endpoints.iter().any(|endpoint| endpoint.resolver.is_some());
    if has_one { attachment.servers.clone() } else { Vec::new() }
}

impl Held {
    /// The sockets, for another process to hold.
    pub(crate) fn into_sockets(self) -> Vec<OwnedFd> {
        self.0
    }
}

/// Holds the ports of a box whose holder was killed, as far as nobody else has them by now.
pub fn hold_again(paths: &Paths, id: &Id) -> Held {
    // Packets go to the box either way: a record that cannot be read takes nothing from it.
    Held(networks(paths).hold_again(id.as_str()).unwrap_or_default())
}

/// Gives back what a box that has ended had.
///
/// # Errors
/// What could not be given back, after the rest was.
pub fn release(paths: &Paths, id: &Id) -> Result<(), boxr_network::Error> {
    networks(paths).detach(id.as_str())
}

/// Makes the rules of all networks with living boxes again, and looks after what runs for them.
///
/// # Errors
/// The kernel's refusal.
pub fn reload(store: &Store) -> Result<(), boxr_network::Error> {
    let networks = networks(store.paths());
    realm::with_owner(store, |owner| networks.reload(&|id| store.is_living(id), owner))
}

/// What was killed of what runs for networks is there again.
///
/// # Errors
/// It cannot be started.
pub fn look_after(store: &Store) -> Result<(), boxr_network::Error> {
    let networks = networks(store.paths());
    realm::with_owner(store, |owner| networks.look_after(&|id| store.is_living(id), owner))
}

/// The ways of packets to a port of the host's.
///
/// # Errors
/// No running box has published it; what the kernel does not tell.
pub fn explain_port(
    store: &Store,
    port: u16,
    protocol: Option<boxr_network::Protocol>,
) -> Result<Vec<boxr_network::Path>, boxr_network::Error> {
    let networks = networks(store.paths());
    let is_alive = |id: &str| store.is_living(id);
    realm::with_owner(store, |owner| networks.explain_port(port, protocol, &is_alive, owner.process))
}

/// The ways of packets into a box and out of it.
///
/// # Errors
/// It does not run on a network of boxr's; what the kernel does not tell.
pub fn explain_container(
    store: &Store,
    dir: &BoxDir,
) -> Result<Vec<boxr_network::Path>, boxr_network::Error> {
    let networks = networks(store.paths());
    realm::with_owner(store, |owner| networks.explain_container(dir.id().as_str(), owner.process))
}

/// Puts a box on a further network: now where it runs, and at every start.
///
/// # Errors
/// Its network is another's; what [`Networks::reserve_more`] refuses.
pub fn connect(store: &Store, dir: &BoxDir, wanted: NetworkUse) -> Result<(), EngineError> {
    change(store, dir, |lock, options| {
        let networks = networks(store.paths());
        // By the name, which the record keeps.
        let wanted = NetworkUse { name: networks.find(&wanted.name)?.name, ..wanted };
        let is_listed = is_listed(options, &wanted.name);
        let is_attached = is_attached(&networks, dir, &wanted.name)?;
        let state = lock.read_state()?;
        let process = running(&state);
        // A connection or its end that was cut short has left one of the two.
        if is_listed && (is_attached || process.is_none()) {
            let container = dir.id().short().to_owned();
            let network = wanted.name;
            return Err(boxr_network::Error::Connection { container, how: "already on", network }.into());
        }
        if let Some(process) = process {
            if is_attached {
                let namespace = open_namespace(process.pid)?;
                networks.disconnect(dir.id().as_str(), &wanted.name, namespace.as_fd())?;
            }
            let one = [wanted.clone()];
            let means = means_for(&one)?;
            let request = AttachRequest {
                id: dir.id().as_str(),
                name: &state.name,
                networks: &one,
                ports: &[],
                servers: &asked(&options.network),
                asks_for_host: false,
                means,
            };
            lock.update_state(|state| state.networked = true)?;
            let mut reservation = networks.reserve_more(&request, &|id| store.is_living(id))?;
            realm::with_owner(store, |owner| reservation.enter_realm(owner).map(|_| ()))?;
            let namespace = open_namespace(process.pid)?;
            reservation.connect(process.pid, namespace.as_fd())?;
            note(store, &state, Action::Connect, &wanted.name);
        }
        if !is_listed {
            options.network.networks.push(wanted);
        }
        Ok(())
    })
}

/// Whether the box is on this network at every start.
fn is_listed(options: &BoxOptions, network: &str) -> bool {
    options.network.networks.iter().any(|listed| listed.name == network)
}

/// Whether it has something of this network now.
fn is_attached(networks: &Networks, dir: &BoxDir, network: &str) -> Result<bool, EngineError> {
    let attachment = networks.attachment(dir.id().as_str())?;
    Ok(attachment.is_some_and(|has| has.endpoints.iter().any(|endpoint| endpoint.network == network)))
}

/// Takes a box from a network.
///
/// # Errors
/// It is not on it; what could not be taken, after the rest was.
pub fn disconnect(store: &Store, dir: &BoxDir, network: &str) -> Result<(), EngineError> {
    change(store, dir, |lock, options| {
        let networks = networks(store.paths());
        let name = networks.find(network)?.name;
        let was_listed = is_listed(options, &name);
        options.network.networks.retain(|other| other.name != name);
        let state = lock.read_state()?;
        match running(&state) {
            // One that was cut short has left only the list as it was.
            Some(_) if was_listed && !is_attached(&networks, dir, &name)? => {}
            Some(process) => {
                networks.disconnect(dir.id().as_str(), &name, open_namespace(process.pid)?.as_fd())?;
                note(store, &state, Action::Disconnect, &name);
            }
            None if !was_listed => {
                let container = dir.id().short().to_owned();
                return Err(
                    boxr_network::Error::Connection { container, how: "not on", network: name }.into()
                );
            }
            None => {}
        }
        Ok(())
    })
}

fn note(store: &Store, state: &State, action: Action, network: &str) {
    if state.journaled {
        Journal::of(store.paths()).note(&[events::of_network(network, action, state)]);
    }
}

/// Changes the networks of a box, under its lock; what it starts from is written last.
fn change(
    store: &Store,
    dir: &BoxDir,
    how: impl FnOnce(&Lock<'_>, &mut BoxOptions) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let missing = || EngineError::system("lock the box", rustix::io::Errno::WOULDBLOCK);
    let lock = dir.lock(Wait::Yes)?.ok_or_else(missing)?;
    let mut record = lock.read_record()?;
    if record.options.namespaces.network != NamespaceMode::New {
        let name = lock.read_state()?.name;
        return Err(EngineError::Wrong { name, is: "has no network of its own".to_owned() });
    }
    let networks = networks(dir.paths());
    let before = networks.attachment(dir.id().as_str())?;
    how(&lock, &mut record.options)?;
    let after = networks.attachment(dir.id().as_str())?;
    let state = lock.read_state()?;
    if running(&state).is_some() {
        follow::follow(dir, &record.options, before.as_ref(), after.as_ref())?;
        links::tell(store, dir, &state.name);
    }
    Ok(lock.replace_record(&record)?)
}

fn running(state: &State) -> Option<ProcessRef> {
    let runs = matches!(state.status, Status::Running | Status::Paused);
    state.process.filter(|process| runs && process.is_alive())
}

fn open_namespace(pid: i32) -> Result<OwnedFd, EngineError> {
    let opened = namespaces::open(NamespaceKind::Network, pid);
    opened.map_err(|errno| EngineError::system("open the network namespace of the box", errno))
}
