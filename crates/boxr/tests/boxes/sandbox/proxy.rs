//! `--allow-net HOST`: what goes through boxr's proxy, and what tries to.

use std::io::{Read, Write};
use std::net::TcpListener;

use boxr_testing::{Cmd, Need, Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_listed_host_is_reached_and_others_are_named, USERNS),
    test!(all_of_the_network_is_the_hosts_without_its_abstract_sockets, USERNS, Need::Kernel(6, 12)),
    test!(attack_a_listed_name_with_a_private_address_leads_nowhere, USERNS),
    test!(attack_broken_requests_and_many_connections_are_survived, USERNS),
    test!(attack_nothing_goes_around_the_proxy, USERNS),
    test!(the_proxy_ends_when_boxr_is_killed, USERNS),
];

const USERNS: Need = Need::UserNamespaces;

/// Answers every connection with a greeting, on a free port of the loopback address.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut piece = [0; 1024];
            let count = stream.read(&mut piece).unwrap();
            let head = String::from_utf8_lossy(&piece[..count]).into_owned();
            let line = head.lines().next().unwrap_or_default();
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello: {line}\n").ok();
        }
    });
    port
}

/// A sandbox with a probe in its directory, that may reach these hosts.
fn sandbox(t: &Sandbox, hosts: &[&str], script: &str) -> Cmd {
    let project = t.path("project");
    std::fs::create_dir_all(&project).unwrap();
    let probe = t.probe(&project.join("probe"));
    let script = format!("ask() {{ {probe} --as=exchange 127.0.0.1:1080; }}; {script}");
    let allow = hosts.iter().flat_map(|host| ["--allow-net", host]);
    t.run(["--sandbox"]).args(allow).args(["--", "sh", "-c", &script]).cwd(project)
}

fn a_listed_host_is_reached_and_others_are_named(t: &Sandbox) {
    let port = serve();
    let place = format!("127.0.0.1:{port}");
    let script = format!(
        "printf 'GET http://{place}/a HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' | ask | tail -n 1
        printf 'CONNECT {place} HTTP/1.1\\r\\n\\r\\nGET /b HTTP/1.1\\r\\n\\r\\n' | ask | tail -n 1
        printf '\\5\\1\\0\\5\\1\\0\\1\\177\\0\\0\\1\\{:03o}\\{:03o}GET /c HTTP/1.1\\r\\n\\r\\n' | ask | tail -n 1
        for i in 1 2; do printf 'CONNECT registry.npmjs.org:443 HTTP/1.1\\r\\n\\r\\n' | ask | head -n 1; done
        printf '\\5\\1\\0\\5\\1\\0\\3\\3a.b\\0\\120' | ask | od -An -tx1 | tail -c 31
        echo $http_proxy $HTTPS_PROXY $ALL_PROXY $no_proxy",
        port >> 8,
        port & 0xff,
    );
    let out = sandbox(t, &[&place, "*.example.org"], &script).run().ok();
    let text = out.text();
    for path in ["a", "b", "c"] {
        assert!(text.contains(&format!("hello: GET /{path} HTTP/1.1\n")), "{path}: {}", out.story());
    }
    assert_eq!(text.matches("HTTP/1.1 403 Forbidden").count(), 2, "{}", out.story());
    assert!(text.contains("05 02 00 01"), "{}", out.story());
    assert!(
        text.contains("http://127.0.0.1:1080 http://127.0.0.1:1080 http://127.0.0.1:1080 localhost,"),
        "{}",
        out.story()
    );
    assert!(
        out.errors().contains(
            "boxr: 2 connections to registry.npmjs.org:443 refused: --allow-net registry.npmjs.org:443\n"
        ),
        "{}",
        out.story()
    );
    assert!(
        out.errors().contains("boxr: 1 connection to a.b:80 refused: --allow-net a.b:80\n"),
        "{}",
        out.story()
    );
    t.assert_nothing_left();
    for wrong in ["a b", "http://a", "a:0", "[::1"] {
        sandbox(t, &[wrong], "true").run().exits(125).blames("--allow-net");
    }
}

