//! Removing everything that has ended.

use super::remove::{Force, RemoveError, remove};
use super::usage::bytes_below;
use crate::id::Id;
use crate::record::State;
use crate::store::{Contents, Observed, Store, StoreError};

/// What a prune did.
#[derive(Debug, Default)]
pub struct Pruned {
    /// What was removed, the oldest first.
    pub removed: Vec<Id>,
    /// What was not, and why.
    pub failed: Vec<(Id, RemoveError)>,
    /// Bytes that are free again.
    pub bytes: u64,
}

/// Removes boxes that have ended or never ran and that `wanted` accepts. What interrupted commands
/// left is removed by listing. One that fails does not stop the others.
///
/// # Errors
/// When boxes cannot be listed.
pub fn prune(store: &Store, wanted: impl Fn(&State) -> bool) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    for entry in store.list()? {
        let Contents::Known { state, observed } = entry.contents else { continue };
        if !matches!(observed, Observed::Exited(_) | Observed::Created) || !wanted(&state) {
            continue;
        }
        match remove_one(store, &entry.id) {
            Ok(bytes) => {
                pruned.bytes = pruned.bytes.saturating_add(bytes);
                pruned.removed.push(entry.id);
            }
            // Somebody else was faster.
            Err(RemoveError::Store(StoreError::NotFound { .. })) => {}
            Err(error) => pruned.failed.push((entry.id, error)),
        }
    }
    Ok(pruned)
}

fn remove_one(store: &Store, id: &Id) -> Result<u64, RemoveError> {
    let dir = store.resolve(id.as_str())?;
    let bytes = dir.data_path()?.map_or(0, |path| bytes_below(&path));
    remove(store, &dir, Force::No)?;
    Ok(bytes)
}
