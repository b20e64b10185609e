//! Memory that a long-lived process does not need.

use rustix::io::Errno;

unsafe extern "C" {
    /// Where the program's first segment begins (the linker's own symbols, end(3)).
    static __executable_start: u8;
    /// Where its instructions end.
    static etext: u8;
}

/// Lets go of the pages of the program that start-up has touched: what is needed again comes back
/// from the page cache. What stays is what the process really works with.
///
/// # Errors
/// madvise(2).
pub fn release_program() -> Result<(), Errno> {
    let (start, end) = (&raw const __executable_start as usize, &raw const etext as usize);
    let (start, end) = (start & !0xfff, end & !0xfff);
    if start >= end {
        return Ok(());
    }
    // SAFETY: the range holds read-only segments of the program file, mapped privately and never
    // written: dropped pages are read from the same file when they are touched again.
    match unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) } {
        -1 => Err(crate::clone::last_errno()),
        _ => Ok(()),
    }
}
