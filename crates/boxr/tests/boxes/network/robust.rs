//! Networks when something is full, gone, killed or asked for by many at once.

use boxr_testing::lab::{HOST, Lab};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};

use super::{
    BUSYBOX, NET, ROOT, address, assert_no_network_left, lay_resolver_file, serve, site, take_resolver_file,
};
use crate::containers::{OVERLAY, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_client_of_the_resolver_sees_what_the_rules_of_names_ask_for, ROOT, NET, DIG),
    test!(a_question_under_way_is_answered_when_the_resolver_was_killed, ROOT, NET, DIG),
    test!(files_about_names_follow_networks, ROOT, NET, BUSYBOX, OVERLAY),
    test!(a_full_or_senseless_network_starts_nothing, ROOT, NET),
    test!(after_a_reboot_addresses_are_free_and_boxes_start_again, ROOT, NET, BUSYBOX),
    test!(the_namespace_of_a_box_that_has_ended_is_not_joined, ROOT, NET),
    test!(a_port_of_sctp_is_published, ROOT, NET, Need::Tool(Tool::Nft)),
    test!(a_start_with_a_port_looks_at_no_other_box, ROOT, NET, Need::Tool(Tool::Strace)),
    test!(
        a_first_process_that_failed_before_its_network_came_says_why,
        ROOT,
        NET,
        BUSYBOX,
        Need::Tool(Tool::Strace)
    ),
];

const DIG: Need = Need::Tool(Tool::Dig);

