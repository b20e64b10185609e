//! A criu that does nothing but keep what it was asked and answer as criu does: the test program, as
//! `criu swrk FD`. It reads messages by a table of its own, from criu's images/rpc.proto.
//!
//! Its directory has `requests`, a line for each, and tells it by further files how to behave:
//!
//! | file | |
//! |---|---|
//! | `version` | it is this one, as three numbers |
//! | `lacks` | it and the kernel have no features |
//! | `refuse` | it does not do the work, and says why in its log |
//! | `die` | it ends instead of an answer |
//! | `noise` | it answers with something that is no message |
//! | `terminal` | what it restores has a terminal |
//! | `restored` | the script that is the restored process |

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use boxr_oci::criu::wire::{Fields, Value, Writer};
use boxr_sys::clone::{Cloned, Parent, clone3};
use boxr_testing::Sandbox;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, send, sendmsg};
use rustix::process::{Pid, Signal, getppid, kill_process};

/// The role of the test program.
pub const ROLE: &str = "--as=fake-criu";

/// A fake criu in a directory of a test.
pub struct FakeCriu(PathBuf);

impl FakeCriu {
    /// Makes one.
    #[track_caller]
    pub fn new(t: &Sandbox) -> Self {
        let dir = t.path("fake-criu");
        std::fs::create_dir(&dir).unwrap();
        let own = std::env::current_exe().unwrap();
        let script = format!("#!/bin/sh\nexec {} {ROLE} {} \"$@\"\n", own.display(), dir.display());
        let program = dir.join("criu");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        Self(dir)
    }

    /// What `--criu` is told.
    pub fn program(&self) -> String {
        self.0.join("criu").to_str().unwrap().to_owned()
    }

    /// Lets it behave in the way of `name`.
    #[track_caller]
    pub fn tell(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// Takes that back.
    #[track_caller]
    pub fn forget(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).unwrap();
    }

    /// What it was asked since the last time, one line each.
    #[track_caller]
    pub fn requests(&self) -> Vec<String> {
        let path = self.0.join("requests");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
        text.lines().map(str::to_owned).collect()
    }
}

/// Shape of a field of `criu_opts`, and its name.
#[derive(Clone, Copy)]
enum Field {
    Number(&'static str),
    Text(&'static str),
    /// A message with these fields, from 1 on.
    Message(&'static str),
}

fn field(number: u32) -> Field {
    use Field::{Message, Number, Text};
    match number {
        1 => Number("images_dir_fd"),
        2 => Number("pid"),
        3 => Number("leave_running"),
        4 => Number("ext_unix_sk"),
        5 => Number("tcp_established"),
        6 => Number("evasive_devices"),
        7 => Number("shell_job"),
        8 => Number("file_locks"),
        9 => Number("log_level"),
        10 => Text("log_file"),
        11 => Message("ps"),
        12 => Number("notify_scripts"),
        13 => Text("root"),
        14 => Text("parent_img"),
        15 => Number("track_mem"),
        16 => Number("auto_dedup"),
        17 => Number("work_dir_fd"),
        18 => Number("link_remap"),
        24 => Number("manage_cgroups"),
        25 => Message("cg_root"),
        26 => Number("rst_sibling"),
        27 => Message("inherit_fd"),
        34 => Number("manage_cgroups_mode"),
        37 => Text("external"),
        38 => Number("empty_ns"),
        39 => Message("join_ns"),
        44 => Text("freeze_cgroup"),
        46 => Number("tcp_skip_in_flight"),
        48 => Number("lazy_pages"),
        49 => Number("status_fd"),
        50 => Number("orphan_pts_master"),
        51 => Text("config_file"),
        53 => Text("lsm_profile"),
        63 => Text("lsm_mount_context"),
        other => panic!("criu_opts has no field {other}"),
    }
}

struct Fake {
    dir: PathBuf,
    socket: OwnedFd,
}

/// Works until boxr hangs up.
pub fn main(mut words: impl Iterator<Item = String>) -> ExitCode {
    let dir = PathBuf::from(words.next().unwrap());
    assert_eq!(words.next().as_deref(), Some("swrk"));
    let number: i32 = words.next().unwrap().parse().unwrap();
    let socket = boxr_sys::fd::duplicate(number, 3).unwrap();
    let fake = Fake { dir, socket };
    while let Some(request) = fake.receive() {
        fake.answer(&request);
    }
    ExitCode::SUCCESS
}

impl Fake {
    fn told(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.dir.join(name)).ok()
    }

    fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 1 << 16];
        let (length, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty()).unwrap();
        buffer.truncate(length);
        (length > 0).then_some(buffer)
    }

