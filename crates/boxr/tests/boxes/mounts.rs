//! `-v`, `--mount`, `--tmpfs` and how mounts travel.

use std::os::unix::fs::symlink;

use boxr_testing::{Need, Sandbox, Test, Tool, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_directory_is_bound, BUSYBOX),
    test!(a_file_is_bound, BUSYBOX),
    test!(read_only_binds_cannot_be_written, BUSYBOX),
    test!(read_only_reaches_mounts_below, Need::Root, BUSYBOX),
    test!(mount_knows_binds_and_tmpfs, BUSYBOX),
    test!(tmpfs_has_a_size_and_safe_options, BUSYBOX),
    test!(mounts_come_in_their_order, BUSYBOX),
    test!(what_lies_deeper_in_a_root_is_mounted_later, BUSYBOX),
    test!(mounts_over_the_hosts_tree_come_as_given),
    test!(mounts_without_a_rootfs),
    test!(mounts_of_a_box_do_not_reach_the_host, Need::Root),
    test!(slave_mounts_reach_the_box, Need::Root),
    test!(sources_that_are_missing_are_named, BUSYBOX),
    test!(malformed_mounts_are_named),
    test!(targets_that_lead_out_of_the_root_stay_inside, BUSYBOX),
    test!(mount_over_root_or_proc_is_refused, BUSYBOX),
    test!(a_pattern_is_a_bind_for_each_file),
];

const BUSYBOX: Need = Need::Tool(Tool::Busybox);

/// A directory of the host with one file in it.
fn shared(t: &Sandbox) -> String {
    std::fs::create_dir(t.path("shared")).unwrap();
    t.file("shared/file", "from the host");
    t.path("shared").to_str().unwrap().to_owned()
}

fn a_directory_is_bound(t: &Sandbox) {
    let (root, shared) = (t.rootfs("root"), shared(t));
    let volume = format!("{shared}:/data/deep");
    let out = t.run([
        "--rootfs",
        &root,
        "-v",
        &volume,
        "--",
        "sh",
        "-c",
        "cat /data/deep/file; echo x >/data/deep/new",
    ]);
    out.run().ok().prints("from the host");
    assert_eq!(std::fs::read_to_string(t.path("shared/new")).unwrap(), "x\n");
}

fn a_file_is_bound(t: &Sandbox) {
    let root = t.rootfs("root");
    let file = t.file("note", "a note");
    let volume = format!("{file}:/etc/note:ro");
    t.run(["--rootfs", &root, "-v", &volume, "--", "cat", "/etc/note"]).run().ok().prints("a note");
}

fn read_only_binds_cannot_be_written(t: &Sandbox) {
    let (root, shared) = (t.rootfs("root"), shared(t));
    for flags in [
        ["-v".to_owned(), format!("{shared}:/data:ro")],
        ["--mount".to_owned(), format!("type=bind,src={shared},dst=/data,readonly")],
        ["--mount".to_owned(), format!("type=bind,source={shared},target=/data,ro=true")],
    ] {
        let out = t.run(["--rootfs", &root]).args(&flags).args(["--", "touch", "/data/new"]).run();
        assert!(out.errors().contains("Read-only"), "{flags:?}: {}", out.story());
    }
    assert!(!t.path("shared/new").exists());
}

fn read_only_reaches_mounts_below(t: &Sandbox) {
    let (root, shared) = (t.rootfs("root"), shared(t));
    // A box that makes the mount below and then a second one inside it keeps the host clean.
    let boxr = t.program().to_str().unwrap().to_owned();
    let globals = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let script = format!(
        "mkdir {shared}/below && mount -t tmpfs none {shared}/below && \
         {boxr} {globals} run --rootfs {root} -v {shared}:/data:ro -- touch /data/below/new"
    );
    let out = t.run(["--", "sh", "-c", &script]).run();
    assert!(out.errors().contains("Read-only"), "{}", out.story());
}

