//! A seccomp agent: it listens at a socket, gets a listener, and answers what comes there.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::JoinHandle;

use boxr_sys::seccomp_listener::{Answer, Notification, receive, respond};
use boxr_testing::{PATIENCE, Sandbox, wait};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::Value;

/// An agent at work.
pub struct Agent {
    /// Where it listens.
    pub path: PathBuf,
    thread: JoinHandle<Seen>,
}

/// What an agent has seen.
pub struct Seen {
    /// What it was told.
    pub message: Value,
    /// The calls, in order.
    pub calls: Vec<Notification>,
}

impl Agent {
    /// One that answers every call of one container, until that has ended.
    #[track_caller]
    pub fn start(t: &Sandbox, name: &str, answer: fn(&Notification) -> Answer) -> Self {
        let path = t.path(name);
        let socket = UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || serve(&socket, answer));
        Self { path, thread }
    }

    /// What it has seen in the end.
    #[track_caller]
    pub fn finish(self) -> Seen {
        self.thread.join().expect("an agent that was reached")
    }
}

fn serve(socket: &UnixListener, answer: fn(&Notification) -> Answer) -> Seen {
    assert!(wait::readable(socket, PATIENCE), "nobody came to the agent");
    let (connection, _) = socket.accept().unwrap();
    let (message, listener) = take(connection.as_fd());
    let mut calls = Vec::new();
    while call_waits(&listener) {
        match receive(listener.as_fd()) {
            Ok(call) => {
                calls.push(call);
                // The caller may have been killed.
                respond(listener.as_fd(), call.id, answer(&call)).ok();
            }
            // A call that was given up.
            Err(Errno::NOENT) => {}
            Err(errno) => panic!("receive: {errno}"),
        }
    }
    Seen { message, calls }
}

/// Whether there is a call; not when the last process with the filter has ended, for which kernels before
/// 6.11 would let us wait in vain.
fn call_waits(listener: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&patience))).unwrap();
    fds[0].revents().contains(PollFlags::IN)
}

/// The message, which ends with its connection, and the descriptor that came with it.
fn take(connection: impl AsFd) -> (Value, OwnedFd) {
    let (mut text, mut listener) = (Vec::new(), None);
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = [0; 4096];
        let received =
            recvmsg(&connection, &mut [IoSliceMut::new(&mut buffer)], &mut control, RecvFlags::CMSG_CLOEXEC);
        let length = received.unwrap().bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                listener = fds.last().or(listener);
            }
        }
        if length == 0 {
            return (serde_json::from_slice(&text).unwrap(), listener.expect("a listener"));
        }
        text.extend(&buffer[..length]);
    }
}
