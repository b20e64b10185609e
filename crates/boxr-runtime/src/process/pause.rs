//! A first process without a command: it keeps namespaces that others join, and reaps who is orphaned in its pid
//! namespace.

use boxr_sys::signal::{self, Disposition};
use rustix::event::{PollFd, poll};
use rustix::process::Signal;

use crate::error::{At, Step, StepError};

/// What needs calls that [`for_ever`] does without. Children are reaped by the kernel, as nobody wants to hear of them
/// (waitpid(2), `SIGCHLD` ignored); no signal but SIGKILL ends it.
pub(super) fn get_ready() -> Result<(), StepError> {
    let failed = "of the process that keeps namespaces";
    boxr_sys::title::set(c"boxr-pause", "boxr-pause").at(Step::Session, failed)?;
    signal::set_disposition(Signal::CHILD.as_raw(), Disposition::Ignore).at(Step::Session, failed)?;
    let (signals, _) = signal::take_all().at(Step::Session, failed)?;
    drop(signals);
    boxr_sys::heap::trim();
    // A kernel that does not care for the advice keeps the pages.
    boxr_sys::memory::release_program().unwrap_or_default();
    Ok(())
}

/// Sleeps; ppoll(2) is all that it calls.
pub(super) fn for_ever() -> ! {
    loop {
        let nothing: &mut [PollFd<'_>] = &mut [];
        // It ends by nothing but SIGKILL, and there is nobody to tell of an error.
        poll(nothing, None).unwrap_or_default();
    }
}
