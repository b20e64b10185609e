//! What was seen of a box, and the file that keeps it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use boxr_sys::seccomp_listener::Notification;
use serde::{Deserialize, Serialize};

use super::calls::{COMMON, Says, says};
use super::memory;
use super::messages::{self, Message};
use crate::attempt::printable;

/// A record, as the file has it. Bytes of a path that are no printable text are in octal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Of this file; 1.
    pub format: u32,
    /// The command.
    pub command: Vec<String>,
    /// Files and directories that were opened for reading.
    pub read: BTreeSet<String>,
    /// Paths that were opened for writing, made, changed or removed.
    pub written: BTreeSet<String>,
    /// Programs that were run.
    pub run: BTreeSet<String>,
    /// Addresses that were spoken to: `ADDRESS:PORT`, or the path of a socket.
    pub contacted: BTreeSet<String>,
    /// Names that it asked a name server for.
    pub asked: BTreeSet<String>,
    /// Addresses at which it listened.
    pub listened: BTreeSet<String>,
    /// System calls that were made, by name.
    pub calls: BTreeSet<String>,
    /// System calls that were not looked at, and may have been made.
    pub unwatched: BTreeSet<String>,
}

/// The longest path, in bytes (`PATH_MAX`).
const LONGEST: usize = 4096;
/// The port of name servers.
const NAMES: u16 = 53;
/// A program may have any number of them.
const MOST_SERVERS: usize = 1024;
const AT_FDCWD: i32 = -100;
/// `O_ACCMODE`, `O_CREAT` and `O_TRUNC` of `<fcntl.h>`.
const WRITES: u64 = 0o3 | 0o100 | 0o1000;

/// What is seen of a box while it runs.
#[derive(Debug)]
pub(super) struct Sight {
    names: HashMap<(u32, u32), &'static str>,
    calls: BTreeSet<&'static str>,
    read: BTreeSet<PathBuf>,
    written: BTreeSet<PathBuf>,
    run: BTreeSet<PathBuf>,
    contacted: BTreeSet<String>,
    asked: BTreeSet<String>,
    /// Sockets that are connected to a name server, by thread and number.
    servers: HashSet<(u32, u64)>,
    listened: BTreeSet<String>,
    /// How often each call was refused.
    pub refused: BTreeMap<&'static str, u64>,
}

impl Sight {
    pub fn new() -> Self {
        let mut names = HashMap::new();
        for arch in super::profile::architectures() {
            let Some(audit) = boxr_seccomp::audit(arch) else { continue };
            names.extend(
                boxr_seccomp::numbers(arch).into_iter().map(|(number, name)| ((audit, number), name)),
            );
        }
        Self {
            names,
            calls: BTreeSet::new(),
            read: BTreeSet::new(),
            written: BTreeSet::new(),
            run: BTreeSet::new(),
            contacted: BTreeSet::new(),
            asked: BTreeSet::new(),
            servers: HashSet::new(),
            listened: BTreeSet::new(),
            refused: BTreeMap::new(),
        }
    }

