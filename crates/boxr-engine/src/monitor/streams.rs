//! The standard descriptors of a detached box: FIFOs in its directory, or a terminal.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, openat};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::time::Timespec;

use crate::logs::Stream;

/// The monitor's ends.
#[derive(Debug)]
pub(super) struct Streams {
    /// What the box writes, and as which stream it is logged.
    pub outputs: Vec<(Stream, OwnedFd)>,
    /// Where its stdin is written to, while that is open.
    pub input: Option<OwnedFd>,
    /// Whether that is a terminal, which is then also its only output.
    pub is_terminal: bool,
    /// Input that the box has not taken yet.
    pending: Vec<u8>,
    /// stdin is to be closed when that is done.
    closing: bool,
    /// Control characters among what was typed.
    control: Vec<u8>,
}

/// The box's ends.
#[derive(Debug)]
pub(super) struct BoxEnds {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

const STDIN: &str = "stdin";
const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";

/// Makes the FIFOs in the box's directory `dir` and opens both ends.
///
/// The box's end of an output is open for reading too, so that no write of it fails while
/// nobody listens; so is the monitor's, which then never sees an end of file before its time.
pub(super) fn make(
    dir: BorrowedFd<'_>,
    interactive: bool,
    openers: Openers,
) -> Result<(Streams, BoxEnds), Errno> {
    let output = |name: &str| -> Result<(OwnedFd, OwnedFd), Errno> {
        make_fifo(dir, name, openers)?;
        Ok((open_fifo(dir, name, OFlags::RDWR | OFlags::NONBLOCK)?, open_fifo(dir, name, OFlags::RDWR)?))
    };
    let (stdout, box_stdout) = output(STDOUT)?;
    let (stderr, box_stderr) = output(STDERR)?;
    let (input, box_stdin) = if interactive {
        make_fifo(dir, STDIN, openers)?;
        // The reader's end alone, or the box would keep its own stdin open for ever.
        let reader = open_fifo(dir, STDIN, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let writer = open_fifo(dir, STDIN, OFlags::WRONLY | OFlags::NONBLOCK)?;
        let flags = fcntl_getfl(&reader)?;
        fcntl_setfl(&reader, flags - OFlags::NONBLOCK)?;
        (Some(writer), reader)
    } else {
        remove(dir, STDIN)?;
        (None, rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    };
    let streams = Streams {
        outputs: vec![(Stream::Stdout, stdout), (Stream::Stderr, stderr)],
        input,
        is_terminal: false,
        pending: Vec::new(),
        closing: false,
        control: Vec::new(),
    };
    Ok((streams, BoxEnds { stdin: box_stdin, stdout: box_stdout, stderr: box_stderr }))
}

/// Opens the monitor's ends of a box that runs already.
pub(super) fn reopen(dir: BorrowedFd<'_>) -> Result<Streams, Errno> {
    let output = |name: &str| open_fifo(dir, name, OFlags::RDWR | OFlags::NONBLOCK);
    let input = match open_fifo(dir, STDIN, OFlags::WRONLY | OFlags::NONBLOCK) {
        // Not interactive, or nobody reads it any more.
        Err(Errno::NOENT | Errno::NXIO) => None,
        other => Some(other?),
    };
    let outputs = match output(STDOUT) {
        // A box with a terminal has no FIFOs; whoever held its master is gone.
        Err(Errno::NOENT) => Vec::new(),
        stdout => vec![(Stream::Stdout, stdout?), (Stream::Stderr, output(STDERR)?)],
    };
    Ok(Streams {
        outputs,
        input,
        is_terminal: false,
        pending: Vec::new(),
        closing: false,
        control: Vec::new(),
    })
}

/// A terminal as the only stream.
pub(super) fn of_terminal(master: OwnedFd) -> Result<Streams, Errno> {
    let flags = fcntl_getfl(&master)?;
    fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
    let input = master.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::MFILE))?;
    let outputs = vec![(Stream::Stdout, master)];
    Ok(Streams {
        outputs,
        input: Some(input),
        is_terminal: true,
        pending: Vec::new(),
        closing: false,
        control: Vec::new(),
    })
}

impl Streams {
    /// The master of the terminal.
    pub fn terminal(&self) -> Option<&OwnedFd> {
        self.input.as_ref().filter(|_| self.is_terminal)
    }

    /// Whether the box has yet to take some of its input.
    pub fn has_pending_input(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Control characters that were typed since this was last asked.
    pub fn take_control_keys(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.control)
    }

    /// Passes input on.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.is_terminal {
            self.control.extend(bytes.iter().filter(|byte| byte.is_ascii_control()));
        }
        if self.input.is_some() && !self.closing {
            self.pending.extend_from_slice(bytes);
            self.flush_input();
        }
    }

    /// Closes stdin behind what is pending. A terminal has no end of input of its own.
    pub fn close_input(&mut self) {
        self.closing |= !self.is_terminal;
        self.flush_input();
    }

    /// Whether stdin was closed on request, which a standby must repeat.
    pub fn input_is_closed(&self) -> bool {
        self.closing && self.input.is_none()
    }

    /// Writes what the box takes now.
    pub fn flush_input(&mut self) {
        while let (Some(input), false) = (&self.input, self.pending.is_empty()) {
            match rustix::io::write(input, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // The box has closed its stdin: nobody will ever read it.
                Err(_) => {
                    self.pending.clear();
                    self.input = self.input.take().filter(|_| self.is_terminal);
                }
            }
        }
        if self.closing {
            self.input = None;
        }
    }
}

