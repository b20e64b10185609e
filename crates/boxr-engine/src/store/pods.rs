//! The pods of one user: directories, names, locks (`pod`).
//!
//! ```text
//! STATE/pods/ID/                 one directory per pod, locked with flock(2)
//!     state.json                 how it is; one without is being made, or half gone
//!     shm/                       /dev/shm of its members
//!     data -> DATA/pods/ID
//! STATE/names/NAME -> ID         pods and boxes have one space of names
//! DATA/pods/ID/                  what a reboot leaves
//!     record.json                what it is
//!     home -> STATE              the state root it belongs to
//! ```
//!
//! A pod comes to be as directory, lock, name, data, record, state; and goes the other way round, the record before
//! everything else of its data. A box's lock comes before its pod's, and nobody holds those of two pods.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FlockOperation};
use rustix::io::Errno;
use serde::{Serialize, de::DeserializeOwned};

use super::dir::{decode, id_of};
use super::files::{self, Write};
use super::naming::Names;
use super::resolve::only_one;
use super::{Inner, Store, StoreError, restore};
use crate::id::Id;
use crate::image::ranges::Claimed;
use crate::names;
use crate::pod::{PodRecord, PodState};

/// Where the directory of pod `id` is, relative to the state root.
fn in_pods(id: &str) -> String {
    format!("pods/{id}")
}

/// How a pod's directory is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Together with others: its namespaces stay as they are meanwhile.
    Shared,
    /// Alone.
    Alone,
    /// Alone, if nobody else has it.
    TryAlone,
}

/// The directory of one pod, open.
#[derive(Debug)]
pub struct PodDir {
    store: Arc<Inner>,
    id: Id,
    fd: OwnedFd,
}

/// The lock of a pod, given back when dropped.
#[derive(Debug)]
pub struct PodLock {
    /// Opened for this lock alone, so that closing it gives the lock back, whoever else was forked meanwhile.
    fd: OwnedFd,
}

/// A pod that is being made. Dropped without [`PodClaim::commit`], it takes with it all that was made.
#[derive(Debug)]
pub struct PodClaim {
    dir: PodDir,
    name: Option<String>,
    lock: Option<PodLock>,
}

impl Store {
    /// Makes the directory of a new pod, locks it, and claims `name`, or a made-up name.
    ///
    /// # Errors
    /// The name is in use; the directories cannot be made.
    pub fn create_pod(&self, name: Option<&str>) -> Result<PodClaim, StoreError> {
        if let Some(name) = name {
            names::check(name).map_err(|reason| StoreError::InvalidName { name: name.to_owned(), reason })?;
        }
        // Where STATE is new, what a reboot left is put back first.
        self.0.containers()?;
        files::ensure_dir(&self.0.root, "pods").map_err(|errno| self.0.error("make", "pods", errno))?;
        let (id, seed) = Id::random()
            .map_err(|errno| StoreError::system("get random numbers from", "/dev/urandom", errno))?;
        let path = in_pods(id.as_str());
        files::make_dir(&self.0.root, &path).map_err(|errno| self.0.error("make", &path, errno))?;
        let dir = PodDir::open(&self.0, &id)?.ok_or_else(|| self.0.error("open", &path, Errno::NOENT))?;
        let lock = dir.lock(Hold::TryAlone)?;
        let mut claim = PodClaim { dir, name: None, lock };
        claim.name = Some(match name {
            Some(name) => self.0.claim_name(name, &id).map(|()| name.to_owned())?,
            None => self.0.claim_made_up_name(seed, &id)?,
        });
        claim.dir.make_data()?;
        Ok(claim)
    }

    /// Finds the pod that `wanted` means: a full id, else a name, else the beginning of one id only.
    ///
    /// # Errors
    /// [`StoreError::NoPod`]; the beginning of several.
    pub fn resolve_pod(&self, wanted: &str) -> Result<PodDir, StoreError> {
        let ids = self.0.pod_ids()?;
        if let Some(id) = ids.iter().find(|id| id.as_str() == wanted)
            && let Some(dir) = PodDir::open(&self.0, id)?
        {
            return Ok(dir);
        }
        if names::check(wanted).is_ok()
            && let Some(id) = self.0.holder(wanted)?
            && let Some(dir) = PodDir::open(&self.0, &id)?
        {
            return Ok(dir);
        }
        let found = only_one(wanted, ids)?;
        let found = found.map(|id| PodDir::open(&self.0, &id)).transpose()?.flatten();
        found.ok_or_else(|| StoreError::NoPod { wanted: wanted.to_owned() })
    }

