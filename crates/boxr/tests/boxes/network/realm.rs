//! Networks of an ordinary user's own, whom root's tests become.

use std::path::PathBuf;

use boxr_testing::lab::{FAR_AWAY, HOST, Lab, NEIGHBOUR};
use boxr_testing::{Cmd, Sandbox, Test, leaks, test, wait_until};
use rustix::process::Signal;

use super::own::Numbers;
use super::rootless::{PASTA, SETPRIV, assert_nothing_left};
use super::{BUSYBOX, NET, ROOT, site};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_users_boxes_find_each_other_and_know_their_clients, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(what_is_killed_of_a_users_networks_is_there_again, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(a_helper_of_ports_that_was_killed_is_there_again, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(a_users_running_box_is_connected_and_disconnected, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(a_users_internal_network_has_no_way_out_and_needs_no_helper, ROOT, NET, BUSYBOX, SETPRIV),
    test!(what_a_users_networks_cannot_do_is_named, ROOT, NET, PASTA, SETPRIV),
    test!(random_steps_of_a_user_leave_nothing, ROOT, NET, PASTA, SETPRIV),
];

/// A user on a host of his own.
pub(super) struct User<'t> {
    pub t: &'t Sandbox,
    pub lab: Lab,
    pub home: PathBuf,
}

impl<'t> User<'t> {
    #[track_caller]
    pub fn on(t: &'t Sandbox, lab: Lab) -> Self {
        let home = lab.home(t);
        Self { t, lab, home }
    }

    pub fn boxr(&self, args: &[&str]) -> Cmd {
        self.lab.boxr_as_user(self.t, &self.home, args)
    }

    /// A box that serves `dir` on port 80.
    #[track_caller]
    pub fn serve(&self, name: &str, dir: &str, flags: &[&str]) {
        let server = ["--", "busybox", "httpd", "-f", "-v", "-p", "80", "-h", dir];
        self.boxr(&["run", "-d", "--name", name]).args(flags).args(server).run().ok();
        let fetch = ["exec", name, "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1/who"];
        wait_until("the box serves", || self.boxr(&fetch).run().status.success());
    }

    /// What a new box on this network gets from `url`.
    pub fn fetch(&self, network: &str, url: &str) -> boxr_testing::Output {
        self.boxr(&[
            "run",
            "--network",
            network,
            "--",
            "timeout",
            "5",
            "busybox",
            "wget",
            "-q",
            "-O",
            "-",
            url,
        ])
        .run()
    }

    /// The process of the user's that does this, by the file with its pid.
    #[track_caller]
    fn process(&self, file: &str) -> String {
        self.find_process(file).unwrap_or_else(|| panic!("there is no process in {file}"))
    }

    /// The same; `None` where there is no such file, or nothing in it yet.
    fn find_process(&self, file: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.home.join("state/network").join(file)).ok()?;
        // The number alone, or the first one of a record.
        let is_digit = char::is_ascii_digit;
        let pid: String = text.chars().skip_while(|c| !is_digit(c)).take_while(is_digit).collect();
        (!pid.is_empty()).then_some(pid)
    }

    #[track_caller]
    pub fn end(self) {
        for network in
            self.boxr(&["network", "ls", "-q", "--filter", "driver=bridge"]).run().ok().text().lines()
        {
            self.boxr(&["network", "rm", network]).run();
        }
        assert_nothing_left(&self.home);
        let left = leaks::files_below(&self.home.join("state/network/realm"));
        assert!(left.is_empty(), "{left:?}");
        self.lab.end(self.t);
    }
}

