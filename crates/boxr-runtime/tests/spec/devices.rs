//! `linux.devices` and /dev.

use std::os::unix::fs::MetadataExt;

use boxr_testing::{Need, Sandbox, Test, test};
use serde_json::json;

use super::BUNDLE;
use super::bundle::{Bundle, file};

pub const TESTS: &[Test] = &[
    test!(devices_that_every_container_has, BUNDLE, Need::Root),
    test!(devices_of_every_type, BUNDLE, Need::Root),
    test!(devices_in_a_user_namespace, BUNDLE, Need::Root),
    test!(another_file_is_never_taken_for_a_device, BUNDLE, Need::Root),
    test!(without_a_dev_mount_they_are_made_in_the_root, BUNDLE, Need::Root),
    test!(the_hosts_dev_stays_as_it_is, BUNDLE, Need::Root),
    test!(wrong_devices_are_refused_by_field, BUNDLE, Need::Root),
];

const DEFAULT: &str = "stat -c '%F %t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; \
    readlink /dev/fd; readlink /dev/stdin; readlink /dev/ptmx";

fn devices_that_every_container_has(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let expected: Vec<_> = ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0"]
        .map(|number| format!("character special file {number} 666"))
        .into_iter()
        .chain(["/proc/self/fd", "/proc/self/fd/0", "pts/ptmx"].map(str::to_owned))
        .collect();
    assert_eq!(bundle.sh(DEFAULT).ok().lines(), expected);
    bundle.user_namespace(0, 65536);
    assert_eq!(bundle.sh(DEFAULT).ok().lines(), expected);
}

fn devices_of_every_type(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["linux"]["devices"] = json!([
        { "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o20640, "uid": 7, "gid": 8 },
        { "path": "/dev/deep/unbuffered", "type": "u", "major": 1, "minor": 5 },
        { "path": "/srv/disk", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600 },
        { "path": "/dev/queue", "type": "p", "fileMode": 0o620, "uid": 9 },
        { "path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o622 }
    ]);
    let script = "stat -c '%F %t:%T %a %u %g' /dev/fuse /dev/deep/unbuffered /srv/disk /dev/queue /dev/null";
    assert_eq!(
        bundle.sh(script).ok().lines(),
        [
            "character special file a:e5 640 7 8",
            "character special file 1:5 666 0 0",
            "block special file 7:c8 600 0 0",
            "fifo 0:0 620 9 0",
            "character special file 1:3 622 0 0"
        ]
    );
}

/// Nodes cannot be made there: the host's are shown, also under another path.
fn devices_in_a_user_namespace(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.user_namespace(0, 65536);
    bundle.config["linux"]["devices"] = json!([
        { "path": "/dev/other-name", "type": "c", "major": 1, "minor": 5 },
        { "path": "/dev/queue", "type": "p" }
    ]);
    let script = "stat -c '%F %t:%T' /dev/other-name /dev/queue";
    assert_eq!(bundle.sh(script).ok().lines(), ["character special file 1:5", "fifo 0:0"]);
    bundle.config["linux"]["devices"] =
        json!([{ "path": "/dev/nothing", "type": "c", "major": 250, "minor": 250 }]);
    bundle.run(&["true"]).exits(125).blames("/dev/nothing");
}

fn another_file_is_never_taken_for_a_device(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    file(&bundle.in_root("srv/zero"), "not zeros");
    bundle.config["linux"]["devices"] = json!([{ "path": "/srv/zero", "type": "c", "major": 1, "minor": 5 }]);
    bundle.run(&["true"]).exits(125).blames("/srv/zero");
    std::fs::remove_file(bundle.in_root("srv/zero")).unwrap();
    // Made by the first run, it is right for the second.
    bundle.run(&["true"]).ok();
    bundle.run(&["true"]).ok();
}

fn without_a_dev_mount_they_are_made_in_the_root(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    for place in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
        bundle.no_mount(place);
    }
    bundle.sh("head -c 3 /dev/zero | wc -c").ok().prints("3\n");
    assert_eq!(std::fs::metadata(bundle.in_root("dev/zero")).unwrap().rdev(), 0x105);
}

fn the_hosts_dev_stays_as_it_is(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    for place in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
        bundle.no_mount(place);
    }
    let dev = t.path("dev");
    std::fs::create_dir(&dev).unwrap();
    bundle.mount("/dev", "bind", dev.to_str().unwrap(), &["rbind"]);
    bundle.sh("ls -A /dev").ok().prints("");
    assert_eq!(std::fs::read_dir(&dev).unwrap().count(), 0);
}

fn wrong_devices_are_refused_by_field(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    for (device, field) in [
        (json!({ "path": "/dev/x", "type": "a", "major": 1, "minor": 5 }), "linux.devices[0].type"),
        (json!({ "path": "/dev/x", "type": "c", "major": -1, "minor": 5 }), "linux.devices[0].major"),
        (json!({ "path": "", "type": "c", "major": 1, "minor": 5 }), "linux.devices[0].path"),
    ] {
        bundle.config["linux"]["devices"] = json!([device]);
        bundle.run(&["true"]).exits(125).blames(field);
    }
}
