//! Volumes: named, without a name, from images; what is copied into them, and what becomes of them.

use boxr_testing::leaks::files_below;
use boxr_testing::{Need, Sandbox, Test, Tool, test};

use crate::containers::{OVERLAY, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_volume_outlives_its_boxes),
    test!(a_volume_in_use_stays),
    test!(volumes_without_a_name_go_with_their_boxes),
    test!(volumes_are_listed_and_shown),
    test!(unused_volumes_are_pruned),
    test!(a_directory_of_the_hosts_can_be_one),
    test!(what_cannot_be_a_volume_is_said),
    test!(a_volume_has_the_owner_that_it_was_made_with, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
    test!(where_nothing_can_be_written_lists_are_read, Need::Root),
    test!(images_fill_volumes, Need::Tool(Tool::Busybox), OVERLAY),
    test!(images_declare_volumes, Need::Tool(Tool::Busybox), OVERLAY),
    test!(mounts_below_what_an_image_declares_are_seen, Need::Tool(Tool::Busybox), OVERLAY),
    test!(files_of_names_are_seen_in_a_bound_etc, Need::Tool(Tool::Busybox), OVERLAY),
    test!(no_device_is_of_use_in_a_volume, Need::Tool(Tool::Busybox), OVERLAY, Need::Root),
    test!(owners_in_volumes_are_the_containers, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
    test!(a_part_of_a_volume_is_mounted),
    test!(a_volume_in_memory_is_one_boxs),
    test!(a_directory_of_the_hosts_has_options),
    test!(a_volume_is_given_to_the_containers_user, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
];

/// A box with a tree of its own, in which volumes can be anywhere.
fn boxed(t: &Sandbox, rootfs: &str, words: &[&str], script: &str) -> boxr_testing::Cmd {
    let mut all = vec!["--rootfs", rootfs];
    all.extend(words);
    all.extend(["--", "sh", "-c", script]);
    t.run(all)
}

/// Nothing is left by a test.
fn clean(t: &Sandbox) {
    t.boxr(["volume", "prune", "-f", "-a"]).run().ok();
    assert!(names(t).is_empty());
}

#[track_caller]
fn names(t: &Sandbox) -> Vec<String> {
    let listed = t.boxr(["volume", "ls", "-q"]).run().ok().quiet().text();
    listed.lines().map(str::to_owned).collect()
}

fn a_volume_outlives_its_boxes(t: &Sandbox) {
    let rootfs = t.rootfs("rootfs");
    boxed(t, &rootfs, &["-v", "data:/data"], "echo kept >/data/file").run().ok().quiet();
    boxed(t, &rootfs, &["-v", "data:/other:ro"], "cat /other/file; echo x >/other/file")
        .run()
        .exits(1)
        .prints("kept\n")
        .blames("Read-only file system");
    boxed(t, &rootfs, &["--mount", "type=volume,src=data,dst=/mnt"], "cat /mnt/file")
        .run()
        .ok()
        .prints("kept\n");
    t.run(["-v", "data:/mnt", "--", "cat", "/mnt/file"]).run().ok().prints("kept\n");
    assert_eq!(names(t), ["data"]);
    t.boxr(["volume", "rm", "data"]).run().ok().quiet().prints("data\n");
    assert!(names(t).is_empty());
    let left = files_below(&t.layout().root.join("volumes"));
    assert!(left.is_empty(), "{left:?}");
}

fn a_volume_in_use_stays(t: &Sandbox) {
    t.boxr(["create", "--name", "one", "-v", "data:/mnt", "--", "true"]).run().ok();
    t.boxr(["volume", "rm", "data"]).run().exits(1).blames("volume data is in use by one");
    t.boxr(["volume", "ls", "-q", "-f", "dangling=true"]).run().ok().prints("");
    t.boxr(["rename", "one", "two"]).run().ok();
    t.boxr(["volume", "rm", "data"]).run().exits(1).blames("in use by two");
    t.boxr(["rm", "two"]).run().ok();
    t.boxr(["volume", "ls", "-q", "-f", "dangling=true"]).run().ok().prints("data\n");
    t.boxr(["create", "--name", "three", "-v", "data:/mnt", "--", "true"]).run().ok();
    t.boxr(["volume", "rm", "-f", "data", "other"]).run().ok().quiet().prints("data\n");
    t.boxr(["ps", "-a", "-q"]).run().ok().prints("");
}

fn volumes_without_a_name_go_with_their_boxes(t: &Sandbox) {
    let rootfs = t.rootfs("rootfs");
    boxed(t, &rootfs, &["-v", "/data"], "echo x >/data/file; cat /data/file").run().ok().prints("x\n");
    assert!(names(t).is_empty(), "a foreground box leaves nothing");
    for (words, left) in [(&["rm", "box"][..], 1), (&["rm", "-v", "box"], 0)] {
        t.boxr(["create", "--name", "box", "-v", "named:/a", "-v", "/mnt", "--", "true"]).run().ok();
        assert_eq!(names(t).len(), 2);
        t.boxr(words).run().ok();
        assert_eq!(names(t).len(), 1 + left, "{words:?}");
        t.boxr(["volume", "prune", "-f", "-a"]).run().ok();
    }
    // One that runs stays, and so does what it has.
    t.boxr(["run", "-d", "--name", "box", "-v", "/mnt", "--", "sleep", "1000"]).run().ok();
    t.boxr(["rm", "-v", "box"]).run().exits(1);
    t.boxr(["stop", "-t", "0", "box"]).run().ok();
    t.boxr(["rm", "box"]).run().ok();
    assert_eq!(names(t).len(), 1);
    clean(t);
}

fn volumes_are_listed_and_shown(t: &Sandbox) {
    t.boxr(["volume", "create", "--label", "tier=front", "blue"]).run().ok().quiet().prints("blue\n");
    t.boxr(["volume", "create", "blue"]).run().ok().prints("blue\n");
    let made = t.boxr(["volume", "create"]).run().ok().text();
    assert_eq!(made.trim().len(), 64, "{made}");
    t.boxr(["volume", "rm", made.trim()]).run().ok();
    t.boxr(["volume", "create", "green"]).run().ok();
    t.boxr(["volume", "ls"]).run().ok().prints("DRIVER    VOLUME NAME\nlocal     blue\nlocal     green\n");
    t.boxr(["volume", "ls", "-q", "-f", "label=tier=front"]).run().ok().prints("blue\n");
    t.boxr(["volume", "ls", "-q", "-f", "name=gre"]).run().ok().prints("green\n");
    t.boxr(["volume", "ls", "-f", "color=red"]).run().exits(125).blames("no such filter");
    let place = t.layout().root.join("volumes/blue/_data");
    let format = "{{.Name}} {{.Driver}} {{.Mountpoint}} {{index .Labels \"tier\"}}";
    t.boxr(["volume", "inspect", "-f", format, "blue"])
        .run()
        .ok()
        .prints(&format!("blue local {} front\n", place.display()));
    t.boxr(["volume", "inspect", "red"]).run().exits(1).prints("[]\n").blames("no such volume: red");
    t.boxr(["volume", "exists", "blue"]).run().ok().quiet();
    t.boxr(["volume", "exists", "red"]).run().exits(1).quiet();
    clean(t);
}

fn unused_volumes_are_pruned(t: &Sandbox) {
    for name in ["used", "unused"] {
        t.boxr(["volume", "create", name]).run().ok();
    }
    t.boxr(["create", "--name", "box", "-v", "used:/mnt", "-v", "/srv", "--", "true"]).run().ok();
    t.boxr(["volume", "prune"]).run().exits(125).blames("no terminal");
    t.boxr(["volume", "prune", "-f"]).run().ok().prints("Total reclaimed space: 0B\n");
    assert_eq!(names(t).len(), 3);
    t.boxr(["volume", "prune", "-f", "-a"])
        .run()
        .ok()
        .prints("Deleted Volumes:\nunused\n\nTotal reclaimed space: 0B\n");
    t.boxr(["rm", "box"]).run().ok();
    t.boxr(["volume", "prune", "-f"]).run().ok().shows("Deleted Volumes");
    assert_eq!(names(t), ["used"]);
    clean(t);
}

fn a_directory_of_the_hosts_can_be_one(t: &Sandbox) {
    std::fs::create_dir(t.path("host")).unwrap();
    std::fs::write(t.path("host/file"), "of the host\n").unwrap();
    let device = format!("device={}", t.path("host").display());
    t.boxr(["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "data"]).run().ok();
    t.run(["-v", "data:/mnt", "--", "cat", "/mnt/file"]).run().ok().prints("of the host\n");
    t.boxr(["volume", "rm", "data"]).run().ok();
    assert!(t.path("host/file").exists());
}

fn what_cannot_be_a_volume_is_said(t: &Sandbox) {
    let rootfs = t.rootfs("rootfs");
    for name in ["../up", ".hidden", "a b", ""] {
        t.boxr(["volume", "create", name]).run().exits(125).blames("no name of a volume");
    }
    t.boxr(["volume", "create", "-d", "nfs", "x"]).run().exits(125).blames("--driver nfs");
    t.boxr(["volume", "create", "-o", "size=1g", "x"]).run().exits(125).blames("--opt size=1g");
    t.run(["-v", "a/b:/mnt", "--", "true"]).run().exits(125).blames("./a/b");
    t.run(["-v", "data:mnt", "--", "true"]).run().exits(125).blames("absolute");
    t.boxr(["volume", "rm", "none"]).run().exits(1).blames("no such volume: none");
    t.boxr(["volume", "frob"]).run().exits(125).blames("frob");
    assert!(names(t).is_empty(), "nothing is left behind");
    // A start that fails takes the volume without a name along, and leaves the named one.
    boxed(t, &rootfs, &["-v", "kept:/a", "-v", "/b"], "true").run().ok();
    t.run(["-v", "kept:/mnt", "-v", "/srv", "--", "/no/such/command"]).run().exits(127);
    assert_eq!(names(t), ["kept"]);
    clean(t);
}

fn a_volume_has_the_owner_that_it_was_made_with(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    t.boxr(["volume", "create", "-o", "o=uid=71,gid=72,mode=2750", "given"]).run().ok();
    t.boxr(["volume", "inspect", "-f", "{{.UID}} {{.GID}}", "given"]).run().ok().prints("71 72\n");
    let run = |flags: &[&str], script: &str| {
        t.run(["-q", "--rm", "--network", "none"]).args(flags).args([&name, script]).run()
    };
    // What an image fills it with is the image's, as with podman.
    let look = "stat -c '%u %g %a' /etc; stat -c %u /etc/passwd";
    run(&["-v", "given:/etc"], look).ok().prints("71 72 2750\n0\n");
    // Who is asked to be given it has it.
    run(&["-u", "5:6", "-v", "given:/etc:U"], look).ok().prints("5 6 2750\n5\n");
    let made = "type=volume,src=made,dst=/v,volume-opt=o=uid=7";
    run(&["-u", "7", "--mount", made], "stat -c '%u %g %a' /v; touch /v/x").ok().prints("7 0 755\n");
    for (option, blamed) in [
        ("o=uid=x", "\"x\" is no id"),
        ("o=mode=9", "no mode"),
        ("o=uid=1,nodev", "nodev: "),
        ("o=bind,uid=1", "owner and mode are the directory's own"),
    ] {
        t.boxr(["volume", "create", "-o", option, "wrong"]).run().exits(125).blames(blamed);
    }
    if !rustix::process::geteuid().is_root() {
        let far = t.boxr(["volume", "create", "-o", "o=gid=4000000000", "wrong"]).run();
        far.exits(125).blames("4000000000 is none of your ids in containers");
    }
    clean(t);
}

/// Runs a line of the shell with boxr as `$X`, in mounts of its own: `$RO` is a directory that cannot be written.
fn read_only(t: &Sandbox, line: &str) -> boxr_testing::Output {
    let boxr = t.program().display().to_string();
    let ro = t.path("ro").display().to_string();
    let script = format!(
        "X='{boxr} --state {ro}/state --root {ro}/root'; mount --bind {ro} {ro} && mount -o remount,bind,ro {ro} && {{ {line}; }}"
    );
    t.run(["--pid", "host", "--", "sh", "-c", &script]).run()
}

fn where_nothing_can_be_written_lists_are_read(t: &Sandbox) {
    std::fs::create_dir(t.path("ro")).unwrap();
    let lists = "for what in 'ps -aq' 'images -q' 'volume ls -q' 'secret ls -q' 'pod ps -q' 'events --until 0s'; do \
        $X $what || exit 1; done; $X network ls --format '{{.Name}}'; $X system df --format '{{.Size}}' | sort -u; \
        $X volume exists new; echo $?; $X inspect new";
    let out = read_only(t, lists);
    let printed = "bridge\nhost\nnone\n0B\n1\n[]\n";
    out.exits(1).prints(printed).blames("no such box: new");
    for (what, blamed) in [
        ("volume create new", "ro/root/volumes: Read-only file system"),
        ("run -d -- true", "Read-only file system"),
        ("pull --tls-verify=false 127.0.0.1:1/none", ""),
        ("secret create new /etc/passwd", "Read-only file system"),
    ] {
        read_only(t, &format!("$X {what}")).exits(125).blames(blamed);
    }
    assert_eq!(std::fs::read_dir(t.path("ro")).unwrap().count(), 0);
    // What is there is seen.
    let boxr = |words: &[&str]| {
        let roots = ["--state".to_owned(), t.path("ro/state").display().to_string()];
        let data = ["--root".to_owned(), t.path("ro/root").display().to_string()];
        boxr_testing::Cmd::new(t.program()).args(roots).args(data).args(words.iter().copied()).run().ok()
    };
    boxr(&["volume", "create", "there"]);
    boxr(&["images"]);
    read_only(t, "$X volume ls -q; $X images -q; $X store verify -q; $X system df -q | head -c 0; $X ps -aq")
        .ok()
        .shows("there\n");
}

fn images_fill_volumes(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    let look = "cat /etc/passwd | head -n 1; stat -c %a /etc; echo mine >/etc/mine; ls /etc/mine";
    let expected = "root:x:0:0:root:/root:/bin/sh\n755\n/etc/mine\n";
    t.run(["-q", "--rm", "-v", "etc:/etc", &name, "sh", "-c", look]).run().ok().prints(expected);
    // It is not empty any more: what is in it stays as it is.
    t.run(["--rm", "-v", "etc:/etc", &name, "sh", "-c", "rm /etc/group; cat /etc/mine"])
        .run()
        .ok()
        .prints("mine\n");
    t.run(["--rm", "-v", "etc:/etc", &name, "ls", "/etc/group"]).run().exits(1);
    t.run(["--rm", "-v", "empty:/etc:nocopy", &name, "sh", "-c", "ls /etc | grep -c passwd"])
        .run()
        .exits(1)
        .prints("0\n");
    // The image's own mode of the directory.
    t.run(["--rm", "-v", "tmp:/tmp", &name, "stat", "-c", "%a", "/tmp"]).run().ok().prints("1777\n");
    t.run(["--rm", "-v", "new:/not/there", &name, "sh", "-c", "ls -A /not/there; touch /not/there/x"])
        .run()
        .ok()
        .prints("");
    clean(t);
}

fn images_declare_volumes(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"],"Volumes":{"/home/ann":{},"/etc":{}}}"#);
    t.run(["-q", "--rm", &name, "sh", "-c", "echo x >/etc/x; ls /etc/x"]).run().ok().prints("/etc/x\n");
    assert!(names(t).is_empty());
    t.boxr(["create", "--name", "one", "-v", "mine:/etc", &name, "true"]).run().ok();
    let listed = names(t);
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(listed.contains(&"mine".to_owned()), "{listed:?}");
    let format = "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}\n{{end}}";
    t.boxr(["inspect", "-f", format, "one"])
        .run()
        .ok()
        .shows("volume /home/ann true")
        .shows("volume /etc true");
    // Its changes are in the volume, start for start.
    t.boxr(["run", "-d", "--name", "two", &name, "sh", "-c", "echo again >>/etc/log"]).run().ok();
    t.boxr(["wait", "two"]).run().ok();
    t.boxr(["start", "two"]).run().ok();
    t.boxr(["wait", "two"]).run().ok();
    let inspected = t.boxr([
        "inspect",
        "-f",
        "{{range .Mounts}}{{if eq .Destination \"/etc\"}}{{.Name}}{{end}}{{end}}",
        "two",
    ]);
    let volume = inspected.run().ok().text();
    let shared = format!("{}:/mnt", volume.trim());
    t.run(["--rm", "-v", &shared, &name, "cat", "/mnt/log"]).run().ok().prints("again\nagain\n");
    t.boxr(["rm", "-v", "one", "two"]).run().ok();
    assert_eq!(names(t), ["mine"]);
    clean(t);
}

fn mounts_below_what_an_image_declares_are_seen(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"],"Volumes":{"/a":{}}}"#);
    for (dir, text) in [("deep", "deep"), ("top", "top")] {
        std::fs::create_dir(t.path(dir)).unwrap();
        t.file(&format!("{dir}/of"), text);
    }
    let (deep, top) = (format!("{}:/a/b", t.path("deep").display()), t.path("top"));
    t.run(["-q", "--rm", "-v", &deep, &name, "cat", "/a/b/of"]).run().ok().prints("deep");
    let words = ["--rm", "-v", &deep, "-v", &format!("{}:/a", top.display()), &name];
    t.run(words.iter().chain(&["cat", "/a/of", "/a/b/of"])).run().ok().prints("topdeep");
    clean(t);
}

fn files_of_names_are_seen_in_a_bound_etc(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    std::fs::create_dir(t.path("own")).unwrap();
    t.file("own/passwd", "me:x:0:0:mine:/:/bin/sh\n");
    let etc = format!("{}:/etc", t.path("own").display());
    let script = "cat /etc/hosts 2>/dev/null | grep -c '1.2.3.4.*there'; cat /etc/passwd";
    let words = ["-q", "--rm", "--add-host", "there:1.2.3.4"];
    let run = |etc: &str| t.run(words.iter().chain(&["-v", etc, &name, "sh", "-c", script])).run();
    // Nothing can be bound where there is no file, and what was asked for is seen as it is.
    run(&format!("{etc}:ro")).ok().prints("0\nme:x:0:0:mine:/:/bin/sh\n");
    run(&etc).ok().prints("1\nme:x:0:0:mine:/:/bin/sh\n");
    run(&format!("{etc}:ro")).ok().prints("1\nme:x:0:0:mine:/:/bin/sh\n");
}

fn owners_in_volumes_are_the_containers(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    let look = "stat -c '%u %g' /home/ann; touch /home/ann/x; stat -c %u /home/ann/x";
    t.run(["-q", "--rm", "-u", "ann", "-v", "home:/home/ann", &name, "sh", "-c", look])
        .run()
        .ok()
        .prints("1000 1000\n1000\n");
    t.boxr(["volume", "rm", "home"]).run().ok();
}

/// An image may bring a device of the host's along; a container that shares the volume may have more rights than
/// the one that is to be kept in.
fn no_device_is_of_use_in_a_volume(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"],"Volumes":{"/home/ann":{}}}"#);
    let made = "mknod /mnt/zero c 1 5 && chmod 666 /mnt/zero && head -c 1 /mnt/zero >/dev/null; echo $?";
    let host = ["-q", "--rm", "--network", "none", "--userns", "host", "-v", "shared:/mnt"];
    t.run(host.iter().copied().chain([&*name, "sh", "-c", made])).run().ok().prints("1\n");
    let look = "head -c 1 /mnt/zero >/dev/null; echo $?";
    for more in [&["--userns", "host"][..], &["--userns", "host", "--cap-drop", "MKNOD"], &[]] {
        let words = ["--rm", "--network", "none", "-v", "shared:/mnt"];
        let all = words.iter().chain(more).copied().chain([&*name, "sh", "-c", look]);
        t.run(all).run().ok().prints("1\n");
    }
    // Who has every device anyway has them here, too.
    let all = ["--rm", "--privileged", "--network", "none", "-v", "shared:/mnt", &name, "sh", "-c", look];
    t.run(all).run().ok().prints("0\n");
    clean(t);
}

fn a_part_of_a_volume_is_mounted(t: &Sandbox) {
    let rootfs = t.rootfs("rootfs");
    let fill = "mkdir -p /v/a/b && echo in >/v/a/b/f && echo x >/v/file && ln -s / /v/root && ln -s ../../.. /v/up && ln -s a /v/link";
    boxed(t, &rootfs, &["-v", "data:/v"], fill).run().ok();
    let part = |path: &str, script: &str| {
        boxed(t, &rootfs, &["--mount", &format!("type=volume,src=data,dst=/m,{path}")], script).run()
    };
    part("subpath=a/b", "cat /m/f; echo more >/m/g").ok().prints("in\n");
    part("volume-subpath=link/b,ro", "cat /m/g; echo x >/m/h").exits(1).prints("more\n");
    let file = "type=volume,src=data,dst=/one,subpath=file";
    boxed(t, &rootfs, &["--mount", file], "cat /one").run().ok().prints("x\n");
    // No link leads out of the volume, whoever has made it.
    for path in ["root", "up", "root/a/.."] {
        let output = part(&format!("subpath={path}"), "ls /m");
        match path {
            "root/a/.." => output.exits(125).blames("without .."),
            _ => output.ok().prints("a\nfile\nlink\nroot\nup\n"),
        };
    }
    part("subpath=root/etc", "true").exits(125).blames("No such file");
    for path in ["/a", "a/../b", "..", ""] {
        part(&format!("subpath={path}"), "true").exits(125).blames("subpath is a relative path");
    }
    let bind = boxed(t, &rootfs, &["--mount", "type=bind,src=/,dst=/m,subpath=a"], "true");
    bind.run().exits(125).blames("subpath is for volumes");
    clean(t);
}

fn a_volume_is_given_to_the_containers_user(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let run = |flags: &[&str], script: &str| {
        t.run(["-q", "--rm", "--network", "none"]).args(flags).args([&name, script]).run()
    };
    // Also what a new one is filled with, here by the image's /etc.
    let look = "stat -c %u /v /v/passwd; touch /v/made && stat -c %u /v/made";
    run(&["-u", "ann", "-v", "new:/etc:U"], "stat -c %u /etc /etc/passwd; touch /etc/made")
        .ok()
        .prints("1000\n1000\n");
    run(&["-v", "new:/v"], look).ok().prints("1000\n1000\n1000\n");
    run(&["-u", "7:8", "--mount", "type=volume,src=new,dst=/v,U=true"], look).ok().prints("7\n7\n7\n");
    // A part of it alone.
    run(&["-v", "new:/v"], "mkdir /v/part; touch /v/part/file").ok();
    let part = "type=volume,src=new,dst=/p,subpath=part,U";
    run(&["-u", "9", "--mount", part, "-v", "new:/v:ro"], "stat -c %u /p/file /v/part /v/made")
        .ok()
        .prints("9\n9\n7\n");
    clean(t);
}

fn a_volume_in_memory_is_one_boxs(t: &Sandbox) {
    let rootfs = t.rootfs("rootfs");
    let create = [
        "volume",
        "create",
        "--opt",
        "type=tmpfs",
        "--opt",
        "device=tmpfs",
        "--opt",
        "o=size=1m,mode=1755",
        "mem",
    ];
    t.boxr(create).run().ok().prints("mem\n");
    let look = "stat -f -c %T /v; stat -c %a /v; df -k /v | awk 'NR == 2 {print $2}'; ls /v; echo x >/v/file";
    for _ in 0..2 {
        boxed(t, &rootfs, &["-v", "mem:/v"], look).run().ok().prints("tmpfs\n1755\n1024\n");
    }
    // What another would get under its name is something else.
    boxed(t, &rootfs, &["-d", "--name", "it", "-v", "mem:/v"], "sleep 1000").run().ok();
    let second = boxed(t, &rootfs, &["-v", "mem:/v"], "true").run();
    second.exits(125).blames("one box at a time has").blames("it is in the way");
    t.boxr(["stop", "-t", "0", "it"]).run().ok();
    boxed(t, &rootfs, &["-v", "mem:/v:ro"], "echo x >/v/file").run().exits(1).blames("Read-only");
    let part = boxed(t, &rootfs, &["--mount", "type=volume,src=mem,dst=/v,subpath=a"], "true").run();
    part.exits(125).blames("a part of it");
    t.boxr(["rm", "it"]).run().ok();
    // Made with the box.
    let new = "type=volume,src=new,dst=/v,volume-driver=local,volume-opt=type=tmpfs,\"volume-opt=o=size=2m,nr_inodes=50\"";
    let script = "stat -f -c %T /v; df -k /v | awk 'NR == 2 {print $2}'";
    boxed(t, &rootfs, &["--mount", new], script).run().ok().prints("tmpfs\n2048\n");
    t.boxr(["volume", "inspect", "-f", "{{index .Options \"type\"}}", "new"]).run().ok().prints("tmpfs\n");
    let wrong = boxed(t, &rootfs, &["--mount", "type=volume,dst=/v,volume-opt=type=nfs"], "true").run();
    wrong.exits(125).blames("type=nfs");
    clean(t);
}

fn a_directory_of_the_hosts_has_options(t: &Sandbox) {
    let rootfs = t.rootfs("rootfs");
    let device = format!("device={}", t.path("").display());
    t.file("there", "host\n");
    t.boxr(["volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", &device, "data"]).run().ok();
    let out = boxed(t, &rootfs, &["-v", "data:/v"], "cat /v/there; echo x >/v/there").run();
    out.exits(1).prints("host\n").blames("Read-only");
    t.boxr(["volume", "rm", "data"]).run().ok();
    clean(t);
}
