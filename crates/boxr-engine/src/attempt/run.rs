//! A try from its command line to what it has changed.

use boxr_sys::namespace::NamespaceKind;

use super::seen::Seen;
use super::{Attempt, AttemptError, Change, changes};
use crate::foreground::{self, RunRequest, now};
use crate::options::{BoxOptions, IdMapping, NamespaceMode, Propagation, Retention};
use crate::outcome::EngineError;
use crate::record::{Exit, Status};
use crate::store::{BoxDir, Store, Wait};
use crate::supervise::Finish;

/// A try that has ended.
#[derive(Debug)]
pub struct Tried {
    /// How its command ended.
    pub exit: Exit,
    /// Its name.
    pub name: String,
    /// Its directory; `None` where it has changed nothing, and is gone.
    pub dir: Option<BoxDir>,
    /// What it is.
    pub attempt: Attempt,
    /// What it has changed.
    pub changes: Vec<Change>,
    /// What could not be written down about its end.
    pub trouble: Option<String>,
}

/// Runs a command as a try. One that has changed nothing is removed at its end.
///
/// # Errors
/// Options that make no sense for a try, and whatever keeps a box from running; nothing is left behind.
pub fn run(store: &Store, mut request: RunRequest) -> Result<Tried, EngineError> {
    prepare(&mut request.options)?;
    let ran = foreground::run(store, request)?;
    let exit = match ran.finish {
        Finish::Ended(exit) => exit,
        Finish::Detached => Exit::Unknown,
    };
    let dir = store.resolve(&ran.name)?;
    let attempt = of(&dir, &ran.name)?;
    let changes = changes(&attempt)?;
    if changes.is_empty() {
        if let Some(lock) = dir.lock(Wait::Yes)? {
            lock.remove()?;
        }
        return Ok(Tried { exit, name: ran.name, dir: None, attempt, changes, trouble: None });
    }
    // A disk that the command has filled is no reason to lose what it did: without these, the times of files tell.
    let noted =
        Seen::write(&attempt, &changes).map_err(EngineError::from).and_then(|()| note_end(&dir, exit));
    let trouble = noted.err().map(|error| error.to_string());
    Ok(Tried { exit, name: ran.name, dir: Some(dir), attempt, changes, trouble })
}

/// Has the changes of a try that is kept on the disk: its overlays left that to whoever needs it (`volatile`).
///
/// # Errors
/// syncfs(2): what was written then is perhaps lost, or a disk has failed.
pub fn settle(attempt: &Attempt) -> Result<(), AttemptError> {
    let failed =
        |errno| AttemptError::File { action: "write to the disk", path: attempt.data.clone(), errno };
    let data = crate::store::files::open_dir(rustix::fs::CWD, &attempt.data).map_err(failed)?;
    rustix::fs::syncfs(&data).map_err(failed)
}

fn note_end(dir: &BoxDir, exit: Exit) -> Result<(), EngineError> {
    if let Some(lock) = dir.lock(Wait::Yes)? {
        lock.update_state(|state| {
            state.status = Status::Exited;
            state.exit = Some(exit);
            state.finished = Some(now());
            state.process = None;
            state.supervisor = None;
        })?;
    }
    Ok(())
}

/// What a box is as a try.
///
/// # Errors
/// [`AttemptError::NoTry`]; its record cannot be read.
pub fn of(dir: &BoxDir, name: &str) -> Result<Attempt, EngineError> {
    let attempt = dir.read_record()?.options.attempt;
    Ok(*attempt.ok_or_else(|| AttemptError::NoTry { name: name.to_owned() })?)
}

/// Makes the options of a box those of a try.
fn prepare(options: &mut BoxOptions) -> Result<(), AttemptError> {
    let refused = |what: &str, why| Err(AttemptError::Option { what: what.to_owned(), why });
    if options.root.is_own() {
        return refused("--rootfs or an image", "a try is of the host's own files");
    }
    if options.namespaces.mount != NamespaceMode::New {
        return refused("--mount-ns", "a try needs mounts of its own");
    }
    if options.propagation != Propagation::Private {
        return refused("--propagation", "no mount of a try reaches the host");
    }
    if options.id_mapping == IdMapping::Root
        && options.namespaces.get(NamespaceKind::User).is_none()
        && !boxr_runtime::capabilities::is_privileged().unwrap_or(false)
    {
        // Files are to belong to whom they belong outside.
        options.id_mapping = IdMapping::Caller;
    }
    options.attempt = Some(Box::default());
    options.retention = Retention::Kept;
    // Whoever is to decide about it is gone with boxr.
    options.die_with_parent = true;
    Ok(())
}
