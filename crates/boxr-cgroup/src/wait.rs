//! Waiting on the kernel: on `cgroup.events` in version 2, on the processes themselves in version 1.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::error::Result;
use crate::file;

/// How long is left, for poll(2); `None` when nothing is.
fn left(deadline: Instant) -> Option<Timespec> {
    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    Some(Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) })
}

/// Waits until `key` has `value` in the `cgroup.events` of `directory`; `false` when `deadline` came first.
/// A cgroup that is gone has what was waited for.
pub(crate) fn event(directory: &Path, key: &str, value: u64, deadline: Instant) -> Result<bool> {
    let path = directory.join("cgroup.events");
    let fd = match rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NODEV) => return Ok(true),
        Err(errno) => return Err(file::system("read", &path, errno)),
    };
    loop {
        // The read also arms the notification: kernfs wakes on what changed after it.
        let mut buffer = [0u8; 256];
        let count = match rustix::io::retry_on_intr(|| rustix::io::pread(&fd, &mut buffer, 0)) {
            Ok(count) => count,
            Err(Errno::NODEV) => return Ok(true),
            Err(errno) => return Err(file::system("read", &path, errno)),
        };
        let text = String::from_utf8_lossy(&buffer[..count]);
        if file::keyed(&text, key) == Some(value) {
            return Ok(true);
        }
        let Some(timeout) = left(deadline) else { return Ok(false) };
        poll(&fd, PollFlags::PRI, &timeout, &path)?;
    }
}

/// Waits until something may have changed about `directory` having processes; `false` at the deadline.
pub(crate) fn until_empty(directory: &Path, deadline: Instant) -> Result<bool> {
    if file::exists(&directory.join("cgroup.events")) {
        return event(directory, "populated", 0, deadline);
    }
    let Some(timeout) = left(deadline) else { return Ok(false) };
    for pid in file::processes_in(directory)? {
        let Some(pid) = Pid::from_raw(pid) else { continue };
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => {
                poll(&pidfd, PollFlags::IN, &timeout, directory)?;
                return Ok(true);
            }
            Err(_) => continue,
        }
    }
    // Nobody left to wait on, and still busy: the last task is on its way out of the kernel.
    pause(Duration::from_millis(1));
    Ok(true)
}

fn poll(fd: &OwnedFd, flags: PollFlags, timeout: &Timespec, path: &Path) -> Result<()> {
    let mut fds = [PollFd::new(fd, flags)];
    match rustix::event::poll(&mut fds, Some(timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(file::system("wait on", path, errno)),
    }
}

/// Lets others run where version 1 has nothing to wait on.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
