//! A client of D-Bus, as small as speaking to systemd allows: calls, their replies, and signals, one
//! after the other, over a Unix socket.
//!
//! It is our own because the need is four messages. Of the well-kept crates zbus brings an async runtime,
//! and rustbus two versions of syn and its own nix; neither speaks to systemd's private socket, where there
//! is no bus in between and no greeting.

mod address;
pub(crate) mod text;
mod value;
mod wire;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;

pub(crate) use address::Address;
pub(crate) use value::Value;
pub(crate) use wire::Message;

use wire::{Kind, START};

/// The bus itself.
const BUS: (&str, &str, &str) = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus");

/// Who is at the other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A bus, which has to be greeted and told which signals are wanted.
    Bus,
    /// The program itself.
    Peer,
}

/// Why a call had no result.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The socket failed.
    #[error("{0}")]
    Socket(Errno),
    /// Nothing came within the time that was left.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The other end would not have us.
    #[error("it refused our credentials")]
    Refused,
    /// What came is not D-Bus.
    #[error("it does not speak D-Bus")]
    Malformed,
    /// The answer was an error.
    #[error("{message} ({name})")]
    Answer {
        /// Its name, such as `org.freedesktop.systemd1.NoSuchUnit`.
        name: String,
        /// For people.
        message: String,
    },
}

impl From<std::io::Error> for BusError {
    fn from(error: std::io::Error) -> Self {
        Self::Socket(error.raw_os_error().map_or(Errno::PIPE, Errno::from_raw_os_error))
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    deadline: Instant,
    patience: Duration,
    serial: u32,
    /// What is to be sent with the next wait.
    outgoing: Vec<u8>,
    /// Read, and not yet understood.
    incoming: Vec<u8>,
    signals: VecDeque<Message>,
}

impl Connection {
    /// Opens a connection; everything on it has to be over within `patience`. `matches` are the signals
    /// that a bus is to pass on (D-Bus specification, "Match Rules").
    ///
    /// Nobody is waited for yet: greeting, matches and the first call go out together.
    pub fn open(address: &Address, end: End, matches: &[&str], patience: Duration) -> Result<Self, BusError> {
        let mut connection = Self {
            stream: address.connect()?,
            deadline: Instant::now() + patience,
            patience,
            serial: 0,
            // The kernel tells the other end who we are; the empty DATA leaves it at that, so that nobody
            // has to know which number the user has outside of a user namespace.
            outgoing: b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n".to_vec(),
            incoming: Vec::new(),
            signals: VecDeque::new(),
        };
        let greeting = match end {
            End::Peer => Vec::new(),
            End::Bus => {
                let (name, path, interface) = BUS;
                let call = |member, body| Message::call(name, path, interface, member, body);
                let matches = matches.iter().map(|rule| call("AddMatch", vec![Value::text(*rule)]));
                std::iter::once(call("Hello", Vec::new())).chain(matches).collect()
            }
        };
        for message in greeting {
            connection.post(message);
        }
        connection.flush()?;
        connection.authenticate()?;
        Ok(connection)
    }

    /// Calls, and waits for the answer.
    pub fn call(&mut self, message: Message) -> Result<Vec<Value>, BusError> {
        let serial = self.post(message);
        self.flush()?;
        loop {
            let message = self.receive()?;
            match message.kind {
                Kind::Signal => self.signals.push_back(message),
                Kind::Return if message.reply_to == serial => return Ok(message.body),
                Kind::Error if message.reply_to == serial => return Err(answer(message)),
                // That of a greeting: without a name on the bus no other call has an answer.
                Kind::Error => return Err(answer(message)),
                Kind::Return | Kind::Call => {}
            }
        }
    }

    /// Waits for a signal of which `wanted` makes something.
    pub fn signal<T>(&mut self, mut wanted: impl FnMut(&Message) -> Option<T>) -> Result<T, BusError> {
        loop {
            while let Some(message) = self.signals.pop_front() {
                if let Some(found) = wanted(&message) {
                    return Ok(found);
                }
            }
            let message = self.receive()?;
            if message.kind == Kind::Signal {
                self.signals.push_back(message);
            }
        }
    }

    fn post(&mut self, mut message: Message) -> u32 {
        self.serial += 1;
        message.serial = self.serial;
        self.outgoing.extend(message.to_bytes());
        self.serial
    }

    fn flush(&mut self) -> Result<(), BusError> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write_all(&self.outgoing).map_err(|error| self.failure(error))?;
        self.outgoing.clear();
        Ok(())
    }

