//! Reading a log: selection, and what was printed put together again.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, pread, retry_on_intr};

use super::entry::{Entry, Stream};
use super::files::{LogDir, LogFile, LogPlace};
use super::{LogError, Sink};

/// Read at once.
const BLOCK: usize = 64 * 1024;

/// Which part of a log is wanted, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only this many lines from the end, of both streams together.
    pub tail: Option<u64>,
    /// Only what was written then or later, nanoseconds since 1970 UTC.
    pub since: Option<i64>,
    /// Only what was written then or earlier, nanoseconds since 1970 UTC.
    pub until: Option<i64>,
    /// The time, and a blank, before each line.
    pub timestamps: bool,
}

/// Gives `sink` the part of the log at `place` that `query` wants, as far as it is written. No log is
/// an empty one.
pub fn read(place: impl Into<LogPlace>, query: &Query, sink: &mut dyn Sink) -> Result<(), LogError> {
    let dir = LogDir::open(&place.into())?;
    let (files, mut offset) = begin(&dir, query)?;
    let mut printer = Printer::new(*query);
    for file in files {
        let mut reader = Reader::new(file, offset);
        reader.drain(&dir, &mut printer, sink)?;
        reader.finish(&mut printer, sink)?;
        offset = 0;
    }
    Ok(sink.flush()?)
}

/// The files to read, and where to begin in the first.
pub(super) fn begin(dir: &LogDir, query: &Query) -> Result<(Vec<LogFile>, u64), LogError> {
    let mut files = dir.snapshot()?;
    let Some(mut wanted) = query.tail else { return Ok((files, 0)) };
    let mut at_end = true;
    for at in (0..files.len()).rev() {
        let found = last_lines(&files[at].fd, &mut wanted, &mut at_end).map_err(|e| dir.error("read", e))?;
        if let Some(offset) = found {
            files.drain(..at);
            return Ok((files, offset));
        }
    }
    Ok((files, 0))
}

/// Where the last `wanted` lines of `file` begin; `None` when there are more in older files, and then
/// `wanted` is how many. A line is what ends with a full entry, or with the log; `at_end` is whether
/// no entry has been seen yet.
fn last_lines(file: &OwnedFd, wanted: &mut u64, at_end: &mut bool) -> Result<Option<u64>, Errno> {
    let end = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
    if *at_end && *wanted == 0 {
        return Ok(Some(end));
    }
    let (mut position, mut carried) = (end, Vec::new());
    while position > 0 {
        let length = position.min(BLOCK as u64);
        position -= length;
        let mut block = vec![0u8; length as usize];
        read_exactly(file, &mut block, position)?;
        block.append(&mut carried);
        let mut line_end = block.len();
        // Bytes before the first end of line belong to an entry that begins in an earlier block.
        while let Some(at) = memchr::memrchr(b'\n', &block[..line_end.saturating_sub(1)]) {
            if counts(&block[at + 1..line_end], *at_end) {
                if *wanted == 0 {
                    return Ok(Some(position + line_end as u64));
                }
                *wanted -= 1;
            }
            *at_end &= Entry::parse(trimmed(&block[at + 1..line_end])).is_none();
            line_end = at + 1;
        }
        block.truncate(line_end);
        carried = block;
    }
    if !carried.is_empty() && counts(&carried, *at_end) {
        if *wanted == 0 {
            return Ok(Some(carried.len() as u64));
        }
        *wanted -= 1;
    }
    *at_end &= Entry::parse(trimmed(&carried)).is_none();
    Ok(None)
}

/// Whether this entry ends a line: it is full, or the last of the log.
fn counts(line: &[u8], at_end: bool) -> bool {
    Entry::parse(trimmed(line)).is_some_and(|entry| entry.full || at_end)
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

fn read_exactly(file: &OwnedFd, mut buffer: &mut [u8], mut offset: u64) -> Result<(), Errno> {
    while !buffer.is_empty() {
        let read = retry_on_intr(|| pread(file, &mut *buffer, offset))?;
        if read == 0 {
            // Cut off by its writer meanwhile, after an append that failed.
            buffer.fill(b'\n');
            return Ok(());
        }
        buffer = &mut buffer[read..];
        offset += read as u64;
    }
    Ok(())
}

/// Reads one file forwards, entry by entry.
#[derive(Debug)]
pub(super) struct Reader {
    pub file: LogFile,
    offset: u64,
    /// Read and not given yet: the beginning of an entry, after a drain.
    pending: Vec<u8>,
}

impl Reader {
    pub fn new(file: LogFile, offset: u64) -> Self {
        Self { file, offset, pending: Vec::new() }
    }

    /// Gives all whole entries that are there.
    pub fn drain(
        &mut self,
        dir: &LogDir,
        printer: &mut Printer,
        sink: &mut dyn Sink,
    ) -> Result<(), LogError> {
        loop {
            let begin = self.pending.len();
            self.pending.resize(begin + BLOCK, 0);
            let read = retry_on_intr(|| pread(&self.file.fd, &mut self.pending[begin..], self.offset));
            let read = match read {
                Ok(read) => read,
                Err(errno) => {
                    self.pending.truncate(begin);
                    return Err(dir.error("read", errno));
                }
            };
            self.pending.truncate(begin + read);
            self.offset += read as u64;
            if read == 0 {
                return Ok(());
            }
            let Some(end) = memchr::memrchr(b'\n', &self.pending) else { continue };
            let given = end + 1;
            for line in self.pending[..end].split(|&byte| byte == b'\n') {
                printer.entry(line, sink)?;
            }
            self.pending.drain(..given);
        }
    }

    /// Nothing will be added: what is there of an unfinished entry is given too.
    pub fn finish(&mut self, printer: &mut Printer, sink: &mut dyn Sink) -> Result<(), LogError> {
        let line = std::mem::take(&mut self.pending);
        if let Some(entry) = Entry::parse(&line) {
            // Its end was not written, whatever its tag says.
            printer.give(Entry { full: false, ..entry }, sink)?;
        }
        Ok(())
    }
}

/// Puts entries together to what was printed.
#[derive(Debug)]
pub(super) struct Printer {
    query: Query,
    /// By stream: whether the last entry was a piece, so that the next one continues its line.
    within_line: [bool; 2],
}

impl Printer {
    pub fn new(query: Query) -> Self {
        Self { query, within_line: [false; 2] }
    }

    /// A line of the file; what is no entry, because a writer was killed, is passed over.
    fn entry(&mut self, line: &[u8], sink: &mut dyn Sink) -> Result<(), LogError> {
        match Entry::parse(line) {
            Some(entry) => self.give(entry, sink),
            None => Ok(()),
        }
    }

    fn give(&mut self, entry: Entry<'_>, sink: &mut dyn Sink) -> Result<(), LogError> {
        if !self.wants(&entry) {
            return Ok(());
        }
        let within = &mut self.within_line[usize::from(entry.stream == Stream::Stderr)];
        if self.query.timestamps && !*within {
            sink.take(entry.stream, entry.time)?;
            sink.take(entry.stream, b" ")?;
        }
        *within = !entry.full;
        sink.take(entry.stream, entry.text)?;
        if entry.full {
            sink.take(entry.stream, b"\n")?;
        }
        Ok(())
    }

    fn wants(&self, entry: &Entry<'_>) -> bool {
        if self.query.since.is_none() && self.query.until.is_none() {
            return true;
        }
        entry.nanoseconds().is_some_and(|time| {
            self.query.since.is_none_or(|since| time >= since)
                && self.query.until.is_none_or(|until| time <= until)
        })
    }
}
