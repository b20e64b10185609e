//! A new box: directory, lock, name.

use std::ops::Deref;
use std::sync::Arc;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::dir::BoxDir;
use super::naming::Names;
use super::{Inner, Store, StoreError, files, in_containers, restore};
use crate::id::Id;
use crate::names;
use crate::options::Retention;

/// Made-up names that are tried before giving up.
const NAME_ATTEMPTS: u32 = 64;
/// Times a new directory may be taken away before it is locked.
const DIR_ATTEMPTS: u32 = 16;

/// A box that is being made: the directory, locked, and the name. Dropped without
/// [`Claim::commit`], it takes with it all that was made.
#[derive(Debug)]
pub struct Claim {
    dir: BoxDir,
    name: Option<String>,
    armed: bool,
}

impl Store {
    /// Makes the directory of a new box, locks it, and claims `name`, or a made-up name; for a kept
    /// box the data directory too. Four system calls besides the random numbers.
    pub fn create(&self, name: Option<&str>, retention: Retention) -> Result<Claim, StoreError> {
        if let Some(name) = name {
            // Before anything is made.
            names::check(name).map_err(|reason| StoreError::InvalidName { name: name.to_owned(), reason })?;
        }
        let (dir, seed) = new_dir(&self.0)?;
        let mut claim = Claim { dir, name: None, armed: true };
        claim.name = Some(match name {
            Some(name) => self.0.claim_name(name, claim.dir.id()).map(|()| name.to_owned())?,
            None => self.0.claim_made_up_name(seed, claim.dir.id())?,
        });
        if retention == Retention::Kept {
            claim.dir.make_data()?;
        }
        Ok(claim)
    }
}

impl Inner {
    pub(super) fn claim_made_up_name(self: &Arc<Self>, seed: u64, id: &Id) -> Result<String, StoreError> {
        let mut attempt = 0;
        loop {
            let name = names::generate(seed, attempt);
            match self.claim_name(&name, id) {
                Ok(()) => return Ok(name),
                Err(StoreError::NameInUse { .. }) if attempt < NAME_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

fn new_dir(store: &Arc<Inner>) -> Result<(BoxDir, u64), StoreError> {
    let mut last = Errno::AGAIN;
    for _ in 0..DIR_ATTEMPTS {
        let (id, seed) = Id::random()
            .map_err(|errno| StoreError::system("get random numbers from", "/dev/urandom", errno))?;
        let path = in_containers(id.as_str());
        match files::make_dir(&store.root, &path) {
            Ok(()) => {}
            Err(Errno::NOENT) => {
                restore::prepare(store)?;
                continue;
            }
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(store.error("make", &path, errno)),
        }
        let opened = files::open_dir(&store.root, &path)
            .and_then(|fd| rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).map(|()| fd));
        match opened {
            Ok(fd) => return Ok((BoxDir::new_without_data(store, id, fd), seed)),
            // Somebody takes it for a leftover: only after a leap of the clock, see `list`.
            Err(errno @ (Errno::NOENT | Errno::WOULDBLOCK)) => last = errno,
            Err(errno) => {
                files::remove_empty_dir(&store.root, &path).ok();
                return Err(store.error("open", &path, errno));
            }
        }
    }
    Err(store.error("make a directory in", "containers", last))
}

impl Claim {
    /// The name it got.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The box is made, its record and state are written: others may lock it now.
    pub fn commit(mut self) -> Result<BoxDir, StoreError> {
        self.armed = false;
        let dir = self.dir.clone();
        dir.unlock().map_err(|errno| StoreError::system("unlock", dir.path(), errno))?;
        Ok(dir)
    }

    /// Removes what was made, and says when that fails.
    pub fn abort(mut self) -> Result<(), StoreError> {
        self.armed = false;
        self.dismantle()
    }

    fn dismantle(&self) -> Result<(), StoreError> {
        self.dir.dismantle(self.name.as_deref().map_or(Names::Nothing, Names::One))
    }
}

impl Deref for Claim {
    type Target = BoxDir;

    fn deref(&self) -> &BoxDir {
        &self.dir
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.armed {
            // The error that counts is the one that made the start fail; what cannot be
            // removed now is swept up by a later `list`.
            self.dismantle().ok();
        }
    }
}
