//! clone3(2): a new process, in new namespaces and in its cgroup from its first instruction.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

/// `struct clone_args` of clone3(2), up to the `cgroup` field (Linux 5.7).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `CLONE_INTO_CGROUP` of `<linux/sched.h>`; libc's constant has a type too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Who becomes the parent of the new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// The calling process.
    Caller,
    /// The caller's own parent (`CLONE_PARENT`).
    CallersParent,
}

/// The two sides after [`clone3`].
#[derive(Debug)]
pub enum Cloned {
    /// This is the new process.
    Child,
    /// This is the caller.
    Parent {
        /// The new process's id in the caller's pid namespace.
        pid: Pid,
        /// A descriptor of it, close-on-exec.
        pidfd: OwnedFd,
    },
}

/// Makes a process that goes on from here with a copy of memory, as fork(2) does.
///
/// `namespaces` are `CLONE_NEW*` bits. `cgroup` is a directory of the cgroup v2 tree that the
/// child starts in (`CLONE_INTO_CGROUP`, Linux 5.7). The caller must have one thread: locks
/// that other threads hold stay locked in the child for ever.
///
/// # Errors
/// clone(2): `EPERM` without the privilege for a namespace, `ENOSPC` past a limit of
/// namespaces, `EAGAIN` past a limit of processes, `EINVAL` for what this kernel lacks.
pub fn clone3(namespaces: u64, cgroup: Option<BorrowedFd<'_>>, parent: Parent) -> Result<Cloned, Errno> {
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: namespaces | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if parent == Parent::CallersParent {
        args.flags |= libc::CLONE_PARENT as u64;
        args.exit_signal = 0;
    }
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` lives through the call and has the size that is passed. Without CLONE_VM
    // and with no stack given, the child runs on a copy of this memory, as after fork(2).
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match result {
        -1 => Err(last_errno()),
        0 => Ok(Cloned::Child),
        pid => {
            // SAFETY: the kernel stored a new descriptor here, which nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            let pid = Pid::from_raw(pid as i32).ok_or(Errno::SRCH)?;
            Ok(Cloned::Parent { pid, pidfd })
        }
    }
}

/// Ends this process at once, without destructors and exit handlers: the way out of a child
/// that shares its descriptors' files with its parent.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit(2) takes any status and does not return.
    unsafe { libc::_exit(i32::from(status)) }
}

/// The errno of the last libc call of this thread.
pub(crate) fn last_errno() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
