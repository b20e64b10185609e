//! Commands about volumes.

mod create;
mod filters;
mod inspect;
mod list;
mod prune;
mod remove;

use boxr_engine::paths::Paths;
use boxr_engine::store::Store;
use boxr_engine::volume::{Volume, VolumeError, VolumeName, Volumes};

use crate::boxes;
use crate::cli::{Globals, Invocation, run_member};
use crate::report::Report;

pub use create::run as create;
pub use inspect::{exists, of_name, run as inspect};
pub use list::run as list;
pub use prune::{prune_unused, run as prune};
pub use remove::run as remove;

/// Carries out `boxr volume COMMAND`.
///
/// # Errors
/// A word that is no command there, and what that command reports.
pub fn group(invocation: Invocation) -> Result<u8, Report> {
    run_member(invocation)
}

/// The volumes that are named, or all.
fn words(volumes: &Volumes, invocation: &Invocation) -> Result<Vec<String>, Report> {
    if !invocation.switch("all") {
        return Ok(invocation.positionals().to_vec());
    }
    let (all, _) = all(volumes)?;
    Ok(all.into_iter().map(|volume| volume.name.to_string()).collect())
}

fn open(globals: &Globals) -> Result<Volumes, Report> {
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    Ok(Volumes::open(&paths)?)
}

/// All that can be read; what is wrong with others is told, and asks for this status.
fn all(volumes: &Volumes) -> Result<(Vec<Volume>, u8), Report> {
    let mut known = Vec::new();
    let status = boxes::for_each(volumes.names()?, |name| {
        match volumes.read(&name) {
            Ok(volume) => known.push(volume),
            // Removed just now.
            Err(VolumeError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    })?;
    Ok((known, status))
}

/// The names of the boxes that have a volume; the short id of one without.
fn users(store: &Store, volumes: &Volumes, name: &VolumeName) -> Result<Vec<String>, Report> {
    let name_of = |id: &boxr_engine::id::Id| {
        let state = store.resolve(id.as_str()).and_then(|dir| dir.read_state());
        state.map_or_else(|_| id.short().to_owned(), |state| state.name)
    };
    Ok(volumes.users(name)?.iter().map(name_of).collect())
}
