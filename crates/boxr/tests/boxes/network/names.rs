//! Names of neighbours on networks of one's own.

use boxr_testing::lab::{FAR_AWAY, Lab};
use boxr_testing::processes::descendants;
use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::getppid;

use super::rootless::{PASTA, SETPRIV, assert_nothing_left};
use super::{
    BUSYBOX, NET, ROOT, address, assert_no_network_left, lay_resolver_file, serve, site, take_resolver_file,
};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(boxes_find_each_other_by_name, ROOT, NET, BUSYBOX),
    test!(a_resolver_that_was_killed_is_started_again, ROOT, NET, BUSYBOX),
    test!(other_names_are_asked_for_at_the_hosts_servers, ROOT, NET, BUSYBOX, IP, PYTHON),
    test!(who_is_on_several_networks_knows_the_names_of_all, ROOT, NET, BUSYBOX, PASTA, SETPRIV, IP, PYTHON),
    test!(
        servers_that_a_box_is_told_are_asked_for_other_names_only,
        ROOT,
        NET,
        BUSYBOX,
        PASTA,
        SETPRIV,
        IP,
        PYTHON
    ),
    test!(
        a_host_without_name_servers_has_boxes_that_know_their_neighbours,
        ROOT,
        NET,
        BUSYBOX,
        PASTA,
        SETPRIV
    ),
    test!(servers_on_the_hosts_loopback_answer_the_default_network, ROOT, NET, BUSYBOX, IP, PYTHON),
    test!(an_empty_resolver_file_starts_nothing_that_would_ask_it, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
];

const IP: Need = Need::Tool(Tool::Ip);
const PYTHON: Need = Need::Tool(Tool::Python);

/// The resolvers that this test has started for a network.
fn resolvers(network: &str) -> Vec<String> {
    let is_one = |pid: &String| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).trim_end_matches('\0') == format!("boxr-resolver {network}")
    };
    let own = descendants(getppid().unwrap()).into_iter();
    own.map(|process| process.pid.as_raw_nonzero().to_string()).filter(is_one).collect()
}

fn boxes_find_each_other_by_name(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["network", "create", "--ipv6", "--subnet", "10.5.0.0/24", "finding"]).run().ok();
    serve(t, &lab, "web", &site(t, "inside"), &["--network", "finding", "--network-alias", "store"]);
    let id = lab.boxr(t, ["inspect", "-f", "{{.Id}}", "web"]).run().ok().word();
    for name in ["web", "store", &id[..12], "WEB"] {
        let url = format!("http://{name}/who");
        let fetch = ["run", "--network", "finding", "--", "busybox", "wget", "-q", "-O", "-", &url];
        lab.boxr(t, fetch).run().ok().prints("inside");
    }
    let direct = address(t, &lab, "web");
    let ask = |name: &str| lab.on_host("busybox").args(["nslookup", name, "10.5.0.1"]).run();
    ask("web").ok().shows(&direct).shows("fd");
    ask(&direct).ok().shows("web");
    // Names come and go with boxes.
    lab.boxr(t, ["network", "disconnect", "finding", "web"]).run().ok();
    wait_until("the resolver ends with the last box", || resolvers("finding").is_empty());
    lab.boxr(t, ["network", "connect", "--alias", "again", "finding", "web"]).run().ok();
    ask("again").ok().shows("10.5.0.");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    lab.boxr(t, ["network", "rm", "finding"]).run().ok();
    wait_until("the resolver ends with the last box", || resolvers("finding").is_empty());
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_resolver_that_was_killed_is_started_again(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["network", "create", "--subnet", "10.5.0.0/24", "killing"]).run().ok();
    serve(t, &lab, "web", &site(t, "inside"), &["--network", "killing"]);
    let ask = || lab.on_host("busybox").args(["nslookup", "web", "10.5.0.1"]).run();
    ask().ok();
    // Its standby has another name only from its second step on.
    wait_until("there is one", || resolvers("killing").len() == 1);
    let found = resolvers("killing");
    // It reads what boxes send: without a right beyond its user's.
    let status = std::fs::read_to_string(format!("/proc/{}/status", found[0])).unwrap();
    for right in ["CapPrm", "CapEff", "CapInh"] {
        assert!(status.contains(&format!("{right}:\t0000000000000000\n")), "{status}");
    }
    boxr_testing::Cmd::new("kill").args(["-9", &found[0]]).run().ok();
    wait_until("it has ended", || !std::path::Path::new(&format!("/proc/{}", found[0])).exists());
    lab.boxr(t, ["network", "reload"]).run().ok();
    ask().ok().shows("10.5.0.2");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    wait_until("the resolver ends with the last box", || resolvers("killing").is_empty());
    assert_no_network_left(t, &lab);
    lab.end(t);
}

