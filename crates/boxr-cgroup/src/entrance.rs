//! Entering cgroups that a process cannot be born into, by itself.
//!
//! A process that another one moves into a v1 cgroup costs that one a grace period of the whole machine,
//! as nobody may fork or end meanwhile (8 to 10 ms on an idle machine of two processors). A process with one
//! thread that writes 0 into `tasks` moves nobody but itself, needs no such lock, and is in at once.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::file;
use crate::host::Host;

/// Open files of a container's cgroups, through which its first process enters them itself. They are
/// opened by the parent, whose permissions count; close-on-exec.
#[derive(Debug, Default)]
pub struct Entrance {
    legacy: Vec<(OwnedFd, PathBuf)>,
    inner: Inner,
}

/// The cgroup of `run.oci.delegate-cgroup`.
#[derive(Debug, Default)]
enum Inner {
    #[default]
    None,
    /// Below the cgroup in which the process finds itself when it is in its scope.
    Named(String),
    Open(OwnedFd, PathBuf),
}

impl Entrance {
    /// Whether there is nothing to enter.
    pub fn is_empty(&self) -> bool {
        self.legacy.is_empty() && matches!(self.inner, Inner::None)
    }

    /// Enters the v1 cgroups: to be called first by the process that is to be there, with one thread. What
    /// it clones afterwards is there too.
    ///
    /// # Errors
    /// The first that refuses.
    pub fn enter(&mut self) -> Result<()> {
        self.legacy.drain(..).try_for_each(|(fd, path)| write_self(&fd, &path))
    }

    /// Finds the cgroup of `run.oci.delegate-cgroup`, if there is one: to be called when
    /// [`Cgroup::adopt`] is done, and before the process makes its cgroup namespace.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find_inner(&mut self) -> Result<()> {
        if let Inner::Named(name) = &self.inner {
            let own = Host::detect()?.unified.ok_or(Error::NotMounted)?.own;
            self.inner = open_inner(own.join(name))?;
        }
        Ok(())
    }

    /// Enters that: to be called when the process has made its cgroup namespace, whose root is then the
    /// cgroup above.
    ///
    /// # Errors
    /// When it refuses.
    pub fn enter_inner(&mut self) -> Result<()> {
        match std::mem::take(&mut self.inner) {
            Inner::Open(fd, path) => write_self(&fd, &path),
            Inner::None | Inner::Named(_) => Ok(()),
        }
    }
}

fn open_inner(directory: PathBuf) -> Result<Inner> {
    let (fd, path) = open(directory.join("cgroup.procs"))?;
    Ok(Inner::Open(fd, path))
}

fn write_self(fd: &OwnedFd, path: &Path) -> Result<()> {
    file::write_to(fd, "0").map_err(|errno| file::system("enter", path, errno))
}

fn open(path: PathBuf) -> Result<(OwnedFd, PathBuf)> {
    match file::open_for_writing(&path) {
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
        let inner = match (self.inner(), self.inner_to_come()) {
            (Some(directory), _) => open_inner(directory.to_path_buf())?,
            (None, Some(name)) => Inner::Named(name.to_owned()),
            (None, None) => Inner::None,
        };
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
