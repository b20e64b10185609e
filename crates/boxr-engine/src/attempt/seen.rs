//! How the files that a try has changed were on the host when it ended, so that a later change of them is seen.

use std::collections::BTreeMap;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::compare::Change;
use super::entry::{Entry, printable};
use super::{Attempt, AttemptError};
use crate::nsview::mounts::errno_of;

const FILE: &str = "seen.json";

/// By path, as [`printable`] writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen(BTreeMap<String, Sight>);

/// One file on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sight {
    /// As it was; `None` where there was none.
    before: Option<Entry>,
    /// It had been changed already, since the try began.
    meanwhile: bool,
}

impl Seen {
    /// What was seen when the try ended; nothing where boxr was killed before.
    pub fn read(attempt: &Attempt) -> Result<Self, AttemptError> {
        let path = attempt.data.join(FILE);
        match std::fs::read(&path) {
            // Without it the time of the last change tells.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(AttemptError::file("read", path)(errno_of(&error))),
        }
    }

    /// Writes down how `changes` find the host.
    pub fn write(attempt: &Attempt, changes: &[Change]) -> Result<(), AttemptError> {
        let sights = changes.iter().map(|change| {
            let meanwhile = change.conflict.is_some();
            (printable(&change.path), Sight { before: change.before, meanwhile })
        });
        let path = attempt.data.join(FILE);
        let failed = |errno| AttemptError::file("write", &path)(errno);
        let bytes = serde_json::to_vec(&Self(sights.collect())).map_err(|_| failed(Errno::INVAL))?;
        let data = std::fs::File::open(&attempt.data).map_err(|error| failed(errno_of(&error)))?;
        let how = crate::store::files::Write::Replace;
        crate::store::files::write_whole(std::os::fd::AsFd::as_fd(&data), FILE, &bytes, how).map_err(failed)
    }

    /// Why a file of the host's, which is `now` so, is not what the try has seen; `after` is how it is in the try.
    pub fn conflict(
        &self,
        attempt: &Attempt,
        path: &[u8],
        now: Option<&Entry>,
        after: Option<&Entry>,
    ) -> Option<&'static str> {
        let both_directories = [now, after].iter().all(|side| side.is_some_and(Entry::is_directory));
        match self.0.get(&printable(path)) {
            Some(Sight { meanwhile: true, .. }) => Some("changed while the try ran"),
            // Made by somebody else, or by an apply that was broken off: nothing in it is lost.
            Some(Sight { before, .. })
                if both_directories && !before.is_some_and(|before| before.is_directory()) =>
            {
                None
            }
            Some(Sight { before, .. }) => match (before, now) {
                (None, None) => None,
                (Some(before), Some(now)) => {
                    (!now.is_untouched_since(before)).then_some("changed since the try ended")
                }
                (None, Some(_)) => Some("made since the try ended"),
                (Some(_), None) => Some("removed since the try ended"),
            },
            None => {
                let touched = now.is_some_and(|now| !now.is_directory() && now.changed > attempt.started);
                touched.then_some("changed since the try began")
            }
        }
    }
}
