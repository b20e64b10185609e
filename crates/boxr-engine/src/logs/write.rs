//! The writer: what a monitor holds, so no threads, no growing memory, and no error that stops it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use super::entry::{Entry, HEADER, Stream, header};
use super::files::{LogPlace, Refused, name_of as file_name, regular};
use super::{LogError, time};
use crate::options::LogLimits;

/// Text of one entry at most; longer lines become pieces.
const PIECE: usize = 4096;
/// Entries are written together up to this size.
const BATCH: usize = 8192;
/// The same where much comes at once: fewer calls, and larger pieces in the page cache. What a pipe holds at most, with a
/// header for each of its lines.
const LARGE_BATCH: usize = 512 * 1024;
/// More than this at once is much.
const MUCH: usize = 16 * 1024;
/// Space on the disk that is taken at once for much: a file system asks for it block by block otherwise, at
/// each write.
const AHEAD: u64 = 4 * 1024 * 1024;
/// The least size at which a file is rotated: an entry must fit.
const LEAST_SIZE: u64 = 1024;

/// Writes the log of one box. Only one may exist for a log at a time.
#[derive(Debug)]
pub struct LogWriter {
    target: Target,
    batch: Vec<u8>,
    /// Entries in `batch`.
    entries: u64,
    lost: Lost,
}

/// The files.
#[derive(Debug)]
struct Target {
    dir: OwnedFd,
    name: String,
    /// `None` after a rotation that could not make the new file.
    file: Option<OwnedFd>,
    /// Of `file`.
    size: u64,
    /// Up to where it has space; less than `size` where nobody asked for any.
    allocated: u64,
    limits: LogLimits,
}

/// What could not be written.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    entries: u64,
    reason: Option<Errno>,
}

impl LogWriter {
    /// Opens the log at `place`, or begins it. An entry that a killed writer left unfinished is ended.
    pub fn open(place: impl Into<LogPlace>, limits: LogLimits) -> Result<Self, LogError> {
        let place = place.into();
        let dir = place.dir.as_path();
        let failed = |action, path: PathBuf| move |errno| LogError::System { action, path, errno };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir_fd =
            rustix::fs::openat(CWD, dir, flags, Mode::empty()).map_err(failed("open", dir.to_owned()))?;
        let path = place.path();
        let limits =
            LogLimits { max_size: limits.max_size.max(LEAST_SIZE), max_files: limits.max_files.max(1) };
        check_room(&dir_fd, &place, limits)?;
        let (file, size, allocated) =
            open_log(&dir_fd, &place.name).map_err(|refused| refused.at(path.clone()))?;
        let mut target = Target { dir: dir_fd, name: place.name, file: Some(file), size, allocated, limits };
        target.give_back();
        target.end_unfinished_entry().map_err(failed("repair", path.clone()))?;
        target.remove_surplus().map_err(failed("remove older files of", path))?;
        Ok(Self { target, batch: Vec::new(), entries: 0, lost: Lost::default() })
    }

