//! How a user's boxes reach the host, and that they do not where nobody asked for it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use boxr_testing::lab::{HOST, Lab};
use boxr_testing::{Cmd, Need, Running, Sandbox, Test, Tool, test, wait_until};
use rustix::process::Signal;

use super::rootless::{PASTA, SETPRIV, assert_nothing_left};
use super::{BUSYBOX, NET, ROOT, assert_no_network_left, site};
use crate::containers::{OVERLAY, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(the_hosts_loopback_interface_is_reached_by_who_asks, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(the_loopback_interface_is_reached_by_ipv6, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(slirp4netns_leads_to_the_loopback_interface_where_asked, ROOT, NET, BUSYBOX, SLIRP, SETPRIV),
    test!(one_box_of_a_users_network_reaches_the_loopback_interface, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(a_users_container_knows_where_the_host_is, ROOT, NET, BUSYBOX, PASTA, SLIRP, SETPRIV, OVERLAY),
    test!(roots_container_knows_where_the_host_is, ROOT, NET, BUSYBOX, OVERLAY),
    test!(senseless_ways_to_the_host_are_named, ROOT, NET, PASTA, SLIRP, SETPRIV),
    test!(a_start_that_fails_beside_its_network_says_why, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
];

const SLIRP: Need = Need::Tool(Tool::Slirp4netns);

/// A web server on the host's loopback interface alone.
#[track_caller]
fn inner(t: &Sandbox, lab: &Lab) -> Running {
    let dir = site(t, "inner");
    let server = lab.on_host("busybox").args(["httpd", "-f", "-p", "127.0.0.1:8079", "-h", &dir]).spawn();
    wait_until("it serves", || lab.fetch("http://127.0.0.1:8079/who").run().status.success());
    server
}

fn end(server: Running) {
    server.signal(Signal::TERM);
    server.finish();
}

/// What fetches from `host` in a box.
fn fetch(host: &str) -> Vec<String> {
    let url = format!("http://{host}:8079/who");
    ["--", "timeout", "5", "busybox", "wget", "-q", "-O", "-", &url].map(str::to_owned).to_vec()
}

fn the_hosts_loopback_interface_is_reached_by_who_asks(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let server = inner(t, &lab);
    let far = lab.serve(8079, &site(t, "far"));
    for (network, host, served) in [
        ("pasta:--map-gw", "169.254.1.2", "inner"),
        ("pasta:--map-host-loopback=10.9.0.4", "10.9.0.4", "inner"),
        ("bridge:host_loopback=true", "169.254.1.2", "inner"),
        ("slirp4netns:allow_host_loopback=true", "169.254.1.2", "inner"),
        // And all else as without it.
        ("pasta:--map-gw", boxr_testing::lab::FAR_AWAY, "far"),
    ] {
        lab.boxr_as_user(t, &home, ["run", "--network", network]).args(fetch(host)).run().ok().prints(served);
    }
    // The box's own address and the router's are nobody's way to it, nor is the name server's.
    for host in ["169.254.1.2", "192.0.2.2", "169.254.1.1", "192.0.2.1", "127.0.0.1"] {
        let run = lab.boxr_as_user(t, &home, ["run", "--network", "bridge"]).args(fetch(host)).run();
        assert!(!run.text().contains("inner"), "{host}");
    }
    // A port leads in beside it.
    let dir = site(t, "inside");
    let serve = ["--", "busybox", "httpd", "-f", "-p", "80", "-h", dir.as_str()];
    let run = ["run", "-d", "--name", "web", "--network", "pasta:--map-gw", "-p", "8080:80"];
    lab.boxr_as_user(t, &home, run).args(serve).run().ok();
    let url = format!("http://{HOST}:8080/who");
    wait_until("it serves", || lab.fetch(&url).run().status.success());
    lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
    lab.fetch("http://127.0.0.1:8080/who").run().ok().prints("inside");
    lab.boxr_as_user(t, &home, ["rm", "-f", "web"]).run().ok();
    end(server);
    end(far);
    assert_nothing_left(&home);
    lab.end(t);
}

fn the_loopback_interface_is_reached_by_ipv6(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    lab.on_host("ip").args(["-6", "route", "add", "default", "via", "2001:db8::1"]).run().ok();
    let server = inner(t, &lab);
    let dir = site(t, "inner6");
    let server6 = lab.on_host("busybox").args(["httpd", "-f", "-p", "[::1]:8079", "-h", &dir]).spawn();
    wait_until("it serves", || lab.fetch("http://[::1]:8079/who").run().status.success());
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args);
    boxr(&["network", "create", "shop"]).run().ok();
    boxr(&["network", "create", "--subnet", "fd00:9::/64", "blue"]).run().ok();
    let inside = site(t, "inside");
    for (network, hosts) in [
        ("pasta:--map-host-loopback=fd00:9::4", &["[fd00:9::4]", "169.254.1.2"][..]),
        ("pasta:--map-host-loopback=fd00:9::4,--map-host-loopback=10.9.0.4", &["[fd00:9::4]", "10.9.0.4"]),
        ("pasta:--map-gw", &["[fd62:6f78:7278::2]", "169.254.1.2"]),
        ("shop:host_loopback=fd00:9::4", &["[fd00:9::4]", "169.254.1.2"]),
        ("shop:host_loopback=true", &["[fd62:6f78:7278::2]", "169.254.1.2"]),
    ] {
        let serve = ["--", "busybox", "httpd", "-f", "-p", "80", "-h", &inside];
        let run = ["run", "-d", "--name", "asks", "--network", network, "-p", "8080:80"];
        boxr(&run).args(serve).run().ok();
        for host in hosts {
            let expected = if host.starts_with('[') { "inner6" } else { "inner" };
            boxr(&["exec", "asks"]).args(&fetch(host)[1..]).run().ok().prints(expected);
        }
        // Its ports lead in as they would without.
        let url = |host: &str| format!("http://{host}:8080/who");
        wait_until("it serves", || lab.fetch(&url("[::1]")).run().status.success());
        for host in ["[2001:db8::2]", HOST] {
            let get = ["10", "busybox", "wget", "-q", "-O", "-", &url(host)];
            lab.on_internet("timeout").args(get).run().ok().prints("inside");
        }
        boxr(&["rm", "-f", "asks"]).run().ok();
    }
    // Nobody else has a way there.
    for (network, host) in
        [("pasta", "[fd62:6f78:7278::2]"), ("pasta", "[2001:db8::1]"), ("shop", "[fd00:9::4]")]
    {
        let run = boxr(&["run", "--network", network]).args(fetch(host)).run();
        assert!(!run.status.success(), "{network} {host}");
    }
    boxr(&["run", "--network", "blue:host_loopback=fd00:9::4", "--", "true"])
        .run()
        .exits(125)
        .blames("a subnet's of the container");
    boxr(&["network", "rm", "shop", "blue"]).run().ok();
    end(server);
    end(server6);
    assert_nothing_left(&home);
    lab.end(t);
}

fn slirp4netns_leads_to_the_loopback_interface_where_asked(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let server = inner(t, &lab);
    let run = |network: &str| {
        let command = lab.boxr_as_user(t, &home, ["run", "--network", network]).args(fetch("10.0.2.2"));
        command.env("BOXR_NETWORK_HELPER", "slirp4netns").run()
    };
    run("slirp4netns:allow_host_loopback=true").ok().prints("inner");
    assert!(!run("slirp4netns").status.success());
    assert!(!run("slirp4netns:allow_host_loopback=false").status.success());
    end(server);
    assert_nothing_left(&home);
    lab.end(t);
}

fn one_box_of_a_users_network_reaches_the_loopback_interface(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let server = inner(t, &lab);
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args);
    boxr(&["network", "create", "shop"]).run().ok();
    let serve = ["--", "busybox", "httpd", "-f", "-p", "80", "-h", &site(t, "inside")].map(str::to_owned);
    let asks = ["run", "-d", "--name", "asks", "--network", "shop:host_loopback=true", "-p", "8080:80"];
    boxr(&asks).args(&serve).run().ok();
    let exec = |host: &str| boxr(&["exec", "asks"]).args(&fetch(host)[1..]).run();
    exec("169.254.1.2").ok().prints("inner");
    // Its ports, its neighbours and its name are as they would be without.
    let url = format!("http://{HOST}:8080/who");
    wait_until("it serves", || lab.fetch(&url).run().status.success());
    lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
    let other = |url: &str| {
        boxr(&["run", "--network", "shop", "--", "timeout", "5", "busybox", "wget", "-q", "-O", "-", url])
            .run()
    };
    other("http://asks/who").ok().prints("inside");
    for host in ["169.254.1.2", "169.254.76.1", "169.254.77.1", HOST, "asks"] {
        let seen = other(&format!("http://{host}:8079/who"));
        assert!(!seen.status.success(), "{host}");
    }
    boxr(&["port", "rm", "asks", "8080:80"]).run().ok();
    exec("169.254.1.2").ok().prints("inner");
    boxr(&["restart", "-t", "0", "asks"]).run().ok();
    exec("169.254.1.2").ok().prints("inner");
    boxr(&["rm", "-f", "asks"]).run().ok();
    boxr(&["network", "rm", "shop"]).run().ok();
    end(server);
    assert_nothing_left(&home);
    lab.end(t);
}

fn a_users_container_knows_where_the_host_is(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let (_server, image) = offered(t, "{}");
    // The registry is on the machine's loopback interface.
    let words = lab.as_user(t, &home);
    Cmd::new(&words[0]).args(&words[1..]).args(["pull", "-q", &image]).env("HOME", &home).run().ok();
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args);
    boxr(&["network", "create", "shop"]).run().ok();
    boxr(&["network", "create", "--internal", "inner"]).run().ok();
    let hosts = |flags: &[&str]| {
        let helper = if flags.contains(&"slirp4netns") { "slirp4netns" } else { "" };
        let seen = boxr(&["run", "--rm"]).args(flags).args([&image, "cat", "/etc/hosts"]);
        seen.env("BOXR_NETWORK_HELPER", helper).run().ok().text()
    };
    let line = |address: &str| format!("\n{address}\thost.containers.internal host.docker.internal\n");
    for (flags, address) in [
        (&["--network", "pasta:--map-gw"][..], "169.254.1.2"),
        (&["--network", "pasta", "--add-host", "out:host-gateway"], HOST),
        (&["--network", "slirp4netns"], HOST),
        (&["--network", "shop"], HOST),
        (&["--network", "shop:host_loopback=10.9.0.4"], "10.9.0.4"),
        (&["--network", "host"], "127.0.0.1"),
    ] {
        let seen = hosts(flags);
        assert!(seen.contains(&line(address)), "{flags:?}: {seen}");
        if flags.contains(&"--add-host") {
            assert!(seen.contains(&format!("{HOST}\tout\n")), "{seen}");
        }
    }
    lab.on_host("ip").args(["-6", "route", "add", "default", "via", "2001:db8::1"]).run().ok();
    let names = "host.containers.internal host.docker.internal";
    let seen = hosts(&["--network", "pasta:--map-host-loopback=fd00:9::4"]);
    assert!(seen.contains(&format!("\nfd00:9::4\t{names}\n")) && !seen.contains("169.254"), "{seen}");
    let seen = hosts(&["--network", "shop:host_loopback=10.9.0.4,host_loopback=fd00:9::4"]);
    assert!(seen.contains(&format!("\n10.9.0.4\t{names}\nfd00:9::4\t{names}\n")), "{seen}");
    // The host's address is the container's own, or nothing leads to it.
    for flags in [["--network", "pasta"], ["--network", "inner"], ["--network", "none"]] {
        assert!(!hosts(&flags).contains("internal "), "{flags:?}");
    }
    assert_gateway_is_the_host(t, &lab, &home, &image);
    boxr(&["network", "rm", "shop", "inner"]).run().ok();
    assert_nothing_left(&home);
    lab.end(t);
}

/// What `host-gateway` stands for leads to the host, and not to its loopback interface.
#[track_caller]
fn assert_gateway_is_the_host(t: &Sandbox, lab: &Lab, home: &Path, image: &str) {
    let server = inner(t, lab);
    let dir = site(t, "outer");
    let outer =
        lab.on_host("busybox").args(["httpd", "-f", "-p", &format!("{HOST}:8078"), "-h", &dir]).spawn();
    let url = format!("http://{HOST}:8078/who");
    wait_until("it serves", || lab.fetch(&url).run().status.success());
    for network in ["pasta", "shop"] {
        let run = ["run", "--rm", "--network", network, "--add-host", "out:host-gateway", image, "sh", "-c"];
        let script = "timeout 5 busybox wget -q -O - http://out:8078/who; \
                      timeout 5 busybox wget -q -O - http://out:8079/who || echo no";
        lab.boxr_as_user(t, home, run).arg(script).run().ok().prints("outerno\n");
    }
    end(server);
    end(outer);
}

fn roots_container_knows_where_the_host_is(t: &Sandbox) {
    let lab = Lab::new();
    let (_server, image) = offered(t, "{}");
    t.boxr(["pull", "-q", &image]).run().ok();
    lab.boxr(t, ["network", "create", "--subnet", "10.5.0.0/24", "blue"]).run().ok();
    let hosts = |flags: &[&str]| {
        lab.boxr(t, ["run", "--rm", "--network", "blue"])
            .args(flags)
            .args([&image, "cat", "/etc/hosts"])
            .run()
            .ok()
            .text()
    };
    let seen = hosts(&[]);
    assert!(seen.contains("\n10.5.0.1\thost.containers.internal host.docker.internal\n"), "{seen}");
    // Who says another address has that one alone.
    let seen = hosts(&["--add-host", "host.docker.internal:192.0.2.9"]);
    assert!(
        seen.contains("\n192.0.2.9\thost.docker.internal\n10.5.0.1\thost.containers.internal\n"),
        "{seen}"
    );
    lab.boxr(t, ["network", "rm", "blue"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn senseless_ways_to_the_host_are_named(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args);
    boxr(&["network", "create", "--internal", "inner"]).run().ok();
    boxr(&["network", "create", "--subnet", "10.6.0.0/24", "blue"]).run().ok();
    for (network, words) in [
        ("pasta:--map-host-loopback=127.0.0.1", "no device can have it"),
        ("pasta:--map-host-loopback=::1", "no device can have it"),
        ("pasta:--map-host-loopback=fe80::1", "does not say on which it is"),
        ("pasta:--map-host-loopback=fd00:9::4", "no way out by IPv6"),
        ("pasta:--map-host-loopback=169.254.1.1", "pasta answers names there"),
        ("pasta:--mtu=1500", "--mtu is none of pasta's options"),
        ("inner:host_loopback=true", "nothing leads out of it"),
        ("blue:host_loopback=10.6.0.200", "a subnet's of the container"),
    ] {
        boxr(&["run", "--network", network, "--", "true"]).run().exits(125).blames(words);
    }
    let elsewhere = ["run", "--network", "bridge:host_loopback=10.9.0.4", "--", "true"];
    boxr(&elsewhere)
        .env("BOXR_NETWORK_HELPER", "slirp4netns")
        .run()
        .exits(125)
        .blames("10.0.2.2, and nowhere else");
    lab.boxr(t, ["run", "--network", "bridge:host_loopback=true", "--", "true"])
        .run()
        .exits(125)
        .blames("as root let the service listen on the network's gateway");
    boxr(&["network", "rm", "inner", "blue"]).run().ok();
    assert_nothing_left(&home);
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_start_that_fails_beside_its_network_says_why(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args);
    boxr(&["network", "create", "shop"]).run().ok();
    // Files about names cannot be bound where a directory is a file: the first process ends while the network is made.
    let root = home.join("rootfs");
    for dir in ["", "proc", "sys", "dev", "bin"] {
        std::fs::create_dir(root.join(dir)).unwrap();
        std::os::unix::fs::chown(root.join(dir), Some(12345), Some(12345)).unwrap();
    }
    std::fs::write(root.join("etc"), "").unwrap();
    let root = root.to_str().unwrap().to_owned();
    for network in ["bridge", "shop"] {
        for flags in [&["--rm"][..], &["-d", "--rm"]] {
            for _ in 0..4 {
                let run = ["run", "--network", network, "-p", "8080:80", "--rootfs", &root];
                boxr(&run).args(flags).args(["--", "/bin/true"]).run().exits(125).blames("/etc/resolv.conf");
                assert_nothing_left(&home);
            }
        }
    }
    // What fails in the network is told as it is, whoever waits for it.
    let refuses = home.join("bin");
    std::fs::create_dir(&refuses).unwrap();
    std::fs::write(refuses.join("pasta"), "#!/bin/sh\necho it will not >&2; exit 1\n").unwrap();
    std::fs::set_permissions(refuses.join("pasta"), PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", refuses.display(), std::env::var("PATH").unwrap());
    for network in ["bridge", "shop"] {
        for flags in [&[][..], &["-d"]] {
            let run = ["run", "--rm", "--network", network, "-p", "8080:80"];
            let run = boxr(&run).args(flags).args(["--", "true"]).env("PATH", &path).run();
            run.exits(125).blames("error: pasta did not set up the network: it will not");
            assert_nothing_left(&home);
        }
    }
    boxr(&["network", "rm", "shop"]).run().ok();
    lab.end(t);
}