fn mount_knows_binds_and_tmpfs(t: &Sandbox) {
    let (root, shared) = (t.rootfs("root"), shared(t));
    let bind = format!("type=bind,src={shared},dst=/data");
    let out = t.run([
        "--rootfs",
        &root,
        "--mount",
        &bind,
        "--mount",
        "type=tmpfs,dst=/scratch,tmpfs-size=1m,tmpfs-mode=0700",
    ]);
    let script = "cat /data/file; echo; stat -c %a /scratch; stat -f -c %T /scratch";
    out.args(["--", "sh", "-c", script]).run().ok().prints("from the host\n700\ntmpfs\n");
}

fn tmpfs_has_a_size_and_safe_options(t: &Sandbox) {
    let root = t.rootfs("root");
    let script = "dd if=/dev/zero of=/scratch/x bs=1k count=2000 2>/dev/null; wc -c </scratch/x; grep scratch /proc/mounts";
    let out = t.run(["--rootfs", &root, "--tmpfs", "/scratch:size=1m", "--", "sh", "-c", script]).run().ok();
    let text = out.text();
    assert!(text.starts_with("1048576\n"), "{text}");
    for option in ["nosuid", "nodev", "noexec"] {
        assert!(text.contains(option), "{option} is missing: {text}");
    }
}

fn mounts_come_in_their_order(t: &Sandbox) {
    let (root, shared) = (t.rootfs("root"), shared(t));
    let inner = format!("{shared}:/outer/inner");
    let out =
        t.run(["--rootfs", &root, "--tmpfs", "/outer", "-v", &inner, "--", "cat", "/outer/inner/file"]).run();
    out.ok().prints("from the host");
}

fn what_lies_deeper_in_a_root_is_mounted_later(t: &Sandbox) {
    let (root, shared) = (t.rootfs("root"), shared(t));
    let inner = format!("{shared}:/outer/inner");
    for outer in [["--tmpfs", "/outer"], ["--mount", "type=volume,src=vol,dst=/outer"]] {
        let flags = ["--rootfs", &root, "-v", &inner];
        let out = t.run(flags).args(outer).args(["--", "cat", "/outer/inner/file"]).run();
        out.ok().prints("from the host");
    }
    t.boxr(["volume", "rm", "vol"]).run().ok();
}

/// The caller says in which order they cover each other.
fn mounts_over_the_hosts_tree_come_as_given(t: &Sandbox) {
    let shared = shared(t);
    std::fs::create_dir_all(t.path("outer/inner")).unwrap();
    let (outer, inner) = (t.path("outer"), t.path("outer/inner"));
    let volume = format!("{shared}:{}", inner.display());
    let mount = ["--tmpfs".to_owned(), outer.display().to_string()];
    let look = format!("ls {}", outer.display());
    t.run(["-v", &volume]).args(&mount).args(["--", "sh", "-c", &look]).run().ok().prints("");
}

fn mounts_without_a_rootfs(t: &Sandbox) {
    let shared = shared(t);
    let over = t.path("over");
    std::fs::create_dir(&over).unwrap();
    let volume = format!("{shared}:{}", over.display());
    t.run(["-v", &volume, "--", "cat", "over/file"]).run().ok().prints("from the host");
    assert_eq!(std::fs::read_dir(&over).unwrap().count(), 0);
}

fn mounts_of_a_box_do_not_reach_the_host(t: &Sandbox) {
    let point = t.path("point");
    std::fs::create_dir(&point).unwrap();
    t.sh("mount -t tmpfs none point && touch point/x && ls point").run().ok().prints("x\n");
    assert_eq!(std::fs::read_dir(&point).unwrap().count(), 0);
}

