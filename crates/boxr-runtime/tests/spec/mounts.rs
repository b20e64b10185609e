//! `mounts`: every option, every kind of source.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use boxr_testing::{Need, Sandbox, Test, test};
use serde_json::json;

use super::BUNDLE;
use super::bundle::{Bundle, file};

pub const TESTS: &[Test] = &[
    test!(attributes_of_a_mount, BUNDLE, Need::Root),
    test!(attributes_of_all_below, BUNDLE, Need::Root),
    test!(flags_of_a_superblock, BUNDLE, Need::Root),
    test!(options_that_nobody_knows_are_named, BUNDLE, Need::Root),
    test!(what_is_mounted_is_mounted_anew, BUNDLE, Need::Root),
    test!(files_are_bound_on_missing_ones, BUNDLE, Need::Root),
    test!(relative_paths_are_the_bundles_and_the_roots, BUNDLE, Need::Root),
    test!(propagation_of_a_mount, BUNDLE, Need::Root),
    test!(a_shared_bind_of_a_shared_root_reaches_the_host, BUNDLE, Need::Root),
    test!(a_tmpfs_has_the_mode_of_what_it_covers, BUNDLE, Need::Root),
    test!(a_tmpfs_takes_a_copy_of_what_it_covers, BUNDLE, Need::Root),
    test!(an_overlay_with_long_options, BUNDLE, Need::Root, Need::Filesystem("overlay")),
    test!(ids_are_shown_as_others, BUNDLE, Need::Root, Need::Kernel(6, 3)),
    test!(ids_are_shown_by_the_containers_maps, BUNDLE, Need::Root, Need::Kernel(6, 3)),
    test!(wrong_id_maps_are_refused_by_field, BUNDLE, Need::Root),
    test!(links_at_the_ends_of_a_bind, BUNDLE, Need::Root),
    test!(sources_that_root_of_a_user_namespace_cannot_reach, BUNDLE, Need::Root),
    test!(filesystems_of_the_host_where_new_ones_are_refused, BUNDLE, Need::Root),
    test!(a_terminal_group_that_is_not_mapped, BUNDLE, Need::Root),
    test!(cgroups_are_shown_in_both_views, BUNDLE, Need::Root),
    test!(locked_flags_stay, BUNDLE, Need::Root),
];

/// The line of /proc/self/mountinfo for this place, without its numbers.
fn line(place: &str) -> String {
    format!("grep ' {place} ' /proc/self/mountinfo | cut -d ' ' -f 5-")
}

fn attributes_of_a_mount(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let one = ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"];
    bundle.mount("/one", "tmpfs", "t", &one);
    bundle.mount(
        "/two",
        "tmpfs",
        "t",
        &["ro", "rw", "nosuid", "suid", "noatime", "strictatime", "nosymfollow", "symfollow"],
    );
    bundle.mount(
        "/three",
        "tmpfs",
        "t",
        &["relatime", "norelatime", "strictatime", "nostrictatime", "diratime", "defaults"],
    );
    let out = bundle.sh(&[line("/one"), line("/two"), line("/three")].join("; ")).ok();
    let lines = out.lines();
    for word in one {
        assert!(lines[0].contains(word), "{word}: {}", lines[0]);
    }
    // A mount that keeps access times strictly says nothing of them.
    assert!(lines[1].starts_with("/two rw - tmpfs t rw"), "{}", lines[1]);
    assert!(lines[2].starts_with("/three rw,relatime - tmpfs t rw"), "{}", lines[2]);
}

