//! An ordinary user's containers where nothing gives them a network.

use boxr_testing::{Need, Sandbox, Test, test};

use super::BUSYBOX;
use crate::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] =
    &[test!(who_shares_the_hosts_network_is_told, BUSYBOX, OVERLAY, Need::Unprivileged)];

/// Which helper may be used.
const CHOICE: &str = "BOXR_NETWORK_HELPER";

fn who_shares_the_hosts_network_is_told(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["readlink","/proc/self/ns/net"]}"#);
    let host = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let told = t.run(["--rm", &name]).env(CHOICE, "none").run();
    told.ok().prints(&format!("{host}\n")).blames("shares the host's network").blames("--network host");
    t.run(["-q", "--rm", &name]).env(CHOICE, "none").run().ok().prints(&format!("{host}\n")).quiet();
    let silent = t.run(["-q", "--rm", "--network", "host", &name]).env(CHOICE, "none").run();
    silent.ok().prints(&format!("{host}\n")).quiet();
    t.run(["-q", "--rm", "--network", "none", &name]).env(CHOICE, "none").run().ok().quiet();
    let none = t.run(["-q", "--rm", "--network", "bridge", &name]).env(CHOICE, "none").run();
    none.exits(125).blames("neither is installed").blames("apt-get install passt");
    nothing_left(t);
}
