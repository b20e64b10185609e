//! What a waiting call points to in the memory of whoever calls.

use boxr_sys::foreign_memory;
use boxr_sys::seccomp_listener::Notification;
use rustix::io::Errno;

/// Numbers of the x32 interface, which the kernel tells as those of x86-64 with this bit.
const X32: i32 = 0x4000_0000;
/// A page; the next one may not be there.
const PAGE: u64 = 4096;
/// Bytes of a text that are read at once.
const PIECE: usize = 256;

/// Whether it is of boxr's own interface: programs of others (32 bits, x32) have other structures.
pub(super) fn is_native(call: &Notification) -> bool {
    let native = boxr_seccomp::native().and_then(boxr_seccomp::audit);
    native == Some(call.arch) && call.number & X32 == 0
}

/// Reads into `buffer`; how many bytes it was, which are fewer where the memory ends.
pub(super) fn read(call: &Notification, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    foreign_memory::read(i32::try_from(call.pid).map_err(|_| Errno::SRCH)?, address, buffer)
}

/// Fills `buffer`.
pub(super) fn read_whole(call: &Notification, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
    if read(call, address, buffer)? == buffer.len() { Ok(()) } else { Err(Errno::FAULT) }
}

/// A text up to its zero; `ENAMETOOLONG` where that is none of the first `longest` bytes.
pub(super) fn text(call: &Notification, address: u64, longest: usize) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    let mut piece = [0; PIECE];
    while text.len() < longest {
        let at = address.checked_add(text.len() as u64).ok_or(Errno::FAULT)?;
        let rest = usize::try_from(PAGE - at % PAGE).map_err(|_| Errno::FAULT)?;
        let rest = rest.min(longest - text.len()).min(PIECE);
        let count = read(call, at, piece.get_mut(..rest).ok_or(Errno::FAULT)?)?;
        let read = piece.get(..count).filter(|read| !read.is_empty()).ok_or(Errno::FAULT)?;
        if let Some(end) = memchr::memchr(0, read) {
            text.extend_from_slice(&read[..end]);
            return Ok(text);
        }
        text.extend_from_slice(read);
    }
    Err(Errno::NAMETOOLONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_with_their_zero() {
        let mut call = Notification::default();
        call.pid = std::process::id();
        let long = [[b'x'; 5000].as_slice(), b"\0rest"].concat();
        let at = long.as_ptr() as u64;
        assert_eq!(text(&call, at, 5001).unwrap(), long[..5000]);
        assert_eq!(text(&call, at, 5000), Err(Errno::NAMETOOLONG));
        assert_eq!(text(&call, at + 5000, 1), Ok(Vec::new()));
        assert_eq!(text(&call, 8, 10), Err(Errno::FAULT));
        let mut bytes = [0; 6];
        assert_eq!(read_whole(&call, at + 4999, &mut bytes), Ok(()));
        assert_eq!(&bytes, b"x\0rest");
    }
}
