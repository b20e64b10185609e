//! What commands about existing boxes share: the store, and several names in one line.

use boxr_engine::lifecycle::remove::{Force, remove};
use boxr_engine::lifecycle::requires::dependents_first;
use boxr_engine::outcome::EngineError;
use boxr_engine::paths::Paths;
use boxr_engine::record::{State, Status};
use boxr_engine::store::{BoxDir, Contents, Entry, Store, StoreError};

use crate::cli::{Globals, Invocation};
use crate::commands::ps::filter::Filters;
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
    let mut names = invocation.positionals().to_vec();
    if invocation.offers("cidfile") {
        names.extend(of_cidfiles(invocation)?);
    }
    let filters: Vec<&str> =
        if invocation.offers("filter") { invocation.values("filter").collect() } else { Vec::new() };
    if !invocation.switch("all") && filters.is_empty() {
        return Ok(names);
    }
    let filters = Filters::read(filters.into_iter(), store)?;
    let is_meant = |entry: &Entry| match &entry.contents {
        // A filter by state is about boxes of other states than those that are usually meant.
        Contents::Known { state, .. } => filters.accept(entry) && (filters.want_all() || wanted(state)),
        _ => false,
    };
    let entries = store.list()?;
    names.extend(entries.iter().filter(|entry| is_meant(entry)).map(|entry| entry.id.as_str().to_owned()));
    Ok(names)
}

/// The ids in the files of `--cidfile`.
fn of_cidfiles(invocation: &Invocation) -> Result<Vec<String>, Report> {
    let ignores = invocation.offers("ignore") && invocation.switch("ignore");
    let mut ids = Vec::new();
    for path in invocation.values("cidfile") {
        match std::fs::read_to_string(path) {
            Ok(text) => ids.push(text.trim().to_owned()),
            Err(error) if ignores && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Report::new(format!("--cidfile {path}: {}", crate::report::io_text(&error))));
            }
        }
    }
    Ok(ids)
}

/// Puts the box that was made last in the place of the name (`--latest`).
///
/// # Errors
/// There is none.
pub fn put_latest(invocation: &mut Invocation) -> Result<(), Report> {
    let store = open_store(&invocation.globals)?;
    let entries = store.list()?;
    let last = entries.iter().rev().find(|entry| matches!(entry.contents, Contents::Known { .. }));
    let last = last.ok_or_else(|| Report::new("there is no box: --latest is none").status(1))?;
    invocation.matches.positionals.insert(0, last.id.as_str().to_owned());
    Ok(())
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
    let ignores = invocation.offers("ignore") && invocation.switch("ignore");
    let names = dependents_first(&store, targets(&store, invocation, wanted)?, false)?;
    for_each(names, |name| {
        let dir = match store.resolve(&name) {
            Err(StoreError::NotFound { .. }) if ignores => return Ok(()),
            found => found.map_err(|error| Report::from(error).status(1))?,
        };
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
