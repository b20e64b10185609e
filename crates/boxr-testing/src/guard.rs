//! A command with all that it starts, ended when this process is told to end.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, set_child_subreaper, wait,
};

use crate::processes;

/// How a guarded command has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status; 128 and the signal's number where a signal ended it.
    Itself(u8),
    /// This process was told to end, by this signal.
    Told(i32),
}

/// Runs a command; when it returns, neither it nor anything that it started runs. Signals that end a process are blocked
/// from now on, so that the caller can put away what is left.
///
/// # Errors
/// The command cannot be started.
pub fn run(command: &mut Command) -> io::Result<Ended> {
    set_child_subreaper(Some(getpid()))?;
    let (signals, _) = boxr_sys::signal::take_all()?;
    let child = Pid::from_child(&boxr_sys::signal::unblock_in(command).spawn()?);
    let ended = wait_for(child, &signals);
    end_all();
    ended
}

fn wait_for(child: Pid, signals: &OwnedFd) -> io::Result<Ended> {
    let held = pidfd_open(child, PidfdFlags::empty())?;
    loop {
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::new(&held, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
        let is_over = fds[1].revents().contains(PollFlags::IN);
        while let Some(received) = boxr_sys::signal::next(signals)? {
            let ends = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
            if ends.iter().any(|signal| signal.as_raw() == received.signal) {
                return Ok(Ended::Told(received.signal));
            }
        }
        // What has lost its parent is ours to wait for.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == child {
                let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
                return Ok(Ended::Itself(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)));
            }
        }
        if is_over {
            return Ok(Ended::Itself(1));
        }
    }
}

/// What is killed leaves its children to this process, so that there is an end.
fn end_all() {
    loop {
        for process in processes::descendants(getpid()) {
            kill_process(process.pid, Signal::KILL).ok();
        }
        match wait(WaitOptions::empty()) {
            Err(Errno::CHILD) => return,
            _ => while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {},
        }
    }
}