    /// Writes what the box wrote. It is in the file when this returns; where that is impossible, for
    /// a full disk mostly, it is counted, and the log says so as soon as it can be written again.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let time = time::format(time::now());
        let full = header(&time, stream, true);
        let piece = header(&time, stream, false);
        let longest = PIECE.min(self.target.limits.max_size as usize - HEADER - 1);
        let most = if bytes.len() > MUCH { LARGE_BATCH } else { BATCH };
        self.batch.reserve_exact(most);
        let mut rest = bytes;
        while !rest.is_empty() {
            let window = &rest[..rest.len().min(longest + 1)];
            let (text, ends) = match memchr::memchr(b'\n', window) {
                Some(at) => (&rest[..at], true),
                None => (&rest[..rest.len().min(longest)], false),
            };
            self.add(if ends { &full } else { &piece }, text, most);
            rest = &rest[text.len() + usize::from(ends)..];
        }
        self.write_batch();
    }

    /// Gives the memory for large writes back to the kernel, and space on the disk, until the next one.
    pub fn rest(&mut self) {
        boxr_sys::memory::release(self.batch.spare_capacity_mut());
        self.target.give_back();
    }

    /// How many entries could not be written and have not been owned up to in the log yet.
    pub fn lost(&self) -> u64 {
        self.lost.entries
    }

    fn add(&mut self, header: &[u8; HEADER], text: &[u8], most: usize) {
        let filled = self.batch.len() + HEADER + text.len() + 1;
        let after = self.target.size + filled as u64;
        if filled > most || after > self.target.limits.max_size {
            self.write_batch();
        }
        boxr_sys::copy::append(&mut self.batch, header);
        boxr_sys::copy::append(&mut self.batch, text);
        self.batch.push(b'\n');
        self.entries += 1;
    }

    fn write_batch(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        if self.batch.is_empty() {
            return;
        }
        if self.batch.len() > MUCH {
            self.target.allocate(self.batch.len());
        }
        let done = self.own_up().and_then(|()| self.target.append(&self.batch));
        self.batch.clear();
        if let Err(errno) = done {
            self.lost.entries += entries;
            self.lost.reason = Some(errno);
        }
    }

    /// Writes that something was lost.
    fn own_up(&mut self) -> Result<(), Errno> {
        let Lost { entries, reason: Some(reason) } = self.lost else { return Ok(()) };
        let line = format!("boxr: {entries} entries of this log were lost: {}\n", io::Error::from(reason));
        let header = header(&time::format(time::now()), Stream::Stderr, true);
        self.target.append(&[&header, line.as_bytes()].concat())?;
        self.lost = Lost::default();
        Ok(())
    }
}

impl Target {
    /// Appends whole entries with one call, or nothing.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if self.file.is_none() || (self.size > 0 && self.size + bytes.len() as u64 > self.limits.max_size) {
            self.rotate()?;
        }
        let Some(file) = &self.file else { return Err(Errno::BADF) };
        let written = rustix::io::retry_on_intr(|| rustix::io::write(file, bytes));
        if written == Ok(bytes.len()) {
            self.size += bytes.len() as u64;
            return Ok(());
        }
        // A part of it has no end of line and would spoil what follows.
        if written.is_ok() {
            rustix::fs::ftruncate(file, self.size)?;
        }
        Err(written.err().unwrap_or(Errno::NOSPC))
    }

    /// Takes space for what will come behind `bytes`. Where there is none, or no such call, the writes say so
    /// themselves, or do without.
    fn allocate(&mut self, bytes: usize) {
        let Some(file) = &self.file else { return };
        let end = (self.allocated.max(self.size) + AHEAD).min(self.limits.max_size);
        if self.size + bytes as u64 > self.allocated && end > self.size {
            let flags = FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(file, flags, self.size, end - self.size).unwrap_or_default();
            self.allocated = end;
        }
    }

    /// Gives back the space behind the end. The file is as good with it.
    fn give_back(&mut self) {
        if let Some(file) = self.file.as_ref().filter(|_| self.allocated > self.size) {
            rustix::fs::ftruncate(file, self.size).unwrap_or_default();
            self.allocated = self.size;
        }
    }

    /// Moves the files on by one. The oldest goes, which also makes room on a full disk.
    fn rotate(&mut self) -> Result<(), Errno> {
        self.give_back();
        if self.file.take().is_some() {
            self.move_on()?;
        }
        let opened = open_log(&self.dir, &self.name);
        let (file, size, allocated) = opened.map_err(|refused| match refused {
            Refused::NotAFile => Errno::BADF,
            Refused::System(errno) => errno,
        })?;
        self.file = Some(file);
        (self.size, self.allocated) = (size, allocated);
        Ok(())
    }

    /// Renames `log` to `log.1` and so on, up to the first number that is free, or the last that is allowed.
    fn move_on(&self) -> Result<(), Errno> {
        let mut free = 1;
        while free < self.limits.max_files && self.has(free)? {
            free += 1;
        }
        if free == self.limits.max_files {
            rustix::fs::unlinkat(&self.dir, file_name(&self.name, free - 1), AtFlags::empty())?;
            free -= 1;
        }
        for number in (0..free).rev() {
            rustix::fs::renameat(
                &self.dir,
                file_name(&self.name, number),
                &self.dir,
                file_name(&self.name, number + 1),
            )?;
        }
        Ok(())
    }

    fn has(&self, number: u32) -> Result<bool, Errno> {
        match rustix::fs::statat(&self.dir, file_name(&self.name, number), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Removes what a writer that was allowed more files has left.
    fn remove_surplus(&self) -> Result<(), Errno> {
        let mut number = self.limits.max_files;
        while self.has(number)? && is_ours(&self.dir, &file_name(&self.name, number))? {
            rustix::fs::unlinkat(&self.dir, file_name(&self.name, number), AtFlags::empty())?;
            number += 1;
        }
        Ok(())
    }

    fn end_unfinished_entry(&mut self) -> Result<(), Errno> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.size == 0 {
            return Ok(());
        }
        let mut last = [0u8];
        rustix::io::pread(file, &mut last, self.size - 1)?;
        if last != *b"\n" {
            self.size += rustix::io::write(file, b"\n")? as u64;
        }
        Ok(())
    }
}

