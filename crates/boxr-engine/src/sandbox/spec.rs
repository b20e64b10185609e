//! What a sandbox adds to the specification of its box.

use std::path::Path;

use boxr_runtime::plan::Confinement;
use boxr_seccomp::Filter;
use oci_spec::runtime::{LinuxSeccomp, Spec};

use super::preset::look_at_descriptors;
use super::proxy::PORT;
use super::seccomp;
use super::{LandlockOptions, SandboxError, SandboxOptions};
use crate::options::BoxOptions;

/// The filter of system calls, also of a process that enters a sandbox.
///
/// # Errors
/// It cannot be made.
pub(crate) fn filter(sandbox: &SandboxOptions) -> Result<LinuxSeccomp, SandboxError> {
    seccomp::profile(sandbox.sockets, sandbox.metadata)
        .map_err(|why| SandboxError::refused("the filter of system calls", why, ""))
}

/// What the runtime does for it besides.
pub(crate) fn confinement(options: &BoxOptions) -> Confinement {
    let Some(sandbox) = &options.sandbox else { return Confinement::default() };
    Confinement {
        listener: sandbox.hosts.as_ref().map(|_| PORT),
        reopened: sandbox.reopened.clone(),
        landlock: sandbox.landlock.as_ref().map(LandlockOptions::plan),
    }
}

/// What the runtime does for a process that enters a sandbox, with as many descriptors from 3 on as are `preserved`:
/// what Landlock takes is not the namespaces', which it joins.
///
/// # Errors
/// A descriptor that would lead out.
pub(crate) fn of_entry(options: &BoxOptions, preserved: u32) -> Result<Confinement, SandboxError> {
    let Some(sandbox) = &options.sandbox else { return Ok(Confinement::default()) };
    let given = look_at_descriptors(preserved)?;
    let has_own_tree = !sandbox.landlock.as_ref().is_some_and(|landlock| landlock.files);
    Ok(Confinement {
        listener: None,
        reopened: if has_own_tree { given } else { Vec::new() },
        landlock: sandbox.landlock.as_ref().map(LandlockOptions::plan),
    })
}

/// Completes the specification. The filter comes into it as a profile; or, where the directory `filters` keeps them
/// compiled, it is what is given back.
///
/// # Errors
/// The filter cannot be made.
pub(crate) fn complete(
    spec: &mut Spec,
    sandbox: &SandboxOptions,
    filters: Option<&Path>,
) -> Result<Option<Filter>, SandboxError> {
    let refused = |why| SandboxError::refused("the filter of system calls", why, "");
    if let Some(dir) = filters {
        return seccomp::compiled(sandbox.sockets, sandbox.metadata, dir).map(Some).map_err(refused);
    }
    let filter = filter(sandbox)?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(Some(filter));
    }
    Ok(None)
}
