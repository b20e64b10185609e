//! What `network create --opt` changes, with packets.

use boxr_testing::lab::{FAR_AWAY, HOST, Lab, NEIGHBOUR};
use boxr_testing::{Output, Sandbox, Test, test, wait_until};
use rustix::process::Signal;

use super::own::create;
use super::realm::User;
use super::rootless::{PASTA, SETPRIV};
use super::{BUSYBOX, NET, ROOT, address, assert_no_network_left, serve, site};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(boxes_without_icc_reach_everything_but_each_other, ROOT, NET, BUSYBOX),
    test!(boxes_stay_apart_when_bridges_are_filtered_no_longer, ROOT, NET, BUSYBOX),
    test!(a_users_boxes_without_icc_reach_everything_but_each_other, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(what_leaves_without_masquerade_keeps_its_address, ROOT, NET, BUSYBOX),
    test!(the_way_out_is_by_the_lowest_metric, ROOT, NET, BUSYBOX),
    test!(a_users_way_out_is_by_the_lowest_metric, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(a_network_without_default_route_leads_nowhere_else, ROOT, NET, BUSYBOX),
    test!(devices_are_named_as_the_network_says, ROOT, NET),
];

const NO_ICC: &str = "com.docker.network.bridge.enable_icc=false";
const NO_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade=false";

/// Whether bridges show their packets to the firewall. Where the kernel has no br_netfilter they do not.
#[track_caller]
fn filter_bridges(lab: &Lab, yes: bool) {
    let script = format!(
        "for f in /proc/sys/net/bridge/bridge-nf-call-ip*; do [ ! -e $f ] || echo {} >$f; done",
        u8::from(yes)
    );
    lab.on_host("sh").args(["-c", &script]).run().ok();
}

/// What a new box on the network gets from `url` within two seconds.
fn fetch(t: &Sandbox, lab: &Lab, network: &str, url: &str) -> Output {
    let command = ["--", "timeout", "2", "busybox", "wget", "-q", "-O", "-", url];
    lab.boxr(t, ["run", "--network", network]).args(command).run()
}

fn boxes_without_icc_reach_everything_but_each_other(t: &Sandbox) {
    let lab = Lab::new();
    let server = lab.serve(80, &site(t, "far"));
    let subnets = ["--subnet", "10.5.0.0/24", "--subnet", "fd00:5::/64"];
    create(t, &lab, &[&subnets[..], &["-o", NO_ICC, "apart"]].concat());
    let shown = format!("{{{{index .Options \"{}\"}}}}", NO_ICC.split('=').next().unwrap());
    lab.boxr(t, ["network", "inspect", "-f", &shown, "apart"]).run().ok().prints("false\n");
    let dir = site(t, "inside");
    for filtered in [true, false] {
        filter_bridges(&lab, filtered);
        serve(t, &lab, "web", &dir, &["--network", "apart", "-p", "8080:80"]);
        let ip = address(t, &lab, "web");
        let settings = "{{.NetworkSettings.Networks.apart.GlobalIPv6Address}}";
        let ip6 = lab.boxr(t, ["inspect", "-f", settings, "web"]).run().ok().word();
        for url in [format!("http://{ip}/who"), format!("http://[{ip6}]/who")] {
            lab.fetch(&url).run().ok().prints("inside");
            fetch(t, &lab, "apart", &url).exits(124);
        }
        // Nor by the host, which would lead the way.
        let around =
            format!("ip route add {ip}/32 via 10.5.0.1; timeout 2 busybox wget -q -O - http://{ip}/who");
        let run = ["run", "--network", "apart", "--cap-add", "NET_ADMIN", "--", "sh", "-c", &around];
        lab.boxr(t, run).run().exits(124);
        fetch(t, &lab, "apart", &format!("http://{FAR_AWAY}/who")).ok().prints("far");
        lab.boxr(t, ["run", "--network", "apart", "--", "busybox", "nslookup", "web"]).run().ok().shows(&ip);
        // By the published port everybody does: from outside, a neighbour, itself.
        let url = format!("http://{HOST}:8080/who");
        lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
        fetch(t, &lab, "apart", &url).ok().prints("inside");
        lab.boxr(t, ["exec", "web", "timeout", "2", "busybox", "wget", "-q", "-O", "-", &url])
            .run()
            .ok()
            .prints("inside");
        lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    }
    let both = ["network", "create", "-o", NO_ICC, "-o", "isolate=false", "x"];
    lab.boxr(t, both).run().exits(1).blames("does not go with enable_icc=false");
    server.signal(Signal::TERM);
    server.finish();
    lab.boxr(t, ["network", "rm", "apart"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn boxes_stay_apart_when_bridges_are_filtered_no_longer(t: &Sandbox) {
    let lab = Lab::new();
    create(t, &lab, &["--subnet", "10.5.0.0/24", "-o", NO_ICC, "apart"]);
    let dir = site(t, "inside");
    for filtered in [true, false] {
        filter_bridges(&lab, filtered);
        serve(t, &lab, "web", &dir, &["--network", "apart", "-p", "8080:80"]);
        let rest = ["--network", "apart", "--", "sleep", "1000"];
        lab.boxr(t, ["run", "-d", "--name", "other"]).args(rest).run().ok();
        filter_bridges(&lab, !filtered);
        lab.boxr(t, ["network", "reload"]).run().ok();
        let get = |url: &str| {
            lab.boxr(t, ["exec", "other", "timeout", "2", "busybox", "wget", "-q", "-O", "-", url]).run()
        };
        get(&format!("http://{}/who", address(t, &lab, "web"))).exits(124);
        get(&format!("http://{HOST}:8080/who")).ok().prints("inside");
        lab.boxr(t, ["rm", "-f", "web", "other"]).run().ok();
    }
    lab.boxr(t, ["network", "rm", "apart"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_users_boxes_without_icc_reach_everything_but_each_other(t: &Sandbox) {
    let user = User::on(t, Lab::for_users());
    let server = user.lab.serve(80, &site(t, "far"));
    user.boxr(&["network", "create", "--subnet", "10.5.0.0/24", "-o", NO_ICC, "apart"]).run().ok();
    user.serve("web", &site(t, "inside"), &["--network", "apart", "-p", "8080:80"]);
    assert!(!user.fetch("apart", "http://10.5.0.2/who").status.success());
    user.fetch("apart", &format!("http://{FAR_AWAY}/who")).ok().prints("far");
    user.boxr(&["run", "--network", "apart", "--", "busybox", "nslookup", "web"])
        .run()
        .ok()
        .shows("10.5.0.2");
    let url = format!("http://{HOST}:8080/who");
    user.fetch("apart", &url).ok().prints("inside");
    user.lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
    user.boxr(&["exec", "web", "busybox", "wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
    // A reload sets ports again.
    user.boxr(&["network", "reload"]).run().ok();
    assert!(!user.fetch("apart", "http://10.5.0.2/who").status.success());
    user.boxr(&["rm", "-f", "web"]).run().ok();
    server.signal(Signal::TERM);
    server.finish();
    user.end();
}

fn what_leaves_without_masquerade_keeps_its_address(t: &Sandbox) {
    let lab = Lab::new();
    let server = lab.serve(80, &site(t, "far"));
    create(t, &lab, &["--subnet", "10.5.0.0/24", "-o", NO_MASQUERADE, "routed"]);
    let far = format!("http://{FAR_AWAY}/who");
    // The answer needs a way back.
    fetch(t, &lab, "routed", &far).exits(124);
    lab.on_internet("ip").args(["route", "add", "10.5.0.0/24", "via", HOST]).run().ok();
    fetch(t, &lab, "routed", &far).ok().prints("far");
    let dir = site(t, "inside");
    let url = format!("http://{HOST}:8080/who");
    for filtered in [true, false] {
        filter_bridges(&lab, filtered);
        serve(t, &lab, "web", &dir, &["--network", "routed", "-p", "8080:80"]);
        lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
        wait_until("the log tells who came", || {
            lab.boxr(t, ["logs", "web"]).run().ok().errors().contains(NEIGHBOUR)
        });
        lab.fetch("http://127.0.0.1:8080/who").run().ok().prints("inside");
        // A neighbour, itself, and a box of another network.
        fetch(t, &lab, "routed", &url).ok().prints("inside");
        fetch(t, &lab, "bridge", &url).ok().prints("inside");
        lab.boxr(t, ["exec", "web", "timeout", "2", "busybox", "wget", "-q", "-O", "-", &url])
            .run()
            .ok()
            .prints("inside");
        // Nothing else leads in.
        let direct = format!("http://{}/who", address(t, &lab, "web"));
        lab.on_internet("timeout").args(["2", "busybox", "wget", "-q", "-O", "-", &direct]).run().exits(124);
        let way = lab.boxr(t, ["network", "explain", "web"]).run().ok().text();
        assert!(way.contains("10.5.0.0/24 keeps its address"), "{way}");
        lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    }
    server.signal(Signal::TERM);
    let seen = server.finish().errors();
    assert!(seen.contains("10.5.0.") && !seen.contains(HOST), "{seen}");
    lab.boxr(t, ["network", "rm", "routed"]).run().ok();
    let rules = lab.on_host("nft").args(["list", "set", "inet", "boxr", "kept4"]).run().ok().text();
    assert!(!rules.contains("10.5.0"), "{rules}");
    assert_no_network_left(t, &lab);
    lab.end(t);
}

/// Default routes of IPv4 and of IPv6, without what the kernel says of them besides.
fn ways_out(output: &Output) -> Vec<String> {
    let plain = |line: &str| line.replace(" proto static", "").replace(" pref medium", "").trim().to_owned();
    output.text().lines().map(plain).collect()
}

const ROUTES: &str = "ip -4 route show default; ip -6 route show default";

fn the_way_out_is_by_the_lowest_metric(t: &Sandbox) {
    let lab = Lab::new();
    let server = lab.serve(80, &site(t, "far"));
    create(t, &lab, &["--subnet", "10.5.0.0/24", "--subnet", "fd00:5::/64", "usual"]);
    create(t, &lab, &["--subnet", "10.6.0.0/24", "--subnet", "fd00:6::/64", "-o", "metric=50", "low"]);
    create(t, &lab, &["--subnet", "10.7.0.0/24", "--subnet", "fd00:7::/64", "-o", "metric=200", "high"]);
    let networks = ["--network", "high", "--network", "usual"];
    lab.boxr(t, ["run", "-d", "--name", "it"]).args(networks).args(["--", "sleep", "1000"]).run().ok();
    let far = format!("http://{FAR_AWAY}/who");
    let shows = |expected: [&str; 2]| {
        assert_eq!(ways_out(&lab.boxr(t, ["exec", "it", "sh", "-c", ROUTES]).run().ok()), expected);
        let fetch = ["exec", "it", "timeout", "2", "busybox", "wget", "-q", "-O", "-", &far];
        lab.boxr(t, fetch).run().ok().prints("far");
    };
    let change = |words: [&str; 3]| lab.boxr(t, ["network"]).args(words).run().ok();
    shows(["default via 10.5.0.1 dev eth1", "default via fd00:5::1 dev eth1 metric 1024"]);
    change(["connect", "low", "it"]);
    shows(["default via 10.6.0.1 dev eth2 metric 50", "default via fd00:6::1 dev eth2 metric 50"]);
    let way = lab.boxr(t, ["network", "explain", "it"]).run().ok().text();
    assert!(way.contains("10.6.0.0/24"), "{way}");
    change(["disconnect", "low", "it"]);
    shows(["default via 10.5.0.1 dev eth1", "default via fd00:5::1 dev eth1 metric 1024"]);
    change(["disconnect", "usual", "it"]);
    shows(["default via 10.7.0.1 dev eth0 metric 200", "default via fd00:7::1 dev eth0 metric 200"]);
    lab.boxr(t, ["restart", "-t", "0", "it"]).run().ok();
    shows(["default via 10.7.0.1 dev eth0 metric 200", "default via fd00:7::1 dev eth0 metric 200"]);
    change(["connect", "usual", "it"]);
    shows(["default via 10.5.0.1 dev eth1", "default via fd00:5::1 dev eth1 metric 1024"]);
    server.signal(Signal::TERM);
    server.finish();
    lab.boxr(t, ["rm", "-f", "it"]).run().ok();
    lab.boxr(t, ["network", "rm", "usual", "low", "high"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_users_way_out_is_by_the_lowest_metric(t: &Sandbox) {
    let user = User::on(t, Lab::for_users());
    let server = user.lab.serve(80, &site(t, "far"));
    user.boxr(&["network", "create", "--subnet", "10.5.0.0/24", "-o", "no_default_route=1", "none0"])
        .run()
        .ok();
    user.boxr(&["network", "create", "--subnet", "10.6.0.0/24", "usual"]).run().ok();
    user.boxr(&["network", "create", "--subnet", "10.7.0.0/24", "-o", "metric=50", "low"]).run().ok();
    let networks = ["--network", "none0", "--network", "usual", "--network", "low"];
    let script = format!("{ROUTES}; timeout 5 busybox wget -q -O - http://{FAR_AWAY}/who");
    let seen = user.boxr(&["run"]).args(networks).args(["--", "sh", "-c", &script]).run().ok();
    assert_eq!(ways_out(&seen), ["default via 10.7.0.1 dev eth2 metric 50", "far"]);
    server.signal(Signal::TERM);
    server.finish();
    user.end();
}

fn a_network_without_default_route_leads_nowhere_else(t: &Sandbox) {
    let lab = Lab::new();
    let server = lab.serve(80, &site(t, "far"));
    create(t, &lab, &["--subnet", "10.5.0.0/24", "-o", "no_default_route=1", "-o", "metric=7", "near"]);
    create(t, &lab, &["--subnet", "10.6.0.0/24", "out"]);
    let dir = site(t, "inside");
    serve(t, &lab, "web", &dir, &["--network", "near"]);
    lab.boxr(t, ["exec", "web", "ip", "route", "show", "default"]).run().ok().prints("");
    fetch(t, &lab, "near", "http://web/who").ok().prints("inside");
    let far = format!("http://{FAR_AWAY}/who");
    fetch(t, &lab, "near", &far).exits(1);
    let refused = lab.boxr(t, ["run", "--network", "near", "-p", "80", "--", "true"]).run();
    refused.exits(125).blames("have a default route");
    // The next network is the way out, and its ports lead there.
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    serve(t, &lab, "web", &dir, &["--network", "near", "--network", "out", "-p", "8080:80"]);
    let url = format!("http://{HOST}:8080/who");
    lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
    lab.boxr(t, ["exec", "web", "busybox", "wget", "-q", "-O", "-", &far]).run().ok().prints("far");
    lab.boxr(t, ["network", "disconnect", "out", "web"]).run().ok();
    lab.boxr(t, ["exec", "web", "ip", "route", "show", "default"]).run().ok().prints("");
    server.signal(Signal::TERM);
    server.finish();
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    lab.boxr(t, ["network", "rm", "near", "out"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn devices_are_named_as_the_network_says(t: &Sandbox) {
    let lab = Lab::new();
    let prefix = "com.docker.network.container_iface_prefix=lan";
    create(t, &lab, &["--subnet", "10.5.0.0/24", "-o", prefix, "one"]);
    create(t, &lab, &["--subnet", "10.6.0.0/24", "-o", prefix, "two"]);
    create(t, &lab, &["--subnet", "10.7.0.0/24", "three"]);
    let networks = ["one", "three", "two:interface_name=own"].map(|network| ["--network", network]).concat();
    lab.boxr(t, ["run", "-d", "--name", "it"]).args(&networks).args(["--", "sleep", "1000"]).run().ok();
    let names = || {
        let list = lab.boxr(t, ["exec", "it", "ip", "-4", "-o", "addr"]).run().ok().text();
        let word = |line: &str| line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        list.lines().map(word).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["lo", "lan0", "eth0", "own"]);
    lab.boxr(t, ["network", "disconnect", "two", "it"]).run().ok();
    lab.boxr(t, ["network", "connect", "two", "it"]).run().ok();
    assert_eq!(names(), ["lo", "lan0", "eth0", "lan1"]);
    lab.boxr(t, ["rm", "-f", "it"]).run().ok();
    lab.boxr(t, ["network", "rm", "one", "two", "three"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}
