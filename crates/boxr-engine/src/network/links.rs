//! `--link`: a container knows others by names of its own, which are lines of its /etc/hosts (docker-run(1)).
//!
//! ```text
//! DATA/containers/ID/linked-by/OTHER    container OTHER links to container ID; it counts as long as there is OTHER
//! ```
//!
//! So a container that starts again, perhaps at another address, finds those whose files name the old one.

use boxr_network::Attachment;

use super::{follow, networks, running};
use crate::id::Id;
use crate::image::Link;
use crate::lifecycle::{current, requires};
use crate::options::BoxOptions;
use crate::outcome::EngineError;
use crate::store::{BoxDir, Store, StoreError};

/// The directory of the notes, below a container's data directory.
const NOTES: &str = "linked-by";

/// Why a container cannot be linked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is not there, or not any more.
    #[error("no such container")]
    Missing,
    /// Without a process it has no address.
    #[error("it is not running")]
    Stopped,
    /// They share no network.
    #[error("it is on none of this container's networks")]
    Elsewhere,
    /// Each of them has a helper of its own.
    #[error("without privilege containers on the default network do not reach each other")]
    Apart,
}

impl LinkError {
    /// A command that helps.
    pub fn remedy(self, wanted: &str) -> String {
        match self {
            Self::Missing => "boxr ps -a".to_owned(),
            Self::Stopped => format!("boxr start {wanted}"),
            Self::Elsewhere => format!("boxr network connect NETWORK {wanted}"),
            Self::Apart => "boxr network create NETWORK, and --network NETWORK for both".to_owned(),
        }
    }
}

fn refused(wanted: &str, why: LinkError) -> EngineError {
    EngineError::Link { wanted: wanted.to_owned(), why }
}

fn links(options: &BoxOptions) -> &[Link] {
    options.container.as_ref().map_or(&[], |container| &container.naming.links)
}

fn find(store: &Store, wanted: &str) -> Result<BoxDir, EngineError> {
    store.resolve(wanted).map_err(|error| match error {
        StoreError::NotFound { .. } => refused(wanted, LinkError::Missing),
        error => error.into(),
    })
}

/// Puts ids in the place of the names that were said.
///
/// # Errors
/// [`EngineError::Link`] for one that is not there.
pub(crate) fn resolve(store: &Store, options: &mut BoxOptions) -> Result<(), EngineError> {
    let Some(container) = &mut options.container else { return Ok(()) };
    for link in &mut container.naming.links {
        link.container = find(store, &link.container)?.id().as_str().to_owned();
    }
    Ok(())
}

/// Notes with each container that the new one `id` links to that it does.
///
/// # Errors
/// One was removed meanwhile; the note cannot be written.
pub(crate) fn note(store: &Store, options: &BoxOptions, id: &Id) -> Result<(), EngineError> {
    links(options).iter().try_for_each(|link| requires::note_with(&find(store, &link.container)?, NOTES, id))
}

/// Names and addresses of those that a container on `own` networks links to.
///
/// # Errors
/// [`EngineError::Link`]: one is gone, does not run, or is on none of these networks.
pub(super) fn hosts(
    store: &Store,
    options: &BoxOptions,
    own: Option<&Attachment>,
) -> Result<Vec<(String, String)>, EngineError> {
    let mut lines = Vec::new();
    for link in links(options) {
        let dir = find(store, &link.container)?;
        let state = current(&dir)?;
        if running(&state).is_none() {
            return Err(refused(&state.name, LinkError::Stopped));
        }
        let other = networks(store.paths()).attachment(dir.id().as_str())?;
        let addresses = match (own, &other) {
            (Some(own), Some(other)) if own.helped && other.helped => {
                return Err(refused(&state.name, LinkError::Apart));
            }
            (Some(own), Some(other)) => shared(own, other),
            _ => Vec::new(),
        };
        if addresses.is_empty() {
            return Err(refused(&state.name, LinkError::Elsewhere));
        }
        let names = names(link, dir.id(), &state.name);
        lines.extend(addresses.into_iter().map(|address| (names.clone(), address)));
    }
    Ok(lines)
}