/// A name server that knows `far.example`, over both transports.
pub(super) const SERVER: &str = r#"
import socket, threading
def answer(q):
    end = q.index(0, 12) + 5
    known = q[12:end - 4] == b'\x03far\x07example\x00'
    flags = b'\x81\x80' if known else b'\x81\x83'
    body = q[:2] + flags + b'\x00\x01' + (b'\x00\x01' if known else b'\x00\x00') + b'\x00' * 4 + q[12:end]
    return body + (b'\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc6\x33\x64\x07' if known else b'')
def stream():
    while True:
        client, _ = tcp.accept()
        data = client.recv(4096)
        told = answer(data[2:])
        client.sendall(len(told).to_bytes(2, 'big') + told)
tcp = socket.create_server(('192.0.2.1', 53))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(('192.0.2.1', 53))
threading.Thread(target=stream, daemon=True).start()
print('up', flush=True)
while True:
    query, client = udp.recvfrom(4096)
    udp.sendto(answer(query), client)
"#;

/// Asks over TCP.
const CLIENT: &str = r#"
import socket
q = b'\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03far\x07example\x00\x00\x01\x00\x01'
s = socket.create_connection(('10.5.0.1', 53))
s.sendall(len(q).to_bytes(2, 'big') + q)
print(socket.inet_ntoa(s.recv(4096)[-4:]))
"#;