    fn send(&self, kind: u64, success: bool, fill: impl FnOnce(&mut Writer)) {
        let mut message = Writer::default();
        message.number(1, kind);
        message.flag(2, success);
        fill(&mut message);
        send(&self.socket, &message.finish(), SendFlags::NOSIGNAL).unwrap();
    }

    fn note(&self, line: &str) {
        let path = self.dir.join("requests");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    fn answer(&self, request: &[u8]) {
        let fields: Vec<_> = Fields::of(request).map(Result::unwrap).collect();
        let kind = fields.iter().find(|(number, _)| *number == 1).unwrap().1.signed().unwrap();
        let options = fields.iter().find(|(number, _)| *number == 2).and_then(|(_, value)| value.bytes());
        let options = options.map(Options::read).unwrap_or_default();
        let name = match kind {
            1 => "DUMP",
            2 => "RESTORE",
            4 => "PRE_DUMP",
            9 => "FEATURE_CHECK",
            10 => "VERSION",
            other => panic!("a request of kind {other}"),
        };
        let explained: Vec<_> = options.0.iter().map(|option| explain(option)).collect();
        self.note(&format!("{name} {}", explained.join(" ")));
        if self.told("die").is_some() {
            std::process::exit(3);
        }
        if self.told("noise").is_some() {
            send(&self.socket, b"\x08", SendFlags::NOSIGNAL).unwrap();
            return;
        }
        match kind {
            9 => {
                let there = self.told("lacks").is_none();
                self.send(9, true, |message| {
                    message.message(8, |features| [1, 2].into_iter().for_each(|n| features.flag(n, there)));
                });
            }
            10 => self.tell_version(),
            _ if self.told("refuse").is_some() => self.refuse(kind, &options),
            2 => self.restore(),
            _ => self.dump(kind, &options),
        }
    }

    fn tell_version(&self) {
        let version = self.told("version").unwrap_or_else(|| "3 17 1".into());
        let parts: Vec<u64> = version.split(' ').map(|part| part.parse().unwrap()).collect();
        self.send(10, true, |message| {
            message.message(10, |version| {
                for (field, part) in [1, 2, 4].into_iter().zip(parts) {
                    version.number(field, part);
                }
            });
        });
    }

    fn refuse(&self, kind: i32, options: &Options) {
        let directory = options.get("work_dir_fd").or(options.get("images_dir_fd")).unwrap();
        let log = format!("/proc/{}/fd/{directory}/{}", parent(), options.get("log_file").unwrap());
        std::fs::write(log, "(00.1) fine\n(00.2) Error (file.c:7): no luck\n").unwrap();
        self.send(kind as u64, false, |message| {
            message.signed(7, 22);
            message.bytes(9, b"the first error");
        });
    }

    /// Tells of a step; whether boxr went along.
    fn notify(&self, script: &str, pid: Option<i32>) -> bool {
        self.send(6, true, |message| notification(message, script, pid));
        self.heeded()
    }

    fn heeded(&self) -> bool {
        let Some(answer) = self.receive() else { return false };
        let fields: Vec<_> = Fields::of(&answer).map(Result::unwrap).collect();
        assert_eq!(fields[0], (1, Value::Number(6)));
        fields.contains(&(3, Value::Number(1)))
    }

    fn dump(&self, kind: i32, options: &Options) {
        assert!(self.notify("pre-dump", None) && self.notify("network-lock", None));
        if options.get("lazy_pages").is_some() {
            self.notify("status-ready", None);
        }
        assert!(self.notify("post-dump", None));
        if kind == 1 && options.get("leave_running").is_none() {
            let pid = options.get("pid").unwrap().parse().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        }
        self.send(kind as u64, true, |_| {});
    }

    fn restore(&self) {
        let script = self.told("restored").unwrap_or_else(|| "exit 7".into());
        let (go, going) = rustix::pipe::pipe().unwrap();
        let pid = match clone3(0, None, Parent::CallersParent).unwrap() {
            Cloned::Child => {
                drop(going);
                // It runs when all is restored.
                rustix::io::read(&go, &mut [0; 1]).unwrap();
                let error = Command::new("sh").arg("-c").arg(script).exec();
                panic!("{error}");
            }
            Cloned::Parent { pid, .. } => pid,
        };
        let number = pid.as_raw_nonzero().get();
        let heeded = self.notify("setup-namespaces", Some(number))
            && self.notify("post-setup-namespaces", None)
            && (self.told("terminal").is_none() || self.give_terminal())
            && self.notify("post-restore", Some(number));
        if heeded {
            rustix::io::write(&going, b"\0").unwrap();
        } else {
            kill_process(pid, Signal::KILL).unwrap();
        }
        self.send(2, heeded, |message| message.message(4, |restored| restored.signed(1, number)));
    }

    fn give_terminal(&self) -> bool {
        let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY);
        let mut message = Writer::default();
        message.number(1, 6);
        message.flag(2, true);
        notification(&mut message, "orphan-pts-master", None);
        send_with(self.socket.as_fd(), &message.finish(), master.unwrap().as_fd());
        self.heeded()
    }
}

