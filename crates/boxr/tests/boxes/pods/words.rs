//! What podman's people type about pods.

use boxr_testing::{Need, Sandbox, Test, test};

use super::{create, member, remove};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(the_last_pod_goes_by_no_name, Need::UserNamespaces),
    test!(pods_are_chosen_by_age_and_labels),
    test!(what_a_pod_publishes_is_known_before_it_is_up, Need::Root),
    test!(members_have_colours_in_the_log, Need::UserNamespaces),
];

fn the_last_pod_goes_by_no_name(t: &Sandbox) {
    t.boxr(["pod", "stop", "--latest"]).run().exits(125).blames("there is no pod");
    create(t, "first", &[]);
    let last = create(t, "shop", &["-h", "counter"]);
    member(t, "shop", "one");
    t.boxr(["exec", "one", "hostname"]).run().ok().prints("counter\n");
    t.boxr(["pod", "inspect", "--latest", "-f", "{{.Name}}"]).run().ok().prints("shop\n");
    t.boxr(["pod", "top", "-l", "args"]).run().ok().shows("sleep 1000");
    t.boxr(["pod", "logs", "-l"]).run().ok().prints("");
    t.boxr(["pod", "stats", "-l", "--no-stream", "--format", "{{.Name}}"]).run().ok().prints("one\n");
    for (command, status) in [
        (&["pause"][..], "Paused"),
        (&["unpause"], "Running"),
        (&["stop", "-t", "0"], "Exited"),
        (&["start"], "Running"),
        (&["restart", "-t", "0"], "Running"),
        (&["kill"], "Exited"),
    ] {
        let act = t.boxr(["pod"]).args(command).arg("-l").run();
        act.ok().prints(&format!("{last}\n"));
        assert_eq!(super::status(t, "shop"), status, "{command:?}");
    }
    t.boxr(["pod", "ps", "-l", "--format", "{{.Name}}"]).run().ok().prints("shop\n");
    t.boxr(["pod", "rm", "-l"]).run().ok().prints(&format!("{last}\n"));
    t.boxr(["pod", "rm", "-l"]).run().ok();
    t.boxr(["pod", "ps", "-l", "-q"]).run().ok().prints("");
    t.boxr(["pod", "top", "-l"]).run().exits(125).blames("there is no pod");
    t.boxr(["pod", "top"]).run().exits(125).blames("POD is missing");
    t.assert_nothing_left();
}

fn pods_are_chosen_by_age_and_labels(t: &Sandbox) {
    create(t, "one", &["--label", "tier=front"]);
    create(t, "two", &[]);
    let list = |filter: &str| {
        let ps = ["pod", "ps", "--sort", "name", "--format", "{{.Name}}", "--filter", filter];
        t.boxr(ps).run()
    };
    list("until=1h").ok().prints("");
    list("until=2100-01-01").ok().prints("one\ntwo\n");
    list("label!=tier").ok().prints("two\n");
    list("status=created").ok().prints("one\ntwo\n");
    list("status=odd").exits(125).blames("odd is no status");
    list("until=soon").exits(125).blames("until=soon");
    t.boxr(["pod", "rm", "--all"]).run().ok();
    t.assert_nothing_left();
}

fn what_a_pod_publishes_is_known_before_it_is_up(t: &Sandbox) {
    let ports = ["-p", "127.0.0.1:8080:80", "-p", "53/udp", "-p", "9000-9002:90"];
    t.boxr(["pod", "create", "--name", "shop", "--network", "bridge"]).args(ports).run().ok();
    let inspect = ["pod", "inspect", "-f", "{{json .InfraConfig.PortBindings}}", "shop"];
    t.boxr(inspect).run().ok().prints(
        "{\"53/udp\":[{\"HostIp\":\"\",\"HostPort\":\"\"}],\
         \"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8080\"}],\
         \"90/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"9000-9002\"}]}\n",
    );
    remove(t, "shop");
    t.assert_nothing_left();
}

fn members_have_colours_in_the_log(t: &Sandbox) {
    create(t, "shop", &[]);
    for name in ["one", "two"] {
        t.run(["-d", "--pod", "shop", "--name", name, "--", "echo", name]).run().ok();
        t.boxr(["wait", name]).run().ok();
    }
    let seen = t.boxr(["pod", "logs", "--color", "--names", "shop"]).run().ok().text();
    assert_eq!(seen, "\u{1b}[32mone\u{1b}[0m one\n\u{1b}[33mtwo\u{1b}[0m two\n");
    remove(t, "shop");
    t.assert_nothing_left();
}
