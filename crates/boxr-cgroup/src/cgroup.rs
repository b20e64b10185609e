//! The cgroups of one box that exist.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::plan::Plan;
use crate::{Location, file, remove, systemd};

/// The cgroups of one box.
#[derive(Debug)]
pub struct Cgroup {
    location: Location,
    unified: Option<OwnedFd>,
    /// What is still to be done when there is a process, for a scope of systemd's.
    waiting: Option<Box<Plan>>,
    /// Below the v2 directory: where the first process ends up.
    inner: Option<PathBuf>,
    /// Whether no process of the caller's may be born in the v2 one.
    closed: bool,
}

impl Cgroup {
    /// The cgroups at `location`. That they are gone is not an error: each operation says what
    /// it makes of that.
    ///
    /// # Errors
    /// When the v2 directory exists and cannot be opened.
    pub fn open(location: &Location) -> Result<Self> {
        let unified = match &location.unified {
            Some(path) => open_directory(path)?,
            None => None,
        };
        let closed = match (&location.unit, &location.unified) {
            (Some(unit), Some(directory)) => !unit.may_be_born_in(directory)?,
            _ => false,
        };
        Ok(Self { location: location.clone(), unified, waiting: None, inner: None, closed })
    }

    /// One that comes into being with its first process.
    pub(crate) fn waiting(plan: Plan) -> Self {
        let location = plan.location.clone();
        Self { location, unified: None, waiting: Some(Box::new(plan)), inner: None, closed: false }
    }

    /// Where they are. Of a scope of systemd's the directories are known when it has been
    /// [adopted](Cgroup::adopt): keep the location then.
    pub fn location(&self) -> &Location {
        &self.location
    }

    pub(crate) fn set_inner(&mut self, inner: Option<PathBuf>) {
        self.inner = inner;
    }

    pub(crate) fn inner(&self) -> Option<&Path> {
        self.inner.as_deref()
    }

    /// Name of the inner one of a scope that is not yet.
    pub(crate) fn inner_to_come(&self) -> Option<&str> {
        self.waiting.as_ref()?.delegate.as_deref()
    }

    /// The v2 directory, open and by its path.
    pub(crate) fn unified(&self) -> Option<(BorrowedFd<'_>, &Path)> {
        Some((self.unified.as_ref()?.as_fd(), self.location.unified.as_deref()?))
    }

    /// Whether [`Cgroup::adopt`] has to be called with a process before that goes on: it is not born
    /// inside, and cannot enter by itself.
    pub fn waits_for_process(&self) -> bool {
        self.waiting.is_some() || self.closed
    }

    /// Lets systemd make the scope around `pid`, the container's first process, which must not have
    /// begun its work; then writes limits as [`Plan::create`] does for others. Into a scope that is there
    /// already a further process is put, where its parent may not do that itself: an ordinary user outside
    /// of its manager's tree. Nothing is done where nothing [waits](Cgroup::waits_for_process).
    ///
    /// # Errors
    /// The step that failed. [`Cgroup::remove`] removes what was made.
    pub fn adopt(&mut self, pid: i32) -> Result<()> {
        match self.waiting.take() {
            Some(plan) => systemd::adopt(self, &plan, pid),
            None if self.closed => self.add_unified(pid),
            None => Ok(()),
        }
    }

    /// Takes note of where the scope turned out to be.
    pub(crate) fn settle(&mut self, location: Location) -> Result<()> {
        let inner = self.inner.take();
        *self = Self { inner, ..Self::open(&location)? };
        Ok(())
    }

