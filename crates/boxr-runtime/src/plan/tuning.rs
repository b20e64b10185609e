//! How the kernel treats the command: scheduling, memory placement, labels.

use boxr_sys::{ioprio, scheduler};
use rustix::thread::CpuSet;

/// What the first process sets on itself, and its command inherits.
#[derive(Debug, Default)]
pub struct Tuning {
    /// personality(2).
    pub personality: Option<u32>,
    /// sched_setattr(2).
    pub scheduler: Option<scheduler::Attributes>,
    /// ioprio_set(2): class and level.
    pub io_priority: Option<(ioprio::Class, u8)>,
    /// set_mempolicy(2).
    pub memory_policy: Option<MemoryPolicy>,
    /// Processors to run on while it enters the container (exec only).
    pub initial_processors: Option<CpuSet>,
    /// Processors to run on when it is in the container (exec only).
    pub final_processors: Option<CpuSet>,
    /// AppArmor profile from execve(2) on.
    pub apparmor_profile: Option<String>,
    /// SELinux context from execve(2) on.
    pub selinux_label: Option<String>,
}

/// On which nodes memory is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// `MPOL_*` and its flags.
    pub mode: u32,
    /// A bit for each node.
    pub nodes: Vec<u64>,
}

impl Tuning {
    /// Whether something has to be written through procfs.
    pub fn has_label(&self) -> bool {
        self.apparmor_profile.is_some() || self.selinux_label.is_some()
    }
}
