//! Letting a container run that was made by a boxr which has ended: `create`, and later `start`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::Pid;

use super::protocol::{Channel, FromChild, ToChild};
use crate::agent::Agent;
use crate::error::{At, Error, Step};

/// The socket's name in the container's state directory. It is there while the container waits.
pub const SOCKET: &str = "start.sock";

/// A listening socket in `directory`, for [`crate::plan::StartedBy::Another`].
///
/// # Errors
/// socket(2), bind(2): `EADDRINUSE` when there is one already.
pub fn listen_in(directory: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let made = || -> Result<OwnedFd, Errno> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &address(directory)?)?;
        listen(&socket, 4)?;
        Ok(socket)
    };
    Ok(made().at(Step::Channel, SOCKET)?)
}

/// Lets the container in `directory` run its command; returns when it does. `agent` answers calls of its
/// first process, which the caller knows as `pid`.
///
/// # Errors
/// `ECONNREFUSED` or `ENOENT` in [`Step::Channel`]: nobody waits there; otherwise the step or hook
/// that failed, often [`Step::Exec`]: then the first process has ended.
pub fn start(directory: BorrowedFd<'_>, pid: Pid, agent: Option<Agent>) -> Result<(), Error> {
    let mut connection = agent.map(Agent::connect).transpose()?;
    let connected = || -> Result<Channel, Errno> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &address(directory)?)?;
        Ok(Channel::from(socket))
    };
    let channel = connected().at(Step::Channel, SOCKET)?;
    let told = channel.tell(ToChild::Go);
    loop {
        match channel.next().at(Step::Channel, SOCKET)? {
            FromChild::Failed(failure) => return Err(failure.into()),
            FromChild::Listener(listener) => {
                if let Some(connection) = connection.take() {
                    connection.hand_over(pid, listener.as_fd())?;
                }
                channel.tell(ToChild::Delivered).at(Step::Channel, SOCKET)?;
            }
            FromChild::Closed => return Ok(told.at(Step::Channel, SOCKET)?),
            _ => {}
        }
    }
}

/// By descriptor: the path of a state directory may be longer than an address can be (unix(7)).
fn address(directory: BorrowedFd<'_>) -> Result<SocketAddrUnix, Errno> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}
