//! `boxr debug`

use boxr_engine::config::grammar;
use boxr_engine::image::store_path;
use boxr_engine::lifecycle::debug::{DebugRequest, Tools};
use boxr_engine::lifecycle::{self, ExecOutcome, ExecTarget as Target};
use boxr_engine::paths::Paths;
use boxr_engine::store::{Store, StoreError};
use boxr_engine::supervise::Finish;
use boxr_engine::terminal::DetachKeys;
use boxr_image::store::Store as Images;

use super::image::wanted;
use crate::boxes;
use crate::cli::{Invocation, exec_request};
use crate::protect;
use crate::report::Report;

/// The image of the tools where none is named and the host has none of its own.
const TOOLS: &str = "busybox";

/// Carries out `boxr debug`: ends as the command does.
///
/// # Errors
/// No such container; one that does not run; tools that cannot be had. Statuses are those of `exec`.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    // What starts boxr once more comes first: an image would be fetched twice.
    protect::now()?;
    let globals = invocation.globals.clone();
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    let store = boxes::open_store(&globals)?;
    let privileged = invocation.switch("privileged");
    let capabilities = capabilities(&invocation)?;
    let named = invocation.value("tools").map(str::to_owned);
    // Before anything is fetched for it.
    let word = invocation.first().to_owned();
    let target = find(&store, &word)?;
    let on = |dir| lifecycle::current(dir).map_err(Report::from);
    if let Found::Box(dir) = &target {
        let state = on(dir)?;
        if !boxes::runs(&state) {
            return Err(Report::new(format!("box {} is not running", state.name))
                .detail("a command with tools joins its processes")
                .suggest(format!("boxr start {}", state.name))
                .suggest(format!("boxr cp {}:PATH .", state.name)));
        }
    }
    let tools = match (&named, Tools::of_host()) {
        (None, Some(tools)) => tools,
        _ => {
            let image = wanted::find(&invocation, named.as_deref().unwrap_or(TOOLS))?;
            Tools::Image { image: Box::new(image), images: store_path(&paths) }
        }
    };
    let said = exec_request(invocation)?;
    let request = DebugRequest {
        args: said.args,
        env: said.env,
        workdir: said.workdir,
        tty: said.tty,
        privileged,
        capabilities,
        detach_keys: DetachKeys::new(said.detach_keys),
        tools,
    };
    // What the command sees of its image stays while it runs.
    let images = Images::open(&store_path(&paths))?;
    let lease = images.lease()?;
    if let Tools::Image { image, .. } = &request.tools {
        lease.add(&image.root.layers)?;
    }
    let outcome = match &target {
        Found::Box(dir) => lifecycle::debug::debug(&Target::Box(dir), request)?,
        Found::Process(pid) => lifecycle::debug::debug(&Target::Process(*pid), request)?,
    };
    Ok(match outcome {
        ExecOutcome::Finished(Finish::Ended(exit)) => exit.status(),
        ExecOutcome::Finished(Finish::Detached) | ExecOutcome::Detached(_) => 0,
    })
}

/// What is debugged.
enum Found {
    Box(boxr_engine::store::BoxDir),
    Process(i32),
}

/// A box, `pid:N`, or a number that no box goes by.
fn find(store: &Store, word: &str) -> Result<Found, Report> {
    let number = word.strip_prefix("pid:").unwrap_or(word).parse::<i32>().ok().filter(|pid| *pid > 0);
    if word.starts_with("pid:") {
        let Some(pid) = number else {
            return Err(Report::new(format!("boxr debug {word}: not the pid of a process")));
        };
        return Ok(Found::Process(pid));
    }
    match (store.resolve(word), number) {
        (Ok(dir), _) => Ok(Found::Box(dir)),
        (Err(StoreError::NotFound { .. }), Some(pid)) => Ok(Found::Process(pid)),
        (Err(error), _) => Err(error.into()),
    }
}

fn capabilities(invocation: &Invocation) -> Result<Vec<String>, Report> {
    let parse = |text: &str| {
        grammar::capability(text).map_err(|error| invocation.bad_value("cap-add", text, &error.why))
    };
    invocation.values("cap-add").map(parse).collect()
}
