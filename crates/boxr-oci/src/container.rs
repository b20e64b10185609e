//! What lies on disk of one container: its state, its specification, the socket it waits at.
//!
//! | file | |
//! |---|---|
//! | `state.json` | [`State`]; written whole, first before anything is made |
//! | `config.json` | the specification, as `create` read it |
//! | `start.sock` | there while the container waits for `start` |
//!
//! The directory is locked (flock(2)) while a command makes, starts or deletes the container.

use std::fs::Permissions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use boxr_cgroup::{Cgroup, Frozen, Location};
use boxr_runtime::identity::{Liveness, ProcessRef};
use boxr_runtime::intel_rdt::Leftovers;
use boxr_runtime::process::start::SOCKET;
use oci_spec::runtime::Spec;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::bundle::{self, read_whole};
use crate::error::Error;
use crate::store;

/// Version of `state.json`. A newer one is refused.
pub const FORMAT: u32 = 1;

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";

/// `state.json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// [`FORMAT`]
    pub format: u32,
    /// `ociVersion` of the specification.
    pub oci_version: String,
    /// Its id.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Its root on the host.
    pub rootfs: PathBuf,
    /// When it was made, in the form of RFC 3339.
    pub created: String,
    /// User id of whoever made it.
    pub owner: u32,
    /// The first process; `None` while there is none yet.
    pub process: Option<ProcessRef>,
    /// Whether it is in a user namespace of its own or of others.
    pub user_namespace: bool,
    /// Its cgroup.
    pub cgroup: Option<Location>,
    /// What of resctrl is removed with it.
    #[serde(default)]
    pub intel_rdt: Leftovers,
    /// Name of its session keyring, where it has one of its own.
    #[serde(default)]
    pub session_keyring: Option<String>,
}

/// What a container is doing, in the specification's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Being made by another boxr.
    Creating,
    /// Waits for `start`.
    Created,
    /// Its command runs.
    Running,
    /// Its processes are suspended.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    /// As the `state` operation says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }

    /// Whether there is a first process.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Created | Self::Running | Self::Paused)
    }
}

/// A container's directory.
#[derive(Debug)]
pub struct Container {
    path: PathBuf,
    dir: OwnedFd,
}

