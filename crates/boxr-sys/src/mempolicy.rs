//! set_mempolicy(2): on which NUMA nodes memory is placed.

use rustix::io::Errno;

/// Modes of `<linux/mempolicy.h>`.
pub mod mode {
    /// The system's default.
    pub const DEFAULT: u32 = 0;
    /// One node first.
    pub const PREFERRED: u32 = 1;
    /// These nodes only.
    pub const BIND: u32 = 2;
    /// In turn on these nodes.
    pub const INTERLEAVE: u32 = 3;
    /// On the node of the processor.
    pub const LOCAL: u32 = 4;
    /// These nodes first.
    pub const PREFERRED_MANY: u32 = 5;
    /// In turn, by weight.
    pub const WEIGHTED_INTERLEAVE: u32 = 6;
}

/// Flags that are added to a mode.
pub mod flag {
    /// Pages may move to the node that uses them.
    pub const NUMA_BALANCING: u32 = 1 << 13;
    /// Nodes count from the first that is allowed.
    pub const RELATIVE_NODES: u32 = 1 << 14;
    /// Nodes are meant as they are numbered.
    pub const STATIC_NODES: u32 = 1 << 15;
}

/// Sets the policy of the calling thread: a mode with its flags, and a bit for each node.
///
/// # Errors
/// `EINVAL` for a node that is not there or a combination that makes no sense.
pub fn set(mode: u32, nodes: &[u64]) -> Result<(), Errno> {
    // The kernel takes one bit less than it is told.
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 64 + 1 };
    let pointer = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the kernel reads as many bits as it is told less one, all within `nodes`.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode as libc::c_int, pointer, bits) };
    if result == -1 { Err(crate::clone::last_errno()) } else { Ok(()) }
}
