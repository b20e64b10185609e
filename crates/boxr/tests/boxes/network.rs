//! Networks, on a host of each test's own.

mod bare;
mod beside;
mod docker;
mod forwarder;
mod host_side;
mod images;
mod ipv6;
mod names;
mod options;
mod own;
mod ports;
mod realm;
mod robust;
mod rootless;
mod shared;
mod slirp;
mod sudden;
mod wire;
mod words;

use boxr_testing::lab::{FAR_AWAY, HOST, Lab, NEIGHBOUR};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, leaks, test, wait_until};
use rustix::process::Signal;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_box_reaches_the_internet_by_the_hosts_address, ROOT, NET, BUSYBOX),
    test!(a_published_port_is_reached_from_everywhere, ROOT, NET, BUSYBOX),
    test!(outsiders_reach_published_ports_only, ROOT, NET, BUSYBOX),
    test!(a_port_that_is_in_use_names_its_owner, ROOT, NET, BUSYBOX),
    test!(a_free_port_is_chosen, ROOT, NET, BUSYBOX),
    test!(boxes_that_start_at_once_have_addresses_of_their_own, ROOT, NET),
    test!(what_a_killed_boxr_had_is_given_back, ROOT, NET, BUSYBOX),
    test!(a_monitor_that_is_killed_takes_no_port_along, ROOT, NET, BUSYBOX),
    test!(a_flushed_ruleset_is_made_again, ROOT, NET, BUSYBOX),
    test!(a_box_asks_the_name_servers_it_is_told, ROOT, NET),
    test!(a_failed_start_leaves_no_network, ROOT, NET),
    test!(senseless_networks_are_named, ROOT, NET),
];

pub use bare::TESTS as BARE;
pub use beside::TESTS as BESIDE;
pub use docker::TESTS as DOCKER;
pub use forwarder::TESTS as FORWARDER;
pub use host_side::TESTS as HOST_SIDE;
pub use images::TESTS as OF_IMAGES;
pub use ipv6::TESTS as IPV6;
pub use names::TESTS as NAMES;
pub use options::TESTS as OPTIONS;
pub use own::TESTS as OWN;
pub use ports::TESTS as PORTS;
pub use realm::TESTS as REALM;
pub use robust::TESTS as ROBUST;
pub use rootless::TESTS as ROOTLESS;
pub use rootless::assert_nothing_left as assert_no_helper_left;
pub use shared::TESTS as SHARED;
pub use slirp::TESTS as SLIRP;
pub use sudden::TESTS as SUDDEN;
pub use wire::TESTS as WIRE;
pub use words::TESTS as WORDS;

const ROOT: Need = Need::Root;
const NET: Need = Need::Networks;
const BUSYBOX: Need = Need::Tool(Tool::Busybox);

/// A directory with a file `who` that says `text`.
fn site(t: &Sandbox, text: &str) -> String {
    let dir = t.path(text);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("who"), text).unwrap();
    dir.to_str().unwrap().to_owned()
}

/// A box that serves `dir` on port 80 with these flags.
#[track_caller]
fn serve(t: &Sandbox, lab: &Lab, name: &str, dir: &str, flags: &[&str]) {
    let server = ["--", "busybox", "httpd", "-f", "-v", "-p", "80", "-h", dir];
    lab.boxr(t, ["run", "-d", "--name", name]).args(flags).args(server).run().ok();
    wait_until("the box serves", || {
        let out =
            lab.boxr(t, ["exec", name, "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1/who"]).run();
        out.status.success()
    });
}

#[track_caller]
fn address(t: &Sandbox, lab: &Lab, name: &str) -> String {
    let out = lab.boxr(t, ["exec", name, "ip", "-4", "-o", "addr", "show", "eth0"]).run().ok().text();
    out.split_whitespace()
        .skip_while(|word| *word != "inet")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned()
}

/// Lays a file of the test's over the host's /etc/resolv.conf, until [`take_resolver_file`]; its path.
#[track_caller]
pub fn lay_resolver_file(t: &Sandbox, lab: &Lab, text: &str) -> String {
    let file = t.file("resolv.conf", text);
    lab.on_host("mount").args(["--bind", &file, "/etc/resolv.conf"]).run().ok();
    file
}

#[track_caller]
pub fn take_resolver_file(lab: &Lab) {
    lab.on_host("umount").args(["/etc/resolv.conf"]).run().ok();
}

/// No pair, no published port and no address of a box is left.
#[track_caller]
pub fn assert_no_network_left(t: &Sandbox, lab: &Lab) {
    // The kernel takes namespaces down when it has time.
    wait_until("no pair is left", || {
        !lab.on_host("ip").args(["-o", "link"]).run().ok().text().contains(": bx")
    });
    let rules = lab.on_host("nft").args(["list", "table", "inet", "boxr"]).run().text();
    let maps = rules.split("\tchain").next().unwrap();
    assert!(!maps.contains(" : 10."), "{maps}");
    let left = leaks::files_below(&t.layout().state.join("network"));
    let is_hint =
        |path: &std::path::Path| path.ends_with("resolver") || path.to_string_lossy().contains("/last");
    let left: Vec<_> = left.iter().filter(|path| !is_hint(path)).collect();
    assert!(left.is_empty(), "left on disk: {left:?}");
}

