//! One connection: what is asked for, the decision, and bytes both ways.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::head::Head;
use super::policy::{Policy, Refusal};
use super::{http, socks};

/// To one address of a host.
const CONNECT: Duration = Duration::from_secs(10);
/// A client that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(300);
/// Version 5 of SOCKS begins with this byte, which no method of HTTP does.
const SOCKS: u8 = 5;

/// Serves a client to the end.
///
/// # Errors
/// The client or its server has gone, or nothing was to be understood.
pub(super) fn serve(client: TcpStream, policy: &Policy) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_write_timeout(Some(STALLED))?;
    let mut head = Head::new(&client);
    let is_socks = head.first()? == SOCKS;
    let server =
        if is_socks { by_socks(&mut head, &client, policy)? } else { by_http(&mut head, &client, policy)? };
    let Some(server) = server else { return Ok(()) };
    server.set_write_timeout(Some(STALLED))?;
    // What the client has sent ahead.
    (&server).write_all(&head.rest())?;
    client.set_read_timeout(None)?;
    relay(&client, &server)
}

fn by_http(head: &mut Head<'_>, mut client: &TcpStream, policy: &Policy) -> io::Result<Option<TcpStream>> {
    let Some(request) = http::request(&head.lines()?) else {
        refuse(
            client,
            "400 Bad Request",
            "this is boxr's proxy; it takes CONNECT HOST:PORT and http://HOST/PATH",
        )?;
        return Ok(None);
    };
    let addresses = match policy.addresses(&request.host, request.port) {
        Ok(addresses) => addresses,
        Err(refusal) => {
            let text = explanation(&request.host, request.port, &refusal);
            let status =
                if matches!(refusal, Refusal::Unknown(_)) { "502 Bad Gateway" } else { "403 Forbidden" };
            refuse(client, status, &text)?;
            return Ok(None);
        }
    };
    let Ok(mut server) = connect(&addresses) else {
        refuse(client, "502 Bad Gateway", &format!("{} cannot be reached", request.host))?;
        return Ok(None);
    };
    match request.head {
        Some(head) => server.write_all(&head)?,
        None => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?,
    }
    Ok(Some(server))
}

fn explanation(host: &str, port: u16, refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotListed => {
            format!("{host}:{port} is not allowed in this sandbox: --allow-net {host}:{port}")
        }
        Refusal::Private(address) => {
            format!("{host} has the address {address}, which is not of the internet")
        }
        Refusal::Unknown(why) => format!("{host}: {why}"),
    }
}

fn refuse(mut client: &TcpStream, status: &str, text: &str) -> io::Result<()> {
    let body = format!("boxr: {text}\n");
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn by_socks(head: &mut Head<'_>, client: &TcpStream, policy: &Policy) -> io::Result<Option<TcpStream>> {
    let (host, port) = socks::destination(head, client)?;
    let (reply, server) = match policy.addresses(&host, port) {
        Err(Refusal::Unknown(_)) => (socks::Reply::Unreachable, None),
        Err(_) => (socks::Reply::NotAllowed, None),
        Ok(addresses) => match connect(&addresses) {
            Ok(server) => (socks::Reply::Done, Some(server)),
            Err(_) => (socks::Reply::Unreachable, None),
        },
    };
    socks::answer(client, reply)?;
    Ok(server)
}

/// To the first address that answers.
fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(address, CONNECT) {
            Ok(server) => return Ok(server),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Both ways until both have ended. An end is passed on; one side's failure ends the other.
fn relay(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
    let back =
        std::thread::Builder::new().stack_size(64 << 10).spawn(move || pass(&from_server, &to_client))?;
    let there = pass(client, server);
    // It has said how it ended by closing both.
    back.join().unwrap_or(Ok(())).and(there)
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    match io::copy(&mut from, &mut to) {
        // Already closed is what is wanted.
        Ok(_) => {
            to.shutdown(Shutdown::Write).unwrap_or_default();
            Ok(())
        }
        Err(error) => {
            from.shutdown(Shutdown::Both).unwrap_or_default();
            to.shutdown(Shutdown::Both).unwrap_or_default();
            Err(error)
        }
    }
}