fn a_client_of_the_resolver_sees_what_the_rules_of_names_ask_for(t: &Sandbox) {
    let lab = Lab::for_users();
    // A file without servers: only names of neighbours are known.
    lay_resolver_file(t, &lab, "# none\n");
    lab.boxr(t, ["network", "create", "--subnet", "10.5.0.0/24", "digging"]).run().ok();
    for number in 0..35 {
        let name = format!("n{number}");
        let run = [
            "run",
            "-d",
            "--name",
            &name,
            "--network",
            "digging",
            "--network-alias",
            "many",
            "--",
            "sleep",
            "1000",
        ];
        lab.boxr(t, run).run().ok();
    }
    let dig = |words: &str| {
        lab.on_host("dig").args("+time=2 +tries=2 @10.5.0.1".split(' ')).args(words.split(' ')).run()
    };
    dig("+short n0").ok().prints("10.5.0.2\n");
    dig("+short +tcp N0").ok().prints("10.5.0.2\n");
    dig("+short -x 10.5.0.2").ok().prints("n0.\n");
    dig("+bufsize=1232 n0").ok().shows("EDNS: version: 0").shows("status: NOERROR");
    let none = dig("AAAA n0").ok().text();
    assert!(none.contains("NOERROR") && none.contains("ANSWER: 0"), "{none}");
    dig("elsewhere.example").ok().shows("SERVFAIL");
    // Thirty-five addresses are more than a plain datagram holds: by a stream all of them come.
    dig("+noedns +ignore many").ok().shows(" tc ");
    assert_eq!(dig("+noedns +short many").ok().lines().len(), 35);
    assert_eq!(dig("+bufsize=1232 +ignore +short many").ok().lines().len(), 35);
    lab.boxr(t, ["rm", "-f", "--all"]).run().ok();
    lab.boxr(t, ["network", "rm", "digging"]).run().ok();
    take_resolver_file(&lab);
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_question_under_way_is_answered_when_the_resolver_was_killed(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["network", "create", "--subnet", "10.5.0.0/24", "asked"]).run().ok();
    lab.boxr(t, ["run", "-d", "--name", "one", "--network", "asked", "--", "sleep", "1000"]).run().ok();
    let file = t.layout().state.join("network/nets/asked/resolver");
    // It, and who goes on in its place.
    let pids = || -> Vec<String> {
        std::fs::read_to_string(&file).unwrap().split_whitespace().map(str::to_owned).collect()
    };
    let has_ended =
        |pid: &String| std::fs::read(format!("/proc/{pid}/cmdline")).map_or(true, |line| line.is_empty());
    for _ in 0..3 {
        wait_until("there are two", || pids().len() == 2 && !has_ended(&pids()[0]));
        let pid = pids().remove(0);
        // Stopped, it takes the question and does not answer: so it is under way when it is killed.
        Cmd::new("kill").args(["-STOP", &pid]).run().ok();
        let asking = lab.on_host("dig").args(["+short", "+time=3", "+tries=1", "@10.5.0.1", "one"]).spawn();
        Cmd::new("kill").args(["-KILL", &pid]).run().ok();
        asking.finish().ok().prints("10.5.0.2\n");
    }
    for command in [vec!["network", "ls"], vec!["network", "inspect", "asked"], vec!["port", "one"]] {
        wait_until("there are two", || pids().len() == 2 && !has_ended(&pids()[0]));
        // Both at once: they are one group.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pids()[0])).unwrap();
        let group = stat.rsplit(") ").next().unwrap().split(' ').nth(2).unwrap().to_owned();
        Cmd::new("kill").args(["-KILL", "--", &format!("-{group}")]).run().ok();
        let is_free =
            || Cmd::new("flock").args(["-n", file.to_str().unwrap(), "true"]).run().status.success();
        wait_until("they have ended", is_free);
        lab.boxr(t, command).run().ok();
        lab.on_host("dig").args(["+short", "+tries=1", "@10.5.0.1", "one"]).run().ok().prints("10.5.0.2\n");
    }
    lab.boxr(t, ["rm", "-f", "one"]).run().ok();
    lab.boxr(t, ["network", "rm", "asked"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn files_about_names_follow_networks(t: &Sandbox) {
    let lab = Lab::new();
    let (_server, image) = offered(t, r#"{"Cmd":["busybox","sleep","1000"]}"#);
    t.boxr(["pull", "-q", &image]).run().ok();
    for (subnet, name) in [("10.5.0.0/24", "blue"), ("10.6.0.0/24", "red")] {
        lab.boxr(t, ["network", "create", "--subnet", subnet, name]).run().ok();
    }
    lab.boxr(t, ["run", "-d", "--name", "web", "--hostname", "nine", "--network", "blue", &image]).run().ok();
    let cat = |file: &str| lab.boxr(t, ["exec", "web", "busybox", "cat", file]).run().ok().text();
    let append = "echo '192.0.2.77 mine' >>/etc/hosts";
    lab.boxr(t, ["exec", "web", "busybox", "sh", "-c", append]).run().ok();
    lab.boxr(t, ["network", "connect", "--ip", "10.6.0.9", "red", "web"]).run().ok();
    let hosts = cat("/etc/hosts");
    assert!(
        hosts.contains("10.5.0.2\tnine\n10.6.0.9\tnine\n") && hosts.contains("192.0.2.77 mine"),
        "{hosts}"
    );
    assert!(cat("/etc/resolv.conf").contains("nameserver 10.5.0.1\nnameserver 10.6.0.1\n"));
    lab.boxr(t, ["network", "disconnect", "blue", "web"]).run().ok();
    let hosts = cat("/etc/hosts");
    assert!(
        !hosts.contains("10.5.0.2") && hosts.contains("10.6.0.9\tnine") && hosts.contains("mine"),
        "{hosts}"
    );
    let servers = cat("/etc/resolv.conf");
    assert!(!servers.contains("10.5.0.1") && servers.contains("nameserver 10.6.0.1\n"), "{servers}");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    lab.boxr(t, ["network", "rm", "blue", "red"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_full_or_senseless_network_starts_nothing(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["network", "create", "--subnet", "10.5.0.0/30", "tiny"]).run().ok();
    lab.boxr(t, ["run", "-d", "--name", "one", "--network", "tiny", "--", "sleep", "1000"]).run().ok();
    let second = ["run", "--name", "two", "--network", "tiny", "-p", "8080:80", "--", "true"];
    lab.boxr(t, second).run().exits(125).blames("all addresses of 10.5.0.0/30 are in use");
    let taken = ["run", "--network", "tiny", "--ip", "10.5.0.2", "--", "true"];
    lab.boxr(t, taken).run().exits(125).blames("10.5.0.2 is in use by container");
    let nobodys = ["run", "--network", "tiny", "--ip", "10.5.0.3", "--", "true"];
    lab.boxr(t, nobodys).run().exits(125).blames("10.5.0.3 is the first or the last of its subnet");
    lab.boxr(t, ["ps", "-a", "--format", "{{.Names}}"]).run().ok().prints("one\n");
    // The port that it had for a moment is free.
    lab.boxr(t, ["run", "-p", "8080:80", "--", "true"]).run().ok();
    for (flags, told) in [
        (vec!["-o", "mtu=60"], "68 to 65535"),
        (vec!["--ipv6", "-o", "mtu=1200"], "IPv6 needs 1280"),
        (vec!["--subnet", "10.5.0.0/29"], "overlaps"),
        (vec!["--subnet", "192.0.2.0/25"], "route"),
        (vec!["--subnet", "224.0.0.0/24"], "groups"),
        (vec!["--subnet", "fe80::/64"], "each link's own"),
    ] {
        lab.boxr(t, ["network", "create"]).args(&flags).arg("no").run().exits(1).blames(told);
    }
    lab.boxr(t, ["rm", "-f", "one"]).run().ok();
    lab.boxr(t, second).run().ok();
    lab.boxr(t, ["rm", "-f", "--all"]).run();
    lab.boxr(t, ["network", "rm", "tiny"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

/// Kills a box's first process, its monitor and that one's standby, so that none of them sees another end.
#[track_caller]
pub(super) fn kill_all_of(t: &Sandbox, lab: &Lab, name: &str) {
    let first = lab.boxr(t, ["inspect", "-f", "{{.State.Pid}}", name]).run().ok().word();
    kill_monitors(&first, |_| true);
}

/// Kills the monitor of a first process, and what there is of its children that is meant.
#[track_caller]
fn kill_monitors(first: &str, is_meant: impl Fn(&str) -> bool) {
    let stat = std::fs::read_to_string(format!("/proc/{first}/stat")).unwrap();
    let monitor = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let state = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('X')
    };
    // One that is stopped starts nobody in place of those who end.
    Cmd::new("kill").args(["-STOP", &monitor]).run().ok();
    wait_until("it has stopped", || state(&monitor) == 'T');
    let children = std::fs::read_to_string(format!("/proc/{monitor}/task/{monitor}/children")).unwrap();
    for pid in children.split_whitespace().filter(|pid| is_meant(pid)).chain([monitor.as_str()]) {
        Cmd::new("kill").args(["-9", pid]).run().ok();
        wait_until("it has ended", || matches!(state(pid), 'Z' | 'X'));
    }
}

fn a_start_with_a_port_looks_at_no_other_box(t: &Sandbox) {
    let lab = Lab::new();
    let run = |name: &str, port: &str| {
        lab.boxr(t, ["run", "-d", "--name", name, "-p", port, "--", "sleep", "1000"]).run().ok().word()
    };
    let all = run("all", "8080:80");
    let one = run("one", "127.0.0.1:8081:80");
    let start = |port: &str| {
        let trace = t.path("trace");
        let strace = lab.on_host("strace").args(["-f", "-qq", "-o"]).arg(&trace).arg("--").arg(t.program());
        let out = strace.args(t.globals()).args(["run", "-p", port, "--", "true"]).run();
        let text = std::fs::read_to_string(&trace).unwrap();
        (out, text.contains(&all), text.contains(&one))
    };
    let reads = |port: &str| {
        let (out, all, one) = start(port);
        out.ok();
        (all, one)
    };
    assert_eq!(reads("8082:80"), (false, false));
    assert_eq!(reads("80"), (false, false));
    // On another address it has that port's owner alone to look at.
    assert!(!reads("127.0.0.2:8081:80").0);
    let (out, _, other) = start("8080:80");
    out.exits(125).blames("container all");
    assert!(!other);
    lab.boxr(t, ["run", "-p", "8081:80", "--", "true"]).run().exits(125).blames("container one");
    // Nobody holds it, and yet packets to it are the box's.
    let first = lab.boxr(t, ["inspect", "-f", "{{.State.Pid}}", "all"]).run().ok().word();
    kill_monitors(&first, |pid| pid != first);
    lab.boxr(t, ["run", "-p", "8080:80", "--", "true"]).run().exits(125).blames("container all");
    // Nobody's any more.
    kill_all_of(t, &lab, "one");
    lab.boxr(t, ["run", "-p", "8081:80", "--", "true"]).run().ok();
    lab.boxr(t, ["rm", "-f", "--all"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn after_a_reboot_addresses_are_free_and_boxes_start_again(t: &Sandbox) {
    let before = Lab::new();
    before.boxr(t, ["network", "create", "--subnet", "10.5.0.0/29", "kept"]).run().ok();
    serve(t, &before, "web", &site(t, "inside"), &["--network", "kept", "--ip", "10.5.0.4", "-p", "8080:80"]);
    kill_all_of(t, &before, "web");
    // The host's namespaces and /run go; what is on disk stays.
    let resolver = std::fs::read_to_string(t.layout().state.join("network/nets/kept/resolver")).unwrap();
    Cmd::new("kill").arg("-9").args(resolver.split_whitespace()).run().ok();
    std::fs::remove_dir_all(&t.layout().state).unwrap();
    before.go();
    let lab = Lab::new();
    lab.boxr(t, ["start", "web"]).run().ok();
    wait_until("it serves", || lab.fetch(&format!("http://{HOST}:8080/who")).run().status.success());
    assert_eq!(address(t, &lab, "web"), "10.5.0.4");
    // All addresses but the gateway's and this one are free.
    for number in 0..4 {
        let name = format!("n{number}");
        lab.boxr(t, ["run", "-d", "--name", &name, "--network", "kept", "--", "sleep", "1000"]).run().ok();
    }
    lab.boxr(t, ["rm", "-f", "--all"]).run().ok();
    lab.boxr(t, ["network", "rm", "kept"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn the_namespace_of_a_box_that_has_ended_is_not_joined(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["run", "-d", "--name", "gone", "--network", "bridge", "--", "sleep", "1000"]).run().ok();
    lab.boxr(t, ["stop", "-t", "0", "gone"]).run().ok();
    let join = ["run", "--network", "container:gone", "--", "true"];
    lab.boxr(t, join).run().exits(125).blames("gone is not running");
    lab.boxr(t, ["run", "--network", "container:nobody", "--", "true"]).run().exits(125).blames("nobody");
    lab.boxr(t, ["rm", "-f", "gone"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_port_of_sctp_is_published(t: &Sandbox) {
    let lab = Lab::new();
    let run = ["run", "-d", "--name", "one", "-p", "9000:9000/sctp", "--", "sleep", "1000"];
    lab.boxr(t, run).run().ok();
    let rules = lab.on_host("nft").args(["list", "map", "inet", "boxr", "ports4"]).run().ok().text();
    assert!(rules.contains("sctp . 9000"), "{rules}");
    lab.boxr(t, ["port", "one"]).run().ok().prints("9000/sctp -> 0.0.0.0:9000\n");
    lab.boxr(t, ["rm", "-f", "one"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_first_process_that_failed_before_its_network_came_says_why(t: &Sandbox) {
    let lab = Lab::new();
    let root = t.rootfs("root");
    std::os::unix::fs::symlink("/nowhere", t.path("root/link")).unwrap();
    let bind = format!("{}:/link", t.path("").display());
    // boxr is slow after the clone: what it is about to connect has ended.
    let slow = ["-f", "-qq", "-o", "/dev/null", "-e", "inject=renameat,renameat2:delay_exit=300000", "--"];
    for flags in [vec!["--rm"], vec!["-d", "--name", "it"]] {
        let boxr = lab.on_host("strace").args(slow).arg(t.program()).args(t.globals());
        let run = boxr.arg("run").args(flags).args(["--network", "bridge", "-v", &bind]);
        let out = run.args(["--rootfs", &root, "--", "/bin/true"]).run().exits(125);
        out.blames("/link").blames("ELOOP").blames("a symbolic link that leads nowhere");
    }
    assert_no_network_left(t, &lab);
    lab.end(t);
}