/// Bytes that a FIFO holds of a box that writes much, and that are moved at once: each change between it and the
/// monitor then moves more.
const WIDE: usize = 256 * 1024;
/// Times that they are, before the monitor looks at anything else.
const POURS: usize = 16;
/// How long a FIFO that is neither empty nor full is left alone, and how often.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000 };
const NAPS: usize = 4;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What a monitor holds while its box writes much: a buffer that is not made anew for each read.
#[derive(Debug, Default)]
pub(super) struct Burst {
    bytes: Vec<u8>,
    goes_on: bool,
    /// Nothing more comes than there is.
    is_last: bool,
    /// Outputs that are FIFOs, and were made as wide as they can be.
    fifos: Vec<RawFd>,
}

impl Burst {
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Nothing came for a while: its memory is the kernel's again.
    pub fn end(&mut self) {
        self.goes_on = false;
        self.bytes.clear();
        boxr_sys::memory::release(self.bytes.spare_capacity_mut());
    }

    /// The box has ended: there is nothing to wait for.
    pub fn last(&mut self) {
        self.is_last = true;
    }

    /// One read, of as much as there soon is.
    pub fn read(&mut self, output: &OwnedFd) -> Result<&[u8], Errno> {
        self.let_fill(output);
        self.bytes.clear();
        rustix::io::read(output, rustix::buffer::spare_capacity(&mut self.bytes))?;
        Ok(&self.bytes)
    }

    /// Leaves a FIFO alone that is being written to. A write holds the lock of the FIFO while it copies, and a read
    /// meanwhile spins for it: on an idle machine half of what a monitor costs. poll(2) takes no lock, and a FIFO that
    /// is full has nobody at it.
    fn let_fill(&self, output: &OwnedFd) {
        for _ in 0..if self.is_last { 0 } else { NAPS } {
            let both = PollFlags::IN | PollFlags::OUT;
            let mut fds = [PollFd::new(output, both)];
            let looked = poll(&mut fds, Some(&AT_ONCE));
            // A terminal is never full: what is written to its master goes the other way.
            if looked != Ok(1) || fds[0].revents() != both || !self.fifos.contains(&output.as_raw_fd()) {
                return;
            }
            // One that a signal cuts short is only shorter.
            poll(&mut [], Some(&NAP)).unwrap_or_default();
        }
    }

    /// Makes a FIFO hold more. Not a terminal, nor beyond what the user may have of pipes (pipe(7)): it works without.
    fn widen(&mut self, output: &OwnedFd) {
        let number = output.as_raw_fd();
        if self.fifos.contains(&number) {
            return;
        }
        if let Ok(size) = rustix::pipe::fcntl_getpipe_size(output) {
            if size < WIDE {
                rustix::pipe::fcntl_setpipe_size(output, WIDE).unwrap_or_default();
            }
            self.fifos.push(number);
        }
    }

    /// Begins it, and takes what is left in an output that is full, or fills again at once. What cannot be read
    /// now is met by the next read, with its error.
    pub fn pour(&mut self, output: &OwnedFd, mut take: impl FnMut(&[u8])) {
        self.widen(output);
        self.goes_on = true;
        self.bytes.clear();
        self.bytes.reserve_exact(WIDE);
        for _ in 0..POURS {
            match self.read(output) {
                Ok([]) | Err(_) => return,
                Ok(bytes) => {
                    take(bytes);
                    if bytes.len() < WIDE / 4 {
                        return;
                    }
                }
            }
        }
    }
}

/// Who of the box may open `/dev/stdout` and its kin, which are these FIFOs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Openers {
    Caller,
    /// The user that the command runs as.
    User(u32),
    /// Whoever has come by a descriptor of it: nobody else reaches the directory that it is in.
    Anybody,
}

fn make_fifo(dir: BorrowedFd<'_>, name: &str, openers: Openers) -> Result<(), Errno> {
    // One of an earlier start may hold bytes of then.
    remove(dir, name)?;
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(dir, name, rustix::fs::FileType::Fifo, mode, 0)?;
    match openers {
        Openers::Caller => Ok(()),
        Openers::User(uid) => {
            let uid = rustix::fs::Uid::from_raw(uid);
            rustix::fs::chownat(dir, name, Some(uid), None, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        }
        Openers::Anybody => {
            let all = Mode::from_raw_mode(0o666);
            rustix::fs::chmodat(dir, name, all, rustix::fs::AtFlags::empty())
        }
    }
}

fn open_fifo(dir: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(dir, name, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
}

/// Removes FIFOs and socket.
pub(super) fn remove_all(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    [STDIN, STDOUT, STDERR, super::attach::SOCKET].iter().try_for_each(|name| remove(dir, name))
}

fn remove(dir: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, rustix::fs::AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// One message of a `SOCK_SEQPACKET` socket into `buffer`; `None` when there is none now.
pub(super) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    match rustix::net::recv(socket.as_fd(), buffer, RecvFlags::DONTWAIT) {
        Ok((count, _)) => Ok(Some(count)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// No streams at all.
pub(super) fn none() -> Streams {
    Streams {
        outputs: Vec::new(),
        input: None,
        is_terminal: false,
        pending: Vec::new(),
        closing: false,
        control: Vec::new(),
    }
}
