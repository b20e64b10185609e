//! Processes of boxr's own that run beside containers, for as long as these need them.
//!
//! Each is a fork of boxr, nobody's child, that holds the lock of a file for as long as it lives, so that there is one,
//! and writes its pid there. Who looks whether there is one shares the lock for a moment: what cannot be shared is held
//! by such a process. A file without a holder means nothing.

use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::{fd, pidfd, signal, title};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Starts one, and returns when it has told how that went: by [`tell`].
pub(crate) fn start(be: impl FnOnce(OwnedFd) -> Result<(), Errno>) -> Result<(), Errno> {
    let (hear, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match clone3(0, None, Parent::Caller)? {
        Cloned::Child => match clone3(0, None, Parent::Caller) {
            // Nobody's child, so that nobody has to wait for it.
            Ok(Cloned::Child) => exit_now(u8::from(be(tell).is_err())),
            Ok(Cloned::Parent { .. }) => exit_now(0),
            Err(_) => exit_now(1),
        },
        Cloned::Parent { pidfd, .. } => {
            drop(tell);
            pidfd::reap(pidfd.as_fd(), true)?;
            hear_outcome(&hear)
        }
    }
}

/// In it: lets go of everything of its starter's but `keep`, which comes back in its order, and takes a name with what it is for.
pub(crate) fn settle(comm: &CStr, whose: &str, keep: Vec<OwnedFd>) -> Result<Vec<OwnedFd>, Errno> {
    rustix::process::setsid()?;
    let kept = fd::close_all_but_these(keep)?;
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    for number in 0..3 {
        fd::place(null.as_fd(), number)?;
    }
    signal::set_mask(&signal::nothing_blocked())?;
    title::set(comm, &format!("{} {whose}", comm.to_string_lossy()))?;
    Ok(kept)
}

/// In it: tells its starter, who may be dead, how its start went.
pub(crate) fn tell(to: OwnedFd, outcome: Result<(), Errno>) -> Result<(), Errno> {
    let code = outcome.err().map_or(0, Errno::raw_os_error);
    rustix::io::write(&to, &code.to_ne_bytes()).map(|_| ())
}

/// What it says of its start; an end without a word is a failure.
fn hear_outcome(hear: &OwnedFd) -> Result<(), Errno> {
    let mut code = [0u8; 4];
    match rustix::io::retry_on_intr(|| rustix::io::read(hear, &mut code))? {
        4 => match i32::from_ne_bytes(code) {
            0 => Ok(()),
            code => Err(Errno::from_raw_os_error(code)),
        },
        _ => Err(Errno::CHILD),
    }
}

/// The file whose lock such a process holds.
#[derive(Debug)]
pub(crate) struct Post {
    /// Where it is.
    pub path: PathBuf,
    /// What the process is called.
    pub comm: &'static CStr,
}

impl Post {
    /// Whether one holds it. Only who starts one makes the file: it is in the way of a removal.
    pub(crate) fn is_held(&self, make: OFlags) -> Result<bool, Errno> {
        let file = self.open(make)?;
        Ok(!lock_at_once(&file, FlockOperation::NonBlockingLockShared)?)
    }

    fn open(&self, make: OFlags) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | make;
        openat(CWD, &self.path, flags, Mode::from_raw_mode(0o600))
    }

    /// In such a process: takes it; `None` where another one has it.
    pub(crate) fn take(&self) -> Result<Option<OwnedFd>, Errno> {
        let file = self.open(OFlags::empty())?;
        loop {
            match take(&file)? {
                Held::Us => return Ok(Some(file)),
                Held::Another => return Ok(None),
                // Two or three calls, and it is over.
                Held::Lookers => std::thread::yield_now(),
            }
        }
    }

    /// Those that live: the holder, and its standby where it has one.
    pub(crate) fn pids(&self) -> Vec<i32> {
        match self.is_held(OFlags::empty()) {
            Ok(true) => self.noted().collect(),
            _ => Vec::new(),
        }
    }

    fn noted(&self) -> impl Iterator<Item = i32> + use<> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let numbers: Vec<i32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        numbers.into_iter()
    }

    /// Ends the holder, if there is one: what it had is free when this returns.
    pub(crate) fn end(&self) -> Result<(), Errno> {
        self.free(Signal::KILL)
    }

    /// Asks the holder to give up the lock and what nobody else can have meanwhile; it may go on with the rest. One that
    /// does not do so in time is ended.
    pub(crate) fn retire(&self) -> Result<(), Errno> {
        self.free(Signal::TERM)
    }

    fn free(&self, how: Signal) -> Result<(), Errno> {
        // A holder that has just taken it has not written its pid yet.
        for _ in 0..PATIENCE {
            let Some(holder) = self.holder()? else { return Ok(()) };
            if let Some(holder) = holder {
                return self.send(&holder, how);
            }
            pause(None)?;
        }
        Err(Errno::TIMEDOUT)
    }

    /// The process that holds it, once it has said which it is.
    fn holder(&self) -> Result<Option<Option<OwnedFd>>, Errno> {
        let is_held = || match self.is_held(OFlags::empty()) {
            Err(Errno::NOENT) => Ok(false),
            found => found,
        };
        if !is_held()? {
            return Ok(None);
        }
        let noted = self.noted().next();
        let opened = noted.and_then(Pid::from_raw).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
        // It may be of an earlier holder, whose number is another's by now.
        let is_called = |pid: i32| {
            let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
            comm.trim_ascii_end() == self.comm.to_bytes()
        };
        let is_its = noted.is_some_and(is_called) && self.noted().next() == noted && is_held()?;
        match opened {
            Some(Ok(pidfd)) if is_its => Ok(Some(Some(pidfd))),
            None | Some(Ok(_) | Err(Errno::SRCH)) => Ok(Some(None)),
            Some(Err(errno)) => Err(errno),
        }
    }

    fn send(&self, holder: &OwnedFd, how: Signal) -> Result<(), Errno> {
        let kill = || match pidfd_send_signal(holder, Signal::KILL) {
            Err(Errno::SRCH) => Ok(()),
            done => done.and_then(|()| pidfd::wait_for_end(holder.as_fd())),
        };
        if how == Signal::KILL {
            return kill();
        }
        match pidfd_send_signal(holder, how) {
            Err(Errno::SRCH) => return Ok(()),
            sent => sent?,
        }
        for _ in 0..PATIENCE {
            match self.is_held(OFlags::empty()) {
                Ok(false) | Err(Errno::NOENT) => return Ok(()),
                held => held?,
            };
            pause(Some(holder))?;
        }
        kill()
    }
}

