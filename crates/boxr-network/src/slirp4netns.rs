//! A network without privilege where pasta is not installed: slirp4netns(1).
//!
//! It does not go into the background by itself, writes no pid, and takes its ports through a socket, whose name is
//! what it is known by on its command line. Of the client of a port the container sees 10.0.2.2.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};

use crate::error::Error;
use crate::files;
use crate::helper::{self, Wanted};
use crate::port::{PortSpec, Published};

/// The program.
pub(crate) const PROGRAM: &str = "slirp4netns";
/// Where it answers names, by asking the host's name servers.
pub(crate) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// Where the host's loopback interface is, for who may reach it.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const DEVICE: &str = "eth0";
/// Bytes of a packet: as many as it takes, since nothing of them is on a wire.
const MTU: &str = "65520";
/// Bytes of what it says that are kept.
const SAID: u64 = 16 * 1024;
/// The pid is on disk before there is a program that could be left behind. It goes to the file that was made for it, which
/// nobody has back who has removed it.
const NOTED: &str = r#"echo $$ && exec "$@" >/dev/null"#;

/// The socket that takes its ports.
pub(crate) fn socket(pid_file: &Path) -> PathBuf {
    pid_file.with_extension("sock")
}

/// It passes on IPv4 only.
///
/// # Errors
/// A port at an address of IPv6.
pub(crate) fn check_ports(ports: &[PortSpec]) -> Result<(), Error> {
    match ports.iter().find(|port| matches!(port.ip, Some(IpAddr::V6(_)))) {
        Some(port) => Err(Error::invalid(
            "port",
            &port.to_string(),
            "slirp4netns has ports of IPv4 only; pasta has both",
        )),
        None => Ok(()),
    }
}

fn failed(told: impl ToString) -> Error {
    Error::Helper { program: PROGRAM.to_owned(), told: told.to_string() }
}

/// Starts it; when this returns the network is there, and it runs on by itself. One that fails is ended.
pub(crate) fn start(program: &Path, wanted: &Wanted<'_>) -> Result<(), Error> {
    files::remove(&socket(wanted.pid_file))?;
    await_ids(wanted.pid)?;
    let noted = helper::hold(wanted.pid_file)?;
    noted.set_len(0).map_err(files::failed("empty", wanted.pid_file))?;
    let started = run(program, wanted, noted)
        .and_then(|()| wanted.published.iter().try_for_each(|port| publish(wanted.pid_file, port)));
    if started.is_err() {
        helper::end(wanted.pid_file)?;
    }
    started
}

/// Waits until the user namespace of a process has ids: it becomes root there, where the container's first process may
/// still be about to write its own map. Nothing announces that but the file.
fn await_ids(pid: i32) -> Result<(), Error> {
    let ended = || failed("the container's first process has ended");
    let number = Pid::from_raw(pid).ok_or_else(ended)?;
    let held = pidfd_open(number, PidfdFlags::empty()).map_err(|_| ended())?;
    let has_ids = |map: &str| fs::read(format!("/proc/{pid}/{map}")).is_ok_and(|text| !text.is_empty());
    let pause = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    while !(has_ids("uid_map") && has_ids("gid_map")) {
        let mut fds = [PollFd::new(&held, PollFlags::IN)];
        if retry_on_intr(|| poll(&mut fds, Some(&pause))).map_err(failed)? > 0 {
            return Err(ended());
        }
    }
    Ok(())
}

fn run(program: &Path, wanted: &Wanted<'_>, noted: File) -> Result<(), Error> {
    let said = bounded().map_err(failed)?;
    let (mut ready, writer) = io::pipe().map_err(failed)?;
    let mut command = command(program, wanted);
    // It writes one digit where its network is ready, and closes that.
    command.stdin(writer).stdout(noted).stderr(said.try_clone().map_err(failed)?);
    let mut child = command.spawn().map_err(failed)?;
    // With it goes the writer of this process.
    drop(command);
    let mut digit = Vec::new();
    ready.read_to_end(&mut digit).map_err(failed)?;
    if !digit.is_empty() {
        return Ok(());
    }
    child.kill().and_then(|()| child.wait()).map_err(failed)?;
    Err(failed(last_words(&said)))
}

fn command(program: &Path, wanted: &Wanted<'_>) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", NOTED, "sh"]).arg(program);
    command.args(["--configure", "--enable-sandbox", "--enable-seccomp"]);
    command.args(["--mtu", MTU, "--ready-fd", "0", "--api-socket"]);
    command.args(socket(wanted.pid_file).file_name());
    if !wanted.host.is_some_and(|host| host.has_loopback) {
        command.arg("--disable-host-loopback");
    }
    if let Some(mac) = wanted.mac {
        command.args(["--macaddress", &mac.to_string()]);
    }
    command.arg("--userns-path").arg(format!("/proc/{}/ns/user", wanted.pid));
    command.arg(wanted.pid.to_string()).arg(DEVICE);
    // The path of a socket has 107 bytes at most (unix(7)), and a key that ends boxr is none of its business.
    command.current_dir(directory(wanted.pid_file)).process_group(0);
    command
}