    /// The ids of all pods, also of those that are half made or half gone.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn all_pods(&self) -> Result<Vec<Id>, StoreError> {
        self.0.pod_ids()
    }

    /// All pods that are whole, the oldest first. What killed commands left of others goes.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn pods(&self) -> Result<Vec<(PodDir, PodRecord, PodState)>, StoreError> {
        let mut found = Vec::new();
        for id in self.0.pod_ids()? {
            let Some(dir) = PodDir::open(&self.0, &id)? else { continue };
            match (dir.read_state(), dir.read_record()) {
                (Ok(Some(state)), Ok(record)) => found.push((dir, record, state)),
                // Half made or half gone. Whatever speaks against it leaves it where it is.
                _ => drop(dir.sweep()),
            }
        }
        found.sort_by_key(|(_, record, _)| record.created);
        Ok(found)
    }
}

impl Inner {
    fn pod_ids(self: &Arc<Self>) -> Result<Vec<Id>, StoreError> {
        self.containers()?;
        let dir = match files::open_dir(&self.root, "pods") {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            dir => dir.map_err(|errno| self.error("open", "pods", errno))?,
        };
        let mut ids = Vec::new();
        files::each_entry(dir.as_fd(), |name| {
            ids.extend(id_of(name));
            true
        })
        .map_err(|errno| self.error("list", "pods", errno))?;
        Ok(ids)
    }

    /// Whether there is a directory of a pod of this id.
    pub(super) fn is_pod(&self, id: &Id) -> Result<bool, StoreError> {
        let path = in_pods(id.as_str());
        match rustix::fs::statat(&self.root, path.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.error("look at", &path, errno)),
        }
    }

    /// Removes what a killed command left of a pod, if it did; whether its name is free then.
    pub(super) fn sweep_pod(self: &Arc<Self>, id: &Id) -> Result<bool, StoreError> {
        PodDir::open(self, id)?.map_or(Ok(true), |dir| dir.sweep())
    }
}

impl PodDir {
    pub(super) fn open(store: &Arc<Inner>, id: &Id) -> Result<Option<Self>, StoreError> {
        let path = in_pods(id.as_str());
        match files::open_dir(&store.root, &path) {
            Ok(fd) => Ok(Some(Self { store: store.clone(), id: id.clone(), fd })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(store.error("open", &path, errno)),
        }
    }

    /// The full id.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Its directory in the state root.
    pub fn path(&self) -> PathBuf {
        self.store.path(&in_pods(self.id.as_str()))
    }

    /// All boxes and pods beside it.
    pub fn whole_store(&self) -> Store {
        Store::of(self.store.clone())
    }

    /// Where what outlives a reboot is.
    pub fn data_path(&self) -> PathBuf {
        self.store.paths.data.join("pods").join(self.id.as_str())
    }

    fn dir_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Locks it; `None` only where [`Hold::TryAlone`] finds it locked.
    ///
    /// # Errors
    /// The pod has been removed; the system refuses.
    pub fn lock(&self, how: Hold) -> Result<Option<PodLock>, StoreError> {
        let operation = match how {
            Hold::Shared => FlockOperation::LockShared,
            Hold::Alone => FlockOperation::LockExclusive,
            Hold::TryAlone => FlockOperation::NonBlockingLockExclusive,
        };
        let failed = |errno| self.error("lock", "", errno);
        let fd = files::open_dir(self.dir_fd(), ".").map_err(failed)?;
        match rustix::io::retry_on_intr(|| rustix::fs::flock(&fd, operation)) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            done => done.map_err(failed)?,
        }
        match rustix::fs::fstat(&fd) {
            // Removed by whoever had the lock before.
            Ok(found) if found.st_nlink == 0 => Err(StoreError::NoPod { wanted: self.id.short().to_owned() }),
            _ => Ok(Some(PodLock { fd })),
        }
    }

    fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, StoreError> {
        let mut buffer = Vec::new();
        match files::read_whole(self.dir_fd(), path, &mut buffer) {
            Ok(bytes) => decode(bytes, || self.path().join(path)).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error("read", path, errno)),
        }
    }

    fn write(&self, path: &str, value: &impl Serialize, how: Write) -> Result<(), StoreError> {
        let full = || self.path().join(path);
        let bytes =
            serde_json::to_vec(value).map_err(|reason| StoreError::Encode { path: full(), reason })?;
        files::write_whole(self.dir_fd(), path, &bytes, how).map_err(|errno| self.error("write", path, errno))
    }

    /// How it is, as last written; `None` while it is made, or when it is gone.
    ///
    /// # Errors
    /// The file cannot be understood.
    pub fn read_state(&self) -> Result<Option<PodState>, StoreError> {
        self.read("state.json")
    }

    /// Writes how it is. Hold the lock alone.
    ///
    /// # Errors
    /// The disk is full.
    pub fn write_state(&self, state: &PodState) -> Result<(), StoreError> {
        self.write("state.json", state, Write::Replace)
    }

    /// What it is.
    ///
    /// # Errors
    /// It is gone, or the file cannot be understood.
    pub fn read_record(&self) -> Result<PodRecord, StoreError> {
        let gone = || StoreError::NoPod { wanted: self.id.short().to_owned() };
        self.read("data/record.json")?.ok_or_else(gone)
    }

    /// Writes what it is, on the disk too.
    ///
    /// # Errors
    /// The disk is full.
    pub fn write_record(&self, record: &PodRecord) -> Result<(), StoreError> {
        self.write("data/record.json", record, Write::Durable)
    }

    fn error(&self, action: &'static str, path: &str, errno: Errno) -> StoreError {
        StoreError::system(action, self.path().join(path), errno)
    }

    fn make_data(&self) -> Result<(), StoreError> {
        let path = self.data_path();
        // The link first: whoever finds the pod finds what there is of its data.
        files::link(&path, self.dir_fd(), "data").map_err(|errno| self.error("make", "data", errno))?;
        restore::make_directories(&path).map_err(|errno| StoreError::system("make", &path, errno))?;
        let home = path.join("home");
        files::link(&self.store.paths.state, CWD, &home.to_string_lossy())
            .map_err(|errno| StoreError::system("make", home, errno))
    }

    /// Removes what is left of one that is half made or half gone; whether that was so, and it is gone.
    fn sweep(&self) -> Result<bool, StoreError> {
        let lock = match self.lock(Hold::TryAlone) {
            Err(StoreError::NoPod { .. }) => return Ok(true),
            lock => lock?,
        };
        let Some(lock) = lock else { return Ok(false) };
        let is_whole = self.read_state()?.is_some() && self.read_record().is_ok();
        if is_whole || !self.is_old()? {
            return Ok(false);
        }
        crate::pod::clear(self)?;
        self.dismantle(&lock, None).map(|()| true)
    }

    /// Its maker needs some microseconds between making the directory and locking it.
    fn is_old(&self) -> Result<bool, StoreError> {
        let found = rustix::fs::fstat(&self.fd).map_err(|errno| self.error("look at", "", errno))?;
        let changed = found.st_mtime.saturating_mul(1_000_000_000).saturating_add(found.st_mtime_nsec as i64);
        Ok((files::nanoseconds() - changed).abs() > super::list::HALF_MADE_AGE)
    }

    /// Removes all files of the pod, and its name. Processes, mounts and cgroups have gone before.
    ///
    /// # Errors
    /// The system refuses; it can be done again.
    pub fn dismantle(&self, _alone: &PodLock, name: Option<&str>) -> Result<(), StoreError> {
        let store = &self.store;
        store.release_names(name.map_or(Names::Search, Names::One), &self.id)?;
        let data = self.data_path();
        let failed = |errno| StoreError::system("remove", &data, errno);
        files::remove_file(CWD, data.join("record.json")).map_err(failed)?;
        let ids = Claimed::of_leaving(&data, &self.path()).map_err(failed)?;
        remove_tree(CWD, &data).map_err(failed)?;
        if let Some(ids) = ids {
            ids.release(&store.paths.data, self.id.as_str(), &self.path()).map_err(failed)?;
        }
        files::remove_file(self.dir_fd(), "state.json").map_err(|errno| self.error("remove", "", errno))?;
        let path = in_pods(self.id.as_str());
        remove_tree(store.root.as_fd(), Path::new(&path)).map_err(|errno| store.error("remove", &path, errno))
    }
}

