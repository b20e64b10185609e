//! /dev/shm of a pod's members: POSIX shared memory belongs to the ipc namespace that they share (shm_overview(7)).
//!
//! A tmpfs of its own where boxr may mount one. An ordinary user may not on the host; there it is a directory in the state
//! root, which is a tmpfs as a rule, and its size is not bounded.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::outcome::EngineError;
use crate::store::PodDir;

/// Podman's and docker's.
const USUAL: u64 = 64 << 20;

/// Where it is.
pub(super) fn path(dir: &PodDir) -> PathBuf {
    dir.path().join("shm")
}

fn failed(path: &Path) -> impl Fn(Errno) -> EngineError {
    let path = path.display().to_string();
    move |errno| EngineError::system(format!("make the pod's shared memory at {path}"), errno)
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Makes it, empty.
///
/// # Errors
/// mkdir(2), mount(2).
pub(super) fn make(dir: &PodDir, size: Option<u64>, privileged: bool) -> Result<(), EngineError> {
    remove(dir)?;
    let path = path(dir);
    let failed = failed(&path);
    std::fs::create_dir(&path).map_err(|error| failed(errno(&error)))?;
    if privileged {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let options = format!("mode=1777,size={}", size.unwrap_or(USUAL));
        let options = CString::new(options).map_err(|_| failed(Errno::INVAL))?;
        return mount("shm", &path, "tmpfs", flags, Some(options.as_c_str())).map_err(failed);
    }
    let mode = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(&path, mode).map_err(|error| failed(errno(&error)))
}

/// Removes it with all that is in it.
///
/// # Errors
/// umount(2), unlink(2).
pub(super) fn remove(dir: &PodDir) -> Result<(), EngineError> {
    let path = path(dir);
    let failed = failed(&path);
    let Ok(found) = std::fs::symlink_metadata(&path) else { return Ok(()) };
    let above = std::fs::metadata(dir.path()).map_err(|error| failed(errno(&error)))?;
    if found.dev() != above.dev() {
        // Members that still have it mounted keep it.
        unmount(&path, UnmountFlags::DETACH).map_err(&failed)?;
    }
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| failed(Errno::INVAL))?;
    crate::store::remove_tree_of_user_at(&name).map_err(failed)
}