impl Container {
    /// Opens the directory of container `id`.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`]; [`Error::InvalidId`].
    pub fn open(root: &Path, id: &str) -> Result<Self, Error> {
        store::check_id(id)?;
        let path = root.join(id);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(dir) => Ok(Self { path, dir }),
            Err(Errno::NOENT) => Err(Error::NoSuchContainer),
            Err(errno) => Err(Error::at("open", path, errno)),
        }
    }

    /// Waits for the container's lock, which is held until this is dropped.
    ///
    /// # Errors
    /// flock(2); [`Error::NoSuchContainer`] when it was deleted meanwhile.
    pub fn lock(&self) -> Result<(), Error> {
        rustix::io::retry_on_intr(|| flock(&self.dir, FlockOperation::LockExclusive))
            .map_err(|errno| Error::at("lock", &self.path, errno))?;
        self.check_is_there()
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    /// As [`Container::lock`].
    pub fn try_lock(&self) -> Result<bool, Error> {
        match rustix::io::retry_on_intr(|| flock(&self.dir, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => self.check_is_there().map(|()| true),
            Err(Errno::AGAIN) => Ok(false),
            Err(errno) => Err(Error::at("lock", &self.path, errno)),
        }
    }

    /// A directory that was removed has no links.
    fn check_is_there(&self) -> Result<(), Error> {
        let found = rustix::fs::fstat(&self.dir).map_err(|errno| Error::at("look at", &self.path, errno))?;
        if found.st_nlink == 0 { Err(Error::NoSuchContainer) } else { Ok(()) }
    }

    /// Lets go of the lock.
    ///
    /// # Errors
    /// flock(2).
    pub fn unlock(&self) -> Result<(), Error> {
        flock(&self.dir, FlockOperation::Unlock).map_err(|errno| Error::at("unlock", &self.path, errno))
    }

    /// Where its directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory itself.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Whether a state was ever written.
    pub fn has_state(&self) -> bool {
        self.path.join(STATE).exists()
    }

    /// Reads the state. While another boxr makes the container it may have none yet.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`] without a state; [`Error::Config`] for one that is damaged or
    /// newer than this program.
    pub fn state(&self) -> Result<State, Error> {
        let path = self.path.join(STATE);
        let text = match read_whole(&path) {
            Err(Error::Io { errno: Errno::NOENT, .. }) => return Err(Error::NoSuchContainer),
            other => other?,
        };
        let wrong = |why: String| Error::Config { path: path.clone(), why };
        let state: State = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("{error}; delete --force removes the container")))?;
        if state.format > FORMAT {
            let why = format!("written by a newer boxr-oci (format {}, known is {FORMAT})", state.format);
            return Err(wrong(why));
        }
        Ok(state)
    }

    /// Writes the first state, which nobody reads while the container is locked and being made.
    ///
    /// # Errors
    /// The disk.
    pub fn write_first_state(&self, state: &State) -> Result<(), Error> {
        let path = self.path.join(STATE);
        write_private(&path, &encode(&path, state)?)
    }

    /// Writes the state: whole, or not at all.
    ///
    /// # Errors
    /// The disk.
    pub fn write_state(&self, state: &State) -> Result<(), Error> {
        let path = self.path.join(STATE);
        let text = encode(&path, state)?;
        let temporary = self.path.join("state.json.new");
        write_private(&temporary, &text)?;
        std::fs::rename(&temporary, &path).map_err(|error| Error::io("write", path, error))
    }

    /// Keeps the specification for later commands: the bundle's may change.
    ///
    /// # Errors
    /// The disk.
    pub fn write_config(&self, text: &[u8]) -> Result<(), Error> {
        write_private(&self.path.join(CONFIG), text)
    }

    /// The specification that the container was made from.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn spec(&self) -> Result<Spec, Error> {
        let path = self.path.join(CONFIG);
        let text = read_whole(&path)?;
        Ok(bundle::parse(&path, &text)?.value)
    }

    /// Whether it waits for `start`.
    pub fn waits(&self) -> bool {
        rustix::fs::accessat(&self.dir, SOCKET, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// Removes the sign that it waits.
    ///
    /// # Errors
    /// unlink(2).
    pub fn note_started(&self) -> Result<(), Error> {
        match rustix::fs::unlinkat(&self.dir, SOCKET, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::at("remove", self.path.join(SOCKET), errno)),
        }
    }

    /// What it is doing now.
    ///
    /// # Errors
    /// cgroup files.
    pub fn status(&self, state: &State) -> Result<Status, Error> {
        let Some(process) = &state.process else {
            // Whoever makes it holds the lock; if nobody does, they have been killed.
            return Ok(if self.is_locked()? { Status::Creating } else { Status::Stopped });
        };
        match process.liveness() {
            Liveness::Gone | Liveness::Zombie => Ok(Status::Stopped),
            _ if self.waits() => Ok(Status::Created),
            _ => Ok(if is_frozen(state)? { Status::Paused } else { Status::Running }),
        }
    }

    fn is_locked(&self) -> Result<bool, Error> {
        match flock(&self.dir, FlockOperation::NonBlockingLockShared) {
            Ok(()) => self.unlock().map(|()| false),
            Err(Errno::AGAIN) => Ok(true),
            Err(errno) => Err(Error::at("lock", &self.path, errno)),
        }
    }

    /// Removes the directory and all in it.
    ///
    /// # Errors
    /// The disk.
    pub fn remove(&self) -> Result<(), Error> {
        // What there usually is, without reading the directory.
        for name in [STATE, CONFIG] {
            match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) => {}
                Err(errno) => return Err(Error::at("remove", self.path.join(name), errno)),
            }
        }
        if rustix::fs::rmdir(&self.path).is_ok() {
            return Ok(());
        }
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.path, error))
            }
            _ => Ok(()),
        }
    }
}

fn encode(path: &Path, state: &State) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(state).map_err(|error| Error::Config { path: path.to_owned(), why: error.to_string() })
}

fn is_frozen(state: &State) -> Result<bool, Error> {
    match &state.cgroup {
        Some(location) => Ok(Cgroup::open(location)?.frozen()? != Frozen::No),
        None => Ok(false),
    }
}

pub(crate) fn write_private(path: &Path, text: &[u8]) -> Result<(), Error> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text)).map_err(|error| {
        // Half a file is worse than none; the first error is the one that counts.
        std::fs::remove_file(path).unwrap_or_default();
        Error::io("write", path, error)
    })
}

/// Writes the pid file that programs wait for: whole, since they read it as soon as it is there.
///
/// # Errors
/// The disk.
pub fn write_pid_file(path: &Path, pid: i32) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}"));
    write_private(&temporary, pid.to_string().as_bytes())?;
    // As runc's: others may read it.
    std::fs::set_permissions(&temporary, Permissions::from_mode(0o644))
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|error| {
            std::fs::remove_file(&temporary).unwrap_or_default();
            Error::io("write the pid file", path, error)
        })
}
