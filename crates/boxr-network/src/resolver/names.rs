//! Who is called what on a network.

use std::collections::HashMap;
use std::net::IpAddr;

use super::wire::{self, Data, Kind, Question, Refusal, Transport};
use crate::attachment::short;
use crate::definition::Definition;
use crate::error::Error;
use crate::networks::Networks;

/// The names of the containers on one network.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<String, Vec<IpAddr>>,
    by_address: HashMap<IpAddr, String>,
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
        let mut owners: Vec<String> =
            networks.leases(network)?.into_iter().map(|lease| lease.owner).collect();
        owners.sort_unstable();
        owners.dedup();
        for id in owners {
            let Some(attachment) = networks.attachment(&id)? else { continue };
            let Some(endpoint) = attachment.endpoints.iter().find(|endpoint| endpoint.network == network)
            else {
                continue;
            };
            let called = [attachment.name.as_str(), short(&id)];
            let aliases = endpoint.aliases.iter().chain(&attachment.members).map(String::as_str);
            for (address, _) in &endpoint.addresses {
                names.by_address.insert(*address, attachment.name.clone());
                for name in called.into_iter().chain(aliases.clone()) {
                    names.by_name.entry(name.to_ascii_lowercase()).or_default().push(*address);
                }
            }
        }
        Ok(names)
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
            (Some(Data::Name(name)), &[][..])
        } else {
            (None, self.by_name.get(&question.name)?.as_slice())
        };
        let wanted = move |address: &&IpAddr| match kind {
            Kind::Address4 => address.is_ipv4(),
            Kind::Address6 => address.is_ipv6(),
            Kind::Pointer | Kind::Other => false,
        };
        let addresses = addresses.iter().filter(wanted).map(|address| Data::Address(*address));
        Some(Some(name.into_iter().chain(addresses)))
    }
}

/// Appends an answer that nobody could be asked for.
pub(super) fn fail(answer: &mut Vec<u8>, query: &[u8]) {
    wire::refuse(answer, query, Refusal::Failure);
}
