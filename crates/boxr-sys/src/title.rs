//! How a process without a program of its own is named in `ps` and `top`.

use std::sync::OnceLock;

use rustix::io::Errno;

unsafe extern "C" {
    /// glibc and musl: points to `argv[0]` as the kernel laid it out (invocation_name(3)).
    static program_invocation_name: *mut libc::c_char;
}

/// Names the calling process: `comm` (15 bytes) and, as far as the space of the arguments it was
/// started with reaches, its command line (proc_pid_cmdline(5)).
///
/// [`entry::words`](crate::entry::words) reads the same memory, so what it gives afterwards is this title.
///
/// # Errors
/// prctl(2) for `PR_SET_NAME`.
pub fn set(comm: &std::ffi::CStr, command_line: &str) -> Result<(), Errno> {
    rustix::thread::set_name(comm)?;
    let room = room();
    if room == 0 {
        return Ok(());
    }
    // SAFETY: the arguments lie one after the other from argv[0] on (execve(2)), `room` bytes
    // with their zero bytes; they are writable memory of this process; one thread runs.
    unsafe {
        let start: *mut libc::c_char = program_invocation_name;
        if start.is_null() {
            return Ok(());
        }
        std::ptr::write_bytes(start, 0, room);
        let length = command_line.len().min(room - 1);
        std::ptr::copy_nonoverlapping(command_line.as_ptr().cast(), start, length);
    }
    Ok(())
}

/// Bytes of the arguments that the process was started with: counted before the first title
/// overwrites them, and inherited over clone(2).
fn room() -> usize {
    static ROOM: OnceLock<usize> = OnceLock::new();
    *ROOM.get_or_init(|| crate::entry::words().iter().map(|word| word.len() + 1).sum())
}
