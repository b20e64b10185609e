//! Root filesystems and volumes that try to lead the runtime out of the container or to weaken it.

use std::os::unix::fs::symlink;

use boxr_testing::{Need, Sandbox, Test, test};
use serde_json::json;

use super::BUNDLE;
use super::bundle::{Bundle, file};

pub const TESTS: &[Test] = &[
    test!(targets_behind_links_stay_in_the_root, BUNDLE, Need::Root),
    test!(cve_2019_16884_nothing_is_mounted_over_proc, BUNDLE, Need::Root),
    test!(cve_2021_30465_targets_that_change_under_way, BUNDLE, Need::Root; deadline 120),
    test!(cve_2023_27561_proc_and_sys_are_no_links, BUNDLE, Need::Root),
    test!(cve_2025_31133_masks_are_the_hosts_null, BUNDLE, Need::Root),
    test!(cve_2025_52565_devices_and_console_stay_in_the_root, BUNDLE, Need::Root),
    test!(cve_2025_52881_settings_go_to_the_hosts_procfs, BUNDLE, Need::Root),
    test!(a_working_directory_behind_links_is_made_in_the_root, BUNDLE, Need::Root),
];

fn targets_behind_links_stay_in_the_root(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let outside = t.path("outside");
    std::fs::create_dir(&outside).unwrap();
    // As seen from the container there is no such place.
    symlink(&outside, bundle.in_root("absolute")).unwrap();
    symlink("../../../../../../../../inside", bundle.in_root("dots")).unwrap();
    std::fs::create_dir(bundle.in_root("inside")).unwrap();
    bundle.mount("/dots/deep", "tmpfs", "t", &[]);
    bundle.sh("grep -c ' /inside/deep ' /proc/self/mountinfo").ok().prints("1\n");
    bundle.mount("/absolute/deep", "tmpfs", "t", &[]);
    bundle.run(&["true"]).exits(125).blames("/absolute/deep");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

/// A volume at /proc, or at a link to it, would let the image answer for the kernel.
fn cve_2019_16884_nothing_is_mounted_over_proc(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let fake = t.path("fake");
    file(&fake.join("self/attr/exec"), "");
    let fake = fake.to_str().unwrap().to_owned();
    for name in ["link", "also"] {
        symlink("/proc", bundle.in_root(name)).unwrap();
    }
    symlink("proc/../proc/self", bundle.in_root("self")).unwrap();
    for place in
        ["/proc", "/proc/self/attr", "/link", "/link/sys", "/also/self/attr", "/self/attr", "/x/../proc"]
    {
        bundle.mount(place, "bind", &fake, &["bind"]);
        bundle.run(&["true"]).exits(125);
        bundle.no_mount(place);
        bundle.config["mounts"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!({"destination": "/proc", "type": "proc", "source": "proc"}));
        bundle.config["mounts"].as_array_mut().unwrap().dedup();
    }
    // What narrows figures may cover them.
    let meminfo = t.file("meminfo", "MemTotal: 1 kB\n");
    bundle.mount("/proc/meminfo", "bind", &meminfo, &["bind", "ro"]);
    bundle.sh("cat /proc/meminfo").ok().prints("MemTotal: 1 kB\n");
}

/// Another container with the same volume turns the target into a link between look and mount.
fn cve_2021_30465_targets_that_change_under_way(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let volume = t.path("volume");
    std::fs::create_dir_all(volume.join("real")).unwrap();
    symlink("/", volume.join("link")).unwrap();
    let volume = volume.to_str().unwrap().to_owned();
    bundle.mount("/volume", "bind", &volume, &["rbind"]);
    for number in 0..20 {
        bundle.mount(&format!("/volume/swapped/dir{number}"), "tmpfs", "attack", &[]);
    }
    bundle.config["process"]["args"] = json!(["true"]);
    bundle.write();
    let swap = format!(
        "cd {volume} && mv real swapped; while test -e go; do mv swapped real; mv link swapped; mv swapped link; mv real swapped; done"
    );
    file(&t.path("volume/go"), "");
    let mut swapper = std::process::Command::new("sh")
        .args(["-c", &swap])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..40 {
        let run = boxr_testing::Cmd::new(std::env::current_exe().unwrap())
            .arg("--as=oci-run")
            .cwd(&bundle.dir)
            .run();
        // Either all went well, or the target was seen to change.
        assert!(matches!(run.status.code(), Some(0 | 125)), "{}", run.story());
    }
    std::fs::remove_file(t.path("volume/go")).unwrap();
    swapper.wait().unwrap();
    // A mount that got away would show the volume, whose path no other test has.
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = t.path("").display().to_string();
    assert!(!table.contains(&own), "{table}");
    for number in 0..20 {
        assert!(!std::path::Path::new(&format!("/dir{number}")).exists(), "made on the host");
    }
}

fn cve_2023_27561_proc_and_sys_are_no_links(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    std::fs::create_dir(bundle.in_root("elsewhere")).unwrap();
    for name in ["proc", "sys"] {
        std::fs::remove_dir(bundle.in_root(name)).unwrap();
        symlink("elsewhere", bundle.in_root(name)).unwrap();
        bundle.run(&["true"]).exits(125).blames(&format!("/{name}"));
        std::fs::remove_file(bundle.in_root(name)).unwrap();
        std::fs::create_dir(bundle.in_root(name)).unwrap();
    }
    bundle.run(&["true"]).ok();
}

/// The container's /dev/null may be a link to something that is then shown in place of the mask.
fn cve_2025_31133_masks_are_the_hosts_null(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    // Without a /dev of its own, what the image has there stays.
    for place in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
        bundle.no_mount(place);
    }
    symlink("/proc/sys/kernel/core_pattern", bundle.in_root("dev/null")).unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/sysrq-trigger", "/proc/keys"]);
    let out = bundle.sh("cat /proc/keys; stat -L -c '%t:%T' /proc/keys");
    // A link where the device null belongs is refused, or it has nothing to do with the mask.
    match out.status.code() {
        Some(0) => assert_eq!(out.text(), "1:3\n", "{}", out.story()),
        _ => drop(out.exits(125).blames("/dev/null")),
    }
}

