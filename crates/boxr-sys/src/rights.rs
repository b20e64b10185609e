//! What a process gives up that runs beside containers for long, as the host's own.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};

/// Who may trace such a process, and so look at the host's files through `/proc/PID/root`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracers {
    /// Whoever has `CAP_SYS_PTRACE`, if the caller has it. By its user alone it would be root of every container that sees the
    /// host's processes: having no capabilities it has none that root of a container lacks (ptrace(2)).
    Privileged,
    /// Its user, in his user namespace, which is above those of his containers.
    User,
}

/// Gives up all capabilities, and the gaining of any, for good.
///
/// # Errors
/// prctl(2), capset(2).
pub fn give_up(tracers: Tracers) -> Result<(), Errno> {
    let is_privileged = capabilities(None)?.effective.contains(CapabilitySet::SYS_PTRACE);
    if tracers == Tracers::Privileged && is_privileged {
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    let none = CapabilitySet::empty();
    set_no_new_privs(true)?;
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}
