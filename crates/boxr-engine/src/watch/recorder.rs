//! The process that listens to the filter of a box.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::passing;
use boxr_sys::pidfd;
use boxr_sys::seccomp_listener::{Answer, Notification, is_waiting, receive, respond, take_turns};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};
use rustix::pipe::{PipeFlags, pipe_with};

use super::filter::Refusing;
use super::metadata::{self, Keeper};
use super::refusals::Refusals;
use super::sight::Sight;
use crate::outcome::EngineError;
use crate::paths::Paths;

/// A recorder that has been started.
#[derive(Debug)]
pub struct Recorder {
    place: Place,
    /// Closed when the box has not come to be.
    lifeline: OwnedFd,
    socket: PathBuf,
}

/// Where it runs.
#[derive(Debug)]
enum Place {
    /// In a process beside the box, which goes on without boxr; `tale` is what it tells at its end.
    Process { pidfd: OwnedFd, tale: OwnedFd },
    /// In boxr, where changes are made for the box: it has to look into memory, which Yama lets only those above a
    /// process do where they have no capabilities (`ptrace_scope` 1).
    Thread(JoinHandle<Told>),
}

/// What a recorder does.
#[derive(Debug)]
pub(super) struct Job {
    /// The file that gets the record.
    pub file: Option<PathBuf>,
    /// The box's command.
    pub command: Vec<String>,
    /// Calls that fail.
    pub refusing: Refusing,
    /// What a sandbox refuses.
    pub refusals: Option<Refusals>,
    /// Who makes changes of metadata.
    pub keeper: Option<Keeper>,
}

/// What a profile has refused: how often, by name of the call.
pub type Refused = BTreeMap<String, u64>;

impl Recorder {
    /// Starts one. boxr must have one thread, and starts no other.
    pub(super) fn start(paths: &Paths, job: Job) -> Result<Self, EngineError> {
        let failed = |doing: &'static str| move |errno| EngineError::system(doing, errno);
        let socket = paths.state.join(format!("watch-{:x}.sock", crate::store::files::nanoseconds()));
        let listening = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .and_then(|listening| bind(&listening, &SocketAddrUnix::new(&socket)?).map(|()| listening))
            .and_then(|listening| listen(&listening, 1).map(|()| listening))
            .map_err(failed("listen to the box's filter"))?;
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe"));
        let (lives, lifeline) = pipe()?;
        if job.keeper.is_some() {
            let place = beside(listening, lives, job, &socket).map_err(failed("start the recorder"))?;
            return Ok(Self { place, lifeline, socket });
        }
        let (tale, tells) = pipe()?;
        match clone3(0, None, Parent::Caller).map_err(failed("start the recorder"))? {
            Cloned::Parent { pidfd, .. } => {
                Ok(Self { place: Place::Process { pidfd, tale }, lifeline, socket })
            }
            Cloned::Child => {
                drop((tale, lifeline));
                let work = Work { listening, lives, socket, job, sight: Sight::new() };
                let told = leave_boxr().and_then(|()| work.begin());
                let told = work.go_on(told);
                let text = serde_json::to_vec(&told).unwrap_or_default();
                // A boxr that has ended does not ask.
                rustix::io::write(&tells, &text).unwrap_or_default();
                exit_now(0)
            }
        }
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits until it has written everything down, and says what the box was refused. Also for a box that has not come
    /// to be.
    ///
    /// # Errors
    /// It could not write the record, or was killed.
    pub fn finish(self) -> Result<Told, EngineError> {
        let Self { place, lifeline, .. } = self;
        drop(lifeline);
        let failed = |errno| EngineError::system("hear from the recorder", errno);
        let told = match place {
            Place::Thread(thread) => thread.join().map_err(|_| failed(Errno::CHILD))?,
            Place::Process { pidfd, tale } => {
                let mut text = Vec::new();
                let read = std::fs::File::from(tale).read_to_end(&mut text);
                read.map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
                pidfd::reap(pidfd.as_fd(), true).map_err(failed)?;
                serde_json::from_slice(&text).map_err(|_| failed(Errno::CHILD))?
            }
        };
        match told.trouble {
            Some((path, errno)) => Err(EngineError::File { path, errno: Errno::from_raw_os_error(errno) }),
            None => Ok(told),
        }
    }
}

/// What the recorder tells boxr.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Told {
    /// What a person's profile has refused.
    pub refused: Refused,
    /// What a sandbox has refused, with what would have allowed it, a line each.
    pub openings: Vec<String>,
    /// The file that could not be written, and why.
    trouble: Option<(String, i32)>,
}

struct Work {
    listening: OwnedFd,
    lives: OwnedFd,
    socket: PathBuf,
    job: Job,
    sight: Sight,
}

/// The recorder in a thread of boxr's. It waits in one system call when this returns: whatever is forked until the box
/// calls finds no lock of another thread's taken.
fn beside(listening: OwnedFd, lives: OwnedFd, job: Job, socket: &Path) -> Result<Place, Errno> {
    let (ready, is_ready) = pipe_with(PipeFlags::CLOEXEC)?;
    let socket = socket.to_owned();
    let run = move || {
        let work = Work { listening, lives, socket, job, sight: Sight::new() };
        let begun = boxr_sys::signal::block_all().and_then(|()| {
            drop(is_ready);
            work.begin()
        });
        work.go_on(begun)
    };
    let thread = std::thread::Builder::new().spawn(run);
    let thread = thread.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    retry_on_intr(|| rustix::io::read(&ready, &mut [0u8; 1]))?;
    Ok(Place::Thread(thread))
}

