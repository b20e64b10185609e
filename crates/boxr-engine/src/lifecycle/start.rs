//! `start`, `run -d`, `run --keep`: boxes under a monitor.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::create::{self, CreateRequest};
use super::requires;
use crate::events::{Action, Event};
use crate::monitor::attach::{AttachOptions, Attachment, Left};
use crate::monitor::{self, StartRequest, Started};
use crate::options::{BoxOptions, LogDriver};
use crate::outcome::EngineError;
use crate::record::{ProcessRef, State};
use crate::status::StatusSink;
use crate::store::{BoxDir, Store, Wait};

/// Whether a started box is attached to.
#[derive(Clone, Debug)]
pub enum StartMode {
    /// It runs on its own.
    Detached,
    /// boxr stays until it ends.
    Attached(AttachOptions),
}

/// `run -d`: makes a box and starts it.
///
/// # Errors
/// [`EngineError`]; nothing is left behind.
pub fn run_detached(
    store: &Store,
    request: CreateRequest,
    status: Option<StatusSink>,
) -> Result<State, EngineError> {
    let (_, state, _) = launch(store, request, status, None)?;
    Ok(state)
}

/// `run --keep` in the foreground: a box under a monitor, with this boxr attached. Gives its id and how it
/// was left.
///
/// # Errors
/// [`EngineError`]; a box that did not start leaves nothing behind.
pub fn run_kept(
    store: &Store,
    request: CreateRequest,
    attach: &AttachOptions,
    status: Option<StatusSink>,
) -> Result<(String, Left), EngineError> {
    let (attachment, client) = Attachment::pair()?;
    let attach = for_box(attach, &request.options);
    let (dir, state, started) = launch(store, request, status, Some(client))?;
    let left = attachment.with_process(started.process, state.tty).run(&dir, &attach)?;
    Ok((state.id, left))
}

/// What a box reads itself from boxr's stdin nobody may read beside it.
fn for_box(attach: &AttachOptions, options: &BoxOptions) -> AttachOptions {
    let reads_itself = options.log_to.driver == LogDriver::Passthrough;
    AttachOptions { input: attach.input && !reads_itself, ..attach.clone() }
}

fn launch(
    store: &Store,
    mut request: CreateRequest,
    status: Option<StatusSink>,
    client: Option<OwnedFd>,
) -> Result<(BoxDir, State, Started), EngineError> {
    requires::resolve(store, &mut request.options)?;
    requires::start_first(store, &request.options)?;
    let (claim, state) = create::claim(store, &mut request)?;
    let mut events = vec![Event::of_box(&state, Action::Create)];
    events.extend(client.is_some().then(|| Event::of_box(&state, Action::Attach)));
    let started = monitor::start(StartRequest {
        store,
        dir: &claim,
        options: &request.options,
        state: state.clone(),
        cidfile: request.cidfile,
        status,
        client,
        events,
    })?;
    Ok((claim.commit()?, state, started))
}

/// `start`: runs a box that was created, or has ended.
///
/// # Errors
/// [`EngineError::Wrong`] for one that runs already.
pub fn start(store: &Store, dir: &BoxDir, mode: &StartMode) -> Result<Option<Left>, EngineError> {
    start_chained(store, dir, mode, &mut Vec::new())
}

/// The same, where others are about to be started because they require it.
pub(super) fn start_chained(
    store: &Store,
    dir: &BoxDir,
    mode: &StartMode,
    chain: &mut Vec<String>,
) -> Result<Option<Left>, EngineError> {
    chain.push(dir.id().as_str().to_owned());
    requires::start_all(store, &dir.read_record()?.options, chain)?;
    chain.pop();
    let (attachment, client) = match mode {
        StartMode::Detached => (None, None),
        StartMode::Attached(_) => {
            let (attachment, client) = Attachment::pair()?;
            (Some(attachment), Some(client))
        }
    };
    let (state, started) = restart_locked(store, dir, client, By::Person)?;
    match (mode, attachment) {
        (StartMode::Attached(options), Some(attachment)) => {
            let options = for_box(options, &dir.read_record()?.options);
            attachment.with_process(started.process, state.tty).run(dir, &options).map(Some)
        }
        _ => Ok(None),
    }
}

/// Starts a box that its monitor `me` has seen end, unless somebody was faster.
///
/// # Errors
/// As [`start`].
pub(super) fn start_again(store: &Store, dir: &BoxDir, me: ProcessRef) -> Result<(), EngineError> {
    restart_locked(store, dir, None, By::Monitor(me)).map(|_| ())
}

/// Who starts a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Person,
    Monitor(ProcessRef),
}

fn restart_locked(
    store: &Store,
    dir: &BoxDir,
    client: Option<OwnedFd>,
    by: By,
) -> Result<(State, Started), EngineError> {
    let before = super::current(dir)?;
    if super::running(&before).is_err() && before.supervisor.is_some() {
        // Its end is being written down: the last start's status and cgroup are the monitor's still.
        super::stop::await_written(dir, &before)?;
    }
    let missing = || EngineError::system("lock the box", Errno::WOULDBLOCK);
    let lock = dir.lock(Wait::Yes)?.ok_or_else(missing)?;
    let mut state = lock.read_state()?;
    match by {
        By::Person => {
            super::again::dismiss(&state)?;
            state.again = Default::default();
        }
        By::Monitor(me) if super::again::is_still_due(&state, me) => state.again.count += 1,
        By::Monitor(me) => return Ok((state, Started { process: me })),
    }
    if super::running(&state).is_ok() {
        return Err(EngineError::Wrong { name: state.name, is: "is running already".into() });
    }
    let record = lock.read_record()?;
    if record.options.attempt.is_some() {
        return Err(EngineError::Wrong { name: state.name, is: "is a try, which runs once".into() });
    }
    let request = StartRequest {
        store,
        dir,
        options: &record.options,
        state: state.clone(),
        cidfile: None,
        status: None,
        events: client.iter().map(|_| Event::of_box(&state, Action::Attach)).collect(),
        client,
    };
    Ok((state, monitor::start(request)?))
}
