//! Health checks of containers of images.

use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::Signal;

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_container_becomes_healthy_and_unhealthy, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_an_unhealthy_container_gets, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_check_that_hangs_has_failed, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_foreground_container_is_checked_until_its_end, Need::Tool(Tool::Busybox), OVERLAY),
    test!(an_unhealthy_foreground_container_is_ended, Need::Tool(Tool::Busybox), OVERLAY),
    test!(wrong_checks_are_said, Need::Tool(Tool::Busybox), OVERLAY),
];

/// A container that ends by SIGTERM, once it is ready for it.
const TRAPS: &str = r#"{"Cmd":["sh","-c","trap 'exit 5' TERM; touch /ready; while :; do sleep 0.05; done"]}"#;
/// It is well until then.
const NOT_WELL: &str = "[ ! -e /ready ]";

fn inspect(t: &Sandbox, format: &str) -> String {
    t.boxr(["inspect", "-f", format, "it"]).run().text().trim_end().to_owned()
}

fn condition(t: &Sandbox) -> String {
    inspect(t, "{{.State.Health.Status}}")
}

fn a_container_becomes_healthy_and_unhealthy(t: &Sandbox) {
    let config = r#"{"Cmd":["sleep","1000"],"Env":["A=b"],"Healthcheck":{"Test":["CMD-SHELL","echo seen $A; [ -e /well ]"],
        "Interval":50000000,"Retries":2}}"#;
    let (_server, name) = offered(t, config);
    t.run(["-q", "-d", "--name", "it", "--health-start-period", "1h", &name]).run().ok();
    assert_eq!(condition(t), "starting");
    t.boxr(["ps", "--format", "{{.Status}}"]).run().ok().shows("(health: starting)");
    t.boxr(["exec", "it", "touch", "/well"]).run().ok();
    wait_until("it is well", || condition(t) == "healthy");
    t.boxr(["ps", "--format", "{{.Status}}"]).run().ok().shows("(healthy)");
    assert_eq!(inspect(t, "{{(index .State.Health.Log 0).Output}}"), "seen b");
    t.boxr(["exec", "it", "rm", "/well"]).run().ok();
    wait_until("it is not well", || condition(t) == "unhealthy");
    assert_eq!(inspect(t, "{{.State.Running}}"), "true");
    wait_until("five are remembered", || inspect(t, "{{len .State.Health.Log}}") == "5");
    t.remove(["it"]);
    t.run(["-d", "--name", "it", "--no-healthcheck", &name]).run().ok();
    assert_eq!(inspect(t, "{{if .State.Health}}checked{{else}}unchecked{{end}}"), "unchecked");
    t.remove(["it"]);
    nothing_left(t);
}

fn what_an_unhealthy_container_gets(t: &Sandbox) {
    let (_server, name) = offered(t, TRAPS);
    let check = [
        "-q",
        "-d",
        "--name",
        "it",
        "--health-cmd",
        NOT_WELL,
        "--health-interval",
        "50ms",
        "--health-retries",
        "1",
    ];
    for (action, status) in [("kill", "137"), ("stop", "5")] {
        t.run(check).args(["--health-on-failure", action, &name]).run().ok();
        t.boxr(["wait", "it"]).run().ok().prints(&format!("{status}\n"));
        assert_eq!(condition(t), "unhealthy");
        t.remove(["it"]);
    }
    t.run(check).args(["--health-on-failure", "restart", &name]).run().ok();
    let started = inspect(t, "{{.State.StartedAt}}");
    wait_until("it was started again", || {
        inspect(t, "{{.State.Status}}") == "running" && inspect(t, "{{.State.StartedAt}}") != started
    });
    t.remove(["it"]);
    // One that is removed at its end is restarted as others are, but by nobody in the foreground.
    t.run(check).args(["--rm", "--health-on-failure", "restart", &name]).run().ok();
    let started = inspect(t, "{{.State.StartedAt}}");
    wait_until("it was started again", || {
        inspect(t, "{{.State.Status}}") == "running" && inspect(t, "{{.State.StartedAt}}") != started
    });
    t.boxr(["rm", "-f", "it"]).run().ok();
    t.run(["--rm", "--health-cmd", "true", "--health-on-failure", "restart", &name])
        .run()
        .exits(125)
        .blames("--health-on-failure restart and --rm");
    nothing_left(t);
}

