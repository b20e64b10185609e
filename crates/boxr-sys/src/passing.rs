//! Bytes and a descriptor over unix sockets (unix(7), `SCM_RIGHTS`).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg, sendmsg,
    socket_with,
};

/// A connection to the stream socket at `path`, close-on-exec.
///
/// # Errors
/// socket(2), connect(2); `ENAMETOOLONG` for a path longer than an address can be.
pub fn connect_stream(path: &Path) -> Result<OwnedFd, Errno> {
    let connection = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    connect(&connection, &SocketAddrUnix::new(path)?)?;
    Ok(connection)
}

/// Sends `message`, as far as the socket takes it at once, with `fd`; returns how much it took.
///
/// # Errors
/// sendmsg(2).
pub fn send(socket: impl AsFd, message: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(|fd| [fd]);
    if let Some(fds) = &fds
        && !control.push(SendAncillaryMessage::ScmRights(fds))
    {
        return Err(Errno::NOBUFS);
    }
    let parts = [IoSlice::new(message)];
    rustix::io::retry_on_intr(|| sendmsg(socket.as_fd(), &parts, &mut control, SendFlags::NOSIGNAL))
}

/// Sends all of `message` over a stream, the descriptor with its first byte.
///
/// # Errors
/// sendmsg(2).
pub fn send_whole(socket: impl AsFd, message: &[u8], fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut sent = send(&socket, message, Some(fd))?;
    while sent < message.len() {
        sent += send(&socket, &message[sent..], None)?;
    }
    Ok(())
}

/// One message, or what a stream has, into `buffer`, and the descriptor that came with it, close-on-exec. With
/// [`RecvFlags::TRUNC`] the length is that of the packet, also where it is longer than the buffer.
///
/// # Errors
/// recvmsg(2).
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket.as_fd(), &mut [IoSliceMut::new(buffer)], &mut control, flags)
    })?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((received.bytes, fd))
}
