//! `boxr start`

use boxr_engine::lifecycle::{self, StartMode};
use boxr_engine::monitor::attach::{AttachOptions, Left};
use boxr_engine::record::State;

use super::attach::detach_keys;
use crate::boxes;
use crate::cli::Invocation;
use crate::protect;
use crate::report::{Report, write_stdout};

/// Carries out `boxr start`.
///
/// # Errors
/// The store cannot be opened, or an attached box does not start; without `--attach` what fails for
/// one box is reported and the others go on.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    protect::now()?;
    let store = boxes::open_store(&invocation.globals)?;
    let interactive = invocation.switch("interactive");
    if invocation.switch("attach") || interactive {
        if invocation.positionals().len() > 1 {
            return Err(Report::new("boxr start: only one box can be attached to at a time"));
        }
        let dir = boxes::find(&store, invocation.first())?;
        let attach = AttachOptions {
            input: interactive,
            output: true,
            errors: true,
            forward_signals: invocation.switch_said("sig-proxy").unwrap_or(true),
            detach_keys: detach_keys(&invocation)?,
        };
        return Ok(match lifecycle::start(&store, &dir, &StartMode::Attached(attach))? {
            Some(Left::Ended(status)) => status,
            Some(Left::Signalled(number)) => 128 | number,
            Some(Left::Detached) | None => 0,
        });
    }
    // One that waits to be started again needs nobody who starts it.
    let rests = |state: &State| !boxes::runs(state) && state.again.at.is_none();
    boxes::for_each(&boxes::targets(&store, &invocation, rests)?, |name| {
        let dir = boxes::find(&store, name)?;
        let started = lifecycle::start(&store, &dir, &StartMode::Detached);
        started.map_err(|error| Report::from(error).status(1))?;
        write_stdout(&format!("{name}\n"))
    })
}