fn a_check_that_hangs_has_failed(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sleep","1000"]}"#);
    let check =
        ["--health-cmd", "[\"sleep\", \"1000\"]", "--health-interval", "50ms", "--health-timeout", "100ms"];
    t.run(["-q", "-d", "--name", "it", "--health-retries", "1"]).args(check).arg(&name).run().ok();
    wait_until("it is not well", || condition(t) == "unhealthy");
    let last = inspect(t, "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}");
    assert!(last.starts_with("-1 the check took longer than 100 ms"), "{last}");
    t.remove(["it"]);
    nothing_left(t);
}

fn a_foreground_container_is_checked_until_its_end(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh","-c","echo up; read line; exit 6"]}"#);
    // The check has no signal blocked, though boxr itself has.
    let check = "grep -q 'SigBlk:.0*$' /proc/self/status && echo seen && [ -e /well ]";
    let run = || {
        t.run(["-q", "-i", "--rm", "--die-with-parent", "--name", "it", "--health-cmd", check]).args([
            "--health-interval",
            "50ms",
            "--health-start-period",
            "1h",
            &name,
        ])
    };
    let mut running = run().spawn();
    running.expect("up");
    assert_eq!(condition(t), "starting");
    t.boxr(["exec", "it", "touch", "/well"]).run().ok();
    wait_until("it is well", || condition(t) == "healthy");
    t.boxr(["ps", "--format", "{{.Status}}"]).run().ok().shows("(healthy)");
    t.boxr(["exec", "it", "rm", "/well"]).run().ok();
    wait_until("it is not well", || condition(t) == "unhealthy");
    assert_eq!(inspect(t, "{{(index .State.Health.Log 0).Output}}"), "seen");
    running.write("\n");
    running.finish().exits(6).prints("up\n");
    nothing_left(t);
    let mut running = run().spawn();
    running.expect("up");
    wait_until("it was checked", || inspect(t, "{{len .State.Health.Log}}") != "0");
    running.signal(Signal::KILL);
    running.finish().killed_by(Signal::KILL);
    wait_until("it is cleared away", || t.boxr(["ps", "-a", "-q"]).run().ok().text().is_empty());
    nothing_left(t);
}

fn an_unhealthy_foreground_container_is_ended(t: &Sandbox) {
    let (_server, name) = offered(t, TRAPS);
    let check =
        ["-q", "--rm", "--health-cmd", NOT_WELL, "--health-interval", "50ms", "--health-retries", "1"];
    for (action, status) in [("kill", 137), ("stop", 5)] {
        t.run(check).args(["--health-on-failure", action, &name]).run().exits(status);
    }
    // A check under way ends with the container.
    t.run(["-q", "--rm", "--timeout", "1", "--health-cmd", "sleep 1000", "--health-interval", "50ms", &name])
        .run()
        .exits(124);
    nothing_left(t);
}

fn wrong_checks_are_said(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["true"],"Healthcheck":{"Test":["FROB","x"]}}"#);
    t.run(["-q", "--rm", &name]).run().exits(125).blames("Healthcheck").blames("FROB");
    t.run(["--rm", "--no-healthcheck", &name]).run().ok();
    t.run(["--rm", "--health-interval", "soon", &name]).run().exits(125).blames("--health-interval soon");
    t.run(["--health-cmd", "true", "--", "true"]).run().exits(125).blames("a health check needs a container");
    nothing_left(t);
}
