//! Reading the journal, and going on while it grows and is rotated.

use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::journal::{CURRENT, Journal, PREVIOUS, SEPARATOR};
use super::{Event, now};

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// Files that are read on: a writer that was suspended may have opened one that has been renamed since.
const KEPT: usize = 4;

/// The journal cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {errno}", path.display())]
pub struct EventError {
    /// What was tried.
    pub doing: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The system's reason.
    pub errno: Errno,
}

/// A reader of the journal.
#[derive(Debug)]
pub struct Follower {
    journal: Journal,
    changes: OwnedFd,
    /// The oldest first: writers may still be at one that has been renamed.
    files: Vec<Reader>,
}

/// What has been read of one file.
#[derive(Debug)]
struct Reader {
    file: File,
    identity: (u64, u64),
    /// A record whose end has not come yet.
    rest: Vec<u8>,
}

/// Why [`Follower::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// There may be more.
    More,
    /// The time is over.
    Late,
    /// Nobody reads the output any more.
    Left,
}

impl Follower {
    /// Opens the journal, and makes its directory where nothing has happened yet.
    ///
    /// # Errors
    /// It cannot be read or watched.
    pub fn open(journal: Journal) -> Result<Self, EventError> {
        let failed = |doing, errno| EventError { doing, path: journal.dir().to_owned(), errno };
        let made = match journal.make() {
            // Nothing has happened that could be read, and nothing will be told.
            Err(Errno::ROFS) => None,
            made => Some(made.map_err(|errno| failed("make", errno))?),
        };
        // Watched before it is read, so that nothing can come in between.
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|errno| failed("watch", errno))?;
        let wanted = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF;
        if made.is_some() {
            inotify::add_watch(&changes, journal.dir(), wanted).map_err(|errno| failed("watch", errno))?;
        }
        let mut follower = Self { journal, changes, files: Vec::new() };
        follower.find()?;
        Ok(follower)
    }

    /// Forgets what is there: only what comes from now on counts.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn skip(&mut self) -> Result<(), EventError> {
        self.read().map(drop)
    }

    /// All that has come since the last call, in the order of time.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&mut self) -> Result<Vec<Event>, EventError> {
        self.clear_changes()?;
        let mut events = Vec::new();
        loop {
            let known = self.files.len();
            for reader in &mut self.files {
                reader.drain(&mut events).map_err(|errno| EventError {
                    doing: "read",
                    path: self.journal.dir().to_owned(),
                    errno,
                })?;
            }
            self.find()?;
            if self.files.len() == known {
                break;
            }
        }
        let old = self.files.len().saturating_sub(KEPT);
        self.files.drain(..old);
        events.sort_by_key(|event| event.time);
        Ok(events)
    }

    /// Opens files that are not known yet.
    fn find(&mut self) -> Result<(), EventError> {
        // In this order: what is renamed in between is found by its new name, or was found by its old one.
        let mut found = Vec::new();
        for name in [CURRENT, PREVIOUS, CURRENT] {
            let path = self.journal.dir().join(name);
            let failed = |errno| EventError { doing: "open", path: path.clone(), errno };
            let flags =
                rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
            let file = match rustix::fs::open(&path, flags, rustix::fs::Mode::empty()) {
                Err(Errno::NOENT) => continue,
                file => File::from(file.map_err(failed)?),
            };
            let errno = |error: std::io::Error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO));
            let met = file.metadata().map_err(errno)?;
            let identity = (met.dev(), met.ino());
            let is_known = |reader: &Reader| reader.identity == identity;
            if !self.files.iter().any(is_known) && !found.iter().any(|(_, reader)| is_known(reader)) {
                let reader = Reader { file, identity, rest: Vec::new() };
                found.push((name == CURRENT, reader));
            }
        }
        found.sort_by_key(|(is_current, _)| *is_current);
        self.files.extend(found.into_iter().map(|(_, reader)| reader));
        Ok(())
    }

    /// Waits for a change, until `until` (nanoseconds since 1970 UTC), or until nobody reads `output` any more.
    ///
    /// # Errors
    /// poll(2).
    pub fn wait(&self, until: Option<i64>, output: BorrowedFd<'_>) -> Result<Woken, EventError> {
        loop {
            let left = until.map(|until| until.saturating_sub(now()));
            if left.is_some_and(|left| left <= 0) {
                return Ok(Woken::Late);
            }
            let timeout = left.map(|left| rustix::time::Timespec {
                tv_sec: left / 1_000_000_000,
                tv_nsec: left % 1_000_000_000,
            });
            let mut polled = [
                PollFd::new(&self.changes, PollFlags::IN),
                PollFd::from_borrowed_fd(output, PollFlags::empty()),
            ];
            match poll(&mut polled, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed("wait for", errno)),
            }
            if !polled[1].revents().is_empty() {
                return Ok(Woken::Left);
            }
            if !polled[0].revents().is_empty() {
                return Ok(Woken::More);
            }
        }
    }

    /// Takes the notices. Only the end of the directory matters: who removed it has begun anew.
    fn clear_changes(&self) -> Result<(), EventError> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut notices = inotify::Reader::new(&self.changes, &mut buffer);
        loop {
            match notices.next() {
                Ok(notice) if notice.events().intersects(ReadFlags::DELETE_SELF | ReadFlags::IGNORED) => {
                    return Err(self.failed("follow", Errno::NOENT));
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(self.failed("watch", errno)),
            }
        }
    }

    fn failed(&self, doing: &'static str, errno: Errno) -> EventError {
        EventError { doing, path: self.journal.dir().to_owned(), errno }
    }
}

impl Reader {
    fn drain(&mut self, events: &mut Vec<Event>) -> Result<(), Errno> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            };
            for byte in &buffer[..count] {
                match *byte {
                    // What came before it is torn: it will not be finished.
                    SEPARATOR => self.rest.clear(),
                    b'\n' => {
                        // What is no event was written by nobody who knows what one is.
                        events.extend(serde_json::from_slice(&self.rest));
                        self.rest.clear();
                    }
                    other => self.rest.push(other),
                }
            }
        }
    }
}
