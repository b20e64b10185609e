//! One box's directory: reading, writing, locking, removing.

use std::ffi::{CStr, OsStr};
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::files::{self, Write};
use super::naming::Names;
use super::{Inner, StoreError, in_containers, restore};
use crate::events::{self, Action};
use crate::id::Id;
use crate::image::quota::Project;
use crate::image::ranges::Claimed;
use crate::options::Retention;
use crate::record::{FORMAT, Record, State, Status};

/// Whether to wait for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until whoever holds it is done.
    Yes,
    /// Not at all.
    No,
}

/// The directory of one box, open. A clone shares the descriptor, and with it the lock, as a forked
/// process does: one that is to lock for itself calls [`BoxDir::reopen`].
#[derive(Clone, Debug)]
pub struct BoxDir(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    store: Arc<Inner>,
    id: Id,
    fd: OwnedFd,
    /// Whether it has a data directory: one of the constants below.
    data: AtomicU8,
}

const DATA_UNKNOWN: u8 = 0;
const DATA_NO: u8 = 1;
const DATA_YES: u8 = 2;

/// The lock of a box, held until dropped. What changes more than one thing needs it.
#[derive(Debug)]
pub struct Lock<'a>(&'a BoxDir);

impl BoxDir {
    /// Opens the directory of `id`; `None` when there is none.
    pub(super) fn open(store: &Arc<Inner>, id: &Id) -> Result<Option<Self>, StoreError> {
        let path = in_containers(id.as_str());
        match files::open_dir(&store.root, &path) {
            Ok(fd) => Ok(Some(Self::from_fd(store, id.clone(), fd))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(store.error("open", &path, errno)),
        }
    }

    pub(super) fn from_fd(store: &Arc<Inner>, id: Id, fd: OwnedFd) -> Self {
        Self(Arc::new(Opened { store: store.clone(), id, fd, data: AtomicU8::new(DATA_UNKNOWN) }))
    }

    /// It was just made: there is no data directory unless [`BoxDir::make_data`] makes one.
    pub(super) fn new_without_data(store: &Arc<Inner>, id: Id, fd: OwnedFd) -> Self {
        let dir = Self::from_fd(store, id, fd);
        dir.0.data.store(DATA_NO, Relaxed);
        dir
    }

    /// The full id.
    pub fn id(&self) -> &Id {
        &self.0.id
    }

    /// The directory in the state root: sockets and FIFOs go here.
    pub fn path(&self) -> PathBuf {
        self.0.store.path(&in_containers(self.0.id.as_str()))
    }

    /// All boxes beside it.
    pub fn whole_store(&self) -> super::Store {
        super::Store::of(self.0.store.clone())
    }

    /// The roots that it is in.
    pub fn paths(&self) -> &crate::paths::Paths {
        &self.0.store.paths
    }

    /// The same, as a descriptor.
    pub fn dir_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }

    pub(super) fn store(&self) -> &Arc<Inner> {
        &self.0.store
    }

    /// The same directory with a lock of its own.
    pub fn reopen(&self) -> Result<Self, StoreError> {
        let fd = files::open_dir(self.dir_fd(), ".").map_err(|errno| self.error("open", "", errno))?;
        Ok(Self::from_fd(&self.0.store, self.0.id.clone(), fd))
    }

    /// Locks, waiting if told so; `None` when another holds it and `wait` is [`Wait::No`].
    pub fn lock(&self, wait: Wait) -> Result<Option<Lock<'_>>, StoreError> {
        let operation = match wait {
            Wait::Yes => FlockOperation::LockExclusive,
            Wait::No => FlockOperation::NonBlockingLockExclusive,
        };
        match rustix::io::retry_on_intr(|| rustix::fs::flock(self.dir_fd(), operation)) {
            Ok(()) => Ok(Some(Lock(self))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(self.error("lock", "", errno)),
        }
    }