    /// Descriptor for clone3(2)'s `CLONE_INTO_CGROUP`, where the box is in the v2 tree and does not
    /// [wait](Cgroup::waits_for_process).
    pub fn clone_into_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().filter(|_| !self.closed).map(AsFd::as_fd)
    }

    /// For clone3(2) again, when it would not have a further process in the v2 cgroup (EBUSY, EOPNOTSUPP):
    /// a container that manages cgroups itself has made that one a parent, which holds no processes. This is
    /// the cgroup below it in which the container's oldest process is; `None` where there is none.
    ///
    /// # Errors
    /// System errors.
    pub fn of_oldest_member(&self) -> Result<Option<OwnedFd>> {
        let (Some(leaf), Some(pid)) = (&self.location.unified, self.processes()?.into_iter().min()) else {
            return Ok(None);
        };
        let own = match Host::of_process(pid) {
            Ok(host) => host.unified.map(|unified| unified.own),
            // It has ended since.
            Err(error) if error.is_gone() => None,
            Err(error) => return Err(error),
        };
        match own.filter(|own| own.starts_with(leaf)) {
            Some(own) => open_directory(&own),
            None => Ok(None),
        }
    }

    /// Puts `pid` (0: the caller) into all of them.
    ///
    /// # Errors
    /// The first that refuses; the process stays in those that did not.
    pub fn add(&self, pid: i32) -> Result<()> {
        self.add_unified(pid)?;
        self.add_legacy(pid)
    }

    /// systemd may do it where the caller may not.
    fn add_unified(&self, pid: i32) -> Result<()> {
        let Some(unified) = &self.location.unified else { return Ok(()) };
        match (join(unified, pid), &self.location.unit) {
            (Err(Error::System { errno: Errno::ACCESS | Errno::PERM, .. }), Some(unit)) => {
                let pid = if pid == 0 { rustix::process::getpid().as_raw_nonzero().get() } else { pid };
                systemd::attach(unit, &[pid])
            }
            (result, _) => result,
        }
    }

    /// Puts `pid` (0: the caller) into the v1 ones only: for a process that was cloned into the v2 one.
    /// [`Cgroup::entrance`] is the fast way.
    ///
    /// # Errors
    /// As [`Cgroup::add`].
    pub fn add_legacy(&self, pid: i32) -> Result<()> {
        self.location.legacy_directories().into_iter().try_for_each(|directory| join(directory, pid))
    }

    /// Every process in the box, also those in cgroups that it made below its own; the order is the kernel's.
    ///
    /// # Errors
    /// When a list cannot be read; cgroups that are gone have no processes.
    pub fn processes(&self) -> Result<Vec<i32>> {
        match self.location.any() {
            Some(directory) => processes_below(directory),
            None => Ok(Vec::new()),
        }
    }

    /// Changes limits of a running box, and returns the location, which grows when a limit needs a v1
    /// controller that the box was not in: keep it. What `resources` do not name stays as it is; device rules
    /// are changed when there are some, and then `defaults` are allowed with them.
    ///
    /// # Errors
    /// As for [`Host::plan`](crate::Host::plan); nothing is changed by values that are refused beforehand.
    /// A refusal of the kernel's names the file; what was written before it stays.
    pub fn update(
        &mut self,
        resources: &LinuxResources,
        defaults: crate::DeviceDefaults,
    ) -> Result<&Location> {
        let location = crate::update::update(self, resources, defaults)?;
        if location != self.location {
            self.settle(location)?;
        }
        Ok(&self.location)
    }

    /// As [`Location::remove`].
    ///
    /// # Errors
    /// As [`Location::remove`].
    pub fn remove(self) -> Result<()> {
        self.location.remove()
    }

    /// As [`Cgroup::remove`], with a patience of the caller's.
    ///
    /// # Errors
    /// As [`Cgroup::remove`].
    pub fn remove_within(&self, patience: Duration) -> Result<()> {
        remove::remove_all(&self.location, patience)
    }
}

fn open_directory(path: &Path) -> Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(file::system("open", path, errno)),
    }
}

pub(crate) fn join(directory: &Path, pid: i32) -> Result<()> {
    let path = directory.join("cgroup.procs");
    file::write_raw(&path, &pid.to_string())
        .map_err(|errno| file::system("put the process into", &path, errno))
}

/// The processes in `directory` and in all cgroups below it.
pub(crate) fn processes_below(directory: &Path) -> Result<Vec<i32>> {
    let mut pids = file::processes_in(directory)?;
    for child in file::children(directory)? {
        pids.extend(processes_below(&child)?);
    }
    Ok(pids)
}
