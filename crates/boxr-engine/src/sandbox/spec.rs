//! What a sandbox adds to the specification of its box.

use boxr_runtime::plan::Confinement;
use oci_spec::runtime::{LinuxSeccomp, Spec};

use super::proxy::PORT;
use super::seccomp;
use super::{LandlockOptions, SandboxError, SandboxOptions};
use crate::options::BoxOptions;

/// The filter of system calls, also of a process that enters a sandbox.
///
/// # Errors
/// It cannot be made.
pub(crate) fn filter(sandbox: &SandboxOptions) -> Result<LinuxSeccomp, SandboxError> {
    seccomp::profile(sandbox.sockets)
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

/// Completes the specification.
///
/// # Errors
/// The filter cannot be made.
pub(crate) fn complete(spec: &mut Spec, sandbox: &SandboxOptions) -> Result<(), SandboxError> {
    let filter = filter(sandbox)?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(Some(filter));
    }
    Ok(())
}
