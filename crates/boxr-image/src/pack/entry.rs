//! One file as an entry of an archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Holes, Ids};
use crate::tar::{Entry, Kind, Segment, Time};
use crate::unpack::is_wanted;

/// The most pieces that a file with holes is stored in; more than this, and it is stored whole.
const MOST_SEGMENTS: usize = 1 << 16;

/// What is to be put into an archive.
pub(crate) enum Data {
    /// A file with its contents.
    File(Entry, Box<dyn Read>),
    /// Something without any.
    None(Entry),
    /// What archives cannot hold.
    Socket,
    /// It was removed meanwhile.
    Gone,
}

/// Overlayfs' mark of something that is removed.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// The entry of what has this `stat`, as far as that says.
pub(crate) fn of(stat: &Stat, kind: Kind, name: &[u8], ids: &Ids) -> Entry {
    let (uid, gid) = ids.of(stat.st_uid, stat.st_gid);
    Entry {
        uid,
        gid,
        // Whole seconds, as docker's and podman's layers have.
        modified: Time { seconds: stat.st_mtime, nanoseconds: 0 },
        ..Entry::new(kind, name, stat.st_mode & 0o7777)
    }
}

/// What is at `name` in `parent`, which was found to have this `stat`.
pub(crate) fn open(
    parent: BorrowedFd<'_>,
    name: &[u8],
    stat: &Stat,
    path: &[u8],
    ids: &Ids,
    holes: Holes,
) -> Result<Data, Errno> {
    let device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => file(parent, name, path, ids, holes),
        FileType::Symlink => match fs::readlinkat(parent, name, Vec::new()) {
            Err(Errno::NOENT | Errno::INVAL) => Ok(Data::Gone),
            link => Ok(Data::None(Entry { link: link?.into_bytes(), ..of(stat, Kind::Symlink, path, ids) })),
        },
        FileType::CharacterDevice => {
            Ok(Data::None(Entry { device, ..of(stat, Kind::CharacterDevice, path, ids) }))
        }
        FileType::BlockDevice => Ok(Data::None(Entry { device, ..of(stat, Kind::BlockDevice, path, ids) })),
        FileType::Fifo => Ok(Data::None(of(stat, Kind::Fifo, path, ids))),
        _ => Ok(Data::Socket),
    }
}

fn file(parent: BorrowedFd<'_>, name: &[u8], path: &[u8], ids: &Ids, holes: Holes) -> Result<Data, Errno> {
    // Something else may be in its place by now, such as a pipe that would be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = match fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::LOOP) => return Ok(Data::Gone),
        fd => fd?,
    };
    let stat = fs::fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(Data::Gone);
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mut entry = Entry { size, xattrs: xattrs(fd.as_fd())?, ..of(&stat, Kind::File, path, ids) };
    let stored = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
    if holes == Holes::Kept && stored < size {
        entry.segments = segments(fd.as_fd(), size)?;
    }
    let file = File::from(fd);
    let data: Box<dyn Read> = match &entry.segments {
        Some(segments) => Box::new(Pieces { file, waiting: segments.clone().into_iter(), left: 0 }),
        // One that was cut meanwhile ends with zeros, as GNU tar has it.
        None => Box::new(file.chain(io::repeat(0))),
    };
    Ok(Data::File(entry, data))
}

/// Where a file has data (lseek(2), `SEEK_DATA`); `None` where that cannot be told, or is in too many pieces.
fn segments(file: BorrowedFd<'_>, size: u64) -> Result<Option<Vec<Segment>>, Errno> {
    use rustix::fs::SeekFrom::{Data, Hole};
    let mut segments = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match fs::seek(file, Data(at)) {
            Ok(start) if start < size => start,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let end = fs::seek(file, Hole(start))?.min(size);
        segments.push(Segment { offset: start, length: end - start });
        if segments.len() > MOST_SEGMENTS || end <= at {
            return Ok(None);
        }
        at = end;
    }
    Ok(Some(segments))
}

/// The data of a file, without its holes.
struct Pieces {
    file: File,
    waiting: std::vec::IntoIter<Segment>,
    left: u64,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            let Some(next) = self.waiting.next() else { return Ok(0) };
            self.file.seek(SeekFrom::Start(next.offset))?;
            self.left = next.length;
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = match self.file.read(&mut buffer[..most])? {
            // Cut meanwhile.
            0 => {
                buffer[..most].fill(0);
                most
            }
            read => read,
        };
        self.left -= read as u64;
        Ok(read)
    }
}

/// Name and value of an extended attribute.
type Xattr = (Vec<u8>, Vec<u8>);

/// The attributes that belong to the files and not to the machine.
pub(crate) fn xattrs(fd: BorrowedFd<'_>) -> Result<Vec<Xattr>, Errno> {
    let mut names = vec![0; 64 * 1024];
    let length = match fs::flistxattr(fd, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        length => length?,
    };
    let mut found = Vec::new();
    let mut value = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty() && is_wanted(name)) {
        value.resize(64 * 1024, 0);
        match fs::fgetxattr(fd, name, &mut value) {
            Ok(length) => found.push((name.to_vec(), value[..length].to_vec())),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(found)
}