/// Neither keys of the caller's terminal nor the end of boxr are meant for the process.
fn leave_boxr() -> Result<(), Errno> {
    crate::monitor::leave_caller()?;
    boxr_sys::title::set(c"boxr-record", "boxr-record")?;
    boxr_sys::fd::close_inherited()
}

impl Work {
    fn go_on(mut self, begun: Result<Option<OwnedFd>, Errno>) -> Told {
        let watched = begun.and_then(|listener| listener.map_or(Ok(false), |listener| self.watch(&listener)));
        std::fs::remove_file(&self.socket).unwrap_or_default();
        let refused = &self.sight.refused;
        let (refused, openings) = match &self.job.refusals {
            Some(refusals) => (Refused::new(), refusals.report(refused)),
            None => (refused.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(), Vec::new()),
        };
        let trouble = match (watched, &self.job.file) {
            // There was no box.
            (Ok(false), _) | (Ok(true), None) => None,
            (Ok(true), Some(file)) => {
                self.write(file).err().map(|errno| (file.display().to_string(), errno.raw_os_error()))
            }
            (Err(errno), _) => Some(("the record".to_owned(), errno.raw_os_error())),
        };
        Told { refused, openings, trouble }
    }

    /// The listener of the box's filter; `None` where there will be none.
    fn begin(&self) -> Result<Option<OwnedFd>, Errno> {
        let mut fds = [PollFd::new(&self.listening, PollFlags::IN), PollFd::new(&self.lives, PollFlags::IN)];
        while let Err(errno) = poll(&mut fds, None) {
            if errno != Errno::INTR {
                return Err(errno);
            }
        }
        if fds[0].revents().is_empty() {
            return Ok(None);
        }
        let connection = accept_with(&self.listening, SocketFlags::CLOEXEC)?;
        // Nobody else comes; a boxr that is killed leaves nothing.
        std::fs::remove_file(&self.socket).unwrap_or_default();
        Ok(passing::receive(&connection, &mut [0u8; 4096], RecvFlags::empty())?.1)
    }

    /// Answers until nobody has the filter any more.
    fn watch(&mut self, listener: &OwnedFd) -> Result<bool, Errno> {
        match take_turns(listener.as_fd()) {
            // Older kernels do without.
            Ok(()) | Err(Errno::INVAL | Errno::NOTTY) => {}
            Err(errno) => return Err(errno),
        }
        // Before Linux 6.11 the wait for a call goes on when nobody is left who could make one: only poll(2) tells.
        let looks_first = crate::image::seccomp::kernel() < (6, 11);
        loop {
            if looks_first && has_ended(listener, Look::UntilSomethingIs)? {
                return Ok(true);
            }
            let call = match receive(listener.as_fd()) {
                Ok(call) => call,
                Err(Errno::NOENT) if has_ended(listener, Look::Now)? => return Ok(true),
                // A call that was given up meanwhile.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            };
            let answer = self.answer(listener, &call);
            match respond(listener.as_fd(), call.id, answer) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn answer(&mut self, listener: &OwnedFd, call: &Notification) -> Answer {
        let Some(name) = self.sight.name(call) else {
            // What the filter puts here is known; of metadata it is nothing that may go on.
            return if self.job.keeper.is_some() { Answer::Error(Errno::NOSYS) } else { Answer::Continue };
        };
        if let Some(errno) = self.job.refusing.get(name) {
            *self.sight.refused.entry(name).or_default() += 1;
            return Answer::Error(*errno);
        }
        if let Some(refusals) = &mut self.job.refusals {
            refusals.look(&mut self.sight, call, name);
        }
        if self.job.file.is_some() {
            self.sight.note(call, name);
        }
        match self.job.keeper.as_ref().filter(|_| metadata::is_one(name)) {
            None => Answer::Continue,
            Some(keeper) => match keeper.change(call, name, || is_waiting(listener.as_fd(), call.id)) {
                Ok(()) => Answer::Value(0),
                Err(errno) => Answer::Error(errno),
            },
        }
    }

    fn write(&self, file: &Path) -> Result<(), Errno> {
        let record = self.sight.record(self.job.command.clone());
        let mut text = serde_json::to_vec_pretty(&record).map_err(|_| Errno::INVAL)?;
        text.push(b'\n');
        let (dir, name) =
            file.parent().zip(file.file_name().and_then(|name| name.to_str())).ok_or(Errno::INVAL)?;
        let dir =
            std::fs::File::open(dir).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        crate::store::files::write_whole(dir.as_fd(), name, &text, crate::store::files::Write::Replace)
    }
}

/// How long is looked.
enum Look {
    Now,
    UntilSomethingIs,
}

/// Whether nobody has the filter any more.
fn has_ended(listener: &OwnedFd, look: Look) -> Result<bool, Errno> {
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let most = match look {
        Look::Now => Some(&now),
        Look::UntilSomethingIs => None,
    };
    retry_on_intr(|| poll(&mut fds, most))?;
    let told = fds[0].revents();
    // A call that waits comes first.
    Ok(told.contains(PollFlags::HUP) && !told.contains(PollFlags::IN))
}
