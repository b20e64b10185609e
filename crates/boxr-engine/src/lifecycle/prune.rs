//! Removing everything that has ended.

use super::remove::{Force, RemoveError, remove};
use super::requires;
use super::usage::bytes_below;
use crate::id::Id;
use crate::record::State;
use crate::store::{Contents, Entry, Observed, Store, StoreError};

/// What a prune did.
#[derive(Debug, Default)]
pub struct Pruned {
    /// What was removed, the oldest first, but those that require others before them.
    pub removed: Vec<Id>,
    /// What was not, and why.
    pub failed: Vec<(Id, RemoveError)>,
    /// Names of tries that stay: their changes are nowhere else, and somebody has kept them or is being asked.
    pub tries: Vec<String>,
    /// Bytes that are free again.
    pub bytes: u64,
}

/// Removes boxes that have ended or never ran and that `wanted` accepts, but for tries. What interrupted commands
/// left is removed by listing. One that fails does not stop the others.
///
/// # Errors
/// When boxes cannot be listed.
pub fn prune(store: &Store, wanted: impl Fn(&State) -> bool) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    let is_meant = |entry: &Entry| match &entry.contents {
        Contents::Known { state, observed } => {
            matches!(observed, Observed::Exited(_) | Observed::Created) && wanted(state)
        }
        _ => false,
    };
    let meant: Vec<Entry> = store.list()?.into_iter().filter(is_meant).collect();
    let ids = meant.iter().map(|entry| entry.id.as_str().to_owned()).collect();
    for id in requires::dependents_first(store, ids, false)?.iter().filter_map(|id| Id::parse(id)) {
        match remove_one(store, &id) {
            Ok(Done::Stays(name)) => pruned.tries.push(name),
            Ok(Done::Freed(bytes)) => {
                pruned.bytes = pruned.bytes.saturating_add(bytes);
                pruned.removed.push(id);
            }
            // Somebody else was faster.
            Err(RemoveError::Store(StoreError::NotFound { .. })) => {}
            Err(error) => pruned.failed.push((id, error)),
        }
    }
    Ok(pruned)
}

/// What became of one.
enum Done {
    /// It is gone, and so many bytes are free.
    Freed(u64),
    /// A try of this name.
    Stays(String),
}

fn remove_one(store: &Store, id: &Id) -> Result<Done, RemoveError> {
    let dir = store.resolve(id.as_str())?;
    // What has no record that can be read is removed, or not, as ever.
    if dir.read_record().is_ok_and(|record| record.options.attempt.is_some()) {
        return Ok(Done::Stays(dir.read_state()?.name));
    }
    let bytes = dir.data_path()?.map_or(0, |path| bytes_below(&path));
    remove(store, &dir, Force::No)?;
    Ok(Done::Freed(bytes))
}
