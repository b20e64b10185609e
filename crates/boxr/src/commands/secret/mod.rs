//! Commands about secrets.

mod create;
mod inspect;
mod list;
mod remove;

use boxr_engine::paths::Paths;
use boxr_engine::secret::Secrets;

use crate::cli::{Globals, Invocation, run_member};
use crate::report::Report;

pub use create::run as create;
pub use inspect::{exists, run as inspect};
pub use list::run as list;
pub use remove::run as remove;

/// Carries out `boxr secret COMMAND`.
///
/// # Errors
/// A word that is no command there, and what that command reports.
pub fn group(invocation: Invocation) -> Result<u8, Report> {
    run_member(invocation)
}

fn open(globals: &Globals) -> Result<Secrets, Report> {
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    Ok(Secrets::open(&paths)?)
}
