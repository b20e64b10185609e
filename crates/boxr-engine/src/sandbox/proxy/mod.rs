//! The proxy of a sandbox: a process outside that serves a socket inside, and the only way out.
//!
//! The sandbox has no route anywhere. Its first process makes the listening socket and hands it over; the proxy accepts
//! connections of the sandbox and makes those to the internet, in the network of whoever started boxr. It speaks
//! HTTP (`CONNECT` and whole URLs) and SOCKS5, on one port. Names are looked up here, and what is connected to is the
//! address that was checked: a listed name with an address of this machine or its networks leads nowhere (DNS rebinding).
//!
//! What comes from the sandbox is hostile: heads are bounded in length and time, connections in number, and the
//! process has no capabilities. It ends with the sandbox, and with boxr whatever ends that.

mod connection;
mod head;
mod http;
mod policy;
mod serve;
mod socks;

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::{fd, pidfd, signal};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use rustix::process::Signal;

use crate::options::BoxOptions;
use crate::outcome::EngineError;
pub use policy::{Policy, Refusal};

/// Where the proxy is found inside: the namespace is new, and the port free.
pub const PORT: u16 = 1080;

/// How long the proxy may take to tell what it refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// The running proxy of a sandbox.
#[derive(Debug)]
pub struct Proxy {
    pidfd: OwnedFd,
    /// Its end tells it to end; it answers with what it refused.
    control: OwnedFd,
}

impl Proxy {
    /// Starts it, where the box has one and the socket has come. The caller must have one thread.
    ///
    /// # Errors
    /// No process or socket is to be had.
    pub fn of(options: &BoxOptions, listener: Option<OwnedFd>) -> Result<Option<Self>, EngineError> {
        let hosts = options.sandbox.as_ref().and_then(|sandbox| sandbox.hosts.as_ref());
        let (Some(hosts), Some(listener)) = (hosts, listener) else { return Ok(None) };
        let failed = |errno| EngineError::system("start the proxy of the sandbox", errno);
        let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let (control, theirs) = pair.map_err(failed)?;
        let policy = Policy::new(hosts.clone());
        match clone3(0, None, Parent::Caller).map_err(failed)? {
            Cloned::Parent { pidfd, .. } => Ok(Some(Self { pidfd, control })),
            Cloned::Child => {
                drop(control);
                exit_now(u8::from(be_proxy(listener, theirs, policy).is_err()))
            }
        }
    }

    /// Ends it. What it refused, a line each.
    pub fn end(self) -> Vec<String> {
        let mut text = String::new();
        if shutdown(&self.control, Shutdown::Write).is_ok() {
            let mut stream = std::os::unix::net::UnixStream::from(self.control);
            // What does not come in time is not told.
            if stream.set_read_timeout(Some(PATIENCE)).is_ok() {
                stream.read_to_string(&mut text).unwrap_or_default();
            }
        }
        // Already gone is what is wanted.
        signal::send(self.pidfd.as_fd(), Signal::KILL.as_raw()).unwrap_or_default();
        pidfd::reap(self.pidfd.as_fd(), true).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Lets go of everything that boxr has open, and of every right.
fn be_proxy(listener: OwnedFd, control: OwnedFd, policy: Policy) -> Result<(), Errno> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::setsid()?;
    let [listener, control] = fd::close_all_but([listener, control])?;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
    for number in 0..3 {
        fd::place(null.as_fd(), number)?;
    }
    drop(null);
    signal::set_mask(&signal::nothing_blocked())?;
    boxr_sys::title::set(c"boxr-proxy", "boxr-proxy")?;
    boxr_sys::rights::give_up(boxr_sys::rights::Tracers::Privileged)?;
    serve::until_end(listener, control, policy)
}
