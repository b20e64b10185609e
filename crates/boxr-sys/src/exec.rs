//! execve(2) with vectors that were made before the fork, and execveat(2) of an open file.

use std::ffi::{CStr, CString, c_char, c_int};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

unsafe extern "C" {
    /// The environment as it is (environ(7)), which `std::env` shows only the well-formed part of.
    static environ: *const *const c_char;
}

/// A null-terminated vector of C strings, for `argv` and `envp`.
#[derive(Debug)]
pub struct CVector {
    strings: Vec<CString>,
}

impl CVector {
    /// Takes the strings.
    pub fn new(strings: Vec<CString>) -> Self {
        Self { strings }
    }

    /// The strings.
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }

    fn pointers(&self) -> Vec<*const c_char> {
        let mut pointers: Vec<_> = self.strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(std::ptr::null());
        pointers
    }
}

/// Replaces this process by the program at `path`. Returns only with the reason for a failure.
pub fn execve(path: &CStr, argv: &CVector, envp: &CVector) -> Errno {
    let (argv, envp) = (argv.pointers(), envp.pointers());
    // SAFETY: both vectors end with a null pointer and point to strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    crate::clone::last_errno()
}

/// Replaces this process by the program that `file` is open on, with this process's environment
/// (execveat(2), `AT_EMPTY_PATH`). Returns only with the reason for a failure.
pub fn execute_file(file: BorrowedFd<'_>, argv: &CVector) -> Errno {
    let argv = argv.pointers();
    // SAFETY: `argv` ends with a null pointer and points to strings that outlive the call; the
    // environment is the C library's own, and one thread runs.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            environ,
            libc::AT_EMPTY_PATH as c_int,
        )
    };
    crate::clone::last_errno()
}
