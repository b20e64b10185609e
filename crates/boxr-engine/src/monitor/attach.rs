//! The client's side: a terminal or pipes connected to a detached box.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use boxr_sys::signal::{self, Received};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with, socketpair,
};
use rustix::process::Signal;

use super::clients::{ERROR_OUTPUT, EXIT, INPUT, INPUT_END, OUTPUT, PACKET, PORTS, WINDOW};
use crate::deadline::Deadline;
use crate::deliver::deliver;
use crate::lifecycle::waiting::Changes;
use crate::outcome::EngineError;
use crate::proxy::write_all;
use crate::record::{ProcessRef, State, Status};
use crate::store::BoxDir;
use crate::terminal::{DetachKeys, RawTerminal, current_size};

/// The socket's name in the box's directory.
pub(super) const SOCKET: &str = "attach";

/// Has the monitor of a box let go of its ports and hold those that it has now.
///
/// # Errors
/// It cannot be reached.
pub(crate) fn hold_ports_anew(dir: &BoxDir, state: &State) -> Result<(), EngineError> {
    super::ensure(dir, state.clone())?;
    let failed = |errno| EngineError::system(format!("tell the monitor of box {}", state.name), errno);
    let Attachment { socket, .. } = Attachment::connect(dir, state)?;
    send(&socket, &[PORTS], SendFlags::NOSIGNAL).map_err(failed)?;
    let mut buffer = [0u8; PACKET + 1];
    loop {
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recv(&socket, &mut buffer[..], rustix::net::RecvFlags::empty())
                .map(|(length, _)| length)
        });
        match received.map_err(failed)? {
            // A monitor that has ended holds nothing; its standby begins with the ports of now.
            0 => return Ok(()),
            1 if buffer[0] == PORTS => return Ok(()),
            // The box's output, which is others' to read.
            _ => {}
        }
    }
}

/// How an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The box ended with this status.
    Ended(u8),
    /// The person typed the detach keys.
    Detached,
    /// This signal came, which is not passed on; the box goes on.
    Signalled(u8),
}

/// What is connected.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// Whether stdin goes to the box.
    pub input: bool,
    /// Whether its stdout is shown.
    pub output: bool,
    /// Whether its stderr is shown.
    pub errors: bool,
    /// Whether signals to boxr reach the command.
    pub forward_signals: bool,
    /// Keys that leave it running.
    pub detach_keys: DetachKeys,
}

/// A connection to a box's monitor.
#[derive(Debug)]
pub struct Attachment {
    socket: OwnedFd,
    process: Option<(ProcessRef, OwnedFd)>,
    has_terminal: bool,
}

impl Attachment {
    /// Connects to the monitor of `dir`.
    ///
    /// # Errors
    /// `ECONNREFUSED` or `ENOENT` when it has none; [`super::ensure`] comes first.
    pub fn connect(dir: &BoxDir, state: &State) -> Result<Self, EngineError> {
        let failed = |errno| EngineError::system(format!("attach to box {}", state.name), errno);
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(failed)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", dir.dir_fd().as_raw_fd());
        let address = SocketAddrUnix::new(path).map_err(failed)?;
        connect(&socket, &address).map_err(failed)?;
        let process = state.process.and_then(|process| Some((process, process.open().ok()?)));
        Ok(Self { socket, process, has_terminal: state.tty })
    }

