//! Applies how the kernel is to treat the command.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::procfs::Procfs;
use crate::error::{At, Step, StepError};
use crate::plan::Tuning;

/// Sets everything but labels, while the process still has its privileges.
pub(super) fn apply(tuning: &Tuning) -> Result<(), StepError> {
    if let Some(domain) = tuning.personality {
        boxr_sys::personality::set(domain).at(Step::Personality, domain)?;
    }
    if let Some(policy) = &tuning.memory_policy {
        boxr_sys::mempolicy::set(policy.mode, &policy.nodes)
            .at(Step::Scheduling, "linux.memoryPolicy (are these nodes there?)")?;
    }
    if let Some(processors) = &tuning.final_processors {
        sched_setaffinity(None, processors).at(Step::Scheduling, "process.execCPUAffinity.final")?;
    }
    if let Some((class, level)) = tuning.io_priority {
        boxr_sys::ioprio::set(class, level).at(Step::Scheduling, "process.ioPriority")?;
    }
    if let Some(attributes) = &tuning.scheduler {
        boxr_sys::scheduler::set(attributes)
            .at(Step::Scheduling, "process.scheduler (some policies need CAP_SYS_NICE)")?;
    }
    Ok(())
}

/// Labels take effect at the next execve(2), which must be that of the command.
pub(super) fn apply_labels(tuning: &Tuning, proc: &Procfs) -> Result<(), StepError> {
    if let Some(profile) = &tuning.apparmor_profile {
        let order = format!("exec {profile}");
        // Before Linux 5.8 there is one file for every security module.
        proc.write("thread-self/attr/apparmor/exec", order.as_bytes())
            .or_else(|_| proc.write("thread-self/attr/exec", order.as_bytes()))
            .at(Step::Label, format!("the AppArmor profile {profile} (is it loaded?)"))?;
    }
    if let Some(label) = &tuning.selinux_label {
        proc.write("thread-self/attr/exec", label.as_bytes())
            .at(Step::Label, format!("the SELinux context {label}"))?;
    }
    Ok(())
}

/// Moves the caller to the processors from which a further process enters the container; what it
/// had before comes back.
pub(super) fn enter_initial(tuning: &Tuning) -> Result<Option<CpuSet>, StepError> {
    let Some(processors) = &tuning.initial_processors else { return Ok(None) };
    let field = "process.execCPUAffinity.initial";
    let before = sched_getaffinity(None).at(Step::Scheduling, field)?;
    sched_setaffinity(None, processors).at(Step::Scheduling, field)?;
    Ok(Some(before))
}

/// Back to the processors before.
pub(super) fn leave_initial(before: Option<CpuSet>) -> Result<(), StepError> {
    let Some(before) = before else { return Ok(()) };
    sched_setaffinity(None, &before).at(Step::Scheduling, "processors of boxr itself")
}
