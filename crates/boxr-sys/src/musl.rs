//! What Rust's standard library for glibc asks of its C library, and musl has not. `boxr-build` puts these in
//! the places of glibc's; where glibc is linked nobody calls them.

use std::ffi::{c_char, c_int, c_void};

/// Like glibc's gnu_get_libc_version(3). The standard library asks whether posix_spawn(3) reports a failed
/// execve(2), as glibc's does since this version, and as musl's does.
#[unsafe(no_mangle)]
extern "C" fn boxr_libc_version() -> *const c_char {
    c"2.24".as_ptr()
}

/// What glibc's `_dl_find_object` writes on x86-64 (glibc manual, "Dynamic Linker Introspection").
#[repr(C)]
struct FoundObject {
    flags: u64,
    start: *mut c_void,
    end: *mut c_void,
    link_map: *mut c_void,
    eh_frame_header: *mut c_void,
    reserved: [u64; 7],
}

/// A search for the object that holds an address.
struct Search {
    address: usize,
    found: Option<FoundObject>,
}

/// Like glibc's `_dl_find_object`, by which GCC's unwinder finds the tables of the code at `address`: 0 and
/// `result` filled, or -1.
///
/// # Safety
/// `result` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn boxr_find_object(address: *const c_void, result: *mut FoundObject) -> c_int {
    let mut search = Search { address: address as usize, found: None };
    // SAFETY: `look_into` takes the last argument for what it is, and nobody else has it.
    unsafe { libc::dl_iterate_phdr(Some(look_into), (&raw mut search).cast()) };
    let Some(found) = search.found else { return -1 };
    // SAFETY: the caller's promise.
    unsafe { result.write(found) };
    0
}

/// Fills the search when the object is the one, and then ends it.
unsafe extern "C" fn look_into(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    search: *mut c_void,
) -> c_int {
    // SAFETY: dl_iterate_phdr(3) gives a valid object and its program headers, and passes on what
    // `boxr_find_object` gave it.
    let (search, base, headers) = unsafe {
        let object = &*object;
        let headers = std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum));
        (&mut *search.cast::<Search>(), object.dlpi_addr as usize, headers)
    };
    let span = |header: &libc::Elf64_Phdr| {
        let start = base + header.p_vaddr as usize;
        (start, start + header.p_memsz as usize)
    };
    let code = headers.iter().filter(|header| header.p_type == libc::PT_LOAD).map(span);
    let tables = headers.iter().find(|header| header.p_type == libc::PT_GNU_EH_FRAME).map(span);
    let holding = code.into_iter().find(|(start, end)| (*start..*end).contains(&search.address));
    search.found = holding.zip(tables).map(|((start, end), (tables, _))| FoundObject {
        flags: 0,
        start: start as *mut c_void,
        end: end as *mut c_void,
        link_map: std::ptr::null_mut(),
        eh_frame_header: tables as *mut c_void,
        reserved: [0; 7],
    });
    c_int::from(search.found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(address: *const c_void) -> Option<FoundObject> {
        let mut result = std::mem::MaybeUninit::<FoundObject>::uninit();
        // SAFETY: `result` can be written, and was when the answer is 0.
        unsafe { (boxr_find_object(address, result.as_mut_ptr()) == 0).then(|| result.assume_init()) }
    }

    #[test]
    fn code_is_found_with_its_tables_and_nothing_else_is() {
        let here = code_is_found_with_its_tables_and_nothing_else_is as *const c_void;
        let found = find(here).unwrap();
        assert!((found.start..found.end).contains(&here.cast_mut()));
        // The first byte of .eh_frame_hdr is its version (Linux Standard Base, Core, 10.6.2).
        // SAFETY: the tables are part of this program.
        assert_eq!(unsafe { *found.eh_frame_header.cast::<u8>() }, 1);
        assert!(find(std::ptr::null()).is_none());
    }
}
