//! Clients by IPv6 of an ordinary user's ports.

use boxr_testing::lab::Lab;
use boxr_testing::{Sandbox, Test, test, wait_until};

use super::rootless::{PASTA, SETPRIV, assert_nothing_left};
use super::{BUSYBOX, NET, ROOT, assert_no_network_left, serve, site};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_users_port_is_reached_by_ipv6, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(a_users_port_can_be_on_one_address_of_ipv6, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(without_ipv6_there_are_no_ports_of_it, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(a_network_without_ipv6_is_told_nothing_of_it, ROOT, NET),
    test!(roots_port_on_all_addresses_is_refused_at_the_loopback_address_of_ipv6, ROOT, NET, BUSYBOX),
    test!(a_users_network_has_a_way_out_by_ipv6, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
];

/// The host's address, and the client's on the internet.
const HOST6: &str = "2001:db8::2";
const NEIGHBOUR6: &str = "2001:db8::1";

/// A host with a way out by IPv6.
#[track_caller]
fn lab() -> Lab {
    let lab = Lab::for_users();
    lab.on_host("ip").args(["-6", "route", "add", "default", "via", NEIGHBOUR6]).run().ok();
    lab
}

fn a_users_port_is_reached_by_ipv6(t: &Sandbox) {
    let lab = lab();
    let home = lab.home(t);
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args);
    boxr(&["network", "create", "shop"]).run().ok();
    let dir = site(t, "inside");
    let url = |host: &str, port: u16| format!("http://{host}:{port}/who");
    let from_afar =
        |url: &str| lab.on_internet("timeout").args(["10", "busybox", "wget", "-q", "-O", "-", url]).run();
    for network in ["shop", "bridge"] {
        let serve = ["--", "busybox", "httpd", "-f", "-v", "-p", "80", "-h", dir.as_str()];
        boxr(&["run", "-d", "--name", "web", "--network", network, "-p", "8080:80"]).args(serve).run().ok();
        let fetch = ["exec", "web", "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1/who"];
        wait_until("the box serves", || boxr(&fetch).run().status.success());
        // The first packet from outside arrives.
        from_afar(&url(&format!("[{HOST6}]"), 8080)).ok().prints("inside");
        lab.fetch(&url("[::1]", 8080)).run().ok().prints("inside");
        lab.fetch(&url("127.0.0.1", 8080)).run().ok().prints("inside");
        wait_until("the log tells who came", || {
            boxr(&["logs", "web"]).run().ok().errors().contains(&format!("[{NEIGHBOUR6}]:"))
        });
        boxr(&["rm", "-f", "web"]).run().ok();
        assert_nothing_left(&home);
    }
    // Ports that come while it runs, on a network of the user's.
    let serve = ["--", "busybox", "httpd", "-f", "-p", "80", "-h", dir.as_str()];
    boxr(&["run", "-d", "--name", "web", "--network", "shop"]).args(serve).run().ok();
    boxr(&["port", "add", "web", "[::]:8081:80"]).run().ok().prints("80/tcp -> [::]:8081\n");
    wait_until("it serves", || from_afar(&url(&format!("[{HOST6}]"), 8081)).status.success());
    boxr(&["rm", "-f", "web"]).run().ok();
    boxr(&["network", "rm", "shop"]).run().ok();
    assert_nothing_left(&home);
    lab.end(t);
}

fn a_users_port_can_be_on_one_address_of_ipv6(t: &Sandbox) {
    let lab = lab();
    let home = lab.home(t);
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args);
    boxr(&["network", "create", "shop"]).run().ok();
    let dir = site(t, "inside");
    for network in ["shop", "bridge"] {
        let serve = ["--", "busybox", "httpd", "-f", "-p", "80", "-h", dir.as_str()];
        boxr(&["run", "-d", "--name", "web", "--network", network, "-p", "[::1]:8080:80"])
            .args(serve)
            .run()
            .ok();
        boxr(&["port", "web"]).run().ok().prints("80/tcp -> [::1]:8080\n");
        wait_until("it serves", || lab.fetch("http://[::1]:8080/who").run().status.success());
        for elsewhere in [format!("http://[{HOST6}]:8080/who"), "http://127.0.0.1:8080/who".to_owned()] {
            lab.fetch(&elsewhere).run().exits(1);
        }
        let again = ["run", "--network", network, "-p", "[::]:8080:80", "--", "true"];
        boxr(&again).run().exits(125).blames("8080/tcp is in use by container web");
        boxr(&["rm", "-f", "web"]).run().ok();
    }
    boxr(&["network", "rm", "shop"]).run().ok();
    assert_nothing_left(&home);
    lab.end(t);
}

