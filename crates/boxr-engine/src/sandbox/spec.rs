//! What a sandbox adds to the specification of its box.

use oci_spec::runtime::{LinuxSeccomp, Spec};

use super::SandboxError;
use super::seccomp;

/// The filter of system calls, also of a process that enters a sandbox.
///
/// # Errors
/// It cannot be made.
pub(crate) fn filter() -> Result<LinuxSeccomp, SandboxError> {
    seccomp::profile().map_err(|why| SandboxError::refused("the filter of system calls", why, ""))
}

/// Completes the specification.
///
/// # Errors
/// The filter cannot be made.
pub(crate) fn complete(spec: &mut Spec) -> Result<(), SandboxError> {
    let filter = filter()?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(Some(filter));
    }
    Ok(())
}
