//! One criu that works for boxr: started, asked, heard, and seen to its end.
//!
//! ```text
//! boxr                                  criu swrk FD
//!  | -- VERSION, FEATURE_CHECK ---------> |   one after the other, each answered
//!  | -- DUMP | PRE_DUMP | RESTORE ------> |
//!  | <------------- NOTIFY network-lock - |   each waits for its answer
//!  | -- NOTIFY heeded ------------------> |
//!  | <---- DUMP | PRE_DUMP | RESTORE ---- |
//!  | hangs up                             |   ends
//! ```

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use boxr_sys::passing;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, send, socketpair};

use super::error::Error;
use super::rpc::{Feature, Request, Response, Version};

/// The longest answer that is understood; criu's are shorter than 1 KiB.
const LONGEST: usize = 64 * 1024;

/// What criu's standard descriptors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// Nowhere.
    None,
    /// boxr's, which the restored processes get.
    Callers,
}

/// A criu that waits for requests.
#[derive(Debug)]
pub struct Service {
    child: Child,
    /// `None` after boxr has hung up.
    socket: Option<OwnedFd>,
}

/// A step that criu tells of, and waits to be heeded.
#[derive(Debug)]
pub enum Event {
    /// The namespaces of the restored container are there, and its first process.
    SetupNamespaces {
        /// Its pid.
        pid: i32,
    },
    /// All processes are restored, and do not run yet.
    PostRestore {
        /// Pid of the first.
        pid: i32,
    },
    /// The master of a terminal whose other side was restored.
    Terminal(OwnedFd),
    /// Pages can be fetched.
    StatusReady,
    /// One that asks for nothing of boxr's.
    Other(String),
}

impl Service {
    /// Starts `criu`, looked up in PATH where it has no slash, with the descriptors `inherited` under
    /// their own numbers.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(criu: &Path, streams: Streams, inherited: Vec<OwnedFd>) -> Result<Self, Error> {
        let failed = |errno| Error::Socket { action: "make a socket for", errno };
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(failed)?;
        // There is one thread: nothing else is executed between this and the end of the function.
        for fd in inherited.iter().chain([&theirs]) {
            fcntl_setfd(fd, FdFlags::empty()).map_err(failed)?;
        }
        let stream = || match streams {
            Streams::None => Stdio::null(),
            Streams::Callers => Stdio::inherit(),
        };
        let mut command = Command::new(criu);
        command.arg("swrk").arg(theirs.as_raw_fd().to_string());
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::NOENT) | None => Error::NotFound { path: criu.to_owned() },
            Some(errno) => Error::Start { path: criu.to_owned(), errno },
        })?;
        Ok(Self { child, socket: Some(socket) })
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Which criu it is.
    ///
    /// # Errors
    /// It is older than 3.0, or cannot answer.
    pub fn version(&mut self) -> Result<Version, Error> {
        Ok(self.ask(&Request::Version)?.version)
    }

    /// Whether criu and the kernel have `feature`.
    ///
    /// # Errors
    /// criu cannot tell.
    pub fn has(&mut self, feature: Feature) -> Result<bool, Error> {
        Ok(self.ask(&Request::Check(feature))?.has(feature))
    }

    fn ask(&mut self, request: &Request<'_>) -> Result<Response, Error> {
        let name = request.kind().word();
        self.send(request, name)?;
        let (response, _) = self.receive(name)?;
        if response.success && response.kind == Some(request.kind()) {
            Ok(response)
        } else {
            Err(refused(response, name))
        }
    }

    /// Has criu do the work of `request`. Each step it tells of is given to `heed`; one that fails ends the
    /// work, which criu then undoes.
    ///
    /// # Errors
    /// Of `heed`, or criu's.
    pub fn work<E: From<Error>>(
        &mut self,
        request: &Request<'_>,
        mut heed: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<Response, E> {
        let name = request.kind().word();
        self.send(request, name)?;
        let mut failure = None;
        loop {
            let (response, fd) = match (self.receive(name), failure.take()) {
                (Ok(received), kept) => {
                    failure = kept;
                    received
                }
                // What boxr could not do comes before what criu says of it.
                (Err(_), Some(first)) => return Err(first),
                (Err(error), None) => return Err(error.into()),
            };
            if !response.success {
                return Err(failure.unwrap_or_else(|| refused(response, name).into()));
            }
            if response.kind == Some(request.kind()) {
                return failure.map_or(Ok(response), Err);
            }
            let heeded = match event(response, fd) {
                Some(event) => heed(event),
                None => Err(Error::Malformed { request: name }.into()),
            };
            self.send(&Request::Heeded(heeded.is_ok()), name)?;
            failure = failure.or(heeded.err());
        }
    }

    /// Hangs up, and waits for its end.
    ///
    /// # Errors
    /// wait(2).
    pub fn end(mut self) -> Result<ExitStatus, Error> {
        self.hang_up()
    }

    fn hang_up(&mut self) -> Result<ExitStatus, Error> {
        self.socket = None;
        self.child.wait().map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::CHILD);
            Error::Socket { action: "wait for", errno }
        })
    }

    fn send(&mut self, request: &Request<'_>, name: &'static str) -> Result<(), Error> {
        let Some(socket) = &self.socket else { return Err(Error::Malformed { request: name }) };
        let message = request.encode();
        match rustix::io::retry_on_intr(|| send(socket, &message, SendFlags::NOSIGNAL)) {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(self.lost(name)),
            Err(errno) => Err(Error::Socket { action: "speak to", errno }),
        }
    }

    fn receive(&mut self, name: &'static str) -> Result<(Response, Option<OwnedFd>), Error> {
        let Some(socket) = &self.socket else { return Err(Error::Malformed { request: name }) };
        let mut buffer = vec![0; LONGEST];
        match passing::receive(socket, &mut buffer, RecvFlags::TRUNC) {
            Ok((0, _)) | Err(Errno::CONNRESET) => Err(self.lost(name)),
            Ok((length, fd)) => {
                let response = buffer.get(..length).and_then(|message| Response::decode(message).ok());
                Ok((response.ok_or(Error::Malformed { request: name })?, fd))
            }
            Err(errno) => Err(Error::Socket { action: "hear", errno }),
        }
    }

    fn lost(&mut self, request: &'static str) -> Error {
        match self.hang_up() {
            Ok(status) => Error::Lost { request, how: status.to_string() },
            Err(error) => error,
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.socket.is_some()
            && let Err(error) = self.hang_up()
        {
            // Whoever drops it has an error to tell already; standard error may be closed.
            writeln!(std::io::stderr(), "boxr-oci: {error}").unwrap_or_default();
        }
    }
}

fn refused(response: Response, request: &'static str) -> Error {
    let Response { errno, message, .. } = response;
    Error::Refused { request, errno, message, log: None }
}

/// `None` for a notification without what belongs to it.
fn event(response: Response, fd: Option<OwnedFd>) -> Option<Event> {
    let script = response.script?;
    Some(match script.as_str() {
        "setup-namespaces" => Event::SetupNamespaces { pid: response.script_pid? },
        "post-restore" => Event::PostRestore { pid: response.script_pid? },
        "orphan-pts-master" => Event::Terminal(fd?),
        "status-ready" => Event::StatusReady,
        _ => Event::Other(script),
    })
}
