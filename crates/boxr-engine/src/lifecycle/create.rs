//! `create`: a box that has not run yet.

use std::path::PathBuf;

use super::requires;
use crate::events::{self, Action};
use crate::foreground::{new_state, write_files_for_caller};
use crate::image;
use crate::options::BoxOptions;
use crate::outcome::EngineError;
use crate::record::{FORMAT, Record, State};
use crate::store::{Claim, Store};

/// What a box is to be, and be called.
#[derive(Debug)]
pub struct CreateRequest {
    /// What it is made from.
    pub options: BoxOptions,
    /// Its name; generated when there is none.
    pub name: Option<String>,
    /// A file that gets the id.
    pub cidfile: Option<PathBuf>,
}

/// Makes the directory, the record and the state of a box, and gives its id.
///
/// # Errors
/// [`EngineError`]; nothing is left behind.
pub fn create(store: &Store, mut request: CreateRequest) -> Result<State, EngineError> {
    requires::resolve(store, &mut request.options)?;
    let (claim, state) = claim(store, &mut request)?;
    write_files_for_caller(&request.options, request.cidfile.as_deref(), &state)?;
    claim.commit()?;
    events::note(store.paths(), &state, Action::Create);
    Ok(state)
}

/// The same, with its lock still held: for a start at once.
pub(super) fn claim(store: &Store, request: &mut CreateRequest) -> Result<(Claim, State), EngineError> {
    let claim = store.create(request.name.as_deref(), request.options.retention)?;
    image::files::make(&claim, &mut request.options)?;
    crate::volume::attach(store, &claim, &mut request.options)?;
    let _admitted = crate::pod::admit(store, &request.options)?;
    crate::secret::attach(&claim, &mut request.options)?;
    let mut state = new_state(store, claim.id().as_str(), claim.name(), &request.options)?;
    state.journaled = true;
    let record = Record { format: FORMAT, id: state.id.clone(), options: request.options.clone() };
    claim.write_record(&record)?;
    claim.write_state(&state)?;
    requires::note(store, &request.options, claim.id())?;
    Ok((claim, state))
}
