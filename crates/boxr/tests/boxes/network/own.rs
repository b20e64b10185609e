//! Networks of one's own: made, joined, left, removed.

use boxr_testing::lab::{FAR_AWAY, HOST, Lab};
use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::Signal;

use super::{BUSYBOX, NET, ROOT, address, assert_no_network_left, serve, site};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_network_is_made_listed_and_removed, ROOT, NET),
    test!(networks_are_apart_and_boxes_join_several, ROOT, NET, BUSYBOX),
    test!(a_running_box_is_connected_and_disconnected, ROOT, NET, BUSYBOX),
    test!(the_way_out_is_by_the_first_network_that_is_left, ROOT, NET),
    test!(each_kind_of_address_has_its_way_out, ROOT, NET),
    test!(an_internal_network_leads_nowhere, ROOT, NET, BUSYBOX),
    test!(a_network_has_addresses_of_ipv6, ROOT, NET, BUSYBOX),
    test!(an_address_is_given_once, ROOT, NET),
    test!(a_network_in_use_stays, ROOT, NET),
    test!(senseless_definitions_are_named, ROOT, NET),
    test!(a_macvlan_box_is_on_the_hosts_wire, ROOT, NET, BUSYBOX),
    test!(published_ports_are_shown, ROOT, NET, BUSYBOX),
    test!(rules_are_reloaded, ROOT, NET, BUSYBOX),
    test!(random_steps_leave_nothing, ROOT, NET, Need::Tool(Tool::Busybox)),
];

#[track_caller]
pub(super) fn create(t: &Sandbox, lab: &Lab, args: &[&str]) -> String {
    lab.boxr(t, ["network", "create"]).args(args).run().ok().word()
}

