//! boxr's containers and docker's on one host: a docker daemon of the test's own, with its own rules.

use std::path::PathBuf;

use boxr_testing::lab::{HOST, Lab, NEIGHBOUR};
use boxr_testing::{Cmd, Need, Output, Running, Sandbox, Test, Tool, test, wait_until};
use rustix::process::Signal;

use super::{BUSYBOX, NET, ROOT, assert_no_network_left, site};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(boxes_and_dockers_containers_work_side_by_side, ROOT, NET, BUSYBOX, DOCKER, IPTABLES; deadline 120),
];

const DOCKER: Need = Need::Tool(Tool::Dockerd);
const IPTABLES: Need = Need::Tool(Tool::Iptables);

/// A daemon in the host's namespaces. It turns forwarding on, and so lets nothing through that it does not know.
struct Docker<'l> {
    lab: &'l Lab,
    dir: PathBuf,
    group: String,
    daemon: Running,
}

impl<'l> Docker<'l> {
    #[track_caller]
    fn start(t: &Sandbox, lab: &'l Lab) -> Self {
        let dir = t.path("docker");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("daemon.json"), "{}").unwrap();
        let group = format!("boxr-test-docker-{}", std::process::id());
        // What it keeps beside its directories goes with the namespace.
        for (at, mode) in [("/run", "mode=755"), ("/etc/docker", "mode=755")] {
            std::fs::create_dir_all(at).unwrap();
            lab.on_host("mount").args(["-t", "tmpfs", "-o", mode, "none", at]).run().ok();
        }
        lab.on_host("sh").args(["-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"]).run().ok();
        let path = |name: &str| dir.join(name).display().to_string();
        let daemon = lab
            .on_host("dockerd")
            .args(["--config-file", &path("daemon.json"), "--data-root", &path("data")])
            .args(["--exec-root", "/run/d", "--pidfile", "/run/d.pid", "--host", "unix:///run/d.sock"])
            .args(["--iptables=true", "--storage-driver", "vfs", "--cgroup-parent", &format!("/{group}")])
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs"])
            .spawn();
        let docker = Self { lab, dir, group, daemon };
        wait_until("docker answers", || docker.run(&["version"]).status.success());
        docker
    }

    fn command(&self, args: &[&str]) -> Cmd {
        self.lab.on_host("docker").args(["--host", "unix:///run/d.sock"]).args(args)
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).run()
    }

    /// A container that serves `dir` on the host's port.
    #[track_caller]
    fn serve(&self, t: &Sandbox, name: &str, port: &str, dir: &str) {
        let archive = self.dir.join("image.tar").display().to_string();
        Cmd::new("tar").args(["-C", &t.rootfs("docker-image"), "-cf", &archive, "."]).run().ok();
        self.run(&["import", &archive, "bb"]).ok();
        let volume = format!("{dir}:/www:ro");
        // A root without CAP_SYS_RESOURCE can have these limits.
        let limits = ["--ulimit", "nofile=1024:1024", "--name", name, "-p", port, "-v", &volume];
        let serve = ["bb", "busybox", "httpd", "-f", "-p", "80", "-h", "/www"];
        self.command(&["run", "-d", "--rm"]).args(limits).args(serve).run().ok();
    }

    #[track_caller]
    fn end(self) {
        self.daemon.signal(Signal::TERM);
        self.daemon.finish();
        let groups = Cmd::new("find").args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path"]);
        groups.arg(format!("*/{}*", self.group)).args(["-exec", "rmdir", "{}", "+"]).run();
    }
}

fn boxes_and_dockers_containers_work_side_by_side(t: &Sandbox) {
    let lab = Lab::for_users();
    let server = lab.serve(80, &site(t, "far"));
    let (docked, boxed) = (site(t, "docked"), site(t, "boxed"));
    // One network of boxr's is there before docker comes.
    let run =
        ["run", "-d", "--name", "web", "-p", "8091:80", "--", "busybox", "httpd", "-f", "-p", "80", "-h"];
    lab.boxr(t, run).arg(&boxed).run().ok();
    let docker = Docker::start(t, &lab);
    let policy = lab.on_host("iptables").args(["-S", "FORWARD"]).run().ok().text();
    assert!(policy.contains("-P FORWARD DROP"), "{policy}");
    docker.serve(t, "dock", "8090:80", &docked);
    lab.boxr(t, ["network", "reload"]).run().ok();
    let fetch = |host: &str, port: u16| {
        let url = format!("http://{host}:{port}/who");
        ["timeout", "10", "busybox", "wget", "-q", "-O", "-", &url].map(str::to_owned)
    };
    let in_box = |words: &[String]| lab.boxr(t, ["exec", "web"]).args(words).run();
    let in_docker = |words: &[String]| docker.command(&["exec", "dock"]).args(&words[2..]).run();
    let check = || {
        lab.on_internet("timeout").args(&fetch(HOST, 8090)[1..]).run().ok().prints("docked");
        lab.on_internet("timeout").args(&fetch(HOST, 8091)[1..]).run().ok().prints("boxed");
        in_box(&fetch(NEIGHBOUR, 80)).ok().prints("far");
        in_docker(&fetch(NEIGHBOUR, 80)).ok().prints("far");
        in_box(&fetch(HOST, 8090)).ok().prints("docked");
        in_docker(&fetch(HOST, 8091)).ok().prints("boxed");
    };
    wait_until("docker's serves", || lab.fetch(&format!("http://{HOST}:8090/who")).run().status.success());
    check();
    // What docker does not publish stays docker's: nobody comes to it through boxr's rules.
    let own = docker.run(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "dock"]).ok().word();
    docker.command(&["exec", "-d", "dock", "busybox", "httpd", "-f", "-p", "81", "-h", "/www"]).run().ok();
    wait_until("it serves", || lab.fetch(&format!("http://{own}:81/who")).run().status.success());
    let direct = format!("http://{own}:81/who");
    in_box(&["timeout", "2", "busybox", "wget", "-q", "-O", "-", &direct].map(str::to_owned)).exits(124);
    lab.boxr(t, ["network", "explain", "8091"]).run().ok();
    // A start finds docker's chain emptied, and iptables reads what is there.
    lab.on_host("iptables").args(["-F", "DOCKER-USER"]).run().ok();
    lab.boxr(t, ["run", "--rm", "--network", "bridge", "--", "true"]).run().ok();
    let rules = lab.on_host("iptables").args(["-S", "DOCKER-USER"]).run().ok().text();
    assert!(rules.matches("boxr").count() >= 4 && rules.contains("-i boxr+ -o docker+"), "{rules}");
    check();
    docker.run(&["rm", "-f", "dock"]).ok();
    lab.boxr(t, ["rm", "-f", "web"]).run().ok();
    docker.end();
    server.signal(Signal::TERM);
    server.finish();
    assert_no_network_left(t, &lab);
    lab.end(t);
}