fn a_box_reaches_the_internet_by_the_hosts_address(t: &Sandbox) {
    let lab = Lab::new();
    let server = lab.serve(80, &site(t, "far"));
    let url = format!("http://{FAR_AWAY}/who");
    let fetch = ["--", "busybox", "wget", "-q", "-O", "-", url.as_str()];
    lab.boxr(t, ["run", "--network", "bridge"]).args(fetch).run().ok().prints("far");
    server.signal(Signal::TERM);
    let seen = server.finish().errors();
    assert!(seen.contains(HOST), "{seen}");
    lab.boxr(t, ["run", "--network", "none"]).args(fetch).run().exits(1);
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_published_port_is_reached_from_everywhere(t: &Sandbox) {
    let lab = Lab::new();
    serve(t, &lab, "web", &site(t, "inside"), &["-p", "8080:80", "-p", "127.0.0.1:8081:80"]);
    let url = format!("http://{HOST}:8080/who");
    lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
    wait_until("the log tells who came", || {
        lab.boxr(t, ["logs", "web"]).run().ok().errors().contains(NEIGHBOUR)
    });
    lab.fetch(&url).run().ok().prints("inside");
    lab.fetch("http://127.0.0.1:8080/who").run().ok().prints("inside");
    lab.boxr(t, ["exec", "web", "busybox", "wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
    // On the loopback address only.
    lab.fetch("http://127.0.0.1:8081/who").run().ok().prints("inside");
    lab.fetch(&format!("http://{HOST}:8081/who")).run().exits(1);
    // Another box on the same bridge, by the host's address and by the box's own.
    let other = |url: &str| {
        lab.boxr(t, ["run", "--network", "bridge", "--", "busybox", "wget", "-q", "-O", "-", url]).run()
    };
    other(&url).ok().prints("inside");
    other(&format!("http://{}/who", address(t, &lab, "web"))).ok().prints("inside");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    lab.fetch("http://127.0.0.1:8080/who").run().exits(1);
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn outsiders_reach_published_ports_only(t: &Sandbox) {
    let lab = Lab::new();
    serve(t, &lab, "web", &site(t, "inside"), &["-p", "8080:80"]);
    let direct = address(t, &lab, "web");
    lab.on_internet("ip").args(["route", "add", "10.0.0.0/8", "via", HOST]).run().ok();
    let fetch = |url: String| {
        lab.on_internet("timeout").args(["2", "busybox", "wget", "-q", "-O", "-", url.as_str()]).run()
    };
    fetch(format!("http://{direct}/who")).exits(124);
    fetch(format!("http://{HOST}:8080/who")).ok().prints("inside");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    lab.end(t);
}

fn a_port_that_is_in_use_names_its_owner(t: &Sandbox) {
    let lab = Lab::new();
    let dir = site(t, "inside");
    serve(t, &lab, "web", &dir, &["-p", "8080:80"]);
    lab.boxr(t, ["run", "-p", "8080:80", "--", "true"])
        .run()
        .exits(125)
        .blames("8080/tcp is in use by container web");
    let narrower = ["run", "-p", "127.0.0.1:8080:80", "--", "true"];
    lab.boxr(t, narrower).run().exits(125).blames("container web");
    // Another protocol is another port, and a choice takes the next one.
    lab.boxr(t, ["run", "-p", "8080:80/udp", "--", "true"]).run().ok();
    lab.boxr(t, ["run", "-p", "8080-8081:80", "--", "true"]).run().ok();
    // Programs of the host's are told, and tell.
    lab.on_host("busybox").args(["httpd", "-f", "-p", "8080"]).run().exits(1);
    let server = lab.on_host("busybox").args(["httpd", "-f", "-p", "8090", "-h", &dir]).spawn();
    wait_until("it listens", || lab.fetch("http://127.0.0.1:8090/who").run().status.success());
    lab.boxr(t, ["run", "-p", "8090:80", "--", "true"])
        .run()
        .exits(125)
        .blames("8090/tcp is in use by busybox (process");
    server.signal(Signal::TERM);
    server.finish();
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_free_port_is_chosen(t: &Sandbox) {
    let lab = Lab::new();
    serve(t, &lab, "web", &site(t, "inside"), &["-p", "80", "--expose", "81/udp", "-P"]);
    let rules = lab.on_host("nft").args(["list", "map", "inet", "boxr", "ports4"]).run().ok().text();
    let port = rules.split("tcp . ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(rules.contains("udp . "), "{rules}");
    lab.fetch(&format!("http://127.0.0.1:{port}/who")).run().ok().prints("inside");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn boxes_that_start_at_once_have_addresses_of_their_own(t: &Sandbox) {
    let lab = Lab::new();
    let show = ["run", "--network", "bridge", "--", "sh", "-c", "ip -4 -o addr show eth0; read -r _ || true"];
    let mut boxes: Vec<_> = (0..50).map(|_| lab.boxr(t, show).spawn()).collect();
    boxes.iter_mut().for_each(|running| running.expect("inet 10."));
    let mut addresses: Vec<String> = boxes
        .into_iter()
        .map(|mut running| {
            running.close_stdin();
            running.finish().ok().text().split_whitespace().nth(3).unwrap().to_owned()
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 50, "{addresses:?}");
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn what_a_killed_boxr_had_is_given_back(t: &Sandbox) {
    let lab = Lab::new();
    let mut running = lab
        .boxr(
            t,
            ["run", "--name", "dead", "--die-with-parent", "-p", "8080:80", "--", "sh", "-c", "echo up; cat"],
        )
        .spawn();
    running.expect("up");
    let supervisor = lab.boxr(t, ["inspect", "-f", "{{.State.Pid}}", "dead"]).run().ok().word();
    let children = std::fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
    assert!(!children.is_empty());
    running.signal(Signal::KILL);
    running.finish().killed_by(Signal::KILL);
    // Whoever wants the port gets it, and a listing clears the rest.
    wait_until("the port is free", || {
        lab.boxr(t, ["run", "-p", "8080:80", "--", "true"]).run().status.success()
    });
    lab.boxr(t, ["ps", "-a", "-q"]).run().ok().prints("");
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_monitor_that_is_killed_takes_no_port_along(t: &Sandbox) {
    let lab = Lab::new();
    serve(t, &lab, "web", &site(t, "inside"), &["-p", "8080:80"]);
    for _ in 0..2 {
        let id = lab.boxr(t, ["inspect", "-f", "{{.Id}}", "web"]).run().ok().word();
        let state =
            std::fs::read_to_string(t.layout().state.join("containers").join(id).join("state.json")).unwrap();
        let pid =
            state.split("\"supervisor\":{\"pid\":").nth(1).unwrap().split(',').next().unwrap().to_owned();
        Cmd::new("kill").args(["-9", &pid]).run().ok();
        wait_until("another looks after it", || {
            lab.boxr(t, ["ps", "-q"]).run().ok();
            !std::path::Path::new(&format!("/proc/{pid}")).exists()
        });
        lab.fetch("http://127.0.0.1:8080/who").run().ok().prints("inside");
        lab.boxr(t, ["run", "-p", "8080:80", "--", "true"]).run().exits(125).blames("container web");
    }
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_flushed_ruleset_is_made_again(t: &Sandbox) {
    let lab = Lab::new();
    let server = lab.serve(80, &site(t, "far"));
    let url = format!("http://{FAR_AWAY}/who");
    let fetch = || {
        lab.boxr(t, ["run", "--network", "bridge", "--", "busybox", "wget", "-q", "-O", "-", url.as_str()])
            .run()
    };
    fetch().ok().prints("far");
    lab.on_host("nft").args(["flush", "ruleset"]).run().ok();
    fetch().ok().prints("far");
    lab.on_host("nft").args(["delete", "chain", "inet", "boxr", "arrive"]).run();
    lab.on_host("ip").args(["link", "del", "boxr0"]).run().ok();
    fetch().ok().prints("far");
    server.signal(Signal::TERM);
    server.finish();
    lab.end(t);
}

fn a_box_asks_the_name_servers_it_is_told(t: &Sandbox) {
    let lab = Lab::new();
    let flags = ["--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-option", "ndots:3"];
    lab.boxr(t, ["run", "--network", "bridge"])
        .args(flags)
        .args(["--", "cat", "/etc/resolv.conf"])
        .run()
        .ok()
        .prints("search example.org\nnameserver 192.0.2.53\noptions ndots:3\n");
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_failed_start_leaves_no_network(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["run", "-p", "8080:80", "--", "/no/such/program"]).run().exits(127);
    assert_no_network_left(t, &lab);
    lab.boxr(t, ["run", "-d", "-p", "8080:80", "--", "/no/such/program"]).run().exits(127);
    lab.boxr(t, ["rm", "-f", "--all"]).run();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn senseless_networks_are_named(t: &Sandbox) {
    let lab = Lab::new();
    for (flags, word) in [
        (vec!["--network", "blue"], "no network named blue"),
        (vec!["--network", "host", "-p", "80"], "--publish"),
        (vec!["--network", "bridge:ip=192.0.2.9"], "192.0.2.9"),
        (vec!["--network", "bridge", "--ip", "10.88.0.1"], "gateway"),
        (vec!["--network", "bridge", "--network", "bridge"], "named twice"),
        (vec!["-p", "203.0.113.5:80:80"], "no device of the host"),
        (vec!["-p", "80:"], "missing"),
        (vec!["--network", "bridge", "--mac-address", "01:00:00:00:00:01"], "groups"),
    ] {
        lab.boxr(t, ["run"]).args(&flags).args(["--", "true"]).run().exits(125).blames(word);
    }
    assert_no_network_left(t, &lab);
    lab.end(t);
}