/// Whether rotations will replace nothing but logs: beside a path that a person has chosen lie files of others.
fn check_room(dir: &OwnedFd, place: &LogPlace, limits: LogLimits) -> Result<(), LogError> {
    for number in 1..limits.max_files {
        let path = place.dir.join(file_name(&place.name, number));
        let failed = |errno| LogError::System { action: "look at", path: path.clone(), errno };
        match is_ours(dir, &file_name(&place.name, number)) {
            Ok(true) => {}
            Ok(false) => return Err(LogError::Foreign { path }),
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}

/// Whether a log's writer has made this file: it is empty or begins with an entry.
fn is_ours(dir: &OwnedFd, name: &str) -> Result<bool, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        // A link, a socket.
        Err(Errno::LOOP | Errno::NXIO) => return Ok(false),
        file => file?,
    };
    let mut head = [0u8; HEADER];
    match regular(&file) {
        Err(Refused::NotAFile) => return Ok(false),
        Err(Refused::System(errno)) => return Err(errno),
        Ok(_) => {}
    }
    let read = rustix::io::retry_on_intr(|| rustix::io::pread(&file, &mut head, 0))?;
    Ok(read == 0 || Entry::parse(&head[..read]).is_some_and(|entry| entry.nanoseconds().is_some()))
}

