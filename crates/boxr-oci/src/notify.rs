//! A service's word that it is ready (sd_notify(3)): from a container, which cannot reach systemd's socket, by
//! way of a socket in the container's state directory.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::container::Container;
use crate::creation::has_namespace;
use crate::error::Error;

/// In the container's state directory; the container sees it at [`INSIDE`].
const DIRECTORY: &str = "notify";
const SOCKET: &str = "notify.sock";
const INSIDE: &str = "/run/notify";

/// Of which process systemd is told that it is the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MainPid {
    /// The container's first, for boxr ends.
    Is(i32),
    /// As systemd knows it: boxr stays.
    Unchanged,
}

/// systemd's socket, where boxr was started as a service.
fn host() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())
}

/// Shows the directory of the socket to a container that has mounts of its own, and tells it by its environment.
///
/// # Errors
/// The directory cannot be made.
pub fn prepare(container: &Container, spec: &mut Spec) -> Result<(), Error> {
    if host().is_none() || !has_namespace(spec, LinuxNamespaceType::Mount) {
        return Ok(());
    }
    let path = container.path().join(DIRECTORY);
    std::fs::create_dir(&path)
        .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o755)))
        .map_err(|error| Error::io("make the directory", &path, error))?;
    let mut mount = Mount::default();
    let options = ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec();
    mount.set_destination(PathBuf::from(INSIDE)).set_typ(Some("bind".to_owned()));
    mount.set_source(Some(path)).set_options(Some(options));
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    mounts.push(mount);
    spec.set_mounts(Some(mounts));
    if let Some(process) = spec.process_mut() {
        let mut env = process.env().clone().unwrap_or_default();
        env.push(format!("NOTIFY_SOCKET={INSIDE}/{SOCKET}"));
        process.set_env(Some(env));
    }
    Ok(())
}

/// The socket that the container writes to, and where its word goes.
#[derive(Debug)]
pub struct Listener {
    socket: UnixDatagram,
    host: SocketAddr,
}

impl Listener {
    /// Listens for a container that was made as a service, when it is started as one.
    ///
    /// # Errors
    /// socket(2), bind(2), or `NOTIFY_SOCKET` is no address.
    pub fn bind(container: &Container) -> Result<Option<Self>, Error> {
        let Some(host) = host().filter(|_| container.path().join(DIRECTORY).exists()) else {
            return Ok(None);
        };
        let address = match host.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&host),
        };
        let address = address.map_err(|error| Error::io("use NOTIFY_SOCKET", host, error))?;
        // By descriptor: the path may be longer than an address can be (unix(7)).
        let fd = container.dir().as_raw_fd();
        let path = PathBuf::from(format!("/proc/self/fd/{fd}/{DIRECTORY}/{SOCKET}"));
        let socket = listen(&path).map_err(|error| Error::io("listen at", path, error))?;
        Ok(Some(Self { socket, host: address }))
    }

    /// Waits until the container says that it is ready, or its first process, `pidfd`, ends; passes it on.
    ///
    /// # Errors
    /// poll(2), recv(2), or systemd's socket does not take it.
    pub fn wait(self, pidfd: impl AsFd, main: MainPid) -> Result<(), Error> {
        let failed = |errno| Error::System { action: "pass on that the container is ready", errno };
        self.pass_on(pidfd, main).map_err(failed)
    }

    fn pass_on(&self, pidfd: impl AsFd, main: MainPid) -> Result<(), Errno> {
        let of_system = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let mut message = [0; 4096];
        loop {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&pidfd, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
            if fds[0].revents().is_empty() {
                return Ok(());
            }
            let length = self.socket.recv(&mut message).map_err(of_system)?;
            let Some(line) =
                message[..length].split(|byte| *byte == b'\n').find(|line| line.starts_with(b"READY="))
            else {
                continue;
            };
            let mut word = line.to_vec();
            if let MainPid::Is(pid) = main {
                word.extend(format!("\nMAINPID={pid}").bytes());
            }
            word.push(b'\n');
            return self.socket.send_to_addr(&word, &self.host).map(|_| ()).map_err(of_system);
        }
    }
}

fn listen(path: &Path) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::bind(path)?;
    // Whatever user the container runs as.
    std::fs::set_permissions(path, Permissions::from_mode(0o777))?;
    Ok(socket)
}
