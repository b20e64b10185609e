//! Commands about networks.

mod connect;
mod create;
mod explain;
mod inspect;
mod list;
mod remove;

use std::collections::BTreeSet;

use boxr_engine::events::{Action, Event, Journal, Kind};
use boxr_engine::network;
use boxr_engine::paths::Paths;
use boxr_engine::store::{Contents, Store};
use boxr_network::{Definition, Networks};

use crate::cli::{Globals, Invocation, run_member};
use crate::report::Report;

pub use connect::{connect, disconnect, reload};
pub use create::run as create;
pub use explain::run as explain;
pub use inspect::{exists, of_name, run as inspect};
pub use list::run as list;
pub use remove::{prune, remove};

/// Carries out `boxr network COMMAND`.
///
/// # Errors
/// A word that is no command there, and what that command reports.
pub fn group(invocation: Invocation) -> Result<u8, Report> {
    run_member(invocation)
}

/// The networks that the command line means.
///
/// # Errors
/// When there is no usable directory.
pub fn open(globals: &Globals) -> Result<Networks, Report> {
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    Ok(network::networks(&paths))
}

/// The networks that boxes start on, also those that do not run now.
fn wanted(store: &Store) -> Result<BTreeSet<String>, Report> {
    let mut wanted = BTreeSet::new();
    for (_, pod, _) in store.pods()? {
        wanted.extend(pod.options.network.networks.into_iter().map(|network| network.name));
    }
    for entry in store.list()? {
        if let Contents::Known { .. } = entry.contents
            && let Ok(dir) = store.resolve(entry.id.as_str())
            && let Ok(record) = dir.read_record()
        {
            wanted.extend(record.options.network.networks.into_iter().map(|network| network.name));
        }
    }
    Ok(wanted)
}

/// Journals that a network was made, or is gone.
fn note(globals: &Globals, network: &Definition, action: Action) -> Result<(), Report> {
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    let event = Event::new(Kind::Network, action, &network.id)
        .with("name", &network.name)
        .with("type", network.driver.name());
    Journal::of(&paths).note(&[event]);
    Ok(())
}

/// docker's commands about networks fail with 1.
fn failed(error: impl Into<Report>) -> Report {
    error.into().status(1)
}
