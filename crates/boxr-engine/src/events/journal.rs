//! The file that events are appended to.
//!
//! ```text
//! DATA/events/journal      what is written now, at most about LIMIT bytes
//! DATA/events/journal.1    what was written before
//! ```
//!
//! A record is the byte RS (0x1e), a JSON object and a newline: RFC 7464, JSON text sequences. Each is one write(2) at the end
//! of the file (`O_APPEND`), so that writers need no lock and do not mix. What a full disk or a kill has
//! torn is a record without its newline; the next one begins with RS all the same, and loses nothing by it.
//!
//! A file that has become long is renamed under the lock (flock(2)) of the directory. Whoever had it open still writes
//! into it; readers look at both files.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::Event;
use crate::paths::Paths;
use crate::store::files;

/// Bytes after which a new file is begun; there are two files.
const LIMIT: u64 = 4 << 20;
/// Bytes of the longest record. Labels, which a person may have made long, are left out of one that would be longer.
const LONGEST: usize = 64 << 10;

/// What is written now.
pub(super) const CURRENT: &str = "journal";
/// What was written before.
pub(super) const PREVIOUS: &str = "journal.1";
/// Before each record.
pub(super) const SEPARATOR: u8 = 0x1e;

/// The journal of one data root.
#[derive(Clone, Debug)]
pub struct Journal {
    dir: PathBuf,
    limit: u64,
}

impl Journal {
    /// That of these roots. Nothing is opened.
    pub fn of(paths: &Paths) -> Self {
        Self::below(&paths.data)
    }

    /// That of this data root.
    pub fn below(data: &Path) -> Self {
        Self { dir: data.join("events"), limit: LIMIT }
    }

    #[cfg(test)]
    pub(super) fn with_limit(dir: &Path, limit: u64) -> Self {
        Self { dir: dir.to_owned(), limit }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends events, with three system calls. What cannot be written is lost: it has happened, and whoever made it happen
    /// is not to fail by that. `boxr info` warns of a journal that cannot be written.
    pub fn note(&self, events: &[Event]) {
        if !events.is_empty() {
            self.append(events).unwrap_or_default();
        }
    }

    /// The same, for whoever wants to know.
    ///
    /// # Errors
    /// open(2), write(2); `ENOSPC` also when only a part was written.
    pub fn append(&self, events: &[Event]) -> Result<(), Errno> {
        let mut bytes = Vec::with_capacity(512 * events.len());
        events.iter().try_for_each(|event| encode(event, &mut bytes))?;
        let file = self.open()?;
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, &bytes))?;
        if events.iter().any(|event| event.checks) {
            self.rotate_if_long(&file)?;
        }
        if written == bytes.len() { Ok(()) } else { Err(Errno::NOSPC) }
    }

    fn open(&self) -> Result<OwnedFd, Errno> {
        let path = self.dir.join(CURRENT);
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR);
        match open() {
            Err(Errno::NOENT) => {
                self.make()?;
                open()
            }
            file => file,
        }
    }

    /// Makes its directory.
    pub(super) fn make(&self) -> Result<(), Errno> {
        crate::store::make_directories(&self.dir)
    }

    fn rotate_if_long(&self, file: &OwnedFd) -> Result<(), Errno> {
        let is_long = |found: &rustix::fs::Stat| u64::try_from(found.st_size).unwrap_or(0) >= self.limit;
        if !is_long(&rustix::fs::fstat(file)?) {
            return Ok(());
        }
        let dir = files::open_dir(CWD, &self.dir)?;
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            // Another is at it.
            Err(Errno::WOULDBLOCK) => return Ok(()),
            locked => locked?,
        }
        match rustix::fs::statat(&dir, CURRENT, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(current) if is_long(&current) => rustix::fs::renameat(&dir, CURRENT, &dir, PREVIOUS),
            // Another was faster.
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

fn encode(event: &Event, bytes: &mut Vec<u8>) -> Result<(), Errno> {
    let begin = bytes.len();
    bytes.push(SEPARATOR);
    serde_json::to_writer(&mut *bytes, event).map_err(|_| Errno::INVAL)?;
    if bytes.len() - begin >= LONGEST {
        bytes.truncate(begin + 1);
        let own = ["image", "name", "exitCode", "container", "execID", "signal", "pod_id"];
        let keep = |(key, value): &(&String, &String)| own.contains(&key.as_str()) && value.len() < 4096;
        let attributes =
            event.attributes.iter().filter(keep).map(|(key, value)| (key.clone(), value.clone()));
        let short =
            Event { attributes: attributes.collect(), action: event.word().to_owned(), ..event.clone() };
        serde_json::to_writer(&mut *bytes, &short).map_err(|_| Errno::INVAL)?;
    }
    bytes.push(b'\n');
    Ok(())
}
