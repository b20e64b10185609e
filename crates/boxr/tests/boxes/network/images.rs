//! Networks of containers of images.

use boxr_testing::lab::{HOST, Lab};
use boxr_testing::{Sandbox, Test, test, wait_until};

use super::{BUSYBOX, NET, ROOT, assert_no_network_left};
use crate::containers::{OVERLAY, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_container_is_on_the_default_network, ROOT, NET, BUSYBOX, OVERLAY),
    test!(a_container_knows_its_names, ROOT, NET, BUSYBOX, OVERLAY),
    test!(a_link_names_another_container, ROOT, NET, BUSYBOX, OVERLAY),
    test!(a_link_that_leads_nowhere_is_refused, ROOT, NET, BUSYBOX, OVERLAY),
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

/// What a container has in /etc/hosts about the one with this short id.
#[track_caller]
fn lines_about(t: &Sandbox, lab: &Lab, container: &str, id: &str) -> String {
    let hosts = lab.boxr(t, ["exec", container, "cat", "/etc/hosts"]).run().ok().text();
    hosts.lines().filter(|line| line.contains(id)).map(|line| format!("{line}\n")).collect()
}

fn a_link_names_another_container(t: &Sandbox) {
    let lab = Lab::new();
    let (_server, name) = offered(t, CONFIG);
    t.boxr(["pull", "-q", &name]).run().ok();
    lab.boxr(t, ["network", "create", "--subnet", "10.5.0.0/24", "blue"]).run().ok();
    for network in ["bridge", "blue"] {
        lab.boxr(t, ["run", "-d", "--name", "db", "--network", network, &name]).run().ok();
        let id = lab.boxr(t, ["inspect", "-f", "{{.Id}}", "db"]).run().ok().word();
        let id = &id[..12];
        let address = || {
            let template = format!("{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}");
            lab.boxr(t, ["inspect", "-f", &template, "db"]).run().ok().word()
        };
        let before = address();
        let web =
            ["run", "-d", "--name", "web", "--network", network, "--link", "db:store", "--link", &id[..6]];
        lab.boxr(t, web).arg(&name).run().ok();
        let lines = |address: &str| format!("{address}\tstore {id} db\n{address}\t{} {id} db\n", &id[..6]);
        assert_eq!(lines_about(t, &lab, "web", id), lines(&before));
        let links = lab.boxr(t, ["inspect", "-f", "{{.HostConfig.Links}}", "web"]).run().ok();
        links.prints(&format!("[/db:/web/store /db:/web/{}]\n", &id[..6]));
        let fetch = ["exec", "web", "busybox", "wget", "-q", "-O", "-", "http://store/group"];
        wait_until("it serves", || lab.boxr(t, fetch).run().status.success());
        // It starts again, and somebody else has its address.
        let own = "echo 192.0.2.77 mine >>/etc/hosts";
        lab.boxr(t, ["exec", "web", "sh", "-c", own]).run().ok();
        lab.boxr(t, ["stop", "-t", "0", "db"]).run().ok();
        lab.boxr(t, ["run", "-d", "--name", "heir", "--network", network, "--ip", &before, &name]).run().ok();
        lab.boxr(t, ["start", "db"]).run().ok();
        let after = address();
        assert_ne!(before, after);
        assert_eq!(lines_about(t, &lab, "web", id), lines(&after));
        lab.boxr(t, ["exec", "web", "cat", "/etc/hosts"]).run().ok().shows("192.0.2.77 mine\n");
        // A file that only its own container can have made so keeps no other from its start.
        let huge =
            "busybox truncate -s 1T /etc/hosts || busybox dd if=/dev/zero of=/etc/hosts bs=1M count=20";
        lab.boxr(t, ["exec", "web", "sh", "-c", huge]).run().ok();
        lab.boxr(t, ["restart", "-t", "0", "db"]).run().ok();
        // Its own start looks anew.
        lab.boxr(t, ["restart", "-t", "0", "web"]).run().ok();
        assert_eq!(lines_about(t, &lab, "web", id), lines(&address()));
        lab.boxr(t, ["rm", "-f", "web", "heir", "db"]).run().ok();
    }
    lab.boxr(t, ["network", "rm", "blue"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_link_that_leads_nowhere_is_refused(t: &Sandbox) {
    let lab = Lab::new();
    let (_server, name) = offered(t, CONFIG);
    t.boxr(["pull", "-q", &name]).run().ok();
    let link = |flags: &[&str]| lab.boxr(t, ["run", "--rm"]).args(flags).args([&name, "true"]).run();
    link(&["--link", "db"]).exits(125).blames("--link db: no such container");
    lab.boxr(t, ["network", "create", "--subnet", "10.5.0.0/24", "blue"]).run().ok();
    lab.boxr(t, ["create", "--name", "db", "--network", "blue", &name]).run().ok();
    link(&["--link", "db", "--network", "blue"]).exits(125).blames("--link db: it is not running");
    lab.boxr(t, ["start", "db"]).run().ok();
    link(&["--link", "db"]).exits(125).blames("--link db: it is on none of this container's networks");
    link(&["--link", "db", "--network", "blue"]).ok();
    link(&["--link", "db", "--network", "host"]).exits(125).blames("--link");
    link(&["--link", "db", "--no-hosts"]).exits(125).blames("--no-hosts");
    for wrong in [":x", "db:", "db:a b", "db:a:b"] {
        link(&["--link", wrong]).exits(125).blames(wrong);
    }
    let of_host = lab.boxr(t, ["run", "--link", "db", "--network", "blue", "--", "true"]).run();
    of_host.exits(125).blames("--link needs a container of an image");
    // A container that was made is told when it starts.
    lab.boxr(t, ["create", "--name", "web", "--network", "blue", "--link", "db", &name]).run().ok();
    lab.boxr(t, ["rm", "-f", "db"]).run().ok();
    lab.boxr(t, ["start", "web"]).run().exits(1).blames("no such container");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    lab.boxr(t, ["network", "rm", "blue"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}
