//! A network without privilege: pasta(1), which copies packets between the container's namespace and sockets of the
//! user's on the host; where it is not installed, slirp4netns(1) for a container on the default network.
//!
//! It runs beside the container and knows nothing of its end, so whoever ends the container ends it. It is found by
//! the file in which it wrote its pid, and is believed to be ours only if that file stands on its command line. The file
//! is made, empty, before the helper starts: where whoever started it was killed, one that has not written its pid yet is
//! looked for among all processes.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use boxr_sys::pidfd;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::address::MacAddress;
use crate::error::Error;
use crate::files;
use crate::host_side::HostSide;
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
    /// Where the host is to be reached, for a container.
    pub host: Option<HostSide>,
    /// The host's device with IPv6, for ports and a realm.
    pub ipv6: Option<&'a str>,
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
const REALM: Ends = Ends::in_net("out0", 76);
/// The device in the container through which its ports are reached.
const PORTS: Ends = Ends::in_net("port0", 77);

/// A device of a helper's: its own address, the other end's, and the length of their subnet.
pub(crate) struct Ends {
    pub device: &'static str,
    pub own: IpAddr,
    pub other: IpAddr,
    pub prefix: u8,
}

/// The same of IPv6 (RFC 4193): the container's, its link-local one, and the other end's.
const PORTS6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd62, 0x6f78, 0x7277, 0, 0, 0, 0, 2),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
];

/// The addresses of IPv6 of the device in the realm, and of the other end: with the host's own, as pasta would have it,
/// containers would not reach the host by that.
const REALM6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd62, 0x6f78, 0x7276, 0, 0, 0, 0, 2), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)];

impl Ends {
    /// In a subnet that no network has: the second address is the device's own, the first the other's.
    const fn in_net(device: &'static str, third: u8) -> Self {
        let own = IpAddr::V4(Ipv4Addr::new(169, 254, third, 2));
        Self { device, own, other: IpAddr::V4(Ipv4Addr::new(169, 254, third, 1)), prefix: 30 }
    }
}

impl Wanted<'_> {
    fn flags(&self) -> Vec<String> {
        let (device, ends) = match (self.task, self.host) {
            (Task::Container, None) => ("eth0", None),
            (Task::Container, Some(host)) => ("eth0", Some(host.ends("eth0"))),
            (Task::Realm, _) => (REALM.device, Some(REALM)),
            (Task::Ports, host) => (PORTS.device, Some(ports_ends(host))),
        };
        let mut flags = vec!["-I".to_owned(), device.to_owned()];
        if self.task != Task::Ports {
            flags.extend(["--config-net", "--dns-forward", NAME_SERVER].map(str::to_owned));
        }
        if let Some(Ends { own, other, prefix, .. }) = ends {
            let words = [("-a", own.to_string()), ("-n", prefix.to_string()), ("-g", other.to_string())];
            flags.extend(words.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        }
        if let (Task::Container, Some(ends)) = (self.task, self.host.and_then(HostSide::ends6)) {
            let [own, other] = ends.map(|address| address.to_string());
            flags.extend(["-a", &own, "-g", &other].map(str::to_owned));
        }
        if let (Task::Ports, Some(outside)) = (self.task, self.ipv6) {
            let [own, _, other] = ports_ends6(self.host).map(|address| address.to_string());
            // An advertisement would bring a way out, and an address that is asked for from nowhere.
            let words = ["-a", &own, "-g", &other, "--outbound-if6", outside, "--no-ra"];
            flags.extend(words.map(str::to_owned));
        }
        if let (Task::Realm, Some(_)) = (self.task, self.ipv6) {
            let [own, other] = REALM6.map(|address| address.to_string());
            flags.extend(["-a", &own, "-g", &other].map(str::to_owned));
        }
        // What comes for the other end goes to the host's loopback interface otherwise.
        if !self.host.is_some_and(|host| host.has_loopback) {
            flags.push("--no-map-gw".to_owned());
        }
        flags
    }
}

