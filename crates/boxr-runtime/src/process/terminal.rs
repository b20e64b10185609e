//! The command's session, its terminal and its standard descriptors.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use boxr_sys::fd::place;
use rustix::fs::{Gid, OFlags, Uid};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::protocol::Channel;
use crate::error::{At, Step, StepError};
use crate::plan::Plan;
use crate::rootfs::beneath;
use crate::stdio::Stdio;

/// Makes a pseudo-terminal from the devpts at `/dev/pts`, sends its master out, and returns the
/// command's side, which also becomes `/dev/console` of a root of its own.
pub(super) fn make_inside(channel: &Channel, own_root: bool, plan: &Plan) -> Result<OwnedFd, StepError> {
    let multiplexer = if own_root { "/dev/pts/ptmx" } else { "/dev/ptmx" };
    let step = |errno| StepError::new(Step::Terminal, multiplexer, errno);
    let root =
        rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, rustix::fs::Mode::empty()).map_err(step)?;
    let path = Path::new(multiplexer);
    // Looked at before it is opened: opening another device may do something.
    let found = beneath::open(root.as_fd(), path, OFlags::PATH).and_then(rustix::fs::fstat).map_err(step)?;
    if (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev)) != (5, 2) {
        return Err(step(rustix::io::Errno::NODEV));
    }
    let master = beneath::open(root.as_fd(), path, OFlags::RDWR | OFlags::NOCTTY).map_err(step)?;
    rustix::pty::unlockpt(&master).map_err(step)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let user_side = rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(step)?;
    own(user_side.as_fd(), plan)?;
    if let Some((rows, columns)) = plan.process.terminal_size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&user_side, size).at(Step::Terminal, "size")?;
    }
    channel.terminal(master.as_fd()).map_err(step)?;
    if own_root {
        crate::rootfs::console::bind(root.as_fd(), user_side.as_fd())?;
    }
    Ok(user_side)
}

/// Gives the terminal to the user that the command runs as.
fn own(terminal: BorrowedFd<'_>, plan: &Plan) -> Result<(), StepError> {
    match &plan.process.user {
        Some(user) if user.uid != 0 => {
            let (uid, gid) = (Uid::from_raw(user.uid), None::<Gid>);
            rustix::fs::fchown(terminal, Some(uid), gid).at(Step::Terminal, "owner")
        }
        _ => Ok(()),
    }
}

/// The session and descriptors 0, 1 and 2.
pub(super) fn set_up(plan: &Plan, inside: Option<&OwnedFd>) -> Result<(), StepError> {
    let terminal = match (&plan.stdio, inside) {
        (_, Some(terminal)) | (Stdio::Terminal(terminal), None) => Some(terminal),
        _ => None,
    };
    if terminal.is_some() || plan.new_session {
        rustix::process::setsid().at(Step::Session, "setsid")?;
    }
    if let Some(terminal) = terminal {
        rustix::process::ioctl_tiocsctty(terminal).at(Step::Terminal, "as controlling terminal")?;
        return set_descriptors([terminal.as_fd(); 3]);
    }
    match &plan.stdio {
        Stdio::Descriptors { stdin, stdout, stderr } => {
            set_descriptors([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
        }
        _ => Ok(()),
    }
}

fn set_descriptors(fds: [BorrowedFd<'_>; 3]) -> Result<(), StepError> {
    for (number, fd) in fds.into_iter().enumerate() {
        place(fd, number as i32).at(Step::Descriptors, number)?;
    }
    Ok(())
}
