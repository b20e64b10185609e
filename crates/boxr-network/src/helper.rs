//! A network without privilege: pasta(1), which copies packets between the container's namespace and sockets of the
//! user's on the host; where it is not installed, slirp4netns(1) for a container on the default network.
//!
//! It runs beside the container and knows nothing of its end, so whoever ends the container ends it. It is found by
//! the file in which it wrote its pid, and is believed to be ours only if that file stands on its command line.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::address::MacAddress;
use crate::error::Error;
use crate::files;
use crate::port::{Protocol, Published};
use crate::slirp4netns;

/// The address at which the container reaches the host's first name server, where that listens on the host's
/// loopback interface only.
pub const NAME_SERVER: &str = "169.254.1.1";
const PROGRAM: &str = "pasta";
/// The device through which packets come.
const TUN: &str = "/dev/net/tun";

/// What the helper is to do.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The container's first process.
    pub pid: i32,
    /// Ports to listen on.
    pub published: &'a [Published],
    /// The hardware address of the device.
    pub mac: Option<MacAddress>,
    /// Where it writes its pid.
    pub pid_file: &'a Path,
    /// What it is for.
    pub task: Task,
}

/// What a helper is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// The whole network of a container.
    Container,
    /// The way out of a user's realm.
    Realm,
    /// Ports of a container that has another way out.
    Ports,
}

/// The device in the realm, and its two ends: addresses that no network has, so that the host's own is reached.
const REALM: [&str; 3] = ["out0", "169.254.76.2", "169.254.76.1"];
/// The device in the container through which its ports are reached.
pub(crate) const PORTS: [&str; 3] = ["port0", "169.254.77.2", "169.254.77.1"];

impl Task {
    fn flags(self) -> Vec<&'static str> {
        match self {
            Self::Container => vec!["--config-net", "-I", "eth0", "--dns-forward", NAME_SERVER],
            Self::Realm => {
                let [device, own, other] = REALM;
                let place = ["-I", device, "-a", own, "-n", "30", "-g", other];
                [&["--config-net", "--dns-forward", NAME_SERVER][..], &place].concat()
            }
            Self::Ports => {
                let [device, own, other] = PORTS;
                vec!["-I", device, "-a", own, "-n", "30", "-g", other]
            }
        }
    }
}

/// A helper that would work.
#[derive(Debug)]
pub(crate) enum Helper {
    /// pasta(1), for everything.
    Pasta(PathBuf),
    /// slirp4netns(1), for a container on the default network.
    Slirp4netns(PathBuf),
}

/// Names the one helper that may be used: `pasta`, `slirp4netns`, or `none`.
const CHOICE: &str = "BOXR_NETWORK_HELPER";

/// pasta, which alone serves a user's own networks, if there is one that would work.
///
/// # Errors
/// [`Error::NoPasta`], or why it would not.
pub(crate) fn find() -> Result<PathBuf, Error> {
    let program = installed(PROGRAM).ok_or(Error::NoPasta)?;
    check_device(PROGRAM)?;
    Ok(program)
}

/// The helper of a container on the default network: pasta, and slirp4netns where that is not installed.
///
/// # Errors
/// [`Error::NoHelper`], or why it would not work.
pub(crate) fn find_for_container() -> Result<Helper, Error> {
    if let Some(pasta) = installed(PROGRAM) {
        check_device(PROGRAM)?;
        return Ok(Helper::Pasta(pasta));
    }
    let program = installed(slirp4netns::PROGRAM).ok_or(Error::NoHelper)?;
    check_device(slirp4netns::PROGRAM)?;
    Ok(Helper::Slirp4netns(program))
}

