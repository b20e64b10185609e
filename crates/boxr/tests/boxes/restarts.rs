//! Boxes that are started again when they have ended.

use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_box_that_fails_is_started_again),
    test!(a_box_that_is_stopped_stays_so),
    test!(a_box_that_waits_for_its_start_can_be_removed),
    test!(the_standby_starts_a_box_whose_monitor_was_killed),
    test!(a_container_is_started_again_with_its_changes, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_cannot_be_started_again_is_said),
    test!(boxes_start_with_the_host_as_their_policies_say),
    test!(a_unit_for_the_boot_is_printed_and_written),
];

fn inspect(t: &Sandbox, format: &str) -> String {
    t.boxr(["inspect", "-f", format, "it"]).run().text().trim_end().to_owned()
}

fn a_box_that_fails_is_started_again(t: &Sandbox) {
    t.detached("it", ["--restart", "on-failure:2", "--", "sh", "-c", "echo run; exit 3"]);
    let format = "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}";
    wait_until("it was started twice again", || inspect(t, format) == "2 exited 3");
    t.boxr(["logs", "it"]).run().ok().prints("run\nrun\nrun\n");
    let policy = "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    assert_eq!(inspect(t, policy), "on-failure 2");
    // A start by a person counts anew.
    t.boxr(["start", "it"]).run().ok();
    wait_until("it was started twice again", || inspect(t, format) == "2 exited 3");
    t.remove(["it"]);
    t.detached("it", ["--restart", "on-failure", "--", "true"]);
    t.boxr(["wait", "it"]).run().ok().prints("0\n");
    assert_eq!(inspect(t, "{{.RestartCount}} {{.State.Status}}"), "0 exited");
    t.remove(["it"]);
}

fn a_box_that_is_stopped_stays_so(t: &Sandbox) {
    t.detached("it", ["--restart", "always", "--", "sh", "-c", "echo run; sleep 0.05"]);
    wait_until("it was started again", || inspect(t, "{{.RestartCount}}").parse::<u32>().unwrap_or(0) > 1);
    t.boxr(["stop", "-t", "1", "it"]).run().ok();
    let count = inspect(t, "{{.RestartCount}}");
    let status = "{{.State.Status}} {{.State.Restarting}} {{.State.Running}}";
    wait_until("it has ended", || inspect(t, status) == "exited false false");
    // Longer than the pause that it may have been in: what would come, would have come.
    Cmd::new("sleep").arg("1").run().ok();
    assert_eq!((inspect(t, status), inspect(t, "{{.RestartCount}}")), ("exited false false".into(), count));
    t.remove(["it"]);
}

/// A box that is in one of its longer pauses.
fn waiting(t: &Sandbox) {
    t.detached("it", ["--restart", "always", "--", "false"]);
    // A start is under way for a moment, and says the same.
    let (mut seen, mut before) = (0, String::new());
    wait_until("it waits", || {
        let state = inspect(t, "{{.RestartCount}} {{.State.Status}}");
        let count = state.strip_suffix(" restarting").and_then(|count| count.parse::<u32>().ok());
        let is_longer = count.is_some_and(|count| count >= 5) && state == before;
        seen = if is_longer { seen + 1 } else { 0 };
        before = state;
        seen == 10
    });
}

fn a_box_that_waits_for_its_start_can_be_removed(t: &Sandbox) {
    waiting(t);
    t.boxr(["ps", "--format", "{{.State}}: {{.Status}}"]).run().ok().shows("restarting: Restarting (1) ");
    t.boxr(["rm", "it"]).run().exits(1).blames("it is restarting");
    t.boxr(["rm", "-f", "it"]).run().ok();
    t.assert_nothing_left();
}

fn the_standby_starts_a_box_whose_monitor_was_killed(t: &Sandbox) {
    waiting(t);
    let before: u32 = inspect(t, "{{.RestartCount}}").parse().unwrap();
    let monitor = inspect(t, "{{.Monitor.Pid}}");
    Cmd::new("kill").args(["-9", &monitor]).run();
    wait_until("it is started again", || {
        inspect(t, "{{.RestartCount}}").parse().is_ok_and(|now: u32| now > before)
    });
    t.remove(["it"]);
}