fn directory(pid_file: &Path) -> &Path {
    pid_file.parent().unwrap_or(Path::new("/"))
}

/// A file for what it says, which packets from a container cannot make grow.
fn bounded() -> io::Result<File> {
    let file = memfd_create("boxr-slirp4netns", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, SAID)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK)?;
    Ok(file.into())
}

fn last_words(said: &File) -> String {
    let mut bytes = vec![0; usize::try_from(SAID).unwrap_or_default()];
    if let Err(error) = said.read_exact_at(&mut bytes, 0) {
        return error.to_string();
    }
    reason(String::from_utf8_lossy(&bytes).trim_end_matches('\0'))
}

/// Its child, or a part of it, says why, and then whoever called that says that it failed.
fn reason(text: &str) -> String {
    const CALLERS: [&str; 5] = [
        "child failed",
        "parent failed",
        "do_slirp failed",
        "create_sandbox failed",
        "enable_seccomp failed",
    ];
    let is_callers = |line: &&str| CALLERS.iter().any(|caller| line.starts_with(caller));
    let says = |line: &&str| !line.is_empty() && !line.starts_with("WARNING");
    let lines = || text.lines().map(str::trim).filter(says);
    lines().rfind(|line| !is_callers(line)).or_else(|| lines().next()).unwrap_or("it said nothing").to_owned()
}

/// Asks for one port; each question has a connection of its own.
fn publish(pid_file: &Path, port: &Published) -> Result<(), Error> {
    let answer = ask(&socket(pid_file), &question(port)).map_err(failed)?;
    let answer: Value = serde_json::from_slice(&answer).map_err(failed)?;
    match answer.get("error") {
        Some(error) => {
            let reason = error.get("desc").and_then(Value::as_str).unwrap_or("refused");
            Err(failed(format!("port {port}: {reason}")))
        }
        None => Ok(()),
    }
}

fn ask(socket: &Path, question: &Value) -> io::Result<Vec<u8>> {
    let dir = File::open(directory(socket))?;
    let name = socket.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    let mut stream = UnixStream::connect(short)?;
    stream.write_all(question.to_string().as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer)?;
    Ok(answer)
}

fn question(port: &Published) -> Value {
    let address = port.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    json!({
        "execute": "add_hostfwd",
        "arguments": {
            "proto": port.protocol.name(),
            "host_addr": address.to_string(),
            "host_port": port.host,
            "guest_port": port.container,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Protocol;

    #[test]
    fn ports_in_its_words() {
        let port = Published { ip: None, host: 8080, container: 80, protocol: Protocol::Udp };
        let arguments = question(&port)["arguments"].clone();
        assert_eq!(
            arguments,
            json!({"proto": "udp", "host_addr": "0.0.0.0", "host_port": 8080, "guest_port": 80})
        );
    }

    #[test]
    fn the_reason_is_what_was_said_before_it_was_passed_on() {
        let said = "cannot remount ro /run: Operation not permitted\ncreate_sandbox failed\ndo_slirp failed\nparent failed\n";
        assert_eq!(reason(said), "cannot remount ro /run: Operation not permitted");
        assert_eq!(
            reason("ioctl(TUNSETIFF): Device or resource busy\nchild failed(1)\n"),
            "ioctl(TUNSETIFF): Device or resource busy"
        );
        assert_eq!(reason("WARNING: experimental\ndo_slirp failed\nparent failed\n"), "do_slirp failed");
        assert_eq!(reason(""), "it said nothing");
    }

    #[test]
    fn one_that_comes_late_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("late.pid");
        let task = helper::Task::Container;
        let wanted =
            Wanted { pid: 1, published: &[], mac: None, pid_file: &pid_file, task, host: None, ipv6: None };
        let start = |noted: File| {
            command(Path::new("/bin/true"), &wanted).stdout(noted).spawn().unwrap().wait().unwrap()
        };
        assert!(start(helper::hold(&pid_file).unwrap()).success());
        assert!(fs::read_to_string(&pid_file).unwrap().trim().parse::<i32>().is_ok());
        let noted = helper::hold(&pid_file).unwrap();
        // The container has ended meanwhile.
        helper::end(&pid_file).unwrap();
        assert!(start(noted).success());
        assert!(!pid_file.exists());
    }

    #[test]
    fn an_address_of_ipv6_is_refused() {
        let ports = ["127.0.0.1:8080:80", "[::1]:8080:80"].map(|port| port.parse().unwrap());
        check_ports(&ports[..1]).unwrap();
        assert!(check_ports(&ports).unwrap_err().to_string().contains("IPv4 only"));
    }
}
