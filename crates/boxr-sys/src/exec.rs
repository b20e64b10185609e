//! execve(2) with vectors that were made before the fork.

use std::ffi::{CStr, CString, c_char};

use rustix::io::Errno;

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