fn a_network_is_made_listed_and_removed(t: &Sandbox) {
    let lab = Lab::new();
    let id = create(t, &lab, &["--subnet", "10.5.0.0/24", "--label", "team=blue", "-o", "mtu=1400", "blue"]);
    assert_eq!(id.len(), 64);
    let list = lab.boxr(t, ["network", "ls"]).run().ok().lines();
    assert!(list[0].starts_with("NETWORK ID") && list.iter().any(|line| line.contains("blue")), "{list:?}");
    lab.boxr(t, ["network", "ls", "-q", "--filter", "label=team=blue"])
        .run()
        .ok()
        .prints(&format!("{}\n", &id[..12]));
    lab.boxr(t, ["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}} {{.Driver}}", "blue"])
        .run()
        .ok()
        .prints("10.5.0.1 bridge\n");
    let show = ["run", "--network", "blue", "--", "ip", "-o", "link", "show", "eth0"];
    lab.boxr(t, show).run().ok().shows("mtu 1400");
    lab.boxr(t, ["network", "create", "blue"]).run().exits(1).blames("exists already");
    lab.boxr(t, ["network", "rm", "blue"]).run().ok().prints("blue\n");
    lab.boxr(t, ["network", "inspect", "blue"]).run().exits(1).blames("no network named blue").prints("[]\n");
    lab.boxr(t, ["network", "rm", "bridge"]).run().exits(1).blames("cannot be removed");
    assert!(!lab.on_host("ip").args(["-o", "link"]).run().ok().text().contains("boxr0"));
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn networks_are_apart_and_boxes_join_several(t: &Sandbox) {
    let lab = Lab::new();
    create(t, &lab, &["red"]);
    create(t, &lab, &["green"]);
    create(t, &lab, &["-o", "isolate=false", "open"]);
    let dir = site(t, "inside");
    serve(t, &lab, "web", &dir, &["--network", "red", "-p", "8080:80"]);
    serve(t, &lab, "reachable", &dir, &["--network", "open"]);
    let url = format!("http://{}/who", address(t, &lab, "web"));
    let open = format!("http://{}/who", address(t, &lab, "reachable"));
    let fetch = |networks: &[&str], url: &str| {
        let flags = networks.iter().flat_map(|network| ["--network", network]);
        let command = ["--", "timeout", "2", "busybox", "wget", "-q", "-O", "-", url];
        lab.boxr(t, ["run"]).args(flags).args(command).run()
    };
    fetch(&["red"], &url).ok().prints("inside");
    fetch(&["green"], &url).exits(124);
    fetch(&["green"], &open).ok().prints("inside");
    fetch(&["green", "red:interface_name=lan0"], &url).ok().prints("inside");
    // By the published port everybody does.
    fetch(&["green"], &format!("http://{HOST}:8080/who")).ok().prints("inside");
    lab.boxr(t, ["rm", "-f", "web", "reachable"]).run().ok();
    lab.boxr(t, ["network", "prune", "-f"]).run().ok().shows("red\n");
    lab.boxr(t, ["network", "ls", "-q", "--filter", "name=e", "--filter", "driver=macvlan"])
        .run()
        .ok()
        .prints("");
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_running_box_is_connected_and_disconnected(t: &Sandbox) {
    let lab = Lab::new();
    create(t, &lab, &["--subnet", "10.5.0.0/24", "blue"]);
    serve(t, &lab, "web", &site(t, "inside"), &["-p", "8080:80"]);
    lab.boxr(t, ["network", "connect", "--ip", "10.5.0.77", "blue", "web"]).run().ok().prints("");
    lab.fetch("http://10.5.0.77/who").run().ok().prints("inside");
    lab.boxr(t, ["network", "connect", "blue", "web"]).run().exits(1).blames("already on");
    lab.boxr(t, ["inspect", "-f", "{{.NetworkSettings.Networks.blue.IPAddress}}", "web"])
        .run()
        .ok()
        .prints("10.5.0.77\n");
    lab.boxr(t, ["network", "disconnect", "bridge", "web"]).run().ok();
    // The published port has moved with the box.
    wait_until("the port leads there", || lab.fetch("http://127.0.0.1:8080/who").run().status.success());
    lab.boxr(t, ["network", "disconnect", "bridge", "web"]).run().exits(1).blames("not on");
    lab.boxr(t, ["restart", "-t", "0", "web"]).run().ok();
    wait_until("it serves again", || lab.fetch("http://10.5.0.77/who").run().status.success());
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn the_way_out_is_by_the_first_network_that_is_left(t: &Sandbox) {
    let lab = Lab::new();
    create(t, &lab, &["--subnet", "10.5.0.0/24", "red"]);
    create(t, &lab, &["--subnet", "10.6.0.0/24", "--subnet", "fd00:6::/64", "blue"]);
    create(t, &lab, &["--subnet", "10.7.0.0/24", "--internal", "inner"]);
    let networks = ["--network", "red", "--network", "inner"];
    lab.boxr(t, ["run", "-d", "--name", "it"]).args(networks).args(["--", "sleep", "1000"]).run().ok();
    let way_out = |ip: &str| {
        let show = ["exec", "it", "ip", ip, "route", "show", "default"];
        lab.boxr(t, show).run().ok().text().split(" dev").next().unwrap().to_owned()
    };
    let change = |words: [&str; 3]| lab.boxr(t, ["network"]).args(words).run().ok();
    assert_eq!((way_out("-4"), way_out("-6")), ("default via 10.5.0.1".into(), String::new()));
    change(["connect", "blue", "it"]);
    assert_eq!(
        (way_out("-4"), way_out("-6")),
        ("default via 10.5.0.1".into(), "default via fd00:6::1".into())
    );
    change(["disconnect", "red", "it"]);
    assert_eq!(
        (way_out("-4"), way_out("-6")),
        ("default via 10.6.0.1".into(), "default via fd00:6::1".into())
    );
    change(["connect", "red", "it"]);
    assert_eq!(way_out("-4"), "default via 10.6.0.1");
    change(["disconnect", "blue", "it"]);
    assert_eq!((way_out("-4"), way_out("-6")), ("default via 10.5.0.1".into(), String::new()));
    change(["disconnect", "red", "it"]);
    assert_eq!(way_out("-4"), "");
    lab.boxr(t, ["rm", "-f", "it"]).run().ok();
    lab.boxr(t, ["network", "rm", "red", "blue", "inner"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn each_kind_of_address_has_its_way_out(t: &Sandbox) {
    let lab = Lab::new();
    create(t, &lab, &["--subnet", "10.5.0.0/24", "four"]);
    let subnets = ["--subnet", "10.6.0.0/24", "--subnet", "fd00:6::/64", "--subnet", "10.7.0.0/24"];
    create(t, &lab, &[&subnets[..], &["both"]].concat());
    let show = ["--", "sh", "-c", "ip -4 route show default; ip -6 route show default"];
    let run = |networks: &[&str]| lab.boxr(t, ["run"]).args(networks).args(show).run().ok().text();
    let first = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split(" proto").next().unwrap().to_owned()).collect()
    };
    let told = first(&run(&["--network", "four", "--network", "both"]));
    assert_eq!(told, ["default via 10.5.0.1 dev eth0", "default via fd00:6::1 dev eth1"]);
    // One in the second subnet goes out by that one's gateway.
    let told = first(&run(&["--network", "both:ip=10.7.0.9"]));
    assert_eq!(told, ["default via 10.7.0.1 dev eth0", "default via fd00:6::1 dev eth0"]);
    lab.boxr(t, ["network", "rm", "four", "both"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn an_internal_network_leads_nowhere(t: &Sandbox) {
    let lab = Lab::new();
    create(t, &lab, &["--internal", "inner"]);
    let server = lab.serve(80, &site(t, "far"));
    let dir = site(t, "inside");
    serve(t, &lab, "web", &dir, &["--network", "inner"]);
    let url = format!("http://{}/who", address(t, &lab, "web"));
    let fetch = |url: &str| {
        let command = ["--", "timeout", "2", "busybox", "wget", "-q", "-O", "-", url];
        lab.boxr(t, ["run", "--network", "inner"]).args(command).run()
    };
    fetch(&url).ok().prints("inside");
    fetch(&format!("http://{FAR_AWAY}/who")).exits(1);
    lab.boxr(t, ["run", "--network", "inner", "-p", "80", "--", "true"])
        .run()
        .exits(125)
        .blames("not internal");
    server.signal(Signal::TERM);
    server.finish();
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_network_has_addresses_of_ipv6(t: &Sandbox) {
    let lab = Lab::new();
    create(t, &lab, &["--ipv6", "six"]);
    serve(t, &lab, "web", &site(t, "inside"), &["--network", "six", "-p", "8080:80"]);
    let settings = "{{.NetworkSettings.GlobalIPv6Address}}";
    let direct = lab.boxr(t, ["inspect", "-f", settings, "web"]).run().ok().word();
    assert!(direct.starts_with("fd"), "{direct}");
    lab.fetch(&format!("http://[{direct}]/who")).run().ok().prints("inside");
    let url = "http://[2001:db8::2]:8080/who";
    lab.on_internet("busybox").args(["wget", "-q", "-O", "-", url]).run().ok().prints("inside");
    lab.boxr(t, ["port", "web"]).run().ok().prints("80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n");
    let id = lab.boxr(t, ["inspect", "-f", "{{slice .Id 0 12}}", "web"]).run().ok().word();
    let all = format!("{id}\t80/tcp -> 0.0.0.0:8080\n{id}\t80/tcp -> [::]:8080\n");
    lab.boxr(t, ["port", "--all"]).run().ok().prints(&all);
    lab.boxr(t, ["port", "--all", "web"]).run().exits(125).blames("one of them is too many");
    let route = ["exec", "web", "ip", "-6", "route", "show", "default"];
    lab.boxr(t, route).run().ok().shows("default via fd");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn an_address_is_given_once(t: &Sandbox) {
    let lab = Lab::new();
    create(t, &lab, &["--subnet", "10.5.0.0/24", "--ip-range", "10.5.0.248/30", "small"]);
    let hold = ["run", "-d", "--network", "small"];
    let sleep = ["--", "sleep", "1000"];
    let start =
        |name: &str, flags: &[&str]| lab.boxr(t, hold).args(["--name", name]).args(flags).args(sleep).run();
    start("a", &["--ip", "10.5.0.250"]).ok();
    start("b", &["--ip", "10.5.0.250"]).exits(125).blames("10.5.0.250 is in use by container");
    for name in ["c", "d", "e"] {
        start(name, &[]).ok();
    }
    start("f", &[]).exits(125).blames("all addresses");
    // Outside of the range, what is asked for is given.
    start("g", &["--ip", "10.5.0.9"]).ok();
    lab.boxr(t, ["rm", "-f", "a"]).run().ok();
    start("h", &[]).ok();
    lab.boxr(t, ["rm", "-f", "--all"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_network_in_use_stays(t: &Sandbox) {
    let lab = Lab::new();
    create(t, &lab, &["blue"]);
    lab.boxr(t, ["run", "-d", "--name", "a", "--network", "blue", "--", "sleep", "1000"]).run().ok();
    lab.boxr(t, ["network", "rm", "blue"]).run().exits(1).blames("is in use by a\n");
    lab.boxr(t, ["network", "inspect", "-f", "{{range .Containers}}{{.Name}}{{end}}", "blue"])
        .run()
        .ok()
        .prints("a\n");
    lab.boxr(t, ["stop", "-t", "0", "a"]).run().ok();
    // One that does not run has it too.
    lab.boxr(t, ["network", "prune", "-f"]).run().ok().prints("");
    lab.boxr(t, ["network", "rm", "blue"]).run().ok();
    lab.boxr(t, ["start", "a"]).run().exits(1).blames("no network named blue");
    lab.boxr(t, ["rm", "-f", "a"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn senseless_definitions_are_named(t: &Sandbox) {
    let lab = Lab::new();
    create(t, &lab, &["--subnet", "10.5.0.0/16", "blue"]);
    for (args, word) in [
        (vec!["--subnet", "10.5.9.0/24", "x"], "network blue"),
        (vec!["--subnet", "192.0.2.0/25", "x"], "192.0.2.0/24"),
        (vec!["--subnet", "10.6.0.1/24", "x"], "10.6.0.0/24"),
        (vec!["--subnet", "10.6.0.0/24", "--gateway", "10.7.0.1", "x"], "no subnet"),
        (vec!["-d", "overlay", "x"], "macvlan"),
        (vec!["-d", "macvlan", "x"], "parent"),
        (vec!["-o", "parent=up0", "x"], "an option of macvlan"),
        (vec!["-o", "colour=red", "x"], "com.docker.network.bridge.name"),
        (vec!["-o", "mtu=9", "x"], "68"),
        (vec!["host"], "boxr's own"),
        (vec!["../x"], "letters"),
    ] {
        lab.boxr(t, ["network", "create"]).args(&args).run().exits(1).blames(word);
    }
    lab.boxr(t, ["network", "rm", "blue"]).run().ok();
    let left = lab.boxr(t, ["network", "ls", "--format", "{{.Name}}"]).run().ok();
    left.prints("bridge\nhost\nnone\n");
    lab.end(t);
}

fn a_macvlan_box_is_on_the_hosts_wire(t: &Sandbox) {
    let lab = Lab::new();
    create(
        t,
        &lab,
        &["-d", "macvlan", "-o", "parent=up0", "--subnet", "192.0.2.0/24", "--gateway", "192.0.2.1", "lan"],
    );
    let server = lab.serve(80, &site(t, "far"));
    let url = format!("http://{FAR_AWAY}/who");
    let fetch = ["--", "busybox", "wget", "-q", "-O", "-", url.as_str()];
    lab.boxr(t, ["run", "--network", "lan", "--ip", "192.0.2.44"]).args(fetch).run().ok().prints("far");
    server.signal(Signal::TERM);
    let seen = server.finish().errors();
    assert!(seen.contains("192.0.2.44"), "{seen}");
    lab.boxr(t, ["network", "rm", "lan"]).run().ok();
    lab.end(t);
}

fn published_ports_are_shown(t: &Sandbox) {
    let lab = Lab::new();
    serve(t, &lab, "web", &site(t, "inside"), &["-p", "8080:80", "-p", "127.0.0.1:53:53/udp"]);
    lab.boxr(t, ["port", "web"]).run().ok().prints("80/tcp -> 0.0.0.0:8080\n53/udp -> 127.0.0.1:53\n");
    lab.boxr(t, ["port", "web", "80"]).run().ok().prints("0.0.0.0:8080\n");
    lab.boxr(t, ["port", "web", "81"]).run().exits(1).blames("no public port '81' published for web");
    lab.boxr(t, ["ps", "--format", "{{.Ports}}"])
        .run()
        .ok()
        .prints("0.0.0.0:8080->80/tcp, 127.0.0.1:53->53/udp\n");
    let ports = "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}";
    lab.boxr(t, ["inspect", "-f", ports, "web"]).run().ok().prints("8080\n");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn rules_are_reloaded(t: &Sandbox) {
    let lab = Lab::new();
    serve(t, &lab, "web", &site(t, "inside"), &["-p", "8080:80"]);
    lab.boxr(t, ["network", "reload"]).run().ok();
    lab.fetch("http://127.0.0.1:8080/who").run().ok().prints("inside");
    lab.on_host("nft").args(["flush", "ruleset"]).run().ok();
    lab.fetch("http://127.0.0.1:8080/who").run().exits(1);
    lab.boxr(t, ["network", "reload"]).run().ok();
    lab.fetch("http://127.0.0.1:8080/who").run().ok().prints("inside");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

/// Numbers that are the same in every run (xorshift).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn random_steps_leave_nothing(t: &Sandbox) {
    let lab = Lab::new();
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let networks = ["bridge", "n1", "n2", "n3"];
    for _ in 0..200 {
        let network = networks[numbers.below(4) as usize];
        let name = format!("b{}", numbers.below(5));
        let port = format!("{}:80", 9000 + numbers.below(4));
        let step = numbers.below(8);
        let run = ["run", "-d", "--name", &name, "--network", network, "-p", &port, "--", "sleep", "1000"];
        // Whatever comes of it: many a step is refused.
        match step {
            0 => lab.boxr(t, ["network", "create", network]).run(),
            1 => lab.boxr(t, ["network", "rm", network]).run(),
            2 | 3 => lab.boxr(t, run).run(),
            4 => lab.boxr(t, ["network", "connect", network, &name]).run(),
            5 => lab.boxr(t, ["network", "disconnect", network, &name]).run(),
            6 => lab.boxr(t, ["rm", "-f", &name]).run(),
            _ => {
                let running = lab.boxr(t, run).spawn();
                let patience = std::time::Duration::from_micros(numbers.below(20_000));
                // Not a wait for something: the moment of the kill is the step.
                std::thread::sleep(patience);
                running.signal(Signal::KILL);
                running.finish()
            }
        };
    }
    lab.boxr(t, ["rm", "-f", "--all"]).run().ok();
    wait_until("all is removed", || {
        lab.boxr(t, ["rm", "-f", "--all"]).run();
        lab.boxr(t, ["ps", "-a", "-q"]).run().ok().word().is_empty()
    });
    lab.boxr(t, ["network", "prune", "-f"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.boxr(t, ["network", "ls", "--format", "{{.Name}}"]).run().ok().prints("bridge\nhost\nnone\n");
    lab.end(t);
}
