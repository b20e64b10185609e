//! Names: claimed by making a symlink, taken over when stale, given back.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation};
use rustix::io::Errno;

use super::dir::{BoxDir, id_of};
use super::{Inner, StoreError, files, in_containers, in_names, observe};
use crate::id::Id;
use crate::names;

/// How often a claim is tried again when others claim and remove at the same time.
const ROUNDS: u32 = 32;

/// Which names a box that goes has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names<'a> {
    /// None yet.
    Nothing,
    /// This one, if nobody else has it.
    One(&'a str),
    /// Nobody knows: every name is looked at.
    Search,
}

/// What a name points to.
enum Target {
    Nothing,
    Box(Id),
    /// Something that we did not make.
    Garbage,
}

impl Inner {
    /// Makes `name` point to box `id`, or says who has it. Stale names are taken over.
    pub(super) fn claim_name(self: &Arc<Self>, name: &str, id: &Id) -> Result<(), StoreError> {
        names::check(name).map_err(|reason| StoreError::InvalidName { name: name.to_owned(), reason })?;
        let path = in_names(name);
        let mut holder = id.clone();
        for _ in 0..ROUNDS {
            match files::link(id.as_str(), &self.root, &path) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => {
                    files::ensure_dir(&self.root, "names")
                        .map_err(|errno| self.error("make", "names", errno))?;
                    continue;
                }
                Err(errno) => return Err(self.error("claim the name", &path, errno)),
            }
            match self.target(name)? {
                Target::Nothing => continue,
                Target::Garbage => self.remove_stale(name, None)?,
                Target::Box(found) if found == *id => return Ok(()),
                Target::Box(found) => {
                    if !self.take_from(name, &found)? {
                        return Err(self.in_use(name, found));
                    }
                    holder = found;
                }
            }
        }
        Err(self.in_use(name, holder))
    }

    fn in_use(&self, name: &str, holder: Id) -> StoreError {
        let what = if self.is_pod(&holder).unwrap_or(false) { "pod" } else { "box" };
        StoreError::NameInUse { name: name.to_owned(), what, holder }
    }

    /// The box that has `name`.
    pub(super) fn holder(&self, name: &str) -> Result<Option<Id>, StoreError> {
        Ok(match self.target(name)? {
            Target::Box(id) => Some(id),
            Target::Nothing | Target::Garbage => None,
        })
    }

    fn target(&self, name: &str) -> Result<Target, StoreError> {
        let path = in_names(name);
        match rustix::fs::readlinkat(&self.root, path.as_str(), Vec::with_capacity(128)) {
            Ok(target) => Ok(id_of(&target).map_or(Target::Garbage, Target::Box)),
            Err(Errno::NOENT) => Ok(Target::Nothing),
            Err(Errno::INVAL) => Ok(Target::Garbage),
            Err(errno) => Err(self.error("read the name", &path, errno)),
        }
    }

    /// Frees `name`, which points to `holder`, if nobody can still want it; whether that was so.
    fn take_from(self: &Arc<Self>, name: &str, holder: &Id) -> Result<bool, StoreError> {
        let Some(dir) = BoxDir::open(self, holder)? else {
            if self.is_pod(holder)? {
                return self.sweep_pod(holder);
            }
            self.remove_stale(name, Some(holder))?;
            return Ok(true);
        };
        if !may_go(name, &dir, self)? {
            return Ok(false);
        }
        // Locked: it is being made, removed or renamed.
        let Some(lock) = dir.try_lock()? else { return Ok(false) };
        if !may_go(name, &dir, self)? {
            return Ok(false);
        }
        match dir.find_state()? {
            // A rename that was cut short.
            Some(state) if state.name != name => self.release_names(Names::One(name), holder)?,
            Some(state) => lock.remove_known(&state)?,
            None => {
                lock.release_network()?;
                lock.dismantle(Names::One(name))?;
            }
        }
        Ok(true)
    }

    /// Removes a name whose box is gone. Two that do so at once are kept apart by the lock of
    /// `names`: the second would remove the name which the first has claimed by then.
    fn remove_stale(&self, name: &str, holder: Option<&Id>) -> Result<(), StoreError> {
        let path = in_names(name);
        let failed = |errno| self.error("take over the name", &path, errno);
        let names = files::open_dir(&self.root, "names").map_err(failed)?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&names, FlockOperation::LockExclusive))
            .map_err(failed)?;
        let stale = match (self.target(name)?, holder) {
            (Target::Garbage, None) => true,
            (Target::Box(found), Some(holder)) => {
                found == *holder && !self.exists(holder)? && !self.is_pod(holder)?
            }
            _ => false,
        };
        if stale { files::remove_file(&self.root, path.as_str()).map_err(failed) } else { Ok(()) }
    }

    pub(super) fn exists(&self, id: &Id) -> Result<bool, StoreError> {
        let path = in_containers(id.as_str());
        match rustix::fs::statat(&self.root, path.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.error("look at", &path, errno)),
        }
    }

    /// Gives names of box `id` back; a name that has become another's is left alone. The lock of
    /// the box is held, so nobody else takes a name away from it meanwhile.
    pub(super) fn release_names(&self, names: Names<'_>, id: &Id) -> Result<(), StoreError> {
        match names {
            Names::Nothing => Ok(()),
            Names::One(name) => self.release(name, id),
            Names::Search => self.all_names()?.iter().try_for_each(|name| self.release(name, id)),
        }
    }

    fn release(&self, name: &str, id: &Id) -> Result<(), StoreError> {
        // A damaged state must not make a path of a name.
        if names::check(name).is_err() || self.holder(name)?.as_ref() != Some(id) {
            return Ok(());
        }
        let path = in_names(name);
        files::remove_file(&self.root, path.as_str())
            .map_err(|errno| self.error("free the name", &path, errno))
    }

    /// Every name there is, also stale ones.
    pub(super) fn all_names(&self) -> Result<Vec<String>, StoreError> {
        let dir = match files::open_dir(&self.root, "names") {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            dir => dir.map_err(|errno| self.error("open", "names", errno))?,
        };
        let mut found: Vec<CString> = Vec::new();
        files::each_entry(dir.as_fd(), |name| {
            found.push(name.to_owned());
            true
        })
        .map_err(|errno| self.error("list", "names", errno))?;
        Ok(found.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }
}

/// Whether `dir` gives no claim to `name`: it is a leftover, or its name is another one.
fn may_go(name: &str, dir: &BoxDir, store: &Inner) -> Result<bool, StoreError> {
    match dir.find_state() {
        Ok(Some(state)) => Ok(state.name != name || observe::is_leftover(&state, store.here())),
        Ok(None) => Ok(true),
        Err(StoreError::Damaged { .. } | StoreError::TooNew { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
