//! Processes that cannot be mistaken for others: pid and start time, held by pidfd.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};

use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same number (ARCHITECTURE.md, "State on disk").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Pid in the host's (the caller's) pid namespace.
    pub pid: i32,
    /// Field 22 of proc_pid_stat(5), clock ticks since boot.
    pub start_time: u64,
}

/// What proc_pid_stat(5) says that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// `R`, `S`, `D`, `T`, `Z`…
    pub state: u8,
    /// Pid of the parent.
    pub parent: i32,
    /// Clock ticks since boot.
    pub start_time: u64,
}

/// Whether a process is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It runs, sleeps or is stopped.
    Alive,
    /// It is in uninterruptible sleep at this moment: on a device, a dead mount, or frozen.
    Blocked,
    /// It has ended and its parent has not noticed yet.
    Zombie,
    /// It has ended.
    Gone,
    /// There is a process with this number, and it cannot be said whether it is this one: it is
    /// hidden (`hidepid`), or seen from another time namespace, which shifts start times.
    Unclear,
}

/// A process cannot be looked at or held.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It is not there any more.
    #[error("process {pid} has ended")]
    Gone {
        /// Its pid.
        pid: i32,
    },
    /// The number belongs to another process now, or cannot be shown not to.
    #[error("process {pid} is not the one that was started at {expected} ticks after boot")]
    Another {
        /// The pid.
        pid: i32,
        /// The start time that was written down.
        expected: u64,
    },
    /// The system refused.
    #[error("cannot {action} process {pid}: {errno}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Its pid.
        pid: i32,
        /// The system's reason.
        errno: Errno,
    },
}

/// Reads the process table; `None` when no process has this pid.
pub fn stat(pid: i32) -> Result<Option<ProcessStat>, ProcessError> {
    // The fields up to the start time take at most about 400 bytes.
    let mut buffer = [0u8; 1024];
    let path = format!("/proc/{pid}/stat");
    let read = rustix::fs::openat(CWD, path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|file| rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer)));
    match read {
        Ok(length) => parse(&buffer[..length]).map(Some).ok_or(ProcessError::System {
            action: "understand the process table entry of",
            pid,
            errno: Errno::IO,
        }),
        // ESRCH: it ended between open and read.
        Err(Errno::NOENT | Errno::SRCH) => Ok(None),
        Err(errno) => Err(ProcessError::System { action: "look at", pid, errno }),
    }
}

/// The command's name, in parentheses, may contain parentheses and blanks; the fields follow the last one.
fn parse(line: &[u8]) -> Option<ProcessStat> {
    let end = line.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(&line[end + 1..]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    // Field 22; the two above were 3 and 4.
    let start_time = fields.nth(17)?.parse().ok()?;
    Some(ProcessStat { state, parent, start_time })
}

impl ProcessRef {
    /// The process which has this pid now; `None` when there is none.
    pub fn of(pid: i32) -> Result<Option<Self>, ProcessError> {
        Ok(stat(pid)?.map(|found| Self { pid, start_time: found.start_time }))
    }

    /// The calling process.
    pub fn current() -> Result<Self, ProcessError> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self::of(pid)?.ok_or(ProcessError::Gone { pid })
    }

    /// Looks whether it is there. Errors of the system count as [`Liveness::Unclear`].
    pub fn liveness(&self) -> Liveness {
        match stat(self.pid) {
            Ok(Some(found)) if found.start_time == self.start_time => match found.state {
                b'Z' | b'X' | b'x' => Liveness::Zombie,
                b'D' => Liveness::Blocked,
                _ => Liveness::Alive,
            },
            Ok(Some(_)) if start_times_are_shifted(self.pid) => Liveness::Unclear,
            Ok(Some(_)) => Liveness::Gone,
            Ok(None) if is_hidden(self.pid) => Liveness::Unclear,
            Ok(None) => Liveness::Gone,
            Err(_) => Liveness::Unclear,
        }
    }

    /// Whether it certainly is there and has not ended.
    pub fn is_alive(&self) -> bool {
        matches!(self.liveness(), Liveness::Alive | Liveness::Blocked)
    }

    /// Holds it. The descriptor is opened first and the start time compared after that: if it
    /// is right then, the number had not been given to another process when it was opened.
    pub fn open(&self) -> Result<OwnedFd, ProcessError> {
        let pid = self.pid;
        let raw = Pid::from_raw(pid).ok_or(ProcessError::Gone { pid })?;
        let held = pidfd_open(raw, PidfdFlags::empty()).map_err(|errno| match errno {
            Errno::SRCH => ProcessError::Gone { pid },
            errno => ProcessError::System { action: "hold", pid, errno },
        })?;
        match stat(pid)? {
            Some(found) if found.start_time == self.start_time => Ok(held),
            Some(_) => Err(ProcessError::Another { pid, expected: self.start_time }),
            None => Err(ProcessError::Gone { pid }),
        }
    }
}

/// /proc may hide processes of others (`hidepid=`, proc(5)); signals still find them.
fn is_hidden(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// Start times are shown in the reader's time namespace (time_namespaces(7)): where the reader or
/// the process is in one with an offset, a differing start time proves nothing.
fn start_times_are_shifted(pid: i32) -> bool {
    has_boottime_offset("/proc/self/timens_offsets")
        || has_boottime_offset(&format!("/proc/{pid}/timens_offsets"))
}

fn has_boottime_offset(path: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else { return false };
    text.lines()
        .filter_map(|line| line.strip_prefix("boottime"))
        .any(|rest| rest.split_ascii_whitespace().any(|number| number != "0"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_hostile_command_name_does_not_confuse() {
        let line = b"7 (a) R 1 (b) S 42 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 2\n";
        assert_eq!(parse(line), Some(ProcessStat { state: b'S', parent: 42, start_time: 12345 }));
        assert_eq!(parse(b"7 (a) S 42"), None);
    }

    #[test]
    fn the_caller_is_alive_and_can_be_held() {
        let me = ProcessRef::current().unwrap();
        assert!(me.is_alive());
        me.open().unwrap();
        let other = ProcessRef { start_time: me.start_time + 1, ..me };
        assert_eq!(other.liveness(), Liveness::Gone);
        assert!(matches!(other.open(), Err(ProcessError::Another { .. })));
    }

    #[test]
    fn an_ended_child_is_a_zombie_and_then_gone() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let process = ProcessRef::of(child.id() as i32).unwrap().unwrap();
        assert!(process.is_alive());
        let held = process.open().unwrap();
        drop(child.stdin.take());
        let mut fds = [rustix::event::PollFd::new(&held, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).unwrap();
        assert_eq!(process.liveness(), Liveness::Zombie);
        child.wait().unwrap();
        assert_eq!(process.liveness(), Liveness::Gone);
        assert!(matches!(process.open(), Err(ProcessError::Gone { .. })));
    }
}