fn notification(message: &mut Writer, script: &str, pid: Option<i32>) {
    message.message(5, |notify| {
        notify.bytes(1, script.as_bytes());
        if let Some(pid) = pid {
            notify.signed(2, pid);
        }
    });
}

fn send_with(socket: BorrowedFd<'_>, bytes: &[u8], fd: BorrowedFd<'_>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
}

fn parent() -> i32 {
    getppid().unwrap().as_raw_nonzero().get()
}

/// `name=value`, in order.
#[derive(Default)]
struct Options(Vec<String>);

impl Options {
    fn read(message: &[u8]) -> Self {
        Self(Fields::of(message).map(Result::unwrap).map(|(number, value)| show(number, value)).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }
}

fn show(number: u32, value: Value<'_>) -> String {
    let part = |value: Value<'_>| match value {
        Value::Number(_) => value.signed().unwrap().to_string(),
        Value::Bytes(_) => value.text().unwrap(),
    };
    match field(number) {
        Field::Number(name) => format!("{name}={}", value.signed().unwrap()),
        Field::Text(name) => format!("{name}={}", value.text().unwrap()),
        Field::Message(name) => {
            let fields = Fields::of(value.bytes().unwrap());
            let parts: Vec<_> = fields.map(|field| part(field.unwrap().1)).collect();
            format!("{name}={}", parts.join(","))
        }
    }
}

/// With what a descriptor is instead of its number, which means nothing later.
fn explain(option: &str) -> String {
    let link = |path: String| std::fs::read_link(path).unwrap().display().to_string();
    match option.split_once('=').unwrap() {
        (name @ ("images_dir_fd" | "work_dir_fd"), fd) => {
            format!("{name}={}", link(format!("/proc/{}/fd/{fd}", parent())))
        }
        ("inherit_fd", pair) => {
            let (key, fd) = pair.split_once(',').unwrap();
            format!("inherit_fd={key},{}", link(format!("/proc/self/fd/{fd}")))
        }
        _ => option.to_owned(),
    }
}
