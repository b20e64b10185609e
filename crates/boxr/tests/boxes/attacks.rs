//! What a box, or what its command was found in, might do to boxr and the host.

use std::os::unix::fs::PermissionsExt;

use boxr_testing::{Need, Sandbox, Test, Tool, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(cve_2024_21626_no_interpreter_through_a_descriptor, BUSYBOX),
    test!(boxrs_processes_in_the_box_show_nothing_of_the_host, BUSYBOX),
    test!(cve_2023_27561_a_proc_that_is_a_link_is_refused, BUSYBOX),
    test!(mounts_of_a_shared_box_stay_off_the_host, BUSYBOX, Need::Root),
    test!(device_nodes_cannot_be_made, BUSYBOX),
];

const BUSYBOX: Need = Need::Tool(Tool::Busybox);

/// A script whose interpreter lies behind a descriptor that boxr has open at the moment of execve(2).
fn cve_2024_21626_no_interpreter_through_a_descriptor(t: &Sandbox) {
    let root = t.rootfs("root");
    for number in 3..32 {
        let script = t.path("root/attack");
        std::fs::write(&script, format!("#!/proc/self/fd/{number}/../../../../../../../../../../bin/true\n"))
            .unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        // Without the file of that name in the box, only the host's could be meant.
        let out = t.run(["--rootfs", &root, "--ipc", "new", "--", "/attack"]).run();
        out.exits(126);
    }
}

/// boxr's own init has the host's binary behind `exe` (CVE-2019-5736) and had its descriptors.
fn boxrs_processes_in_the_box_show_nothing_of_the_host(t: &Sandbox) {
    let root = t.rootfs("root");
    let script = "ls /proc/1/fd/ 2>/dev/null | sort | tail -n 1; \
        if [ -w /proc/1/exe ] && cat /proc/1/exe >/dev/null 2>&1; then echo reachable; fi";
    let out = t.run(["--rootfs", &root, "--ipc", "new", "--init", "--", "sh", "-c", script]).run().ok();
    // An ordinary user's box cannot be the host's root; what it reaches is its owner's anyway.
    if std::process::Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
        assert!(!out.text().contains("reachable"), "{}", out.text());
    }
}

fn cve_2023_27561_a_proc_that_is_a_link_is_refused(t: &Sandbox) {
    let root = t.rootfs("root");
    std::fs::create_dir_all(t.path("root/elsewhere")).unwrap();
    // The rootfs may have a directory of that name.
    std::fs::remove_dir(t.path("root/proc")).unwrap_or_default();
    std::os::unix::fs::symlink("elsewhere", t.path("root/proc")).unwrap();
    t.run(["--rootfs", &root, "--", "true"]).run().exits(125).blames("/proc");
    t.assert_nothing_left();
}

fn mounts_of_a_shared_box_stay_off_the_host(t: &Sandbox) {
    let root = t.rootfs("root");
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let script = "mkdir -p /new && exec true";
    t.run(["--rootfs", &root, "--propagation", "shared", "--", "sh", "-c", script]).run().ok();
    let after = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!after.contains(&root), "{after}\nbefore: {before}");
}

fn device_nodes_cannot_be_made(t: &Sandbox) {
    let root = t.rootfs("root");
    let out = t.run(["--rootfs", &root, "--", "sh", "-c", "mknod /disk b 254 0 || echo refused"]).run().ok();
    assert_eq!(out.text(), "refused\n", "{}", out.story());
}