fn installed(name: &str) -> Option<PathBuf> {
    if std::env::var_os(CHOICE).is_some_and(|choice| !choice.is_empty() && choice != name) {
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn check_device(name: &str) -> Result<(), Error> {
    let open = rustix::fs::access(TUN, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK);
    open.map_err(|errno| Error::system("open", format!("{TUN}, which {name} needs"), errno))
}

/// The name of the helper that a user's container on the default network would have; `None` where none would work.
pub fn helper_name() -> Option<&'static str> {
    find_for_container().ok().map(|helper| match helper {
        Helper::Pasta(_) => PROGRAM,
        Helper::Slirp4netns(_) => slirp4netns::PROGRAM,
    })
}

/// Why there is none that would work; `None` where there is.
pub fn why_no_helper() -> Option<String> {
    find_for_container().err().map(|error| error.to_string())
}

impl Helper {
    /// Starts it for a container; when this returns the network is there, and it runs on by itself.
    pub(crate) fn start(&self, wanted: &Wanted<'_>) -> Result<(), Error> {
        match self {
            Self::Pasta(program) => start(program, wanted),
            Self::Slirp4netns(program) => slirp4netns::start(program, wanted),
        }
    }
}

/// Starts pasta; when this returns the network is there, and it runs on by itself.
pub(crate) fn start(program: &Path, wanted: &Wanted<'_>) -> Result<(), Error> {
    let mut command = Command::new(program);
    // Nothing of the host's loopback interface is reached from inside, unless it was asked for.
    command.args(["--no-map-gw", "-T", "none", "-U", "none"]).args(wanted.task.flags());
    for (flag, protocol) in [("-t", Protocol::Tcp), ("-u", Protocol::Udp)] {
        let ports = wanted.published.iter().filter(|port| port.protocol == protocol);
        let specs: Vec<String> = ports.map(spec).collect();
        if specs.is_empty() {
            command.args([flag, "none"]);
        }
        specs.iter().for_each(|spec| {
            command.args([flag, spec]);
        });
    }
    if let Some(mac) = wanted.mac {
        command.args(["--ns-mac-addr", &mac.to_string()]);
    }
    command.arg("--pid").arg(wanted.pid_file).arg(wanted.pid.to_string()).stdin(Stdio::null());
    let failed = |told: String| Error::Helper { program: PROGRAM.to_owned(), told };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // It says what it does before it says what it cannot do.
    let reason = said.lines().rev().map(str::trim).find(|line| !line.is_empty() && !line.contains("syslog"));
    Err(failed(reason.unwrap_or("it said nothing").to_owned()))
}

/// A port in pasta's words.
fn spec(port: &Published) -> String {
    let address = port.ip.filter(|ip| !ip.is_unspecified()).map(|ip| format!("{ip}/")).unwrap_or_default();
    format!("{address}{}:{}", port.host, port.container)
}

/// Ends the helper that wrote this file, if it runs.
pub(crate) fn end(pid_file: &Path) -> Result<(), Error> {
    let Ok(text) = fs::read_to_string(pid_file) else { return Ok(()) };
    if let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) {
        let ended = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => Ok(()),
            // Held before it is looked at: the number cannot become another's in between.
            // It is the first process of a pid namespace of its own, which no other signal ends.
            Ok(held) if is_ours(pid, pid_file) => match pidfd_send_signal(held.as_fd(), Signal::KILL) {
                Err(Errno::SRCH) => Ok(()),
                // Its ports are free when it has ended.
                done => done.and_then(|()| wait_for_end(held.as_fd())).and_then(|()| reap(pid)),
            },
            Ok(_) => Ok(()),
            Err(errno) => Err(errno),
        };
        ended.map_err(|errno| Error::system("end", format!("the helper, process {pid}"), errno))?;
    }
    files::remove(&slirp4netns::socket(pid_file))?;
    files::remove(pid_file)
}

/// slirp4netns is a child of the boxr that started it, which may be the one that ends it.
fn reap(pid: Pid) -> Result<(), Errno> {
    match rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG) {
        Ok(_) | Err(Errno::CHILD) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Whether the helper that wrote this file runs.
pub(crate) fn is_running(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).ok().and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
    pid.is_some_and(|pid| is_ours(pid, pid_file))
}

/// Waits for the end of a process that was killed; a second is more than it takes.
pub(crate) fn wait_for_end(process: BorrowedFd<'_>) -> Result<(), Errno> {
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(process, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&second))).map(|_| ())
}

fn is_ours(pid: Pid, pid_file: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    // A name with the container's id in it is as good as a path: the kernel takes only short ones for a socket.
    let socket = slirp4netns::socket(pid_file);
    let marks = [Some(pid_file.as_os_str()), socket.file_name()];
    line.split(|byte| *byte == 0).any(|word| marks.iter().flatten().any(|mark| word == mark.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_pastas_words() {
        let port = |ip: Option<&str>| Published {
            ip: ip.map(|ip| ip.parse().unwrap()),
            host: 8080,
            container: 80,
            protocol: Protocol::Tcp,
        };
        assert_eq!(spec(&port(None)), "8080:80");
        assert_eq!(spec(&port(Some("127.0.0.1"))), "127.0.0.1/8080:80");
        assert_eq!(spec(&port(Some("0.0.0.0"))), "8080:80");
    }

    #[test]
    fn a_process_that_is_not_the_helper_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.pid");
        fs::write(&file, std::process::id().to_string()).unwrap();
        end(&file).unwrap();
        assert!(!file.exists());
        end(&file).unwrap();
    }
}
