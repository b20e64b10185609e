//! The seccomp filter of a process.

use std::path::Path;

use boxr_seccomp::{Filter, cache};
use oci_spec::runtime::{LinuxSeccomp, State};

use crate::agent::Agent;
use crate::error::Error;

/// A filter, compiled.
#[derive(Debug)]
pub struct SeccompPlan {
    /// The program.
    pub filter: Filter,
    /// Who answers the calls that it puts to somebody.
    pub agent: Option<Agent>,
}

impl SeccompPlan {
    /// Compiles `profile`, or takes it from the directory `cache`. An agent is told `state`.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::Seccomp`].
    pub(super) fn new(profile: &LinuxSeccomp, cache: Option<&Path>, state: &State) -> Result<Self, Error> {
        let agent = Agent::of(profile, state)?;
        let filter = match cache {
            // Where it could not be stored, the next start compiles as well.
            Some(dir) => cache::compile(dir, profile).map(|(filter, _)| filter),
            None => boxr_seccomp::compile(profile),
        };
        Ok(Self { filter: filter?, agent })
    }
}