fn slave_mounts_reach_the_box(t: &Sandbox) {
    // All in a box, whose mounts are shared among the boxes in it.
    let boxr = t.program().to_str().unwrap().to_owned();
    let globals = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let script = format!(
        "mount --make-rshared / && mkdir point && mkfifo up down
         {boxr} {globals} run --propagation slave -- sh -c 'echo ready >up; read go <down; ls point' &
         read ready <up; mount -t tmpfs none point; touch point/seen; echo go >down; wait $!"
    );
    t.run(["--", "sh", "-c", &script]).run().ok().prints("seen\n");
}

fn sources_that_are_missing_are_named(t: &Sandbox) {
    let root = t.rootfs("root");
    t.run(["--rootfs", &root, "-v", "/no/such/source:/data", "--", "true"])
        .run()
        .exits(125)
        .blames("/no/such/source");
    t.run(["--rootfs", &root, "--mount", "type=bind,src=/no/such/source,dst=/d", "--", "true"])
        .run()
        .exits(125)
        .blames("/no/such/source");
    assert!(!t.path("root/data").exists(), "a refused box leaves no mount point in its root");
    t.assert_nothing_left();
}

fn malformed_mounts_are_named(t: &Sandbox) {
    for volume in ["/only-one-path", "/a:relative", ":/b", "/a:/b:nonsense"] {
        t.run(["-v", volume, "--", "true"]).run().exits(125).blames(volume.split(':').next_back().unwrap());
    }
    for mount in ["type=bind,dst=/d", "type=nonsense,dst=/d", "src=/tmp", "type=tmpfs,dst=/d,nonsense=1"] {
        t.run(["--mount", mount, "--", "true"]).run().exits(125);
    }
    t.assert_nothing_left();
}

fn targets_that_lead_out_of_the_root_stay_inside(t: &Sandbox) {
    let (root, shared) = (t.rootfs("root"), shared(t));
    let outside = t.path("outside");
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, t.path("root/absolute")).unwrap();
    symlink("../outside", t.path("root/relative")).unwrap();
    symlink("/proc/1/root", t.path("root/magic")).unwrap();
    for target in ["/absolute/x", "/relative/x", "/relative/../../x", "/magic/x", "/../../x"] {
        let out = t.run(["--rootfs", &root, "-v", &format!("{shared}:{target}"), "--", "true"]).run();
        assert!([Some(0), Some(125)].contains(&out.status.code()), "{}", out.story());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{target} led out of the root");
        assert!(!t.path("x").exists(), "{target} led out of the root");
    }
    t.assert_nothing_left();
}

fn mount_over_root_or_proc_is_refused(t: &Sandbox) {
    let (root, shared) = (t.rootfs("root"), shared(t));
    for target in ["/", "/proc", "/proc/self"] {
        let out = t.run(["--rootfs", &root, "-v", &format!("{shared}:{target}"), "--", "true"]).run();
        assert_eq!(out.status.code(), Some(125), "{target}: {}", out.story());
    }
    t.assert_nothing_left();
}

fn a_pattern_is_a_bind_for_each_file(t: &Sandbox) {
    let rootfs = t.rootfs("rootfs");
    for name in ["one.conf", "two.conf", "three.txt"] {
        t.file(name, name);
    }
    let pattern = format!("type=glob,src={},dst=/in,ro", t.path("*.conf").display());
    let script = "cat /in/one.conf /in/two.conf; ls /in; echo x >/in/one.conf";
    let out = t.run(["--rootfs", &rootfs, "--mount", &pattern, "--", "sh", "-c", script]).run();
    out.exits(1).prints("one.conftwo.confone.conf\ntwo.conf\n").blames("Read-only");
    let same = format!("type=glob,src={}", t.path("th?ee.*").display());
    let path = t.path("three.txt").display().to_string();
    t.run(["--rootfs", &rootfs, "--mount", &same, "--", "cat", &path]).run().ok().prints("three.txt");
    let none = format!("type=glob,src={},dst=/in", t.path("*.none").display());
    t.run(["--rootfs", &rootfs, "--mount", &none, "--", "true"]).run().exits(125).blames("no file matches");
}