fn a_users_boxes_find_each_other_and_know_their_clients(t: &Sandbox) {
    let user = User::on(t, Lab::for_users());
    let server = user.lab.serve(80, &site(t, "far"));
    user.boxr(&["network", "create", "shop"]).run().ok();
    user.boxr(&["network", "create", "other"]).run().ok();
    user.serve(
        "web",
        &site(t, "inside"),
        &["--network", "shop", "--network-alias", "store", "-p", "8080:80"],
    );
    user.fetch("shop", "http://web/who").ok().prints("inside");
    user.fetch("shop", "http://store/who").ok().prints("inside");
    // Out, and in again by the host's own address.
    user.fetch("shop", &format!("http://{FAR_AWAY}/who")).ok().prints("far");
    let url = format!("http://{HOST}:8080/who");
    user.fetch("shop", &url).ok().prints("inside");
    user.fetch("other", &url).ok().prints("inside");
    // Networks are apart.
    let web = user.boxr(&["exec", "web", "ip", "-4", "-o", "addr", "show", "eth0"]).run().ok().text();
    let address = web.split("inet ").nth(1).unwrap().split('/').next().unwrap();
    user.fetch("shop", &format!("http://{address}/who")).ok().prints("inside");
    assert!(!user.fetch("other", &format!("http://{address}/who")).status.success());
    assert!(!user.fetch("other", "http://web/who").status.success());
    // The client is who it is.
    user.lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run().ok().prints("inside");
    user.lab.fetch("http://127.0.0.1:8080/who").run().ok().prints("inside");
    wait_until("the log tells who came", || {
        user.boxr(&["logs", "web"]).run().ok().errors().contains(NEIGHBOUR)
    });
    user.boxr(&["network", "rm", "shop"]).run().exits(1).blames("in use");
    // Ports come and go.
    user.boxr(&["port", "add", "web", "8081:80"]).run().ok().prints("80/tcp -> 0.0.0.0:8081\n");
    for port in [8080, 8081] {
        user.lab
            .on_internet("busybox")
            .args(["wget", "-q", "-O", "-", &format!("http://{HOST}:{port}/who")])
            .run()
            .ok();
    }
    user.boxr(&["port", "rm", "web", "8080:80"]).run().ok();
    user.lab.fetch("http://127.0.0.1:8080/who").run().exits(1);
    user.lab.fetch("http://127.0.0.1:8081/who").run().ok().prints("inside");
    user.boxr(&["port", "web"]).run().ok().prints("80/tcp -> 0.0.0.0:8081\n");
    user.boxr(&["rm", "-f", "web"]).run().ok();
    server.signal(Signal::TERM);
    server.finish();
    user.end();
}

fn what_is_killed_of_a_users_networks_is_there_again(t: &Sandbox) {
    let user = User::on(t, Lab::for_users());
    let server = user.lab.serve(80, &site(t, "far"));
    user.boxr(&["network", "create", "shop"]).run().ok();
    user.serve("web", &site(t, "inside"), &["--network", "shop"]);
    let check = || {
        user.fetch("shop", "http://web/who").ok().prints("inside");
        user.fetch("shop", &format!("http://{FAR_AWAY}/who")).ok().prints("far");
    };
    check();
    let all = ["realm/realm.json", "nets/shop/resolver", "realm/out.pid"];
    // A process that ends has no command line before it has closed its files, among them its lock.
    let lives = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
    };
    for killed in [&all[..1], &all[1..2], &all[2..], &all[..2], &all[..]] {
        for file in killed {
            let pid = user.process(file);
            Cmd::new("kill").args(["-9", &pid]).run().ok();
            wait_until("it has ended", || !lives(&pid));
        }
        user.boxr(&["network", "ls"]).run().ok();
        let is_there = |file: &&str| user.find_process(file).is_some_and(|pid| lives(&pid));
        wait_until("all of it is there", || all.iter().all(is_there));
        check();
    }
    // A container that dies with all of it leaves nothing.
    let state = user.boxr(&["inspect", "-f", "{{.State.Pid}}", "web"]).run().ok().word();
    let parents = std::fs::read_to_string(format!("/proc/{state}/stat")).unwrap();
    let monitor = parents.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().to_owned();
    for pid in all.iter().map(|file| user.process(file)).chain([monitor, state]) {
        Cmd::new("kill").args(["-9", &pid]).run();
    }
    wait_until("the box has ended", || user.boxr(&["ps", "-q"]).run().ok().word().is_empty());
    user.boxr(&["rm", "-f", "web"]).run().ok();
    server.signal(Signal::TERM);
    server.finish();
    user.end();
}

