//! `boxr rename`

use boxr_engine::store::Wait;

use crate::boxes;
use crate::cli::Invocation;
use crate::report::Report;

/// Carries out `boxr rename`; prints nothing, as docker.
///
/// # Errors
/// When there is no such box, or the new name cannot be had.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let [old, new] = invocation.positionals() else {
        return Err(Report::new("boxr rename: it takes two names"));
    };
    let dir = boxes::find(&store, old)?;
    let failed = |error| Report::from(error).status(1);
    match dir.lock(Wait::Yes).map_err(failed)? {
        Some(lock) => lock.rename(new).map(|_| 0).map_err(failed),
        None => Err(Report::new(format!("box {old} is in use by another boxr command")).status(1)),
    }
}
