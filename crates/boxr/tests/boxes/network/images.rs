//! Networks of containers of images.

use boxr_testing::lab::{HOST, Lab};
use boxr_testing::{Sandbox, Test, test, wait_until};

use super::{BUSYBOX, NET, ROOT, assert_no_network_left};
use crate::containers::{OVERLAY, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_container_is_on_the_default_network, ROOT, NET, BUSYBOX, OVERLAY),
    test!(a_container_knows_its_names, ROOT, NET, BUSYBOX, OVERLAY),
];

const CONFIG: &str =
    r#"{"Cmd":["busybox","httpd","-f","-p","80","-h","/etc"],"ExposedPorts":{"80/tcp":{},"nonsense":{}}}"#;

fn a_container_is_on_the_default_network(t: &Sandbox) {
    let lab = Lab::new();
    let (_server, name) = offered(t, CONFIG);
    t.boxr(["pull", "-q", &name]).run().ok();
    lab.boxr(t, ["run", "-d", "--name", "web", "-P", &name]).run().ok();
    let published = lab.boxr(t, ["port", "web", "80"]).run().ok().word();
    let port = published.strip_prefix("0.0.0.0:").unwrap();
    let url = format!("http://{HOST}:{port}/group");
    wait_until("it serves", || lab.fetch(&url).run().status.success());
    lab.fetch(&url).run().ok().shows("wheel");
    lab.boxr(t, ["inspect", "-f", "{{.HostConfig.NetworkMode}}", "web"]).run().ok().prints("bridge\n");
    // Another one shares its network, or has the host's.
    let fetch = ["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1/group"];
    lab.boxr(t, ["run", "--rm", "--network", "container:web", &name]).args(fetch).run().ok().shows("wheel");
    lab.boxr(t, ["run", "--rm", "--network", "host", &name]).args(fetch).run().exits(1);
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_container_knows_its_names(t: &Sandbox) {
    let lab = Lab::new();
    let (_server, name) = offered(t, CONFIG);
    t.boxr(["pull", "-q", &name]).run().ok();
    lab.boxr(t, ["network", "create", "--subnet", "10.5.0.0/24", "blue"]).run().ok();
    let flags =
        ["--network", "blue", "--ip", "10.5.0.9", "--hostname", "nine", "--add-host", "out:host-gateway"];
    let hosts = lab.boxr(t, ["run", "--rm"]).args(flags).args([&name, "cat", "/etc/hosts"]).run().ok().text();
    assert!(hosts.contains("10.5.0.9\tnine\n") && hosts.contains("10.5.0.1\tout\n"), "{hosts}");
    let dns = ["run", "--rm", "--dns", "192.0.2.53", &name, "cat", "/etc/resolv.conf"];
    lab.boxr(t, dns).run().ok().shows("nameserver 192.0.2.53\n");
    lab.boxr(t, ["network", "rm", "blue"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}
