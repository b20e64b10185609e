//! Ports at `::1` of root's boxes, which a process of boxr's serves.

use boxr_testing::lab::Lab;
use boxr_testing::processes::{Process, descendants};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::{Signal, getppid, kill_process};

use super::{BUSYBOX, NET, ROOT, assert_no_network_left, serve, site};
use crate::crash::Walk;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_port_at_the_loopback_address_of_ipv6_is_served, ROOT, NET, BUSYBOX),
    test!(both_sides_say_all_that_they_have_to_say, ROOT, NET, PYTHON),
    test!(datagrams_to_the_loopback_address_are_answered, ROOT, NET, PYTHON),
    test!(a_client_sees_that_nobody_serves, ROOT, NET, PYTHON),
    test!(more_clients_than_there_is_room_for_wait, ROOT, NET, PYTHON; deadline 120),
    test!(a_forwarder_that_was_killed_is_started_again, ROOT, NET, BUSYBOX),
    test!(a_forwarder_ends_with_its_box_whatever_was_killed, ROOT, NET, BUSYBOX),
    test!(ports_of_a_forwarder_come_and_go, ROOT, NET, BUSYBOX, PYTHON),
    test!(a_forwarder_follows_its_box_to_another_network, ROOT, NET, BUSYBOX),
    test!(a_pod_has_a_forwarder, ROOT, NET, BUSYBOX),
    test!(
        boxr_killed_at_calls_of_a_start_leaves_no_forwarder,
        ROOT,
        NET,
        Need::Tool(Tool::Strace);
        deadline 600
    ),
];

const PYTHON: Need = Need::Tool(Tool::Python);
const URL: &str = "http://[::1]:8080/who";
/// So many connections at most (`forwarder/serve.rs`).
const MOST: usize = 1024;

/// The forwarders below the supervisor of this test.
fn forwarders() -> Vec<Process> {
    let all = descendants(getppid().unwrap());
    all.into_iter().filter(|process| process.comm == "boxr-forwarder").collect()
}

#[track_caller]
fn the_forwarder() -> Process {
    let mut all = forwarders();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[track_caller]
fn kill(process: &Process) {
    kill_process(process.pid, Signal::KILL).unwrap();
    wait_until("it has ended", || forwarders().iter().all(|other| other.pid != process.pid));
}

/// KiB that it alone has written to.
fn private(process: &Process) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).unwrap();
    let dirty = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    dirty.split_whitespace().next().unwrap().parse().unwrap()
}

fn descriptors(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.pid)).unwrap().count()
}

