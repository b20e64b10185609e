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
