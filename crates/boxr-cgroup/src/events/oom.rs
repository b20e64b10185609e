//! Hearing that a container's memory ran out, when it happens.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::cgroup::Cgroup;
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::file::{self, keyed, read_if_exists};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OomNews {
    /// Nothing that matters here.
    Nothing,
    /// The limit was met, and nothing could be reclaimed: a process is killed, or has been.
    OutOfMemory,
    /// The container has ended: nothing more will come.
    Gone,
}

/// A watch on a container's memory. Its descriptor is readable, for poll(2), when there may be news.
#[derive(Debug)]
pub struct OomWatch {
    fd: OwnedFd,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// An eventfd that the kernel counts up when memory runs out, and when the cgroup is removed.
    One { directory: PathBuf },
    /// An inotify descriptor on `memory.events` and `cgroup.events`.
    Two { directory: PathBuf, kills: u64 },
}

impl Cgroup {
    /// Begins to watch.
    ///
    /// # Errors
    /// [`Error::NoCgroup`] where nobody counts the container's memory; system errors, also when it is
    /// gone already.
    pub fn watch_oom(&self) -> Result<OomWatch> {
        let location = self.location();
        match (location.legacy.get(Controller::Memory.legacy_name()), &location.unified) {
            (Some(directory), _) => watch_one(directory),
            (None, Some(directory)) => watch_two(directory),
            (None, None) => Err(Error::NoCgroup { goal: "watched for a lack of memory" }),
        }
    }
}

/// An eventfd is bound to `memory.oom_control` (kernel documentation, cgroup-v1/memory, "OOM Control").
fn watch_one(directory: &Path) -> Result<OomWatch> {
    let fail = |action, path: &Path, errno| file::system(action, path, errno);
    let control = directory.join("memory.oom_control");
    let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| fail("make an event for", &control, errno))?;
    let oom = rustix::fs::open(&control, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| fail("open", &control, errno))?;
    let binding = format!("{} {}", fd.as_raw_fd(), oom.as_raw_fd());
    file::write(&directory.join("cgroup.event_control"), &binding)?;
    Ok(OomWatch { fd, kind: Kind::One { directory: directory.to_path_buf() } })
}

fn watch_two(directory: &Path) -> Result<OomWatch> {
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
        .map_err(|errno| file::system("watch", directory, errno))?;
    // Without the controller the first is missing, and only the end can be heard.
    for (name, needed) in [("memory.events", false), ("cgroup.events", true)] {
        let path = directory.join(name);
        match inotify::add_watch(&fd, &path, WatchFlags::MODIFY) {
            Ok(_) => {}
            Err(Errno::NOENT) if !needed => {}
            Err(errno) => return Err(file::system("watch", &path, errno)),
        }
    }
    // What happened until now is no news.
    let kills = kills(directory)?.unwrap_or_default();
    Ok(OomWatch { fd, kind: Kind::Two { directory: directory.to_path_buf(), kills } })
}

fn kills(directory: &Path) -> Result<Option<u64>> {
    let events = read_if_exists(&directory.join("memory.events"))?;
    Ok(events.map(|text| keyed(&text, "oom_kill").unwrap_or_default()))
}

impl OomWatch {
    /// What happened, without waiting.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn news(&mut self) -> Result<OomNews> {
        match &mut self.kind {
            Kind::One { directory } => news_one(&self.fd, directory),
            Kind::Two { directory, kills } => news_two(&self.fd, directory, kills),
        }
    }

    /// Waits for news.
    ///
    /// # Errors
    /// As [`OomWatch::news`].
    pub fn wait(&mut self) -> Result<OomNews> {
        loop {
            match self.news()? {
                OomNews::Nothing => {}
                news => return Ok(news),
            }
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(file::system("wait on", self.directory(), errno)),
            }
        }
    }

    fn directory(&self) -> &Path {
        match &self.kind {
            Kind::One { directory } | Kind::Two { directory, .. } => directory,
        }
    }
}

fn news_one(fd: &OwnedFd, directory: &Path) -> Result<OomNews> {
    let mut count = [0; 8];
    match retry_on_intr(|| rustix::io::read(fd, &mut count)) {
        Ok(_) if file::exists(&directory.join("cgroup.event_control")) => Ok(OomNews::OutOfMemory),
        Ok(_) => Ok(OomNews::Gone),
        Err(Errno::AGAIN) => Ok(OomNews::Nothing),
        Err(errno) => Err(file::system("wait on", directory, errno)),
    }
}

fn news_two(fd: &OwnedFd, directory: &Path, known: &mut u64) -> Result<OomNews> {
    // What they say is in the files; taking them makes the descriptor quiet again.
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut changes = inotify::Reader::new(fd, &mut buffer);
    let mut removed = false;
    loop {
        match changes.next() {
            Ok(change) => removed |= change.events().contains(ReadFlags::IGNORED),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(errno) => return Err(file::system("watch", directory, errno)),
        }
    }
    let now = kills(directory)?;
    if let Some(now) = now.filter(|now| *now > *known) {
        *known = now;
        return Ok(OomNews::OutOfMemory);
    }
    let events = read_if_exists(&directory.join("cgroup.events"))?;
    let populated = events.is_some_and(|text| keyed(&text, "populated") == Some(1));
    Ok(if removed || !populated { OomNews::Gone } else { OomNews::Nothing })
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