fn all_of_the_network_is_the_hosts_without_its_abstract_sockets(t: &Sandbox) {
    let port = serve();
    std::fs::create_dir_all(t.path("project")).unwrap();
    let probe = t.probe(&t.path("project/probe"));
    let name = format!("boxr-test-{}", std::process::id());
    let mut server = Cmd::new(&probe).args(["--as=abstract-server", &name]).spawn();
    server.expect("\n");
    let script = format!(
        "echo hi | {probe} --as=exchange 127.0.0.1:{port} | tail -n 1; {probe} --as=abstract-client {name} 2>/dev/null || echo refused"
    );
    let run = |flags: &[&str]| {
        t.run(["--sandbox"]).args(flags).args(["--", "sh", "-c", &script]).cwd(t.path("project")).run()
    };
    run(&["--allow-net"]).ok().prints("hello: hi\nrefused\n");
    let waits = ["--sandbox", "--allow-net", "--name", "it", "--", "sh", "-c", "echo up; read end"];
    let mut running = t.run(waits).cwd(t.path("project")).spawn();
    running.expect("up");
    t.boxr(["exec", "it", "sh", "-c", &script]).run().ok().prints("hello: hi\nrefused\n");
    running.write("end\n");
    running.finish().ok();
    server.signal(rustix::process::Signal::KILL);
    server.finish();
}

/// DNS rebinding: whoever owns a listed name says that it has an address of this machine.
fn attack_a_listed_name_with_a_private_address_leads_nowhere(t: &Sandbox) {
    let port = serve();
    let project = t.path("project");
    std::fs::create_dir_all(&project).unwrap();
    let probe = t.probe(&project.join("probe"));
    let hosts = t.file(
        "hosts",
        "127.0.0.1 loop.example\n169.254.169.254 meta.example\n::1 six.example\n10.0.0.1 lan.example\n",
    );
    let inside = format!(
        "for h in loop meta six lan; do printf 'CONNECT %s.example:{port} HTTP/1.1\\r\\n\\r\\n' $h | {probe} --as=exchange 127.0.0.1:1080; done; \
        printf 'CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\n' | {probe} --as=exchange 127.0.0.1:1080"
    );
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let line = format!(
        "mount --bind {hosts} /etc/hosts && exec {} {words} run --sandbox --allow-net '*.example' -- sh -c \"$INSIDE\"",
        t.program().display()
    );
    let out = t
        .surrounded(Cmd::new("unshare"))
        .env("INSIDE", &inside)
        .args(["-U", "-m", "--map-root-user", "sh", "-c", &line])
        .cwd(project)
        .run()
        .ok();
    assert_eq!(out.text().matches("403 Forbidden").count(), 5, "{}", out.story());
    assert!(!out.text().contains("hello"), "{}", out.story());
    for address in ["127.0.0.1", "169.254.169.254", "::1", "10.0.0.1"] {
        assert!(
            out.errors().contains(&format!("it has the address {address}, which is not of the internet")),
            "{}",
            out.story()
        );
    }
}

fn attack_broken_requests_and_many_connections_are_survived(t: &Sandbox) {
    let port = serve();
    let place = format!("127.0.0.1:{port}");
    let script = format!(
        "head -c 200000 /dev/zero | ask >/dev/null; printf '\\5' | timeout 1 ./probe --as=exchange 127.0.0.1:1080; printf 'GET / HTTP/1.1\\r\\n\\r\\n' | ask | head -n 1
        head -c 5000 /dev/urandom | ask >/dev/null; printf '\\5\\1\\2' | ask | od -An -tx1
        perl -MSocket -e 'for (1..300) {{ socket(my $s, PF_INET, SOCK_STREAM, 0); connect($s, sockaddr_in(1080, inet_aton(\"127.0.0.1\"))); push @s, $s }} print \"many\\n\"'
        until printf 'GET http://{place}/still HTTP/1.1\\r\\n\\r\\n' | ask | grep hello; do :; done"
    );
    let out = sandbox(t, &[&place], &script).run().ok();
    for part in ["HTTP/1.1 400 Bad Request", " 05 ff", "many\n", "hello: GET /still HTTP/1.1\n"] {
        assert!(out.text().contains(part), "{part}: {}", out.story());
    }
}

fn attack_nothing_goes_around_the_proxy(t: &Sandbox) {
    let port = serve();
    let script = format!(
        "cat /proc/net/route | wc -l; ./probe --as=exchange 127.0.0.1:{port} </dev/null 2>/dev/null || echo closed; ./probe --as=exchange 192.0.2.1:80 </dev/null 2>&1 | grep -o unreachable"
    );
    sandbox(t, &["127.0.0.1"], &script).run().prints("1\nclosed\nunreachable\n");
}

/// The harness finds a process that outlives its test.
fn the_proxy_ends_when_boxr_is_killed(t: &Sandbox) {
    let mut running = sandbox(t, &["example.org"], "echo up; exec sleep 1000").spawn();
    running.expect("up");
    running.signal(rustix::process::Signal::KILL);
    running.finish();
    // Its command has let go of its output, and ends a moment later.
    boxr_testing::wait_until("the sandbox has ended", || t.boxr(["ps", "-q"]).run().ok().text().is_empty());
    t.boxr(["prune", "-f"]).run();
}
