//! Tries: a command sees the host's own files, and what it writes goes aside, to be looked at, applied or dropped.
//!
//! ```text
//! DATA/containers/ID/
//!     record.json          options.attempt says which parts of the host's tree lie where
//!     empty/               stands where boxr's own directories are, in the try
//!     N/upper, N/work      changes of part N, as overlayfs keeps them
//!     N/frame              of a directory that leads to mounts: what the overlay lies upon
//!     N/refused            why part N could only be shown read-only
//!     seen.json            how the files that it has changed were on the host when it ended
//!     applying             what an apply has under way
//! ```
//!
//! [`layout`] divides the host's tree into parts, [`tree`] lays overlays upon them in the first process,
//! [`compare`] tells what is different, [`apply`] does the same to the host's files.

pub mod apply;
pub mod compare;
mod entry;
mod extended;
mod frame;
mod layout;
mod parts;
mod places;
mod run;
mod seen;
mod tree;

use std::path::PathBuf;

use boxr_runtime::plan::{TreeMaker, TreeSource};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use compare::{Change, Kind, changes, contents};
pub use entry::{Entry, Shape, harmless, printable};
pub use parts::{Part, Piece, Place};
pub use run::{Tried, of, run, settle};

use crate::options::BoxOptions;
use crate::outcome::EngineError;
use crate::store::BoxDir;

/// What a box that is a try has besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began, nanoseconds since 1970 UTC.
    pub started: i64,
    /// Its data directory.
    pub data: PathBuf,
    /// The parts of the host's tree, those that hold others first.
    pub pieces: Vec<Piece>,
    /// Directories that were made in the changes beforehand: nobody has changed these.
    pub places: Vec<Place>,
    /// boxr's own directories, which are not shown.
    pub hidden: Vec<PathBuf>,
}

impl Attempt {
    /// The parts of which changes are kept, with their numbers.
    pub fn layered(&self) -> impl Iterator<Item = (u32, &Piece)> {
        self.pieces.iter().filter_map(|piece| match piece.part {
            Part::Overlay { number, .. } => Some((number, piece)),
            _ => None,
        })
    }

    /// Parts that were writable outside and could only be shown: their paths, and why.
    pub fn unwritable(&self) -> Vec<(PathBuf, String)> {
        let refused = |number: u32| std::fs::read_to_string(self.data.join(format!("{number}/refused"))).ok();
        let overlays =
            self.layered().filter_map(|(number, piece)| Some((piece.path.clone(), refused(number)?)));
        let shown = self.pieces.iter().filter_map(|piece| Some((piece.path.clone(), piece.because.clone()?)));
        overlays.chain(shown).collect()
    }
}

/// A try cannot be made, compared or applied.
#[derive(Debug, Error)]
pub enum AttemptError {
    /// A file or directory.
    #[error("cannot {action} {}: {}", path.display(), boxr_runtime::error::describe(*errno))]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// A box that is none.
    #[error("box {name} is no try")]
    NoTry {
        /// Its name.
        name: String,
    },
    /// It still runs.
    #[error("box {name} is running: what it changes is not settled yet")]
    Running {
        /// Its name.
        name: String,
    },
    /// An option that makes no sense for one.
    #[error("boxr try: {what}: {why}")]
    Option {
        /// The option.
        what: String,
        /// Why not.
        why: &'static str,
    },
    /// What was mounted where a part was is another now.
    #[error("{}: another filesystem is mounted there than when the try began", path.display())]
    Remounted {
        /// The part's path.
        path: PathBuf,
    },
    /// A path that is in none of its changes.
    #[error("the try has changed nothing at {path}")]
    Unchanged {
        /// As given.
        path: String,
    },
}

impl AttemptError {
    fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(Errno) -> Self {
        let path = path.into();
        move |errno| Self::File { action, path, errno }
    }
}

/// Makes what a new try has of its own. Nothing of a box that is none.
///
/// # Errors
/// The host's mounts cannot be read, or a directory cannot be made. What was made goes with the box's directory.
pub(crate) fn make(dir: &BoxDir, options: &mut BoxOptions) -> Result<(), EngineError> {
    let workdir = options.workdir.clone();
    let Some(attempt) = &mut options.attempt else { return Ok(()) };
    **attempt = layout::lay_out(dir, workdir.as_deref())?;
    Ok(())
}

/// The source of a try's tree. The first process makes it, so that the host never sees its mounts.
pub(crate) fn source(attempt: &Attempt) -> TreeSource {
    TreeSource { by: TreeMaker::Inside, tree: Box::new(tree::Tree::new(attempt.clone())) }
}
