//! Entering cgroups that a process cannot be born into, by itself.
//!
//! A process that another one moves into a v1 cgroup costs that one a grace period of the whole machine,
//! as nobody may fork or end meanwhile (8 to 10 ms on an idle machine of two processors). A process with one
//! thread that writes 0 into `tasks` moves nobody but itself, needs no such lock, and is in at once.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::cgroup::Cgroup;
use crate::error::Result;
use crate::file;

/// Open files of a container's cgroups, through which its first process enters them itself. They are
/// opened by the parent, whose permissions count; close-on-exec.
#[derive(Debug, Default)]
pub struct Entrance {
    legacy: Vec<(OwnedFd, PathBuf)>,
    inner: Option<(OwnedFd, PathBuf)>,
}

impl Entrance {
    /// Whether there is nothing to enter.
    pub fn is_empty(&self) -> bool {
        self.legacy.is_empty() && self.inner.is_none()
    }

    /// Enters the v1 cgroups: to be called first by the process that is to be there, with one thread.
    ///
    /// # Errors
    /// The first that refuses.
    pub fn enter(&self) -> Result<()> {
        self.legacy.iter().try_for_each(|(fd, path)| write_self(fd, path))
    }

    /// Enters the cgroup of `run.oci.delegate-cgroup`, if there is one: to be called when the process has
    /// made its cgroup namespace, whose root is then the cgroup above.
    ///
    /// # Errors
    /// When it refuses.
    pub fn enter_inner(&self) -> Result<()> {
        self.inner.iter().try_for_each(|(fd, path)| write_self(fd, path))
    }
}

fn write_self(fd: &OwnedFd, path: &Path) -> Result<()> {
    retry_on_intr(|| rustix::io::write(fd, b"0"))
        .map(drop)
        .map_err(|errno| file::system("enter", path, errno))
}

fn open(path: PathBuf) -> Result<(OwnedFd, PathBuf)> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    match retry_on_intr(|| rustix::fs::open(&path, flags, Mode::empty())) {
        Ok(fd) => Ok((fd, path)),
        Err(errno) => Err(file::system("open", &path, errno)),
    }
}

impl Cgroup {
    /// The way in for a process that was cloned with [`Cgroup::clone_into_fd`], made before that.
    ///
    /// # Errors
    /// When a cgroup is gone, or the caller may put no process into it.
    pub fn entrance(&self) -> Result<Entrance> {
        let directories = self.location().legacy_directories();
        let legacy = directories.into_iter().map(|directory| open(directory.join("tasks")));
        let inner = self.inner().map(|directory| open(directory.join("cgroup.procs"))).transpose()?;
        Ok(Entrance { legacy: legacy.collect::<Result<_>>()?, inner })
    }
}

/// Whether a process of the caller's may be born in `directory` of the v2 tree: whoever may not write
/// `cgroup.procs` of the common ancestor may not (cgroups(7)).
pub(crate) fn may_be_born_in(directory: &Path, own: &Path) -> bool {
    let common = directory.ancestors().find(|path| own.starts_with(path));
    common.is_none_or(|common| match file::writable(&common.join("cgroup.procs")) {
        true => true,
        false => {
            rustix::fs::access(common.join("cgroup.procs"), rustix::fs::Access::EXISTS) == Err(Errno::NOENT)
        }
    })
}
