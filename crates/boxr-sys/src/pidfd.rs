//! What the kernel tells of a process through its pidfd, child or not.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How a process ended, as wait(2) encodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this status.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

impl Ended {
    /// Decodes a status of wait(2).
    pub fn from_wait_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Code((status >> 8) as u8),
            signal => Self::Signal(signal as u8),
        }
    }
}

/// `struct pidfd_info` of `<linux/pidfd.h>` up to `exit_code` (`PIDFD_INFO_SIZE_VER1`, Linux 6.15
/// fills it; 6.13 and 6.14 know the shorter form).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ruid: u32,
    rgid: u32,
    euid: u32,
    egid: u32,
    suid: u32,
    sgid: u32,
    fsuid: u32,
    fsgid: u32,
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)` with the size of the first published form, which every
/// kernel that has the call accepts.
const fn pidfd_get_info(size: usize) -> u64 {
    (3 << 30) | ((size as u64) << 16) | (0xFF << 8) | 11
}

/// How the process behind `pidfd` ended: also of one that is not a child, when the descriptor was
/// opened before it was reaped (`PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`, Linux 6.15).
/// `None` while it runs, and when it has ended but has not been reaped yet.
///
/// # Errors
/// `ENOTTY` or `EINVAL` on kernels that lack the call, `ESRCH` when it ended unseen.
pub fn exit_status(pidfd: BorrowedFd<'_>) -> Result<Option<Ended>, Errno> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: `info` is writable and as large as the size in the request number says.
    let result =
        unsafe { libc::ioctl(pidfd.as_raw_fd(), pidfd_get_info(size_of::<PidfdInfo>()) as _, &raw mut info) };
    if result == -1 {
        return Err(crate::clone::last_errno());
    }
    Ok((info.mask & PIDFD_INFO_EXIT != 0).then(|| Ended::from_wait_status(info.exit_code)))
}

/// Waits for the end of a process that was killed, child or not; a second is more than it takes.
///
/// # Errors
/// poll(2).
pub fn wait_for_end(pidfd: BorrowedFd<'_>) -> Result<(), Errno> {
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&second))).map(|_| ())
}

/// Waits for the end of the child behind `pidfd` and reaps it (waitid(2), `P_PIDFD`).
/// With `block` false returns `None` while it runs.
///
/// # Errors
/// `ECHILD` when it is not a child of the caller, or was reaped already.
pub fn reap(pidfd: BorrowedFd<'_>, block: bool) -> Result<Option<Ended>, Errno> {
    // SAFETY: all-zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | if block { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: `info` is a whole siginfo_t; the descriptor is open.
        let result =
            unsafe { libc::waitid(libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t, &raw mut info, options) };
        if result == 0 {
            break;
        }
        match crate::clone::last_errno() {
            Errno::INTR => {}
            errno => return Err(errno),
        }
    }
    // SAFETY: waitid(2) filled in the SIGCHLD form; si_pid is 0 when nothing had changed.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    Ok(Some(match info.si_code {
        libc::CLD_EXITED => Ended::Code(status as u8),
        _ => Ended::Signal(status as u8),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_status_tells_code_and_signal() {
        assert_eq!(Ended::from_wait_status(3 << 8), Ended::Code(3));
        assert_eq!(Ended::from_wait_status(9), Ended::Signal(9));
        assert_eq!(Ended::from_wait_status(11 | 0x80), Ended::Signal(11), "a core dump is still signal 11");
    }

    #[test]
    fn info_request_matches_the_kernel_header() {
        // The published first form has 64 bytes, and the number is _IOWR(0xFF, 11, 64 bytes).
        assert_eq!(size_of::<PidfdInfo>(), 64);
        assert_eq!(pidfd_get_info(64), 0xC040_FF0B);
    }
}