/// The device in a container through which its ports, and the host's loopback interface, are reached.
pub(crate) fn ports_ends(host: Option<HostSide>) -> Ends {
    host.map_or(PORTS, |host| host.ends(PORTS.device))
}

/// The same of IPv6: the container's address, its link-local one, and the other end's.
pub(crate) fn ports_ends6(host: Option<HostSide>) -> [Ipv6Addr; 3] {
    let [_, near, _] = PORTS6;
    host.and_then(HostSide::ends6).map_or(PORTS6, |[own, other]| [own, near, other])
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
    /// Where it answers names itself.
    pub(crate) fn name_server(&self) -> Option<IpAddr> {
        match self {
            Self::Pasta(_) => None,
            Self::Slirp4netns(_) => Some(slirp4netns::NAME_SERVER.into()),
        }
    }

    /// Starts it for a container; when this returns the network is there, and it runs on by itself.
    pub(crate) fn start(&self, wanted: &Wanted<'_>) -> Result<(), Error> {
        match self {
            Self::Pasta(program) => start(program, wanted, || Ok(())),
            Self::Slirp4netns(program) => slirp4netns::start(program, wanted),
        }
    }
}

/// Starts pasta; when this returns the network is there, with what `finish` adds to it, and it runs on by itself.
pub(crate) fn start(
    program: &Path,
    wanted: &Wanted<'_>,
    finish: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let under_way = hold(wanted.pid_file)?;
    under_way.set_len(0).map_err(files::failed("empty", wanted.pid_file))?;
    let mut command = Command::new(program);
    command.args(["-T", "none", "-U", "none"]).args(wanted.flags());
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
    let output = command.output().map_err(|error| failed(error.to_string()));
    if output.as_ref().is_ok_and(|output| output.status.success()) {
        finish()?;
        return note_ready(wanted.pid_file);
    }
    drop(under_way);
    files::remove(wanted.pid_file)?;
    let output = output?;
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

/// The line below its pid, when all is there that it is for.
const READY: &str = "ready";

fn note_ready(pid_file: &Path) -> Result<(), Error> {
    let file = fs::File::options().append(true).open(pid_file);
    file.and_then(|mut file| writeln!(file, "{READY}")).map_err(files::failed("write", pid_file))
}

/// Ends the helper that wrote this file, or was about to, if it runs.
pub(crate) fn end(pid_file: &Path) -> Result<(), Error> {
    if !pid_file.exists() {
        return Ok(());
    }
    end_processes(pid_file)?;
    files::remove(&slirp4netns::socket(pid_file))?;
    files::remove(pid_file)
}

/// What stands in the file when there is no helper, and none is coming. In an empty one a helper is about to write its pid.
const NOBODY: &str = "0\n";

/// Ends it, as another one is to come in its place.
pub(crate) fn vacate(pid_file: &Path) -> Result<(), Error> {
    let file = hold(pid_file)?;
    fs::write(pid_file, NOBODY).map_err(files::failed("write", pid_file))?;
    drop(file);
    Ok(())
}

/// The file, locked and without a helper. Whoever starts one holds it meanwhile.
pub(crate) fn hold(pid_file: &Path) -> Result<fs::File, Error> {
    let mut options = fs::File::options();
    let made = options.write(true).create_new(true).open(pid_file);
    let is_new = made.is_ok();
    let file = made.or_else(|_| fs::File::options().write(true).create(true).truncate(false).open(pid_file));
    let file = file.map_err(files::failed("make", pid_file))?;
    let locked = rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive));
    locked.map_err(|errno| Error::system("lock", pid_file.display().to_string(), errno))?;
    if !is_new {
        end_processes(pid_file)?;
    }
    Ok(file)
}

/// Whether a helper was to run by this file, and nobody is about to start it: it does not run, or whoever started it
/// was killed before all was there.
pub(crate) fn is_lost(pid_file: &Path) -> bool {
    let Ok(file) = fs::File::open(pid_file) else { return false };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return false;
    }
    let is_ready = fs::read_to_string(pid_file).is_ok_and(|text| text.lines().nth(1) == Some(READY));
    !(is_ready && is_running(pid_file))
}

