//! Limits of a sandbox where no cgroup is to be had, as for most ordinary users.
//!
//! What is the preset's own is then kept in another way, so that one word is enough everywhere: each process may have so
//! much memory (`RLIMIT_DATA`), the kernel ends the sandbox's processes before all others when memory runs out
//! (proc_pid_oom_score_adj(5)), and the number of processes is that of their user (`RLIMIT_NPROC`). What a person has
//! asked for by name is the sandbox's as a whole, or an error, unless `--allow-degraded=limits`.

use boxr_runtime::capabilities;
use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, Spec};
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

use super::error::SandboxError;
use crate::options::BoxOptions;

/// What limits need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limits {
    /// A cgroup: they were asked for.
    #[default]
    AskedFor,
    /// A cgroup, or what stands in for it: they are the preset's.
    Preset,
    /// Nothing: a person has given them up where they cannot be had.
    GivenUp,
}

/// The kernel's highest: the first to end.
const FIRST_TO_END: i32 = 1000;

/// Gives the process of a box that has no cgroup limits of its own; `why` is what stood in the way of one.
///
/// # Errors
/// They were asked for; they hold nobody here.
pub(crate) fn stand_in(
    spec: &mut Spec,
    options: &BoxOptions,
    why: &boxr_cgroup::Error,
) -> Result<(), SandboxError> {
    let limits = options.sandbox.as_ref().map_or(Limits::AskedFor, |sandbox| sandbox.limits);
    let why = match limits {
        Limits::AskedFor => Some(why.to_string()),
        Limits::Preset if is_uncounted() => Some(format!("{why}; the kernel counts no processes of root")),
        Limits::Preset | Limits::GivenUp => None,
    };
    if let Some(why) = why {
        return Err(SandboxError::refused("limits", why, "--allow-degraded=limits"));
    }
    let Some(process) = spec.process_mut() else { return Ok(()) };
    if let Some(memory) = options.limits.memory.and_then(|bytes| u64::try_from(bytes).ok()) {
        limit(process, PosixRlimitType::RlimitData, memory)?;
        let score = process.oom_score_adj().unwrap_or_default().max(FIRST_TO_END);
        process.set_oom_score_adj(Some(score));
    }
    if let Some(most) = options.limits.pids.and_then(|most| u64::try_from(most).ok()) {
        limit(process, PosixRlimitType::RlimitNproc, processes(options, most))?;
    }
    Ok(())
}

/// In a user namespace of its own a sandbox is counted alone (user_namespaces(7), since Linux 5.14); otherwise with all
/// that its user runs, which is no more than all that runs.
fn processes(options: &BoxOptions, most: u64) -> u64 {
    use crate::options::NamespaceMode;
    use boxr_sys::namespace::NamespaceKind;
    match options.namespaces.get(NamespaceKind::User) {
        Some(NamespaceMode::Host) => most.saturating_add(u64::from(rustix::system::sysinfo().procs)),
        _ => most,
    }
}

/// Root of the host may have any number of processes, whatever its limits say (setrlimit(2)).
fn is_uncounted() -> bool {
    rustix::process::getuid().is_root() && !capabilities::is_in_user_namespace().unwrap_or(false)
}

/// Sets a limit, unless the person has set it. One that is lower already stays, and could not be raised.
fn limit(process: &mut Process, kind: PosixRlimitType, most: u64) -> Result<(), SandboxError> {
    let resource = match kind {
        PosixRlimitType::RlimitData => Resource::Data,
        _ => Resource::Nproc,
    };
    let most = getrlimit(resource).maximum.map_or(most, |own| own.min(most));
    let mut limits: Vec<PosixRlimit> = process.rlimits().clone().unwrap_or_default();
    if limits.iter().all(|known| known.typ() != kind) {
        let made = PosixRlimitBuilder::default().typ(kind).soft(most).hard(most).build();
        limits.push(made.map_err(|error| SandboxError::refused("limits", error.to_string(), ""))?);
        process.set_rlimits(Some(limits));
    }
    Ok(())
}
