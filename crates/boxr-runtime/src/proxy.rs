//! Bytes between the person's terminal and the box's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read, write};

use crate::terminal::{DetachKeys, RawTerminal, copy_size};

/// The master of a box's terminal, connected to stdin and stdout.
#[derive(Debug)]
pub struct Proxy {
    master: OwnedFd,
    raw: Option<RawTerminal>,
    keys: DetachKeys,
    /// Typed, and not yet taken by the box.
    pending: Vec<u8>,
    /// What was typed last.
    typed: Vec<u8>,
    input_open: bool,
    output_open: bool,
}

/// What the person typed, as far as it is not for the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing of the kind.
    Nothing,
    /// A key that the kernel makes a signal of, perhaps.
    Control,
    /// The detach keys.
    Detach,
}

/// What is read at once; a terminal's buffer is not larger.
const CHUNK: usize = 8192;
/// Typed bytes that wait for the box before stdin is left alone.
const MOST_PENDING: usize = 64 * 1024;

impl Proxy {
    /// Puts the person's terminal into raw mode.
    ///
    /// # Errors
    /// fcntl(2), tcsetattr(3).
    pub fn new(master: OwnedFd, keys: DetachKeys) -> Result<Self, Errno> {
        // The box may not read its input while it waits for room for its output: neither may block.
        let flags = fcntl_getfl(&master)?;
        fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
        let raw = RawTerminal::enter()?;
        Ok(Self {
            master,
            raw,
            keys,
            pending: Vec::new(),
            typed: Vec::new(),
            input_open: true,
            output_open: true,
        })
    }

    /// The master.
    pub fn master(&self) -> &OwnedFd {
        &self.master
    }

    /// What was typed last, without detach keys.
    pub fn last_typed(&self) -> &[u8] {
        &self.typed
    }

    /// What to wait for on the master.
    pub fn interest(&self) -> PollFlags {
        let output = if self.output_open { PollFlags::IN } else { PollFlags::empty() };
        let input = if self.pending.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        output | input
    }

    /// Whether stdin is to be read.
    pub fn wants_input(&self) -> bool {
        self.input_open && self.pending.len() < MOST_PENDING
    }

    /// Moves what can be moved.
    ///
    /// # Errors
    /// read(2) and write(2), apart from the ends of the streams.
    pub fn turn(&mut self, input: bool, output: bool, room: bool) -> Result<Typed, Errno> {
        if output {
            self.copy_output()?;
        }
        let typed = if input { self.read_input()? } else { Typed::Nothing };
        if room || !self.pending.is_empty() {
            self.write_pending()?;
        }
        Ok(typed)
    }

    /// What is left in the terminal after the box has ended.
    ///
    /// # Errors
    /// As [`Self::turn`].
    pub fn drain(&mut self) -> Result<(), Errno> {
        while self.output_open && self.copy_output()? {}
        Ok(())
    }

    /// Gives the box the size of the person's terminal.
    ///
    /// # Errors
    /// `TIOCSWINSZ`.
    pub fn resize(&self) -> Result<(), Errno> {
        copy_size(self.master.as_fd())
    }

    /// The person's settings, while boxr is stopped.
    ///
    /// # Errors
    /// tcsetattr(3).
    pub fn leave_raw(&self) -> Result<(), Errno> {
        self.raw.as_ref().map_or(Ok(()), RawTerminal::restore)
    }

    /// Raw mode and the size of now, after that.
    ///
    /// # Errors
    /// tcsetattr(3).
    pub fn enter_raw(&self) -> Result<(), Errno> {
        self.raw.as_ref().map_or(Ok(()), RawTerminal::set_raw)?;
        self.resize()
    }

    /// Lets go of the person's terminal.
    pub fn into_master(self) -> OwnedFd {
        self.master
    }

    /// True when something was read.
    fn copy_output(&mut self) -> Result<bool, Errno> {
        let mut buffer = [0u8; CHUNK];
        match read(&self.master, &mut buffer) {
            // The last process that had the terminal open is gone: EIO on Linux.
            Ok(0) | Err(Errno::IO) => {
                self.output_open = false;
                Ok(false)
            }
            Ok(count) => write_all(rustix::stdio::stdout(), &buffer[..count]).map(|()| true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn read_input(&mut self) -> Result<Typed, Errno> {
        let mut buffer = [0u8; CHUNK];
        match read(rustix::stdio::stdin(), &mut buffer) {
            // The person's terminal is gone; the box goes on until it is hung up or ends.
            Ok(0) | Err(Errno::IO) => {
                self.input_open = false;
                Ok(Typed::Nothing)
            }
            Ok(count) => {
                self.typed.clear();
                let detach = self.keys.filter(&buffer[..count], &mut self.typed);
                self.pending.extend_from_slice(&self.typed);
                Ok(match self.typed.iter().any(u8::is_ascii_control) {
                    _ if detach => Typed::Detach,
                    true => Typed::Control,
                    false => Typed::Nothing,
                })
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Typed::Nothing),
            Err(errno) => Err(errno),
        }
    }

    fn write_pending(&mut self) -> Result<(), Errno> {
        while !self.pending.is_empty() {
            match write(&self.master, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Err(Errno::IO) => self.pending.clear(),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// What [`wait`] found.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The process has ended.
    pub ended: bool,
    /// A signal has come.
    pub signal: bool,
    /// The box has written, or closed its terminal.
    pub output: bool,
    /// The box's terminal takes more input.
    pub room: bool,
    /// The person has typed.
    pub input: bool,
}

/// Waits until something happens with a process that is looked after, or there is something to read from one of
/// `also`, or for `timeout`.
///
/// # Errors
/// poll(2), other than `EINTR`.
pub fn wait(
    process: &OwnedFd,
    signals: &OwnedFd,
    proxy: Option<&Proxy>,
    also: &[BorrowedFd<'_>],
    timeout: Option<&Timespec>,
) -> Result<Ready, Errno> {
    let mut fds = vec![PollFd::new(process, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
    if let Some(proxy) = proxy {
        match proxy.interest() {
            // poll(2) tells of a hang-up also where nothing was asked for, again and again.
            nothing if nothing.is_empty() => fds.push(PollFd::new(signals, nothing)),
            interest => fds.push(PollFd::new(&proxy.master, interest)),
        }
        if proxy.wants_input() {
            fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
        }
    }
    let own = fds.len();
    fds.extend(also.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno),
    }
    fds.truncate(own);
    let has =
        |index: usize, flags: PollFlags| fds.get(index).is_some_and(|fd| fd.revents().intersects(flags));
    let some = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
    Ok(Ready {
        ended: has(0, some),
        signal: has(1, some),
        output: has(2, some),
        room: has(2, PollFlags::OUT),
        input: has(3, some),
    })
}

/// Writes everything, waiting where the other side is slow. What nobody reads any more is dropped.
///
/// # Errors
/// write(2), other than for a reader that has gone.
pub fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None).map(|_| ()).or_else(
                    |errno| {
                        if errno == Errno::INTR { Ok(()) } else { Err(errno) }
                    },
                )?;
            }
            Err(Errno::PIPE | Errno::IO) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