/// The file, its size, and the space that it takes, in bytes.
fn open_log(dir: &OwnedFd, name: &str) -> Result<(OwnedFd, u64, u64), Refused> {
    // For reading too: its last byte is looked at. A device may wait for somebody.
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NONBLOCK
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir.as_fd(), name, flags, Mode::from_raw_mode(0o600))?;
    let stat = regular(&file)?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let whole_blocks = size.next_multiple_of(stat.st_blksize.try_into().unwrap_or(1).max(1));
    let space = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
    Ok((file, size, if space > whole_blocks { space } else { 0 }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::logs::{Query, Split, read};

    fn contents(dir: &Path) -> (String, String) {
        let mut both = Split { stdout: Vec::new(), stderr: Vec::new() };
        read(dir, &Query::default(), &mut both).unwrap();
        (String::from_utf8(both.stdout).unwrap(), String::from_utf8(both.stderr).unwrap())
    }

    #[test]
    fn a_full_disk_is_owned_up_to_when_there_is_space_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(dir.path(), LogLimits::default()).unwrap();
        writer.write(Stream::Stdout, b"one\n");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let real = writer.target.file.replace(full.into()).unwrap();
        writer.write(Stream::Stdout, b"two\nthree\n");
        writer.write(Stream::Stderr, b"four");
        assert_eq!(writer.lost(), 3);
        writer.target.file = Some(real);
        writer.write(Stream::Stdout, b"five\n");
        assert_eq!(writer.lost(), 0);
        let (stdout, stderr) = contents(dir.path());
        assert_eq!(stdout, "one\nfive\n");
        assert_eq!(stderr, "boxr: 3 entries of this log were lost: No space left on device (os error 28)\n");
    }

    #[test]
    fn a_rotation_that_fails_loses_no_more_than_it_must() {
        let dir = tempfile::tempdir().unwrap();
        let limits = LogLimits { max_size: 1024, max_files: 2 };
        let mut writer = LogWriter::open(dir.path(), limits).unwrap();
        writer.write(Stream::Stdout, &[b'a'; 900]);
        // `log` cannot be renamed onto a directory that is not empty.
        std::fs::create_dir_all(dir.path().join("log.1/x")).unwrap();
        writer.write(Stream::Stdout, &[b'b'; 900]);
        assert_eq!(writer.lost(), 1);
        std::fs::remove_dir_all(dir.path().join("log.1")).unwrap();
        writer.write(Stream::Stdout, &[b'c'; 100]);
        assert_eq!(writer.lost(), 0);
        assert_eq!(contents(dir.path()).0, "a".repeat(900) + &"c".repeat(100));
    }

    #[test]
    fn space_that_was_taken_for_much_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let space =
            || std::os::unix::fs::MetadataExt::blocks(&dir.path().join("log").metadata().unwrap()) * 512;
        let much = [b'a'; 100 * 1024];
        let mut writer = LogWriter::open(dir.path(), LogLimits::default()).unwrap();
        writer.write(Stream::Stdout, &much);
        if space() < AHEAD {
            assert_eq!(writer.target.allocated, AHEAD, "no file system asks for less than it is told");
            return;
        }
        writer.rest();
        assert!(space() < 200 * 1024, "{} bytes", space());
        // A writer that is killed leaves it to the next.
        writer.write(Stream::Stdout, &much);
        drop(writer);
        assert!(space() >= AHEAD);
        LogWriter::open(dir.path(), LogLimits::default()).unwrap();
        assert!(space() < 400 * 1024, "{} bytes", space());
        assert_eq!(contents(dir.path()).0.len(), 2 * much.len());
    }

    #[test]
    fn fewer_files_than_before_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        for max_files in [5, 2, 1] {
            let mut writer = LogWriter::open(dir.path(), LogLimits { max_size: 1024, max_files }).unwrap();
            for _ in 0..8 {
                writer.write(Stream::Stdout, &[b'a'; 900]);
            }
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), max_files as usize);
        }
    }

    #[test]
    fn an_entry_that_a_killed_writer_left_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(dir.path(), LogLimits::default()).unwrap();
        writer.write(Stream::Stdout, b"first\nsecond\n");
        drop(writer);
        let whole = std::fs::read(dir.path().join("log")).unwrap();
        for kept in 0..=whole.len() {
            std::fs::write(dir.path().join("log"), &whole[..kept]).unwrap();
            let cut = contents(dir.path()).0;
            assert!("first\nsecond\n".starts_with(&cut), "{kept}: {cut:?}");
            let mut writer = LogWriter::open(dir.path(), LogLimits::default()).unwrap();
            writer.write(Stream::Stdout, b"third\n");
            let after = contents(dir.path()).0;
            let ended = if cut.is_empty() || cut.ends_with('\n') { cut } else { cut + "\n" };
            assert!(
                after == format!("{ended}third\n") || after == format!("{ended}\nthird\n"),
                "{kept}: {after:?}"
            );
        }
    }
}