fn a_helper_of_ports_that_was_killed_is_there_again(t: &Sandbox) {
    let user = User::on(t, Lab::for_users());
    user.boxr(&["network", "create", "shop"]).run().ok();
    user.serve("web", &site(t, "inside"), &["--network", "shop", "-p", "8080:80"]);
    let id = user.boxr(&["inspect", "-f", "{{.Id}}", "web"]).run().ok().word();
    let file = format!("boxes/{id}.pid");
    let url = format!("http://{HOST}:8080/who");
    user.lab.fetch(&url).run().ok().prints("inside");
    for has_pid in [true, false] {
        Cmd::new("kill").args(["-9", &user.process(&file)]).run().ok();
        wait_until("nobody listens", || !user.lab.fetch(&url).run().status.success());
        if !has_pid {
            // As whoever is killed just before it starts leaves it.
            std::fs::write(user.home.join("state/network").join(&file), "").unwrap();
        }
        user.boxr(&["network", "ls"]).run().ok();
        user.lab.fetch(&url).run().ok().prints("inside");
    }
    // One whose starter was killed: before it has told its pid, and before the box answers through its device.
    let on_disk = user.home.join("state/network").join(&file);
    for has_pid in [false, true] {
        let before = user.process(&file);
        user.boxr(&["exec", "web", "ip", "rule", "del", "from", "169.254.77.2"]).run().ok();
        std::fs::write(&on_disk, if has_pid { format!("{before}\n") } else { String::new() }).unwrap();
        user.boxr(&["network", "ls"]).run().ok();
        assert_ne!(user.process(&file), before, "{has_pid}");
        user.boxr(&["exec", "web", "ip", "rule"]).run().ok().shows("from 169.254.77.2");
        user.lab.fetch(&url).run().ok().prints("inside");
    }
    let helper = user.process(&file);
    // One that runs stays, and ports come and go as before.
    user.boxr(&["network", "ls"]).run().ok();
    assert_eq!(user.process(&file), helper);
    user.boxr(&["port", "add", "web", "8081:80"]).run().ok();
    user.lab.fetch(&url.replace("8080", "8081")).run().ok().prints("inside");
    user.boxr(&["port", "rm", "web", "8080:80", "8081:80"]).run().ok();
    assert!(!user.lab.fetch(&url).run().status.success());
    user.boxr(&["network", "ls"]).run().ok();
    assert!(!on_disk.exists());
    user.boxr(&["port", "add", "web", "8080:80"]).run().ok();
    user.lab.fetch(&url).run().ok().prints("inside");
    user.boxr(&["rm", "-f", "web"]).run().ok();
    user.end();
}

fn a_users_running_box_is_connected_and_disconnected(t: &Sandbox) {
    let user = User::on(t, Lab::for_users());
    user.boxr(&["network", "create", "blue"]).run().ok();
    user.boxr(&["network", "create", "--subnet", "10.6.0.0/24", "red"]).run().ok();
    user.serve("web", &site(t, "inside"), &["--network", "blue"]);
    user.boxr(&["network", "connect", "--alias", "shop", "--ip", "10.6.0.9", "red", "web"]).run().ok();
    user.fetch("red", "http://shop/who").ok().prints("inside");
    user.fetch("red", "http://10.6.0.9/who").ok().prints("inside");
    user.boxr(&["network", "disconnect", "red", "web"]).run().ok();
    assert!(!user.fetch("red", "http://shop/who").status.success());
    user.fetch("blue", "http://web/who").ok().prints("inside");
    // The way out follows to the network that is left.
    user.boxr(&["network", "connect", "red", "web"]).run().ok();
    user.boxr(&["network", "disconnect", "blue", "web"]).run().ok();
    let route = ["exec", "web", "ip", "route", "show", "default"];
    user.boxr(&route).run().ok().shows("via 10.6.0.1");
    user.boxr(&["network", "connect", "blue", "web"]).run().ok();
    // One that has no network of the user's gets one when it is started.
    user.boxr(&["run", "-d", "--name", "late", "--network", "bridge", "--", "sleep", "1000"]).run().ok();
    user.boxr(&["network", "connect", "blue", "late"]).run().exits(1).blames("when it is stopped");
    user.boxr(&["stop", "-t", "0", "late"]).run().ok();
    user.boxr(&["network", "connect", "blue", "late"]).run().ok();
    user.boxr(&["start", "late"]).run().ok();
    let fetch = ["exec", "late", "busybox", "wget", "-q", "-O", "-", "http://web/who"];
    user.boxr(&fetch).run().ok().prints("inside");
    user.boxr(&["rm", "-f", "web", "late"]).run().ok();
    user.end();
}

