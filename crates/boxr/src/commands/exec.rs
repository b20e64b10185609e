//! `boxr exec`

use boxr_engine::lifecycle::{self, ExecOutcome, ExecRequest};
use boxr_engine::supervise::Finish;
use boxr_engine::terminal::DetachKeys;

use crate::boxes;
use crate::cli::{ExecTarget, Invocation, exec_request};
use crate::protect;
use crate::report::Report;

/// Carries out `boxr exec`.
///
/// # Errors
/// Whatever kept the command from running, with docker's statuses (ARCHITECTURE.md, "Exit statuses").
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let globals = invocation.globals.clone();
    protect::before_reading(&invocation)?;
    // A health check is no event.
    let journaled = !invocation.switch("unjournaled");
    let said = exec_request(invocation)?;
    boxes::check_descriptors(said.preserve_fds)?;
    let exec = ExecRequest {
        args: said.args,
        env: said.env,
        workdir: said.workdir,
        user: said.user,
        privileged: said.privileged,
        tty: said.tty,
        preserve_fds: said.preserve_fds,
        detach: said.detach,
        detach_keys: DetachKeys::new(said.detach_keys),
        journaled,
    };
    let outcome = match said.target {
        ExecTarget::Process(pid) => lifecycle::exec(&lifecycle::ExecTarget::Process(pid), exec)?,
        ExecTarget::Container(name) => {
            let store = boxes::open_store(&globals)?;
            let dir = store.resolve(&name)?;
            lifecycle::exec(&lifecycle::ExecTarget::Box(&dir), exec)?
        }
    };
    Ok(match outcome {
        ExecOutcome::Finished(Finish::Ended(exit)) => exit.status(),
        ExecOutcome::Finished(Finish::Detached) | ExecOutcome::Detached(_) => 0,
    })
}
