//! Commands about images, and the words `boxr image`, `boxr store` and `boxr system` before some of them.

pub mod exists;
pub mod history;
pub mod import;
pub mod inspect;
pub mod list;
pub mod load;
pub mod login;
pub mod logout;
pub mod mount;
mod progress;
pub mod prune;
pub mod pull;
pub mod push;
pub mod rmi;
pub mod save;
pub mod tag;
pub mod tree;
pub mod verify;
pub mod wanted;

pub use prune::prune_images;

use crate::cli::{Invocation, run_member};
use crate::report::Report;

/// Carries out `boxr image COMMAND`, `boxr store COMMAND` and so on.
///
/// # Errors
/// A word that is no command there, and what that command reports.
pub fn group(invocation: Invocation) -> Result<u8, Report> {
    run_member(invocation)
}
