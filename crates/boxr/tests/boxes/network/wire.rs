//! Boxes on the host's wire: networks of the driver ipvlan. That of macvlan is beside the other networks of one's own.

use boxr_testing::lab::{FAR_AWAY, HOST, Lab};
use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::Signal;

use super::own::create;
use super::{BUSYBOX, NET, ROOT, assert_no_network_left, serve, site};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(an_ipvlan_box_is_on_the_wire_with_the_hosts_hardware_address, ROOT, BUSYBOX, IPVLAN),
    test!(an_ipvlan_box_of_layer_three_has_a_subnet_of_its_own, ROOT, BUSYBOX, IPVLAN),
    test!(where_the_kernel_has_no_ipvlan_that_is_said, ROOT, NET, Need::NoDevice("ipvlan")),
    test!(senseless_networks_on_the_wire_are_named, ROOT, NET),
    test!(
        macvlan_devices_queue_broadcasts_as_the_network_says,
        ROOT,
        PYTHON,
        Need::Device("macvlan"),
        Need::Kernel(6, 4)
    ),
];

const IPVLAN: Need = Need::Device("ipvlan");
const PYTHON: Need = Need::Tool(Tool::Python);
const LAN: [&str; 8] =
    ["-d", "ipvlan", "-o", "parent=up0", "--subnet", "192.0.2.0/24", "--gateway", "192.0.2.1"];

