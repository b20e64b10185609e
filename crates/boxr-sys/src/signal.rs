//! Signals as descriptors (signalfd(2)), the mask, and dispositions.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

/// A set of blocked signals, to be given back to a child.
#[derive(Clone, Copy)]
pub struct Mask(libc::sigset_t);

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask(..)")
    }
}

/// One signal as signalfd(2) tells it.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Whether the kernel sent it, as a terminal's driver does for Ctrl-C.
    pub from_kernel: bool,
    /// The sender's pid, where a process sent it.
    pub sender: i32,
}

/// Every signal that can be blocked, as a descriptor; and the mask that was in force before.
///
/// Faults of this process itself stay as they are.
///
/// # Errors
/// signalfd(2): `EMFILE`.
pub fn take_all() -> Result<(OwnedFd, Mask), Errno> {
    let mut set = full_set();
    for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGTRAP] {
        // SAFETY: `set` is initialised and the numbers are signals.
        unsafe { libc::sigdelset(&raw mut set, fault) };
    }
    let previous = set_mask(&Mask(set))?;
    // SAFETY: `set` is initialised; the result is a new descriptor or -1.
    let raw = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if raw == -1 {
        return Err(crate::clone::last_errno());
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok((unsafe { OwnedFd::from_raw_fd(raw) }, previous))
}

/// The next pending signal, if any.
///
/// # Errors
/// read(2), other than `EAGAIN`.
pub fn next(signals: &OwnedFd) -> Result<Option<Received>, Errno> {
    // SAFETY: all-zero is a valid signalfd_siginfo.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: `info` is writable for `size` bytes.
    let read = unsafe { libc::read(signals.as_raw_fd(), (&raw mut info).cast(), size) };
    if read == -1 {
        return match crate::clone::last_errno() {
            Errno::AGAIN | Errno::INTR => Ok(None),
            errno => Err(errno),
        };
    }
    Ok(Some(Received {
        signal: info.ssi_signo as i32,
        from_kernel: info.ssi_code == libc::SI_KERNEL,
        sender: info.ssi_pid as i32,
    }))
}

/// Puts `mask` in force and returns the one before.
///
/// # Errors
/// None that sigprocmask(2) documents for these arguments.
pub fn set_mask(mask: &Mask) -> Result<Mask, Errno> {
    let mut previous = empty_set();
    // SAFETY: both sets are initialised.
    match unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const mask.0, &raw mut previous) } {
        -1 => Err(crate::clone::last_errno()),
        _ => Ok(Mask(previous)),
    }
}

/// Leaves every signal to the other threads of the process.
///
/// # Errors
/// As [`set_mask`].
pub fn block_all() -> Result<(), Errno> {
    set_mask(&Mask(full_set())).map(drop)
}

/// Lets `command` begin with no signal blocked, whatever is blocked here.
pub fn unblock_in(command: &mut std::process::Command) -> &mut std::process::Command {
    use std::os::unix::process::CommandExt;
    let nothing = nothing_blocked();
    // SAFETY: sigprocmask(2) may be called between fork and exec, and nothing is allocated there.
    unsafe { command.pre_exec(move || Ok(set_mask(&nothing).map(|_| ())?)) }
}

/// No signal blocked.
pub fn nothing_blocked() -> Mask {
    Mask(empty_set())
}

/// What a process does with a signal (sigaction(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The kernel's default action.
    Default,
    /// Nothing.
    Ignore,
}

/// Sets the disposition of `signal`.
///
/// # Errors
/// `EINVAL` for a number that is no signal, or SIGKILL and SIGSTOP.
pub fn set_disposition(signal: i32, disposition: Disposition) -> Result<(), Errno> {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignore => libc::SIG_IGN,
    };
    // SAFETY: SIG_DFL and SIG_IGN run no code of ours.
    match unsafe { libc::signal(signal, handler) } {
        libc::SIG_ERR => Err(crate::clone::last_errno()),
        _ => Ok(()),
    }
}

/// Stops the caller as Ctrl-Z would have, until SIGCONT.
///
/// # Errors
/// kill(2).
pub fn stop_self() -> Result<(), Errno> {
    // SAFETY: raise(3) takes any number.
    match unsafe { libc::raise(libc::SIGSTOP) } {
        0 => Ok(()),
        _ => Err(crate::clone::last_errno()),
    }
}

/// Sends signal `number` to the process behind `pidfd`: also a real-time signal, for which
/// rustix's type has no value.
///
/// # Errors
/// pidfd_send_signal(2): `ESRCH` when it has ended, `EPERM`, `EINVAL` for a number that is none.
pub fn send(pidfd: std::os::fd::BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    // SAFETY: a null siginfo asks for the kernel's own; no other pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            number,
            std::ptr::null::<libc::siginfo_t>(),
            0u32,
        )
    };
    if result == -1 { Err(crate::clone::last_errno()) } else { Ok(()) }
}

/// Sends signal `number` to process `pid` (kill(2)), for a process that was just read from its
/// box's own list and whose pidfd is not worth opening; 0 only asks whether it exists.
///
/// # Errors
/// kill(2). `EINVAL` for a pid that is not positive, so that no group is ever meant.
pub fn send_to_pid(pid: i32, number: i32) -> Result<(), Errno> {
    if pid <= 0 {
        return Err(Errno::INVAL);
    }
    // SAFETY: kill(2) takes any numbers.
    match unsafe { libc::kill(pid, number) } {
        0 => Ok(()),
        _ => Err(crate::clone::last_errno()),
    }
}

fn full_set() -> libc::sigset_t {
    let mut set = empty_set();
    // SAFETY: `set` is a whole sigset_t.
    unsafe { libc::sigfillset(&raw mut set) };
    set
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: all-zero is a valid sigset_t, and the empty one on Linux.
    unsafe { std::mem::zeroed() }
}