    /// The name of a call.
    pub fn name(&self, call: &Notification) -> Option<&'static str> {
        self.names.get(&(call.arch, call.number.cast_unsigned())).copied()
    }

    /// Notes a call that is carried out.
    pub fn note(&mut self, call: &Notification, name: &'static str) {
        self.calls.insert(name);
        let arguments = &call.arguments;
        match says(name) {
            Says::Nothing => {}
            Says::Opens { dir, path, flags } => self.opened(call, dir, path, arguments[flags]),
            Says::OpensBy { dir, path, how } => {
                let flags = self.number_at(call, arguments[how]);
                self.opened(call, Some(dir), path, flags);
            }
            Says::Changes { dir, path } => self.changed(call, dir, path),
            Says::ChangesBoth { one, other } => {
                self.changed(call, one.0, one.1);
                self.changed(call, other.0, other.1);
            }
            Says::Runs { dir, path } => {
                if let Some(path) = self.path(call, dir, path)
                    && exists(call, &path)
                {
                    self.run.insert(path);
                }
            }
            Says::SpeaksTo { address, length } => {
                let said = (arguments[address], arguments[length]);
                let bytes = if name == "sendto" { (arguments[1], arguments[2]) } else { (0, 0) };
                self.spoke(call, Message { address: said, bytes }, name == "connect");
            }
            Says::SpeaksIn { messages, count } => {
                for message in
                    messages::messages(call, arguments[messages], count.map(|count| arguments[count]))
                {
                    self.spoke(call, message, false);
                }
            }
            Says::ListensAt { address, length } => {
                let said = self.address(call, arguments[address], arguments[length]);
                self.listened.extend(said);
            }
        }
    }

    /// A message to an address, or on a connected socket; a connection has no bytes yet.
    fn spoke(&mut self, call: &Notification, message: Message, connects: bool) {
        let socket = (call.pid, call.arguments[0]);
        let said = self.address(call, message.address.0, message.address.1);
        let is_server = match &said {
            Some(address) => address.parse::<SocketAddr>().is_ok_and(|address| address.port() == NAMES),
            None => !connects && self.servers.contains(&socket),
        };
        if connects && is_server && self.servers.len() < MOST_SERVERS {
            self.servers.insert(socket);
        } else if connects {
            self.servers.remove(&socket);
        }
        if is_server {
            self.asked.extend(messages::question(call, message.bytes));
        }
        // Many look for sockets of services that are not there.
        let is_there = |said: &String| !said.starts_with('/') || exists(call, Path::new(said));
        self.contacted.extend(said.filter(is_there));
    }

    fn opened(&mut self, call: &Notification, dir: Option<usize>, path: usize, flags: u64) {
        let Some(path) = self.path(call, dir, path) else { return };
        if flags & WRITES != 0 {
            self.written.insert(path);
        } else if !self.read.contains(&path) && exists(call, &path) {
            // What is only looked for, as a compiler looks for headers, is not there.
            self.read.insert(path);
        }
    }

    fn changed(&mut self, call: &Notification, dir: Option<usize>, path: usize) {
        let path = self.path(call, dir, path);
        self.written.extend(path);
    }

    /// The path that an argument leads to, from the root that the process has.
    pub fn path(&mut self, call: &Notification, dir: Option<usize>, path: usize) -> Option<PathBuf> {
        let said = memory::text(call, call.arguments[path], LONGEST).ok()?;
        let said = Path::new(std::ffi::OsStr::from_bytes(&said));
        if said.is_absolute() {
            return Some(clean(said));
        }
        #[allow(clippy::cast_possible_truncation, reason = "descriptors are of 32 bits")]
        let number = dir.map_or(AT_FDCWD, |dir| call.arguments[dir] as i32);
        let link = match number {
            AT_FDCWD => format!("/proc/{}/cwd", call.pid),
            number => format!("/proc/{}/fd/{number}", call.pid),
        };
        let from = rustix::fs::readlink(link, Vec::new()).ok()?;
        let from = PathBuf::from(std::ffi::OsString::from_vec(from.into_bytes()));
        Some(clean(&from.join(said)))
    }

    /// A number of 64 bits in the caller's memory; 0 where there is none.
    pub fn number_at(&mut self, call: &Notification, address: u64) -> u64 {
        let mut bytes = [0; 8];
        let read = memory::read_whole(call, address, &mut bytes);
        if read.is_ok() { u64::from_ne_bytes(bytes) } else { 0 }
    }

    /// An address as a person writes it (unix(7), ip(7), ipv6(7)).
    pub fn address(&mut self, call: &Notification, address: u64, length: u64) -> Option<String> {
        let length = usize::try_from(length).ok()?.min(128);
        if address == 0 || length < 3 {
            return None;
        }
        let mut bytes = [0u8; 128];
        let read = memory::read(call, address, bytes.get_mut(..length)?).ok()?;
        let bytes = bytes.get(..read)?;
        let family = u16::from_ne_bytes([bytes[0], *bytes.get(1)?]);
        let port = || Some(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
        match i32::from(family) {
            1 => match bytes.get(2)? {
                0 => Some(format!("@{}", printable(bytes.get(3..)?))),
                _ => Some(printable(bytes.get(2..)?.split(|byte| *byte == 0).next()?)),
            },
            2 => {
                let host: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
                Some(SocketAddr::from((Ipv4Addr::from(host), port()?)).to_string())
            }
            10 => {
                let host: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
                Some(SocketAddr::from((Ipv6Addr::from(host), port()?)).to_string())
            }
            _ => None,
        }
    }

    /// All of it.
    pub fn record(&self, command: Vec<String>) -> Record {
        let texts = |paths: &BTreeSet<PathBuf>| {
            paths.iter().map(|path| printable(path.as_os_str().as_bytes())).collect::<BTreeSet<_>>()
        };
        Record {
            format: 1,
            command,
            read: texts(&self.read),
            written: texts(&self.written),
            run: texts(&self.run),
            contacted: self.contacted.clone(),
            asked: self.asked.clone(),
            listened: self.listened.clone(),
            calls: self.calls.iter().map(|name| (*name).to_owned()).collect(),
            unwatched: COMMON.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

/// Whether a path leads to something for the process that calls.
fn exists(call: &Notification, path: &Path) -> bool {
    let below = path.strip_prefix("/").unwrap_or(path);
    let seen = Path::new("/proc").join(call.pid.to_string()).join("root").join(below);
    rustix::fs::stat(seen).is_ok()
}

/// Without `.` and `..`, by their letters.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean
}
