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

/// What `number` is open on, and whether only for reading; `None` where it is not open.
pub fn opened(number: RawFd) -> Option<(rustix::fs::FileType, bool)> {
    use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
    if number < 0 {
        return None;
    }
    // SAFETY: not -1, and used for two calls that answer EBADF for a closed number.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let kind = FileType::from_raw_mode(fstat(borrowed).ok()?.st_mode);
    let flags = fcntl_getfl(borrowed).ok()?;
    Some((kind, flags & OFlags::RWMODE == OFlags::RDONLY))
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

/// Closes every descriptor from `first` on but `keep`. For a process that only goes on to execve(2)
/// or its end: whoever else in it still has an [`OwnedFd`] must not use or drop it any more.
///
/// # Errors
/// `ENOSYS` on kernels before 5.9.
pub fn close_from_but(first: u32, keep: BorrowedFd<'_>) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let keep = keep.as_raw_fd() as u32;
    if keep > first {
        close_numbers(first, keep - 1, 0)?;
    }
    close_numbers(first.max(keep + 1), u32::MAX, 0)
}

/// Closes every descriptor from 3 on but `keep`, which comes back with the number 3. For a
/// process that goes on without a program of its own and lets go of all its starter had open:
/// whoever else in it still has an [`OwnedFd`] must not use or drop it any more.
///
/// # Errors
/// `ENOSYS` on kernels before 5.9.
pub fn close_all_but<const N: usize>(keep: [OwnedFd; N]) -> Result<[OwnedFd; N], Errno> {
    let kept = close_all_but_these(Vec::from(keep))?;
    kept.try_into().map_err(|_| Errno::INVAL)
}

/// The same for any number of them, which come back with the numbers from 3 on, in their order.
///
/// # Errors
/// As [`close_all_but`].
pub fn close_all_but_these(keep: Vec<OwnedFd>) -> Result<Vec<OwnedFd>, Errno> {
    use std::os::fd::{AsFd, FromRawFd};
    let first = 3;
    let end = first + RawFd::try_from(keep.len()).map_err(|_| Errno::MFILE)?;
    // Out of the way of the numbers that they get.
    let mut high = Vec::with_capacity(keep.len());
    for fd in &keep {
        high.push(rustix::io::fcntl_dupfd_cloexec(fd, end)?);
    }
    for (number, fd) in (first..).zip(&high) {
        place(fd.as_fd(), number)?;
    }
    // The others are closed with the rest.
    std::mem::forget((keep, high));
    close_range(end.unsigned_abs(), 0)?;
    // SAFETY: these numbers were made above, and by the contract nobody else owns them.
    Ok((first..end).map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}

/// Closes every descriptor from 3 on that is not close-on-exec: those that this program was
/// started with, since it opens none such itself.
///
/// # Errors
/// open(2) and getdents(2) of `/proc/self/fd`.
pub fn close_inherited() -> Result<(), Errno> {
    use rustix::fs::{Mode, OFlags, RawDir};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open("/proc/self/fd", flags, Mode::empty())?;
    let mut found = Vec::new();
    let mut space = [std::mem::MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(&dir, &mut space);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        // `.` and `..` are no numbers.
        if let Some(number) = entry.file_name().to_str().ok().and_then(|name| name.parse::<RawFd>().ok()) {
            found.push(number);
        }
    }
    for number in found.into_iter().filter(|number| *number > 2) {
        // SAFETY: asks only for the flags; EBADF for a closed number.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags != -1 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: not one of this program's own, which are all close-on-exec.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}

fn close_range(first: u32, flags: u32) -> Result<(), Errno> {
    close_numbers(first, u32::MAX, flags)
}

fn close_numbers(first: u32, last: u32, flags: u32) -> Result<(), Errno> {
    // SAFETY: no pointers; descriptors from `first` to `last` are given up by the caller.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        -1 => Err(crate::clone::last_errno()),
        _ => Ok(()),
    }
}
