//! boxr's rules beside others', and what the ways of packets are said to be.

use boxr_testing::lab::{FAR_AWAY, HOST, Lab};
use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::Signal;

use super::{BUSYBOX, NET, ROOT, address, assert_no_network_left, serve, site};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(the_way_to_a_port_is_told_station_by_station, ROOT, NET, BUSYBOX),
    test!(what_is_in_the_way_is_named, ROOT, NET, BUSYBOX),
    test!(rules_of_others_that_drop_are_named_with_what_lets_boxes_through, ROOT, NET, BUSYBOX, IPTABLES),
    test!(firewalld_lets_ports_through_and_all_where_its_zone_is_told, ROOT, NET, BUSYBOX),
    test!(doctor_knows_what_networks_need, ROOT, NET, IPTABLES),
];

const IPTABLES: Need = Need::Tool(Tool::Iptables);

fn the_way_to_a_port_is_told_station_by_station(t: &Sandbox) {
    let lab = Lab::new();
    serve(t, &lab, "web", &site(t, "inside"), &["-p", "8080:80"]);
    let ip = address(t, &lab, "web");
    let told = lab.boxr(t, ["network", "explain", "8080"]).run().ok();
    for word in [
        "is held",
        "ip_forward is 1",
        &format!("map ports4: tcp . 8080 : {ip} . 80"),
        "ct status dnat accept",
        "boxr0 is up",
        &format!("eth0 of the container has {ip}"),
        "busybox (process",
    ] {
        assert!(told.text().contains(word), "{word}: {}", told.text());
    }
    lab.boxr(t, ["network", "explain", "web"]).run().ok().shows("masquerade").shows("8080");
    lab.boxr(t, ["network", "explain", "--json", "web"]).run().ok().shows("\"verdict\": \"ok\"");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn what_is_in_the_way_is_named(t: &Sandbox) {
    let lab = Lab::new();
    let dir = site(t, "inside");
    serve(t, &lab, "web", &dir, &["-p", "8080:80", "-p", "8081:81", "-p", "8082:82"]);
    let explain = |word: &str| lab.boxr(t, ["network", "explain", word]).run();
    explain("8081").exits(1).shows("nothing listens in the container on 81/tcp");
    let server = ["busybox", "httpd", "-f", "-p", "127.0.0.1:82", "-h", &dir];
    let local = lab.boxr(t, ["exec", "web"]).args(server).spawn();
    wait_until("it is seen", || explain("8082").text().contains("loopback interface only"));
    local.signal(Signal::TERM);
    local.finish();
    for (words, told) in [
        ("nft flush chain inet boxr forward", "chain forward: 0 of 5 rules"),
        ("nft delete element inet boxr ports4 { tcp . 8080 }", "the element is missing"),
        ("nft flush ruleset", "0 of"),
    ] {
        lab.on_host(words.split(' ').next().unwrap()).args(words.split(' ').skip(1)).run().ok();
        explain("8080").exits(1).shows(told).shows("boxr network reload");
        lab.boxr(t, ["network", "reload"]).run().ok();
        explain("8080").ok();
        lab.fetch(&format!("http://{HOST}:8080/who")).run().ok().prints("inside");
    }
    lab.on_host("ip").args(["link", "set", "boxr0", "down"]).run().ok();
    explain("8080").exits(1).shows("boxr0 is down");
    lab.on_host("ip").args(["link", "set", "boxr0", "up"]).run().ok();
    lab.on_host("sh").args(["-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"]).run().ok();
    explain("web").exits(1).shows("the host forwards nothing");
    explain("99").exits(1).blames("no container that runs has published it");
    explain("nobody").exits(1).blames("nobody");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn rules_of_others_that_drop_are_named_with_what_lets_boxes_through(t: &Sandbox) {
    let lab = Lab::new();
    let server = lab.serve(80, &site(t, "far"));
    lab.on_host("iptables").args(["-P", "FORWARD", "DROP"]).run().ok();
    {
        let name = "web".to_owned();
        serve(t, &lab, &name, &site(t, &name), &["-p", "8080:80"]);
        let url = format!("http://{HOST}:8080/who");
        let far = format!("http://{FAR_AWAY}/who");
        let from_internet =
            || lab.on_internet("timeout").args(["2", "busybox", "wget", "-q", "-O", "-", &url]).run();
        let out =
            || lab.boxr(t, ["exec", &name, "timeout", "2", "busybox", "wget", "-q", "-O", "-", &far]).run();
        assert!(!from_internet().status.success() && !out().status.success());
        let told = lab.boxr(t, ["network", "explain", "8080"]).run().text();
        assert!(told.contains("may drop") && told.contains("chain FORWARD"), "{told}");
        // What it says is what helps.
        let remedy = told.lines().find_map(|line| line.trim().strip_prefix("try: ")).unwrap().to_owned();
        assert!(remedy.starts_with("iptables -I FORWARD"), "{remedy}");
        lab.on_host("sh").args(["-c", &remedy]).run().ok();
        from_internet().ok().prints(&name);
        out().ok().prints("far");
        lab.on_host("sh").args(["-c", &remedy.replace("-I", "-D")]).run().ok();
        lab.boxr(t, ["rm", "-f", &name]).run().ok();
    }
    server.signal(Signal::TERM);
    server.finish();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

/// What firewalld 1.3 makes where the default zone is `public` (its hooks, its order, and what it refuses).
const FIREWALLD: &str = "table inet firewalld {
    chain filter_INPUT {
        type filter hook input priority 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname lo accept
        ct state invalid drop
        jump filter_INPUT_ZONES
        reject with icmpx admin-prohibited
    }
    chain filter_INPUT_ZONES { goto filter_IN_public; }
    chain filter_IN_public {
        tcp dport 22 accept
        meta l4proto { icmp, ipv6-icmp } accept
        reject with icmpx admin-prohibited
    }
    chain filter_FORWARD {
        type filter hook forward priority 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname lo accept
        ct state invalid drop
        jump filter_FORWARD_ZONES
        reject with icmpx admin-prohibited
    }
    chain filter_FORWARD_ZONES { goto filter_FWD_public; }
    chain filter_FWD_public { reject with icmpx admin-prohibited; }
    chain filter_IN_trusted { accept; }
    chain filter_FWD_trusted { accept; }
}
";

fn firewalld_lets_ports_through_and_all_where_its_zone_is_told(t: &Sandbox) {
    let lab = Lab::new();
    let server = lab.serve(80, &site(t, "far"));
    let rules = t.file("firewalld.nft", FIREWALLD);
    lab.on_host("nft").args(["-f", &rules]).run().ok();
    let create = ["network", "create", "--opt", "com.docker.network.bridge.name=blue0", "blue"];
    lab.boxr(t, create).run().ok();
    serve(t, &lab, "web", &site(t, "inside"), &["--network", "blue", "-p", "8080:80"]);
    let fetch = |url: &str| ["timeout", "5", "busybox", "wget", "-q", "-O", "-", url].map(str::to_owned);
    let (far, port) = (format!("http://{FAR_AWAY}/who"), format!("http://{HOST}:8080/who"));
    let out = |url: &str| lab.boxr(t, ["exec", "web"]).args(fetch(url)).run();
    let neighbour = || lab.boxr(t, ["run", "--network", "blue", "--"]).args(fetch("http://web/who")).run();
    // Ports are let through by firewalld's own rule; nothing else is before the zone is told.
    lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &port]).run().ok().prints("inside");
    out(&port).ok().prints("inside");
    assert!(!out(&far).status.success() && !neighbour().status.success());
    let remedy = "firewall-cmd --permanent --zone=trusted --add-interface=";
    lab.boxr(t, ["network", "explain", "web"]).run().shows(&format!("try: {remedy}blue0"));
    lab.boxr(t, ["doctor", "network"]).run().shows(&format!("try: {remedy}"));
    // What firewalld does then.
    for way in ["INPUT_ZONES iifname blue0 goto filter_IN", "FORWARD_ZONES iifname blue0 goto filter_FWD"] {
        let words = format!("insert rule inet firewalld filter_{way}_trusted");
        lab.on_host("nft").args(words.split(' ')).run().ok();
    }
    out(&far).ok().prints("far");
    neighbour().ok().prints("inside");
    // A reload of its rules, which removes and makes its own table, takes nothing of boxr's along.
    lab.on_host("nft").args(["delete", "table", "inet", "firewalld"]).run().ok();
    lab.on_host("nft").args(["-f", &rules]).run().ok();
    lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &port]).run().ok().prints("inside");
    lab.on_host("nft").args(["delete", "table", "inet", "firewalld"]).run().ok();
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    lab.boxr(t, ["network", "rm", "blue"]).run().ok();
    server.signal(Signal::TERM);
    server.finish();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn doctor_knows_what_networks_need(t: &Sandbox) {
    let lab = Lab::new();
    let doctor = || lab.boxr(t, ["doctor", "network"]).run().text();
    let quiet = doctor();
    for subject in ["nf-tables", "forwarding", "br-netfilter", "names", "tun", "ports"] {
        assert!(quiet.contains(&format!("network.{subject}")), "{subject}: {quiet}");
    }
    assert!(!quiet.contains("forward-ip-filter"), "{quiet}");
    lab.on_host("iptables").args(["-P", "FORWARD", "DROP"]).run().ok();
    let told = doctor();
    assert!(
        told.contains("network.forward-ip-filter-forward") && told.contains("try: iptables -I FORWARD"),
        "{told}"
    );
    lab.end(t);
}
