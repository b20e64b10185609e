//! Where a path leads for a process of the box, and what its caller might do there on the host.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, StatVfsMountFlags, fstatvfs, openat2, stat,
};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

/// Where a path leads.
#[derive(Debug)]
pub(super) struct Place {
    /// Without links, from the root that the process has. The last name may be of nothing.
    pub path: PathBuf,
    /// Whether something is there.
    pub exists: bool,
    /// Whether it is on a mount that nobody can write.
    pub read_only: bool,
}

impl Place {
    /// As the process `pid` sees it; `None` where that cannot be seen from here.
    pub fn of(pid: u32, path: &Path, itself: bool) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty()).ok()?;
        let below = path.strip_prefix("/").ok()?;
        match look(&root, below, itself) {
            Ok(found) => Self::at(&found, None),
            Err(Errno::NOENT) => {
                let (dir, name) = below.parent().zip(below.file_name())?;
                Self::at(&look(&root, dir, false).ok()?, Some(Path::new(name)))
            }
            Err(_) => None,
        }
    }

    fn at(found: &OwnedFd, missing: Option<&Path>) -> Option<Self> {
        use std::os::fd::AsRawFd;
        let link = format!("/proc/self/fd/{}", found.as_raw_fd());
        let path = rustix::fs::readlink(link, Vec::new()).ok()?;
        let path = PathBuf::from(std::ffi::OsString::from_vec(path.into_bytes()));
        let read_only = fstatvfs(found).ok()?.f_flag.contains(StatVfsMountFlags::RDONLY);
        let path = missing.map_or_else(|| path.clone(), |name| path.join(name));
        path.is_absolute().then_some(Self { path, exists: missing.is_none(), read_only })
    }
}

fn look(root: &OwnedFd, below: &Path, itself: bool) -> Result<OwnedFd, Errno> {
    let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
    let flags = OFlags::PATH | OFlags::CLOEXEC | if itself { OFlags::NOFOLLOW } else { OFlags::empty() };
    openat2(root, below, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Whether boxr's caller may change the file itself: what is in it, its mode or its times.
pub(super) fn may_change(path: &Path) -> bool {
    stat(path).is_ok_and(|found| may_write(&found) && is_writable_mount(path))
}

/// Whether boxr's caller may make and remove names in a directory.
pub(super) fn may_change_names(dir: &Path) -> bool {
    let is_dir = |found: &Stat| FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    stat(dir).is_ok_and(|found| is_dir(&found) && may_write(&found) && is_writable_mount(dir))
        && rustix::fs::accessat(CWD, dir, rustix::fs::Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

fn is_writable_mount(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| !found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// By the mode alone, as in a sandbox nobody has capabilities.
fn may_write(found: &Stat) -> bool {
    let bits = match (found.st_uid == geteuid().as_raw(), is_of_own_group(found.st_gid)) {
        (true, _) => found.st_mode >> 6,
        (false, true) => found.st_mode >> 3,
        (false, false) => found.st_mode,
    };
    bits & 0o2 != 0
}

fn is_of_own_group(gid: u32) -> bool {
    gid == getegid().as_raw()
        || !geteuid().is_root()
            && rustix::process::getgroups().is_ok_and(|groups| groups.iter().any(|own| own.as_raw() == gid))
}
