//! Where boxr keeps things: the state root (gone after a reboot, as a rule) and the data root.
//!
//! | who | state | data |
//! |---|---|---|
//! | root | `/run/boxr` | `/var/lib/boxr` |
//! | others | `$XDG_RUNTIME_DIR/boxr` | `$XDG_DATA_HOME/boxr`, `~/.local/share/boxr` |
//!
//! `--state` and `--root` move either of them.
//!
//! *Root* is who may write `/run/boxr`, not who has user id 0: root of a user namespace who sees
//! the host's `/run` (boxr inside a box) may not, and gets the paths of the others. With the host's
//! `$XDG_RUNTIME_DIR` that is the store of the user who made the box; its boxes are listed, and as
//! their processes are numbered in another pid namespace they are shown as such and left alone.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::geteuid;

const ROOT_STATE: &str = "/run/boxr";
const ROOT_DATA: &str = "/var/lib/boxr";

/// The two directories everything is kept under; absolute, and not necessarily there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Names, states, sockets, FIFOs.
    pub state: PathBuf,
    /// Records and logs of kept boxes, images, volumes.
    pub data: PathBuf,
}

/// No usable directory.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// An empty `--state` or `--root`, or one that is relative to a directory that is gone.
    #[error("cannot use {path:?} as a directory for boxr's files: {source}")]
    Override {
        /// What was given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A directory in a place where anybody can make one, which is not ours alone.
    #[error("{path:?} is not safe to keep state in: {reason}")]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The fallback directory cannot be made or looked at.
    #[error("cannot make the state directory {path:?}: {source}")]
    Fallback {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Paths {
    /// Finds both roots for the calling user; `state` and `data` are what `--state` and `--root` say.
    pub fn find(state: Option<&Path>, data: Option<&Path>) -> Result<Self, PathsError> {
        let state = state.map(absolute).transpose()?;
        let data = data.map(absolute).transpose()?;
        let uid = geteuid().as_raw();
        if let (Some(state), Some(data)) = (&state, &data) {
            return Ok(Self { state: state.clone(), data: data.clone() });
        }
        if uid == 0 && root_paths_are_ours() {
            return Ok(Self {
                state: state.unwrap_or_else(|| ROOT_STATE.into()),
                data: data.unwrap_or_else(|| ROOT_DATA.into()),
            });
        }
        let state = match state {
            Some(state) => state,
            None => user_state(uid, directory_variable("XDG_RUNTIME_DIR"))?,
        };
        let data = data.unwrap_or_else(|| {
            user_data(directory_variable("XDG_DATA_HOME"), directory_variable("HOME"), &state)
        });
        Ok(Self { state, data })
    }
}

fn absolute(path: &Path) -> Result<PathBuf, PathsError> {
    std::path::absolute(path).map_err(|source| PathsError::Override { path: path.to_owned(), source })
}

/// The XDG specification says that a relative path in these variables is to be ignored.
fn directory_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value: &OsString| !value.is_empty())
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
}

/// Whether user id 0 really is the root that owns `/run`.
fn root_paths_are_ours() -> bool {
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    match rustix::fs::access(ROOT_STATE, wanted) {
        Ok(()) => true,
        Err(Errno::NOENT) => rustix::fs::access("/run", wanted).is_ok(),
        Err(_) => false,
    }
}

fn user_state(uid: u32, runtime_dir: Option<PathBuf>) -> Result<PathBuf, PathsError> {
    // Kept by `su` and `sudo`, the variable may name the directory of another user.
    let usable =
        |dir: &Path| rustix::fs::access(dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_ok();
    if let Some(dir) = runtime_dir.filter(|dir| usable(dir)) {
        return Ok(dir.join("boxr"));
    }
    let dir = PathBuf::from(format!("/run/user/{uid}"));
    if std::fs::symlink_metadata(&dir).is_ok_and(|found| found.is_dir() && found.uid() == uid) {
        return Ok(dir.join("boxr"));
    }
    private_directory(PathBuf::from(format!("/tmp/boxr-{uid}")), uid)
}

fn user_data(data_home: Option<PathBuf>, home: Option<PathBuf>, state: &Path) -> PathBuf {
    match (data_home, home) {
        (Some(dir), _) => dir.join("boxr"),
        (None, Some(home)) => home.join(".local/share/boxr"),
        // No home: what is kept lives as long as the state root does.
        (None, None) => state.join("data"),
    }
}

/// Makes `path`, or checks that what is there is a directory that nobody else can reach into:
/// in `/tmp` somebody else may have been faster.
fn private_directory(path: PathBuf, uid: u32) -> Result<PathBuf, PathsError> {
    match std::fs::DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(PathsError::Fallback { path, source }),
    }
    let found = match std::fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(source) => return Err(PathsError::Fallback { path, source }),
    };
    let reason = if !found.is_dir() {
        "it is not a directory"
    } else if found.uid() != uid {
        "it belongs to another user"
    } else if found.mode() & 0o077 != 0 {
        "other users have access to it (chmod 700 mends that)"
    } else {
        return Ok(path);
    };
    Err(PathsError::Unsafe { path, reason })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn overrides_win_and_become_absolute() {
        let paths = Paths::find(Some(Path::new("s")), Some(Path::new("/d"))).unwrap();
        assert_eq!(paths.state, std::env::current_dir().unwrap().join("s"));
        assert_eq!(paths.data, Path::new("/d"));
        assert!(matches!(Paths::find(Some(Path::new("")), None), Err(PathsError::Override { .. })));
    }

    #[test]
    fn data_follows_the_xdg_order() {
        let path = |p: &str| Some(PathBuf::from(p));
        let state = Path::new("/state");
        assert_eq!(user_data(path("/x"), path("/h"), state), Path::new("/x/boxr"));
        assert_eq!(user_data(None, path("/h"), state), Path::new("/h/.local/share/boxr"));
        assert_eq!(user_data(None, None, state), Path::new("/state/data"));
    }

    #[test]
    fn a_runtime_directory_that_is_there_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let uid = geteuid().as_raw();
        assert_eq!(user_state(uid, Some(dir.path().into())).unwrap(), dir.path().join("boxr"));
    }

    #[test]
    fn a_shared_place_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let uid = geteuid().as_raw();
        let path = dir.path().join("boxr-1");
        assert_eq!(private_directory(path.clone(), uid).unwrap(), path);
        assert_eq!(private_directory(path.clone(), uid).unwrap(), path);
        assert!(matches!(private_directory(path.clone(), uid + 1), Err(PathsError::Unsafe { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(private_directory(path.clone(), uid), Err(PathsError::Unsafe { .. })));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(private_directory(link, uid), Err(PathsError::Unsafe { .. })));
    }
}
