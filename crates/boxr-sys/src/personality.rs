//! personality(2): the execution domain.

use rustix::io::Errno;

/// `PER_LINUX`: the machine as it is.
pub const LINUX: u32 = 0;
/// `PER_LINUX32`: uname(2) tells of the 32-bit machine.
pub const LINUX32: u32 = 8;

/// Sets the domain of the calling process; children and programs inherit it.
///
/// # Errors
/// `EINVAL` where the kernel could not change it.
pub fn set(domain: u32) -> Result<(), Errno> {
    // SAFETY: one number; no memory is touched.
    if unsafe { libc::personality(libc::c_ulong::from(domain)) } == -1 {
        return Err(crate::clone::last_errno());
    }
    Ok(())
}
