//! Memory of another process (process_vm_readv(2)).

use rustix::io::Errno;

use crate::clone::last_errno;

/// Reads from `address` of the process `pid` into `buffer`; how many bytes it was, which are fewer where the memory ends.
///
/// # Errors
/// `EPERM` for a process that may not be traced, `ESRCH` for one that has ended, `EFAULT` where there is no memory.
pub fn read(pid: i32, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as usize as *mut libc::c_void, iov_len: buffer.len() };
    // SAFETY: the local part is writable memory of that length; the remote one is not this process's.
    match unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) } {
        -1 => Err(last_errno()),
        read => usize::try_from(read).map_err(|_| Errno::IO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reads_oneself() {
        let text = *b"some bytes";
        let mut buffer = [0u8; 10];
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        assert_eq!(read(pid, text.as_ptr() as u64, &mut buffer), Ok(10));
        assert_eq!(buffer, text);
        assert_eq!(read(pid, 8, &mut buffer), Err(Errno::FAULT));
    }
}
