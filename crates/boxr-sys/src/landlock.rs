//! Landlock (landlock(7)): a process gives up rights to files, ports and other processes, for ever.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::clone::last_errno;

/// Rights to files and directories (`LANDLOCK_ACCESS_FS_*`), with the version of Landlock that knows them.
#[allow(missing_docs, reason = "the kernel's own names, landlock(7)")]
pub mod file {
    pub const EXECUTE: u64 = 1;
    pub const WRITE: u64 = 1 << 1;
    pub const READ: u64 = 1 << 2;
    pub const READ_DIR: u64 = 1 << 3;
    /// Version 5.
    pub const IOCTL_DEV: u64 = 1 << 15;
    /// Version 3.
    pub const TRUNCATE: u64 = 1 << 14;
    /// All of version 1: also making and removing of everything.
    pub const FIRST: u64 = (1 << 13) - 1;
    /// Those that mean something for what is no directory.
    pub const OF_FILES: u64 = EXECUTE | WRITE | READ | TRUNCATE | IOCTL_DEV;
    /// Files may be moved between directories (version 2).
    pub const REFER: u64 = 1 << 13;

    /// All that `version` knows.
    pub fn all(version: u32) -> u64 {
        [(2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)]
            .into_iter()
            .filter(|(since, _)| version >= *since)
            .fold(FIRST, |all, (_, right)| all | right)
    }
}

/// What a process may no more do to those outside (`LANDLOCK_SCOPE_*`, version 6).
pub mod scope {
    /// Connect to their abstract sockets.
    pub const ABSTRACT_SOCKETS: u64 = 1;
    /// Send them signals.
    pub const SIGNALS: u64 = 1 << 1;
}

const VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;

/// `struct landlock_ruleset_attr`
#[repr(C)]
struct RulesetAttr {
    file: u64,
    net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// The version of Landlock that the kernel has.
///
/// # Errors
/// `ENOSYS` where it has none, `EOPNOTSUPP` where it is off.
pub fn version() -> Result<u32, Errno> {
    // SAFETY: with this flag the kernel reads no structure.
    match unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0usize, 0usize, VERSION) } {
        -1 => Err(last_errno()),
        version => u32::try_from(version).map_err(|_| Errno::OVERFLOW),
    }
}

/// Rights in the making.
#[derive(Debug)]
pub struct Ruleset(OwnedFd);

impl Ruleset {
    /// Rights that are given up but for what rules allow, and scopes.
    ///
    /// # Errors
    /// `EINVAL` for rights that the kernel does not know; `ENOMSG` for none.
    pub fn new(file: u64, scoped: u64) -> Result<Self, Errno> {
        let attr = RulesetAttr { file, net: 0, scoped };
        // A kernel that knows no scopes takes a shorter structure.
        let size = if scoped == 0 { 8 } else { size_of::<RulesetAttr>() };
        // SAFETY: `attr` has at least `size` bytes and lives through the call.
        match unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, size, 0) } {
            -1 => Err(last_errno()),
            // SAFETY: the kernel made this descriptor for the caller just now; it is close-on-exec.
            number => Ok(Self(unsafe { OwnedFd::from_raw_fd(number as i32) })),
        }
    }

    /// Allows `rights` to `path` and what is below it.
    ///
    /// # Errors
    /// `EINVAL` for rights that were not given up, or that are of directories only.
    pub fn allow(&self, path: BorrowedFd<'_>, rights: u64) -> Result<(), Errno> {
        let rule = PathBeneath { allowed: rights, parent: path.as_raw_fd() };
        let ruleset = self.0.as_raw_fd();
        // SAFETY: `rule` is a whole structure of this type of rule, alive through the call.
        match unsafe {
            libc::syscall(libc::SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &raw const rule, 0)
        } {
            -1 => Err(last_errno()),
            _ => Ok(()),
        }
    }

    /// Gives the rights up, for this thread and what it makes.
    ///
    /// # Errors
    /// `EPERM` without no_new_privs and `CAP_SYS_ADMIN`; `E2BIG` past sixteen layers.
    pub fn restrict_self(&self) -> Result<(), Errno> {
        // SAFETY: two numbers; no memory is touched.
        match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_fd().as_raw_fd(), 0) } {
            -1 => Err(last_errno()),
            _ => Ok(()),
        }
    }
}
