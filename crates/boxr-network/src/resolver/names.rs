//! Who is called what on a network.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use super::wire::{self, Data, Kind, Question, Refusal, Transport};
use crate::address::Subnet;
use crate::attachment::{Attachment, Endpoint, short};
use crate::definition::Definition;
use crate::error::Error;
use crate::networks::Networks;

/// The names of the containers on one network, and on those that its containers are on as well: who is on several asks
/// one resolver, and takes its word (resolv.conf(5): another server is for where none answers).
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<String, Vec<Owned<At<IpAddr>>>>,
    by_address: HashMap<IpAddr, Owned<At<String>>>,
    /// Who asks, by the addresses on this network.
    clients: HashMap<IpAddr, Owned<Client>>,
    /// What each container is called and where, to forget it by.
    members: HashMap<Rc<str>, (Vec<String>, Vec<IpAddr>)>,
    /// The networks whose names are known.
    networks: BTreeSet<String>,
}

/// Something of a container's. An address may be another's already when its last owner's record goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owned<T> {
    owner: Rc<str>,
    value: T,
}

/// Something on a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct At<T> {
    network: Rc<str>,
    value: T,
}

/// A container that may ask.
#[derive(Debug)]
struct Client {
    /// Its networks, in its order.
    networks: Vec<Rc<str>>,
    /// Whether it has a network that something leaves.
    goes_out: bool,
    /// The servers that are asked for it, in place of the host's: those that it reaches.
    servers: Option<Vec<IpAddr>>,
}

/// Who asks: one of the containers, or somebody else on the network, who knows of nothing but that.
#[derive(Clone, Copy)]
struct Asker<'a> {
    client: Option<&'a Client>,
    network: &'a Definition,
}

impl Asker<'_> {
    /// At which place of its networks this one is.
    fn place<T>(&self, at: &Owned<At<T>>) -> Option<usize> {
        match self.client {
            Some(client) => client.networks.iter().position(|network| *network == at.value.network),
            None => (*at.value.network == *self.network.name).then_some(0),
        }
    }

    /// Whether anybody is asked for names of others.
    fn goes_out(&self) -> bool {
        let asks =
            |client: &Client| client.goes_out || client.servers.as_ref().is_some_and(|all| !all.is_empty());
        self.client.map_or(!self.network.internal, asks)
    }
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is answered.
    Answered,
    /// Other name servers may know.
    Forward,
    /// It is none.
    Drop,
}

impl Names {
    /// As the records on disk say now.
    pub(super) fn read(networks: &Networks, network: &str) -> Result<Self, Error> {
        let all = networks.attachments()?;
        let members = all.iter().filter(|attachment| on(attachment, network).is_some());
        let known = members.flat_map(with_names).map(|endpoint| endpoint.network.clone()).collect();
        let mut names = Self { networks: known, ..Self::default() };
        all.iter().for_each(|attachment| names.learn(attachment, network));
        Ok(names)
    }

    /// The same for one container, whose record has come, changed or gone.
    pub(super) fn follow(&mut self, networks: &Networks, network: &str, id: &str) -> Result<(), Error> {
        let attachment = networks.attachment(id)?;
        self.forget(id);
        let Some(attachment) = attachment else { return Ok(()) };
        let is_new = |endpoint: &Endpoint| !self.networks.contains(&endpoint.network);
        if on(&attachment, network).is_some() && with_names(&attachment).any(is_new) {
            // Its other networks come with it.
            *self = Self::read(networks, network)?;
        } else {
            self.learn(&attachment, network);
        }
        Ok(())
    }

