//! One file as it is: on the host, or in the changes of a try.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, major, minor, openat2, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
}

/// One file's inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    pub shape: Shape,
    /// Permission bits, with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Last change of its contents, nanoseconds since 1970.
    pub modified: i64,
    /// Last change of the inode, nanoseconds since 1970.
    pub changed: i64,
    /// `st_dev`
    pub device: u64,
    /// `st_ino`
    pub inode: u64,
    /// Names.
    pub links: u64,
    /// Of a device: what it stands for.
    pub number: (u32, u32),
}

impl Entry {
    /// From what stat(2) says.
    pub(super) fn of(stat: &Stat) -> Self {
        let nanos =
            |seconds: i64, rest: u64| seconds.saturating_mul(1_000_000_000).saturating_add(rest as i64);
        Self {
            shape: match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Shape::Directory,
                FileType::Symlink => Shape::Link,
                FileType::CharacterDevice => Shape::Character,
                FileType::BlockDevice => Shape::Block,
                FileType::Fifo => Shape::Pipe,
                FileType::Socket => Shape::Socket,
                _ => Shape::File,
            },
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: nanos(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanos(stat.st_ctime, stat.st_ctime_nsec),
            device: stat.st_dev,
            inode: stat.st_ino,
            links: stat.st_nlink,
            number: (major(stat.st_rdev), minor(stat.st_rdev)),
        }
    }

    /// The file `name` in a directory, not followed; `None` where there is none.
    pub(super) fn at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Self>, Errno> {
        match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
            Ok(stat) => Ok(Some(Self::of(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// How overlayfs says that a file is gone.
    pub(super) fn is_whiteout(&self) -> bool {
        self.shape == Shape::Character && self.number == (0, 0)
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.shape == Shape::Directory
    }

    /// Whether it is the same file with the same contents. A rename may have changed the rest of what is known of it.
    pub(super) fn is_same_as(&self, earlier: &Self) -> bool {
        (self.shape, self.inode, self.size, self.modified)
            == (earlier.shape, earlier.inode, earlier.size, earlier.modified)
    }

    /// Whether nothing has happened to the file between two looks. A directory is one as long as it has the same
    /// owner and mode: what is in it is looked at by itself.
    pub(super) fn is_untouched_since(&self, earlier: &Self) -> bool {
        if self.is_directory() && earlier.is_directory() {
            return (self.mode, self.uid, self.gid) == (earlier.mode, earlier.uid, earlier.gid);
        }
        (self.shape, self.inode, self.size, self.modified, self.changed)
            == (earlier.shape, earlier.inode, earlier.size, earlier.modified, earlier.changed)
    }
}

/// A directory beneath `root`, on the same filesystem, by a path without links.
pub(super) fn open_dir(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(root, path, flags, Mode::empty(), resolve)
}

/// A path that names `name` in `dir` for calls that take nothing else. The last name is not followed by calls that
/// follow none.
pub(super) fn by_number(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    [format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).as_bytes(), name].concat()
}

/// The directory and the name of a path; the directory is empty at the top.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memrchr(b'/', path) {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// `name` in the directory `dir`, both beneath the same one.
pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

/// A path as a person can read it, and a terminal show it, whatever bytes it has: those that are no printable text
/// are written as `\ooo` in octal, and a backslash twice.
pub fn printable(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                letter if letter.is_control() || is_invisible(letter) => {
                    let mut buffer = [0; 4];
                    letter.encode_utf8(&mut buffer).bytes().for_each(|byte| octal(&mut text, byte));
                }
                letter => text.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|byte| octal(&mut text, *byte));
    }
    text
}

/// Text of others that a terminal can show: line by line as it is, but what would move its cursor, colour it or be
/// answered by it is written as `\ooo`.
pub fn harmless(text: &[u8]) -> String {
    let mut harmless = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if matches!(letter, '\n' | '\t') || !(letter.is_control() || is_invisible(letter)) {
                harmless.push(letter);
            } else {
                let mut buffer = [0; 4];
                letter.encode_utf8(&mut buffer).bytes().for_each(|byte| octal(&mut harmless, byte));
            }
        }
        chunk.invalid().iter().for_each(|byte| octal(&mut harmless, *byte));
    }
    harmless
}

/// Letters that change the order or the look of others.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn octal(text: &mut String, byte: u8) {
    text.push_str(&format!("\\{byte:03o}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_can_be_shown() {
        assert_eq!(printable("/a b/é".as_bytes()), "/a b/é");
        assert_eq!(printable(b"/a\nb\\c\xff\x1b[2J"), "/a\\012b\\\\c\\377\\033[2J");
        assert_eq!(printable("x\u{202e}y".as_bytes()), "x\\342\\200\\256y");
    }

    #[test]
    fn text_of_others_moves_no_cursor() {
        assert_eq!(harmless("+a\tb\\é\n".as_bytes()), "+a\tb\\é\n");
        assert_eq!(harmless(b"a\rb\x1b]52;c;x\x07\n\x9b1m"), "a\\015b\\033]52;c;x\\007\n\\2331m");
        assert_eq!(harmless("x\u{202e}y\u{9b}".as_bytes()), "x\\342\\200\\256y\\302\\233");
    }

    #[test]
    fn paths_are_taken_apart_and_put_together() {
        assert_eq!((split(b"a/b/c"), split(b"a")), ((&b"a/b"[..], &b"c"[..]), (&b""[..], &b"a"[..])));
        assert_eq!((join(b"", b"a"), join(b"a", b"b")), (b"a".to_vec(), b"a/b".to_vec()));
    }
}
