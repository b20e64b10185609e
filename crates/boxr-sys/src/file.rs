//! Reading a small file with as few system calls as there can be: open, read, close.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::path::Arg;

/// Room that is made for each read, in bytes. A file of less takes one.
const ROOM: usize = 8192;

/// Reads a file whole into `buffer`, which is only ever enlarged, and gives what was read. A short read of a regular
/// file is its end. A symbolic link is not followed.
///
/// # Errors
/// open(2), read(2).
pub fn read_whole<'a>(
    at: BorrowedFd<'_>,
    path: impl Arg,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let length = read_open(&openat(at, path, flags, Mode::empty())?, buffer)?;
    Ok(&buffer[..length])
}

/// Reads a file of the host's that is text, through links. What is no UTF-8 is replaced.
///
/// # Errors
/// open(2), read(2).
pub fn read_text(path: impl Arg) -> Result<String, Errno> {
    let mut buffer = Vec::new();
    let length =
        read_open(&openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, &mut buffer)?;
    buffer.truncate(length);
    Ok(String::from_utf8(buffer)
        .unwrap_or_else(|other| String::from_utf8_lossy(other.as_bytes()).into_owned()))
}

/// Reads a table of the kernel's that may be long, as in /proc: a short read is no end of it.
///
/// # Errors
/// open(2), read(2).
pub fn read_table(path: impl Arg) -> Result<Vec<u8>, Errno> {
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let (mut buffer, mut length) = (Vec::new(), 0);
    loop {
        buffer.resize(length + ROOM, 0);
        match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer[length..]))? {
            0 => break,
            read => length += read,
        }
    }
    buffer.truncate(length);
    Ok(buffer)
}

fn read_open(file: &OwnedFd, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
    let mut length = 0;
    loop {
        if buffer.len() < length + ROOM / 2 {
            buffer.resize(length + ROOM, 0);
        }
        let room = buffer.len() - length;
        let read = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut buffer[length..]))?;
        length += read;
        if read < room {
            return Ok(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn files_of_any_length_are_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut buffer = Vec::new();
        for length in [0, 1, ROOM - 1, ROOM, ROOM + 1, 5 * ROOM] {
            let (path, text) = (dir.path().join("file"), "x".repeat(length));
            std::fs::write(&path, &text).unwrap();
            assert!(read_whole(CWD.as_fd(), &path, &mut buffer).unwrap() == text.as_bytes(), "{length}");
            assert!(read_text(&path).unwrap() == text, "{length}");
        }
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        assert_eq!(read_whole(CWD, dir.path().join("link"), &mut buffer), Err(Errno::LOOP));
        assert!(read_text(dir.path().join("link")).is_ok());
        assert_eq!(read_text(dir.path().join("none")), Err(Errno::NOENT));
        std::fs::write(dir.path().join("file"), b"a\xffb").unwrap();
        assert_eq!(read_text(dir.path().join("file")).unwrap(), "a\u{fffd}b");
    }
}
