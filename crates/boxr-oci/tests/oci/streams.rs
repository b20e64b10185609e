//! What a container's processes are connected to: standard streams, terminals, descriptors; and who gets its
//! pidfd.

use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use boxr_testing::{Cmd, Need, Sandbox, Terminal, Test, test, wait_until};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;

use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::life::{BUSYBOX, state};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_user_can_open_its_standard_streams, BUSYBOX, Need::Root),
    test!(descriptors_that_are_not_open_are_refused, BUSYBOX),
    test!(preserved_descriptors_reach_the_command, BUSYBOX),
    test!(a_terminal_is_relayed_in_the_foreground, BUSYBOX),
    test!(a_terminal_is_sent_to_the_console_socket, BUSYBOX),
    test!(a_pidfd_is_sent_to_who_asks, BUSYBOX),
];

fn a_user_can_open_its_standard_streams(t: &Sandbox) {
    let script = "echo to-out > /dev/stdout; echo to-err > /dev/stderr; read line < /dev/stdin; echo $line";
    let bundle = Bundle::new(t, "b", script);
    let bundle = bundle.with(|config| config["process"]["user"] = json!({"uid": 1000, "gid": 1000}));
    let out = bundle.run("blue").stdin("in\n").run().ok().prints("to-out\nin\n");
    assert_eq!(out.errors(), "to-err\n");
    let bundle = bundle.with(|config| config["process"]["args"] = json!(["sleep", "1000"]));
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    let out = oci(t, ["exec", "blue", "sh", "-c", script]).stdin("in\n").run().ok().prints("to-out\nin\n");
    assert_eq!(out.errors(), "to-err\n");
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn descriptors_that_are_not_open_are_refused(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    let said = "unable to stat preserved-fd 0 (of 2)";
    bundle.command("run", &["--preserve-fds", "2"], "blue").run().exits(1).blames(said);
    assert_nothing_left(t);
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    oci(t, ["exec", "--preserve-fds", "2", "blue", "true"]).run().exits(255).blames(said);
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn preserved_descriptors_reach_the_command(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "ls /proc/$$/fd; true");
    bundle.place("blue");
    let with = Cmd::new(std::env::current_exe().unwrap()).args(["--as=with-descriptors", "3"]);
    let run = t.surrounded(with).arg(t.program()).args(["--root".as_ref(), t.layout().state.as_os_str()]);
    let out = run.args(["run", "--preserve-fds", "2", "--bundle", bundle.path(), "blue"]).run().ok();
    assert_eq!(out.text(), "0\n1\n2\n3\n4\n", "{}", out.story());
    assert_nothing_left(t);
}

fn on_terminal(t: &Sandbox, args: &[&str]) -> Terminal {
    let [program, root] = [t.program(), &t.layout().state].map(|path| path.to_str().unwrap().to_owned());
    let mut words = vec![program, "--root".to_owned(), root];
    words.extend(args.iter().map(|&arg| arg.to_owned()));
    Terminal::start(31, 97, &words, |cmd| t.surrounded(cmd))
}

const UNTIL_RESIZED: &str = "stty size; until [ \"$(stty size)\" = '20 60' ]; do sleep 0.02; done; echo resized; \
    read line; echo \"got $line\"; exit 7";

fn a_terminal_is_relayed_in_the_foreground(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", UNTIL_RESIZED).with(|config| {
        config["process"]["terminal"] = json!(true);
        config["process"].as_object_mut().unwrap().remove("consoleSize");
    });
    bundle.place("blue");
    let mut first = on_terminal(t, &["run", "--bundle", bundle.path(), "blue"]);
    first.expect("31 97");
    let mut second = on_terminal(t, &["exec", "-t", "blue", "sh", "-c", UNTIL_RESIZED]);
    second.expect("31 97");
    for terminal in [second, first] {
        let mut terminal = terminal;
        assert!(terminal.is_raw());
        terminal.resize(20, 60);
        terminal.expect("resized");
        terminal.send("keys\r");
        terminal.expect("got keys");
        terminal.finish().exits(7);
    }
    assert_nothing_left(t);
}

/// The descriptor and the message that come over the next connection.
#[track_caller]
fn receive(listener: &UnixListener) -> (OwnedFd, String) {
    assert!(boxr_testing::wait::readable(listener, boxr_testing::PATIENCE), "nobody connects");
    let (connection, _) = listener.accept().unwrap();
    let mut message = [0; 100];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(&connection, &mut [IoSliceMut::new(&mut message)], &mut control, RecvFlags::empty());
    let length = got.unwrap().bytes;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    (fd.expect("a descriptor"), String::from_utf8_lossy(&message[..length]).into_owned())
}

fn a_terminal_is_sent_to_the_console_socket(t: &Sandbox) {
    let path = t.path("console");
    let listener = UnixListener::bind(&path).unwrap();
    let flag = ["--console-socket", path.to_str().unwrap()];
    let bundle = Bundle::new(t, "b", "tty; stty size; read line; echo got $line");
    bundle.command("create", &flag, "blue").run().exits(1).blames("console socket");
    let bundle = bundle.with(|config| {
        config["process"]["terminal"] = json!(true);
        config["process"]["consoleSize"] = json!({"height": 11, "width": 22});
    });
    bundle.command("create", &[], "blue").run().exits(1).blames("without setting console socket");
    bundle.command("create", &flag, "blue").run().ok();
    let mut terminal = std::fs::File::from(receive(&listener).0);
    oci(t, ["start", "blue"]).run().ok();
    terminal.write_all(b"keys\n").unwrap();
    let mut shown = Vec::new();
    // A terminal whose other side is closed ends with EIO.
    terminal.read_to_end(&mut shown).ok();
    let shown = String::from_utf8_lossy(&shown);
    assert!(["/dev/pts/0", "11 22", "got keys"].iter().all(|part| shown.contains(part)), "{shown:?}");
    wait_until("it has stopped", || state(t, "blue")["status"] == "stopped");
    oci(t, ["delete", "blue"]).run().ok();
    assert_nothing_left(t);
}

/// The process that a pidfd refers to, as fdinfo tells.
#[track_caller]
fn pid_of(pidfd: &OwnedFd) -> String {
    use std::os::fd::AsRawFd;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    info.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd").trim().to_owned()
}

fn a_pidfd_is_sent_to_who_asks(t: &Sandbox) {
    let path = t.path("pidfds");
    let listener = UnixListener::bind(&path).unwrap();
    let bundle = Bundle::new(t, "b", "exec sleep 1000")
        .with(|config| config["annotations"] = json!({"run.oci.pidfd_receiver": path}));
    bundle.create("blue");
    let (pidfd, _) = receive(&listener);
    assert_eq!(pid_of(&pidfd), state(t, "blue")["pid"].to_string());
    oci(t, ["start", "blue"]).run().ok();
    let exec = oci(t, ["exec", "--pidfd-socket", path.to_str().unwrap(), "blue", "cat"]);
    let mut running = exec.spawn();
    let (pidfd, message) = receive(&listener);
    assert_eq!(message, "pidfd");
    assert_ne!(pid_of(&pidfd), "-1");
    running.close_stdin();
    running.finish().ok();
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}
