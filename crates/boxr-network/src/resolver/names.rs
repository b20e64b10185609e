//! Who is called what on a network.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::rc::Rc;

use super::wire::{self, Data, Kind, Question, Refusal, Transport};
use crate::attachment::{Attachment, short};
use crate::definition::Definition;
use crate::error::Error;
use crate::networks::Networks;

/// The names of the containers on one network.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<String, Vec<Owned<IpAddr>>>,
    by_address: HashMap<IpAddr, Owned<String>>,
    /// What each container is called and where, to forget it by.
    members: HashMap<Rc<str>, (Vec<String>, Vec<IpAddr>)>,
}

/// Something of a container's. An address may be another's already when its last owner's record goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owned<T> {
    owner: Rc<str>,
    value: T,
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is answered.
    Answered,
    /// The host's name servers may know.
    Forward,
    /// It is none.
    Drop,
}

impl Names {
    /// As the records on disk say now.
    pub(super) fn read(networks: &Networks, network: &str) -> Result<Self, Error> {
        let mut names = Self::default();
        for attachment in networks.attachments()? {
            names.learn(&attachment, network);
        }
        Ok(names)
    }

    /// The same for one container, whose record has come, changed or gone.
    pub(super) fn follow(&mut self, networks: &Networks, network: &str, id: &str) -> Result<(), Error> {
        let attachment = networks.attachment(id)?;
        self.forget(id);
        if let Some(attachment) = attachment {
            self.learn(&attachment, network);
        }
        Ok(())
    }

    fn learn(&mut self, attachment: &Attachment, network: &str) {
        let Some(endpoint) = attachment.endpoints.iter().find(|endpoint| endpoint.network == network) else {
            return;
        };
        let names = [attachment.name.as_str(), short(&attachment.id)];
        let aliases = endpoint.aliases.iter().chain(&attachment.members).map(String::as_str);
        let mut called: Vec<String> = names.into_iter().chain(aliases).map(str::to_ascii_lowercase).collect();
        called.sort_unstable();
        called.dedup();
        let addresses: Vec<IpAddr> = endpoint.addresses.iter().map(|(address, _)| *address).collect();
        let owner: Rc<str> = attachment.id.as_str().into();
        for address in &addresses {
            for name in &called {
                let address = Owned { owner: owner.clone(), value: *address };
                self.by_name.entry(name.clone()).or_default().push(address);
            }
            let name = Owned { owner: owner.clone(), value: attachment.name.clone() };
            self.by_address.insert(*address, name);
        }
        self.members.insert(owner, (called, addresses));
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
            if let Entry::Occupied(known) = self.by_address.entry(address)
                && *known.get().owner == *id
            {
                known.remove();
            }
        }
    }

    /// Answers a query, as far as it is about this network: `answer` gets it appended.
    pub(super) fn ask(
        &self,
        network: &Definition,
        query: &[u8],
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
        match self.look_up(network, &question) {
            Some(records) => wire::answer(answer, query, &question, records, transport),
            // Nothing leaves an internal network, questions neither.
            None if network.internal => {
                wire::answer(answer, query, &question, None::<std::iter::Empty<Data<'_>>>, transport);
            }
            None => return Outcome::Forward,
        }
        Outcome::Answered
    }

    /// `None` where it is not for this network to say; `Some(None)` where there is no such name.
    fn look_up<'a>(
        &'a self,
        network: &Definition,
        question: &Question,
    ) -> Option<Option<impl Iterator<Item = Data<'a>>>> {
        let kind = question.kind;
        let (name, addresses) = if kind == Kind::Pointer {
            let address = wire::reversed(&question.name)?;
            if !network.pools.iter().any(|pool| pool.subnet.contains(address)) {
                return None;
            }
            let Some(name) = self.by_address.get(&address) else { return Some(None) };
            (Some(Data::Name(&name.value)), &[][..])
        } else {
            (None, self.by_name.get(&question.name)?.as_slice())
        };
        let wanted = move |address: &&Owned<IpAddr>| match kind {
            Kind::Address4 => address.value.is_ipv4(),
            Kind::Address6 => address.value.is_ipv6(),
            Kind::Pointer | Kind::Other => false,
        };
        let addresses = addresses.iter().filter(wanted).map(|address| Data::Address(address.value));
        Some(Some(name.into_iter().chain(addresses)))
    }
}

/// Appends an answer that nobody could be asked for.
pub(super) fn fail(answer: &mut Vec<u8>, query: &[u8]) {
    wire::refuse(answer, query, Refusal::Failure);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachment::Endpoint;
    use crate::definition::Driver;

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
            resolver: None,
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
