//! The process that keeps a pod's namespaces open, and the sockets of its ports.
//!
//! It is a fork of boxr outside of the pod: in the caller's namespaces, without capabilities, with its descriptors from 3 on
//! and nothing else. It does nothing and no signal but SIGKILL ends it. Whoever may trace it, which no member may, opens
//! `/proc/PID/fd/N`: also a member that sees the host's processes lacks what it takes ([`Tracers`]).

use std::os::fd::{AsFd, OwnedFd};

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::rights::{self, Tracers};
use rustix::event::{PollFd, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::outcome::EngineError;
use crate::record::ProcessRef;

/// The number of its first descriptor.
const FIRST: usize = 3;

/// One that has been made, and ends unless [`Waiting::release`] is called: none is left that no state knows.
#[derive(Debug)]
pub(super) struct Waiting {
    process: ProcessRef,
    pidfd: OwnedFd,
    tell: Option<OwnedFd>,
}

/// Starts one for pod `name`, which keeps `held` in this order, and `ports`.
///
/// # Errors
/// clone(2), pipe(2).
pub(super) fn start(name: &str, held: Vec<OwnedFd>, ports: Vec<OwnedFd>) -> Result<Waiting, EngineError> {
    let failed = |errno| EngineError::system("start the process that keeps the pod's namespaces", errno);
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed);
    let ((hear, tell), (hear_ready, ready)) = (pipe()?, pipe()?);
    match clone3(0, None, Parent::Caller).map_err(failed)? {
        Cloned::Child => {
            drop((tell, hear_ready));
            match be(name, held, ports, (hear, ready)) {
                Ok(()) => sleep(),
                Err(_) => exit_now(125),
            }
        }
        Cloned::Parent { pid, pidfd } => {
            drop((hear, ready));
            let process = ProcessRef::of(pid.as_raw_nonzero().get())?;
            let process = process.ok_or_else(|| failed(Errno::SRCH))?;
            let waiting = Waiting { process, pidfd, tell: Some(tell) };
            // Its descriptors have their numbers then.
            match rustix::io::retry_on_intr(|| rustix::io::read(&hear_ready, &mut [0u8; 1]))
                .map_err(failed)?
            {
                0 => Err(failed(Errno::CHILD)),
                _ => Ok(waiting),
            }
        }
    }
}

impl Waiting {
    /// Which process it is.
    pub fn process(&self) -> ProcessRef {
        self.process
    }

    /// Its state is written down: it stays.
    pub fn release(mut self) -> Result<(), EngineError> {
        let failed =
            |errno| EngineError::system("let go of the process that keeps the pod's namespaces", errno);
        self.tell.take().map_or(Ok(()), |tell| rustix::io::write(&tell, b"!").map(drop)).map_err(failed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.tell.take().is_some() {
            // It sees that nobody will release it.
            boxr_sys::pidfd::reap(self.pidfd.as_fd(), true).unwrap_or_default();
        }
    }
}

/// In the process itself: lets go of everything of the caller's, and waits to be released.
fn be(
    name: &str,
    held: Vec<OwnedFd>,
    ports: Vec<OwnedFd>,
    (hear, ready): (OwnedFd, OwnedFd),
) -> Result<(), Errno> {
    crate::monitor::leave_caller()?;
    rustix::process::chdir("/")?;
    let keep: Vec<OwnedFd> = held.into_iter().chain(ports).chain([hear, ready]).collect();
    let mut kept = boxr_sys::fd::close_all_but_these(keep)?;
    boxr_sys::title::set(c"boxr-pod", &format!("boxr-pod {name}"))?;
    rights::give_up(Tracers::Privileged)?;
    let ready = kept.pop().ok_or(Errno::BADF)?;
    let hear = kept.pop().ok_or(Errno::BADF)?;
    rustix::io::write(&ready, b"!")?;
    drop(ready);
    let released = rustix::io::retry_on_intr(|| rustix::io::read(&hear, &mut [0u8; 1]))?;
    drop(hear);
    if released == 0 {
        exit_now(0);
    }
    // They stay open for as long as this process lives.
    std::mem::forget(kept);
    crate::monitor::slim_down();
    Ok(())
}

fn sleep() -> ! {
    // What the way here has touched again; what is left to do takes one page.
    boxr_sys::memory::release_program().unwrap_or_default();
    loop {
        let nothing: &mut [PollFd<'_>] = &mut [];
        // It ends by nothing but SIGKILL, and there is nobody to tell of an error.
        poll(nothing, None).unwrap_or_default();
    }
}

/// Opens the descriptor that `holder` keeps at place `index`.
///
/// # Errors
/// It has ended, or is another user's.
pub(super) fn open(holder: ProcessRef, index: usize) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/{}/fd/{}", holder.pid, FIRST + index);
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}
