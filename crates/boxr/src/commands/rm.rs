//! `boxr rm`: names that could not be removed do not stop the others.

use boxr_engine::lifecycle;
use boxr_engine::lifecycle::remove::{Force, remove};
use boxr_engine::lifecycle::requires::dependents_first;
use boxr_engine::store::{Store, StoreError};
use boxr_engine::volume;

use super::stop;
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
    if invocation.switch("all") && !invocation.positionals().is_empty() {
        return Err(Report::new("boxr rm: --all takes no names"));
    }
    let said = |flag: &str| invocation.values(flag).next().is_some();
    let selects = invocation.switch("all") || said("filter") || said("cidfile");
    let names = match (selects, invocation.positionals()) {
        // docker's: a script that removes what it finds may find nothing.
        (false, []) if force == Force::Yes => return Ok(0),
        (false, []) => {
            return Err(Report::new("boxr rm: CONTAINER is missing")
                .suggest("boxr rm NAME")
                .suggest("boxr rm --force --all"));
        }
        _ => named(&store, &invocation)?,
    };
    let names = dependents_first(&store, names, invocation.switch("depend"))?;
    let terms = stop::terms(&invocation)?;
    let ignores = force == Force::Yes || invocation.switch("ignore");
    boxes::for_each(&names, |name| {
        match store.resolve(name) {
            Err(StoreError::NotFound { .. }) if ignores => return Ok(()),
            found => {
                let dir = found?;
                let volumes = match dir.data_path()? {
                    Some(data) if invocation.switch("volumes") => volume::attached(&data)?,
                    _ => Vec::new(),
                };
                // Asked first only where a time for it was said, as in podman.
                if let (Force::Yes, Some(_), Ok(state)) = (force, terms.grace, dir.read_state())
                    && boxes::runs(&state)
                {
                    lifecycle::stop(&dir, terms)?;
                }
                remove(&store, &dir, force)?;
                volume::remove_anonymous(store.paths(), &volumes)?;
            }
        }
        write_stdout(&format!("{name}\n"))
    })
}

/// Those that are meant; with `--all`, also what is left of boxes that nothing is known of.
fn named(store: &Store, invocation: &Invocation) -> Result<Vec<String>, Report> {
    if invocation.switch("all") && invocation.values("filter").next().is_none() {
        return Ok(store.list()?.into_iter().map(|entry| entry.id.as_str().to_owned()).collect());
    }
    boxes::targets(store, invocation, |_| true)
}
