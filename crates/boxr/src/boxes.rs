//! What commands about existing boxes share: the store, and several names in one line.

use boxr_engine::lifecycle::remove::{Force, remove};
use boxr_engine::outcome::EngineError;
use boxr_engine::paths::Paths;
use boxr_engine::record::{State, Status};
use boxr_engine::store::{BoxDir, Contents, Store, StoreError};

use crate::cli::{Globals, Invocation};
use crate::report::{Report, write_stdout};

/// Opens the store that the command line means.
///
/// # Errors
/// When there is no usable directory.
pub fn open_store(globals: &Globals) -> Result<Store, Report> {
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    Ok(Store::open(paths)?)
}

/// Looks whether the descriptors that a command is to inherit are there. Comes before boxr opens any
/// of its own, which would take their numbers.
///
/// # Errors
/// The first that is not open.
pub fn check_descriptors(count: u32) -> Result<(), Report> {
    let last = i32::try_from(count).unwrap_or(i32::MAX).saturating_add(2);
    match (3..=last).find(|number| !boxr_sys::fd::is_open(*number)) {
        None => Ok(()),
        Some(number) => Err(Report::new(format!("--preserve-fds {count}: descriptor {number} is not open"))
            .detail(format!("it passes the descriptors 3 to {last} on"))),
    }
}

/// Does something with each of several boxes. One that fails is reported at once and does not stop
/// the others; the status is then 1.
///
/// # Errors
/// None by itself: a silent report of `each` (the reader of stdout has gone) ends it.
pub fn for_each<T>(
    targets: impl IntoIterator<Item = T>,
    mut each: impl FnMut(T) -> Result<(), Report>,
) -> Result<u8, Report> {
    let mut status = 0;
    for target in targets {
        match each(target) {
            Ok(()) => {}
            Err(report) if report.silent => return Err(report),
            Err(report) => {
                report.print();
                status = 1;
            }
        }
    }
    Ok(status)
}

/// Finds a box by name, id or beginning of an id; failing is status 1, as with docker.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(store: &Store, wanted: &str) -> Result<boxr_engine::store::BoxDir, Report> {
    store.resolve(wanted).map_err(|error| Report::from(error).status(1))
}

/// The boxes a command is about: those named or, with `--all`, those whose state `wanted` accepts.
///
/// # Errors
/// The list cannot be read.
pub fn targets(
    store: &Store,
    invocation: &Invocation,
    wanted: impl Fn(&State) -> bool,
) -> Result<Vec<String>, Report> {
    if !invocation.switch("all") {
        return Ok(invocation.positionals().to_vec());
    }
    let entries = store.list()?;
    Ok(entries
        .into_iter()
        .filter_map(|entry| match entry.contents {
            Contents::Known { state, .. } if wanted(&state) => Some(state.id.clone()),
            _ => None,
        })
        .collect())
}

/// Does something with each box of the command line and prints the words it went by.
///
/// # Errors
/// As [`for_each`].
pub fn act(
    invocation: &Invocation,
    wanted: impl Fn(&State) -> bool,
    mut action: impl FnMut(&Store, &BoxDir) -> Result<(), EngineError>,
) -> Result<u8, Report> {
    let store = open_store(&invocation.globals)?;
    for_each(targets(&store, invocation, wanted)?, |name| {
        let dir = find(&store, &name)?;
        action(&store, &dir).map_err(|error| Report::from(error).status(1))?;
        write_stdout(&format!("{name}\n"))
    })
}

/// Removes the box of this name, if there is one (`--replace`).
///
/// # Errors
/// It cannot be removed.
pub fn replace(store: &Store, name: Option<&str>) -> Result<(), Report> {
    let Some(name) = name else { return Ok(()) };
    let dir = match store.resolve(name) {
        Err(StoreError::NotFound { .. }) => return Ok(()),
        found => found?,
    };
    // An id that begins like the name is another box's.
    if dir.read_state().is_ok_and(|state| state.name == name) {
        remove(store, &dir, Force::Yes)?;
    }
    Ok(())
}

/// Whether a box runs, as far as its state says.
pub fn runs(state: &State) -> bool {
    matches!(state.status, Status::Running | Status::Paused)
}
