//! One layer's tree, made anew with other owners, by descriptors.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::{Contents, Extent, Shift, shifted};
use crate::pack::entry::xattrs;
use crate::store::each_entry;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Why a layer cannot have other owners.
#[derive(Debug)]
pub(crate) struct Failure {
    pub path: Vec<u8>,
    pub why: Why,
}

#[derive(Debug)]
pub(crate) enum Why {
    /// The system refused.
    System { action: &'static str, errno: Errno },
    /// Its owner is not among the ids.
    Unmapped { kind: &'static str, id: u32 },
}

/// Makes in the empty directory `to` what is in `from`. Files have their data where `data` and their path lead.
///
/// # Errors
/// [`Failure`]; what was made stays half-made.
pub(crate) fn shift(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    shift: &Shift,
    data: &[u8],
) -> Result<(), Failure> {
    let mut walk = Walk { from, to, shift, data, links: HashMap::new() };
    let root = fs::fstat(from).map_err(|errno| system(b"/", "look at", errno))?;
    let mut dirs = vec![(Vec::new(), root)];
    let mut next = 0;
    while let Some((path, _)) = dirs.get(next).cloned() {
        walk.directory(&path, &mut dirs)?;
        next += 1;
    }
    // Those in others first: making a name in one changes its time.
    dirs.iter().rev().try_for_each(|(path, stat)| walk.finish_directory(path, stat))
}

struct Walk<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    shift: &'a Shift,
    data: &'a [u8],
    /// The first names of files that have several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

fn system(path: &[u8], action: &'static str, errno: Errno) -> Failure {
    Failure { path: path.to_vec(), why: Why::System { action, errno } }
}

fn open(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Failure> {
    let inside = if path.is_empty() { b".".as_slice() } else { path };
    fs::openat2(root, inside, DIRECTORY, Mode::empty(), BENEATH).map_err(|errno| system(path, "open", errno))
}

fn joined(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

/// A place in the two trees.
struct At<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    name: &'a [u8],
    path: &'a [u8],
}

impl Walk<'_> {
    /// Makes all that is in one directory; directories wait for their turn.
    fn directory(&mut self, path: &[u8], dirs: &mut Vec<(Vec<u8>, Stat)>) -> Result<(), Failure> {
        let (from, to) = (open(self.from, path)?, open(self.to, path)?);
        let mut names = Vec::new();
        each_entry(from.as_fd(), |name| names.push(name.to_bytes().to_vec()))
            .map_err(|errno| system(path, "read the directory", errno))?;
        for name in names {
            let path = joined(path, &name);
            let stat = fs::statat(&from, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| system(&path, "look at", errno))?;
            let at = At { from: from.as_fd(), to: to.as_fd(), name: &name, path: &path };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    fs::mkdirat(&to, name.as_slice(), Mode::RWXU)
                        .map_err(|errno| system(&path, "make the directory", errno))?;
                    dirs.push((path, stat));
                }
                kind => self.entry(&at, &stat, kind)?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, at: &At<'_>, stat: &Stat, kind: FileType) -> Result<(), Failure> {
        let inode = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.links.get(&inode) {
            return fs::linkat(self.to, first.as_slice(), at.to, at.name, AtFlags::empty())
                .map_err(|errno| system(at.path, "link", errno));
        }
        match kind {
            FileType::RegularFile => self.file(at, stat)?,
            kind => self.special(at, stat, kind)?,
        }
        if stat.st_nlink > 1 {
            self.links.insert(inode, at.path.to_vec());
        }
        Ok(())
    }

    fn file(&self, at: &At<'_>, stat: &Stat) -> Result<(), Failure> {
        let failed = |action| move |errno| system(at.path, action, errno);
        let source =
            fs::openat(at.from, at.name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
                .map_err(failed("open"))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = fs::openat(at.to, at.name, flags, Mode::RUSR | Mode::WUSR).map_err(failed("make"))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        match self.shift.contents {
            Contents::Shared if size > 0 => {
                let place = [b"/", self.data, b"/", at.path].concat();
                fs::ftruncate(&made, size)
                    .and_then(|()| fs::fsetxattr(&made, "user.overlay.metacopy", b"", XattrFlags::empty()))
                    .and_then(|()| fs::fsetxattr(&made, "user.overlay.redirect", &place, XattrFlags::empty()))
                    .map_err(failed("set an attribute of"))?;
            }
            Contents::Shared => {}
            Contents::Copied => {
                copy(source.as_fd(), made.as_fd(), size).map_err(failed("copy"))?;
            }
        }
        self.give(source.as_fd(), made.as_fd(), at.path, stat)
    }

    /// Links, pipes, and the devices that removals are.
    fn special(&self, at: &At<'_>, stat: &Stat, kind: FileType) -> Result<(), Failure> {
        let failed = |action| move |errno| system(at.path, action, errno);
        let (uid, gid) = self.owner(at.path, stat)?;
        if kind == FileType::Symlink {
            let target = fs::readlinkat(at.from, at.name, Vec::new()).map_err(failed("read"))?;
            fs::symlinkat(&target, at.to, at.name).map_err(failed("make"))?;
        } else {
            fs::mknodat(at.to, at.name, kind, Mode::empty(), stat.st_rdev).map_err(failed("make"))?;
        }
        fs::chownat(at.to, at.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("set the owner of"))?;
        if kind != FileType::Symlink {
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
            fs::chmodat(at.to, at.name, mode, AtFlags::empty()).map_err(failed("set the permissions of"))?;
        }
        fs::utimensat(at.to, at.name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("set the time of"))
    }

    fn finish_directory(&self, path: &[u8], stat: &Stat) -> Result<(), Failure> {
        let (from, to) = (open(self.from, path)?, open(self.to, path)?);
        let mut value = [0; 8];
        match fs::fgetxattr(&from, OPAQUE, &mut value) {
            Ok(length) => fs::fsetxattr(&to, OPAQUE, &value[..length], XattrFlags::empty())
                .map_err(|errno| system(path, "set an attribute of", errno))?,
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(system(path, "read an attribute of", errno)),
        }
        self.give(from.as_fd(), to.as_fd(), path, stat)
    }

    /// Owner, permissions, attributes and times, in this order: each takes something of the next away.
    fn give(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), Failure> {
        let failed = |action| move |errno| system(path, action, errno);
        let (uid, gid) = self.owner(path, stat)?;
        fs::fchown(to, Some(uid), Some(gid)).map_err(failed("set the owner of"))?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        fs::fchmod(to, mode).map_err(failed("set the permissions of"))?;
        for (name, value) in xattrs(from).map_err(failed("read the attributes of"))? {
            let value = match name.as_slice() {
                b"security.capability" => self.capability(value),
                b"system.posix_acl_access" | b"system.posix_acl_default" => self.acl(value),
                _ => value,
            };
            fs::fsetxattr(to, name.as_slice(), &value, XattrFlags::empty())
                .map_err(failed("set an attribute of"))?;
        }
        fs::futimens(to, &times(stat)).map_err(failed("set the time of"))
    }

    fn owner(&self, path: &[u8], stat: &Stat) -> Result<(Uid, Gid), Failure> {
        let of = |kind, extents: &[Extent], id| {
            let unmapped = || Failure { path: path.to_vec(), why: Why::Unmapped { kind, id } };
            shifted(extents, id).ok_or_else(unmapped)
        };
        let uid = of("user", &self.shift.users, stat.st_uid)?;
        let gid = of("group", &self.shift.groups, stat.st_gid)?;
        Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
    }

    /// Capabilities of a file count in the user namespace whose root is named in them (capabilities(7),
    /// "Namespaced file capabilities"): the container's.
    fn capability(&self, value: Vec<u8>) -> Vec<u8> {
        const LENGTH: usize = 20;
        const VERSION_3: u8 = 3;
        let (Some(root), true) = (shifted(&self.shift.users, 0), value.len() >= LENGTH) else { return value };
        let mut value = value;
        value.truncate(LENGTH);
        value[3] = VERSION_3;
        value.extend(root.to_le_bytes());
        value
    }

    /// The users and groups that an access control list names (acl(5), linux/posix_acl_xattr.h).
    fn acl(&self, mut value: Vec<u8>) -> Vec<u8> {
        const HEAD: usize = 4;
        const ENTRY: usize = 8;
        const USER: u8 = 0x02;
        const GROUP: u8 = 0x08;
        for entry in value.get_mut(HEAD..).unwrap_or_default().chunks_exact_mut(ENTRY) {
            let extents = match entry[0] {
                USER => &self.shift.users,
                GROUP => &self.shift.groups,
                _ => continue,
            };
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            if let Some(id) = shifted(extents, id) {
                entry[4..].copy_from_slice(&id.to_le_bytes());
            }
        }
        value
    }
}

const OPAQUE: &str = "user.overlay.opaque";

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| fs::Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Copies a file: as a reference to the same blocks where the filesystem has that, else what is in it and not its holes.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, size: u64) -> Result<(), Errno> {
    use rustix::fs::SeekFrom::{Data, Hole};
    if fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    fs::ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let start = match fs::seek(from, Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno),
        };
        let end = fs::seek(from, Hole(start))?;
        let (mut read, mut written) = (start, start);
        while read < end {
            let length = usize::try_from(end - read).unwrap_or(usize::MAX);
            if fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), length)? == 0 {
                break;
            }
        }
        at = end;
    }
    Ok(())
}
