//! boxr's own init (`--init`): it forwards signals to the command and reaps what is orphaned.

use std::os::fd::{AsFd, OwnedFd};

use boxr_sys::clone::exit_now;
use boxr_sys::signal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, setpgid};

use crate::error::{At, Step, StepError};
use crate::plan::Plan;

/// The command becomes a process group of its own, in the foreground of its terminal, so that
/// what the terminal's keys send reaches it once and not init as well.
pub(super) fn in_foreground(plan: &Plan) -> Result<(), StepError> {
    if !plan.stdio.is_terminal() {
        return Ok(());
    }
    setpgid(None, None).at(Step::Session, "process group")?;
    rustix::termios::tcsetpgrp(rustix::stdio::stdin(), getpid()).at(Step::Terminal, "foreground group")
}

/// Runs until the command has ended, and ends like it.
pub(super) fn run(command: Pid, pidfd: &OwnedFd) -> ! {
    exit_now(supervise(command, pidfd).unwrap_or(125))
}

fn supervise(command: Pid, pidfd: &OwnedFd) -> Result<u8, Errno> {
    boxr_sys::title::set(c"boxr-init", "boxr-init")?;
    let (signals, _) = signal::take_all()?;
    // A command that ended before signals were taken sends none any more.
    if let Some(status) = reap(command)? {
        return Ok(status);
    }
    loop {
        match poll(&mut [PollFd::new(&signals, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        while let Some(received) = signal::next(&signals)? {
            if received.signal != Signal::CHILD.as_raw() {
                // The command may end at any moment; its end is seen below.
                signal::send(pidfd.as_fd(), received.signal).unwrap_or_default();
            }
        }
        if let Some(status) = reap(command)? {
            return Ok(status);
        }
    }
}

/// Reaps every ended child; the exit status of the command when it is among them.
fn reap(command: Pid) -> Result<Option<u8>, Errno> {
    let mut found = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == command => found = Some(shell_status(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(found),
            Err(errno) => return Err(errno),
        }
    }
}

fn shell_status(status: WaitStatus) -> u8 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code as u8,
        (_, Some(signal)) => 128u8.wrapping_add(signal as u8),
        _ => 125,
    }
}
