//! The session keyring of a container.

use std::ffi::CStr;

use boxr_sys::keyring::{OTHERS_MAY_SEARCH, OWNER_MAY_SEARCH, join_session};
use rustix::io::Errno;

use crate::error::{At, Step, StepError};

/// Whether everybody in the container may find the keyring: in a user namespace of its own its
/// ids are other than the owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finders {
    /// Processes of the user that makes it.
    Owner,
    /// All that have it as session keyring.
    Everybody,
}

/// Leaves the caller's session keyring, which may hold keys of the host's user, for the one of
/// the container; a further process of the container finds it by its name.
pub(super) fn join(name: &CStr, finders: Finders) -> Result<(), StepError> {
    let what = || {
        format!(
            "{} (a quota? see /proc/key-users; or leave it with --no-new-keyring)",
            name.to_string_lossy()
        )
    };
    let keyring = match join_session(name) {
        // A kernel without keys keeps none from the container.
        Err(Errno::NOSYS) => return Ok(()),
        other => other.at(Step::Keyring, what())?,
    };
    let rights = match finders {
        Finders::Owner => OWNER_MAY_SEARCH,
        Finders::Everybody => OWNER_MAY_SEARCH | OTHERS_MAY_SEARCH,
    };
    match keyring.grant(rights) {
        // A keyring that exists is as its maker left it.
        Err(Errno::ACCESS) => Ok(()),
        other => other.at(Step::Keyring, what()),
    }
}
