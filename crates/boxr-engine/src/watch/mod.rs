//! What a box does, as it does it: files it opens, programs it runs, addresses it speaks to, system calls by name
//! (`--record`); and the calls that a person's profile refuses.
//!
//! Calls are put to a process of boxr's beside the box, which listens to its seccomp filter (seccomp_unotify(2)), notes
//! what is asked and lets it go on. The filter does not put every call there: the most common ones, which say
//! nothing of what a program is after ([`calls::COMMON`]), are carried out at once, and a profile that is made from a
//! record always has them.
//!
//! ```text
//! boxr ── fork ──▶ recorder: listens at STATE/watch-….sock
//!   │                  ▲ listener of the filter, by the first process and the boxr that says Go
//!   └── clone3 ──▶ box │ calls … note, continue
//!                      └─ all processes of the box have ended ─▶ FILE, and what was refused to boxr
//! ```
//!
//! A record is no protection: memory may change between the look at it and the call. But changes of metadata in a sandbox
//! that Landlock confines alone do not go on; they are made by a thread of boxr's ([`metadata`]).

mod calls;
mod deed;
mod filter;
mod memory;
mod messages;
mod metadata;
mod openings;
mod place;
pub mod profile;
mod recorder;
mod refusals;
mod sight;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

pub(crate) use filter::complete;
pub use recorder::{Recorder, Refused, Told};
pub use sight::Record;

use crate::options::BoxOptions;
use crate::outcome::EngineError;
use crate::paths::Paths;
use crate::sandbox::Metadata;

/// That a box is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// The file that gets the record; `None` where only refusals are of interest.
    pub file: Option<PathBuf>,
    /// Whether it is told which openings of a sandbox would have allowed what was refused.
    pub explains: bool,
    /// Where the recorder listens: for this start alone.
    #[serde(skip)]
    pub socket: Option<PathBuf>,
    /// What it may write, once that is known, where boxr makes changes of metadata for it.
    #[serde(skip)]
    pub writable: Arc<OnceLock<Vec<PathBuf>>>,
}

/// Starts the recorder of a box, where it needs one: for a record to `file`, for the refusals of a person's profile, or
/// for those of a sandbox where they are to be explained.
///
/// # Errors
/// A profile that cannot be read; no process, no socket.
pub fn start(
    paths: &Paths,
    options: &mut BoxOptions,
    file: Option<PathBuf>,
) -> Result<Option<Recorder>, EngineError> {
    let sandbox = options.sandbox.as_ref();
    let explains = sandbox.is_some_and(|sandbox| sandbox.explain_refusals || file.is_some());
    let keeps = keeps_metadata(options);
    if file.is_none() && options.seccomp.is_none() && !explains && !keeps {
        return Ok(None);
    }
    if let Some(file) = &file
        && !file.parent().is_some_and(std::path::Path::is_dir)
    {
        // Before the command has done what can be done once only.
        let path = file.display().to_string();
        return Err(EngineError::File { path, errno: rustix::io::Errno::NOENT });
    }
    let refusing = filter::refusing(options, file.is_some() || explains)?;
    let refusals = openings::Openings::of(options, &paths.state)
        .filter(|_| explains || keeps)
        .map(refusals::Refusals::new);
    let writable = Arc::<OnceLock<Vec<PathBuf>>>::default();
    let keeper = keeps.then(|| metadata::Keeper::new(Arc::clone(&writable)));
    let job = recorder::Job { file: file.clone(), command: options.args.clone(), refusing, refusals, keeper };
    let recorder = Recorder::start(paths, job)?;
    let socket = Some(recorder.socket().to_owned());
    options.watch = Some(Box::new(Watch { file, explains, socket, writable }));
    Ok(Some(recorder))
}

/// Whether changes of metadata are made for the box.
fn keeps_metadata(options: &BoxOptions) -> bool {
    options.sandbox.as_ref().is_some_and(|sandbox| sandbox.metadata == Metadata::OfWritable)
}
