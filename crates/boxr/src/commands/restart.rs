//! `boxr restart`

use boxr_engine::lifecycle;

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
    boxes::for_each(invocation.positionals(), |name| {
        let dir = boxes::find(&store, name)?;
        lifecycle::restart(&store, &dir, terms).map_err(|error| Report::from(error).status(1))?;
        write_stdout(&format!("{name}\n"))
    })
}
