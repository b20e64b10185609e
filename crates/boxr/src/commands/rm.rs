//! `boxr rm`: names that could not be removed do not stop the others.

use boxr_engine::lifecycle::remove::{Force, remove};
use boxr_engine::store::{Store, StoreError};
use boxr_engine::volume;

use crate::boxes;
use crate::cli::Invocation;
use crate::report::{Report, write_stdout};

/// Carries out `boxr rm`: prints what was given, for each box that is gone.
///
/// # Errors
/// When there is nothing to remove, or the store cannot be opened.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let force = if invocation.switch("force") { Force::Yes } else { Force::No };
    let names = match (invocation.switch("all"), invocation.positionals()) {
        (true, []) => all(&store)?,
        (true, _) => return Err(Report::new("boxr rm: --all takes no names")),
        // docker's: a script that removes what it finds may find nothing.
        (false, []) if force == Force::Yes => return Ok(0),
        (false, []) => {
            return Err(Report::new("boxr rm: CONTAINER is missing")
                .suggest("boxr rm NAME")
                .suggest("boxr rm --force --all"));
        }
        (false, names) => names.to_vec(),
    };
    boxes::for_each(&names, |name| {
        match store.resolve(name) {
            Err(StoreError::NotFound { .. }) if force == Force::Yes => return Ok(()),
            found => {
                let dir = found?;
                let volumes = match dir.data_path()? {
                    Some(data) if invocation.switch("volumes") => volume::attached(&data)?,
                    _ => Vec::new(),
                };
                remove(&store, &dir, force)?;
                volume::remove_anonymous(store.paths(), &volumes)?;
            }
        }
        write_stdout(&format!("{name}\n"))
    })
}

fn all(store: &Store) -> Result<Vec<String>, Report> {
    Ok(store.list()?.into_iter().map(|entry| entry.id.as_str().to_owned()).collect())
}