    /// Locks if nobody else has.
    pub fn try_lock(&self) -> Result<Option<Lock<'_>>, StoreError> {
        self.lock(Wait::No)
    }

    /// Gives the lock back; also what dropping a [`Lock`] does.
    pub(super) fn unlock(&self) -> Result<(), Errno> {
        rustix::fs::flock(self.dir_fd(), FlockOperation::Unlock)
    }

    /// How the box is, as last written.
    pub fn read_state(&self) -> Result<State, StoreError> {
        self.find_state()?.ok_or_else(|| self.without_state())
    }

    /// The same; `None` when there is no state.
    pub(super) fn find_state(&self) -> Result<Option<State>, StoreError> {
        self.read("state.json")
    }

    /// Why there is none: the directory has been removed since it was opened, or is half-made.
    fn without_state(&self) -> StoreError {
        let id = &self.0.id;
        match rustix::fs::fstat(self.dir_fd()) {
            Ok(found) if found.st_nlink == 0 => {
                StoreError::NotFound { wanted: id.short().to_owned(), nearest: None }
            }
            _ => StoreError::NoState { id: id.clone() },
        }
    }

    /// What the box was made from.
    pub fn read_record(&self) -> Result<Record, StoreError> {
        let record = match self.read("record.json")? {
            None => self.read("data/record.json")?,
            record => record,
        };
        record.ok_or_else(|| self.without_state())
    }

    /// Writes the state. Hold the lock where another may write too. A kept box's is also written to
    /// its data directory, and is on the disk when it says [`Status::Exited`]. Where that copy fails
    /// the state is written nevertheless, and the error says what is not durable.
    pub fn write_state(&self, state: &State) -> Result<(), StoreError> {
        let bytes = self.encode("state.json", state)?;
        let mut durable = Ok(());
        if state.retention == Retention::Kept && self.has_data()? {
            let how = if state.status == Status::Exited { Write::Durable } else { Write::Replace };
            durable = self.write("data/state.json", &bytes, how);
        }
        self.write("state.json", &bytes, Write::Replace)?;
        durable
    }

    /// Writes the record. Hold the lock where another may write too.
    pub fn write_record<Options: Serialize>(&self, record: &Record<Options>) -> Result<(), StoreError> {
        let bytes = self.encode("record.json", record)?;
        if self.has_data()? {
            self.write("data/record.json", &bytes, Write::Replace)
        } else {
            self.write("record.json", &bytes, Write::New)
        }
    }

    /// Writes the record of a box that has one.
    pub fn replace_record(&self, record: &Record) -> Result<(), StoreError> {
        let bytes = self.encode("record.json", record)?;
        let path = if self.has_data()? { "data/record.json" } else { "record.json" };
        self.write(path, &bytes, Write::Replace)
    }

    /// Holds the ports of a box whose holder was killed.
    pub fn hold_ports(&self) -> crate::network::Held {
        crate::network::hold_again(&self.0.store.paths, &self.0.id)
    }

    /// Makes the record of a kept box survive a loss of power. Waits for the disk, so a
    /// monitor calls it once its box runs, rather than the start before.
    pub fn persist(&self) -> Result<(), StoreError> {
        let Some(data) = self.data_path()? else { return Ok(()) };
        let sync = |path: &Path| {
            std::fs::File::open(path).and_then(|file| file.sync_all()).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(StoreError::system("make durable", path, errno_of(&error))),
            })
        };
        sync(&data.join("record.json"))?;
        sync(&data.join("state.json"))?;
        sync(&data)?;
        data.parent().map_or(Ok(()), sync)
    }

    /// Where its logs, and a kept box's record, are; `None` when it has no such directory.
    pub fn data_path(&self) -> Result<Option<PathBuf>, StoreError> {
        match rustix::fs::readlinkat(self.dir_fd(), "data", Vec::new()) {
            Ok(target) => Ok(Some(PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes())))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error("read", "data", errno)),
        }
    }

    fn has_data(&self) -> Result<bool, StoreError> {
        let known = self.0.data.load(Relaxed);
        if known != DATA_UNKNOWN {
            return Ok(known == DATA_YES);
        }
        let found = self.data_path()?.is_some();
        self.0.data.store(if found { DATA_YES } else { DATA_NO }, Relaxed);
        Ok(found)
    }

    /// Makes the data directory and gives its path: done for kept boxes, and for detached ones,
    /// whose log is not to fill a memory filesystem. Before the record is written.
    pub fn make_data(&self) -> Result<PathBuf, StoreError> {
        if let Some(path) = self.data_path()? {
            return Ok(path);
        }
        let containers = self.0.store.paths.data.join("containers");
        let path = containers.join(self.0.id.as_str());
        // The link first: whoever finds the box finds what there is of its data.
        files::link(&path, self.dir_fd(), "data").map_err(|errno| self.error("make", "data", errno))?;
        self.0.data.store(DATA_YES, Relaxed);
        restore::make_directories(&path).map_err(|errno| StoreError::system("make", &path, errno))?;
        let home = path.join("home");
        files::link(&self.0.store.paths.state, rustix::fs::CWD, &home.to_string_lossy())
            .map_err(|errno| StoreError::system("make", home, errno))?;
        Ok(path)
    }

    /// Reads and decodes a file of the box; `None` when it is not there.
    pub(super) fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, StoreError> {
        let mut buffer = Vec::new();
        match files::read_whole(self.dir_fd(), path, &mut buffer) {
            Ok(bytes) => decode(bytes, || self.path().join(path)).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error("read", path, errno)),
        }
    }

    fn write(&self, path: &str, bytes: &[u8], how: Write) -> Result<(), StoreError> {
        files::write_whole(self.dir_fd(), path, bytes, how).map_err(|errno| self.error("write", path, errno))
    }

    fn encode(&self, path: &str, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(value)
            .map_err(|reason| StoreError::Encode { path: self.path().join(path), reason })
    }

    fn error(&self, action: &'static str, path: &str, errno: Errno) -> StoreError {
        StoreError::system(action, self.path().join(path), errno)
    }

    /// Removes all there is of the box; its lock is held. Steps that were done before are skipped.
    pub(super) fn dismantle(&self, names: Names<'_>) -> Result<(), StoreError> {
        let store = &self.0.store;
        store.release_names(names, &self.0.id)?;
        if self.has_data()? {
            self.remove_data()?;
        }
        for file in ["state.json", "record.json"] {
            files::remove_file(self.dir_fd(), file).map_err(|errno| self.error("remove", file, errno))?;
        }
        let path = in_containers(self.0.id.as_str());
        match files::remove_empty_dir(&store.root, &path) {
            Err(Errno::NOTEMPTY) => {
                let path = std::ffi::CString::new(path.as_str()).unwrap_or_default();
                files::remove_tree(store.root.as_fd(), &path)
            }
            done => done,
        }
        .map_err(|errno| store.error("remove", &path, errno))
    }

    /// Removes the data directory, its record first: without one it is not restored after a reboot.
    fn remove_data(&self) -> Result<(), StoreError> {
        let Some(path) = self.data_path()? else { return Ok(()) };
        // Only ever a directory of this id, whatever became of the link.
        if path.file_name() != Some(OsStr::new(self.0.id.as_str())) {
            return Ok(());
        }
        crate::volume::let_go(&self.0.store.paths, &self.0.id, &path)
            .map_err(|error| StoreError::Volume(Box::new(error)))?;
        let failed = |errno| StoreError::system("remove", &path, errno);
        let record = path.join("record.json");
        files::remove_file(rustix::fs::CWD, &record).map_err(failed)?;
        let path_c = std::ffi::CString::new(path.clone().into_os_string().into_vec()).unwrap_or_default();
        let ids = Claimed::of_leaving(&path, &self.path()).map_err(failed)?;
        let project = Project::of(&path);
        let images = crate::image::store_path(&self.0.store.paths);
        let let_go = |holder: &str| {
            let hold = boxr_image::store::hold_file(&images, holder);
            files::remove_file(rustix::fs::CWD, &hold).map_err(failed)
        };
        // Before the notes of them; nobody starts it without its record.
        let mounted = crate::image::mounted::holders(self.0.id.as_str(), &path);
        mounted.iter().try_for_each(|holder| let_go(holder))?;
        files::remove_tree_of_user(rustix::fs::CWD, &path_c).map_err(failed)?;
        if let Some(ids) = ids {
            ids.release(&self.0.store.paths.data, self.0.id.as_str(), &self.path()).map_err(failed)?;
        }
        if let Some(project) = project {
            project.release(&self.0.store.paths.data, self.0.id.as_str()).map_err(failed)?;
        }
        // Last: who is killed before leaves a hold that is seen to be nobody's.
        let_go(self.0.id.as_str())?;
        files::remove_file(self.dir_fd(), "data").map_err(|errno| self.error("remove", "data", errno))
    }
}

