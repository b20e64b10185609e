//! Changes of a file's metadata (mode, owner, times, extended attributes), of which Landlock knows no right: made for a
//! sandbox that it confines alone, where they are of files that it may write.
//!
//! No such call goes on: by the time it did, its path or its descriptor could lead elsewhere. The file is opened here as
//! the process would open it, by its own directories and descriptors and without a right that it lacks; then it is
//! looked at where it lies, and then it is changed, by that one descriptor.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use boxr_sys::seccomp_listener::Notification;
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    openat, openat2, readlink, removexattr, setxattr, utimensat,
};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::memory::{is_native, read_whole, text};
use crate::sandbox::OF_METADATA;

/// `PATH_MAX`, `XATTR_NAME_MAX` with its zero, `XATTR_SIZE_MAX` (`<linux/limits.h>`).
const LONGEST_PATH: usize = 4096;
const LONGEST_NAME: usize = 256;
const LARGEST_VALUE: u64 = 65536;
/// `AT_FDCWD`, `AT_SYMLINK_NOFOLLOW`, `AT_EMPTY_PATH` of `<fcntl.h>`.
const AT_FDCWD: i32 = -100;
const NOFOLLOW: u64 = 0x100;
const EMPTY_PATH: u64 = 0x1000;

/// The files whose metadata may change.
#[derive(Debug)]
pub(super) struct Keeper {
    /// Without links; unknown until the box is planned.
    writable: Arc<OnceLock<Vec<PathBuf>>>,
}

/// What a call is for.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Descriptor(i32),
    Path { dir: i32, address: u64, flags: u64 },
}

/// What becomes of it.
#[derive(Debug)]
enum Change {
    Mode(u32),
    Owner(Option<Uid>, Option<Gid>),
    Times(Timestamps),
    Attribute { name: Vec<u8>, value: Vec<u8>, flags: u32 },
    NoAttribute { name: Vec<u8> },
}

/// Whether such a call is by this name.
pub(super) fn is_one(name: &str) -> bool {
    OF_METADATA.contains(&name)
}

impl Keeper {
    pub fn new(writable: Arc<OnceLock<Vec<PathBuf>>>) -> Self {
        Self { writable }
    }

    /// Makes the change that a waiting call asks for. `still_waits` tells whether whoever called is there yet: then it
    /// was its memory and its descriptors that were looked at.
    ///
    /// # Errors
    /// What the call fails with: `EPERM` for a file that is none of those.
    pub fn change(
        &self,
        call: &Notification,
        name: &str,
        still_waits: impl FnOnce() -> bool,
    ) -> Result<(), Errno> {
        if !is_native(call) {
            return Err(Errno::PERM);
        }
        let (target, change) = asked(call, name)?;
        as_without_capabilities(|| {
            let file = open(call, &target)?;
            let link = through_proc(&file);
            if !still_waits() {
                return Err(Errno::INTR);
            }
            let place =
                PathBuf::from(std::ffi::OsString::from_vec(readlink(&link, Vec::new())?.into_bytes()));
            if !self.writable.get().is_some_and(|dirs| dirs.iter().any(|dir| place.starts_with(dir))) {
                return Err(Errno::PERM);
            }
            change.make(&link)
        })
    }
}

