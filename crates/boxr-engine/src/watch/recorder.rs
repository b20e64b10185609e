//! The process that listens to the filter of a box.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::passing;
use boxr_sys::pidfd;
use boxr_sys::seccomp_listener::{Answer, receive, respond, take_turns};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};
use rustix::pipe::{PipeFlags, pipe_with};

use super::filter::Refusing;
use super::refusals::Refusals;
use super::sight::Sight;
use crate::outcome::EngineError;
use crate::paths::Paths;

/// A recorder that has been started.
#[derive(Debug)]
pub struct Recorder {
    process: OwnedFd,
    /// What it tells at its end.
    tale: OwnedFd,
    /// Closed when the box has not come to be.
    lifeline: OwnedFd,
    socket: PathBuf,
}

/// What a profile has refused: how often, by name of the call.
pub type Refused = BTreeMap<String, u64>;

impl Recorder {
    /// Starts one. boxr must have one thread.
    pub(super) fn start(
        paths: &Paths,
        file: Option<PathBuf>,
        command: Vec<String>,
        refusing: Refusing,
        refusals: Option<Refusals>,
    ) -> Result<Self, EngineError> {
        let failed = |doing: &'static str| move |errno| EngineError::system(doing, errno);
        let socket = paths.state.join(format!("watch-{:x}.sock", crate::store::files::nanoseconds()));
        let listening = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .and_then(|listening| bind(&listening, &SocketAddrUnix::new(&socket)?).map(|()| listening))
            .and_then(|listening| listen(&listening, 1).map(|()| listening))
            .map_err(failed("listen to the box's filter"))?;
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe"));
        let ((tale, tells), (lives, lifeline)) = (pipe()?, pipe()?);
        match clone3(0, None, Parent::Caller).map_err(failed("start the recorder"))? {
            Cloned::Parent { pidfd, .. } => Ok(Self { process: pidfd, tale, lifeline, socket }),
            Cloned::Child => {
                drop((tale, lifeline));
                let sight = Sight::new();
                let work = Work { listening, lives, file, command, refusing, refusals, sight };
                let told = work.run();
                std::fs::remove_file(&socket).unwrap_or_default();
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
        let Self { process, tale, lifeline, .. } = self;
        drop(lifeline);
        let mut text = Vec::new();
        let read = std::fs::File::from(tale).read_to_end(&mut text);
        let failed = |errno| EngineError::system("hear from the recorder", errno);
        read.map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        pidfd::reap(process.as_fd(), true).map_err(failed)?;
        let told: Told = serde_json::from_slice(&text).map_err(|_| failed(Errno::CHILD))?;
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
    file: Option<PathBuf>,
    command: Vec<String>,
    refusing: Refusing,
    refusals: Option<Refusals>,
    sight: Sight,
}

impl Work {
    fn run(mut self) -> Told {
        let watched =
            self.begin().and_then(|listener| listener.map_or(Ok(false), |listener| self.watch(&listener)));
        let refused = &self.sight.refused;
        let (refused, openings) = match &self.refusals {
            Some(refusals) => (Refused::new(), refusals.report(refused)),
            None => (refused.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(), Vec::new()),
        };
        let trouble = match (watched, &self.file) {
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
        // Neither keys of the caller's terminal nor the end of boxr are meant for it.
        crate::monitor::leave_caller()?;
        boxr_sys::title::set(c"boxr-record", "boxr-record")?;
        boxr_sys::fd::close_inherited()?;
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
            let name = self.sight.name(&call);
            let answer = match name.and_then(|name| self.refusing.get(name).map(|errno| (name, errno))) {
                Some((name, errno)) => {
                    *self.sight.refused.entry(name).or_default() += 1;
                    Answer::Error(*errno)
                }
                None => {
                    if let (Some(name), Some(refusals)) = (name, &mut self.refusals) {
                        refusals.look(&mut self.sight, &call, name);
                    }
                    if let (Some(name), true) = (name, self.file.is_some()) {
                        self.sight.note(&call, name);
                    }
                    Answer::Continue
                }
            };
            match respond(listener.as_fd(), call.id, answer) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn write(&self, file: &Path) -> Result<(), Errno> {
        let record = self.sight.record(self.command.clone());
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
