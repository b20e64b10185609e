//! Commands about all that boxr keeps.

mod boot_unit;
mod df;
mod info;
mod prune;

use crate::cli::{Invocation, run_member};
use crate::report::Report;

pub use boot_unit::run as boot_unit;
pub use df::run as df;
pub use info::run as info;
pub use prune::run as prune;

/// Carries out `boxr system COMMAND`.
///
/// # Errors
/// A word that is no command there, and what that command reports.
pub fn group(invocation: Invocation) -> Result<u8, Report> {
    run_member(invocation)
}
