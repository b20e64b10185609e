//! `boxr attach`

use boxr_engine::config::grammar;
use boxr_engine::events::{self, Action};
use boxr_engine::lifecycle;
use boxr_engine::monitor::attach::{AttachOptions, Attachment, Left};
use boxr_engine::terminal::DetachKeys;

use crate::boxes;
use crate::cli::Invocation;
use crate::report::Report;

/// Carries out `boxr attach`.
///
/// # Errors
/// A box that does not run, or runs in the foreground of another terminal.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let dir = boxes::find(&store, invocation.first())?;
    let state = lifecycle::current(&dir)?;
    if !boxes::runs(&state) {
        return Err(Report::new(format!("box {} is not running", state.name))
            .suggest(format!("boxr start -a {}", state.name))
            .suggest(format!("boxr logs {}", state.name))
            .status(1));
    }
    if !state.monitored {
        let pid = state.supervisor.map_or_else(|| "unknown".into(), |process| process.pid.to_string());
        return Err(Report::new(format!("box {} has the terminal of the boxr that started it", state.name))
            .detail(format!("it runs in the foreground of process {pid}"))
            .suggest(format!("boxr exec -it {} sh", state.name))
            .status(1));
    }
    let options = AttachOptions {
        input: !invocation.switch("no-stdin"),
        output: true,
        errors: true,
        forward_signals: invocation.switch_said("sig-proxy").unwrap_or(true),
        detach_keys: detach_keys(&invocation)?,
    };
    let attachment = Attachment::connect(&dir, &state)?;
    events::note(store.paths(), &state, Action::Attach);
    Ok(match attachment.run(&dir, &options)? {
        Left::Ended(status) => status,
        Left::Detached => {
            events::note(store.paths(), &state, Action::Detach);
            0
        }
        Left::Signalled(number) => 128 | number,
    })
}

/// `--detach-keys`.
///
/// # Errors
/// A sequence that cannot be typed.
pub(super) fn detach_keys(invocation: &Invocation) -> Result<DetachKeys, Report> {
    match invocation.value("detach-keys") {
        None => Ok(DetachKeys::default()),
        Some(text) => {
            let accepted = "single characters or ctrl-X with commas between";
            let keys = grammar::detach_keys(text);
            keys.map(DetachKeys::new).map_err(|_| invocation.bad_value("detach-keys", text, accepted))
        }
    }
}