fn a_container_is_started_again_with_its_changes(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script = "echo x >>/count; wc -l </count; [ $(wc -l </count) -ge 3 ] && exec sleep 1000; exit 1";
    t.run(["-q", "-d", "--name", "it", "--restart", "on-failure", &name, script]).run().ok();
    wait_until("it is well", || inspect(t, "{{.RestartCount}} {{.State.Status}}") == "2 running");
    wait_until("it has said so", || t.boxr(["logs", "it"]).run().text() == "1\n2\n3\n");
    t.boxr(["kill", "it"]).run().ok();
    wait_until("it has ended", || inspect(t, "{{.State.Status}}") == "exited");
    t.remove(["it"]);
    nothing_left(t);
}

fn what_cannot_be_started_again_is_said(t: &Sandbox) {
    t.run(["--restart", "always", "--", "true"]).run().exits(125).blames("--restart and --rm");
    t.run(["-d", "--rm", "--restart", "always", "--", "true"]).run().exits(125).blames("--restart and --rm");
    t.run(["-d", "--restart", "never", "--", "true"]).run().exits(125).blames("--restart never");
    t.run(["--rm", "--restart", "no", "--", "true"]).run().ok();
}

fn boxes_start_with_the_host_as_their_policies_say(t: &Sandbox) {
    let policies = [
        ("always", "always"),
        ("unless", "unless-stopped"),
        ("stopped", "unless-stopped"),
        ("failing", "on-failure"),
        ("never", "no"),
    ];
    for (name, policy) in policies {
        t.detached(name, ["--restart", policy, "--", "sleep", "1000"]);
    }
    let named = |filters: &[&str]| {
        let filters = filters.iter().flat_map(|filter| ["--filter", filter]);
        let mut names = t.boxr(["ps", "-a", "--format", "{{.Names}}"]).args(filters).run().ok().lines();
        names.sort();
        names
    };
    assert_eq!(named(&["restart-policy=unless-stopped"]), ["stopped", "unless"]);
    assert_eq!(named(&["restart-policy=always", "restart-policy=no"]), ["always", "never"]);
    t.boxr(["stop", "-t", "0", "stopped"]).run().ok();
    assert_eq!(named(&["should-start-on-boot=true"]), ["always", "unless"]);
    // The host ends, and with it the rest.
    let ended = t.boxr(["stop", "-t", "0", "--shutdown", "--filter", "should-start-on-boot=true"]).run().ok();
    assert_eq!(ended.lines().len(), 2);
    assert_eq!(named(&["status=running"]), ["failing", "never"]);
    t.boxr(["stop", "-t", "0", "--all"]).run().ok();
    std::fs::remove_dir_all(&t.layout().state).unwrap();
    assert_eq!(t.boxr(["start", "--filter", "should-start-on-boot=true"]).run().ok().lines().len(), 2);
    assert_eq!(named(&["status=running"]), ["always", "unless"]);
    // Those that run are left alone.
    t.boxr(["start", "--all", "--filter", "restart-policy=always"]).run().ok().prints("");
    // What a person stops from now on counts again.
    t.boxr(["stop", "-t", "0", "always", "unless"]).run().ok();
    assert_eq!(named(&["should-start-on-boot=true"]), ["always"]);
    t.boxr(["start"]).run().exits(125).blames("CONTAINER is missing");
    t.boxr(["stop"]).run().exits(125).blames("CONTAINER is missing");
    t.boxr(["start", "--filter", "restart-policy=often"]).run().exits(125).blames("policies: no on-failure");
    t.remove(policies.map(|(name, _)| name));
}

fn a_unit_for_the_boot_is_printed_and_written(t: &Sandbox) {
    let printed = t.boxr(["system", "boot-unit"]).run().ok().quiet().text();
    let start = format!(" start --filter should-start-on-boot=true\nExecStop={}", t.program().display());
    assert!(printed.contains(&start) && printed.contains("--state"), "{printed}");
    t.boxr(["system", "boot-unit", "--program", "/opt/my boxr"])
        .run()
        .ok()
        .shows("ExecStart=\"/opt/my boxr\" ");
    // Root's would be the host's own.
    if !rustix::process::geteuid().is_root() {
        installs_for_a_user(t, &printed);
    }
}

fn installs_for_a_user(t: &Sandbox, printed: &str) {
    let config = t.path("config").display().to_string();
    let install = t.boxr(["system", "boot-unit", "--install"]).env("XDG_CONFIG_HOME", &config).run().ok();
    let path = format!("{config}/systemd/user/boxr-boot.service");
    assert_eq!(install.text(), format!("{path}\n"));
    install.blames("systemctl --user enable boxr-boot.service");
    assert_eq!(std::fs::read_to_string(path).unwrap(), printed);
}