fn an_ipvlan_box_is_on_the_wire_with_the_hosts_hardware_address(t: &Sandbox) {
    let lab = Lab::new();
    let server = lab.serve(80, &site(t, "far"));
    create(t, &lab, &[&LAN[..], &["lan"]].concat());
    let url = format!("http://{FAR_AWAY}/who");
    let flags = ["--network", "lan", "--ip", "192.0.2.44"];
    serve(t, &lab, "web", &site(t, "inside"), &flags);
    let exec = |words: &[&str]| lab.boxr(t, ["exec", "web"]).args(words).run();
    exec(&["busybox", "wget", "-q", "-O", "-", &url]).ok().prints("far");
    lab.on_internet("busybox")
        .args(["wget", "-q", "-O", "-", "http://192.0.2.44/who"])
        .run()
        .ok()
        .prints("inside");
    let hardware =
        |text: String| text.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let host = hardware(lab.on_host("ip").args(["-o", "link", "show", "up0"]).run().ok().text());
    assert_eq!(hardware(exec(&["ip", "-o", "link", "show", "eth0"]).ok().text()), host);
    lab.boxr(t, ["network", "explain", "web"]).run().ok().shows("on the host's wire");
    lab.boxr(t, ["network", "disconnect", "lan", "web"]).run().ok();
    exec(&["ip", "link", "show", "eth0"]).exits(1);
    lab.boxr(t, ["network", "connect", "--ip", "192.0.2.45", "lan", "web"]).run().ok();
    exec(&["busybox", "wget", "-q", "-O", "-", &url]).ok().prints("far");
    server.signal(Signal::TERM);
    let seen = server.finish().errors();
    assert!(seen.contains("192.0.2.44") && seen.contains("192.0.2.45") && !seen.contains(HOST), "{seen}");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    lab.boxr(t, ["network", "rm", "lan"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn an_ipvlan_box_of_layer_three_has_a_subnet_of_its_own(t: &Sandbox) {
    let lab = Lab::new();
    let server = lab.serve(80, &site(t, "far"));
    let dir = site(t, "inside");
    lab.on_internet("ip").args(["route", "add", "10.9.0.0/24", "via", HOST]).run().ok();
    for mode in ["l3", "l3s"] {
        let mode_option = format!("mode={mode}");
        let options = ["-d", "ipvlan", "-o", "parent=up0", "-o", &mode_option, "-o", "ipvlan_flag=private"];
        create(t, &lab, &[&options[..], &["--subnet", "10.9.0.0/24", "three"]].concat());
        serve(t, &lab, "web", &dir, &["--network", "three", "--ip", "10.9.0.44"]);
        let exec = |words: &[&str]| lab.boxr(t, ["exec", "web"]).args(words).run();
        let shown = exec(&["ip", "-d", "link", "show", "eth0"]).ok().text();
        assert!(shown.contains(&format!("ipvlan  mode {mode} private")), "{shown}");
        let far = format!("http://{FAR_AWAY}/who");
        exec(&["busybox", "wget", "-q", "-O", "-", &far]).ok().prints("far");
        let get = ["wget", "-q", "-O", "-", "http://10.9.0.44/who"];
        lab.on_internet("busybox").args(get).run().ok().prints("inside");
        lab.boxr(t, ["rm", "-f", "web"]).run().ok();
        lab.boxr(t, ["network", "rm", "three"]).run().ok();
        // The parent is of one mode as long as it has devices.
        wait_until("the device is gone", || {
            !lab.on_host("ip").args(["-d", "link"]).run().ok().text().contains("ipvlan")
        });
    }
    server.signal(Signal::TERM);
    let seen = server.finish().errors();
    assert!(seen.contains("10.9.0.44") && !seen.contains(HOST), "{seen}");
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn where_the_kernel_has_no_ipvlan_that_is_said(t: &Sandbox) {
    let lab = Lab::new();
    create(t, &lab, &[&LAN[..], &["lan"]].concat());
    let run = lab.boxr(t, ["run", "--network", "lan", "--", "true"]).run();
    run.exits(125).blames("make the ipvlan device").blames("the kernel lacks this kind of device");
    lab.boxr(t, ["network", "rm", "lan"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn senseless_networks_on_the_wire_are_named(t: &Sandbox) {
    let lab = Lab::new();
    for (args, word) in [
        (vec!["-d", "ipvlan", "x"], "parent"),
        (vec!["-d", "ipvlan", "-o", "parent=up0", "-o", "mode=bridge", "x"], "l2, l3, l3s"),
        (vec!["-d", "macvlan", "-o", "parent=up0", "-o", "mode=l3", "x"], "passthru"),
        (vec!["-d", "macvlan", "-o", "parent=up0", "-o", "ipvlan_flag=private", "x"], "an option of ipvlan"),
        (vec!["-d", "ipvlan", "-o", "isolate=true", "x"], "an option of bridge"),
    ] {
        lab.boxr(t, ["network", "create"]).args(&args).run().exits(1).blames(word);
    }
    create(t, &lab, &[&LAN[..], &["-o", "ipvlan_mode=l2", "lan"]].concat());
    let inspect =
        ["network", "inspect", "-f", "{{.Driver}} {{.Options.ipvlan_mode}} {{.Options.parent}}", "lan"];
    lab.boxr(t, inspect).run().ok().prints("ipvlan l2 up0\n");
    // What the kernel would change for all devices of the parent, or refuse when they are made.
    for words in ["-d ipvlan -o mode=l3", "-d ipvlan -o ipvlan_flag=vepa", "-d macvlan"] {
        let other = ["network", "create", "-o", "parent=up0", "other"];
        lab.boxr(t, other).args(words.split(' ')).run().exits(1).blames("network lan");
    }
    for (flags, word) in [
        (&["--mac-address", "02:00:00:00:00:01"][..], "hardware address of its parent"),
        (&["-p", "80"], "bridge networks"),
    ] {
        let run = lab.boxr(t, ["run", "--network", "lan"]).args(flags).args(["--", "true"]).run();
        run.exits(125).blames(word);
    }
    lab.boxr(t, ["network", "rm", "lan"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

/// Prints `IFLA_MACVLAN_BC_CUTOFF` of eth0, which ip(8) of Debian 12 does not know.
const CUTOFF: &str = r"
import socket, struct
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
body = bytes(16) + struct.pack('HH8s', 9, 3, b'eth0')
kernel.send(struct.pack('IHHII', 16 + len(body), 18, 1, 1, 0) + body)
def attributes(text):
    found = {}
    while len(text) >= 4:
        length, kind = struct.unpack('HH', text[:4])
        found[kind & 0x3fff] = text[4:length]
        text = text[(length + 3) & ~3:]
    return found
link = attributes(kernel.recv(65536)[32:])
data = attributes(attributes(link[18])[2])
print(struct.unpack('i', data[9])[0])
";

fn macvlan_devices_queue_broadcasts_as_the_network_says(t: &Sandbox) {
    let lab = Lab::new();
    for limit in ["-1", "7"] {
        let option = format!("bclim={limit}");
        create(
            t,
            &lab,
            &["-d", "macvlan", "-o", "parent=up0", "-o", &option, "--subnet", "192.0.2.0/24", "lan"],
        );
        lab.boxr(t, ["run", "--network", "lan", "--", "python3", "-c", CUTOFF])
            .run()
            .ok()
            .prints(&format!("{limit}\n"));
        lab.boxr(t, ["network", "rm", "lan"]).run().ok();
    }
    assert_no_network_left(t, &lab);
    lab.end(t);
}