fn attributes_of_all_below(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let source = t.path("tree");
    std::fs::create_dir_all(source.join("below")).unwrap();
    let source = source.to_str().unwrap().to_owned();
    // The tree has a mount below it in a mount namespace of the container's caller.
    let run = |bundle: &Bundle| {
        let script = format!("mount -t tmpfs t {source}/below && exec \"$0\" --as=oci-run");
        let program = std::env::current_exe().unwrap();
        let cmd = boxr_testing::Cmd::new("unshare").args(["-m", "sh", "-c", &script]);
        bundle.start(cmd.arg(program))
    };
    let script = [line("/tree"), line("/tree/below")].join("; ");
    bundle.config["process"]["args"] = json!(["sh", "-c", script]);
    bundle.mount(
        "/tree",
        "bind",
        &source,
        &["rbind", "rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnosymfollow", "rnodiratime"],
    );
    for line in run(&bundle).ok().lines() {
        for word in ["ro", "nosuid", "nodev", "noexec", "noatime", "nosymfollow", "nodiratime"] {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
    bundle.no_mount("/tree");
    bundle.mount("/tree", "bind", &source, &["rbind", "ro", "nosuid"]);
    let lines = run(&bundle).ok().lines();
    assert!(lines[0].contains("/tree ro,nosuid"), "{}", lines[0]);
    assert!(lines[1].contains("/tree/below rw"), "{}", lines[1]);
    bundle.no_mount("/tree");
    let all = [
        "rrw",
        "rsuid",
        "rdev",
        "rexec",
        "rdiratime",
        "ratime",
        "rrelatime",
        "rnorelatime",
        "rnostrictatime",
        "rsymfollow",
    ];
    bundle.mount("/tree", "bind", &source, &[&["rbind", "rro", "rnoexec"][..], &all].concat());
    for line in run(&bundle).ok().lines() {
        assert!(line.contains(" rw,relatime"), "{line}");
    }
    bundle.no_mount("/tree");
    bundle.mount("/tree", "bind", &source, &["rbind", "rstrictatime"]);
    for line in run(&bundle).ok().lines() {
        assert!(!line.contains("relatime"), "{line}");
    }
}

fn flags_of_a_superblock(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.mount("/one", "tmpfs", "t", &["sync", "dirsync", "lazytime", "silent", "size=1m", "nr_inodes=20"]);
    bundle.mount(
        "/two",
        "tmpfs",
        "t",
        &["sync", "async", "lazytime", "nolazytime", "loud", "nomand", "noacl", "noiversion"],
    );
    // mount(2) alone takes this one; the kernel does not show it.
    bundle.mount("/three", "tmpfs", "t", &["iversion", "acl", "size=2m", "noexec"]);
    let out = bundle.sh(&[line("/one"), line("/two"), line("/three")].join("; ")).ok();
    let lines = out.lines();
    for word in ["sync", "dirsync", "lazytime", "size=1024k", "nr_inodes=20"] {
        assert!(lines[0].contains(word), "{word}: {}", lines[0]);
    }
    assert!(!lines[1].contains("sync") && !lines[1].contains("lazytime"), "{}", lines[1]);
    assert!(lines[2].starts_with("/three rw,noexec,relatime - tmpfs t rw,size=2048k"), "{}", lines[2]);
}

fn options_that_nobody_knows_are_named(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.mount("/one", "tmpfs", "t", &["colour=blue"]);
    bundle.run(&["true"]).exits(125).blames("colour=blue");
    bundle.no_mount("/one");
    bundle.mount("/one", "bind", "/etc", &["rbind", "colour=blue"]);
    bundle.run(&["true"]).exits(125).blames("mounts[6].options");
    bundle.no_mount("/one");
    bundle.mount("/one", "nosuchfs", "x", &[]);
    bundle.run(&["true"]).exits(125).blames("/one (nosuchfs)");
    bundle.no_mount("/one");
    bundle.mount("/one", "bind", "/no/such/source", &["bind"]);
    bundle.run(&["true"]).exits(125).blames("/no/such/source");
}

fn what_is_mounted_is_mounted_anew(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.mount("/one", "tmpfs", "t", &["size=1m"]);
    bundle.mount("/one", "tmpfs", "t", &["remount", "size=3m", "noexec"]);
    bundle.mount("/two", "bind", "/etc", &["bind"]);
    bundle.mount("/two", "", "", &["remount", "bind", "ro", "nosuid"]);
    let out = bundle.sh(&[line("/one"), line("/two")].join("; ")).ok();
    let lines = out.lines();
    assert!(lines[0].contains("noexec") && lines[0].contains("size=3072k"), "{}", lines[0]);
    assert!(lines[1].starts_with("/two ro,nosuid"), "{}", lines[1]);
}

fn files_are_bound_on_missing_ones(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let source = t.file("greeting", "hello\n");
    bundle.mount("/new/place/greeting", "bind", &source, &["bind", "ro"]);
    bundle.mount("/etc/passwd", "bind", &source, &["bind"]);
    let out = bundle.sh("cat /new/place/greeting /etc/passwd; echo > /new/place/greeting || echo kept").ok();
    assert_eq!(out.lines(), ["hello", "hello", "kept"]);
    assert_eq!(std::fs::metadata(bundle.in_root("new/place/greeting")).unwrap().len(), 0);
}

fn relative_paths_are_the_bundles_and_the_roots(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    file(&bundle.dir.join("data/inner"), "of the bundle\n");
    bundle.mount("a/../relative/./dir", "bind", "data", &["bind"]);
    bundle.sh("cat /relative/dir/inner").ok().prints("of the bundle\n");
    bundle.mount("../../../../above", "bind", "data", &["bind"]);
    bundle.sh("cat /above/inner").ok().prints("of the bundle\n");
}

fn propagation_of_a_mount(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.mount("/one", "tmpfs", "t", &["shared"]);
    bundle.mount("/two", "tmpfs", "t", &["shared", "private"]);
    bundle.mount("/three", "bind", "/etc", &["rbind", "rshared"]);
    bundle.mount("/four", "tmpfs", "t", &["unbindable"]);
    let out = bundle.sh(&["/one", "/two", "/three", "/four"].map(line).join("; ")).ok();
    let lines = out.lines();
    assert!(lines[0].contains("shared:"), "{}", lines[0]);
    assert!(!lines[1].contains("shared:"), "{}", lines[1]);
    assert!(lines[2].contains("shared:"), "{}", lines[2]);
    assert!(lines[3].contains("unbindable"), "{}", lines[3]);
}

/// "Bidirectional" of Kubernetes; and nothing else of the container's travels.
fn a_shared_bind_of_a_shared_root_reaches_the_host(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let source = t.path("volume");
    std::fs::create_dir_all(source.join("inner")).unwrap();
    bundle.config["linux"]["rootfsPropagation"] = json!("rshared");
    bundle.mount("/volume", "bind", source.to_str().unwrap(), &["rbind", "rshared"]);
    bundle.mount("/other", "bind", source.to_str().unwrap(), &["rbind", "rprivate"]);
    let all = json!(["CAP_SYS_ADMIN"]);
    bundle.config["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    bundle.config["process"]["args"] =
        json!(["sh", "-c", "mount -t tmpfs in-volume /volume/inner && mount -t tmpfs in-root /tmp"]);
    let run = |bundle: &Bundle| {
        // The volume is a shared mount of the caller's, which is looked at afterwards.
        let source = source.to_str().unwrap();
        let script = format!(
            "mount --bind {source} {source} && mount --make-shared {source} && \"$0\" --as=oci-run && cat /proc/self/mountinfo"
        );
        let program = std::env::current_exe().unwrap();
        bundle.start(boxr_testing::Cmd::new("unshare").args(["-m", "sh", "-c", &script]).arg(program))
    };
    let out = run(&bundle).ok();
    assert!(out.text().contains("in-volume"), "{}", out.text());
    assert!(!out.text().contains("in-root") && !out.text().contains("/work/bundle"), "{}", out.text());
    bundle.config["linux"]["rootfsPropagation"] = json!("rslave");
    assert!(!run(&bundle).ok().text().contains("in-volume"));
}

fn a_tmpfs_has_the_mode_of_what_it_covers(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    std::fs::create_dir(bundle.in_root("private")).unwrap();
    std::fs::set_permissions(bundle.in_root("private"), PermissionsExt::from_mode(0o710)).unwrap();
    for place in ["/private", "/fresh", "/said"] {
        let options: &[&str] = if place == "/said" { &["mode=0700", "uid=7", "gid=8"] } else { &[] };
        bundle.mount(place, "tmpfs", "t", options);
    }
    let out = bundle.sh("stat -c '%a %u %g' /private /fresh /said").ok();
    assert_eq!(out.lines(), ["710 0 0", "1777 0 0", "700 7 8"]);
}

fn a_tmpfs_takes_a_copy_of_what_it_covers(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    file(&bundle.in_root("data/dir/file"), "content\n");
    symlink("/etc/passwd", bundle.in_root("data/link")).unwrap();
    std::fs::set_permissions(bundle.in_root("data/dir/file"), PermissionsExt::from_mode(0o4640)).unwrap();
    chown(bundle.in_root("data/dir"), Some(11), Some(12)).unwrap();
    bundle.mount("/data", "tmpfs", "t", &["tmpcopyup"]);
    let out = bundle
        .sh("cd /data; cat dir/file; readlink link; stat -c '%a' dir/file; stat -c '%u %g' dir; echo new > dir/file")
        .ok();
    assert_eq!(out.lines(), ["content", "/etc/passwd", "4640", "11 12"]);
    assert_eq!(std::fs::read_to_string(bundle.in_root("data/dir/file")).unwrap(), "content\n");
    bundle.mount("/etc", "bind", "/etc", &["bind", "tmpcopyup"]);
    bundle.run(&["true"]).exits(125).blames("tmpcopyup");
}

fn an_overlay_with_long_options(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    // fsconfig(2) takes 255 bytes.
    let layers: Vec<_> = (0..8).map(|number| t.path(&format!("layer-{number}-{}", "x".repeat(40)))).collect();
    for (number, layer) in layers.iter().enumerate() {
        file(&layer.join(format!("of-{number}")), "");
    }
    // The test directory may be on an overlay or tmpfs; neither matters to one that is only read.
    let lower = layers.iter().map(|layer| layer.to_str().unwrap()).collect::<Vec<_>>().join(":");
    bundle.mount("/layers", "overlay", "overlay", &[&format!("lowerdir={lower}"), "ro"]);
    let out = bundle.sh("ls /layers").ok();
    assert_eq!(out.lines().len(), 8, "{}", out.text());
}

/// A file of user 0 and one of user 5, to be shown as others. Their filesystem must be able to: a tmpfs
/// is from Linux 6.3 on, and hostfs of User Mode Linux never.
fn owned_files(t: &Sandbox) -> String {
    let source = t.path("owned");
    file(&source.join("zero"), "");
    file(&source.join("five"), "");
    chown(source.join("five"), Some(5), Some(6)).unwrap();
    source.to_str().unwrap().to_owned()
}

fn mapping(container: u32, host: u32, size: u32) -> serde_json::Value {
    json!([{ "containerID": container, "hostID": host, "size": size }])
}

fn ids_are_shown_as_others(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let source = owned_files(t);
    for (place, option) in [("/one", "idmap"), ("/two", "ridmap"), ("/three", "bind")] {
        bundle.mount(place, "bind", &source, &["rbind", option]);
        let mount = bundle.config["mounts"].as_array_mut().unwrap().last_mut().unwrap();
        mount["uidMappings"] = mapping(0, 1000, 10);
        mount["gidMappings"] = mapping(0, 2000, 10);
    }
    let out = bundle.sh("stat -c '%u %g' /one/zero /one/five /two/five /three/five").ok();
    assert_eq!(out.lines(), ["1000 2000", "1005 2006", "1005 2006", "1005 2006"]);
    assert_eq!(std::fs::metadata(t.path("owned/five")).unwrap().uid(), 5);
}

fn ids_are_shown_by_the_containers_maps(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let source = owned_files(t);
    bundle.user_namespace(100_000, 1000);
    bundle.mount("/one", "bind", &source, &["rbind", "idmap"]);
    bundle.mount("/two", "bind", &source, &["rbind"]);
    bundle.give_root_to(100_000);
    for path in [t.path("bundle"), t.path("bundle/rootfs"), t.path("owned")] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let out = bundle.sh("stat -c '%u %g' /one/zero /one/five /two/zero; echo new > /one/new").ok();
    assert_eq!(out.lines(), ["0 0", "5 6", "65534 65534"]);
    assert_eq!(std::fs::metadata(t.path("owned/new")).unwrap().uid(), 0, "on disk it is root's");
}

fn wrong_id_maps_are_refused_by_field(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.mount("/one", "bind", "/etc", &["rbind", "idmap"]);
    bundle.run(&["true"]).exits(125).blames("mounts[6].options");
    bundle.config["mounts"][6]["uidMappings"] = mapping(0, 1000, 10);
    bundle.run(&["true"]).exits(125).blames("mounts[6].gidMappings");
    bundle.config["mounts"][6]["gidMappings"] = mapping(0, 1000, 0);
    bundle.run(&["true"]).exits(125).blames("mounts[6].gidMappings");
    bundle.config["mounts"][6]["gidMappings"] = mapping(0, 1000, 10);
    bundle.config["mounts"][6]["type"] = json!("tmpfs");
    bundle.config["mounts"][6]["options"] = json!(["idmap"]);
    bundle.run(&["true"]).exits(125).blames("mounts[6].uidMappings");
}

fn links_at_the_ends_of_a_bind(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let target = t.file("target", "of the host\n");
    symlink(&target, t.path("link")).unwrap();
    let link = t.path("link").to_str().unwrap().to_owned();
    symlink("/elsewhere", bundle.in_root("at-link")).unwrap();
    bundle.mount("/copied/link", "bind", &link, &["bind", "copy-symlink"]);
    bundle.mount("/not-a-link", "bind", &target, &["bind", "copy-symlink"]);
    bundle.mount("/itself", "bind", &link, &["bind", "src-nofollow"]);
    bundle.mount("/followed", "bind", &link, &["bind"]);
    bundle.mount("/at-link", "bind", &target, &["bind", "dest-nofollow"]);
    let script = "readlink /copied/link; cat /not-a-link; readlink /itself; cat /followed; cat /at-link; \
        test -e /elsewhere || echo untouched";
    let out = bundle.sh(script).ok();
    let host = "of the host";
    assert_eq!(out.lines(), [&target, host, &target, host, host, "untouched"]);
    // Made again it is there already, and that is right.
    bundle.sh("readlink /copied/link").ok();
}

/// As in `podman run --userns=auto`: storage that only the host's root may enter.
fn sources_that_root_of_a_user_namespace_cannot_reach(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    file(&t.path("secret/volume/file"), "reached\n");
    chown(t.path("secret/volume/file"), Some(100_000), Some(100_000)).unwrap();
    bundle.user_namespace(100_000, 65536);
    bundle.give_root_to(100_000);
    bundle.mount("/volume", "bind", t.path("secret/volume").to_str().unwrap(), &["rbind", "ro"]);
    for path in ["bundle", "secret"] {
        std::fs::set_permissions(t.path(path), PermissionsExt::from_mode(0o700)).unwrap();
    }
    let out = bundle.sh("cat /volume/file; id -u; hostname").ok();
    assert_eq!(out.lines(), ["reached", "0", "bundle"]);
}

/// A user namespace without the network, ipc and pid namespaces that these show.
fn filesystems_of_the_host_where_new_ones_are_refused(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.user_namespace(0, 65536);
    for namespace in ["network", "ipc", "pid"] {
        bundle.no_namespace(namespace);
    }
    // There may be no such mount on the host.
    bundle.no_mount("/dev/mqueue");
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    let out = bundle
        .sh(&format!(
            "test -d /sys/kernel && ls /proc/self/status && {}; touch /sys/x 2>/dev/null || echo kept",
            line("/sys")
        ))
        .ok();
    let lines = out.lines();
    assert_eq!(lines[0], "/proc/self/status");
    assert!(lines[1].starts_with("/sys ro,nosuid,nodev,noexec"), "{}", lines[1]);
    assert_eq!(lines[2], "kept");
}

fn a_terminal_group_that_is_not_mapped(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.user_namespace(0, 1);
    bundle.no_mount("/dev/mqueue");
    let out = bundle.sh(&line("/dev/pts")).ok();
    assert!(!out.text().contains("gid=5"), "{}", out.text());
}

fn cgroups_are_shown_in_both_views(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]);
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let script = "grep -c ' cgroup' /proc/self/mountinfo; mkdir /sys/fs/cgroup/x 2>/dev/null || echo kept; \
        cat /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs 2>/dev/null | grep -q . && echo found";
    for namespace in [false, true] {
        if namespace {
            bundle.namespace("cgroup", None);
        }
        let out = bundle.sh(script).ok();
        let lines = out.lines();
        let hierarchies: usize = lines[0].parse().unwrap();
        if unified {
            assert_eq!(hierarchies, 1);
        } else {
            assert!(hierarchies >= own.lines().count(), "{own}\n{}", out.text());
        }
        assert_eq!(lines[1..], ["kept", "found"], "{}", out.text());
    }
}

/// Flags that a user namespace may not take off stay, and those that it adds are added.
fn locked_flags_stay(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.user_namespace(0, 65536);
    let source = t.path("locked");
    std::fs::create_dir(&source).unwrap();
    let source = source.to_str().unwrap();
    bundle.mount("/locked", "bind", source, &["rbind", "rw", "nosuid", "dev", "noexec"]);
    bundle.config["process"]["args"] = json!(["sh", "-c", line("/locked")]);
    let program = std::env::current_exe().unwrap();
    // In a user namespace of its own the runtime itself has no right over the mount.
    let script = format!(
        "mount -t tmpfs -o ro,nodev t {source} && exec unshare --user --map-root-user --map-groups=0,0,65536 \
         --map-users=0,0,65536 -m \"$0\" --as=oci-run"
    );
    let script = script.replace("--map-groups=0,0,65536 --map-users=0,0,65536 ", "");
    bundle.no_namespace("user");
    bundle.config["linux"].as_object_mut().unwrap().remove("uidMappings");
    bundle.config["linux"].as_object_mut().unwrap().remove("gidMappings");
    let out =
        bundle.start(boxr_testing::Cmd::new("unshare").args(["-m", "sh", "-c", &script]).arg(program)).ok();
    assert!(out.text().starts_with("/locked ro,nosuid,nodev,noexec"), "{}", out.text());
}
