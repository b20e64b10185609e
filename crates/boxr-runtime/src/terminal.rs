//! The person's terminal while a box has a pseudo-terminal of its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{
    OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// A new pseudo-terminal of the caller's devpts: the master, and the user's side.
///
/// # Errors
/// `ENOSPC` past the limit of pseudo-terminals; `ENOENT` without a devpts.
pub fn open_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&master)?;
    let user = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    Ok((master, user))
}

/// Whether stdin and stdout are terminals.
pub fn is_interactive() -> bool {
    isatty(rustix::stdio::stdin()) && isatty(rustix::stdio::stdout())
}

/// Gives `master` the size of the person's terminal; without one, 80 by 24.
///
/// # Errors
/// `TIOCSWINSZ`.
pub fn copy_size(master: BorrowedFd<'_>) -> Result<(), Errno> {
    tcsetwinsize(master, current_size())
}

/// The size of the terminal on stdout, stdin or stderr.
pub fn current_size() -> Winsize {
    let streams = [rustix::stdio::stdout(), rustix::stdio::stdin(), rustix::stdio::stderr()];
    let unknown = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    streams
        .into_iter()
        .find_map(|stream| tcgetwinsize(stream).ok().filter(|size| size.ws_col > 0))
        .unwrap_or(unknown)
}

/// The person's terminal in raw mode: every byte goes to the box. It gets its old settings back
/// when this is dropped, and also when boxr is killed: a process of its own waits for that.
#[derive(Debug)]
pub struct RawTerminal {
    saved: Termios,
    guard: OwnedFd,
}

impl RawTerminal {
    /// Puts the terminal on stdin into raw mode; `None` when stdin is no terminal.
    ///
    /// # Errors
    /// tcsetattr(3), or clone(2) for the guard.
    pub fn enter() -> Result<Option<Self>, Errno> {
        let stdin = rustix::stdio::stdin();
        if !isatty(stdin) {
            return Ok(None);
        }
        let saved = tcgetattr(stdin)?;
        let guard = start_guard(&saved)?;
        let terminal = Self { saved, guard };
        terminal.set_raw()?;
        Ok(Some(terminal))
    }

    /// Raw mode again, after the person's shell had the terminal.
    ///
    /// # Errors
    /// tcsetattr(3).
    pub fn set_raw(&self) -> Result<(), Errno> {
        let mut raw = self.saved.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &raw)
    }

    /// The old settings, while boxr is stopped.
    ///
    /// # Errors
    /// tcsetattr(3).
    pub fn restore(&self) -> Result<(), Errno> {
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.saved)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that has gone needs no settings, and a guard that has gone no end.
        self.restore().unwrap_or_default();
        boxr_sys::signal::send(self.guard.as_fd(), rustix::process::Signal::KILL.as_raw())
            .unwrap_or_default();
        boxr_sys::pidfd::reap(self.guard.as_fd(), true).unwrap_or_default();
    }
}

/// A process that waits for this one's end and then restores the terminal.
fn start_guard(saved: &Termios) -> Result<OwnedFd, Errno> {
    let me = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())?;
    match clone3(0, None, Parent::Caller)? {
        Cloned::Parent { pidfd, .. } => Ok(pidfd),
        Cloned::Child => match guard(me, saved) {
            Ok(()) => exit_now(0),
            Err(_) => exit_now(1),
        },
    }
}

fn guard(parent: OwnedFd, saved: &Termios) -> Result<(), Errno> {
    // Blocked, so that the keys of the terminal do not end it, nor SIGTTOU stop it below.
    let (signals, _) = boxr_sys::signal::take_all()?;
    drop(signals);
    let [parent] = boxr_sys::fd::close_all_but([parent])?;
    boxr_sys::title::set(c"boxr-terminal", "boxr-terminal")?;
    loop {
        match poll(&mut [PollFd::new(&parent, PollFlags::IN)], None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, saved)
}

/// The keys that leave a box without ending it (docker's `--detach-keys`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys {
    sequence: Vec<u8>,
    matched: usize,
}

impl Default for DetachKeys {
    /// ctrl-p, ctrl-q
    fn default() -> Self {
        Self { sequence: vec![0x10, 0x11], matched: 0 }
    }
}

impl DetachKeys {
    /// Keys that are these bytes; none means that no keys detach.
    pub fn new(sequence: Vec<u8>) -> Self {
        Self { sequence, matched: 0 }
    }

    /// Passes typed bytes through: what goes to the box is appended to `output`. True when the
    /// whole sequence was typed; what came after it is dropped.
    pub fn filter(&mut self, input: &[u8], output: &mut Vec<u8>) -> bool {
        for byte in input {
            self.step(*byte, output);
            if !self.sequence.is_empty() && self.matched == self.sequence.len() {
                self.matched = 0;
                return true;
            }
        }
        false
    }

    fn step(&mut self, byte: u8, output: &mut Vec<u8>) {
        if self.sequence.get(self.matched) == Some(&byte) {
            self.matched += 1;
            return;
        }
        // What had matched so far was meant for the box, unless a later start of it fits still.
        let mut held: Vec<u8> = self.sequence[..self.matched].to_vec();
        held.push(byte);
        self.matched = 0;
        while !held.is_empty() && !self.sequence.starts_with(&held) {
            output.push(held.remove(0));
        }
        self.matched = held.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &mut DetachKeys, input: &[u8]) -> (Vec<u8>, bool) {
        let mut output = Vec::new();
        let detached = keys.filter(input, &mut output);
        (output, detached)
    }

    #[test]
    fn the_default_sequence_detaches_also_when_split() {
        let mut keys = DetachKeys::default();
        assert_eq!(typed(&mut keys, b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(typed(&mut keys, b"\x11zz"), (vec![], true));
    }

    #[test]
    fn a_broken_off_sequence_reaches_the_box() {
        let mut keys = DetachKeys::default();
        assert_eq!(typed(&mut keys, b"\x10x"), (b"\x10x".to_vec(), false));
        assert_eq!(typed(&mut keys, b"\x10\x10\x11"), (b"\x10".to_vec(), true));
    }

    #[test]
    fn an_overlapping_start_is_found() {
        let mut keys = DetachKeys::new(b"aab".to_vec());
        assert_eq!(typed(&mut keys, b"aaab"), (b"a".to_vec(), true));
    }

    #[test]
    fn no_keys_detach_nothing() {
        let mut none = DetachKeys::new(Vec::new());
        assert_eq!(typed(&mut none, b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
