//! An ordinary user's pods on networks of his own, and on the default one.

use boxr_testing::lab::{FAR_AWAY, HOST, Lab, NEIGHBOUR};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::Signal;

use super::network::site;
use crate::network::assert_no_helper_left;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_users_pod_has_a_name_ports_and_members_that_come_later, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
    test!(who_makes_a_pod_on_the_hosts_network_is_told, ROOT, NET, SETPRIV),
    test!(an_idle_pod_of_a_users_keeps_its_network, ROOT, NET, BUSYBOX, PASTA, SETPRIV),
];

const ROOT: Need = Need::Root;
const NET: Need = Need::Networks;
const BUSYBOX: Need = Need::Tool(Tool::Busybox);
const PASTA: Need = Need::Tool(Tool::Pasta);
const SETPRIV: Need = Need::Tool(Tool::Setpriv);

fn a_users_pod_has_a_name_ports_and_members_that_come_later(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let far = lab.serve(80, &site(t, "far"));
    let dir = site(t, "inside");
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args);
    boxr(&["network", "create", "blue"]).run().ok();
    for network in ["blue", "bridge"] {
        boxr(&["pod", "create", "--name", "shop", "--network", network, "-p", "8080:80"]).run().ok();
        let serve = ["--", "busybox", "httpd", "-f", "-v", "-p", "80", "-h", &dir];
        boxr(&["run", "-d", "--pod", "shop", "--name", "web"]).args(serve).run().ok();
        let url = format!("http://{HOST}:8080/who");
        let afar = || lab.on_internet("busybox").args(["wget", "-q", "-O", "-", &url]).run();
        wait_until("the member serves", || afar().status.success());
        wait_until("the log tells who came", || {
            boxr(&["logs", "web"]).run().ok().errors().contains(NEIGHBOUR)
        });
        let fetch = |url: &str, flags: &[&str]| {
            let wget = ["--", "timeout", "5", "busybox", "wget", "-q", "-O", "-", url];
            boxr(&["run", "--rm"]).args(flags).args(wget).run()
        };
        // One that comes later has the same loopback interface, and the way out.
        fetch("http://127.0.0.1/who", &["--pod", "shop"]).ok().prints("inside");
        fetch(&format!("http://{FAR_AWAY}/who"), &["--pod", "shop"]).ok().prints("far");
        if network == "blue" {
            // Neighbours know the pod and its members by name, and so do these.
            for name in ["shop", "web"] {
                fetch(&format!("http://{name}/who"), &["--network", "blue"]).ok().prints("inside");
                fetch(&format!("http://{name}/who"), &["--pod", "shop"]).ok().prints("inside");
            }
        }
        boxr(&["pod", "rm", "-f", "shop"]).run().ok();
        assert_no_helper_left(&home);
    }
    boxr(&["network", "rm", "blue"]).run().ok();
    far.signal(Signal::TERM);
    far.finish();
    lab.end(t);
}

fn an_idle_pod_of_a_users_keeps_its_network(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let dir = site(t, "inside");
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args);
    boxr(&["network", "create", "blue"]).run().ok();
    boxr(&["pod", "create", "--name", "shop", "--network", "blue", "-p", "8080:80"]).run().ok();
    boxr(&["pod", "start", "shop"]).run().ok();
    let check = |round: &str| {
        // Others come and go on the same network, and everybody looks after it.
        boxr(&["run", "--rm", "--network", "blue", "--", "true"]).run().ok();
        boxr(&["ps", "-a"]).run().ok();
        boxr(&["network", "ls"]).run().ok();
        let serve = ["--", "busybox", "httpd", "-f", "-p", "80", "-h", &dir];
        boxr(&["run", "-d", "--rm", "--pod", "shop", "--name", round]).args(serve).run().ok();
        let url = format!("http://{HOST}:8080/who");
        wait_until("the member serves", || lab.fetch(&url).run().status.success());
        let wget = ["--", "timeout", "5", "busybox", "wget", "-q", "-O", "-", "http://shop/who"];
        boxr(&["run", "--rm", "--network", "blue"]).args(wget).run().ok().prints("inside");
        boxr(&["rm", "-f", round]).run().ok();
        boxr(&["pod", "ps", "--format", "{{.Name}}"]).run().ok().prints("shop\n");
    };
    check("first");
    check("second");
    // What was killed of the realm is there again for a pod that nobody is in.
    for file in ["realm/realm.json", "realm/out.pid", "nets/blue/resolver"] {
        let text = std::fs::read_to_string(home.join("state/network").join(file)).unwrap();
        let pid: String =
            text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        Cmd::new("kill").args(["-9", &pid]).run().ok();
        wait_until("it has ended", || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
        });
    }
    check("third");
    boxr(&["pod", "rm", "-f", "shop"]).run().ok();
    assert_no_helper_left(&home);
    boxr(&["network", "rm", "blue"]).run().ok();
    lab.end(t);
}

fn who_makes_a_pod_on_the_hosts_network_is_told(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let boxr = |args: &[&str]| lab.boxr_as_user(t, &home, args).env("BOXR_NETWORK_HELPER", "none").run();
    boxr(&["pod", "create", "--name", "shop"])
        .ok()
        .blames("shares the host's network")
        .blames("--network host");
    boxr(&["pod", "create", "--name", "said", "--network", "host"]).ok().quiet();
    boxr(&["pod", "rm", "shop", "said"]).ok();
    lab.end(t);
}