    fn learn(&mut self, attachment: &Attachment, network: &str) {
        let owner: Rc<str> = attachment.id.as_str().into();
        let own = |value| Owned { owner: owner.clone(), value };
        let (mut called, mut addresses) = (Vec::new(), Vec::new());
        for endpoint in with_names(attachment).filter(|endpoint| self.networks.contains(&endpoint.network)) {
            let network: Rc<str> = endpoint.network.as_str().into();
            let names = names_on(attachment, endpoint);
            for (address, _) in &endpoint.addresses {
                for name in &names {
                    let at = At { network: network.clone(), value: *address };
                    self.by_name
                        .entry(name.clone())
                        .or_default()
                        .push(Owned { owner: owner.clone(), value: at });
                }
                let at = At { network: network.clone(), value: attachment.name.clone() };
                self.by_address.insert(*address, Owned { owner: owner.clone(), value: at });
                addresses.push(*address);
            }
            called.extend(names);
        }
        for (address, _) in on(attachment, network).iter().flat_map(|endpoint| &endpoint.addresses) {
            self.clients.insert(*address, own(Client::of(attachment)));
        }
        if !called.is_empty() {
            called.sort_unstable();
            called.dedup();
            self.members.insert(owner, (called, addresses));
        }
    }

    fn forget(&mut self, id: &str) {
        let Some((called, addresses)) = self.members.remove(id) else { return };
        for name in called {
            if let Entry::Occupied(mut known) = self.by_name.entry(name) {
                known.get_mut().retain(|address| *address.owner != *id);
                if known.get().is_empty() {
                    known.remove();
                }
            }
        }
        for address in addresses {
            if self.by_address.get(&address).is_some_and(|known| *known.owner == *id) {
                self.by_address.remove(&address);
            }
            if self.clients.get(&address).is_some_and(|known| *known.owner == *id) {
                self.clients.remove(&address);
            }
        }
    }

    /// The servers that are asked for whoever is at this address; `None`: the host's.
    pub(super) fn servers_of(&self, client: IpAddr) -> Option<&[IpAddr]> {
        self.clients.get(&client)?.value.servers.as_deref()
    }

    /// Answers a query, as far as it is about networks of the asker's: `answer` gets it appended.
    pub(super) fn ask(
        &self,
        network: &Definition,
        (client, query): (IpAddr, &[u8]),
        transport: Transport,
        answer: &mut Vec<u8>,
    ) -> Outcome {
        let question = match wire::question(query) {
            Ok(question) => question,
            Err(None) => return Outcome::Drop,
            Err(Some(refusal)) => {
                wire::refuse(answer, query, refusal);
                return Outcome::Answered;
            }
        };
        let client = self.clients.get(&client).map(|known| &known.value);
        let asker = Asker { client, network };
        match self.look_up(asker, &question) {
            Some(records) => wire::answer(answer, query, &question, records, transport),
            // Nothing leaves an internal network, questions neither.
            None if !asker.goes_out() => {
                wire::answer(answer, query, &question, None::<std::iter::Empty<Data<'_>>>, transport);
            }
            None => return Outcome::Forward,
        }
        Outcome::Answered
    }

    /// `None` where it is not for these networks to say; `Some(None)` where there is no such name.
    fn look_up<'a>(
        &'a self,
        asker: Asker<'a>,
        question: &Question,
    ) -> Option<Option<impl Iterator<Item = Data<'a>>>> {
        let kind = question.kind;
        let (name, addresses, first) = if kind == Kind::Pointer {
            let address = wire::reversed(&question.name)?;
            match self.by_address.get(&address).filter(|known| asker.place(known).is_some()) {
                Some(known) => (Some(Data::Name(&known.value.value)), &[][..], 0),
                None if asker.network.pools.iter().any(|pool| pool.subnet.contains(address)) => {
                    return Some(None);
                }
                None => return None,
            }
        } else {
            let known = self.by_name.get(&question.name)?;
            let first = known.iter().filter_map(|address| asker.place(address)).min()?;
            (None, known.as_slice(), first)
        };
        // Who has the name on the first of the networks that know it.
        let wanted = move |address: &&Owned<At<IpAddr>>| {
            asker.place(address) == Some(first)
                && match kind {
                    Kind::Address4 => address.value.value.is_ipv4(),
                    Kind::Address6 => address.value.value.is_ipv6(),
                    Kind::Pointer | Kind::Other => false,
                }
        };
        let addresses = addresses.iter().filter(wanted).map(|address| Data::Address(address.value.value));
        Some(Some(name.into_iter().chain(addresses)))
    }
}

