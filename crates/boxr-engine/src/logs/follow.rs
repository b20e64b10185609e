//! Following a log while it grows and is rotated, to its last byte.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::files::{LogDir, LogPlace};
use super::read::{Printer, Query, Reader, begin};
use super::{LogError, Sink};

/// Reads what is added to a log.
#[derive(Debug)]
pub struct Follower {
    dir: LogDir,
    changes: OwnedFd,
    printer: Printer,
    /// The file that is read now, and then the ones which came after it.
    readers: VecDeque<Reader>,
}

impl Follower {
    /// Begins with what `query` wants of the log at `place`. `state_dir` is the box's directory in
    /// the state root: a new state there wakes the follower too.
    pub fn open(place: impl Into<LogPlace>, state_dir: &Path, query: &Query) -> Result<Self, LogError> {
        let place = place.into();
        let dir = LogDir::open(&place)?;
        let log_dir = place.dir.as_path();
        // Watched before it is read, so that nothing can come in between.
        let failed = |path: &Path, errno| LogError::System { action: "watch", path: path.to_owned(), errno };
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|errno| failed(log_dir, errno))?;
        let wanted = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF;
        for path in [log_dir, state_dir] {
            match inotify::add_watch(&changes, path, wanted) {
                // The state directory goes when the box is removed.
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(path, errno)),
            }
        }
        let (files, offset) = begin(&dir, query)?;
        let mut readers = VecDeque::with_capacity(files.len());
        for file in files {
            let offset = if readers.is_empty() { offset } else { 0 };
            readers.push_back(Reader::new(file, offset));
        }
        Ok(Self { dir, changes, printer: Printer::new(*query), readers })
    }

    /// Readable when there may be something new.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }

    /// Gives everything that has been written until now, over all rotations.
    pub fn drain(&mut self, sink: &mut dyn Sink) -> Result<(), LogError> {
        loop {
            self.drain_older(sink)?;
            let reading = self.readers.front().map(|reader| reader.file.inode);
            let current = self.dir.current_inode()?;
            // Asked before reading: a file that is not the current one is not written any more.
            if let Some(reader) = self.readers.front_mut() {
                reader.drain(&self.dir, &mut self.printer, sink)?;
            }
            if current.is_none() || current == reading {
                return Ok(sink.flush()?);
            }
            self.find_newer(reading)?;
        }
    }

    /// Reads files which others have come after to their ends.
    fn drain_older(&mut self, sink: &mut dyn Sink) -> Result<(), LogError> {
        while self.readers.len() > 1
            && let Some(mut reader) = self.readers.pop_front()
        {
            reader.drain(&self.dir, &mut self.printer, sink)?;
            reader.finish(&mut self.printer, sink)?;
        }
        Ok(())
    }

    /// Opens the files that came after the one with the inode `reading`; all, if that one has been
    /// deleted by now.
    fn find_newer(&mut self, reading: Option<u64>) -> Result<(), LogError> {
        let files = self.dir.snapshot()?;
        let newer = files.iter().position(|file| Some(file.inode) == reading).map_or(0, |at| at + 1);
        self.readers.extend(files.into_iter().skip(newer).map(|file| Reader::new(file, 0)));
        Ok(())
    }

    /// Gives what is there of an entry that will not be finished.
    fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), LogError> {
        for reader in &mut self.readers {
            reader.finish(&mut self.printer, sink)?;
        }
        Ok(sink.flush()?)
    }

    /// Gives everything until the box has ended, and then the rest.
    ///
    /// `ended` looks whether the box has ended, or is gone; it is called whenever something has
    /// changed. What it cannot see change in the two directories is to make one of `wake` readable:
    /// the pidfd of the box's process and of its monitor. `reader_left` is a descriptor on which an
    /// error or hangup means that nobody reads the output any more.
    pub fn follow(
        &mut self,
        sink: &mut dyn Sink,
        wake: &[BorrowedFd<'_>],
        reader_left: Option<BorrowedFd<'_>>,
        mut ended: impl FnMut() -> bool,
    ) -> Result<(), LogError> {
        let mut wake = wake.to_vec();
        loop {
            self.clear_changes()?;
            // In this order: what was written before the end is found after it.
            let last = ended();
            self.drain(sink)?;
            if last {
                return self.finish(sink);
            }
            if self.wait(&mut wake, reader_left)? {
                return Ok(());
            }
        }
    }

    /// Waits for a change; whether nobody reads the output any more.
    fn wait(
        &self,
        wake: &mut Vec<BorrowedFd<'_>>,
        reader_left: Option<BorrowedFd<'_>>,
    ) -> Result<bool, LogError> {
        let changes = self.changes.as_fd();
        let mut polled = vec![PollFd::from_borrowed_fd(changes, PollFlags::IN)];
        polled.extend(wake.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        polled.extend(reader_left.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::empty())));
        rustix::io::retry_on_intr(|| poll(&mut polled, None))
            .map_err(|errno| self.dir.error("wait for", errno))?;
        let happened: Vec<bool> = polled.iter().skip(1).map(|fd| !fd.revents().is_empty()).collect();
        // A pidfd stays readable: it has said what it had to say.
        let count = wake.len();
        let mut at = 0;
        wake.retain(|_| {
            at += 1;
            !happened[at - 1]
        });
        Ok(happened.get(count).copied().unwrap_or(false))
    }

    /// Takes the notices, whose contents do not matter.
    fn clear_changes(&self) -> Result<(), LogError> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        loop {
            match rustix::io::read(&self.changes, &mut buffer) {
                Ok((read, _)) if !read.is_empty() => {}
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.dir.error("watch", errno)),
            }
        }
    }
}