/// Nodes and the console are put where the path of the runtime leads, not where the image's links do.
fn cve_2025_52565_devices_and_console_stay_in_the_root(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let outside = t.path("outside");
    std::fs::create_dir(&outside).unwrap();
    for place in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
        bundle.no_mount(place);
    }
    std::fs::remove_dir(bundle.in_root("dev")).unwrap();
    symlink(&outside, bundle.in_root("dev")).unwrap();
    bundle.run(&["true"]).exits(125);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

/// The container's /proc is covered by a tmpfs with links to the host's own settings.
fn cve_2025_52881_settings_go_to_the_hosts_procfs(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let fake = bundle.in_root("proc/sys/net/ipv4/ip_forward");
    file(&fake, "unchanged");
    bundle.no_mount("/proc");
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    bundle.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    bundle.run(&["true"]).ok();
    assert_eq!(std::fs::read_to_string(&fake).unwrap(), "unchanged", "the image's file is no setting");
    bundle.mount("/proc", "proc", "proc", &[]);
    bundle.run(&["cat", "/proc/sys/net/ipv4/ip_forward"]).ok().prints("1\n");
}

fn a_working_directory_behind_links_is_made_in_the_root(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let outside = t.path("outside");
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, bundle.in_root("out")).unwrap();
    symlink("/var", bundle.in_root("in")).unwrap();
    bundle.config["process"]["cwd"] = json!("/in/made");
    bundle.run(&["pwd"]).ok().prints("/var/made\n");
    bundle.config["process"]["cwd"] = json!("/out/made");
    bundle.run(&["pwd"]).exits(125).blames("/out/made");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}
