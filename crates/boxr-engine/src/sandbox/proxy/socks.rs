//! SOCKS version 5 (RFC 1928), as far as a client connects: no authentication, names or addresses.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

use super::head::Head;

/// Answers of section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Done = 0,
    NotAllowed = 2,
    Unreachable = 4,
    BadCommand = 7,
    BadAddress = 8,
}

/// What the client wants to be connected to.
///
/// # Errors
/// It is no client of SOCKS, or asks for what there is not; then it has been told.
pub(super) fn destination(head: &mut Head<'_>, mut client: &TcpStream) -> io::Result<(String, u16)> {
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let greeting = head.take(2)?;
    let methods = head.take(usize::from(greeting[1]))?;
    if greeting[0] != 5 || !methods.contains(&0) {
        client.write_all(&[5, 0xff])?;
        return Err(broken());
    }
    client.write_all(&[5, 0])?;
    let asked = head.take(4)?;
    let host = match asked[3] {
        1 => {
            let bytes: [u8; 4] = head.take(4)?.try_into().map_err(|_| broken())?;
            Ipv4Addr::from(bytes).to_string()
        }
        3 => {
            let length = head.take(1)?[0];
            String::from_utf8(head.take(usize::from(length))?).map_err(|_| broken())?
        }
        4 => {
            let bytes: [u8; 16] = head.take(16)?.try_into().map_err(|_| broken())?;
            Ipv6Addr::from(bytes).to_string()
        }
        _ => {
            answer(client, Reply::BadAddress)?;
            return Err(broken());
        }
    };
    let port: [u8; 2] = head.take(2)?.try_into().map_err(|_| broken())?;
    match (asked[0], asked[1], u16::from_be_bytes(port)) {
        (5, 1, port) if port > 0 && !host.is_empty() => Ok((host, port)),
        _ => {
            answer(client, Reply::BadCommand)?;
            Err(broken())
        }
    }
}

/// Tells the client. What the proxy's own end is bound to is no concern of the sandbox.
pub(super) fn answer(mut client: &TcpStream, reply: Reply) -> io::Result<()> {
    client.write_all(&[5, reply as u8, 0, 1, 0, 0, 0, 0, 0, 0])
}
