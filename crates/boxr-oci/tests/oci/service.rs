//! A container as a service of systemd's: sockets that it is handed, and its word that it is ready.

use std::os::unix::net::UnixDatagram;

use boxr_testing::{Cmd, Sandbox, Test, test, wait_until};

use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::life::{BUSYBOX, state};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(start_passes_on_that_it_is_ready, BUSYBOX),
    test!(run_passes_on_that_it_is_ready, BUSYBOX),
    test!(a_service_that_ends_before_it_is_ready, BUSYBOX),
    test!(sockets_of_systemd_are_handed_on, BUSYBOX),
    test!(sockets_of_another_process_are_not, BUSYBOX),
];

/// systemd's side, and a bundle in which `probe MESSAGE` tells it something.
fn service<'t>(t: &'t Sandbox, script: &str) -> (UnixDatagram, Bundle<'t>) {
    let systemd = UnixDatagram::bind(t.path("systemd")).unwrap();
    systemd.set_read_timeout(Some(boxr_testing::PATIENCE)).unwrap();
    let bundle = Bundle::new(t, "b", script);
    t.probe(&t.path("shared-root/bin/probe"));
    (systemd, bundle)
}

#[track_caller]
fn received(systemd: &UnixDatagram) -> String {
    let mut message = [0; 1000];
    let length = systemd.recv(&mut message).unwrap();
    String::from_utf8_lossy(&message[..length]).into_owned()
}

const READY: &str =
    "probe --as=notify 'STATUS=beginning'; probe --as=notify \"$(printf 'STATUS=going\\nREADY=1')\"";

fn start_passes_on_that_it_is_ready(t: &Sandbox) {
    let (systemd, bundle) = service(t, &format!("{READY}; exec sleep 1000"));
    let address = t.path("systemd");
    bundle.create_by(Cmd::new("sh").env("NOTIFY_SOCKET", &address), &[], "blue");
    oci(t, ["start", "blue"]).env("NOTIFY_SOCKET", &address).run().ok();
    let pid = state(t, "blue")["pid"].to_string();
    assert_eq!(received(&systemd), format!("READY=1\nMAINPID={pid}\n"));
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn run_passes_on_that_it_is_ready(t: &Sandbox) {
    let (systemd, bundle) = service(t, &format!("{READY}; read line; exit 4"));
    let mut running = bundle.run("blue").env("NOTIFY_SOCKET", t.path("systemd")).spawn();
    // boxr stays, and is the service as far as systemd is concerned.
    assert_eq!(received(&systemd), "READY=1\n");
    running.write("\n");
    running.finish().exits(4);
    assert_nothing_left(t);
}

fn a_service_that_ends_before_it_is_ready(t: &Sandbox) {
    let (_systemd, bundle) = service(t, "exit 3");
    bundle.run("blue").env("NOTIFY_SOCKET", t.path("systemd")).run().exits(3);
    let detached = bundle.command("run", &["--detach"], "blue").env("NOTIFY_SOCKET", t.path("systemd"));
    detached.run().ok();
    wait_until("it has stopped", || state(t, "blue")["status"] == "stopped");
    oci(t, ["delete", "blue"]).run().ok();
    assert_nothing_left(t);
}

/// Runs the bundle with descriptor 3 open and the variables of sd_listen_fds(3).
fn activated(t: &Sandbox, bundle: &Bundle<'_>, pid: &str) -> boxr_testing::Output {
    bundle.place("blue");
    let script = format!(r#"export LISTEN_FDS=1 LISTEN_PID={pid}; exec "$@" 3</etc/passwd"#);
    t.surrounded(Cmd::new("sh"))
        .args(["-c", &script, "sh"])
        .arg(t.program())
        .args(["--root".as_ref(), t.layout().state.as_os_str()])
        .args(["run", "--bundle", bundle.path(), "blue"])
        .run()
}

const ASK: &str = "echo \"$LISTEN_FDS $LISTEN_PID\"; readlink /proc/$$/fd/3";

fn sockets_of_systemd_are_handed_on(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", ASK);
    activated(t, &bundle, "$$").ok().prints("1 1\n/etc/passwd\n");
}

fn sockets_of_another_process_are_not(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", ASK);
    activated(t, &bundle, "1").exits(1).prints(" \n");
}