/// The other's addresses on the first network that both are on. One with a helper has the default network for itself.
fn shared(own: &Attachment, other: &Attachment) -> Vec<String> {
    let same =
        own.endpoints.iter().find_map(|mine| other.endpoints.iter().find(|its| its.network == mine.network));
    same.iter().flat_map(|endpoint| &endpoint.addresses).map(|(address, _)| address.to_string()).collect()
}

/// The links of a container named `name` as docker's `inspect` prints them, `/OTHER:/NAME/ALIAS`; one that has gone is
/// its id.
pub fn shown(store: &Store, options: &BoxOptions, name: &str) -> Vec<String> {
    let name_of =
        |wanted: &str| store.resolve(wanted).and_then(|dir| dir.read_state()).map(|state| state.name);
    let line = |link: &Link| {
        let other = name_of(&link.container).unwrap_or_else(|_| link.container.clone());
        format!("/{other}:/{name}/{}", link.alias)
    };
    links(options).iter().map(line).collect()
}

/// How a container is called by one that links to it.
fn names(link: &Link, id: &Id, name: &str) -> String {
    let mut names = vec![link.alias.as_str(), id.short()];
    if name != link.alias {
        names.push(name);
    }
    names.join(" ")
}

/// Tells all who link to a container, named `name` now, where it is.
pub(crate) fn tell(store: &Store, dir: &BoxDir, name: &str) {
    for other in requires::noted(store, dir, NOTES).unwrap_or_default() {
        // What one has made of its own file keeps no other from its start.
        tell_one(store, &other, (dir.id(), name)).unwrap_or_default();
    }
}

fn tell_one(store: &Store, who: &BoxDir, (id, name): (&Id, &str)) -> Result<(), EngineError> {
    let options = who.read_record()?.options;
    let networks = networks(store.paths());
    let (own, other) = (networks.attachment(who.id().as_str())?, networks.attachment(id.as_str())?);
    // It looks itself when it starts.
    let (Some(own), Some(other)) = (own, other) else { return Ok(()) };
    let addresses = shared(&own, &other);
    let own_links: Vec<&Link> = links(&options).iter().filter(|link| link.container == id.as_str()).collect();
    follow::change_hosts(who, &options, |text| {
        own_links.iter().fold(text.to_owned(), |text, link| moved(&text, link, (id, name), &addresses))
    })
}

/// The text of /etc/hosts when a container has these addresses; lines that boxr has not written stay.
fn moved(text: &str, link: &Link, (id, name): (&Id, &str), addresses: &[String]) -> String {
    let is_its = |line: &&str| {
        let mut names = line.split_whitespace().skip(1);
        names.next() == Some(&link.alias) && names.next() == Some(id.short())
    };
    let names = names(link, id, name);
    let others = text.lines().filter(|line| !is_its(line)).map(str::to_owned);
    let its = addresses.iter().map(|address| format!("{address}\t{names}"));
    others.chain(its).map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_of_a_link_move() {
        let id = Id::parse(&"ab".repeat(32)).unwrap();
        let link = Link { container: id.as_str().to_owned(), alias: "store".to_owned() };
        let line = |address: &str| format!("{address}\tstore {} db\n", id.short());
        let mine = "127.0.0.1\tlocalhost\n10.9.9.9\tstore\n# a note\n";
        let text = format!("{}{mine}", line("10.5.0.2"));
        let all = |addresses: &[&str]| addresses.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let after = moved(&text, &link, (&id, "db"), &all(&["10.5.0.3", "fd00::3"]));
        assert_eq!(after, format!("{mine}{}{}", line("10.5.0.3"), line("fd00::3")));
        assert_eq!(moved(&after, &link, (&id, "db"), &[]), mine);
        let plain = Link { alias: "db".to_owned(), ..link };
        assert_eq!(names(&plain, &id, "db"), format!("db {}", id.short()));
    }
}