impl Lock<'_> {
    /// Reads the state, lets `change` change it, and writes it.
    pub fn update_state(&self, change: impl FnOnce(&mut State)) -> Result<State, StoreError> {
        let mut state = self.read_state()?;
        change(&mut state);
        self.write_state(&state)?;
        Ok(state)
    }

    /// Gives the box another name.
    pub fn rename(&self, name: &str) -> Result<State, StoreError> {
        let mut state = self.read_state()?;
        let old = std::mem::replace(&mut state.name, name.to_owned());
        if old == name {
            return Ok(state);
        }
        let store = self.store();
        store.claim_name(name, self.id())?;
        if let Err(error) = self.write_state(&state) {
            // What is recorded is the old name still, unless only the durable copy is: either way it is true.
            let recorded = self.read_state().map_or(old, |state| state.name);
            if recorded != name {
                store.release_names(Names::One(name), self.id())?;
            }
            return Err(error);
        }
        store.release_names(Names::One(&old), self.id())?;
        events::note_with(self.paths(), &state, Action::Rename, |event| {
            event.with("oldName", format!("/{old}"))
        });
        Ok(state)
    }

    /// Removes the box: its name, then its files, then its directories. What an earlier removal
    /// that was cut short has left is removed too. Neither processes nor cgroups are looked at.
    pub fn remove(&self) -> Result<(), StoreError> {
        match self.find_state() {
            Ok(Some(state)) => self.remove_known(&state),
            Ok(None) | Err(StoreError::Damaged { .. } | StoreError::TooNew { .. }) => self.remove_unknown(),
            Err(error) => Err(error),
        }
    }

    /// The same for whoever has the state: one file read less.
    pub fn remove_known(&self, state: &State) -> Result<(), StoreError> {
        if state.networked {
            self.release_network()?;
        }
        self.dismantle(Names::One(&state.name))?;
        events::note(self.paths(), state, Action::Destroy);
        Ok(())
    }

    /// The same where nobody knows what it was.
    pub(super) fn remove_unknown(&self) -> Result<(), StoreError> {
        self.release_network()?;
        self.dismantle(Names::Search)
    }

    /// Gives back what a box had of networks whose end a person waits for.
    pub fn leave_network(&self) -> Result<(), StoreError> {
        let networks = crate::network::networks(&self.0.store().paths);
        Ok(networks.detach_quickly(self.0.id().as_str())?)
    }

    /// Gives back what the box had of networks, if it had anything.
    pub fn release_network(&self) -> Result<(), StoreError> {
        Ok(crate::network::release(&self.0.store().paths, self.0.id())?)
    }
}

impl Deref for Lock<'_> {
    type Target = BoxDir;

    fn deref(&self) -> &BoxDir {
        self.0
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // It cannot fail on a descriptor that was locked; closing the descriptor unlocks as well.
        self.0.unlock().ok();
    }
}

/// Decodes one of our files. A newer format is told from damage.
pub(super) fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    path: impl FnOnce() -> PathBuf,
) -> Result<T, StoreError> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    match serde_json::from_slice::<T>(bytes) {
        Ok(value) => Ok(value),
        Err(reason) => match serde_json::from_slice::<Versioned>(bytes) {
            Ok(Versioned { format }) if format > FORMAT => Err(StoreError::TooNew { path: path(), format }),
            _ => Err(StoreError::Damaged { path: path(), reason }),
        },
    }
}

/// The number behind an error of the standard library.
pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// The id that a directory's name is.
pub(super) fn id_of(name: &CStr) -> Option<Id> {
    name.to_str().ok().and_then(Id::parse)
}
