//! mount_setattr(2), the one call of the mount API that rustix lacks.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// Attributes of a mount, `MOUNT_ATTR_*` bits of mount_setattr(2).
pub mod attr {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// No set-user-id programs.
    pub const NOSUID: u64 = 0x2;
    /// No device files.
    pub const NODEV: u64 = 0x4;
    /// No execution.
    pub const NOEXEC: u64 = 0x8;
    /// The bits that hold how access times are kept.
    pub const ATIME_MASK: u64 = 0x70;
    /// Access times relative to modification times (the default).
    pub const RELATIME: u64 = 0x0;
    /// No access times.
    pub const NOATIME: u64 = 0x10;
    /// Access times always.
    pub const STRICTATIME: u64 = 0x20;
    /// No access times of directories.
    pub const NODIRATIME: u64 = 0x80;
    /// Ids are shifted by a user namespace's maps.
    pub const IDMAP: u64 = 0x0010_0000;
    /// No symbolic links followed.
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

/// How mounts travel, the `propagation` field of `struct mount_attr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Neither way.
    Private,
    /// From the other side to this.
    Slave,
    /// Both ways.
    Shared,
    /// Neither way, and cannot be bound.
    Unbindable,
}

impl Propagation {
    fn bits(self) -> u64 {
        match self {
            Self::Private => libc::MS_PRIVATE,
            Self::Slave => libc::MS_SLAVE,
            Self::Shared => libc::MS_SHARED,
            Self::Unbindable => libc::MS_UNBINDABLE,
        }
    }
}

/// A change of a mount's attributes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'fd> {
    /// Bits to set.
    pub set: u64,
    /// Bits to clear.
    pub clear: u64,
    /// New propagation.
    pub propagation: Option<Propagation>,
    /// The user namespace whose maps shift ids; with [`attr::IDMAP`] in `set`.
    pub user_namespace: Option<BorrowedFd<'fd>>,
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Applies `change` to the mount at `path` beneath `dir`, and to all below it if `recursive`.
/// An empty path means `dir` itself.
///
/// # Errors
/// mount_setattr(2): `EPERM` for a locked flag or without privilege, `EINVAL`.
pub fn set_attributes(
    dir: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
    change: &Change<'_>,
) -> Result<(), Errno> {
    let attr = MountAttr {
        set: change.set,
        clear: change.clear,
        propagation: change.propagation.map_or(0, Propagation::bits),
        userns_fd: change.user_namespace.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let mut flags = libc::AT_SYMLINK_NOFOLLOW;
    if path.is_empty() {
        flags |= libc::AT_EMPTY_PATH;
    }
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: path is a C string and attr a whole mount_attr of the size that is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result == -1 { Err(crate::clone::last_errno()) } else { Ok(()) }
}
