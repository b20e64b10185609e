//! Signals for a box's first process, so that they do what they would do outside a box.
//!
//! The first process of a pid namespace gets no signal that it has no handler for, except
//! SIGKILL and SIGSTOP from outside (pid_namespaces(7)): `sleep` as first process does not
//! end by SIGTERM. Whoever asks such a process to end means it, so boxr carries out the
//! default action itself, with SIGKILL, and the exit status names the signal that was asked for.

use std::os::fd::BorrowedFd;

use boxr_sys::signal;
use rustix::io::Errno;
use rustix::process::Signal;

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The process got it.
    Sent,
    /// Its default action was carried out with SIGKILL, in the name of this signal.
    Ended(u8),
}

/// Signals that ask a process to end and whose default action is to end it.
const ENDING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Sends `number` to the first process `pid`, which `pidfd` holds.
///
/// # Errors
/// pidfd_send_signal(2): `ESRCH` when it has ended, `EINVAL` for a number that is no signal.
pub fn deliver(pidfd: BorrowedFd<'_>, pid: i32, number: i32) -> Result<Delivered, Errno> {
    if would_be_dropped(pid, number) {
        signal::send(pidfd, Signal::KILL.as_raw())?;
        return Ok(Delivered::Ended(number as u8));
    }
    signal::send(pidfd, number)?;
    Ok(Delivered::Sent)
}

/// Whether the kernel would drop the signal because it goes to the first process of a pid
/// namespace, which has left it at its default.
pub fn would_be_dropped(pid: i32, number: i32) -> bool {
    if !ENDING.iter().any(|signal| signal.as_raw() == number) {
        return false;
    }
    std::fs::read_to_string(format!("/proc/{pid}/status"))
        .is_ok_and(|status| is_first_of_namespace(&status) && is_at_default(&status, number))
}

/// The signal that typed `bytes` mean on the terminal behind `master`, when the kernel would drop it
/// because the first process of the box, `pid`, is in the terminal's foreground and has left it at
/// its default: without this, Ctrl-C would not end `sleep`.
pub fn dropped_key(master: BorrowedFd<'_>, pid: i32, bytes: &[u8]) -> Option<i32> {
    use rustix::termios::{LocalModes, SpecialCodeIndex, tcgetattr, tcgetpgrp};
    if !bytes.iter().any(u8::is_ascii_control) {
        return None;
    }
    let settings = tcgetattr(master).ok()?;
    if !settings.local_modes.contains(LocalModes::ISIG) {
        return None;
    }
    let typed = |key: SpecialCodeIndex| bytes.contains(&settings.special_codes[key]);
    let signal = if typed(SpecialCodeIndex::VINTR) {
        Signal::INT.as_raw()
    } else if typed(SpecialCodeIndex::VQUIT) {
        Signal::QUIT.as_raw()
    } else {
        return None;
    };
    let in_foreground = tcgetpgrp(master).is_ok_and(|group| group.as_raw_nonzero().get() == pid);
    (in_foreground && would_be_dropped(pid, signal)).then_some(signal)
}

fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn is_first_of_namespace(status: &str) -> bool {
    field(status, "NSpid").is_some_and(|pids| {
        let mut pids = pids.split_ascii_whitespace();
        pids.next_back() == Some("1") && pids.next().is_some()
    })
}

fn is_at_default(status: &str, number: i32) -> bool {
    let bit = 1u64 << (number - 1);
    ["SigCgt", "SigIgn", "SigBlk"].iter().all(|name| {
        field(status, name)
            .and_then(|mask| u64::from_str_radix(mask, 16).ok())
            .is_some_and(|mask| mask & bit == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLEEP: &str = "Name:\tsleep\nNSpid:\t4242\t1\nSigBlk:\t0000000000000000\n\
                         SigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n";

    #[test]
    fn a_first_process_without_a_handler_is_recognised() {
        assert!(is_first_of_namespace(SLEEP));
        assert!(is_at_default(SLEEP, 15));
        let handler = SLEEP.replace("SigCgt:\t0000000000000000", "SigCgt:\t0000000000004000");
        assert!(!is_at_default(&handler, 15), "bit 14 is SIGTERM");
        assert!(is_at_default(&handler, 2));
        let blocked = SLEEP.replace("SigBlk:\t0000000000000000", "SigBlk:\t0000000000004000");
        assert!(!is_at_default(&blocked, 15), "a blocked signal stays pending");
    }

    #[test]
    fn an_ordinary_process_is_left_to_the_kernel() {
        assert!(!is_first_of_namespace(&SLEEP.replace("4242\t1", "4242\t7")));
        assert!(!is_first_of_namespace(&SLEEP.replace("4242\t1", "1")), "the host's own init");
        assert!(!would_be_dropped(std::process::id() as i32, 15));
        assert!(!would_be_dropped(1, Signal::USR1.as_raw()));
    }
}
