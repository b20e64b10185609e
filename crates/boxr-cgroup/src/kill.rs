//! Killing every process of a box, also one that forks as fast as it can.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::cgroup::{Cgroup, processes_below};
use crate::error::{Error, Result};
use crate::{file, wait};

/// How long a loop of signals may take to catch every process, where the kernel has no `cgroup.kill`.
const PATIENCE: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Kills every process in the box with SIGKILL. Where the kernel has `cgroup.kill` (5.14) this is
    /// one write, which a fork bomb cannot outrun; otherwise the box is frozen, signalled and thawed.
    /// The processes are on their way out afterwards: [`Cgroup::remove`] waits for them.
    /// A cgroup that is gone is fine.
    ///
    /// # Errors
    /// [`Error::NoCgroup`] where there never was one; [`Error::TimedOut`]; system errors.
    pub fn kill(&self) -> Result<()> {
        if let Some(directory) = &self.location().unified {
            let path = directory.join("cgroup.kill");
            match file::write_raw(&path, "1") {
                Ok(()) => return Ok(()),
                Err(Errno::NOENT | Errno::NODEV) if !file::exists(directory) => return Ok(()),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(file::system("write", &path, errno)),
            }
        }
        let Some(directory) = self.location().any() else { return Err(Error::NoCgroup { goal: "killed" }) };
        self.kill_by_signals(directory)
    }

    /// Frozen tasks can neither fork nor end, so that the list stays true while it is signalled.
    fn kill_by_signals(&self, directory: &Path) -> Result<()> {
        let frozen = match self.freeze(Duration::from_millis(500)) {
            Ok(()) => true,
            // Without a freezer, or with a task that cannot be stopped, the loop below does what it can.
            Err(Error::NoCgroup { .. } | Error::TimedOut { .. }) => false,
            Err(error) if error.is_gone() && !file::exists(directory) => return Ok(()),
            Err(error) => return Err(error),
        };
        let deadline = Instant::now() + PATIENCE;
        let result = signal_until_empty(directory, frozen, deadline);
        if frozen {
            self.thaw()?;
        }
        result
    }
}

fn signal_until_empty(directory: &Path, frozen: bool, deadline: Instant) -> Result<()> {
    loop {
        let found = hold(directory)?;
        for pidfd in &found {
            match rustix::process::pidfd_send_signal(pidfd, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(file::system("kill a process of", directory, errno)),
            }
        }
        if frozen || found.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::TimedOut {
                path: directory.to_path_buf(),
                goal: "empty",
                milliseconds: PATIENCE.as_millis() as u64,
            });
        }
        wait::until_empty(directory, deadline)?;
    }
}

/// Pidfds of the processes in `directory`. A number that was reused between reading and opening is
/// not in the second reading, and is left alone.
fn hold(directory: &Path) -> Result<Vec<OwnedFd>> {
    let mut held = Vec::new();
    for pid in processes_below(directory)? {
        if let Some(number) = Pid::from_raw(pid)
            && let Ok(pidfd) = rustix::process::pidfd_open(number, PidfdFlags::empty())
        {
            held.push((pid, pidfd));
        }
    }
    let still = processes_below(directory)?;
    Ok(held.into_iter().filter(|(pid, _)| still.contains(pid)).map(|(_, pidfd)| pidfd).collect())
}