/// The call's arguments (the manual pages of section 2).
fn asked(call: &Notification, name: &str) -> Result<(Target, Change), Errno> {
    let arguments = &call.arguments;
    let at = |dir: usize, path: usize, flags: u64| match (arguments[path], flags & !(NOFOLLOW | EMPTY_PATH)) {
        (_, 1..) => Err(Errno::INVAL),
        // utimensat(2), futimesat(2).
        (0, 0) if name.starts_with("utimens") || name == "futimesat" => {
            Ok(Target::Descriptor(low(arguments[dir])))
        }
        (address, 0) => Ok(Target::Path { dir: low(arguments[dir]), address, flags }),
    };
    let path = |flags| Target::Path { dir: AT_FDCWD, address: arguments[0], flags };
    let descriptor = || Target::Descriptor(low(arguments[0]));
    Ok(match name {
        "chmod" => (path(0), mode(arguments[1])),
        "fchmod" => (descriptor(), mode(arguments[1])),
        "fchmodat" => (at(0, 1, 0)?, mode(arguments[2])),
        "fchmodat2" => (at(0, 1, arguments[3])?, mode(arguments[2])),
        "chown" => (path(0), owner(arguments[1], arguments[2])),
        "lchown" => (path(NOFOLLOW), owner(arguments[1], arguments[2])),
        "fchown" => (descriptor(), owner(arguments[1], arguments[2])),
        "fchownat" => (at(0, 1, arguments[4])?, owner(arguments[2], arguments[3])),
        "utime" => (path(0), Change::Times(seconds(call, arguments[1])?)),
        "utimes" => (path(0), Change::Times(times(call, arguments[1], Unit::Microseconds)?)),
        "futimesat" => (at(0, 1, 0)?, Change::Times(times(call, arguments[2], Unit::Microseconds)?)),
        "utimensat" => {
            (at(0, 1, arguments[3])?, Change::Times(times(call, arguments[2], Unit::Nanoseconds)?))
        }
        "setxattr" => (path(0), attribute(call)?),
        "lsetxattr" => (path(NOFOLLOW), attribute(call)?),
        "fsetxattr" => (descriptor(), attribute(call)?),
        "removexattr" => (path(0), no_attribute(call)?),
        "lremovexattr" => (path(NOFOLLOW), no_attribute(call)?),
        "fremovexattr" => (descriptor(), no_attribute(call)?),
        // Of interfaces of 32 bits.
        _ => return Err(Errno::PERM),
    })
}

/// Numbers of 32 bits, as the kernel takes them.
#[allow(clippy::cast_possible_truncation, reason = "the kernel does not look at the upper half")]
fn low(argument: u64) -> i32 {
    argument as u32 as i32
}

fn mode(argument: u64) -> Change {
    Change::Mode(low(argument).cast_unsigned() & 0o7777)
}

fn owner(uid: u64, gid: u64) -> Change {
    let id = |argument| Some(low(argument).cast_unsigned()).filter(|id| *id != u32::MAX);
    Change::Owner(id(uid).map(Uid::from_raw), id(gid).map(Gid::from_raw))
}

fn attribute(call: &Notification) -> Result<Change, Errno> {
    let [_, name, value, size, flags, _] = call.arguments;
    if size > LARGEST_VALUE {
        return Err(Errno::TOOBIG);
    }
    let name = text(call, name, LONGEST_NAME).map_err(|errno| too_long(errno, Errno::RANGE))?;
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| Errno::TOOBIG)?];
    read_whole(call, value, &mut bytes)?;
    Ok(Change::Attribute { name, value: bytes, flags: low(flags).cast_unsigned() })
}

fn no_attribute(call: &Notification) -> Result<Change, Errno> {
    let name = text(call, call.arguments[1], LONGEST_NAME).map_err(|errno| too_long(errno, Errno::RANGE))?;
    Ok(Change::NoAttribute { name })
}

fn too_long(errno: Errno, otherwise: Errno) -> Errno {
    if errno == Errno::NAMETOOLONG { otherwise } else { errno }
}

/// What the second number of a time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Nanoseconds,
    Microseconds,
}

/// `struct timespec` or `struct timeval`, twice; none is now.
fn times(call: &Notification, address: u64, unit: Unit) -> Result<Timestamps, Errno> {
    if address == 0 {
        return Ok(now());
    }
    let numbers = numbers::<4>(call, address)?;
    let time = |tv_sec, fraction: i64| match unit {
        Unit::Nanoseconds => Ok(Timespec { tv_sec, tv_nsec: fraction }),
        Unit::Microseconds if !(0..1_000_000).contains(&fraction) => Err(Errno::INVAL),
        Unit::Microseconds => Ok(Timespec { tv_sec, tv_nsec: fraction * 1000 }),
    };
    let [access, access_fraction, change, change_fraction] = numbers;
    Ok(Timestamps {
        last_access: time(access, access_fraction)?,
        last_modification: time(change, change_fraction)?,
    })
}

