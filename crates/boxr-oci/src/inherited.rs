//! What the caller hands on to a container: the standard streams, further descriptors, those of systemd.

use std::os::fd::{AsFd, BorrowedFd};

use oci_spec::runtime::Process;
use rustix::fs::{FileType, Gid, Uid, fchown, fstat, major, minor};
use rustix::io::Errno;

use crate::cli::words::{Words, text};
use crate::error::Error;

/// Descriptors from 3 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptors {
    /// Those that systemd has handed over come first (sd_listen_fds(3)).
    listening: u32,
    preserved: u32,
}

impl Descriptors {
    /// What `--preserve-fds` says and systemd has handed over. To be asked before anything is opened.
    ///
    /// # Errors
    /// One of them is not open, and would be one of boxr's own; not a number.
    pub fn read(words: &Words) -> Result<Self, Error> {
        let read = Self { listening: listen_fds()?, ..Self::preserved(words)? };
        read.check()
    }

    /// The same for a process that joins a container, which gets none of systemd's.
    ///
    /// # Errors
    /// As [`Descriptors::read`].
    pub fn of_exec(words: &Words) -> Result<Self, Error> {
        Self::preserved(words)?.check()
    }

    fn preserved(words: &Words) -> Result<Self, Error> {
        Ok(Self { listening: 0, preserved: words.number("preserve-fds")?.unwrap_or(0) })
    }

    fn check(self) -> Result<Self, Error> {
        for index in 0..self.preserved {
            let path = format!("/proc/self/fd/{}", 3u32.saturating_add(self.listening).saturating_add(index));
            if let Err(error) = std::fs::symlink_metadata(&path) {
                let why =
                    format!("unable to stat preserved-fd {index} (of {}): {path}: {error}", self.preserved);
                return Err(Error::Usage(why));
            }
        }
        Ok(self)
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.listening.saturating_add(self.preserved)
    }

    /// Tells the command of those that systemd has handed over. It is the first process of a pid namespace,
    /// as far as runc's users are concerned.
    pub fn announce(self, process: &mut Process) {
        if self.listening > 0 {
            let mut env = process.env().clone().unwrap_or_default();
            env.extend([format!("LISTEN_FDS={}", self.listening), "LISTEN_PID=1".to_owned()]);
            process.set_env(Some(env));
        }
    }
}

/// They are meant for the process that `LISTEN_PID` names.
fn listen_fds() -> Result<u32, Error> {
    let (Some(pid), Some(count)) = (std::env::var_os("LISTEN_PID"), std::env::var_os("LISTEN_FDS")) else {
        return Ok(0);
    };
    let own = rustix::process::getpid().as_raw_nonzero().to_string();
    if pid != own.as_str() {
        return Ok(0);
    }
    text(&count)?.parse().map_err(|_| Error::Usage(format!("LISTEN_FDS={}: not a number", count.display())))
}

/// Makes the process's user the owner of the standard streams, so that it can open `/dev/stdout` and the
/// like, as runc does it. A terminal's owner is seen to where the terminal is made.
///
/// # Errors
/// fstat(2), fchown(2).
pub fn give_streams_to(process: &Process) -> Result<(), Error> {
    let uid = process.user().uid();
    if uid == 0 || process.terminal().unwrap_or(false) {
        return Ok(());
    }
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for stream in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        give(stream, uid).map_err(Error::system("give a standard stream to the container's user"))?;
    }
    Ok(())
}

fn give(stream: BorrowedFd<'_>, uid: u32) -> Result<(), Errno> {
    let found = match fstat(stream) {
        // Closed by the caller.
        Err(Errno::BADF) => return Ok(()),
        other => other?,
    };
    let is_null = FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
        && (major(found.st_rdev), minor(found.st_rdev)) == (1, 3);
    if found.st_uid == uid || is_null {
        return Ok(());
    }
    match fchown(stream, Some(Uid::from_raw(uid)), Some(Gid::from_raw(found.st_gid))) {
        // Another's, one that has no owner, or one on a read-only file system: it stays as it is.
        Ok(()) | Err(Errno::PERM | Errno::INVAL | Errno::ROFS) => Ok(()),
        Err(errno) => Err(errno),
    }
}