/// Also what members of an ordinary user's pod have written as others.
fn remove_tree(at: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
    use std::os::unix::ffi::OsStrExt;
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    files::remove_tree_of_user(at, &path)
}

impl PodLock {
    /// Goes on with the pod shared. Another may have it alone in between: look again.
    ///
    /// # Errors
    /// flock(2).
    pub fn share(self) -> Result<Self, Errno> {
        rustix::io::retry_on_intr(|| rustix::fs::flock(&self.fd, FlockOperation::LockShared))?;
        Ok(self)
    }
}

impl PodClaim {
    /// The name it got.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Its directory.
    pub fn dir(&self) -> &PodDir {
        &self.dir
    }

    /// Writes what it is and how it is: from then on there is such a pod.
    ///
    /// # Errors
    /// The disk is full; nothing is left.
    pub fn commit(mut self, record: &PodRecord, state: &PodState) -> Result<(), StoreError> {
        self.dir.write_record(record)?;
        self.dir.write_state(state)?;
        self.lock = None;
        Ok(())
    }
}

impl Drop for PodClaim {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            // What made it fail is what is reported; a later listing sweeps the rest up.
            self.dir.dismantle(lock, Some(self.name.as_deref().unwrap_or(""))).unwrap_or_default();
        }
    }
}

/// Puts the pods back that a reboot has left, into a state root that is new.
pub(super) fn restore_pods(store: &Inner, root: &OwnedFd) -> Result<(), StoreError> {
    let kept = store.paths.data.join("pods");
    let dir = match files::open_dir(CWD, &kept) {
        Err(Errno::NOENT) => return Ok(()),
        dir => dir.map_err(|errno| StoreError::system("list", &kept, errno))?,
    };
    let mut ids = Vec::new();
    files::each_entry(dir.as_fd(), |name| {
        ids.extend(id_of(name));
        true
    })
    .map_err(|errno| StoreError::system("list", &kept, errno))?;
    for id in ids {
        let data = kept.join(id.as_str());
        // The data directory may serve several state roots (`--state`).
        if std::fs::read_link(data.join("home")).is_ok_and(|home| home == store.paths.state) {
            restore_pod(store, root, &id, &data)?;
        }
    }
    Ok(())
}

fn restore_pod(store: &Inner, root: &OwnedFd, id: &Id, data: &Path) -> Result<(), StoreError> {
    let path = in_pods(id.as_str());
    let failed = |errno| store.error("restore", &path, errno);
    let mut buffer = Vec::new();
    let record = files::read_whole(CWD, data.join("record.json"), &mut buffer);
    let Ok(bytes) = record else {
        return remove_tree(CWD, data).map_err(|errno| StoreError::system("remove", data, errno));
    };
    let record: PodRecord = decode(bytes, || data.join("record.json"))?;
    files::ensure_dir(root, "pods").map_err(failed)?;
    files::ensure_dir(root, &path).map_err(failed)?;
    let link = |target: &Path, name: &str| match files::link(target, root, name) {
        Err(Errno::EXIST) => Ok(()),
        done => done.map_err(failed),
    };
    link(data, &format!("{path}/data"))?;
    if names::check(&record.name).is_ok() {
        link(Path::new(id.as_str()), &super::in_names(&record.name))?;
    }
    let encode = |reason| StoreError::Encode { path: store.path(&path), reason };
    let bytes = serde_json::to_vec(&PodState::new(id)).map_err(encode)?;
    files::write_whole(root.as_fd(), &format!("{path}/state.json"), &bytes, Write::New).map_err(failed)
}
