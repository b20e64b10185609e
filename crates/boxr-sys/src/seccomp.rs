//! seccomp(2): loading a filter, and what the kernel offers.

use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::clone::last_errno;

const SET_MODE_FILTER: libc::c_ulong = 1;
const GET_ACTION_AVAIL: libc::c_ulong = 2;
const GET_NOTIF_SIZES: libc::c_ulong = 3;

const FLAG_TSYNC: u32 = 1;
const FLAG_NEW_LISTENER: u32 = 1 << 3;

/// One `struct sock_filter`, in the machine's byte order.
pub type Instruction = [u8; 8];

/// Calls seccomp(2).
fn seccomp<T>(operation: libc::c_ulong, flags: u32, argument: *mut T) -> Result<i64, Errno> {
    // SAFETY: each caller passes a structure that the operation reads or fills, alive until this returns.
    match unsafe { libc::syscall(libc::SYS_seccomp, operation, libc::c_ulong::from(flags), argument) } {
        result if result < 0 => Err(last_errno()),
        result => Ok(result),
    }
}

fn set_filter(program: &[Instruction], flags: u32) -> Result<i64, Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    // The kernel copies the instructions as bytes, so their alignment does not matter.
    let mut program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    seccomp(SET_MODE_FILTER, flags, &raw mut program)
}

/// Subjects the calling thread to `program` for ever, with `SECCOMP_FILTER_FLAG_*`.
///
/// # Errors
/// `EACCES` without no_new_privs and `CAP_SYS_ADMIN` in the process's user namespace; `EINVAL` for a
/// program or flags that the kernel does not take; `ENOMEM` past its limits; `ESRCH` when a thread
/// cannot be synchronised.
pub fn load(program: &[Instruction], flags: u32) -> Result<(), Errno> {
    match set_filter(program, flags)? {
        0 => Ok(()),
        // With TSYNC: the thread that has other filters.
        _ => Err(Errno::SRCH),
    }
}

/// The same, and returns the descriptor that calls with `SECCOMP_RET_USER_NOTIF` are put to (Linux 5.0),
/// close-on-exec. Other threads are left alone: the kernel cannot do both.
///
/// # Errors
/// As [`load`]; `EBUSY` when an earlier filter has a listener.
pub fn load_with_listener(program: &[Instruction], flags: u32) -> Result<OwnedFd, Errno> {
    let number = set_filter(program, flags & !FLAG_TSYNC | FLAG_NEW_LISTENER)?;
    let number = i32::try_from(number).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel made this descriptor for the caller just now; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether this kernel knows the action `SECCOMP_RET_*` (Linux 4.14).
///
/// # Errors
/// `EINVAL` on older kernels.
pub fn action_available(action: u32) -> Result<bool, Errno> {
    let mut action = action;
    match seccomp(GET_ACTION_AVAIL, 0, &raw mut action) {
        Ok(_) => Ok(true),
        Err(Errno::OPNOTSUPP) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// `struct seccomp_notif_sizes`: how large the structures of the listener are in this kernel, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotificationSizes {
    /// `struct seccomp_notif`
    pub notification: u16,
    /// `struct seccomp_notif_resp`
    pub response: u16,
    /// `struct seccomp_data`
    pub data: u16,
}

/// Asks for these sizes (Linux 5.0).
///
/// # Errors
/// `EINVAL` on older kernels.
pub fn notification_sizes() -> Result<NotificationSizes, Errno> {
    let mut sizes = NotificationSizes::default();
    seccomp(GET_NOTIF_SIZES, 0, &raw mut sizes)?;
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_its_actions() {
        assert_eq!(action_available(0x7fff_0000), Ok(true), "allow");
        assert_eq!(action_available(0x1234_0000), Ok(false));
    }

    #[test]
    fn sizes_of_notifications_are_those_of_the_header() {
        let sizes = notification_sizes().unwrap();
        assert!(sizes.notification >= 80 && sizes.response >= 24 && sizes.data >= 64, "{sizes:?}");
    }

    #[test]
    fn a_program_without_end_is_refused() {
        assert_eq!(load(&[], 0), Err(Errno::INVAL));
        let jump_beyond = [5, 0, 0, 0, 9, 0, 0, 0];
        // Without privilege, EACCES may come first.
        assert!(load(&[jump_beyond], 0).is_err());
    }
}
