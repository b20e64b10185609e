//! From what a person types to a box: name, id, or beginning of an id.

use std::os::fd::AsFd;

use boxr_image::nothing;
use rustix::io::Errno;

use super::dir::{BoxDir, id_of};
use super::{Inner, Store, StoreError, files, restore};
use crate::id::{self, Id};
use crate::names;

/// The one of `ids` that begins with `wanted`; the beginning of several is an error.
pub(super) fn only_one(wanted: &str, ids: Vec<Id>) -> Result<Option<Id>, StoreError> {
    let mut candidates: Vec<Id> = match id::is_prefix(wanted) {
        true => ids.into_iter().filter(|id| id.as_str().starts_with(wanted)).collect(),
        false => Vec::new(),
    };
    if candidates.len() > 1 {
        candidates.sort();
        return Err(StoreError::Ambiguous { prefix: wanted.to_owned(), candidates });
    }
    Ok(candidates.pop())
}

impl Store {
    /// Finds the box that `wanted` means: a full id, else a name, else the beginning of one id only.
    pub fn resolve(&self, wanted: &str) -> Result<BoxDir, StoreError> {
        if let Some(id) = Id::parse(wanted)
            && let Some(dir) = BoxDir::open(&self.0, &id)?
        {
            return Ok(dir);
        }
        if let Some(dir) = self.named(wanted)? {
            return Ok(dir);
        }
        // Also where STATE is found to be new, and kept boxes are put back.
        let ids = self.0.ids()?;
        if let Some(dir) = self.named(wanted)? {
            return Ok(dir);
        }
        let found = only_one(wanted, ids.clone())?;
        match found.map(|id| BoxDir::open(&self.0, &id)).transpose()?.flatten() {
            Some(dir) => Ok(dir),
            None if let Some(dir) = self.half_removed(wanted, &ids)? => Ok(dir),
            None if self.resolve_pod(wanted).is_ok() => Err(StoreError::IsPod { wanted: wanted.to_owned() }),
            None => Err(StoreError::NotFound { wanted: wanted.to_owned(), nearest: self.nearest(wanted)? }),
        }
    }

    fn named(&self, name: &str) -> Result<Option<BoxDir>, StoreError> {
        if names::check(name).is_err() {
            return Ok(None);
        }
        match self.0.holder(name)? {
            Some(id) => BoxDir::open(&self.0, &id),
            None => Ok(None),
        }
    }

    /// One that says to have this name, which nobody has: its removal was cut short, and can be done again.
    fn half_removed(&self, wanted: &str, ids: &[Id]) -> Result<Option<BoxDir>, StoreError> {
        if names::check(wanted).is_err() || self.0.holder(wanted)?.is_some() {
            return Ok(None);
        }
        for id in ids {
            if let Some(dir) = BoxDir::open(&self.0, id)?
                && dir.find_state().is_ok_and(|state| state.is_some_and(|state| state.name == wanted))
            {
                return Ok(Some(dir));
            }
        }
        Ok(None)
    }

    /// The name that `wanted` may be a slip of.
    fn nearest(&self, wanted: &str) -> Result<Option<String>, StoreError> {
        let allowed = wanted.chars().count().div_ceil(3);
        let near = |name: String| (strsim::osa_distance(wanted, &name), name);
        let best = self.0.all_names()?.into_iter().map(near).min();
        Ok(best.filter(|(distance, _)| *distance <= allowed).map(|(_, name)| name))
    }
}

impl Inner {
    /// The ids of all directories, half-made ones too.
    pub(super) fn ids(self: &std::sync::Arc<Self>) -> Result<Vec<Id>, StoreError> {
        let dir = self.containers()?;
        let mut ids = Vec::new();
        files::each_entry(dir.as_fd(), |name| {
            ids.extend(id_of(name));
            true
        })
        .map_err(|errno| self.error("list", "containers", errno))?;
        Ok(ids)
    }

    /// Opens the directory of all boxes, making it where it is missing; where that cannot be there are none.
    pub(super) fn containers(self: &std::sync::Arc<Self>) -> Result<std::os::fd::OwnedFd, StoreError> {
        let open = || files::open_dir(&self.root, "containers");
        match open() {
            Err(Errno::NOENT) => match restore::prepare(self) {
                Err(StoreError::System { errno: Errno::ROFS, .. }) => nothing::directory(),
                prepared => prepared.map(|()| open())?,
            },
            dir => dir,
        }
        .map_err(|errno| self.error("open", "containers", errno))
    }
}
