//! `boxr restart`

use boxr_engine::lifecycle;
use boxr_engine::record::State;
use boxr_engine::store::{Contents, Entry};

use super::stop;
use crate::boxes;
use crate::cli::Invocation;
use crate::protect;
use crate::report::{Report, write_stdout};

/// Carries out `boxr restart`.
///
/// # Errors
/// A value that cannot be, or the store; what fails for one box is reported and the others go on.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let terms = stop::terms(&invocation)?;
    protect::now()?;
    let store = boxes::open_store(&invocation.globals)?;
    let running = invocation.switch("running");
    let meant = |state: &State| !running || boxes::runs(state);
    let mut names = boxes::targets(&store, &invocation, meant)?;
    if running && !invocation.switch("all") && names.is_empty() {
        let entries = store.list()?;
        let runs = |entry: &&Entry| match &entry.contents {
            Contents::Known { state, .. } => boxes::runs(state),
            _ => false,
        };
        names.extend(entries.iter().filter(runs).map(|entry| entry.id.as_str().to_owned()));
    }
    boxes::for_each(&names, |name| {
        let dir = boxes::find(&store, name)?;
        lifecycle::restart(&store, &dir, terms).map_err(|error| Report::from(error).status(1))?;
        write_stdout(&format!("{name}\n"))
    })
}
