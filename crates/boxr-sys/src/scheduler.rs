//! sched_setattr(2): policy and parameters of the scheduler, which rustix lacks.

use rustix::io::Errno;

/// Policies of `<linux/sched.h>`.
pub mod policy {
    /// The default.
    pub const OTHER: u32 = 0;
    /// First in, first out, real time.
    pub const FIFO: u32 = 1;
    /// Round robin, real time.
    pub const RR: u32 = 2;
    /// For batch work.
    pub const BATCH: u32 = 3;
    /// Reserved by the kernel, which refuses it.
    pub const ISO: u32 = 4;
    /// Only when nothing else runs.
    pub const IDLE: u32 = 5;
    /// Earliest deadline first.
    pub const DEADLINE: u32 = 6;
}

/// `SCHED_FLAG_*` of `<linux/sched.h>`.
pub mod flag {
    /// Children start with the default policy.
    pub const RESET_ON_FORK: u64 = 0x01;
    /// Unused bandwidth of others may be used.
    pub const RECLAIM: u64 = 0x02;
    /// SIGXCPU on overrun.
    pub const DL_OVERRUN: u64 = 0x04;
    /// The policy stays.
    pub const KEEP_POLICY: u64 = 0x08;
    /// The parameters stay.
    pub const KEEP_PARAMS: u64 = 0x10;
    /// The lower utilisation clamp is given.
    pub const UTIL_CLAMP_MIN: u64 = 0x20;
    /// The upper one.
    pub const UTIL_CLAMP_MAX: u64 = 0x40;
}

/// What sched_setattr(2) sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// One of [`policy`].
    pub policy: u32,
    /// Bits of [`flag`].
    pub flags: u64,
    /// For `OTHER` and `BATCH`.
    pub nice: i32,
    /// For `FIFO` and `RR`: 1 to 99.
    pub priority: u32,
    /// For `DEADLINE`, nanoseconds.
    pub runtime: u64,
    /// For `DEADLINE`, nanoseconds.
    pub deadline: u64,
    /// For `DEADLINE`, nanoseconds.
    pub period: u64,
}

/// `struct sched_attr` in its first version: utilisation clamps have no values in it, so the
/// kernel refuses their flags.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Applies `attributes` to the calling thread.
///
/// # Errors
/// sched_setattr(2): `EPERM` without `CAP_SYS_NICE`, `EINVAL` for what does not fit together,
/// `EBUSY` where no bandwidth is left for a deadline.
pub fn set(attributes: &Attributes) -> Result<(), Errno> {
    let Attributes { policy, flags, nice, priority, runtime, deadline, period } = *attributes;
    let size = size_of::<SchedAttr>() as u32;
    let whole = SchedAttr { size, policy, flags, nice, priority, runtime, deadline, period };
    // SAFETY: the structure has the size that its first field says and lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const whole, 0u32) };
    if result == -1 { Err(crate::clone::last_errno()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_structure() {
        let batch = Attributes { policy: policy::BATCH, ..Attributes::default() };
        std::thread::spawn(move || assert_eq!(set(&batch), Ok(()))).join().unwrap();
        let nonsense = Attributes { policy: 4711, ..Attributes::default() };
        assert_eq!(set(&nonsense), Err(Errno::INVAL));
    }
}