/// So many milliseconds are waited for what takes much less.
const PATIENCE: usize = 1000;

/// A millisecond, or until a process ends.
fn pause(process: Option<&OwnedFd>) -> Result<(), Errno> {
    let millisecond = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let mut fds: Vec<PollFd<'_>> =
        process.into_iter().map(|process| PollFd::new(process, PollFlags::IN)).collect();
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&millisecond))).map(|_| ())
}

/// Who holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Us,
    /// Another such process.
    Another,
    /// Somebody who looks whether there is one, for a moment.
    Lookers,
}

/// Tries to take it: who only looks shares it, so that what cannot be shared is such a process's.
fn take(file: &OwnedFd) -> Result<Held, Errno> {
    if lock_at_once(file, FlockOperation::NonBlockingLockExclusive)? {
        return Ok(Held::Us);
    }
    if !lock_at_once(file, FlockOperation::NonBlockingLockShared)? {
        return Ok(Held::Another);
    }
    flock(file, FlockOperation::Unlock).map(|()| Held::Lookers)
}

fn lock_at_once(file: &OwnedFd, how: FlockOperation) -> Result<bool, Errno> {
    match flock(file, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// So that it can be found, and its standby. Always of one length, so that one write takes the place of another: whoever
/// reads never finds a number of each.
pub(crate) fn note_pids(lock: &OwnedFd, standby: Option<Pid>) -> Result<(), Errno> {
    let standby = standby.map_or_else(String::new, |pid| pid.to_string());
    let text = format!("{:<10} {standby:<10}\n", rustix::process::getpid());
    rustix::io::pwrite(lock, text.as_bytes(), 0).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(dir: &tempfile::TempDir) -> Post {
        Post { path: dir.path().join("blue"), comm: c"boxr-tested" }
    }

    #[test]
    fn numbers_take_the_place_of_others_at_once() {
        let file = tempfile::tempfile().unwrap();
        let lock: OwnedFd = file.try_clone().unwrap().into();
        let me = rustix::process::getpid();
        let noted = |standby| {
            note_pids(&lock, standby).unwrap();
            let mut text = String::new();
            std::io::Seek::rewind(&mut &file).unwrap();
            std::io::Read::read_to_string(&mut &file, &mut text).unwrap();
            text
        };
        let (two, one) = (noted(Some(me)), noted(None));
        assert_eq!(two.split_whitespace().collect::<Vec<_>>(), [me.to_string(), me.to_string()]);
        assert_eq!(one.split_whitespace().collect::<Vec<_>>(), [me.to_string()]);
        assert_eq!(one.len(), two.len());
    }

    #[test]
    fn one_that_comes_late_is_not_in_the_way_of_a_removal() {
        let dir = tempfile::tempdir().unwrap();
        let post = post(&dir);
        assert!(post.pids().is_empty());
        assert_eq!(post.take().err(), Some(Errno::NOENT));
        assert!(!post.path.exists());
        assert_eq!(post.end(), Ok(()));
        assert_eq!(post.is_held(OFlags::CREATE), Ok(false));
        let first = post.take().unwrap();
        assert!(first.is_some() && post.take().unwrap().is_none());
        assert_eq!(post.is_held(OFlags::empty()), Ok(true));
    }

    #[test]
    fn who_looks_for_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let post = post(&dir);
        let open = || post.open(OFlags::CREATE).unwrap();
        let (looker, holder) = (open(), open());
        flock(&looker, FlockOperation::LockShared).unwrap();
        assert_eq!(take(&holder), Ok(Held::Lookers));
        assert_eq!(post.is_held(OFlags::empty()), Ok(false));
        drop(looker);
        assert_eq!((take(&holder), take(&open())), (Ok(Held::Us), Ok(Held::Another)));
    }

    #[test]
    fn a_process_that_a_file_without_a_holder_names_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let post = post(&dir);
        let mut other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(&post.path, other.id().to_string()).unwrap();
        assert_eq!((post.end(), post.retire()), (Ok(()), Ok(())));
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
