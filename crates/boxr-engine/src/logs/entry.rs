//! One entry of a log: one line of the file.

use super::time;

/// Where the box wrote something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1, and everything of a box with a terminal.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// Bytes before the text: time, stream, tag, and a blank after each.
pub(super) const HEADER: usize = time::LENGTH + 10;

/// A decoded line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// Formatted, as in the file.
    pub time: &'a [u8],
    pub stream: Stream,
    /// Whether it ends a line of the box's.
    pub full: bool,
    pub text: &'a [u8],
}

/// The bytes before the text of an entry.
pub(super) fn header(time: &[u8; time::LENGTH], stream: Stream, full: bool) -> [u8; HEADER] {
    let mut bytes = [b' '; HEADER];
    bytes[..time::LENGTH].copy_from_slice(time);
    let name = match stream {
        Stream::Stdout => b"stdout",
        Stream::Stderr => b"stderr",
    };
    bytes[time::LENGTH + 1..time::LENGTH + 7].copy_from_slice(name);
    bytes[time::LENGTH + 8] = if full { b'F' } else { b'P' };
    bytes
}

impl<'a> Entry<'a> {
    /// Decodes a line without its end; `None` for one that was cut short before the text.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let (header, text) = line.split_at_checked(HEADER)?;
        let (time, rest) = header.split_at(time::LENGTH);
        let (stream, full) = match rest {
            b" stdout F " => (Stream::Stdout, true),
            b" stdout P " => (Stream::Stdout, false),
            b" stderr F " => (Stream::Stderr, true),
            b" stderr P " => (Stream::Stderr, false),
            _ => return None,
        };
        Some(Self { time, stream, full, text })
    }

    /// When it was written, nanoseconds since 1970 UTC.
    pub fn nanoseconds(&self) -> Option<i64> {
        time::rfc3339(std::str::from_utf8(self.time).ok()?)
    }
}