/// `struct utimbuf`
fn seconds(call: &Notification, address: u64) -> Result<Timestamps, Errno> {
    if address == 0 {
        return Ok(now());
    }
    let [access, change] = numbers::<2>(call, address)?;
    let time = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
    Ok(Timestamps { last_access: time(access), last_modification: time(change) })
}

fn now() -> Timestamps {
    let now = || Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    Timestamps { last_access: now(), last_modification: now() }
}

fn numbers<const COUNT: usize>(call: &Notification, address: u64) -> Result<[i64; COUNT], Errno> {
    let mut numbers = [0; COUNT];
    for (index, number) in numbers.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        read_whole(call, address.checked_add(index as u64 * 8).ok_or(Errno::FAULT)?, &mut bytes)?;
        *number = i64::from_ne_bytes(bytes);
    }
    Ok(numbers)
}

/// Opens the file without opening it for anything (`O_PATH`), as the process sees it: its file tree is boxr's.
fn open(call: &Notification, target: &Target) -> Result<OwnedFd, Errno> {
    let (dir, address, flags) = match *target {
        Target::Descriptor(number) => return descriptor(call, number),
        Target::Path { dir, address, flags } => (dir, address, flags),
    };
    let path = text(call, address, LONGEST_PATH)?;
    let path = Path::new(OsStr::from_bytes(&path));
    if path.as_os_str().is_empty() && flags & EMPTY_PATH != 0 {
        return directory(call, dir);
    }
    if let Some(number) = named_descriptor(call, path).filter(|_| flags & NOFOLLOW == 0) {
        return descriptor(call, number);
    }
    let mut how = OFlags::PATH | OFlags::CLOEXEC;
    how.set(OFlags::NOFOLLOW, flags & NOFOLLOW != 0);
    // What is magic in /proc would be boxr's own.
    let resolve = ResolveFlags::NO_MAGICLINKS;
    if path.is_absolute() {
        return openat2(CWD, path, how, Mode::empty(), resolve);
    }
    openat2(directory(call, dir)?, path, how, Mode::empty(), resolve)
}

/// Where a relative path begins.
fn directory(call: &Notification, dir: i32) -> Result<OwnedFd, Errno> {
    match dir {
        AT_FDCWD => {
            openat(CWD, format!("/proc/{}/cwd", call.pid), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        }
        number => descriptor(call, number),
    }
}

/// What the process has open by this number.
fn descriptor(call: &Notification, number: i32) -> Result<OwnedFd, Errno> {
    let link = format!("/proc/{}/fd/{number}", call.pid);
    openat(CWD, link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => Errno::BADF,
        errno => errno,
    })
}

/// The descriptor that a path in /proc is of, as one is named whose file has no other name (open(2), `O_PATH`).
fn named_descriptor(call: &Notification, path: &Path) -> Option<i32> {
    let own = format!("/proc/{}/fd", call.pid);
    let dirs = ["/proc/self/fd", "/proc/thread-self/fd", "/dev/fd", own.as_str()];
    let number = dirs.into_iter().find_map(|dir| path.strip_prefix(dir).ok())?;
    number.to_str()?.parse().ok()
}

fn through_proc(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

impl Change {
    /// By a link in /proc, which leads to a symbolic link itself where that is what was opened.
    fn make(&self, link: &str) -> Result<(), Errno> {
        match self {
            Self::Mode(mode) => chmodat(CWD, link, Mode::from_raw_mode(*mode), AtFlags::empty()),
            Self::Owner(uid, gid) => chownat(CWD, link, *uid, *gid, AtFlags::empty()),
            Self::Times(times) => utimensat(CWD, link, times, AtFlags::empty()),
            Self::Attribute { name, value, flags } => {
                setxattr(link, name.as_slice(), value, XattrFlags::from_bits_retain(*flags))
            }
            Self::NoAttribute { name } => removexattr(link, name.as_slice()),
        }
    }
}

/// Does `work` with the capabilities of a sandbox: none.
fn as_without_capabilities<T>(work: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let own = capabilities(None)?;
    if own.effective.is_empty() {
        return work();
    }
    set_capabilities(None, CapabilitySets { effective: CapabilitySet::empty(), ..own })?;
    let done = work();
    set_capabilities(None, own)?;
    done
}