fn other_names_are_asked_for_at_the_hosts_servers(t: &Sandbox) {
    let lab = Lab::for_users();
    lay_resolver_file(t, &lab, "nameserver 192.0.2.1\n");
    let mut server = lab.on_internet("python3").args(["-c", SERVER]).spawn();
    server.expect("up");
    lab.boxr(t, ["network", "create", "--subnet", "10.5.0.0/24", "asking"]).run().ok();
    lab.boxr(t, ["run", "-d", "--name", "one", "--network", "asking", "--", "sleep", "1000"]).run().ok();
    let ask = |name: &str| lab.boxr(t, ["exec", "one", "busybox", "nslookup", "-type=a", name]).run();
    ask("far.example").ok().shows("198.51.100.7");
    assert!(ask("no.example").errors().contains("NXDOMAIN") || ask("no.example").text().contains("NXDOMAIN"));
    lab.on_host("python3").args(["-c", CLIENT]).run().ok().prints("198.51.100.7\n");
    server.signal(rustix::process::Signal::TERM);
    server.finish();
    lab.boxr(t, ["rm", "-f", "one"]).run().ok();
    take_resolver_file(&lab);
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn servers_on_the_hosts_loopback_answer_the_default_network(t: &Sandbox) {
    let lab = Lab::for_users();
    lay_resolver_file(t, &lab, "nameserver 127.0.0.1\n");
    let mut server = lab.on_host("python3").args(["-c", &SERVER.replace("192.0.2.1", "127.0.0.1")]).spawn();
    server.expect("up");
    let ask = "cat /etc/resolv.conf; busybox nslookup -type=a far.example";
    let seen = lab.boxr(t, ["run", "--network", "bridge", "--", "sh", "-c", ask]).run().ok().text();
    assert!(seen.starts_with("nameserver 10.") && seen.contains("198.51.100.7"), "{seen}");
    server.signal(rustix::process::Signal::TERM);
    server.finish();
    take_resolver_file(&lab);
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn who_is_on_several_networks_knows_the_names_of_all(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    lay_resolver_file(t, &lab, "nameserver 192.0.2.1\n");
    let mut server = lab.on_internet("python3").args(["-c", SERVER]).spawn();
    server.expect("up");
    for root in [true, false] {
        let boxr = |args: &[&str]| match root {
            true => lab.boxr(t, args).run(),
            false => lab.boxr_as_user(t, &home, args).run(),
        };
        // The host's server knows none of their names, and says so.
        boxr(&["network", "create", "--subnet", "10.5.0.0/24", "near"]).ok();
        boxr(&["network", "create", "--subnet", "10.6.0.0/24", "away"]).ok();
        boxr(&["network", "create", "--subnet", "10.7.0.0/24", "--internal", "inner"]).ok();
        let keep = |name: &str, networks: &[&str]| {
            let flags: Vec<&str> = networks.iter().flat_map(|network| ["--network", network]).collect();
            boxr(&[&["run", "-d", "--name", name], &flags[..], &["--", "sleep", "1000"]].concat()).ok();
        };
        keep("there", &["away:ip=10.6.0.9"]);
        keep("hidden", &["inner:ip=10.7.0.9"]);
        keep("alone", &["near"]);
        keep("both", &["near", "away"]);
        keep("all", &["inner", "near", "away"]);
        keep("outer", &["inner", "bridge"]);
        let ask = |who: &str, name: &str| {
            let out = boxr(&["exec", who, "busybox", "nslookup", name]);
            out.text() + &out.errors()
        };
        for (who, name, told) in [
            ("both", "there", "10.6.0.9"),
            ("both", "10.6.0.9", "name = there"),
            ("all", "there", "10.6.0.9"),
            ("all", "hidden", "10.7.0.9"),
            ("there", "both", "10.6.0."),
            ("alone", "both", "10.5.0."),
            ("both", "far.example", "198.51.100.7"),
            // The first network leads nowhere, another one does.
            ("all", "far.example", "198.51.100.7"),
            ("outer", "far.example", "198.51.100.7"),
            // Who is on one network alone knows of no other.
            ("alone", "there", "NXDOMAIN"),
            ("both", "hidden", "NXDOMAIN"),
            ("hidden", "there", "NXDOMAIN"),
            ("hidden", "far.example", "NXDOMAIN"),
        ] {
            let seen = ask(who, name);
            assert!(seen.contains(told), "root {root}: {who} asks for {name}: {seen}");
        }
        // While they run, too.
        boxr(&["network", "connect", "away", "alone"]).ok();
        assert!(ask("alone", "there").contains("10.6.0.9"), "root {root}");
        boxr(&["network", "disconnect", "away", "both"]).ok();
        assert!(ask("both", "there").contains("NXDOMAIN"), "root {root}");
        boxr(&["rm", "-f", "there", "hidden", "alone", "both", "all", "outer"]).ok();
        boxr(&["network", "rm", "near", "away", "inner"]).ok();
    }
    server.signal(rustix::process::Signal::TERM);
    server.finish();
    take_resolver_file(&lab);
    assert_nothing_left(&home);
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn servers_that_a_box_is_told_are_asked_for_other_names_only(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    lay_resolver_file(t, &lab, "nameserver 192.0.2.1\n");
    // It knows another address.
    let other = SERVER.replace("192.0.2.1", FAR_AWAY).replace(r"\xc6\x33\x64\x07", r"\xcb\x00\x71\x09");
    let servers = [SERVER, &other].map(|script| {
        let mut server = lab.on_internet("python3").args(["-c", script]).spawn();
        server.expect("up");
        server
    });
    for root in [true, false] {
        let boxr = |args: &[&str]| match root {
            true => lab.boxr(t, args).run(),
            false => lab.boxr_as_user(t, &home, args).run(),
        };
        boxr(&["network", "create", "--subnet", "10.5.0.0/24", "near"]).ok();
        boxr(&["network", "create", "--subnet", "10.7.0.0/24", "--internal", "inner"]).ok();
        boxr(&["pod", "create", "--name", "shop", "--network", "near", "--dns", FAR_AWAY]).ok();
        let keep = |name: &str, flags: &[&str]| {
            boxr(&[&["run", "-d", "--name", name], flags, &["--", "sleep", "1000"]].concat()).ok();
        };
        keep("plain", &["--network", "near"]);
        keep("told", &["--network", "near", "--dns", FAR_AWAY]);
        keep("member", &["--pod", "shop"]);
        keep("hidden", &["--network", "inner", "--dns", FAR_AWAY]);
        keep("own", &["--network", "near", "--dns", "127.0.0.1"]);
        let ask = |who: &str, name: &str| {
            let out = boxr(&["exec", who, "busybox", "nslookup", "-type=a", name]);
            out.text() + &out.errors()
        };
        for (who, name, told) in [
            ("plain", "far.example", "198.51.100.7"),
            ("told", "far.example", "203.0.113.9"),
            ("member", "far.example", "203.0.113.9"),
            ("told", "plain", "10.5.0."),
            ("member", "plain", "10.5.0."),
            ("plain", "told", "10.5.0."),
            // It does not come out by its resolver either.
            ("hidden", "far.example", "NXDOMAIN"),
            ("hidden", "hidden", "10.7.0."),
        ] {
            let seen = ask(who, name);
            assert!(seen.contains(told), "root {root}: {who} asks for {name}: {seen}");
        }
        let shown = |who: &str| boxr(&["exec", who, "grep", "nameserver", "/etc/resolv.conf"]).ok().text();
        assert_eq!(shown("told"), "nameserver 10.5.0.1\n");
        // Whoever asks himself asks nobody else.
        assert_eq!(shown("own"), "nameserver 127.0.0.1\n");
        boxr(&["network", "disconnect", "near", "told"]).ok();
        assert_eq!(shown("told"), format!("nameserver {FAR_AWAY}\n"));
        boxr(&["network", "connect", "near", "told"]).ok();
        assert!(shown("told").starts_with("nameserver 10.5.0.1\n"));
        assert!(ask("told", "plain").contains("10.5.0."), "root {root}");
        boxr(&["pod", "rm", "-f", "shop"]).ok();
        boxr(&["rm", "-f", "--all"]).ok();
        boxr(&["network", "rm", "near", "inner"]).ok();
    }
    for server in servers {
        server.signal(rustix::process::Signal::TERM);
        server.finish();
    }
    take_resolver_file(&lab);
    assert_nothing_left(&home);
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_host_without_name_servers_has_boxes_that_know_their_neighbours(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    // A copy, in which the file can be missing.
    let etc = t.path("etc");
    let script = format!("cp -a /etc {0} && mount --bind {0} /etc", etc.display());
    lab.on_host("sh").args(["-c", &script]).run().ok();
    let boxr = |is_root, args: &[&str]| match is_root {
        true => lab.boxr(t, args),
        false => lab.boxr_as_user(t, &home, args),
    };
    for root in [true, false] {
        boxr(root, &["network", "create", "--subnet", "10.5.0.0/24", "asking"]).run().ok();
    }
    let conf = etc.join("resolv.conf");
    for said in [Some("# nothing yet\n\n; nor here\n"), None] {
        match said {
            Some(text) => std::fs::write(&conf, text).unwrap(),
            None => std::fs::remove_file(&conf).unwrap(),
        }
        for root in [true, false] {
            let show = "if test -e /etc/resolv.conf; then cat /etc/resolv.conf; fi; ip -o route show default";
            let seen = boxr(root, &["run", "--network", "bridge", "--", "sh", "-c", show]).run().ok().text();
            assert!(seen.starts_with("default via") && !seen.contains("nameserver"), "{said:?}: {seen}");
            // There it stands who answers. In the host's tree, that needs a file to be laid over.
            let ask = "cat /etc/resolv.conf; busybox nslookup -type=a me 10.5.0.1; busybox nslookup far.example 10.5.0.1";
            let run = ["run", "--name", "me", "--network", "asking", "--", "sh", "-c", ask];
            let told = boxr(root, &run).run();
            assert!(told.text().contains("Address: 10.5.0."), "{said:?}: {told:?}");
            assert_eq!(told.text().starts_with("nameserver 10.5.0.1\n"), said.is_some(), "{told:?}");
            // Nobody waits for servers that there are not.
            assert!((told.text() + &told.errors()).contains("SERVFAIL"), "{said:?}: {told:?}");
        }
    }
    for root in [true, false] {
        boxr(root, &["network", "rm", "asking"]).run().ok();
    }
    lab.on_host("umount").args(["/etc"]).run().ok();
    std::fs::remove_dir_all(&etc).unwrap();
    assert_nothing_left(&home);
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn an_empty_resolver_file_starts_nothing_that_would_ask_it(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let conf = lay_resolver_file(t, &lab, "");
    for root in [true, false] {
        let boxr = |args: &[&str]| match root {
            true => lab.boxr(t, args),
            false => lab.boxr_as_user(t, &home, args),
        };
        boxr(&["network", "create", "asking"]).run().ok();
        boxr(&["network", "create", "--internal", "inside"]).run().ok();
        std::fs::write(&conf, "# none\n").unwrap();
        boxr(&["run", "-d", "--name", "earlier", "--network", "asking", "--", "sleep", "1000"]).run().ok();
        std::fs::write(&conf, "\n").unwrap();
        for network in ["bridge", "asking"] {
            for mode in ["--rm", "-d"] {
                let run = ["run", mode, "--network", network, "-p", "8080:80", "--", "true"];
                boxr(&run).run().exits(125).blames("/etc/resolv.conf").blames("--dns ADDRESS");
            }
        }
        boxr(&["pod", "create", "--name", "group"]).run().ok();
        boxr(&["pod", "start", "group"]).run().exits(125).blames("/etc/resolv.conf");
        boxr(&["pod", "rm", "-f", "group"]).run().ok();
        // Whoever ran before starts again: the file may be about to be written.
        assert_eq!(boxr(&["ps", "-a", "--format", "{{.Names}}"]).run().ok().text(), "earlier\n");
        boxr(&["restart", "-t", "0", "earlier"]).run().ok();
        boxr(&["rm", "-f", "earlier"]).run().ok();
        for flags in [
            &["--dns", "192.0.2.53"][..],
            &["--network", "inside"],
            &["--network", "none"],
            &["--network", "host"],
        ] {
            let network = if flags[0] == "--dns" { &["--network", "asking"][..] } else { &[] };
            boxr(&[&["run", "--rm"], network, flags, &["--", "true"]].concat()).run().ok();
        }
        boxr(&["network", "rm", "asking", "inside"]).run().ok();
    }
    take_resolver_file(&lab);
    assert_nothing_left(&home);
    assert_no_network_left(t, &lab);
    lab.end(t);
}