impl Client {
    fn of(attachment: &Attachment) -> Self {
        let networks = with_names(attachment).map(|endpoint| endpoint.network.as_str().into());
        let goes_out = attachment.endpoints.iter().any(|endpoint| !endpoint.internal);
        let subnets = attachment.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        let subnets: Vec<Subnet> =
            subnets.filter_map(|(address, prefix)| Subnet::of(*address, *prefix)).collect();
        // The resolver stands outside: what the container would not reach is not asked for it.
        let reaches = |server: &&IpAddr| goes_out || subnets.iter().any(|subnet| subnet.contains(**server));
        let said = Some(&attachment.servers).filter(|servers| !servers.is_empty());
        let servers = said.map(|servers| servers.iter().filter(reaches).copied().collect());
        Self { networks: networks.collect(), goes_out, servers }
    }
}

/// The container on this network; `None` where it is not there.
fn on<'a>(attachment: &'a Attachment, network: &str) -> Option<&'a Endpoint> {
    attachment.endpoints.iter().find(|endpoint| endpoint.network == network)
}

/// The container on each network on which names are answered.
fn with_names(attachment: &Attachment) -> impl Iterator<Item = &Endpoint> {
    attachment.endpoints.iter().filter(|endpoint| endpoint.resolver.is_some())
}

/// What a container is called on a network.
fn names_on(attachment: &Attachment, endpoint: &Endpoint) -> Vec<String> {
    let names = [attachment.name.as_str(), short(&attachment.id)];
    let aliases = endpoint.aliases.iter().chain(&attachment.members).map(String::as_str);
    let mut called: Vec<String> = names.into_iter().chain(aliases).map(str::to_ascii_lowercase).collect();
    called.sort_unstable();
    called.dedup();
    called
}

/// Appends an answer that nobody could be asked for.
pub(super) fn fail(answer: &mut Vec<u8>, query: &[u8]) {
    wire::refuse(answer, query, Refusal::Failure);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Driver;
    use crate::options::DefaultRoute;

    /// The record of a container on `blue`.
    fn note(networks: &Networks, id: &str, name: &str, aliases: &[&str], address: &str) {
        let endpoint = Endpoint {
            network: "blue".to_owned(),
            driver: Driver::Bridge,
            internal: false,
            outside: None,
            inside: "eth0".to_owned(),
            addresses: vec![(address.parse().unwrap(), 24)],
            gateways: Vec::new(),
            default_route: DefaultRoute::Usual,
            resolver: Some("10.5.0.1".parse().unwrap()),
            mac: None,
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        };
        let attachment = Attachment { endpoints: vec![endpoint], ..Attachment::new(id, name) };
        networks.note(&attachment).unwrap();
    }

    #[test]
    fn what_is_followed_is_what_would_be_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::new(dir.path(), dir.path());
        let mut names = Names::default();
        let check = |names: &mut Names, id: &str| {
            names.follow(&networks, "blue", id).unwrap();
            let anew = Names::read(&networks, "blue").unwrap();
            let sorted = |names: &Names| {
                let mut all: Vec<_> = names.by_name.clone().into_iter().collect();
                all.iter_mut().for_each(|(_, addresses)| addresses.sort_unstable());
                all.sort_unstable();
                all
            };
            assert_eq!(sorted(names), sorted(&anew));
            assert_eq!(names.by_address, anew.by_address);
            sorted(names)
        };
        note(&networks, "one", "web", &["shared", "WEB"], "10.5.0.2");
        check(&mut names, "one");
        note(&networks, "two", "db", &["shared"], "10.5.0.3");
        let both = check(&mut names, "two");
        assert!(both.iter().any(|(name, addresses)| name == "shared" && addresses.len() == 2), "{both:?}");
        // It has started again, with another name and address.
        note(&networks, "one", "www", &[], "10.5.0.4");
        check(&mut names, "one");
        networks.forget("two").unwrap();
        check(&mut names, "two");
        note(&networks, "one", "www", &[], "10.5.0.3");
        check(&mut names, "one");
        // One that has ended loses its address to another before its record.
        note(&networks, "new", "new", &["www"], "10.5.0.3");
        names.follow(&networks, "blue", "new").unwrap();
        networks.forget("one").unwrap();
        assert_eq!(check(&mut names, "one").len(), 2);
        networks.forget("new").unwrap();
        assert!(check(&mut names, "new").is_empty());
        check(&mut names, "nobody");
    }
}
