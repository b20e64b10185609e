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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// This is the answer.
    Answer(Vec<u8>),
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

    /// Answers a query, as far as it is about this network.
    pub(super) fn ask(&self, network: &Definition, query: &[u8], transport: Transport) -> Outcome {
        let question = match wire::question(query) {
            Ok(question) => question,
            Err(None) => return Outcome::Drop,
            Err(Some(refusal)) => return Outcome::Answer(wire::refuse(query, refusal)),
        };
        match self.look_up(network, &question) {
            Some(records) => Outcome::Answer(wire::answer(query, &question, records.as_deref(), transport)),
            // Nothing leaves an internal network, questions neither.
            None if network.internal => Outcome::Answer(wire::answer(query, &question, None, transport)),
            None => Outcome::Forward,
        }
    }

    /// `None` where it is not for this network to say; `Some(None)` where there is no such name.
    fn look_up(&self, network: &Definition, question: &Question) -> Option<Option<Vec<Data>>> {
        if question.kind == Kind::Pointer {
            let address = wire::reversed(&question.name)?;
            if !network.pools.iter().any(|pool| pool.subnet.contains(address)) {
                return None;
            }
            return Some(self.by_address.get(&address).map(|name| vec![Data::Name(name.clone())]));
        }
        let addresses = self.by_name.get(&question.name)?;
        let wanted = |address: &&IpAddr| match question.kind {
            Kind::Address4 => address.is_ipv4(),
            Kind::Address6 => address.is_ipv6(),
            Kind::Pointer | Kind::Other => false,
        };
        Some(Some(addresses.iter().filter(wanted).map(|address| Data::Address(*address)).collect()))
    }
}

/// An answer that nobody could be asked for.
pub(super) fn failure(query: &[u8]) -> Vec<u8> {
    wire::refuse(query, Refusal::Failure)
}