/// Clock ticks that it has used, of which there are a hundred in a second.
fn used(process: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// A box that runs a script of python's.
#[track_caller]
fn run_python(t: &Sandbox, lab: &Lab, flags: &[&str], script: &str) {
    let run = ["run", "-d", "--name", "web"];
    lab.boxr(t, run).args(flags).args(["--", "/usr/bin/python3", "-c", script]).run().ok();
    wait_until("it listens", || lab.boxr(t, ["logs", "web"]).run().ok().text().contains("up"));
}

fn python(lab: &Lab, script: &str) -> Cmd {
    lab.on_host("/usr/bin/python3").args(["-c", script])
}

#[track_caller]
fn end(t: &Sandbox, lab: Lab) {
    lab.boxr(t, ["rm", "-f", "--all"]).run().ok();
    assert!(forwarders().is_empty(), "{:?}", forwarders());
    lab.boxr(t, ["network", "prune", "-f"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_port_at_the_loopback_address_of_ipv6_is_served(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["network", "create", "--subnet", "fd00:6::/64", "--subnet", "10.6.0.0/24", "six"])
        .run()
        .ok();
    let dir = site(t, "inside");
    // One has an address of IPv4 only.
    for (network, to) in [("bridge", "10."), ("six", "[fd00:6::")] {
        let flags = ["--network", network, "-p", "[::1]:8080:80", "-p", "127.0.0.1:8080:80"];
        lab.boxr(t, ["run", "-d", "--name", "web"])
            .args(flags)
            .args(["--", "busybox", "httpd", "-f", "-v", "-p", "80", "-h", &dir])
            .run()
            .ok();
        // It listens already.
        let listening = lab.on_host("ss").args(["-Htlnp", "sport = :8080"]).run().ok().text();
        assert!(listening.contains("[::1]:8080") && listening.contains("boxr-forwarder"), "{listening}");
        wait_until("it serves", || lab.fetch(URL).run().status.success());
        lab.fetch(URL).run().ok().prints("inside");
        lab.fetch("http://127.0.0.1:8080/who").run().ok().prints("inside");
        for elsewhere in ["http://[2001:db8::2]:8080/who", "http://192.0.2.2:8080/who"] {
            lab.fetch(elsewhere).run().exits(1);
        }
        lab.boxr(t, ["port", "web"]).run().ok().prints("80/tcp -> [::1]:8080\n80/tcp -> 127.0.0.1:8080\n");
        let ports = lab.boxr(t, ["inspect", "-f", "{{json .NetworkSettings.Ports}}", "web"]).run().ok();
        ports.shows(r#""HostIp":"::1""#);
        let told = lab.boxr(t, ["network", "explain", "8080"]).run().ok().text();
        assert!(told.contains("boxr-forwarder (process") && told.contains(&format!("on to {to}")), "{told}");
        // The port is taken, whoever asks.
        lab.boxr(t, ["run", "-p", "[::1]:8080:80", "--", "true"]).run().exits(125).blames("container web");
        lab.boxr(t, ["port", "add", "web", "[::1]:8080:81"]).run().exits(1).blames("container web");
        let listen = ["1", "busybox", "httpd", "-f", "-p", "[::1]:8080"];
        assert!(lab.on_host("timeout").args(listen).run().errors().contains("in use"));
        let one = the_forwarder();
        let status = std::fs::read_to_string(format!("/proc/{}/status", one.pid)).unwrap();
        for right in ["CapPrm", "CapEff", "CapInh"] {
            assert!(status.contains(&format!("{right}:\t0000000000000000\n")), "{status}");
        }
        assert!(private(&one) < 512, "{} KiB", private(&one));
        lab.boxr(t, ["rm", "-f", "web"]).run().ok();
        assert!(forwarders().is_empty());
        lab.fetch(URL).run().exits(1);
    }
    // Without such a port there is none; and another program's is no box's.
    lab.boxr(t, ["run", "-d", "-p", "8081:80", "--", "sleep", "1000"]).run().ok();
    assert!(forwarders().is_empty());
    let other = lab.on_host("busybox").args(["httpd", "-f", "-p", "[::1]:8080"]).spawn();
    let listens = || lab.on_host("ss").args(["-Htln", "sport = :8080"]).run().ok().text();
    wait_until("it listens", || !listens().is_empty());
    lab.boxr(t, ["run", "-p", "[::1]:8080:80", "--", "true"]).run().exits(125).blames("in use by busybox");
    other.signal(Signal::TERM);
    other.finish();
    let sctp = ["run", "-p", "[::1]:8080:80/sctp", "--", "true"];
    lab.boxr(t, sctp).run().exits(125).blames("tcp and udp");
    end(t, lab);
}

/// Takes all that a client says until its end, and then says more than any buffer holds.
const TALKING: &str = r"
import socket, hashlib
s = socket.create_server(('0.0.0.0', 80))
print('up', flush=True)
while True:
    c, _ = s.accept()
    seen = hashlib.sha256()
    while data := c.recv(65536):
        seen.update(data)
    c.sendall(seen.hexdigest().encode() + b'x' * 20000000)
    c.close()
";

const LISTENING: &str = r"
import socket, hashlib, os
data = os.urandom(20000000)
c = socket.create_connection(('::1', 8080))
c.sendall(data)
c.shutdown(socket.SHUT_WR)
said = bytearray()
while more := c.recv(65536):
    said += more
print(said[:64].decode() == hashlib.sha256(data).hexdigest(), len(said))
";

fn both_sides_say_all_that_they_have_to_say(t: &Sandbox) {
    let lab = Lab::new();
    run_python(t, &lab, &["-p", "[::1]:8080:80"], TALKING);
    let before = descriptors(&the_forwarder());
    let clients: Vec<_> = (0..3).map(|_| python(&lab, LISTENING).spawn()).collect();
    for client in clients {
        client.finish().ok().prints("True 20000064\n");
    }
    let one = the_forwarder();
    wait_until("nothing is left of them", || descriptors(&one) == before);
    assert!(private(&one) < 512, "{} KiB", private(&one));
    // The port can be had again, although connections of it have ended a moment ago.
    lab.boxr(t, ["restart", "-t", "0", "web"]).run().ok();
    wait_until("it listens", || python(&lab, LISTENING).run().text() == "True 20000064\n");
    end(t, lab);
}

const ECHOING: &str = r"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 80))
print('up', flush=True)
while True:
    data, who = s.recvfrom(65536)
    s.sendto(b'seen ' + data, who)
";

/// More clients than it keeps, each of which asks twice.
const ASKING: &str = r"
import socket
socks = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(600)]
for n, s in enumerate(socks):
    s.settimeout(10)
    s.connect(('::1', 8080))
    for size in (4, 30000):
        data = (str(n) + ' ' * size).encode()
        s.send(data)
        assert s.recv(65536) == b'seen ' + data
first = socks[0]
first.send(b'')
assert first.recv(100) == b'seen '
print('all')
";

fn datagrams_to_the_loopback_address_are_answered(t: &Sandbox) {
    let lab = Lab::new();
    run_python(t, &lab, &["-p", "[::1]:8080:80/udp"], ECHOING);
    let one = the_forwarder();
    python(&lab, ASKING).run().ok().prints("all\n");
    assert!(descriptors(&one) < 600, "{}", descriptors(&one));
    assert!(private(&one) < 512, "{} KiB", private(&one));
    lab.boxr(t, ["port", "web"]).run().ok().prints("80/udp -> [::1]:8080\n");
    end(t, lab);
}

const REFUSED: &str = r"
import socket
c = socket.create_connection(('::1', 8080))
try:
    print(c.recv(10))
except ConnectionResetError:
    print('reset')
";

/// Cuts each connection when it has heard something.
const CUTTING: &str = r"
import socket, struct
s = socket.create_server(('0.0.0.0', 80))
print('up', flush=True)
while True:
    c, _ = s.accept()
    c.recv(1)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    c.close()
";

fn a_client_sees_that_nobody_serves(t: &Sandbox) {
    let lab = Lab::new();
    let run = ["run", "-d", "--name", "web", "-p", "[::1]:8080:80", "--", "sleep", "1000"];
    lab.boxr(t, run).run().ok();
    let before = descriptors(&the_forwarder());
    python(&lab, REFUSED).run().ok().prints("reset\n");
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    run_python(t, &lab, &["-p", "[::1]:8080:80"], CUTTING);
    python(&lab, &REFUSED.replace("try:", "c.send(b'1')\ntry:")).run().ok().prints("reset\n");
    // And it goes on.
    let one = the_forwarder();
    wait_until("nothing is left of them", || descriptors(&one) == before);
    end(t, lab);
}

/// Accepts all, and says nothing but to one that greets; it does not end what others have begun.
const SILENT: &str = r"
import socket, threading, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
s = socket.create_server(('0.0.0.0', 80), backlog=4096)
print('up', flush=True)
kept = []
def talk(c):
    said = c.recv(5, socket.MSG_WAITALL)
    if said == b'hello':
        c.sendall(b'yes')
    if said != b'xxxxx':
        c.close()
while True:
    c, _ = s.accept()
    kept.append(c)
    threading.Thread(target=talk, args=(c,), daemon=True).start()
";

/// Many that say as much as they can and do not read; when told to, they go.
const CROWDING: &str = r"
import socket, sys, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
socks = []
for n in range(1300):
    c = socket.socket(socket.AF_INET6)
    c.setblocking(False)
    try:
        c.connect(('::1', 8080))
    except BlockingIOError:
        pass
    socks.append(c)
for c in socks[:20]:
    c.setblocking(True)
    c.settimeout(0.05)
    try:
        while True:
            c.send(b'x' * 100000)
    except TimeoutError:
        pass
print('all', flush=True)
sys.stdin.read()
";

fn more_clients_than_there_is_room_for_wait(t: &Sandbox) {
    let lab = Lab::new();
    run_python(t, &lab, &["-p", "[::1]:8080:80"], SILENT);
    let one = the_forwarder();
    let before = descriptors(&one);
    let mut crowd = python(&lab, CROWDING).spawn();
    crowd.expect("all");
    wait_until("there is no room left", || descriptors(&one) == before + 2 * MOST);
    assert!(private(&one) < 512, "{} KiB", private(&one));
    let hello =
        "import socket\nc = socket.create_connection(('::1', 8080))\nc.send(b'hello')\nprint(c.recv(3))\n";
    let mut late = python(&lab, hello).spawn();
    // It waits, and nobody spins meanwhile: a second of turns would be a hundred ticks.
    let start = used(&one);
    let began = std::time::Instant::now();
    wait_until("some time has gone by", || began.elapsed() > std::time::Duration::from_secs(2));
    assert!(used(&one) - start < 20, "{} ticks", used(&one) - start);
    crowd.close_stdin();
    crowd.finish().ok();
    late.expect("yes");
    late.finish().ok();
    wait_until("nothing is left of them", || descriptors(&one) < before + 60);
    end(t, lab);
}

fn a_forwarder_that_was_killed_is_started_again(t: &Sandbox) {
    let lab = Lab::new();
    serve(t, &lab, "web", &site(t, "inside"), &["-p", "[::1]:8080:80"]);
    for command in [vec!["network", "ls"], vec!["network", "reload"], vec!["port", "web"]] {
        kill(&the_forwarder());
        lab.fetch(URL).run().exits(1).blames("refused");
        let told = lab.boxr(t, ["network", "explain", "8080"]).run().text();
        assert!(told.contains("its boxr-forwarder does not run"), "{told}");
        lab.boxr(t, command).run().ok();
        lab.fetch(URL).run().ok().prints("inside");
    }
    // What another has taken meanwhile stays that one's, and stops nobody.
    kill(&the_forwarder());
    let other = lab.on_host("busybox").args(["httpd", "-f", "-p", "[::1]:8080"]).spawn();
    let listens = || lab.on_host("ss").args(["-Htln", "sport = :8080"]).run().ok().text();
    wait_until("it listens", || !listens().is_empty());
    lab.boxr(t, ["network", "ls"]).run().ok();
    wait_until("the one that found no port has ended", || forwarders().is_empty());
    other.signal(Signal::TERM);
    other.finish();
    lab.boxr(t, ["network", "ls"]).run().ok();
    lab.fetch(URL).run().ok().prints("inside");
    end(t, lab);
}

fn a_forwarder_ends_with_its_box_whatever_was_killed(t: &Sandbox) {
    let lab = Lab::new();
    serve(t, &lab, "web", &site(t, "inside"), &["-p", "[::1]:8080:80"]);
    let hold = "import socket, sys\nc = socket.create_connection(('::1', 8080))\nprint('there', flush=True)\n\
                sys.stdin.read()\n";
    let mut held = python(&lab, hold).spawn();
    held.expect("there");
    // The box ends by itself, while a client is there.
    lab.boxr(t, ["kill", "web"]).run().ok();
    wait_until("its forwarder has ended", || forwarders().is_empty());
    lab.boxr(t, ["start", "web"]).run().ok();
    wait_until("it serves", || lab.fetch(URL).run().status.success());
    let first = lab.boxr(t, ["inspect", "-f", "{{.State.Pid}}", "web"]).run().ok().word();
    let one = the_forwarder();
    super::robust::kill_all_of(t, &lab, "web");
    assert!(!std::path::Path::new(&format!("/proc/{first}/exe")).exists());
    wait_until("its forwarder has ended", || forwarders().iter().all(|other| other.pid != one.pid));
    lab.boxr(t, ["start", "web"]).run().ok();
    wait_until("it serves", || lab.fetch(URL).run().status.success());
    held.close_stdin();
    held.finish().ok();
    // In the foreground, too.
    let run = ["run", "--name", "front", "-p", "[::1]:8081:80", "--", "sh", "-c", "echo up; cat"];
    let mut front = lab.boxr(t, run).spawn();
    front.expect("up");
    wait_until("it has one of its own", || forwarders().len() == 2);
    front.signal(Signal::KILL);
    front.finish();
    wait_until("its forwarder has ended", || forwarders().len() == 1);
    end(t, lab);
}

fn ports_of_a_forwarder_come_and_go(t: &Sandbox) {
    let lab = Lab::new();
    serve(t, &lab, "web", &site(t, "inside"), &["--network", "bridge"]);
    let fetch = |port: u16| lab.fetch(&format!("http://[::1]:{port}/who")).run();
    lab.boxr(t, ["port", "add", "web", "[::1]:8080:80"]).run().ok().prints("80/tcp -> [::1]:8080\n");
    fetch(8080).ok().prints("inside");
    let first = the_forwarder();
    // A connection that is there goes on, while ports come and go.
    let script = "import socket, sys\nc = socket.create_connection(('::1', 8080))\nc.send(b'GET /who HTTP/1.0\\r\\n')\n\
                  print('there', flush=True)\nsys.stdin.read()\nc.send(b'\\r\\n')\nprint(c.makefile().read()[-6:])\n";
    let mut there = python(&lab, script).spawn();
    there.expect("there");
    lab.boxr(t, ["port", "add", "web", "[::1]:8081:80"]).run().ok().prints("80/tcp -> [::1]:8081\n");
    fetch(8080).ok().prints("inside");
    fetch(8081).ok().prints("inside");
    lab.boxr(t, ["port", "rm", "web", "[::1]:8080:80"]).run().ok();
    fetch(8080).exits(1).blames("refused");
    fetch(8081).ok().prints("inside");
    lab.boxr(t, ["port", "rm", "web", "[::1]:8081:80"]).run().ok();
    fetch(8081).exits(1).blames("refused");
    assert_eq!(forwarders().iter().map(|one| one.pid).collect::<Vec<_>>(), [first.pid]);
    there.close_stdin();
    there.finish().ok().shows("inside");
    wait_until("the last one has ended with it", || forwarders().is_empty());
    // Other ports need none, and what is refused changes nothing.
    lab.boxr(t, ["port", "add", "web", "[::1]:8080:80", "127.0.0.1:8081:80"]).run().ok();
    let one = the_forwarder();
    lab.boxr(t, ["port", "add", "web", "[::1]:8082:80", "127.0.0.1:8081:81"])
        .run()
        .exits(1)
        .blames("in use by container web");
    lab.boxr(t, ["port", "rm", "web", "127.0.0.1:8081:80"]).run().ok();
    assert_eq!(the_forwarder().pid, one.pid);
    fetch(8080).ok().prints("inside");
    end(t, lab);
}

fn a_forwarder_follows_its_box_to_another_network(t: &Sandbox) {
    let lab = Lab::new();
    for (name, subnet) in [("blue", "10.5.0.0/24"), ("red", "fd00:7::/64")] {
        lab.boxr(t, ["network", "create", "--subnet", subnet, name]).run().ok();
    }
    serve(t, &lab, "web", &site(t, "inside"), &["--network", "blue", "-p", "[::1]:8080:80"]);
    lab.boxr(t, ["network", "connect", "red", "web"]).run().ok();
    lab.fetch(URL).run().ok().prints("inside");
    lab.boxr(t, ["network", "disconnect", "blue", "web"]).run().ok();
    wait_until("it serves", || lab.fetch(URL).run().status.success());
    lab.boxr(t, ["network", "disconnect", "red", "web"]).run().ok();
    wait_until("nobody leads there", || forwarders().is_empty());
    lab.boxr(t, ["network", "ls"]).run().ok();
    lab.boxr(t, ["network", "connect", "blue", "web"]).run().ok();
    lab.fetch(URL).run().ok().prints("inside");
    end(t, lab);
}

fn a_pod_has_a_forwarder(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["pod", "create", "--name", "shop", "-p", "[::1]:8080:80"]).run().ok();
    for _ in 0..2 {
        let flags = ["--pod", "shop"];
        serve(t, &lab, "web", &site_again(t), &flags);
        lab.fetch(URL).run().ok().prints("inside");
        // The member goes; the pod is there, and its port.
        lab.boxr(t, ["rm", "-f", "web"]).run().ok();
        serve(t, &lab, "web", &site_again(t), &flags);
        lab.fetch(URL).run().ok().prints("inside");
        lab.boxr(t, ["rm", "-f", "web"]).run().ok();
        lab.boxr(t, ["pod", "stop", "-t", "0", "shop"]).run().ok();
        assert!(forwarders().is_empty());
    }
    lab.boxr(t, ["pod", "rm", "-f", "shop"]).run().ok();
    end(t, lab);
}

/// The same directory at each call.
fn site_again(t: &Sandbox) -> String {
    match t.path("inside").exists() {
        true => t.path("inside").display().to_string(),
        false => site(t, "inside"),
    }
}

fn boxr_killed_at_calls_of_a_start_leaves_no_forwarder(t: &Sandbox) {
    let lab = Lab::new();
    let start = |program: &str| lab.on_host(program);
    let most = if std::env::var_os("BOXR_WALK").is_some() { usize::MAX } else { 40 };
    let clean_up = || {
        lab.boxr(t, ["ps", "-a"]).run().ok();
        lab.boxr(t, ["rm", "--force", "--all"]).run().ok();
        lab.boxr(t, ["network", "prune", "-f"]).run().ok();
        // One that was about to start finds nothing to do.
        wait_until("none is left", || forwarders().is_empty());
        lab.boxr(t, ["network", "prune", "-f"]).run().ok();
        assert_no_network_left(t, &lab);
    };
    let run = ["run", "-d", "--name", "victim", "-p", "[::1]:8080:80", "--", "sleep", "1000"];
    Walk { t, start: &start, most }.of(&run, || (), clean_up);
    let prepare = || lab.boxr(t, run).run().ok();
    Walk { t, start: &start, most: most / 2 }.of(
        &["port", "add", "victim", "[::1]:8081:80"],
        || drop(prepare()),
        || {
            // What is told to be there is.
            lab.boxr(t, ["network", "ls"]).run().ok();
            for line in lab.boxr(t, ["port", "victim"]).run().ok().lines() {
                let at = format!("sport = :{}", line.rsplit(':').next().unwrap());
                assert!(!lab.on_host("ss").args(["-Htln", &at]).run().ok().text().is_empty(), "{line}");
            }
            clean_up();
        },
    );
    end(t, lab);
}
