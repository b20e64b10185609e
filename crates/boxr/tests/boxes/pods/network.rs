//! Networks of pods, on a host of each test's own.

use boxr_testing::lab::{HOST, Lab};
use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::Pid;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(ports_belong_to_the_pod, Need::Root, Need::Networks, Need::Tool(Tool::Busybox)),
    test!(a_port_that_is_in_use_leaves_no_pod_up, Need::Root, Need::Networks, Need::Tool(Tool::Busybox)),
];

pub(super) fn site(t: &Sandbox, text: &str) -> String {
    let dir = t.path(text);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("who"), text).unwrap();
    dir.to_str().unwrap().to_owned()
}

fn ports_belong_to_the_pod(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["pod", "create", "--name", "web", "-p", "8080:80"]).run().ok();
    let dir = site(t, "inside");
    let serve = ["run", "-d", "--pod", "web", "--name", "server", "--"];
    lab.boxr(t, serve).args(["busybox", "httpd", "-f", "-p", "80", "-h", &dir]).run().ok();
    let url = format!("http://{HOST}:8080/who");
    let fetch = || lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run();
    wait_until("the member serves", || fetch().status.success());
    fetch().ok().prints("inside");
    // Another member by the loopback interface they share.
    let local = ["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1/who"];
    lab.boxr(t, ["run", "--pod", "web", "--"]).args(local).run().ok().prints("inside");
    for name in ["web", "server"] {
        lab.boxr(t, ["port", name]).run().ok().prints("80/tcp -> 0.0.0.0:8080\n");
    }
    lab.boxr(t, ["ps", "--format", "{{.Ports}}"]).run().ok().prints("0.0.0.0:8080->80/tcp\n");
    // Who keeps the pod also keeps others from its port; a new one does as well.
    let holder = || lab.boxr(t, ["pod", "inspect", "-f", "{{.Pids.Holder}}", "web"]).run().ok().word();
    super::kill(Pid::from_raw(holder().parse().unwrap()).unwrap());
    lab.boxr(t, ["pod", "ps"]).run().ok();
    let squat = ["nc", "-l", "-p", "8080", "-w", "1"];
    assert!(!lab.on_host("busybox").args(squat).run().status.success());
    lab.boxr(t, ["run", "--network", "bridge", "-p", "8080:80", "--", "true"]).run().exits(125).blames("web");
    // A member that leaves takes nothing of it.
    lab.boxr(t, ["kill", "server"]).run().ok();
    lab.boxr(t, ["port", "web"]).run().ok().prints("80/tcp -> 0.0.0.0:8080\n");
    lab.boxr(t, ["start", "server"]).run().ok();
    wait_until("the member serves again", || fetch().status.success());
    // When the pod is down its ports are free.
    lab.boxr(t, ["pod", "stop", "-t", "0", "web"]).run().ok();
    lab.boxr(t, ["run", "--network", "bridge", "-p", "8080:80", "--", "true"]).run().ok();
    lab.boxr(t, ["pod", "start", "web"]).run().ok();
    wait_until("the pod serves again", || fetch().status.success());
    lab.boxr(t, ["pod", "rm", "-f", "web"]).run().ok();
    super::super::network::assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_port_that_is_in_use_leaves_no_pod_up(t: &Sandbox) {
    let lab = Lab::new();
    let create = |name: &str| lab.boxr(t, ["pod", "create", "--name", name, "-p", "8080:80"]).run().ok();
    create("one");
    create("two");
    lab.boxr(t, ["run", "-d", "--pod", "one", "--", "sleep", "1000"]).run().ok();
    lab.boxr(t, ["run", "-d", "--pod", "two", "--", "sleep", "1000"])
        .run()
        .exits(125)
        .blames("8080")
        .blames("one");
    lab.boxr(t, ["pod", "inspect", "-f", "{{.State}} {{.Pids}}", "two"]).run().ok().prints("Created <nil>\n");
    lab.boxr(t, ["ps", "-a", "--format", "{{.PodName}}"]).run().ok().prints("one\n");
    lab.boxr(t, ["pod", "rm", "-f", "-a"]).run().ok();
    super::super::network::assert_no_network_left(t, &lab);
    lab.end(t);
}
