//! Reading what a client asks for: a bounded number of bytes, in a bounded time.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// All lines of a request before its body.
const LONGEST: usize = 64 << 10;
/// From the first byte to the last of what is asked for.
const TIME: Duration = Duration::from_secs(30);

/// The beginning of a client's stream.
pub(super) struct Head<'c> {
    client: &'c TcpStream,
    bytes: Vec<u8>,
    end: Instant,
}

impl<'c> Head<'c> {
    pub fn new(client: &'c TcpStream) -> Self {
        Self { client, bytes: Vec::new(), end: Instant::now() + TIME }
    }

    /// Exactly `count` bytes.
    pub fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.bytes.len() < count {
            self.more()?;
        }
        let rest = self.bytes.split_off(count);
        Ok(std::mem::replace(&mut self.bytes, rest))
    }

    /// The first byte, which stays.
    pub fn first(&mut self) -> io::Result<u8> {
        while self.bytes.is_empty() {
            self.more()?;
        }
        Ok(self.bytes[0])
    }

    /// The lines up to the empty one, which is read as well.
    pub fn lines(&mut self) -> io::Result<Vec<u8>> {
        let mut looked = 0;
        loop {
            if let Some(end) = find_end(&self.bytes[looked..]) {
                return self.take(looked + end);
            }
            // The mark may be broken by the end of a piece.
            looked = self.bytes.len().saturating_sub(3);
            self.more()?;
        }
    }

    /// What came after it.
    pub fn rest(self) -> Vec<u8> {
        self.bytes
    }

    fn more(&mut self) -> io::Result<()> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() || self.bytes.len() >= LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.client.set_read_timeout(Some(left))?;
        let mut piece = [0; 4096];
        match self.client.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.bytes.extend(&piece[..count]);
                Ok(())
            }
        }
    }
}

/// Just behind an empty line, which clients may end with a bare newline (RFC 9112, section 2.2).
fn find_end(bytes: &[u8]) -> Option<usize> {
    let crlf = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
    let bare = bytes.windows(2).position(|two| two == b"\n\n").map(|at| at + 2);
    match (crlf, bare) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
