//! `boxr update`

use boxr_engine::lifecycle::update::update;

use crate::boxes;
use crate::cli::{Invocation, update_request};
use crate::report::{Report, write_stdout};

/// Carries out `boxr update`: prints what was given, for each box that is changed.
///
/// # Errors
/// Values that cannot be used, or none.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let (limits, restart) = update_request(&invocation)?;
    if limits.is_empty() && restart.is_none() {
        return Err(Report::new(
            "boxr update: what is to change? A limit, such as --memory 512m, or --restart",
        )
        .suggest("boxr update --help"));
    }
    let store = boxes::open_store(&invocation.globals)?;
    boxes::for_each(invocation.positionals(), |name| {
        let dir = boxes::find(&store, name)?;
        update(&dir, &limits, restart).map_err(|error| Report::from(error).status(1))?;
        write_stdout(&format!("{name}\n"))
    })
}
