//! Containers that a real criu keeps and lets go on.

use boxr_testing::{Cmd, Need, Output, Sandbox, Test, need, test, wait_until};
use serde_json::{Value, json};

use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::life::{BUSYBOX, state};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_container_goes_on_where_it_was, BUSYBOX, Need::Root, Need::Criu),
    test!(mounts_and_limits_are_there_again, BUSYBOX, Need::Root, Need::Criu),
    test!(a_container_in_a_user_namespace_goes_on, BUSYBOX, Need::Root, Need::Criu),
    test!(a_paused_container_is_kept, BUSYBOX, Need::Root, Need::Criu),
    test!(images_that_are_cut_short, BUSYBOX, Need::Root, Need::Criu),
];

/// It remembers 40, waits to be told to go on, and ends with an answer that only its memory has.
const REMEMBERS: &str =
    "n=40; echo up > /tmp/up; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo $((n + 2)); exit 7";

/// Starts the container and waits until it remembers.
#[track_caller]
fn start(t: &Sandbox, change: impl FnOnce(&mut Value)) -> Bundle<'_> {
    let bundle = Bundle::new(t, "b", REMEMBERS).with(change);
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
    wait_until("the container remembers", || t.path("shared-root/tmp/up").exists());
    bundle
}

fn criu() -> String {
    need::criu().unwrap().to_str().unwrap().to_owned()
}

#[track_caller]
fn checkpoint(t: &Sandbox, flags: &[&str]) -> Output {
    let command = oci(t, ["--criu", &criu(), "checkpoint", "--image-path"]);
    command.arg(t.path("images")).args(flags).arg("blue").run()
}

/// Lets the container end when it is restored. Its output was nowhere: what it says is in a file.
fn restore(t: &Sandbox, bundle: &Bundle<'_>) -> Cmd {
    std::fs::write(t.path("shared-root/tmp/go"), "").unwrap();
    bundle.place("blue");
    let command = oci(t, ["--criu", &criu(), "restore", "--bundle", bundle.path(), "--image-path"]);
    command.arg(t.path("images")).arg("blue")
}

#[track_caller]
fn assert_goes_on(t: &Sandbox, bundle: &Bundle<'_>) {
    restore(t, bundle).run().exits(7);
    assert_nothing_left(t);
}

fn a_container_goes_on_where_it_was(t: &Sandbox) {
    let bundle = start(t, |config| {
        config["process"]["args"][2] = json!(REMEMBERS.replace("echo $((n", "echo > /tmp/answer $((n"));
    });
    checkpoint(t, &["--leave-running"]).ok();
    assert_eq!(state(t, "blue")["status"], "running");
    checkpoint(t, &[]).ok();
    assert_nothing_left(t);
    assert_goes_on(t, &bundle);
    assert_eq!(std::fs::read_to_string(t.path("shared-root/tmp/answer")).unwrap(), "42\n");
}

fn mounts_and_limits_are_there_again(t: &Sandbox) {
    std::fs::create_dir(t.path("data")).unwrap();
    let data = t.path("data").display().to_string();
    let bundle = start(t, |config| {
        config["process"]["args"][2] = json!(REMEMBERS.replace("; exit 7", " > /data/answer; exit 7"));
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": "/data", "source": data, "options": ["bind"]}));
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        // With the host's cgroups, which are mounts of the host's too.
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
        config["linux"]["resources"] = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 50}});
    });
    checkpoint(t, &[]).ok();
    // The place of the mount is made where it is missing.
    std::fs::remove_dir(t.path("shared-root/data")).unwrap();
    assert_goes_on(t, &bundle);
    assert_eq!(std::fs::read_to_string(t.path("data/answer")).unwrap(), "42\n");
}

fn a_container_in_a_user_namespace_goes_on(t: &Sandbox) {
    let bundle = start(t, |config| {
        let linux = &mut config["linux"];
        linux["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        linux["uidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
        linux["gidMappings"] = linux["uidMappings"].clone();
    });
    checkpoint(t, &[]).ok();
    assert_goes_on(t, &bundle);
}

fn a_paused_container_is_kept(t: &Sandbox) {
    let bundle = start(t, |_| {});
    oci(t, ["pause", "blue"]).run().ok();
    checkpoint(t, &[]).ok();
    assert_goes_on(t, &bundle);
}

fn images_that_are_cut_short(t: &Sandbox) {
    let bundle = start(t, |_| {});
    checkpoint(t, &[]).ok();
    for image in ["pstree.img", "core-1.img", "inventory.img", "mountpoints-"] {
        let entries = std::fs::read_dir(t.path("images")).unwrap().map(|entry| entry.unwrap().path());
        let mut named = entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(image));
        let path = named.next().unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        restore(t, &bundle).run().exits(1).blames("boxr-oci restore failed: criu failed: type RESTORE");
        assert_nothing_left(t);
        std::fs::write(&path, whole).unwrap();
    }
    assert_goes_on(t, &bundle);
}