    /// A connection to a standby whose monitor was killed: it has the same door. `None` where it was killed as well.
    pub(super) fn of_standby(dir: &BoxDir) -> Option<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).ok()?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", dir.dir_fd().as_raw_fd());
        connect(&socket, &SocketAddrUnix::new(path).ok()?).ok()?;
        Some(Self { socket, process: None, has_terminal: false })
    }

    /// Waits until the state may be another, or the other side has ended.
    pub(super) fn await_change(&self, dir: &BoxDir, patience: &Deadline) -> Result<(), EngineError> {
        let failed = |errno| EngineError::system("wait for the box's monitor", errno);
        let changes = Changes::watch(&dir.path()).map_err(failed)?;
        let state = dir.read_state()?;
        if !super::has_lost_its_monitor(&state) {
            return Ok(());
        }
        let mut fds =
            [PollFd::from_borrowed_fd(changes.fd(), PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut fds, Some(&patience.remaining())) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// A connection to a monitor that is yet to be started, and the monitor's end of it.
    ///
    /// # Errors
    /// socketpair(2).
    pub fn pair() -> Result<(Self, OwnedFd), EngineError> {
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (socket, monitors) = pair.map_err(|errno| EngineError::system("attach to the box", errno))?;
        let nonblocking =
            fcntl_getfl(&monitors).and_then(|flags| fcntl_setfl(&monitors, flags | OFlags::NONBLOCK));
        nonblocking.map_err(|errno| EngineError::system("attach to the box", errno))?;
        Ok((Self { socket, process: None, has_terminal: false }, monitors))
    }

    /// The same, knowing the process that signals go to.
    #[must_use]
    pub fn with_process(self, process: ProcessRef, has_terminal: bool) -> Self {
        let process = process.open().ok().map(|held| (process, held));
        Self { process, has_terminal, ..self }
    }

    /// Moves bytes until the box ends, the monitor is gone, or the person leaves.
    ///
    /// # Errors
    /// The terminal, or reading and writing.
    pub fn run(self, dir: &BoxDir, options: &AttachOptions) -> Result<Left, EngineError> {
        let failed = |errno| EngineError::system("stay attached", errno);
        let (signals, mask) = signal::take_all().map_err(failed)?;
        let raw = match self.has_terminal && options.input {
            true => RawTerminal::enter().map_err(failed)?,
            false => None,
        };
        let mut session = Session {
            socket: self.socket,
            process: self.process,
            raw,
            options: options.clone(),
            input: options.input,
            pending: VecDeque::new(),
        };
        if self.has_terminal {
            session.send_size().map_err(failed)?;
        }
        let left = loop {
            match session.until_silence(&signals).map_err(failed)? {
                Some(left) => break left,
                // The monitor was killed: its successor goes on where it was.
                None => match session.reconnect(dir)? {
                    Some(left) => break left,
                    None => continue,
                },
            }
        };
        drop(session);
        signal::set_mask(&mask).map_err(failed)?;
        Ok(left)
    }
}

struct Session {
    socket: OwnedFd,
    process: Option<(ProcessRef, OwnedFd)>,
    raw: Option<RawTerminal>,
    options: AttachOptions,
    input: bool,
    /// What the monitor has no room for yet. It may itself wait for this side to take output, so
    /// that neither may block.
    pending: VecDeque<Vec<u8>>,
}

impl Session {
    /// `None` when the connection ends without a word.
    fn until_silence(&mut self, signals: &OwnedFd) -> Result<Option<Left>, Errno> {
        loop {
            let room = if self.pending.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            let interest = PollFlags::IN | room;
            let mut fds = vec![PollFd::new(&self.socket, interest), PollFd::new(signals, PollFlags::IN)];
            if self.input && self.pending.is_empty() {
                fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
            }
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            let is = |index: usize| ready.get(index) == Some(&true);
            if is(1) {
                while let Some(received) = signal::next(signals)? {
                    if let Some(number) = self.on_signal(received)? {
                        return Ok(Some(Left::Signalled(number)));
                    }
                }
            }
            if is(2) && self.read_input()? {
                return Ok(Some(Left::Detached));
            }
            if is(0) {
                self.flush()?;
                match self.read_packet()? {
                    Packet::Handled => {}
                    Packet::End(status) => return Ok(Some(Left::Ended(status))),
                    Packet::Closed => return Ok(None),
                }
            }
        }
    }

    fn read_packet(&self) -> Result<Packet, Errno> {
        let mut buffer = [0u8; PACKET + 1];
        match super::streams::receive(&self.socket, &mut buffer) {
            Ok(None) => Ok(Packet::Handled),
            Ok(Some(0)) | Err(Errno::CONNRESET) => Ok(Packet::Closed),
            Ok(Some(count)) => match &buffer[..count] {
                [OUTPUT, ..] if !self.options.output => Ok(Packet::Handled),
                [ERROR_OUTPUT, ..] if !self.options.errors => Ok(Packet::Handled),
                [OUTPUT, bytes @ ..] => write_all(rustix::stdio::stdout(), bytes).map(|()| Packet::Handled),
                [ERROR_OUTPUT, bytes @ ..] => {
                    write_all(rustix::stdio::stderr(), bytes).map(|()| Packet::Handled)
                }
                [EXIT, status] => Ok(Packet::End(*status)),
                _ => Err(Errno::PROTO),
            },
            Err(errno) => Err(errno),
        }
    }

    /// True when the detach keys were typed.
    fn read_input(&mut self) -> Result<bool, Errno> {
        let mut buffer = [0u8; 4096];
        let count = match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(false),
            Err(Errno::IO) => 0,
            Err(errno) => return Err(errno),
        };
        if count == 0 {
            self.input = false;
            self.send(&[INPUT_END])?;
            return Ok(false);
        }
        let mut output = vec![INPUT];
        // Keys are typed; bytes of a pipe mean nothing but themselves.
        let detached = match self.raw {
            Some(_) => self.options.detach_keys.filter(&buffer[..count], &mut output),
            None => {
                output.extend_from_slice(&buffer[..count]);
                false
            }
        };
        if output.len() > 1 {
            self.send(&output)?;
        }
        Ok(detached)
    }

    fn send(&mut self, packet: &[u8]) -> Result<(), Errno> {
        self.pending.push_back(packet.to_vec());
        self.flush()
    }

    /// A monitor that is gone gets nothing; its end is seen when reading.
    fn flush(&mut self) -> Result<(), Errno> {
        while let Some(packet) = self.pending.front() {
            match send(&self.socket, packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(_) | Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => {
                    self.pending.pop_front();
                }
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn send_size(&mut self) -> Result<(), Errno> {
        let size = current_size();
        let (rows, columns) = (size.ws_row.to_le_bytes(), size.ws_col.to_le_bytes());
        self.send(&[WINDOW, rows[0], rows[1], columns[0], columns[1]])
    }

    /// Gives the signal that ends this side alone.
    fn on_signal(&mut self, received: Received) -> Result<Option<u8>, Errno> {
        let is = |signal: Signal| received.signal == signal.as_raw();
        if is(Signal::WINCH) {
            return if self.raw.is_some() { self.send_size().map(|()| None) } else { Ok(None) };
        }
        if is(Signal::TSTP) {
            self.raw.as_ref().map_or(Ok(()), RawTerminal::restore)?;
            signal::stop_self()?;
            self.raw.as_ref().map_or(Ok(()), RawTerminal::set_raw)?;
            return if self.raw.is_some() { self.send_size().map(|()| None) } else { Ok(None) };
        }
        if [Signal::CHILD, Signal::PIPE, Signal::TTIN, Signal::TTOU].into_iter().any(is) {
            return Ok(None);
        }
        if !self.options.forward_signals {
            let ends = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT].into_iter().any(is);
            return Ok(u8::try_from(received.signal).ok().filter(|_| ends));
        }
        match &self.process {
            Some((process, held)) => match deliver(held.as_fd(), process.pid, received.signal) {
                Ok(_) | Err(Errno::SRCH) => Ok(None),
                Err(errno) => Err(errno),
            },
            None => Ok(None),
        }
    }

    fn reconnect(&mut self, dir: &BoxDir) -> Result<Option<Left>, EngineError> {
        // The standby takes the place of a killed monitor at once; if both are gone, this starts one.
        for _ in 0..100 {
            let Ok(state) = dir.read_state() else { return Ok(Some(Left::Ended(255))) };
            let state = super::ensure(dir, state)?;
            if state.status == Status::Exited {
                return Ok(Some(Left::Ended(state.exit.map_or(255, crate::record::Exit::status))));
            }
            if let Ok(again) = Attachment::connect(dir, &state) {
                self.socket = again.socket;
                return Ok(None);
            }
            self.pause();
        }
        Err(EngineError::system("reach the box's monitor", Errno::TIMEDOUT))
    }

    fn pause(&self) {
        let tenth = rustix::time::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        poll(&mut [], Some(&tenth)).unwrap_or_default();
    }
}

enum Packet {
    Handled,
    End(u8),
    Closed,
}
