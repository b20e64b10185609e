//! Where a bus is (D-Bus specification, "Server Addresses"): its Unix sockets, as nothing else is of use here.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// In the file system.
    File(PathBuf),
    /// In Linux's abstract name space.
    Abstract(Vec<u8>),
}

impl Address {
    /// Opens a connection.
    pub fn connect(&self) -> std::io::Result<UnixStream> {
        match self {
            Self::File(path) => UnixStream::connect(path),
            Self::Abstract(name) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?),
        }
    }

    /// The sockets in a list such as `DBUS_SESSION_BUS_ADDRESS` holds; those of other kinds are left out.
    pub fn parse_list(text: &str) -> Vec<Self> {
        text.split(';').filter_map(Self::parse).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        text.strip_prefix("unix:")?.split(',').find_map(|pair| match pair.split_once('=')? {
            ("path", value) => {
                use std::os::unix::ffi::OsStringExt;
                Some(Self::File(std::ffi::OsString::from_vec(unescape(value)?).into()))
            }
            ("abstract", value) => Some(Self::Abstract(unescape(value)?)),
            _ => None,
        })
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::File(path.to_path_buf())
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
        }
    }
}

/// Undoes `%41`.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                (u8::try_from(digit(high)? * 16 + digit(low)?).ok()?, tail)
            }
            (b'%', _) => return None,
            (byte, tail) => (*byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let list = Address::parse_list("tcp:host=x;unix:path=/run/user/1000/b%20us,guid=12;unix:abstract=/a");
        assert_eq!(list, [Address::File("/run/user/1000/b us".into()), Address::Abstract(b"/a".to_vec())]);
        assert!(Address::parse_list("").is_empty());
        assert!(Address::parse_list("unix:path=%4").is_empty());
        assert!(Address::parse_list("unix:tmpdir=/tmp").is_empty());
    }
}
