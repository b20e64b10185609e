//! The other side of a seccomp filter with a listener: calls that wait there, and answers to them
//! (seccomp_unotify(2)).

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::clone::last_errno;

/// A call that waits for an answer: `struct seccomp_notif`, with its `struct seccomp_data`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// Which, for the answer.
    pub id: u64,
    /// The thread that called, in the caller's pid namespace; 0 when it is not to be seen from there.
    pub pid: u32,
    flags: u32,
    /// The number of the system call.
    pub number: i32,
    /// `AUDIT_ARCH_*`
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

const _: () = assert!(size_of::<Notification>() == 80);

/// `struct seccomp_notif_resp`
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

const _: () = assert!(size_of::<Response>() == 24);

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It returns this, and was not carried out.
    Value(i64),
    /// It fails with this.
    Error(Errno),
    /// It is carried out (Linux 5.5). No way to forbid anything: memory may have changed since.
    Continue,
}

const FLAG_CONTINUE: u32 = 1;

/// `_IOWR('!', number, size)` of `<linux/seccomp.h>`.
const fn request(number: u64, size: usize) -> u64 {
    (3 << 30) | ((size as u64) << 16) | (0x21 << 8) | number
}

/// Waits for the next call.
///
/// # Errors
/// `ENOENT` when a call was given up meanwhile, and when no process has the filter any more.
pub fn receive(listener: BorrowedFd<'_>) -> Result<Notification, Errno> {
    let mut notification = Notification::default();
    let request = request(0, size_of::<Notification>());
    loop {
        // SAFETY: zeroed as the kernel demands, writable, and as large as the request says.
        match unsafe { libc::ioctl(listener.as_raw_fd(), request as _, &raw mut notification) } {
            -1 => match last_errno() {
                Errno::INTR => {}
                errno => return Err(errno),
            },
            _ => return Ok(notification),
        }
    }
}

/// Lets whoever calls and whoever answers take turns on one processor (`SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`,
/// Linux 6.6), which is faster, as only one of the two ever has something to do.
///
/// # Errors
/// `EINVAL` or `ENOTTY` on older kernels.
pub fn take_turns(listener: BorrowedFd<'_>) -> Result<(), Errno> {
    // `_IOW('!', 4, __u64)`; the flag is the argument itself.
    let request: u64 = (1 << 30) | (8 << 16) | (0x21 << 8) | 4;
    // SAFETY: the argument is a number.
    match unsafe { libc::ioctl(listener.as_raw_fd(), request as _, 1u64) } {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}

/// Whether the call `id` still waits: if so, what was looked at by its pid was of the process that called.
pub fn is_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    // `_IOW('!', 2, __u64)`
    let request: u64 = (1 << 30) | (8 << 16) | (0x21 << 8) | 2;
    // SAFETY: the argument is readable, and as large as the request says.
    unsafe { libc::ioctl(listener.as_raw_fd(), request as _, &raw const id) == 0 }
}

/// Answers the call `id`.
///
/// # Errors
/// `ENOENT` when it was given up meanwhile.
pub fn respond(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> Result<(), Errno> {
    let (value, error, flags) = match answer {
        Answer::Value(value) => (value, 0, 0),
        Answer::Error(errno) => (0, -errno.raw_os_error(), 0),
        Answer::Continue => (0, 0, FLAG_CONTINUE),
    };
    let mut response = Response { id, value, error, flags };
    let request = request(1, size_of::<Response>());
    // SAFETY: readable, and as large as the request says.
    match unsafe { libc::ioctl(listener.as_raw_fd(), request as _, &raw mut response) } {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_header() {
        assert_eq!(request(0, size_of::<Notification>()), 0xc050_2100);
        assert_eq!(request(1, size_of::<Response>()), 0xc018_2101);
    }
}