fn end_processes(pid_file: &Path) -> Result<(), Error> {
    let text = fs::read_to_string(pid_file).unwrap_or_default();
    let ended = match noted_pid(&text) {
        Some(pid) => end_process(pid, pid_file).map_err(|errno| (pid, errno)),
        None if text == NOBODY => Ok(()),
        // It goes into the background by a copy of itself, so there may be another one.
        None => (0..4).try_for_each(|_| {
            let mut all = under_way(pid_file).into_iter();
            all.try_for_each(|pid| end_process(pid, pid_file).map_err(|errno| (pid, errno)))
        }),
    };
    ended.map_err(|(pid, errno)| Error::system("end", format!("the helper, process {pid}"), errno))
}

fn end_process(pid: Pid, pid_file: &Path) -> Result<(), Errno> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => Ok(()),
        // Held before it is looked at: the number cannot become another's in between.
        // It is the first process of a pid namespace of its own, which no other signal ends.
        Ok(held) if is_ours(pid, pid_file) => match pidfd_send_signal(held.as_fd(), Signal::KILL) {
            Err(Errno::SRCH) => Ok(()),
            // Its ports are free when it has ended.
            done => done.and_then(|()| pidfd::wait_for_end(held.as_fd())).and_then(|()| reap(pid)),
        },
        // One that was killed just before, by whom nobody is left of, has no command line already, and its ports still.
        Ok(held) if words(pid).is_empty() => pidfd::wait_for_end(held.as_fd()),
        Ok(_) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Each helper whose pid is to come into this file: a pasta that was told to write it there, and a shell that is about to be
/// slirp4netns.
fn under_way(pid_file: &Path) -> Vec<Pid> {
    use std::os::unix::ffi::OsStrExt;
    let is_pasta = |word: &[u8]| {
        let name = word.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        name.starts_with(PROGRAM.as_bytes())
    };
    let socket = slirp4netns::socket(pid_file);
    let is_socket = |word: &[u8]| socket.file_name().is_some_and(|name| name.as_bytes() == word);
    let is_meant = |pid: &Pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        // The first word is an interpreter's, where it is a script.
        words.clone().any(is_socket)
            || words.clone().take(2).any(is_pasta)
                && words.any(|word| word == pid_file.as_os_str().as_bytes())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter(is_meant).collect()
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
    running(pid_file).is_some()
}

/// The helper that wrote this file, if it runs.
pub(crate) fn running(pid_file: &Path) -> Option<Pid> {
    let pid = noted_pid(&fs::read_to_string(pid_file).ok()?)?;
    is_ours(pid, pid_file).then_some(pid)
}

fn noted_pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
}

/// The command line of a process.
fn words(pid: Pid) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

fn is_ours(pid: Pid, pid_file: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let line = words(pid);
    // A name with the container's id in it is as good as a path: the kernel takes only short ones for a socket.
    let socket = slirp4netns::socket(pid_file);
    let marks = [Some(pid_file.as_os_str()), socket.file_name()];
    line.split(|byte| *byte == 0).any(|word| marks.iter().flatten().any(|mark| word == mark.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its first thread has ended and another has not: as one that was killed, it has no command line and has not ended.
    const ENDING: &str = "import ctypes, sys, threading; threading.Thread(target=sys.stdin.read).start(); \
                          ctypes.CDLL(None).pthread_exit(None)";

    #[test]
    fn who_is_ending_is_waited_for() {
        let mut python = Command::new("python3");
        let Ok(mut ending) = python.args(["-c", ENDING]).stdin(Stdio::piped()).spawn() else {
            return eprintln!("skipped: python3 is not installed");
        };
        let pid = Pid::from_child(&ending);
        while !words(pid).is_empty() {
            std::thread::yield_now();
        }
        let began = std::time::Instant::now();
        end_process(pid, Path::new("pid")).unwrap();
        // As long as is waited for anybody.
        assert!(began.elapsed() >= std::time::Duration::from_secs(1));
        drop(ending.stdin.take());
        ending.wait().unwrap();
    }

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
