//! Boxes that others require (`--requires`, podman-run(1)): they are started before those, and not removed while those are there.
//!
//! ```text
//! DATA/containers/ID/required-by/OTHER    box OTHER requires box ID; it counts as long as there is box OTHER
//! ```
//!
//! A box requires others by their ids, which are older than it is: nothing can require itself.

use std::collections::HashSet;
use std::path::PathBuf;

use rustix::io::Errno;

use super::{StartMode, running, start::start_chained};
use crate::id::Id;
use crate::network::links;
use crate::options::BoxOptions;
use crate::outcome::EngineError;
use crate::store::{BoxDir, Store, StoreError};

/// The directory of the notes, below a box's data directory.
const NOTES: &str = "required-by";

/// Puts ids in the place of the names that were said, here and with `--link`.
///
/// # Errors
/// [`EngineError::Required`] or [`EngineError::Link`] for one that is not there.
pub(crate) fn resolve(store: &Store, options: &mut BoxOptions) -> Result<(), EngineError> {
    for wanted in &mut options.requires {
        *wanted = find(store, wanted)?.id().as_str().to_owned();
    }
    links::resolve(store, options)
}

fn find(store: &Store, wanted: &str) -> Result<BoxDir, EngineError> {
    store.resolve(wanted).map_err(|error| match error {
        StoreError::NotFound { .. } => EngineError::Required { wanted: wanted.to_owned() },
        error => error.into(),
    })
}

/// Notes with each box that the new box `id` requires, or links to, that it does.
///
/// # Errors
/// One was removed meanwhile; the note cannot be written.
pub(crate) fn note(store: &Store, options: &BoxOptions, id: &Id) -> Result<(), EngineError> {
    for wanted in &options.requires {
        note_with(&find(store, wanted)?, NOTES, id)?;
        find(store, wanted)?;
    }
    links::note(store, options, id)
}

/// Notes box `id` in a directory of the box `with`.
pub(crate) fn note_with(with: &BoxDir, directory: &str, id: &Id) -> Result<(), EngineError> {
    let notes = with.make_data()?.join(directory);
    let failed = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        EngineError::system(format!("write in {}", notes.display()), errno)
    };
    // The directory above is there, unless the box is being removed.
    match std::fs::create_dir(&notes) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    std::fs::File::create(notes.join(id.as_str())).map_err(failed)?;
    Ok(())
}

/// The boxes that require this one.
///
/// # Errors
/// The notes cannot be read.
pub fn dependents(store: &Store, dir: &BoxDir) -> Result<Vec<BoxDir>, StoreError> {
    noted(store, dir, NOTES)
}

/// The boxes that are noted in a directory of this one, and are there.
pub(crate) fn noted(store: &Store, dir: &BoxDir, directory: &str) -> Result<Vec<BoxDir>, StoreError> {
    let Some(notes) = dir.data_path()?.map(|data| data.join(directory)) else { return Ok(Vec::new()) };
    let entries = match std::fs::read_dir(&notes) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| unread(&notes, &error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| unread(&notes, &error))?.file_name();
        let Some(id) = name.to_str().and_then(Id::parse) else { continue };
        match store.resolve(id.as_str()) {
            Ok(dir) => found.push(dir),
            // It has gone. Another look may have been faster to take the note away.
            Err(StoreError::NotFound { .. }) => std::fs::remove_file(notes.join(&name)).unwrap_or_default(),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn unread(notes: &PathBuf, error: &std::io::Error) -> StoreError {
    StoreError::system("read", notes, Errno::from_io_error(error).unwrap_or(Errno::IO))
}

/// Starts what a box requires and does not run, what that requires first.
///
/// # Errors
/// One is gone, or does not start.
pub(crate) fn start_first(store: &Store, options: &BoxOptions) -> Result<(), EngineError> {
    start_all(store, options, &mut Vec::new())
}

/// The same, for boxes that are about to be started because of each other.
pub(super) fn start_all(
    store: &Store,
    options: &BoxOptions,
    chain: &mut Vec<String>,
) -> Result<(), EngineError> {
    for wanted in &options.requires {
        let dir = find(store, wanted)?;
        let state = super::current(&dir)?;
        if chain.contains(wanted) {
            // Only a record that somebody has written by hand.
            return Err(EngineError::Wrong { name: state.name, is: "requires itself".to_owned() });
        }
        if running(&state).is_ok() {
            continue;
        }
        match start_chained(store, &dir, &StartMode::Detached, chain) {
            // Somebody else was faster.
            Err(EngineError::Wrong { .. }) if running(&dir.read_state()?).is_ok() => {}
            started => drop(started?),
        }
    }
    Ok(())
}

/// Names of boxes in an order in which each comes before what it requires. With `all` those that were not named but
/// require one that was are among them, by their ids.
///
/// # Errors
/// The notes cannot be read.
pub fn dependents_first(store: &Store, names: Vec<String>, all: bool) -> Result<Vec<String>, StoreError> {
    let mut order = Order { store, all, named: Vec::new(), seen: HashSet::new(), sorted: Vec::new() };
    // Whoever is to act on one that is not there says so.
    let found = |name: &String| store.resolve(name).ok().map(|dir| dir.id().as_str().to_owned());
    order.named = names.into_iter().map(|name| (found(&name), name)).collect();
    for (id, name) in order.named.clone() {
        match id.map(|id| store.resolve(&id)) {
            Some(Ok(dir)) => order.visit(&dir, name)?,
            _ => order.sorted.push(name),
        }
    }
    Ok(order.sorted)
}

struct Order<'a> {
    store: &'a Store,
    all: bool,
    named: Vec<(Option<String>, String)>,
    seen: HashSet<String>,
    sorted: Vec<String>,
}

impl Order<'_> {
    fn visit(&mut self, dir: &BoxDir, name: String) -> Result<(), StoreError> {
        if !self.seen.insert(dir.id().as_str().to_owned()) {
            return Ok(());
        }
        for other in dependents(self.store, dir)? {
            let id = other.id().as_str().to_owned();
            let named = self.named.iter().find(|(known, _)| known.as_ref() == Some(&id));
            let name = named.map(|(_, name)| name.clone());
            // One that was not named may be between two that were.
            match (name, self.all) {
                (Some(name), _) => self.visit(&other, name)?,
                (None, true) => self.visit(&other, id)?,
                (None, false) => {}
            }
        }
        self.sorted.push(name);
        Ok(())
    }
}