fn without_ipv6_there_are_no_ports_of_it(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args);
    lab.on_host("ip").args(["-6", "addr", "flush", "dev", "up0", "scope", "global"]).run().ok();
    boxr(&["network", "create", "shop"]).run().ok();
    let dir = site(t, "inside");
    for network in ["shop", "bridge"] {
        let run = ["run", "--network", network, "-p", "[::1]:8080:80", "--", "true"];
        boxr(&run).run().exits(125).blames("no address of IPv6");
        let serve = ["--", "busybox", "httpd", "-f", "-p", "80", "-h", dir.as_str()];
        boxr(&["run", "-d", "--name", "web", "--network", network, "-p", "8080:80"]).args(serve).run().ok();
        wait_until("it serves", || lab.fetch("http://127.0.0.1:8080/who").run().status.success());
        boxr(&["rm", "-f", "web"]).run().ok();
    }
    boxr(&["network", "rm", "shop"]).run().ok();
    assert_nothing_left(&home);
    lab.end(t);
}

fn roots_port_on_all_addresses_is_refused_at_the_loopback_address_of_ipv6(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["network", "create", "--subnet", "fd00:6::/64", "--subnet", "10.6.0.0/24", "six"])
        .run()
        .ok();
    serve(t, &lab, "web", &site(t, "inside"), &["--network", "six", "-p", "8080:80"]);
    let url = |host: &str| format!("http://{host}:8080/who");
    let fetch =
        |url: &str| lab.on_host("timeout").args(["20", "busybox", "wget", "-q", "-O", "-", url]).run();
    lab.on_internet("busybox")
        .args(["wget", "-q", "-O", "-", &url("[2001:db8::2]")])
        .run()
        .ok()
        .prints("inside");
    fetch(&url("[2001:db8::2]")).ok().prints("inside");
    // The kernel does not lead it in: a client that tries this address first goes on to the next, and does not wait.
    fetch(&url("[::1]")).exits(1).blames("refused");
    fetch(&url("127.0.0.1")).ok().prints("inside");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    lab.boxr(t, ["network", "rm", "six"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_network_without_ipv6_is_told_nothing_of_it(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["network", "create", "four"]).run().ok();
    lab.boxr(t, ["network", "create", "--ipv6", "six"]).run().ok();
    // Each address that the kernel makes by itself is announced to all on the bridge.
    for (network, ipv6) in [("four", false), ("six", true)] {
        let run = ["run", "-d", "--name", "it", "--network", network, "--", "sleep", "1000"];
        lab.boxr(t, run).run().ok();
        let inside = lab.boxr(t, ["exec", "it", "cat", "/proc/net/if_inet6"]).run().ok().text();
        assert_eq!(
            inside.lines().any(|line| line.starts_with("fe80") && line.ends_with("eth0")),
            ipv6,
            "{inside}"
        );
        let outside = lab.on_host("cat").arg("/proc/net/if_inet6").run().ok().text();
        assert!(!outside.contains(" bx"), "{outside}");
        lab.boxr(t, ["rm", "-f", "it"]).run().ok();
    }
    lab.boxr(t, ["network", "rm", "four", "six"]).run().ok();
    super::assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_users_network_has_a_way_out_by_ipv6(t: &Sandbox) {
    let lab = lab();
    let home = lab.home(t);
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args);
    let far = site(t, "far");
    let on_internet = ["httpd", "-f", "-p", &format!("[{NEIGHBOUR6}]:80"), "-h", &far];
    let far = lab.on_internet("busybox").args(on_internet).spawn();
    let near = site(t, "near");
    let near =
        lab.on_host("busybox").args(["httpd", "-f", "-p", &format!("[{HOST6}]:8080"), "-h", &near]).spawn();
    boxr(&["network", "create", "--ipv6", "shop"]).run().ok();
    let fetch = |url: &str| {
        let get = ["--", "timeout", "5", "busybox", "wget", "-q", "-O", "-", url];
        boxr(&["run", "--network", "shop"]).args(get).run()
    };
    wait_until("the internet answers", || fetch(&format!("http://[{NEIGHBOUR6}]/who")).text() == "far");
    // The host's address is the host's there.
    wait_until("the host answers", || fetch(&format!("http://[{HOST6}]:8080/who")).text() == "near");
    for server in [far, near] {
        server.signal(rustix::process::Signal::TERM);
        server.finish();
    }
    boxr(&["network", "rm", "shop"]).run().ok();
    assert_nothing_left(&home);
    lab.end(t);
}
