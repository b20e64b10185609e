//! How the program begins.
//!
//! The standard library's own beginning costs 19 system calls, among them the reading of
//! `/proc/self/maps`, and 60 to 95 us of about 700 (2 cores, medians of 2,000): more than a namespace. A program
//! that is made of [`entry!`](crate::entry) and `#![no_main]` begins at C's `main` instead. It gives
//! up the message about a stack overflow, and [`std::env::args`]: the words are [`words`], as musl does not
//! hand them to the initialisers by which the standard library would know them.

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::signal::{Disposition, set_disposition};

/// Makes a `fn() -> i32` the beginning of a program, which has `#![no_main]`. Its value is the
/// exit status. What the standard library would have done first is done by
/// [`begin`](crate::entry::begin).
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        // SAFETY: `main` is the symbol that the C library calls once, with this signature, and
        // `#![no_main]` makes sure that nobody else defines it.
        #[unsafe(no_mangle)]
        extern "C" fn main(count: i32, words: *const *const std::ffi::c_char) -> i32 {
            // SAFETY: the C library hands on what execve(2) laid out.
            unsafe { $crate::entry::keep_words(count, words) };
            $crate::entry::begin();
            std::process::exit($main())
        }
    };
}

/// The words that the program was started with, its own name first. As a program that begins otherwise knows
/// them too.
#[expect(clippy::disallowed_methods, reason = "std's own beginning told it")]
pub fn words() -> Vec<OsString> {
    match WORDS.get() {
        Some(words) => words.iter().map(|word| OsStr::from_bytes(word.to_bytes()).to_owned()).collect(),
        None => std::env::args_os().collect(),
    }
}

static WORDS: OnceLock<Vec<&'static CStr>> = OnceLock::new();

/// Keeps the words for [`words`].
///
/// # Safety
/// `words` points to `count` strings, which stay where they are.
pub unsafe fn keep_words(count: i32, words: *const *const std::ffi::c_char) {
    // SAFETY: the caller's promise.
    let word = |index| unsafe { CStr::from_ptr(*words.add(index)) };
    WORDS.get_or_init(|| (0..usize::try_from(count).unwrap_or(0)).map(word).collect());
}

/// What the rest of the program relies on: descriptors 0, 1 and 2 are open, so that no file that is
/// opened later becomes one of them; a pipe without a reader is an error (EPIPE), not the end; and
/// children wait to be reaped, also when the caller had SIGCHLD ignored (waitid(2), ECHILD).
pub fn begin() {
    let signals = set_disposition(libc::SIGPIPE, Disposition::Ignore)
        .and(set_disposition(libc::SIGCHLD, Disposition::Default));
    // Fails for a signal that there is not; these there are.
    if open_standard_streams().and(signals).is_err() {
        std::process::abort();
    }
}

/// Opens /dev/null in place of each of 0, 1 and 2 that is closed, in this order, so that each is the
/// lowest free number; for as long as the process lives.
fn open_standard_streams() -> Result<(), Errno> {
    use rustix::stdio::{stderr, stdin, stdout};
    let (zero, one, two) = (stdin(), stdout(), stderr());
    let mut streams = [&zero, &one, &two].map(|stream| PollFd::new(stream, PollFlags::empty()));
    rustix::io::retry_on_intr(|| poll(&mut streams, Some(&Timespec::default())))?;
    for _ in streams.iter().filter(|stream| stream.revents().contains(PollFlags::NVAL)) {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())?;
        std::mem::forget(null);
    }
    Ok(())
}