fn a_users_internal_network_has_no_way_out_and_needs_no_helper(t: &Sandbox) {
    // Nobody but root may open /dev/net/tun.
    let user = User::on(t, Lab::new());
    let server = user.lab.serve(80, &site(t, "far"));
    user.boxr(&["network", "create", "--internal", "inner"]).run().ok();
    user.serve("web", &site(t, "inside"), &["--network", "inner"]);
    user.fetch("inner", "http://web/who").ok().prints("inside");
    assert!(!user.fetch("inner", &format!("http://{FAR_AWAY}/who")).status.success());
    user.boxr(&["rm", "-f", "web"]).run().ok();
    server.signal(Signal::TERM);
    server.finish();
    user.end();
}

fn what_a_users_networks_cannot_do_is_named(t: &Sandbox) {
    let user = User::on(t, Lab::for_users());
    user.boxr(&["network", "create", "--subnet", "10.6.0.0/24", "blue"]).run().ok();
    user.boxr(&["network", "create", "-d", "macvlan", "--opt", "parent=up0", "wire"]).run().ok();
    user.boxr(&["network", "create", "-d", "ipvlan", "--opt", "parent=up1", "wire2"]).run().ok();
    let masquerade = "com.docker.network.bridge.enable_ip_masquerade=false";
    user.boxr(&["network", "create", "-o", masquerade, "routed"]).run().ok();
    for (flags, word) in [
        (vec!["--network", "blue", "--ip", "10.6.0.1"], "gateway"),
        (vec!["--network", "blue", "-p", "80/sctp"], "tcp and udp"),
        (vec!["--network", "blue", "-p", "81:80"], "0.0.0.0:81"),
        (vec!["--network", "blue", "--userns", "host"], "user namespace"),
        (vec!["--network", "wire"], "needs root"),
        (vec!["--network", "wire2"], "needs root"),
        (vec!["--network", "routed"], "enable_ip_masquerade=false needs root"),
    ] {
        user.boxr(&["run"]).args(&flags).args(["--", "true"]).run().exits(125).blames(word);
    }
    user.boxr(&["run", "--network", "blue", "--", "/no/such/program"]).run().exits(127);
    user.boxr(&["network", "rm", "wire", "wire2", "routed"]).run().ok();
    assert!(!user.home.join("state/network/realm").exists());
    user.end();
}

fn random_steps_of_a_user_leave_nothing(t: &Sandbox) {
    let user = User::on(t, Lab::for_users());
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let networks = ["bridge", "n1", "n2", "n3"];
    for _ in 0..200 {
        let network = networks[numbers.below(4) as usize];
        let name = format!("b{}", numbers.below(5));
        let port = format!("{}:80", 9000 + numbers.below(4));
        let run = ["run", "-d", "--name", &name, "--network", network, "-p", &port, "--", "sleep", "1000"];
        // Whatever comes of it: many a step is refused.
        match numbers.below(10) {
            0 | 1 => user.boxr(&["network", "create", network]).run(),
            2 => user.boxr(&["network", "rm", network]).run(),
            3 | 4 => user.boxr(&run).run(),
            5 => user.boxr(&["network", "connect", network, &name]).run(),
            6 => user.boxr(&["network", "disconnect", network, &name]).run(),
            7 => user.boxr(&["rm", "-f", &name]).run(),
            8 => {
                let running = user.boxr(&run).spawn();
                let patience = std::time::Duration::from_micros(numbers.below(60_000));
                // Not a wait for something: the moment of the kill is the step.
                std::thread::sleep(patience);
                running.signal(Signal::KILL);
                running.finish()
            }
            _ => {
                let file =
                    ["realm/realm.json", "realm/out.pid", "nets/n1/resolver"][numbers.below(3) as usize];
                if let Some(pid) = user.find_process(file) {
                    Cmd::new("kill").args(["-9", &pid]).run();
                }
                user.boxr(&["network", "ls"]).run()
            }
        };
    }
    wait_until("all is removed", || {
        user.boxr(&["rm", "-f", "--all"]).run();
        user.boxr(&["ps", "-a", "-q"]).run().ok().word().is_empty()
    });
    user.boxr(&["network", "prune", "-f"]).run().ok();
    user.boxr(&["network", "ls", "--format", "{{.Name}}"]).run().ok().prints("bridge\nhost\nnone\n");
    user.end();
}
