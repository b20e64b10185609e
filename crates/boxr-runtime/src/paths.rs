//! Where boxr keeps things: the state root (gone after a reboot, as a rule) and the data root.
//!
//! | who | state | data |
//! |---|---|---|
//! | root | `/run/boxr` | `/var/lib/boxr` |
//! | others | `$XDG_RUNTIME_DIR/boxr`, `/run/user/UID/boxr` | `$XDG_DATA_HOME/boxr`, `~/.local/share/boxr` |
//!
//! `--state` and `--root` move either of them. Users without a runtime directory get
//! `/tmp/boxr-UID`, or `/dev/shm/boxr-UID` where no systemd-logind would empty that at a logout.
//! In a user namespace UID is the number outside, so that boxr finds the same store in a box and beside it.
//!
//! *Root* is who owns `/run`, not who has user id 0: root of a user namespace who sees the host's
//! `/run` (boxr inside a box) does not, and gets the paths of the others. With the host's
//! `$XDG_RUNTIME_DIR` that is the store of the user who made the box; its boxes are listed, and as
//! their processes are numbered in another pid namespace they are shown as such and left alone.
//!
//! *The state root is to be in memory.* A start makes and removes a directory, two files and a
//! symlink: 40 us on a tmpfs; on a disk mounted with `discard` and without a journal up to 6 ms, ten
//! times the rest of the start. Where `/run` is on a disk (containers, minimal virtual machines),
//! `/run/boxr` is made a symlink to a private directory in `/dev/shm`.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
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
        if uid == 0 && places().have_root_state(uid) {
            return Ok(Self {
                state: state.unwrap_or_else(|| ROOT_STATE.into()),
                data: data.unwrap_or_else(|| ROOT_DATA.into()),
            });
        }
        let state = match state {
            Some(state) => state,
            None => places().user_state(uid, directory_variable("XDG_RUNTIME_DIR"))?,
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

/// The directories the fixed paths are in; others under test.
struct Places<'a> {
    run: &'a Path,
    shm: &'a Path,
    tmp: &'a Path,
    /// `/proc/self/uid_map`
    uid_map: &'a Path,
}

fn places() -> Places<'static> {
    Places {
        run: Path::new("/run"),
        shm: Path::new("/dev/shm"),
        tmp: Path::new("/tmp"),
        uid_map: Path::new("/proc/self/uid_map"),
    }
}

impl Places<'_> {
    /// Whether user id 0 really is the root whose state is in `/run/boxr`; makes that if so. One
    /// system call when it is there.
    fn have_root_state(&self, uid: u32) -> bool {
        let path = self.run.join("boxr");
        if is_ours(&path, uid) {
            return true;
        }
        if rustix::fs::access(self.run, Access::WRITE_OK).is_err() {
            return false;
        }
        // A symlink to what a reboot has emptied, or to what somebody else has put there since.
        if std::fs::read_link(&path).is_ok() && std::fs::remove_file(&path).is_err() {
            return false;
        }
        if !is_memory(self.run)
            && let Some(memory) = self.memory_directory(uid, uid)
        {
            // Another boxr that does the same makes the same link.
            std::os::unix::fs::symlink(memory, &path).ok();
        }
        std::fs::DirBuilder::new().mode(0o700).create(&path).ok();
        is_ours(&path, uid)
    }

    /// `/dev/shm/boxr-NUMBER`, ours alone and in memory.
    fn memory_directory(&self, number: u32, uid: u32) -> Option<PathBuf> {
        let path = self.shm.join(format!("boxr-{number}"));
        (is_memory(self.shm) && private_directory(path.clone(), uid).is_ok()).then_some(path)
    }

    fn user_state(&self, uid: u32, runtime_dir: Option<PathBuf>) -> Result<PathBuf, PathsError> {
        // Kept by `su` and `sudo`, the variable may name the directory of another user.
        let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        if let Some(dir) = runtime_dir.filter(|dir| rustix::fs::access(dir, wanted).is_ok()) {
            return Ok(dir.join("boxr"));
        }
        // In a user namespace many are user 0: the directory has the number that others know.
        let number = std::fs::read_to_string(self.uid_map).map_or(uid, |map| id_outside(&map, uid));
        let dir = self.run.join("user").join(number.to_string());
        if std::fs::symlink_metadata(&dir).is_ok_and(|found| found.is_dir() && found.uid() == uid) {
            return Ok(dir.join("boxr"));
        }
        let fallback = self.tmp.join(format!("boxr-{number}"));
        if std::fs::symlink_metadata(&fallback).is_ok_and(|found| found.is_dir() && found.uid() == uid) {
            return private_directory(fallback, uid);
        }
        // logind.conf(5), RemoveIPC: what a user has in /dev/shm goes at the last logout.
        if !self.run.join("systemd/system").exists()
            && let Some(memory) = self.memory_directory(number, uid)
        {
            return Ok(memory);
        }
        private_directory(fallback, uid)
    }
}

