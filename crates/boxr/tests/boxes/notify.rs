//! Telling systemd that a box is ready.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(boxr_says_that_a_box_is_ready),
    test!(a_container_is_given_the_socket, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_container_is_ready_when_it_is_well, Need::Tool(Tool::Busybox), OVERLAY),
    test!(units_of_systemd_are_ready_when_their_boxes_are, Need::Root, Need::Systemd),
];

struct Listener {
    socket: UnixDatagram,
    path: String,
}

impl Listener {
    fn new(t: &Sandbox) -> Self {
        let path = t.path("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { socket, path: path.display().to_string() }
    }

    fn hears(&self) -> String {
        let mut buffer = [0; 512];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn hears_nothing_more(&self) {
        self.socket.set_nonblocking(true).unwrap();
        assert!(self.socket.recv(&mut [0; 512]).is_err());
        self.socket.set_nonblocking(false).unwrap();
    }
}

fn boxr_says_that_a_box_is_ready(t: &Sandbox) {
    let listener = Listener::new(t);
    let told = |flags: &[&str]| {
        let run = t.run(flags).args(["--", "sh", "-c", "echo ${NOTIFY_SOCKET:-none}"]);
        run.env("NOTIFY_SOCKET", &listener.path).run().ok().text()
    };
    assert_eq!(told(&[]), format!("{}\n", listener.path), "a host command has it from the caller");
    assert_eq!(told(&["--sdnotify", "ignore"]), "none\n");
    listener.hears_nothing_more();
    assert_eq!(told(&["--sdnotify", "conmon"]), "none\n");
    assert_eq!(listener.hears(), "READY=1");
    let detached = t.run(["-d", "--name", "it", "--sdnotify=conmon", "--", "sleep", "1000"]);
    detached.env("NOTIFY_SOCKET", &listener.path).run().ok();
    let text = listener.hears();
    let pid = text.strip_prefix("MAINPID=").and_then(|rest| rest.strip_suffix("\nREADY=1")).unwrap();
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert!(comm.starts_with("boxr"), "{comm}");
    t.boxr(["inspect", "-f", "{{.State.Status}}", "it"]).run().ok().prints("running\n");
    t.remove(["it"]);
    for (flags, part) in
        [(["--sdnotify=x"], "container, conmon"), (["--sdnotify=healthy"], "needs a health check")]
    {
        t.run(flags).args(["--", "true"]).run().exits(125).blames(part);
    }
}

fn a_container_is_given_the_socket(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let listener = Listener::new(t);
    let script = "test -S $NOTIFY_SOCKET && echo $NOTIFY_SOCKET";
    let run = t.run(["-q", "--rm", "--network", "none", &name, script]).env("NOTIFY_SOCKET", &listener.path);
    run.run().ok().prints("/run/notify/notify.sock\n");
    let run = t.run(["-q", "-d", "--name", "it", "--network", "none", &name, "sleep 1000"]);
    run.env("NOTIFY_SOCKET", &listener.path).run().ok();
    // What the first said of its monitor is of no interest here.
    let told = std::iter::repeat_with(|| listener.hears()).find(|text| text.starts_with("MAINPID="));
    assert!(!told.unwrap().contains("READY"), "that is for the container to say");
    let run =
        t.run(["-q", "--rm", "--network", "none", "--sdnotify=ignore", &name, "echo ${NOTIFY_SOCKET:-none}"]);
    run.env("NOTIFY_SOCKET", &listener.path).run().ok().prints("none\n");
    t.run(["-q", "--rm", "--network", "none", &name, "echo ${NOTIFY_SOCKET:-none}"])
        .run()
        .ok()
        .prints("none\n");
    t.remove(["it"]);
    nothing_left(t);
}

fn a_container_is_ready_when_it_is_well(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let listener = Listener::new(t);
    let flags = ["--sdnotify=healthy", "--health-cmd=test -e /well", "--health-interval=100ms"];
    let run =
        t.run(["-q", "-d", "--name", "it", "--network", "none"]).args(flags).args([&name, "sleep 1000"]);
    run.env("NOTIFY_SOCKET", &listener.path).run().ok();
    assert!(listener.hears().starts_with("MAINPID="));
    t.boxr(["exec", "it", "touch", "/well"]).run().ok();
    assert_eq!(listener.hears(), "READY=1");
    t.boxr(["inspect", "-f", "{{.State.Health.Status}}", "it"]).run().ok().prints("healthy\n");
    t.remove(["it"]);
    nothing_left(t);
}

/// Type=notify, in the foreground and with a monitor that stays as the unit's main process.
fn units_of_systemd_are_ready_when_their_boxes_are(t: &Sandbox) {
    // systemd does not see this test's mounts.
    let here = format!("nsenter --mount=/proc/{}/ns/mnt --", std::process::id());
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let boxr = format!("{} {words}", t.program().display());
    let systemctl = |words: &[&str]| Cmd::new("systemctl").args(words).run();
    let script = "trap 'exit 3' TERM; sleep 1000 & wait";
    for (name, detach) in [("fore", "--keep"), ("back", "-d")] {
        let unit = format!("boxr-test-{}-{name}.service", std::process::id());
        let run = format!("exec {boxr} run {detach} --name {name} --sdnotify=conmon -- sh -c \"{script}\"");
        Cmd::new("systemd-run")
            .args([&format!("--unit={unit}"), "-pType=notify", "-pNotifyAccess=all", "-pTimeoutStartSec=60"])
            .args([&format!("-pExecStop={here} {boxr} stop {name}")])
            .args(here.split(' '))
            .args(["sh", "-c", &run])
            .run()
            .ok();
        // It has returned because the unit has said that it is ready.
        t.boxr(["inspect", "-f", "{{.State.Status}}", name]).run().ok().prints("running\n");
        systemctl(&["is-active", &unit]).ok().prints("active\n");
        let main = systemctl(&["show", "-p", "MainPID", "--value", &unit]).ok().word();
        let comm = std::fs::read_to_string(format!("/proc/{main}/comm")).unwrap();
        assert!(comm.starts_with("boxr"), "{name}: {comm}");
        systemctl(&["stop", &unit]).ok();
        t.boxr(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name])
            .run()
            .ok()
            .prints("exited 3\n");
        t.remove([name]);
        // What ended with 3 has failed.
        systemctl(&["reset-failed", &unit]);
    }
    t.assert_nothing_left();
}
