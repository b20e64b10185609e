//! Removing a box's cgroups, with whatever the box made below them.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::cgroup::{Cgroup, processes_below};
use crate::error::{Error, Result};
use crate::systemd::{self, Unit};
use crate::{Location, file, wait};

/// How long processes that are ending are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// Until then.
    Until(Instant),
}

/// How long processes that were killed are waited for, where the caller says nothing else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

impl Location {
    /// Removes the cgroups there, and what the box made below them; a scope of systemd's is stopped. Waits
    /// two seconds for processes that were killed and are on their way out; goes on after a failure and
    /// reports all. That they are gone is fine.
    ///
    /// # Errors
    /// [`Error::Busy`] with the processes that live; system errors.
    pub fn remove(&self) -> Result<()> {
        remove_all(self, PATIENCE)
    }

    /// As [`Location::remove`], after whoever is left there was killed. Of an empty one this is one system
    /// call for each directory.
    ///
    /// # Errors
    /// As [`Location::remove`] and [`Cgroup::kill`].
    pub fn kill_and_remove(&self) -> Result<()> {
        if self.unit.is_none() && remove_all(self, Duration::ZERO).is_ok() {
            return Ok(());
        }
        match Cgroup::open(self)?.kill() {
            Ok(()) | Err(Error::NoCgroup { .. }) => self.remove(),
            Err(error) => Err(error),
        }
    }
}

/// Removes every directory of `location`; goes on after a failure and reports all of them.
pub(crate) fn remove_all(location: &Location, patience: Duration) -> Result<()> {
    let patience = Patience::Until(Instant::now() + patience);
    let mut errors: Vec<Error> = Vec::new();
    if let Some(unit) = &location.unit {
        errors.extend(stop(unit, location, patience).err());
    }
    errors.extend(location.directories().into_iter().filter_map(|path| remove_tree(path, patience).err()));
    remove_shared_parents(location);
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(Error::Several { errors }),
    }
}

/// Lets systemd stop the scope when nobody is in it any more: it would end them in its own time.
fn stop(unit: &Unit, location: &Location, patience: Patience) -> Result<()> {
    if let Some(directory) = location.any() {
        while !processes_below(directory)?.is_empty() {
            let Patience::Until(deadline) = patience else { return Err(busy(directory)) };
            if !wait::until_empty(directory, deadline)? {
                return Err(busy(directory));
            }
        }
    }
    systemd::stop(unit)
}

/// Removes the directories that boxes share, if this was the last: the kernel refuses otherwise,
/// and whoever comes next makes them again.
pub(crate) fn remove_shared_parents(location: &Location) {
    for parent in location.enclosing.iter().chain(&location.parents) {
        match rustix::fs::rmdir(parent) {
            Ok(()) | Err(_) => {}
        }
    }
}

/// Removes `path` and the cgroups below it; that it is gone already is fine.
pub(crate) fn remove_tree(path: &Path, patience: Patience) -> Result<()> {
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
        Err(Errno::BUSY | Errno::NOTEMPTY) => {}
        Err(errno) => return Err(file::system("remove", path, errno)),
    }
    loop {
        for child in file::children(path)? {
            remove_tree(&child, patience)?;
        }
        match rustix::fs::rmdir(path) {
            Ok(()) | Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY) => {}
            Err(errno) => return Err(file::system("remove", path, errno)),
        }
        let Patience::Until(deadline) = patience else { return Err(busy(path)) };
        if !wait::until_empty(path, deadline)? {
            return Err(busy(path));
        }
    }
}

fn busy(path: &Path) -> Error {
    Error::Busy { path: path.to_path_buf(), pids: file::processes_in(path).unwrap_or_default() }
}
