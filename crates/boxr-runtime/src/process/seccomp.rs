//! The first process puts itself under its seccomp filter: the last it does before execve(2).
//!
//! Without no_new_privs that takes `CAP_SYS_ADMIN`, which is kept until then; only capset(2) lies
//! between.
//!
//! A filter that puts calls to an agent has a listener, which has to reach the agent before the first such
//! call: an agent that has no listener answers nobody. This thread cannot hand it over, as whatever it calls
//! may be refused, or be put to the agent itself. A second thread does, which was made before and is
//! under no filter; execve(2) ends it. The first makes no system call at all meanwhile: it looks at memory.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use super::protocol::{Channel, ToChild};
use crate::error::{At, Step, StepError};
use crate::plan::SeccompPlan;
use boxr_seccomp::FilterFlags;
use boxr_sys::clone::exit_now;
use rustix::io::Errno;

/// What is missing where the kernel says `EACCES`.
pub(super) const ADVICE: &str = "(without process.noNewPrivileges it takes CAP_SYS_ADMIN)";

/// How the two threads speak: the number of the listener, or one of these.
const NOT_YET: i32 = -1;
const REFUSED: i32 = -2;
const DELIVERED: i32 = -3;

/// How often the second thread looks.
const GLANCE: Duration = Duration::from_micros(20);

/// Loads the filter of a process that is not the command and has nobody to answer for it: what would be
/// put to an agent fails with `ENOSYS`.
pub(super) fn load_alone(plan: &SeccompPlan) -> Result<(), StepError> {
    // How to wait for an agent says nothing without one, and the kernel refuses it.
    let flags = plan.filter.flags.without(FilterFlags::WAIT_KILLABLE_RECV);
    boxr_sys::seccomp::load(&plan.filter.program, flags.bits()).map_err(refused)
}

fn refused(errno: Errno) -> StepError {
    let object = match errno {
        Errno::INVAL => "(this kernel lacks one of its flags)",
        Errno::ACCESS => ADVICE,
        _ => "of the container",
    };
    StepError::new(Step::Seccomp, object, errno)
}

/// Loads the filter. `channel` leads to the boxr that knows the agent.
pub(super) fn load(plan: &SeccompPlan, channel: &Channel) -> Result<(), StepError> {
    if plan.agent.is_none() {
        return load_alone(plan);
    }
    let word = Arc::new(AtomicI32::new(NOT_YET));
    let channel = channel.as_fd().try_clone_to_owned().at(Step::Seccomp, "and its listener")?;
    let theirs = Arc::clone(&word);
    std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(move || deliver(&Channel::from(channel), &theirs))
        .at(Step::Seccomp, "and its listener")?;
    match boxr_sys::seccomp::load_with_listener(&plan.filter.program, plan.filter.flags.bits()) {
        Ok(listener) => {
            // Not closed here: close(2) may be put to the agent as well. execve(2) closes it.
            let listener = std::mem::ManuallyDrop::new(listener);
            word.store(listener.as_raw_fd(), Ordering::Release);
            while word.load(Ordering::Acquire) != DELIVERED {
                std::hint::spin_loop();
            }
            Ok(())
        }
        Err(errno) => {
            word.store(REFUSED, Ordering::Release);
            Err(refused(errno))
        }
    }
}

/// The second thread's work.
fn deliver(channel: &Channel, word: &AtomicI32) {
    let listener = loop {
        match word.load(Ordering::Acquire) {
            NOT_YET => std::thread::sleep(GLANCE),
            REFUSED => return,
            number => break number,
        }
    };
    let delivered = boxr_sys::fd::duplicate(listener, 3)
        .and_then(|listener| channel.listener(listener.as_fd()))
        .and_then(|()| channel.await_word(ToChild::Delivered));
    match delivered {
        Ok(()) => word.store(DELIVERED, Ordering::Release),
        // boxr has ended, or could not reach the agent: there is nobody to tell.
        Err(_) => exit_now(super::init::FAILED),
    }
}
