//! Waiting until a box changes or one of its processes ends: never by looking again and again.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

/// Notices of changes in a box's directory: a new state, or that it is gone.
#[derive(Debug)]
pub(crate) struct Changes(OwnedFd);

impl Changes {
    /// Begins; what is read afterwards is not older than the notices. A directory that is gone
    /// gives no notices.
    pub(crate) fn watch(path: &Path) -> Result<Self, Errno> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let wanted = WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::DELETE_SELF;
        match inotify::add_watch(&fd, path, wanted) {
            Ok(_) | Err(Errno::NOENT) => Ok(Self(fd)),
            Err(errno) => Err(errno),
        }
    }

    /// Readable when there is a notice.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Takes the notices; what they say does not matter.
    pub(crate) fn clear(&self) -> Result<(), Errno> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        loop {
            match rustix::io::read(&self.0, &mut buffer) {
                Ok((read, _)) if !read.is_empty() => {}
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Waits until one of `fds` is readable, or until `deadline`; which are.
pub(crate) fn any_readable(fds: &[BorrowedFd<'_>], deadline: Option<Instant>) -> Result<Vec<bool>, Errno> {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    loop {
        let timeout = deadline.map(left);
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) => return Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether the process behind `pidfd` has ended, waiting for that until `deadline`.
pub(crate) fn has_ended(pidfd: BorrowedFd<'_>, deadline: Instant) -> Result<bool, Errno> {
    Ok(any_readable(&[pidfd], Some(deadline))?.contains(&true))
}

/// Lets others go on for so long.
pub(crate) fn pause(duration: Duration) -> Result<(), Errno> {
    any_readable(&[], Instant::now().checked_add(duration)).map(|_| ())
}

fn left(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    }
}
