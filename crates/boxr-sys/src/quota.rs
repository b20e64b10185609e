//! Project quotas: quotactl_fd(2), `FS_IOC_FSSETXATTR` of ioctl_xfs_fsgetxattr(2).
//!
//! A project is a number that files have. New files have that of their directory, and together no more than the
//! project's limits allow.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::clone::last_errno;

/// `QCMD(CMD, PRJQUOTA)` of `<linux/quota.h>`.
const GET: u32 = (0x0080_0007 << 8) | PROJECTS;
const SET: u32 = (0x0080_0008 << 8) | PROJECTS;
const PROJECTS: u32 = 2;
/// `QIF_BLIMITS | QIF_ILIMITS`.
const LIMITS: u32 = 1 | 4;
/// Bytes of a block of `struct if_dqblk`.
const BLOCK: u64 = 1024;
/// `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR` of `<linux/fs.h>`.
const GET_ATTRIBUTES: u64 = 0x801c_581f;
const SET_ATTRIBUTES: u64 = 0x401c_5820;
/// `FS_XFLAG_PROJINHERIT`.
const INHERIT: u32 = 0x200;

/// `struct if_dqblk` of `<linux/quota.h>`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    block_hard_limit: u64,
    block_soft_limit: u64,
    space: u64,
    inode_hard_limit: u64,
    inode_soft_limit: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}

/// `struct fsxattr` of `<linux/fs.h>`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// What a project may have; `None` is any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, counted in whole KiB.
    pub bytes: Option<u64>,
    /// Files and directories.
    pub inodes: Option<u64>,
}

/// Whether a project has no file on the filesystem that `file` is on.
///
/// # Errors
/// `ENOSYS` and `ESRCH` where the kernel or the filesystem counts no projects, `EPERM` without `CAP_SYS_ADMIN`.
pub fn is_unused(file: BorrowedFd<'_>, project: u32) -> Result<bool, Errno> {
    let mut block = Block::default();
    match call(GET, file, project, &mut block) {
        // Nothing was ever said of it.
        Err(Errno::NOENT) => Ok(true),
        Err(errno) => Err(errno),
        Ok(()) => Ok((block.space, block.inodes) == (0, 0)),
    }
}

/// Limits a project on the filesystem that `file` is on.
///
/// # Errors
/// As [`is_unused`]; `ERANGE` for more than the filesystem can count.
pub fn limit(file: BorrowedFd<'_>, project: u32, limits: Limits) -> Result<(), Errno> {
    let mut block = Block {
        block_hard_limit: limits.bytes.map_or(0, |bytes| bytes.div_ceil(BLOCK).max(1)),
        inode_hard_limit: limits.inodes.unwrap_or(0),
        valid: LIMITS,
        ..Block::default()
    };
    call(SET, file, project, &mut block)
}

fn call(command: u32, file: BorrowedFd<'_>, project: u32, block: &mut Block) -> Result<(), Errno> {
    // SAFETY: both commands read or write one `struct if_dqblk`, which `block` is and which lives through the call.
    let result = unsafe {
        libc::syscall(libc::SYS_quotactl_fd, file.as_raw_fd(), command, project, std::ptr::from_mut(block))
    };
    if result == -1 { Err(last_errno()) } else { Ok(()) }
}

/// Makes an empty directory one of a project, with all that will be in it.
///
/// # Errors
/// `ENOTTY` and `EOPNOTSUPP` on a filesystem that knows no projects.
pub fn join(directory: BorrowedFd<'_>, project: u32) -> Result<(), Errno> {
    let mut attributes = Attributes::default();
    // SAFETY: the kernel writes one `struct fsxattr`, which `attributes` is and which lives through the call.
    let read = unsafe { libc::ioctl(directory.as_raw_fd(), GET_ATTRIBUTES as _, &raw mut attributes) };
    if read == -1 {
        return Err(last_errno());
    }
    attributes.flags |= INHERIT;
    attributes.project = project;
    // SAFETY: the kernel reads one `struct fsxattr`.
    let written = unsafe { libc::ioctl(directory.as_raw_fd(), SET_ATTRIBUTES as _, &raw const attributes) };
    if written == -1 { Err(last_errno()) } else { Ok(()) }
}
