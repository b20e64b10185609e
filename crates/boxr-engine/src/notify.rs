//! Telling systemd that a box is ready (sd_notify(3), `--sdnotify` as in podman-run(1)).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Who says `READY=1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SdNotify {
    /// The command of the box, which is given the socket.
    #[default]
    Container,
    /// boxr, once the command runs (podman's word for its monitor).
    Conmon,
    /// boxr, once a health check has found it well.
    Healthy,
    /// Nobody.
    Ignore,
}

impl SdNotify {
    /// By its word.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "container" => Some(Self::Container),
            "conmon" => Some(Self::Conmon),
            "healthy" => Some(Self::Healthy),
            "ignore" => Some(Self::Ignore),
            _ => None,
        }
    }

    /// Whether it is what nobody has to say.
    pub fn is_usual(&self) -> bool {
        *self == Self::Container
    }
}

/// The variable that names the socket.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";
/// The socket in a container that has a root of its own.
pub(crate) const PLACE: &str = "/run/notify/notify.sock";

/// The caller's socket that a container is to be given; an abstract one has no place, and is given by its network.
pub(crate) fn path_for_container(how: SdNotify) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(VARIABLE)?);
    (how == SdNotify::Container && path.is_absolute()).then_some(path)
}

/// Says what is known once the command runs; `main` is the process that lives as long as the box, where that is not
/// the one that systemd knows.
pub(crate) fn started(how: SdNotify, main: Option<u32>) {
    let mut lines = Vec::new();
    lines.extend(main.filter(|_| how != SdNotify::Ignore).map(|pid| format!("MAINPID={pid}")));
    if how == SdNotify::Conmon {
        lines.push("READY=1".to_owned());
    }
    if !lines.is_empty() {
        send(&lines.join("\n"));
    }
}

/// Says that it is ready.
pub(crate) fn ready() {
    send("READY=1");
}

fn send(text: &str) {
    let Some(socket) = std::env::var_os(VARIABLE) else { return };
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(socket.as_os_str());
    let address = match bytes.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        Some((b'/', _)) => SocketAddr::from_pathname(Path::new(&socket)),
        _ => return,
    };
    // As sd_notify(3): whoever does not listen misses it, and the box is not ended for that.
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address));
    sent.map(drop).unwrap_or_default();
}
