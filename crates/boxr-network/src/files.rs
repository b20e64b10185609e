//! Files and directories of networks, by path; what is written is written whole.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use boxr_sys::file::read_whole;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::Error;

/// The error of a call on `path`.
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    let object = path.display().to_string();
    move |error| Error::system(doing, object.clone(), Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Makes a directory and those above it, private to the user.
pub(crate) fn make_dir(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make", path))
}

/// The names in a directory, sorted; none when it is not there. Temporary files are left out.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("read", path))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed("read", path))?.file_name();
        // What is not UTF-8 is not ours.
        names.extend(name.into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads a record; `None` when it is not there.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let mut buffer = Vec::new();
    let bytes = match read_whole(CWD, path, &mut buffer) {
        Err(Errno::NOENT) => return Ok(None),
        bytes => bytes.map_err(|errno| failed("read", path)(errno.into()))?,
    };
    let damaged =
        |reason: serde_json::Error| Error::Damaged { path: path.to_owned(), reason: reason.to_string() };
    serde_json::from_slice(bytes).map(Some).map_err(damaged)
}

/// What becomes of a record that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and writing fails with `EEXIST`.
    Keep,
    /// It is replaced.
    Replace,
}

/// Whether a loss of power may take what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// It is on the disk when this returns.
    Yes,
    /// A reboot makes it void anyway.
    No,
}

/// Writes a record whole: temporary file, then link or rename.
pub(crate) fn write(
    path: &Path,
    value: &impl Serialize,
    existing: Existing,
    lasting: Lasting,
) -> Result<(), Error> {
    let temporary = temporary(path);
    let bytes = serde_json::to_vec(value)
        .map_err(|reason| Error::Damaged { path: path.to_owned(), reason: reason.to_string() })?;
    let placed = put(&temporary, &bytes, lasting).and_then(|()| match existing {
        Existing::Replace => fs::rename(&temporary, path),
        Existing::Keep => {
            fs::hard_link(&temporary, path).inspect_err(|_| remove_quietly(&temporary))?;
            fs::remove_file(&temporary)
        }
    });
    placed.inspect_err(|_| remove_quietly(&temporary)).map_err(failed("write", path))?;
    if lasting == Lasting::Yes
        && let Some(dir) = path.parent()
    {
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("write", path))?;
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8], lasting: Lasting) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    if lasting == Lasting::Yes { file.sync_data() } else { Ok(()) }
}

/// A name beside it that no other process uses.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let pid = rustix::process::getpid().as_raw_nonzero();
    path.with_file_name(format!(".{name}.{pid}.{:x}", now.tv_sec * 1_000_000_000 + now.tv_nsec))
}

/// Removes the temporary files of writers that were killed; those of the living are left alone.
pub(crate) fn sweep(path: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed("read", path))?,
    };
    for entry in entries {
        let name = entry.map_err(failed("read", path))?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with('.')) else { continue };
        // `.NAME.PID.MOMENT`
        let mut parts = name.rsplit('.');
        let moment = parts.next().and_then(|moment| i64::from_str_radix(moment, 16).ok());
        let writer = parts.next().and_then(|pid| pid.parse::<u32>().ok());
        if let Some((pid, moment)) = writer.zip(moment)
            && !was_alive(pid, moment)
        {
            remove(&path.join(name))?;
        }
    }
    Ok(())
}

/// Whether the process that has this number now is the one that had it then, nanoseconds after boot.
fn was_alive(pid: u32, moment: i64) -> bool {
    // proc_pid_stat(5): ticks after boot, of which there are a hundred in a second.
    const TICK: i64 = 10_000_000;
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let fields = text.rsplit_once(')').map(|(_, fields)| fields.trim_start());
    // It has ended, and whoever is to wait for it has not done so yet.
    if fields.is_some_and(|fields| fields.starts_with(['Z', 'X'])) {
        return false;
    }
    let start = fields.and_then(|fields| fields.split_whitespace().nth(19)?.parse::<i64>().ok());
    start.is_none_or(|start| start.saturating_mul(TICK) <= moment)
}

/// The failure before is the one to report.
fn remove_quietly(path: &Path) {
    fs::remove_file(path).unwrap_or_default();
}

/// Removes a file; one that is not there is removed.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes an empty directory; one that is not there is removed.
pub(crate) fn remove_dir(path: &Path) -> Result<(), Error> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Who else may hold a lock meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Those who share it too.
    Shared,
    /// Nobody.
    Alone,
}

/// A lock on a directory (flock(2)), held until dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "closing it unlocks")] OwnedFd);

/// Waits for the lock of a directory; `None` when there is no such directory, or none any more.
pub(crate) fn lock(path: &Path, sharing: Sharing) -> Result<Option<Lock>, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let operation = match sharing {
        Sharing::Shared => FlockOperation::LockShared,
        Sharing::Alone => FlockOperation::LockExclusive,
    };
    let error = |errno| Error::system("lock", path.display().to_string(), errno);
    let dir = match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        dir => dir.map_err(error)?,
    };
    rustix::io::retry_on_intr(|| flock(&dir, operation)).map_err(error)?;
    let removed = rustix::fs::fstat(&dir).map_err(error)?.st_nlink == 0;
    Ok((!removed).then_some(Lock(dir)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_writers_have_left_is_swept_up() {
        let dir = tempfile::tempdir().unwrap();
        let own = temporary(&dir.path().join("one.json"));
        // Above the largest number that a process can have (proc_sys_kernel(5), pid_max).
        let dead = dir.path().join(".two.json.4194305.1a2b");
        // This process did not run that early.
        let reused = dir.path().join(format!(".three.json.{}.1", std::process::id()));
        for path in [&own, &dead, &reused, &dir.path().join("record.json"), &dir.path().join(".hidden")] {
            fs::write(path, "x").unwrap();
        }
        sweep(dir.path()).unwrap();
        assert!(own.exists() && !dead.exists() && !reused.exists());
        assert!(dir.path().join("record.json").exists() && dir.path().join(".hidden").exists());
        sweep(&dir.path().join("none")).unwrap();
    }

    #[test]
    fn what_a_writer_has_left_that_nobody_has_waited_for_is_swept_up() {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&child)), options).unwrap();
        let left = dir.path().join(format!(".one.json.{}.7fffffffffffffff", child.id()));
        fs::write(&left, "x").unwrap();
        sweep(dir.path()).unwrap();
        assert!(!left.exists());
        child.wait().unwrap();
    }
}
