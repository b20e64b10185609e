//! Descriptors by number, where the number is what a person or the kernel gave.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// A close-on-exec duplicate of descriptor `number`, numbered `least` or higher.
///
/// # Errors
/// `EBADF` when `number` is not open; `EMFILE` past the limit of descriptors.
pub fn duplicate(number: RawFd, least: RawFd) -> Result<OwnedFd, Errno> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: not -1, and used for one fcntl(2) that answers EBADF for a closed number.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_dupfd_cloexec(borrowed, least)
}

/// Whether `number` is open.
pub fn is_open(number: RawFd) -> bool {
    // SAFETY: fcntl(2) answers EBADF for a number that is not open.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

/// Puts a duplicate of `source` at `number`, closing what was there; it stays open over execve(2).
///
/// # Errors
/// dup2(2).
pub fn place(source: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    if source.as_raw_fd() == number {
        return rustix::io::fcntl_setfd(source, rustix::io::FdFlags::empty());
    }
    // SAFETY: dup2(2) takes any numbers; the caller owns the meaning of `number`.
    match unsafe { libc::dup2(source.as_raw_fd(), number) } {
        -1 => Err(crate::clone::last_errno()),
        _ => Ok(()),
    }
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11).
///
/// # Errors
/// `ENOSYS` or `EINVAL` on older kernels.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from 3 on but `keep`, which comes back with the number 3. For a
/// process that goes on without a program of its own and lets go of all its starter had open:
/// whoever else in it still has an [`OwnedFd`] must not use or drop it any more.
///
/// # Errors
/// `ENOSYS` on kernels before 5.9.
pub fn close_all_but(keep: OwnedFd) -> Result<OwnedFd, Errno> {
    use std::os::fd::{AsFd, FromRawFd};
    place(keep.as_fd(), 3)?;
    // The original number, if another, is closed with the rest.
    std::mem::forget(keep);
    close_range(4, 0)?;
    // SAFETY: 3 was made above, and by the contract nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(3) })
}

fn close_range(first: u32, flags: u32) -> Result<(), Errno> {
    // SAFETY: no pointers; descriptors above `first` are given up by the caller.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) } {
        -1 => Err(crate::clone::last_errno()),
        _ => Ok(()),
    }
}
