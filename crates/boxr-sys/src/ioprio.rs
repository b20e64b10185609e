//! ioprio_set(2), which rustix lacks.

use rustix::io::Errno;

/// Scheduling classes of ioprio_set(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// First access to the disk, always.
    RealTime = 1,
    /// The default.
    BestEffort = 2,
    /// Only when nobody else wants the disk.
    Idle = 3,
}

/// Sets class and level (0 to 7, 0 is first) of the calling process.
///
/// # Errors
/// `EPERM` for real time without `CAP_SYS_ADMIN` or `CAP_SYS_NICE`, `EINVAL` for the level.
pub fn set(class: Class, level: u8) -> Result<(), Errno> {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_SHIFT: u32 = 13;
    let priority = libc::c_int::from(class as u8) << CLASS_SHIFT | libc::c_int::from(level);
    // SAFETY: three numbers; nothing of this process's memory is touched.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) };
    if result == -1 { Err(crate::clone::last_errno()) } else { Ok(()) }
}
