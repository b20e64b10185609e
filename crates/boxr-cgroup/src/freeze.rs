//! Freezing and thawing: `cgroup.freeze` of version 2, else version 1's freezer.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::cgroup::Cgroup;
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::{file, wait};

/// How long the kernel may take to stop every task, where the caller says nothing else.
pub const FREEZE_PATIENCE: Duration = Duration::from_secs(10);

/// Whether a box runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// It runs.
    No,
    /// It was told to freeze, and some task has not stopped yet.
    Partly,
    /// No task of it runs.
    Yes,
}

/// Where and how a box is frozen.
enum Freezer<'a> {
    Unified(&'a Path),
    Legacy(&'a Path),
}

impl Cgroup {
    fn freezer(&self) -> Option<Freezer<'_>> {
        let location = self.location();
        if let Some(directory) = &location.unified {
            return Some(Freezer::Unified(directory));
        }
        location.legacy.get(Controller::Freezer.legacy_name()).map(|path| Freezer::Legacy(path))
    }

    /// Stops every task of the box and waits until they have stopped.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when a task cannot be stopped within `patience`, after which the box is
    /// thawed again; [`Error::NoCgroup`]; system errors.
    pub fn freeze(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let (path, done) = match self.freezer() {
            Some(Freezer::Unified(path)) => {
                file::write(&path.join("cgroup.freeze"), "1")?;
                (path, wait::event(path, "frozen", 1, deadline)?)
            }
            Some(Freezer::Legacy(path)) => (path, freeze_legacy(path, deadline)?),
            None => return Err(Error::NoCgroup { goal: "frozen" }),
        };
        if done {
            return Ok(());
        }
        let late = Error::TimedOut {
            path: path.to_path_buf(),
            goal: "frozen",
            milliseconds: patience.as_millis() as u64,
        };
        match self.thaw() {
            Ok(()) => Err(late),
            Err(error) => Err(Error::Several { errors: vec![late, error] }),
        }
    }

    /// Lets the tasks of the box run again.
    ///
    /// # Errors
    /// [`Error::NoCgroup`]; system errors.
    pub fn thaw(&self) -> Result<()> {
        match self.freezer() {
            Some(Freezer::Unified(path)) => file::write(&path.join("cgroup.freeze"), "0"),
            Some(Freezer::Legacy(path)) => file::write(&path.join("freezer.state"), "THAWED"),
            None => Err(Error::NoCgroup { goal: "thawed" }),
        }
    }

    /// Whether the box runs. A box without a cgroup, and one whose cgroup is gone, is not frozen.
    ///
    /// # Errors
    /// System errors.
    pub fn frozen(&self) -> Result<Frozen> {
        match self.freezer() {
            Some(Freezer::Unified(path)) => frozen_unified(path),
            Some(Freezer::Legacy(path)) => frozen_legacy(path),
            None => Ok(Frozen::No),
        }
    }
}

/// Whether the cgroup `directory`, of either version, was told to freeze.
pub(crate) fn is_frozen(directory: &Path) -> Result<bool> {
    let unified = frozen_unified(directory)?;
    Ok(unified != Frozen::No || frozen_legacy(directory)? != Frozen::No)
}

fn frozen_unified(directory: &Path) -> Result<Frozen> {
    let Some(events) = file::read_if_exists(&directory.join("cgroup.events"))? else { return Ok(Frozen::No) };
    if file::keyed(&events, "frozen") == Some(1) {
        return Ok(Frozen::Yes);
    }
    let wanted = file::read_if_exists(&directory.join("cgroup.freeze"))?;
    Ok(if wanted.is_some_and(|text| text.trim() == "1") { Frozen::Partly } else { Frozen::No })
}

fn frozen_legacy(directory: &Path) -> Result<Frozen> {
    let state = file::read_if_exists(&directory.join("freezer.state"))?;
    Ok(match state.as_deref().map(str::trim) {
        Some("FROZEN") => Frozen::Yes,
        Some("FREEZING") => Frozen::Partly,
        _ => Frozen::No,
    })
}

/// Version 1 tells nobody when it has frozen, and can stay at FREEZING when a task forks at the
/// wrong moment: asking again helps, and so does thawing in between (kernel documentation,
/// cgroup-v1/freezer-subsystem).
fn freeze_legacy(directory: &Path, deadline: Instant) -> Result<bool> {
    let path = directory.join("freezer.state");
    for attempt in 1u32.. {
        if attempt.is_multiple_of(50) {
            file::write(&path, "THAWED")?;
        }
        file::write(&path, "FROZEN")?;
        if frozen_legacy(directory)? == Frozen::Yes {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            break;
        }
        wait::pause(Duration::from_micros(u64::from(attempt.min(50)) * 20));
    }
    Ok(false)
}
