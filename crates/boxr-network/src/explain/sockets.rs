//! Who listens on a port, in whichever network namespace (proc_pid_net(5)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::port::Protocol;

/// A socket that takes what comes to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    /// The address it is bound to; all where unspecified.
    pub ip: IpAddr,
    /// The program that has it, if it could be found: `nginx (process 4321)`.
    pub program: Option<String>,
}

/// The sockets for a port in the network namespace of the process `of`, such as `1234` or `thread-self`.
pub(crate) fn listening(of: &str, port: u16, protocol: Protocol) -> Vec<Listening> {
    let mut all = Vec::new();
    for family in ["", "6"] {
        let path = format!("/proc/{of}/net/{}{family}", protocol.name());
        let table = fs::read_to_string(path).unwrap_or_default();
        let found = table.lines().skip(1).filter_map(|line| entry(line, port, protocol));
        all.extend(found.map(|(ip, inode)| Listening { ip, program: owner(inode) }));
    }
    all
}

/// Address and inode of a line, if it is a socket that takes what comes to this port.
fn entry(line: &str, port: u16, protocol: Protocol) -> Option<(IpAddr, u64)> {
    // TCP_LISTEN; TCP_CLOSE, which stands for a UDP socket without a peer and for a bound TCP one.
    const LISTENING: &str = "0A";
    const UNCONNECTED: &str = "07";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (ip, number) = fields.get(1)?.rsplit_once(':')?;
    let state = *fields.get(3)?;
    let listens = state == if protocol == Protocol::Udp { UNCONNECTED } else { LISTENING };
    let is_it = u16::from_str_radix(number, 16).ok()? == port && listens;
    is_it.then(|| Some((address(ip)?, fields.get(9)?.parse().ok()?))).flatten()
}

/// Words of four bytes in the host's order.
fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
        }
        _ => None,
    }
}

/// The program that has a socket.
pub(crate) fn owner(inode: u64) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    let pid = fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        let has = files
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()));
        has.then_some(pid)
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (process {pid})", name.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1";
        assert_eq!(entry(line, 8080, Protocol::Tcp), Some((Ipv4Addr::LOCALHOST.into(), 4711)));
        assert_eq!(entry(line, 8081, Protocol::Tcp), None);
        assert_eq!(entry(line, 8080, Protocol::Udp), None);
        assert_eq!(address("00000000000000000000000001000000"), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(address("0000"), None);
    }

    #[test]
    fn an_own_socket_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = listening("thread-self", port, Protocol::Tcp);
        assert_eq!(found.len(), 1, "{found:?}");
        let own = format!("(process {})", std::process::id());
        assert!(found[0].program.as_ref().is_some_and(|program| program.contains(&own)), "{found:?}");
    }
}
