//! `boxr container COMMAND`

use boxr_engine::store::StoreError;

use crate::boxes;
use crate::cli::{Invocation, run_member};
use crate::report::Report;

/// Carries out `boxr container COMMAND`.
///
/// # Errors
/// A word that is no command there, and what that command reports.
pub fn group(invocation: Invocation) -> Result<u8, Report> {
    run_member(invocation)
}

/// Carries out `boxr container exists`: 0 or 1, and nothing printed.
///
/// # Errors
/// The store cannot be opened; a beginning that several ids have.
pub fn exists(invocation: Invocation) -> Result<u8, Report> {
    match boxes::open_store(&invocation.globals)?.resolve(invocation.first()) {
        Ok(_) => Ok(0),
        Err(StoreError::NotFound { .. }) => Ok(1),
        Err(error) => Err(error.into()),
    }
}
