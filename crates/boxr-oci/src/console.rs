//! A container's terminal: its size, and the socket that gets its master.

use std::os::fd::BorrowedFd;
use std::path::Path;

use boxr_runtime::passing;
use oci_spec::runtime::Process;
use rustix::io::Errno;
use rustix::termios::{Winsize, tcsetwinsize};

use crate::error::Error;

/// Gives the terminal the size of `process.consoleSize`, if it says one.
///
/// # Errors
/// `TIOCSWINSZ`.
pub fn set_size(master: BorrowedFd<'_>, process: Option<&Process>) -> Result<(), Error> {
    let Some(size) = process.and_then(Process::console_size) else { return Ok(()) };
    let cells = |count: u64| u16::try_from(count).unwrap_or(u16::MAX);
    let size =
        Winsize { ws_row: cells(size.height()), ws_col: cells(size.width()), ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).map_err(Error::system("set the size of the terminal"))
}

/// Sends the terminal's master to whoever listens at `socket` (runc, docs/terminals.md).
///
/// # Errors
/// connect(2), sendmsg(2).
pub fn send(socket: &Path, master: BorrowedFd<'_>) -> Result<(), Error> {
    send_descriptor(socket, b"/dev/ptmx", master)
        .map_err(|errno| Error::at("send the terminal to the console socket", socket, errno))
}

/// Sends `fd` with `message` over the stream socket at `path` (unix(7), `SCM_RIGHTS`).
///
/// # Errors
/// socket(2), connect(2), sendmsg(2).
pub fn send_descriptor(path: &Path, message: &[u8], fd: BorrowedFd<'_>) -> Result<(), Errno> {
    passing::send_whole(passing::connect_stream(path)?, message, fd)
}
