//! All boxes at once, and the sweeping up of what nobody owns.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::dir::{BoxDir, decode};
use super::{Inner, Observed, Store, StoreError, current, files, in_containers, observe};
use crate::id::Id;
use crate::record::{Exit, State, Status};

/// A directory without a state whose lock is free is a leftover once it is this old, in
/// nanoseconds. Between making and locking it, its maker needs a few microseconds.
pub(super) const HALF_MADE_AGE: i64 = 5_000_000_000;

/// One box of a listing.
#[derive(Debug)]
pub struct Entry {
    /// Its id.
    pub id: Id,
    /// What was found.
    pub contents: Contents,
}

/// What a listing found in a box's directory.
#[derive(Debug)]
pub enum Contents {
    /// A box.
    Known {
        /// As last written; the name is empty where another box has it by now.
        state: Box<State>,
        /// What is true now.
        observed: Observed,
    },
    /// No state yet: somebody is making it, or was killed doing so.
    Creating,
    /// A state that cannot be read. `rm` by id works.
    Damaged(StoreError),
}

impl Store {
    /// All boxes, the oldest first; those that cannot be read last. What killed processes left of
    /// ephemeral boxes is removed on the way, unless it has cgroups, or somebody holds its lock.
    pub fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let containers = self.0.containers()?;
        let mut buffer = Vec::with_capacity(8192);
        let mut entries = Vec::new();
        for id in self.0.ids()? {
            if let Some(contents) = self.look(containers.as_fd(), &id, &mut buffer)
                && !(self.is_suspect(&contents) && self.0.sweep(&id))
            {
                entries.push(Entry { id, contents });
            }
        }
        self.0.strip_lost_names(&mut entries)?;
        entries.sort_by_key(|entry| match &entry.contents {
            Contents::Known { state, .. } => (false, state.created),
            _ => (true, 0),
        });
        Ok(entries)
    }

    /// Reads one state; `None` when the directory is gone.
    fn look(&self, containers: BorrowedFd<'_>, id: &Id, buffer: &mut Vec<u8>) -> Option<Contents> {
        let path = [id.as_str(), "/state.json"].concat();
        let full_path = || self.0.path(&in_containers(&path));
        Some(match files::read_whole(containers, path.as_str(), buffer) {
            Ok(bytes) => match decode::<State>(bytes, full_path) {
                Ok(state) => self.observed(containers, &path, state, buffer),
                Err(error) => Contents::Damaged(error),
            },
            Err(Errno::NOENT) if self.0.exists(id).is_ok_and(|there| !there) => return None,
            Err(Errno::NOENT) => Contents::Creating,
            Err(errno) => Contents::Damaged(StoreError::system("read", full_path(), errno)),
        })
    }

    /// An end that nobody wrote down is looked at again: the monitor may have done so, and ended,
    /// between the reading of the state and the look at the processes.
    fn observed(
        &self,
        containers: BorrowedFd<'_>,
        path: &str,
        state: State,
        buffer: &mut Vec<u8>,
    ) -> Contents {
        let mut state = Box::new(state);
        let mut observed = current(&state, self.here());
        if observed == Observed::Exited(Exit::Unknown) && state.status != Status::Exited {
            let again = files::read_whole(containers, path, buffer).ok();
            if let Some(Ok(now)) = again.map(|bytes| decode::<State>(bytes, || self.0.path(path))) {
                observed = current(&now, self.here());
                *state = now;
            }
        }
        Contents::Known { state, observed }
    }

    fn is_suspect(&self, contents: &Contents) -> bool {
        match contents {
            Contents::Known { state, observed: Observed::Exited(_) } => {
                observe::is_leftover(state, self.here())
            }
            Contents::Creating => true,
            _ => false,
        }
    }
}

impl Store {
    /// Whether the box of this id runs, or a command is at work on it. One that cannot be looked at is taken to.
    pub fn is_living(&self, id: &str) -> bool {
        let Some(id) = Id::parse(id) else { return false };
        let Ok(dir) = BoxDir::open(&self.0, &id) else { return true };
        let Some(dir) = dir else { return self.pod_is_living(&id) };
        let runs = |state: &State| !matches!(self.observe(state), Observed::Exited(_) | Observed::Created);
        let Ok(found) = dir.find_state() else { return true };
        if found.as_ref().is_some_and(runs) {
            return true;
        }
        // Whoever starts it holds its lock.
        let Ok(lock) = dir.try_lock() else { return true };
        let Some(lock) = lock else { return true };
        lock.find_state().map_or(true, |state| state.as_ref().is_some_and(runs))
    }
}

impl Store {
    /// The same for a pod, whose network its members have: it lives while it is up, or a command is at work on it.
    fn pod_is_living(&self, id: &Id) -> bool {
        let Ok(dir) = super::PodDir::open(&self.0, id) else { return true };
        let Some(dir) = dir else { return false };
        let Ok(found) = dir.read_state() else { return true };
        if found.is_some_and(|state| state.is_up(self.here()) || crate::pod::has_running_members(self, id)) {
            return true;
        }
        !matches!(dir.lock(super::Hold::TryAlone), Ok(Some(_)) | Err(StoreError::NoPod { .. }))
    }
}

impl Inner {
    /// Removes a leftover; whether it is gone. Whatever speaks against it leaves it where it is:
    /// a listing does not fail because of what another box left.
    fn sweep(self: &Arc<Self>, id: &Id) -> bool {
        self.try_sweep(id).unwrap_or(false)
    }

    fn try_sweep(self: &Arc<Self>, id: &Id) -> Result<bool, StoreError> {
        let Some(dir) = BoxDir::open(self, id)? else { return Ok(true) };
        let Some(lock) = dir.try_lock()? else { return Ok(false) };
        // Read again under the lock: it may just have been written.
        match dir.find_state()? {
            Some(state) if observe::is_leftover(&state, self.here()) => lock.remove_known(&state)?,
            None if self.is_old(id)? => lock.remove_unknown()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn is_old(&self, id: &Id) -> Result<bool, StoreError> {
        let path = in_containers(id.as_str());
        let found = rustix::fs::statat(&self.root, path.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.error("look at", &path, errno))?;
        let changed = found.st_mtime.saturating_mul(1_000_000_000).saturating_add(found.st_mtime_nsec as i64);
        // A time to come was written before the clock was set back.
        Ok((files::nanoseconds() - changed).abs() > HALF_MADE_AGE)
    }

    /// Of boxes that say they have the same name, one has it; a removal or a rename of the others
    /// was cut short.
    fn strip_lost_names(&self, entries: &mut [Entry]) -> Result<(), StoreError> {
        let mut seen: HashMap<String, bool> = HashMap::with_capacity(entries.len());
        for entry in entries.iter() {
            if let Contents::Known { state, .. } = &entry.contents {
                seen.entry(state.name.clone()).and_modify(|twice| *twice = true).or_insert(false);
            }
        }
        for Entry { id, contents } in entries {
            if let Contents::Known { state, .. } = contents
                && seen.get(&state.name) == Some(&true)
                && self.holder(&state.name)?.as_ref() != Some(id)
            {
                state.name.clear();
            }
        }
        Ok(())
    }
}