/// What user `uid` is called one user namespace further out (user_namespaces(7), `uid_map`).
fn id_outside(map: &str, uid: u32) -> u32 {
    let extent = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (inside, outside, size) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        let offset = uid.checked_sub(inside).filter(|offset| *offset < size)?;
        outside.checked_add(offset)
    };
    map.lines().find_map(extent).unwrap_or(uid)
}

/// Whether `path` is, symlinks followed, a directory of `uid` that nobody else can write.
fn is_ours(path: &Path, uid: u32) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_dir() && found.uid() == uid && found.mode() & 0o022 == 0)
}

/// Whether `path` is on a filesystem in memory.
fn is_memory(path: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    rustix::fs::statfs(path).is_ok_and(|found| matches!(found.f_type, TMPFS | RAMFS))
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

    /// Places in a directory of the tests', and in memory where `memory` says so.
    fn with_places(memory: bool, test: impl FnOnce(&Places<'_>, u32)) {
        let dir = tempfile::tempdir().unwrap();
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        let disk = dir.path().join("shm");
        for made in [&disk, &dir.path().join("run"), &dir.path().join("tmp")] {
            std::fs::create_dir(made).unwrap();
        }
        let shm = if memory { shm.path() } else { &disk };
        let uid_map = dir.path().join("uid_map");
        let places =
            Places { run: &dir.path().join("run"), shm, tmp: &dir.path().join("tmp"), uid_map: &uid_map };
        test(&places, geteuid().as_raw());
    }

    #[test]
    fn users_get_their_runtime_directory() {
        with_places(true, |places, uid| {
            let dir = places.run.join("xdg");
            std::fs::create_dir(&dir).unwrap();
            assert_eq!(places.user_state(uid, Some(dir.clone())).unwrap(), dir.join("boxr"));
            let login = places.run.join("user").join(uid.to_string());
            std::fs::create_dir_all(&login).unwrap();
            let gone = Some(places.run.join("gone"));
            assert_eq!(places.user_state(uid, gone).unwrap(), login.join("boxr"));
        });
    }

    #[test]
    fn without_one_memory_is_preferred_unless_logind_empties_it() {
        with_places(true, |places, uid| {
            let (shm, tmp) = (format!("boxr-{uid}"), places.tmp.join(format!("boxr-{uid}")));
            assert_eq!(places.user_state(uid, None).unwrap(), places.shm.join(&shm));
            std::fs::create_dir_all(places.run.join("systemd/system")).unwrap();
            assert_eq!(places.user_state(uid, None).unwrap(), tmp);
            // Once used, it stays.
            std::fs::remove_dir_all(places.run.join("systemd")).unwrap();
            assert_eq!(places.user_state(uid, None).unwrap(), tmp);
        });
    }

    #[test]
    fn in_a_user_namespace_the_directory_has_the_outer_number() {
        assert_eq!(id_outside("         0          0 4294967295\n", 7), 7);
        assert_eq!(id_outside("0 4242 1\n1 100000 65536\n", 0), 4242);
        assert_eq!(id_outside("0 4242 1\n1 100000 65536\n", 5), 100_004);
        assert_eq!(id_outside("1 100000 65536\n", 0), 0);
        with_places(true, |places, uid| {
            std::fs::write(places.uid_map, format!("{uid} 4242 1\n")).unwrap();
            assert_eq!(places.user_state(uid, None).unwrap(), places.shm.join("boxr-4242"));
        });
    }

    #[test]
    fn a_run_directory_on_a_disk_is_led_to_memory() {
        with_places(true, |places, uid| {
            if is_memory(places.run) {
                // The tests' own directory is in memory: nothing is to be led anywhere.
                assert!(places.have_root_state(uid));
                assert!(places.run.join("boxr").symlink_metadata().unwrap().is_dir());
                return;
            }
            let memory = places.shm.join(format!("boxr-{uid}"));
            for _ in 0..2 {
                assert!(places.have_root_state(uid));
                assert_eq!(std::fs::read_link(places.run.join("boxr")).unwrap(), memory);
            }
            // After a reboot the link leads nowhere, or to what somebody else made first.
            std::fs::remove_dir(&memory).unwrap();
            assert!(places.have_root_state(uid));
            std::fs::set_permissions(&memory, std::fs::Permissions::from_mode(0o777)).unwrap();
            assert!(places.have_root_state(uid));
            assert!(places.run.join("boxr").symlink_metadata().unwrap().is_dir());
        });
    }

    #[test]
    fn a_run_directory_without_memory_beside_it_is_used() {
        with_places(false, |places, uid| {
            assert!(places.have_root_state(uid));
            assert!(places.run.join("boxr").symlink_metadata().unwrap().is_dir());
            assert!(!places.have_root_state(uid + 1));
        });
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
