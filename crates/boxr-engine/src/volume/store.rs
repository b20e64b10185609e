//! All volumes of one user.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_image::nothing;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{FORMAT, NewVolume, Volume, VolumeError, VolumeName};
use crate::events::{Action, Event, Journal, Kind};
use crate::id::Id;
use crate::paths::Paths;
use crate::store::files::{self, Write};

/// Whether a volume was made or was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New,
    /// It was there, and is as it was.
    Existing,
}

/// The directory of all volumes.
#[derive(Debug)]
pub struct Volumes {
    path: PathBuf,
    containers: PathBuf,
    dir: OwnedFd,
    /// Whether it is missing where nothing can be made: it looks empty.
    is_missing: bool,
}

/// A volume whose lock is held until this is dropped.
struct Held(OwnedFd);

impl Volumes {
    /// Opens it, making it if it is missing; where nothing can be written there are none.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub fn open(paths: &Paths) -> Result<Self, VolumeError> {
        let path = paths.data.join("volumes");
        let failed = |errno| VolumeError::System { action: "open", path: path.clone(), errno };
        let open = || files::open_dir(CWD, &path);
        let (dir, is_missing) = match open() {
            Err(Errno::NOENT) => match crate::store::make_directories(&path) {
                Err(Errno::ROFS) => (nothing::directory(), true),
                made => (made.and_then(|()| open()), false),
            },
            dir => (dir, false),
        };
        let containers = paths.data.join("containers");
        Ok(Self { dir: dir.map_err(failed)?, containers, path, is_missing })
    }

    /// Makes a volume, unless there is one of this name. Without a name it gets a random one.
    ///
    /// # Errors
    /// Options that boxr cannot give; what the system refuses.
    pub fn create(
        &self,
        name: Option<&VolumeName>,
        new: NewVolume,
    ) -> Result<(VolumeName, Created), VolumeError> {
        super::check_options(&new.options)?;
        let random = Id::random().map_err(|errno| self.error("make", "", errno))?.0;
        let name = match name {
            Some(name) => name.clone(),
            None => VolumeName::parse(random.as_str())?,
        };
        if self.read(&name).is_ok() {
            return Ok((name, Created::Existing));
        }
        if self.is_missing {
            return Err(VolumeError::System { action: "make", path: self.path.clone(), errno: Errno::ROFS });
        }
        self.sweep()?;
        let failed = |errno| self.error("make", name.as_str(), errno);
        let (draft, held) = self.begin_draft().map_err(failed)?;
        let made = fill(&held, &name, new).and_then(|()| {
            let renamed = rustix::fs::renameat_with(
                &self.dir,
                &draft,
                &self.dir,
                name.as_str(),
                RenameFlags::NOREPLACE,
            );
            renamed.and_then(|()| rustix::fs::fsync(&self.dir))
        });
        if made.is_err() {
            self.remove_tree(&draft).map_err(failed)?;
        }
        match made {
            Ok(()) => {
                self.note(&name, Action::Create);
                Ok((name, Created::New))
            }
            Err(Errno::EXIST) => Ok((name, Created::Existing)),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// A directory under a name of nobody's, its lock held.
    fn begin_draft(&self) -> Result<(String, Held), Errno> {
        loop {
            let draft = format!(".new-{}", Id::random()?.0.short());
            files::make_dir(&self.dir, &draft)?;
            let dir = match files::open_dir(&self.dir, &draft) {
                Err(Errno::NOENT) => continue,
                dir => dir?,
            };
            lock(&dir, FlockOperation::LockExclusive)?;
            // Until it was locked it looked like one that was left: another may have swept it up.
            if rustix::fs::fstat(&dir)?.st_nlink > 0 {
                return Ok((draft, Held(dir)));
            }
        }
    }

    /// What a volume is.
    ///
    /// # Errors
    /// [`VolumeError::Missing`], [`VolumeError::Damaged`]
    pub fn read(&self, name: &VolumeName) -> Result<Volume, VolumeError> {
        let file = format!("{name}/volume.json");
        let mut buffer = Vec::new();
        let bytes = match files::read_whole(self.dir.as_fd(), file.as_str(), &mut buffer) {
            Ok(bytes) => bytes,
            Err(Errno::NOENT) if self.open_volume(name).is_err() => {
                return Err(VolumeError::Missing(name.clone()));
            }
            Err(errno) => return Err(self.error("read", &file, errno)),
        };
        serde_json::from_slice(bytes)
            .map_err(|error| VolumeError::Damaged { path: self.path.join(&file), reason: error.to_string() })
    }

    /// The names of all, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(&self) -> Result<Vec<VolumeName>, VolumeError> {
        let mut names = Vec::new();
        self.each(|text| names.extend(VolumeName::parse(text).ok()))?;
        names.sort();
        Ok(names)
    }

    fn each(&self, mut visit: impl FnMut(&str)) -> Result<(), VolumeError> {
        let dir =
            files::open_dir(&self.dir, Path::new(".")).map_err(|errno| self.error("list", "", errno))?;
        let listed = files::each_entry(dir.as_fd(), |name| {
            name.to_str().into_iter().for_each(&mut visit);
            true
        });
        listed.map_err(|errno| self.error("list", "", errno))
    }

    /// Where its files are; what [`Volume::device`] names is elsewhere.
    pub fn data(&self, name: &VolumeName) -> PathBuf {
        self.path.join(name.as_str()).join("_data")
    }

    /// Notes that the box `id` has it.
    ///
    /// # Errors
    /// It has gone meanwhile.
    pub(crate) fn hold(&self, name: &VolumeName, id: &Id) -> Result<(), VolumeError> {
        let dir = self.lock_volume(name, FlockOperation::LockShared)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let file = format!("holds/{}", id.as_str());
        let made = rustix::fs::openat(&dir.0, file.as_str(), flags, Mode::RUSR | Mode::WUSR);
        made.map(drop).map_err(|errno| self.error("hold", name.as_str(), errno))
    }

    /// The box `id` has it no more.
    ///
    /// # Errors
    /// The note cannot be removed.
    pub(crate) fn let_go(&self, name: &VolumeName, id: &Id) -> Result<(), VolumeError> {
        let file = format!("{name}/holds/{}", id.as_str());
        files::remove_file(&self.dir, file.as_str())
            .map_err(|errno| self.error("let go of", name.as_str(), errno))
    }

    /// The ids of the boxes that have it.
    ///
    /// # Errors
    /// Its directory cannot be read.
    pub fn users(&self, name: &VolumeName) -> Result<Vec<Id>, VolumeError> {
        let dir = self.open_volume(name)?;
        self.users_in(&dir, name)
    }

    fn users_in(&self, dir: &OwnedFd, name: &VolumeName) -> Result<Vec<Id>, VolumeError> {
        let failed = |errno| self.error("list the users of", name.as_str(), errno);
        let mut ids = Vec::new();
        let holds = match files::open_dir(dir, Path::new("holds")) {
            Err(Errno::NOENT) => return Ok(ids),
            holds => holds.map_err(failed)?,
        };
        files::each_entry(holds.as_fd(), |entry| {
            ids.extend(entry.to_str().ok().and_then(Id::parse));
            true
        })
        .map_err(failed)?;
        // A box that was killed while it was made or removed has none.
        ids.retain(|id| self.containers.join(id.as_str()).exists());
        Ok(ids)
    }

    /// Removes a volume that no box has.
    ///
    /// # Errors
    /// [`VolumeError::InUse`], [`VolumeError::Missing`]
    pub fn remove(&self, name: &VolumeName) -> Result<(), VolumeError> {
        let held = self.lock_volume(name, FlockOperation::LockExclusive)?;
        let users = self.users_in(&held.0, name)?;
        if !users.is_empty() {
            let users = users.iter().map(|id| id.short().to_owned()).collect();
            return Err(VolumeError::InUse { name: name.clone(), users });
        }
        let failed = |errno| self.error("remove", name.as_str(), errno);
        let gone = format!(".gone-{}", Id::random().map_err(failed)?.0.short());
        files::rename(self.dir.as_fd(), name.as_str(), &gone).map_err(failed)?;
        self.note(name, Action::Destroy);
        self.remove_tree(&gone).map_err(failed)
    }

    fn note(&self, name: &VolumeName, action: Action) {
        let event = Event::new(Kind::Volume, action, name.as_str()).with("driver", "local");
        // It stands beside the events.
        self.path
            .parent()
            .into_iter()
            .for_each(|data| Journal::below(data).note(std::slice::from_ref(&event)));
    }

    /// Removes what is half made or half removed, and nobody is at.
    ///
    /// # Errors
    /// The directory cannot be read, or what is left not be removed.
    pub fn sweep(&self) -> Result<(), VolumeError> {
        let mut left = Vec::new();
        self.each(|name| {
            let is_left = name.starts_with(".new-") || name.starts_with(".gone-");
            left.extend(is_left.then(|| name.to_owned()));
        })?;
        for name in left {
            let Ok(dir) = files::open_dir(&self.dir, Path::new(&name)) else { continue };
            if rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
                self.remove_tree(&name).map_err(|errno| self.error("remove", &name, errno))?;
            }
        }
        Ok(())
    }

    fn remove_tree(&self, name: &str) -> Result<(), Errno> {
        let name = std::ffi::CString::new(name).map_err(|_| Errno::INVAL)?;
        files::remove_tree_of_user(self.dir.as_fd(), &name)
    }

    fn open_volume(&self, name: &VolumeName) -> Result<OwnedFd, VolumeError> {
        files::open_dir(&self.dir, Path::new(name.as_str())).map_err(|errno| match errno {
            Errno::NOENT => VolumeError::Missing(name.clone()),
            errno => self.error("open", name.as_str(), errno),
        })
    }

    /// Locks a volume that is still there when the lock is had.
    fn lock_volume(&self, name: &VolumeName, how: FlockOperation) -> Result<Held, VolumeError> {
        let failed = |errno| self.error("lock", name.as_str(), errno);
        let dir = self.open_volume(name)?;
        lock(&dir, how).map_err(failed)?;
        let now = rustix::fs::statat(&self.dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        let held = rustix::fs::fstat(&dir).map_err(failed)?;
        match now {
            Ok(now) if (now.st_dev, now.st_ino) == (held.st_dev, held.st_ino) => Ok(Held(dir)),
            Ok(_) | Err(Errno::NOENT) => Err(VolumeError::Missing(name.clone())),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn error(&self, action: &'static str, path: &str, errno: Errno) -> VolumeError {
        VolumeError::System { action, path: self.path.join(path), errno }
    }
}

/// Makes what a volume has in its directory.
fn fill(dir: &Held, name: &VolumeName, new: NewVolume) -> Result<(), Errno> {
    let Held(dir) = dir;
    files::make_dir(dir, "_data")?;
    rustix::fs::chmodat(dir, "_data", Mode::from_raw_mode(0o755), AtFlags::empty())?;
    let volume = Volume {
        format: FORMAT,
        name: name.clone(),
        created: files::nanoseconds(),
        anonymous: new.anonymous,
        labels: new.labels,
        options: new.options,
    };
    if let Some(given) = volume.given() {
        given.apply(dir, "_data")?;
    }
    files::make_dir(dir, "holds")?;
    let text = serde_json::to_vec(&volume).map_err(|_| Errno::INVAL)?;
    files::write_whole(dir.as_fd(), "volume.json", &text, Write::Durable)
}

fn lock(dir: &OwnedFd, how: FlockOperation) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| rustix::fs::flock(dir, how))
}
