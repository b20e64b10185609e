//! Where a monitor writes what its box prints.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with};

use super::{LogError, LogPlace, LogWriter, Stream};
use crate::options::{LogDriver, LogLimits, LogTarget};

/// systemd-journald's socket for its own protocol (systemd.journal-fields(7), "Native Protocol").
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Text of one entry at most.
const LONGEST: usize = 16 * 1024;

/// Takes the output of one box.
#[derive(Debug)]
pub enum Log {
    /// A file of its own.
    File(LogWriter),
    /// systemd's journal.
    Journal(Journal),
    /// Nobody keeps it.
    Nothing,
}

/// Whose output it is.
#[derive(Clone, Copy, Debug)]
pub struct WhoLogs<'a> {
    /// The box's id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its data directory.
    pub data: &'a Path,
}

impl Log {
    /// Opens what `target` names.
    ///
    /// # Errors
    /// The file cannot be written; there is no journal.
    pub fn open(who: WhoLogs<'_>, target: &LogTarget, limits: LogLimits) -> Result<Self, LogError> {
        match target.driver {
            driver if driver.is_file() => {
                LogWriter::open(LogPlace::of(who.data, target), limits).map(Self::File)
            }
            LogDriver::Journald => Journal::open(who, target.tag.as_deref()).map(Self::Journal),
            _ => Ok(Self::Nothing),
        }
    }

    /// Writes what the box wrote.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        match self {
            Self::File(writer) => writer.write(stream, bytes),
            Self::Journal(journal) => journal.write(stream, bytes),
            Self::Nothing => {}
        }
    }

    /// Nothing more comes for a while: space that a file took in advance is given back.
    pub fn rest(&mut self) {
        if let Self::File(writer) = self {
            writer.rest();
        }
    }
}

/// A socket to systemd's journal.
#[derive(Debug)]
pub struct Journal {
    socket: OwnedFd,
    address: SocketAddrUnix,
    /// Fields that every entry has.
    fields: Vec<u8>,
    /// By stream: the last piece did not end its line.
    within_line: [bool; 2],
}

impl Journal {
    fn open(who: WhoLogs<'_>, tag: Option<&str>) -> Result<Self, LogError> {
        Self::at(JOURNAL, who, tag)
    }

    fn at(path: &str, who: WhoLogs<'_>, tag: Option<&str>) -> Result<Self, LogError> {
        let failed = |errno| LogError::System { action: "write to the journal at", path: path.into(), errno };
        let found = std::fs::symlink_metadata(path);
        found.map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).map_err(failed)?;
        let address = SocketAddrUnix::new(path).map_err(failed)?;
        let short = who.id.get(..12).unwrap_or(who.id);
        let tag = tag.unwrap_or(short);
        let mut fields = Vec::new();
        for (key, value) in [
            ("CONTAINER_ID", short),
            ("CONTAINER_ID_FULL", who.id),
            ("CONTAINER_NAME", who.name),
            ("CONTAINER_TAG", tag),
            ("SYSLOG_IDENTIFIER", tag),
        ] {
            field(&mut fields, key, value.as_bytes());
        }
        Ok(Self { socket, address, fields, within_line: [false; 2] })
    }

    /// An entry for each line; one that goes on says so, as docker's do.
    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let ends = text.len() < line.len();
            let within =
                std::mem::replace(&mut self.within_line[usize::from(stream == Stream::Stderr)], !ends);
            if text.is_empty() && within {
                continue;
            }
            let mut pieces = text.chunks(LONGEST).peekable();
            if pieces.peek().is_none() {
                self.send(stream, b"", !ends);
            }
            while let Some(piece) = pieces.next() {
                self.send(stream, piece, pieces.peek().is_some() || !ends);
            }
        }
    }

    fn send(&self, stream: Stream, text: &[u8], goes_on: bool) {
        let mut entry = self.fields.clone();
        field(&mut entry, "MESSAGE", text);
        // syslog(3): informational, and errors.
        field(&mut entry, "PRIORITY", if stream == Stream::Stderr { b"3" } else { b"6" });
        if goes_on {
            field(&mut entry, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        // A box outlives its journal: what nobody takes is lost, as with every program that logs there.
        rustix::io::retry_on_intr(|| sendto(&self.socket, &entry, SendFlags::NOSIGNAL, &self.address))
            .unwrap_or_default();
    }
}

/// One field: `KEY=value`, or with its length where an end of line is in it.
fn field(entry: &mut Vec<u8>, key: &str, value: &[u8]) {
    entry.extend_from_slice(key.as_bytes());
    if value.contains(&b'\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_gets_an_entry_for_each_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journald = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let who = WhoLogs { id: "0123456789abcdef", name: "web", data: dir.path() };
        let mut journal = Journal::at(path.to_str().unwrap(), who, Some("mine")).unwrap();
        journal.write(Stream::Stdout, b"one\ntw");
        journal.write(Stream::Stderr, b"\n");
        journal.write(Stream::Stdout, b"o\n");
        let mut entries = Vec::new();
        for _ in 0..4 {
            let mut buffer = [0u8; 1024];
            let length = journald.recv(&mut buffer).unwrap();
            entries.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        let head = "CONTAINER_ID=0123456789ab\nCONTAINER_ID_FULL=0123456789abcdef\nCONTAINER_NAME=web\n\
                    CONTAINER_TAG=mine\nSYSLOG_IDENTIFIER=mine\n";
        let partial = "CONTAINER_PARTIAL_MESSAGE=true\n";
        assert_eq!(entries[0], format!("{head}MESSAGE=one\nPRIORITY=6\n"));
        assert_eq!(entries[1], format!("{head}MESSAGE=tw\nPRIORITY=6\n{partial}"));
        assert_eq!(entries[2], format!("{head}MESSAGE=\nPRIORITY=3\n"));
        assert_eq!(entries[3], format!("{head}MESSAGE=o\nPRIORITY=6\n"));
        assert!(Journal::at("/no/such/socket", who, None).is_err());
    }

    #[test]
    fn a_value_of_several_lines_has_its_length() {
        let mut entry = Vec::new();
        field(&mut entry, "A", b"x\ny");
        assert_eq!(entry, b"A\n\x03\0\0\0\0\0\0\0x\ny\n");
    }
}
