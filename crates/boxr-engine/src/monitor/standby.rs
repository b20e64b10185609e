//! The process that becomes the monitor when the monitor is killed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::clients::Clients;
use super::serve::{self, Watch};
use super::streams::Burst;
use crate::logs::{Log, WhoLogs};
use crate::outcome::EngineError;
use crate::record::{ProcessRef, Status};
use crate::store::Wait;

/// A running standby, as its monitor holds it.
#[derive(Debug)]
pub(super) struct Standby {
    pidfd: OwnedFd,
    /// A byte here tells it to close the box's stdin as well.
    words: OwnedFd,
}

impl Standby {
    /// Starts one for `watch`. Returns in the monitor only.
    pub fn start(watch: &mut Watch, clients: &mut Clients) -> Result<Self, EngineError> {
        Self::fork(watch, clients).map_err(|errno| EngineError::system("start a standby monitor", errno))
    }

    /// Replaces one that has ended.
    pub fn restart(&mut self, watch: &mut Watch, clients: &mut Clients) -> Result<(), Errno> {
        boxr_sys::pidfd::reap(self.pidfd.as_fd(), true)?;
        *self = Self::fork(watch, clients)?;
        Ok(())
    }

    /// For poll(2): readable when it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The box's stdin was closed on request.
    pub fn close_input(&self) {
        // One that has just ended is replaced by one that has no open input anyway.
        rustix::io::write(&self.words, b"Z").unwrap_or_default();
    }

    fn fork(watch: &mut Watch, clients: &mut Clients) -> Result<Self, Errno> {
        let monitor = pidfd_open(getpid(), PidfdFlags::empty())?;
        let (hear, words) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        match clone3(0, None, Parent::Caller)? {
            Cloned::Parent { pidfd, .. } => Ok(Self { pidfd, words }),
            Cloned::Child => {
                drop(words);
                let status = match stand_by(watch, clients, &monitor, &hear) {
                    Ok(()) => 0,
                    Err(_) => 1,
                };
                exit_now(status)
            }
        }
    }
}

fn stand_by(
    watch: &mut Watch,
    clients: &mut Clients,
    monitor: &OwnedFd,
    hear: &OwnedFd,
) -> Result<(), EngineError> {
    let failed = |errno| EngineError::system("stand by", errno);
    title(c"boxr-standby", &watch.terms.name).map_err(failed)?;
    watch.dir = watch.dir.reopen()?;
    // The monitor's alone: they are to be free when it says so.
    drop(std::mem::take(&mut watch.held));
    clients.forget_connected();
    serve::slim_down();
    wait_for_monitor(watch, monitor, hear).map_err(failed)?;
    let Ok(state) = watch.dir.read_state() else {
        // Removed with the box: all is done.
        return Ok(());
    };
    if state.status == Status::Exited {
        // Perhaps it was killed while it waited to start the box again.
        return crate::lifecycle::again::after_end(&watch.dir);
    }
    if state.process != Some(watch.process) {
        return Ok(());
    }
    become_monitor(watch, clients)
}

fn wait_for_monitor(watch: &mut Watch, monitor: &OwnedFd, hear: &OwnedFd) -> Result<(), Errno> {
    let mut hear_open = true;
    loop {
        let mut fds = vec![PollFd::new(monitor, PollFlags::IN)];
        if hear_open {
            fds.push(PollFd::new(hear, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.get(1) == Some(&true) {
            let mut byte = [0];
            match rustix::io::read(hear, &mut byte) {
                Ok(1..) => watch.streams.close_input(),
                _ => hear_open = false,
            }
        }
        if ready.first() == Some(&true) {
            return Ok(());
        }
    }
}

fn become_monitor(watch: &mut Watch, clients: &Clients) -> Result<(), EngineError> {
    title(c"boxr-monitor", &watch.terms.name)
        .map_err(|errno| EngineError::system("name the monitor", errno))?;
    let me = ProcessRef::current()?;
    if let Some(lock) = watch.dir.lock(Wait::Yes)? {
        let state = lock.read_state()?;
        let other = state.supervisor.filter(|other| *other != me && other.is_alive());
        if other.is_some() || state.status == Status::Exited || state.process != Some(watch.process) {
            // A boxr command was faster.
            return Ok(());
        }
        lock.update_state(|state| state.supervisor = Some(me))?;
    }
    let clients =
        clients.take_over().map_err(|errno| EngineError::system("listen for clients of the box", errno))?;
    let data = watch.dir.make_data()?;
    let who = WhoLogs { id: watch.dir.id().as_str(), name: &watch.terms.name, data: &data };
    let log = Log::open(who, &watch.terms.log_to, watch.terms.log)?;
    let again = Watch {
        dir: watch.dir.clone(),
        process: watch.process,
        pidfd: clone_fd(&watch.pidfd)?,
        streams: std::mem::replace(&mut watch.streams, super::streams::none()),
        log,
        ending: None,
        terms: watch.terms.clone(),
        burst: Burst::default(),
        held: watch.dir.hold_ports(),
    };
    serve::serve(again, clients)
}

fn clone_fd(fd: &OwnedFd) -> Result<OwnedFd, EngineError> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(|errno| EngineError::system("hold the box", errno))
}

/// How monitor and standby show in `ps` and `top`.
pub(super) fn title(comm: &std::ffi::CStr, name: &str) -> Result<(), Errno> {
    boxr_sys::title::set(comm, &format!("{} {name}", comm.to_string_lossy()))
}
