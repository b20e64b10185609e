//! Memory that a long-lived process does not need.

use std::mem::MaybeUninit;

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

/// Lets go of the pages that lie whole within `memory`, which stays allocated: its contents are lost.
///
/// A kernel that does not take the advice keeps them, which costs memory only.
pub fn release(memory: &mut [MaybeUninit<u8>]) {
    let range = memory.as_mut_ptr_range();
    let page = rustix::param::page_size();
    let start = (range.start as usize).next_multiple_of(page);
    let end = range.end as usize & !(page - 1);
    if start < end {
        // SAFETY: nobody else has the range, and nobody relies on what is in it; afterwards it reads as
        // zeros, or as what a privately mapped file has there.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn what_is_released_is_usable_and_no_longer_resident() {
        let mut bytes: Vec<u8> = Vec::with_capacity(1 << 22);
        bytes.resize(1 << 22, 7);
        let resident = || -> u64 {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(1).unwrap().parse().unwrap()
        };
        let before = resident();
        bytes.clear();
        release(bytes.spare_capacity_mut());
        assert!(resident() + 512 < before, "{} pages, before {before}", resident());
        bytes.extend_from_slice(b"again");
        assert_eq!(bytes, b"again");
    }
}
