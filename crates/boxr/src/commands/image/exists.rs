//! `boxr image exists`

use crate::cli::Invocation;
use crate::images;
use crate::report::Report;

/// Carries out `boxr image exists`: 0 or 1, and nothing printed.
///
/// # Errors
/// The store cannot be opened.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = images::open_store(&invocation.globals)?;
    Ok(u8::from(images::find(&store, &invocation, invocation.first()).is_err()))
}
