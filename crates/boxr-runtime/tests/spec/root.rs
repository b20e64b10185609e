//! `root`, its propagation, and the ways to enter it.

use boxr_testing::{Cmd, Need, Sandbox, Test, test};
use serde_json::json;

use super::BUNDLE;
use super::bundle::{Bundle, file};

pub const TESTS: &[Test] = &[
    test!(a_read_only_root, BUNDLE, Need::Root),
    test!(a_root_that_is_not_there, BUNDLE, Need::Root),
    test!(propagation_of_the_root, BUNDLE, Need::Root),
    test!(without_pivot, BUNDLE, Need::Root),
    test!(without_a_mount_namespace, BUNDLE, Need::Root),
    test!(in_a_mount_namespace_that_is_joined, BUNDLE, Need::Root),
    test!(paths_are_hidden_and_read_only, BUNDLE, Need::Root),
];

fn a_read_only_root(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["root"]["readonly"] = json!(true);
    bundle.config["process"]["cwd"] = json!("/made/dir");
    let out = bundle.sh("touch /x 2>/dev/null || echo kept; touch /dev/shm/x && echo written; pwd").ok();
    assert_eq!(out.lines(), ["kept", "written", "/made/dir"]);
}

fn a_root_that_is_not_there(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["root"]["path"] = json!("no-rootfs");
    bundle.run(&["true"]).exits(125).blames("no-rootfs");
    file(&bundle.dir.join("a-file"), "");
    bundle.config["root"]["path"] = json!("a-file");
    bundle.run(&["true"]).exits(125).blames("a-file");
    bundle.config["root"]["path"] = json!("");
    bundle.run(&["true"]).exits(125).blames("root.path");
}

fn propagation_of_the_root(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["args"] =
        json!(["sh", "-c", "grep ' / / ' /proc/self/mountinfo || grep rootfs /proc/self/mountinfo"]);
    let rootfs = bundle.in_root("").to_str().unwrap().to_owned();
    let mut tags = |word: &str| {
        bundle.config["linux"]["rootfsPropagation"] = json!(word);
        // The root filesystem is a mount of its own, and shared.
        let script = format!(
            "mount --bind {rootfs} {rootfs} && mount --make-shared {rootfs} && exec \"$0\" --as=oci-run"
        );
        let cmd = Cmd::new("unshare").args(["-m", "sh", "-c", &script]).arg(std::env::current_exe().unwrap());
        let line = bundle.start(cmd).ok().text();
        let optional =
            line.split(" - ").next().unwrap().split_whitespace().skip(6).collect::<Vec<_>>().join(" ");
        optional.split(' ').map(|tag| tag.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(tags("shared"), ["shared"]);
    assert_eq!(tags("rshared"), ["shared"]);
    assert_eq!(tags("slave"), ["master"]);
    assert_eq!(tags("rslave"), ["master"]);
    assert_eq!(tags("private"), [""]);
    assert_eq!(tags("rprivate"), [""]);
    assert_eq!(tags("unbindable"), ["unbindable"]);
    assert_eq!(tags(""), [""]);
    bundle.config["linux"]["rootfsPropagation"] = json!("both");
    bundle.run(&["true"]).exits(125).blames("linux.rootfsPropagation");
}

/// On a ramdisk pivot_root(2) is refused.
fn without_pivot(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["args"] =
        json!(["sh", "-c", "ls -d /bin/busybox; hostname; cat /proc/1/comm; ls /etc/passwd; pwd"]);
    let out =
        bundle.start(Cmd::new(std::env::current_exe().unwrap()).args(["--as=oci-run", "--no-pivot"])).ok();
    assert_eq!(out.lines(), ["/bin/busybox", "bundle", "sh", "/etc/passwd", "/"]);
    bundle.config["root"]["readonly"] = json!(true);
    bundle.config["process"]["args"] = json!(["sh", "-c", "touch /x 2>/dev/null || echo kept"]);
    bundle
        .start(Cmd::new(std::env::current_exe().unwrap()).args(["--as=oci-run", "--no-pivot"]))
        .ok()
        .prints("kept\n");
}

fn without_a_mount_namespace(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.no_namespace("mount");
    bundle.run(&["true"]).exits(125).blames("mounts");
    bundle.config["mounts"] = json!([]);
    bundle.run(&["true"]).exits(125).blames("linux.maskedPaths");
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.run(&["true"]).exits(125).blames("linux.readonlyPaths");
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    let out = bundle.sh("ls -d /bin/busybox; pwd; ls /dev").ok();
    assert_eq!(out.lines(), ["/bin/busybox", "/"]);
    bundle.config["root"]["readonly"] = json!(true);
    bundle.run(&["true"]).exits(125).blames("root.readonly");
}

fn in_a_mount_namespace_that_is_joined(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let holder = super::namespaces::Holder::start(&["--mount"]);
    bundle.namespace("mount", Some(&holder.path("mnt")));
    bundle.config["mounts"] = json!([]);
    for list in ["maskedPaths", "readonlyPaths"] {
        bundle.config["linux"][list] = json!([]);
    }
    bundle.config["root"]["path"] = json!("/");
    let out = bundle.run(&["readlink", "/proc/self/ns/mnt"]).ok();
    assert_eq!(out.word(), holder.id("mnt"));
    bundle.config["root"]["path"] = json!(bundle.in_root(""));
    bundle.sh("ls -d /bin/busybox").ok().prints("/bin/busybox\n");
}

fn paths_are_hidden_and_read_only(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    file(&bundle.in_root("secret/file"), "x");
    file(&bundle.in_root("secret-file"), "x");
    file(&bundle.in_root("kept/file"), "x");
    bundle.config["linux"]["maskedPaths"] = json!(["/secret", "/secret-file", "/no/such"]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/kept", "/proc/sys", "/no/such"]);
    let script = "ls /secret; cat /secret-file; echo x > /kept/file || echo kept; echo > /kept/new || echo kept; \
        echo x > /proc/sys/kernel/hostname || echo kept";
    let out = bundle.sh(&format!("exec 2>/dev/null; {script}")).ok();
    assert_eq!(out.lines(), ["kept", "kept", "kept"]);
}
