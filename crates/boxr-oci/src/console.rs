//! A container's terminal: its size, and the socket that gets its master.

use std::os::fd::BorrowedFd;
use std::path::Path;

use boxr_runtime::terminal::copy_size;
use boxr_sys::passing;
use oci_spec::runtime::Process;
use rustix::io::Errno;
use rustix::termios::{Winsize, isatty, tcsetwinsize};

use crate::error::Error;

/// Gives the terminal a size and hands its master to who listens at `socket`. Without one boxr relays it, and
/// it is as large as the terminal that boxr is at.
///
/// # Errors
/// `TIOCSWINSZ`, connect(2), sendmsg(2).
pub fn hand_out(
    master: BorrowedFd<'_>,
    process: Option<&Process>,
    socket: Option<&Path>,
) -> Result<(), Error> {
    match socket {
        Some(socket) => {
            set_size(master, process)?;
            send(socket, master)
        }
        None if at_terminal() => copy_size(master).map_err(Error::system("set the size of the terminal")),
        None => set_size(master, process),
    }
}

fn at_terminal() -> bool {
    [rustix::stdio::stdout(), rustix::stdio::stdin(), rustix::stdio::stderr()].into_iter().any(isatty)
}

/// Gives the terminal the size of `process.consoleSize`, if it says one.
fn set_size(master: BorrowedFd<'_>, process: Option<&Process>) -> Result<(), Error> {
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
