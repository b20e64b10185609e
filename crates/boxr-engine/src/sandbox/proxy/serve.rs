//! Accepts connections until the sandbox has ended.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::connection;
use super::policy::Policy;

/// Connections at a time; more are closed at once.
const MOST: usize = 256;
/// A thread of a connection has little to remember.
const STACK: usize = 128 << 10;

/// Serves `listener` until the other end of `control` says no more, and then tells it what was refused.
///
/// # Errors
/// poll(2).
pub(super) fn until_end(listener: OwnedFd, control: OwnedFd, policy: Policy) -> Result<(), Errno> {
    let policy = Arc::new(policy);
    let listener = TcpListener::from(listener);
    rustix::io::ioctl_fionbio(&listener, true)?;
    let under_way = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = [PollFd::new(&control, PollFlags::IN), PollFd::new(&listener, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        if !fds[0].revents().is_empty() {
            break;
        }
        // Whatever is wrong with one connection is no matter of the next.
        if let Ok((client, _)) = listener.accept() {
            start(client, &policy, &under_way);
        }
    }
    let text: String = policy.report().into_iter().map(|line| line + "\n").collect();
    // Nobody listens where boxr has ended.
    UnixStream::from(control).write_all(text.as_bytes()).unwrap_or_default();
    Ok(())
}

fn start(client: TcpStream, policy: &Arc<Policy>, under_way: &Arc<AtomicUsize>) {
    if under_way.fetch_add(1, Ordering::AcqRel) >= MOST {
        under_way.fetch_sub(1, Ordering::AcqRel);
        return;
    }
    let (policy, counted) = (Arc::clone(policy), Arc::clone(under_way));
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
        // The client sees how it ended.
        connection::serve(client, &policy).unwrap_or_default();
        counted.fetch_sub(1, Ordering::AcqRel);
    });
    if thread.is_err() {
        under_way.fetch_sub(1, Ordering::AcqRel);
    }
}
