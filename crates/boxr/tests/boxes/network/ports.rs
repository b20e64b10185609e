//! Ports that come and go while a box runs.

use boxr_testing::lab::{Lab, NEIGHBOUR};
use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::Signal;

use super::{BUSYBOX, NET, ROOT, assert_no_network_left, serve, site};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(ports_come_and_go_while_a_box_runs, ROOT, NET, BUSYBOX),
    test!(what_is_no_port_to_change_is_named, ROOT, NET, BUSYBOX),
    test!(datagrams_find_a_port_that_was_published_after_the_first, ROOT, NET, PYTHON),
];

const PYTHON: Need = Need::Tool(Tool::Python);

fn ports_come_and_go_while_a_box_runs(t: &Sandbox) {
    let lab = Lab::new();
    let dir = site(t, "inside");
    serve(t, &lab, "web", &dir, &["-p", "8080:80", "-p", "8090-8092:80-82"]);
    let fetch = |port: u16| lab.fetch(&format!("http://127.0.0.1:{port}/who")).run();
    let listens =
        |port: &str| lab.on_host("busybox").args(["timeout", "1", "busybox", "nc", "-l", "-p", port]).run();
    lab.boxr(t, ["port", "add", "web", "8081:80"]).run().ok().prints("80/tcp -> 0.0.0.0:8081\n");
    fetch(8081).ok().prints("inside");
    // Held, so that others are told.
    assert!(listens("8081").errors().contains("in use"));
    lab.boxr(t, ["run", "-p", "8081:80", "--", "true"]).run().exits(125).blames("container web");
    lab.boxr(t, ["port", "add", "web", "8081:80"]).run().exits(1).blames("container web");
    lab.boxr(t, ["port", "rm", "web", "8080:80", "82"]).run().ok().prints("");
    fetch(8080).exits(1);
    fetch(8081).ok().prints("inside");
    // Nobody's now.
    lab.boxr(t, ["run", "-p", "8080:80", "--", "true"]).run().ok();
    assert!(!listens("8080").errors().contains("in use"));
    let all = "80/tcp -> 0.0.0.0:8090\n81/tcp -> 0.0.0.0:8091\n80/tcp -> 0.0.0.0:8081\n";
    lab.boxr(t, ["port", "web"]).run().ok().prints(all);
    // At every start from now on, and while it does not run.
    lab.boxr(t, ["stop", "-t", "0", "web"]).run().ok();
    lab.boxr(t, ["port", "add", "web", "8085:80"]).run().ok();
    lab.boxr(t, ["port", "rm", "web", "8090-8091:80-81"]).run().ok();
    lab.boxr(t, ["start", "web"]).run().ok();
    wait_until("it serves", || fetch(8085).status.success());
    fetch(8081).ok().prints("inside");
    lab.boxr(t, ["port", "web"]).run().ok().prints("80/tcp -> 0.0.0.0:8081\n80/tcp -> 0.0.0.0:8085\n");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn what_is_no_port_to_change_is_named(t: &Sandbox) {
    let lab = Lab::new();
    serve(t, &lab, "web", &site(t, "inside"), &["-p", "8080:80"]);
    lab.boxr(t, ["run", "-d", "--name", "apart", "--network", "none", "--", "sleep", "1000"]).run().ok();
    for (words, told) in [
        (["add", "web", "80:"], "missing"),
        (["add", "web", "203.0.113.5:80:80"], "no device of the host"),
        (["add", "nobody", "80"], "nobody"),
        (["add", "apart", "80"], "network"),
        (["rm", "web", "81"], "no such port"),
        (["rm", "web", "8081:80"], "no such port"),
        (["rm", "web", "80/udp"], "no such port"),
    ] {
        lab.boxr(t, ["port"]).args(words).run().exits(1).blames(told);
    }
    lab.fetch("http://127.0.0.1:8080/who").run().ok().prints("inside");
    lab.boxr(t, ["rm", "-f", "web", "apart"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

/// Sends from one port, and prints who answers, until somebody does.
const ASKING: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('192.0.2.1', 4000))
s.settimeout(0.2)
s.sendto(b'hello', ('192.0.2.2', 9000))
print('sent', flush=True)
while True:
    try:
        s.sendto(b'hello', ('192.0.2.2', 9000))
        print(s.recv(100).decode(), flush=True)
        break
    except OSError:
        pass
"#;

const ANSWERING: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 9000))
print('up', flush=True)
while True:
    data, who = s.recvfrom(100)
    s.sendto(('seen ' + who[0]).encode(), who)
"#;

fn datagrams_find_a_port_that_was_published_after_the_first(t: &Sandbox) {
    let lab = Lab::new();
    let run =
        ["run", "-d", "--name", "one", "--network", "bridge", "--", "/usr/bin/python3", "-c", ANSWERING];
    lab.boxr(t, run).run().ok();
    wait_until("it listens", || lab.boxr(t, ["logs", "one"]).run().ok().text().contains("up"));
    let mut client = lab.on_internet("/usr/bin/python3").args(["-c", ASKING]).spawn();
    client.expect("sent");
    lab.boxr(t, ["port", "add", "one", "9000:9000/udp"]).run().ok();
    client.expect(&format!("seen {NEIGHBOUR}"));
    client.finish().ok();
    // The same client, another box.
    lab.boxr(t, ["rm", "-f", "one"]).run().ok();
    let again =
        ["run", "-d", "--name", "two", "-p", "9000:9000/udp", "--", "/usr/bin/python3", "-c", ANSWERING];
    let mut client = lab.on_internet("/usr/bin/python3").args(["-c", ASKING]).spawn();
    client.expect("sent");
    lab.boxr(t, again).run().ok();
    client.expect(&format!("seen {NEIGHBOUR}"));
    client.signal(Signal::TERM);
    client.finish();
    lab.boxr(t, ["rm", "-f", "two"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}