    /// Reads the other end's side of the authentication: `DATA`, then `OK` and its id.
    fn authenticate(&mut self) -> Result<(), BusError> {
        const LONGEST: usize = 4096;
        loop {
            if let Some(end) = self.incoming.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.incoming.drain(..end + 2).collect();
                match line.split(|byte| *byte == b' ' || *byte == b'\r').next() {
                    Some(b"OK") => return Ok(()),
                    Some(b"DATA") => continue,
                    Some(b"REJECTED" | b"ERROR") => return Err(BusError::Refused),
                    _ => return Err(BusError::Malformed),
                }
            }
            if self.incoming.len() > LONGEST {
                return Err(BusError::Malformed);
            }
            self.read()?;
        }
    }

    fn receive(&mut self) -> Result<Message, BusError> {
        while self.incoming.len() < START {
            self.read()?;
        }
        let length = Message::length(&self.incoming[..START]).ok_or(BusError::Malformed)?;
        while self.incoming.len() < length {
            self.read()?;
        }
        let bytes: Vec<u8> = self.incoming.drain(..length).collect();
        Message::from_bytes(&bytes).ok_or(BusError::Malformed)
    }

    fn read(&mut self) -> Result<(), BusError> {
        let mut buffer = [0; 2048];
        loop {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(BusError::Socket(Errno::CONNRESET)),
                Ok(count) => {
                    self.incoming.extend(&buffer[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(error)),
            }
        }
    }

    /// How long is left; never zero, which sockets take for "for ever".
    fn left(&self) -> Result<Duration, BusError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(BusError::Silent(self.patience)) } else { Ok(left) }
    }

    fn failure(&self, error: std::io::Error) -> BusError {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => BusError::Silent(self.patience),
            _ => error.into(),
        }
    }
}

fn answer(message: Message) -> BusError {
    let text = message.body.first().and_then(Value::as_text).unwrap_or("no reason given");
    BusError::Answer { message: text.to_owned(), name: message.error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// Runs `serve` as the other end of a connection while `client` uses it.
    fn with_server<T>(
        serve: impl FnOnce(UnixStream) + Send,
        client: impl FnOnce(Result<Connection, BusError>) -> T,
    ) -> T {
        let name = format!("boxr-test-{}-{:?}", std::process::id(), std::thread::current().id());
        let address = Address::Abstract(name.into_bytes());
        let Address::Abstract(name) = &address else { unreachable!() };
        use std::os::linux::net::SocketAddrExt;
        let socket = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&socket).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || serve(listener.accept().unwrap().0));
            client(Connection::open(&address, End::Peer, &[], Duration::from_secs(5)))
        })
    }

    /// Accepts the client, reads its call, and answers with these bytes.
    fn answering(mut stream: UnixStream, bytes: &[u8]) {
        let mut buffer = [0; 512];
        assert!(stream.read(&mut buffer).unwrap() > 0);
        stream.write_all(b"DATA\r\nOK 1234\r\n").unwrap();
        assert!(stream.read(&mut buffer).unwrap() > 0);
        stream.write_all(bytes).unwrap();
    }

    fn ping() -> Message {
        Message::call("a.b", "/c", "d.e", "Ping", Vec::new())
    }

    /// A signal is a call in shape.
    fn signal(member: &str) -> Vec<u8> {
        let mut bytes = Message::call("", "/x", "a.b", member, vec![Value::U32(3)]).to_bytes();
        bytes[1] = Kind::Signal as u8;
        bytes
    }

    #[test]
    fn signals_that_come_first_are_kept() {
        let mut reply = Message::call("", "", "", "", vec![Value::text("pong")]).to_bytes();
        reply[1] = Kind::Return as u8;
        // REPLY_SERIAL: the only field besides the signature is put in its place by hand.
        let reply = {
            let mut bytes = vec![reply[0], Kind::Return as u8, 0, 1, 9, 0, 0, 0, 7, 0, 0, 0, 15, 0, 0, 0];
            bytes.extend([5, 1, b'u', 0, 1, 0, 0, 0, 8, 1, b'g', 0, 1, b's', 0, 0]);
            bytes.extend([4, 0, 0, 0, b'p', b'o', b'n', b'g', 0]);
            bytes
        };
        let bytes = [signal("First"), reply, signal("Second")].concat();
        with_server(
            |stream| answering(stream, &bytes),
            |connection| {
                let mut connection = connection.unwrap();
                assert_eq!(connection.call(ping()).unwrap(), [Value::text("pong")]);
                for name in ["First", "Second"] {
                    let found = connection.signal(|message| Some(message.member.clone())).unwrap();
                    assert_eq!(found, name);
                }
                assert!(matches!(connection.call(ping()), Err(BusError::Socket(_))));
            },
        );
    }

    #[test]
    fn whoever_does_not_speak_it_is_refused() {
        with_server(
            |stream| answering(stream, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            |connection| assert!(matches!(connection.unwrap().call(ping()), Err(BusError::Malformed))),
        );
        with_server(
            |mut stream| {
                let mut buffer = [0; 512];
                assert!(stream.read(&mut buffer).unwrap() > 0);
                stream.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
            },
            |connection| assert!(matches!(connection, Err(BusError::Refused))),
        );
    }
}
