//! `boxr cp`: files into containers and out of them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait};
use rustix::process::Signal;

use crate::containers::{OVERLAY, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(files_come_out_of_containers, Need::Tool(Tool::Busybox), OVERLAY),
    test!(files_go_into_one_that_runs, Need::Tool(Tool::Busybox), OVERLAY),
    test!(files_go_into_one_that_does_not_run, Need::Tool(Tool::Busybox), OVERLAY),
    test!(volumes_of_one_that_does_not_run_are_there, Need::Tool(Tool::Busybox), OVERLAY),
    test!(volumes_of_one_that_does_not_run_are_mounted_nowhere_else, Need::Tool(Tool::Busybox), OVERLAY),
    test!(one_kind_takes_the_place_of_another_when_told, Need::Tool(Tool::Busybox), OVERLAY),
    test!(archives_go_both_ways, Need::Tool(Tool::Busybox), OVERLAY),
    test!(owners_are_roots_or_kept, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
    test!(boxes_with_a_root_of_their_own_have_files, Need::Tool(Tool::Busybox)),
    test!(links_of_a_hostile_container_end_in_it, Need::Tool(Tool::Busybox), OVERLAY),
    test!(links_that_change_meanwhile_end_in_the_container, Need::Tool(Tool::Busybox), OVERLAY; deadline 90),
    test!(what_is_broken_off_leaves_nothing_half_there, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_cannot_be_copied_is_said),
];

const SCRIPT: &str = "mkdir -p /d/sub; echo one >/d/one; ln /d/one /d/two; echo deep >/d/sub/deep; ln -s one /d/link; \
                      chmod 640 /d/one; echo alone >/alone; ln -s alone /to-alone; ln -s d /to-d";

fn read(t: &Sandbox, name: &str) -> String {
    fs::read_to_string(t.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Reads a file in a container that runs or not, without `cp`.
fn inside(t: &Sandbox, name: &str, path: &str) -> String {
    t.boxr(["exec", name, "cat", path]).run().ok().text()
}

/// Nothing of boxr's own stays beside what was copied.
fn no_leftovers(t: &Sandbox, dir: &str) {
    let left: Vec<_> = fs::read_dir(t.path(dir)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".boxr")), "{left:?}");
}

fn files_come_out_of_containers(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    t.run(["-q", "--name", "ended", &name, "sh", "-c", SCRIPT]).run().ok();
    let up = format!(
        "{SCRIPT}; ln -s /mnt /to-mnt; mkdir /mnt/sub; echo volume >/mnt/v; echo tmp >/scratch/t; touch /up; exec sleep 1000"
    );
    let words = ["-q", "-d", "--name", "up", "-v", "/mnt", "--tmpfs", "/scratch", &name, "sh", "-c", &up];
    t.run(words).run().ok();
    t.boxr(["exec", "up", "sh", "-c", "while [ ! -e /up ]; do sleep 0.01; done"]).run().ok();
    for from in ["ended", "up"] {
        let at = |path: &str| format!("{from}/{path}");
        fs::create_dir(t.path(from)).unwrap();
        let cp = |source: &str, target: &str| t.boxr(["cp", &format!("{from}:{source}"), &at(target)]).run();
        cp("/d", "new").ok().quiet().prints("");
        cp("/d", "").ok();
        cp("d/.", "contents").ok();
        cp("/d/.", "").ok();
        for dir in ["new", "d", "contents", "."] {
            assert_eq!(read(t, &at(&format!("{dir}/sub/deep"))), "deep\n");
            let of = |file: &str| fs::metadata(t.path(&at(&format!("{dir}/{file}")))).unwrap();
            assert_eq!(of("one").ino(), of("two").ino());
            assert_eq!(of("one").permissions().mode() & 0o7777, 0o640);
            assert_eq!(of("one").uid(), rustix::process::geteuid().as_raw());
            let link = fs::read_link(t.path(&at(&format!("{dir}/link")))).unwrap();
            assert_eq!(link.to_str().unwrap(), "one");
        }
        cp("alone", "renamed").ok();
        cp("/d/one", "renamed").ok();
        assert_eq!(read(t, &at("renamed")), "one\n");
        cp("/to-alone", "copied-link").ok();
        assert_eq!(fs::read_link(t.path(&at("copied-link"))).unwrap().to_str().unwrap(), "alone");
        cp("/to-d/", "through").ok();
        assert_eq!(read(t, &at("through/one")), "one\n");
        t.boxr(["cp", "-L", &format!("{from}:/to-alone"), &at("followed")]).run().ok();
        assert_eq!(read(t, &at("followed")), "alone\n");
        cp("/etc/passwd", "passwd").ok();
        cp("/nothing", "x").exits(1).blames("no such file or directory: /nothing");
        cp("/alone/", "x").exits(1).blames("/alone/ is not a directory");
        cp("/alone", "missing/").exits(1).blames("no such directory");
        cp("/alone", "missing/x").exits(1).blames("no such directory");
        cp("/d", "renamed").exits(1).blames("a directory cannot be copied onto the file");
        assert!(!t.path(&at("x")).exists() && !t.path(&at("missing")).exists());
        no_leftovers(t, from);
    }
    // What is mounted is there while it runs.
    t.boxr(["cp", "up:/mnt/v", "v"]).run().ok();
    t.boxr(["cp", "up:/scratch", "scratch"]).run().ok();
    assert_eq!((read(t, "v"), read(t, "scratch/t")), ("volume\n".to_owned(), "tmp\n".to_owned()));
    t.boxr(["cp", "up:/proc/version", "x"]).run().exits(1).blames("/proc/version belongs to the kernel");
    t.boxr(["pause", "up"]).run();
    t.boxr(["cp", "up:/alone", "paused"]).run().ok();
    t.boxr(["unpause", "up"]).run();
    t.boxr(["stop", "-t", "0", "up"]).run().ok();
    // A volume is there at any time, through links too; what lived in memory is not.
    t.boxr(["cp", "up:/mnt/v", "v-stopped"]).run().ok();
    t.boxr(["cp", "up:/to-mnt/", "to-mnt"]).run().ok();
    assert_eq!((read(t, "v-stopped"), read(t, "to-mnt/v")), ("volume\n".to_owned(), "volume\n".to_owned()));
    let refused = "/scratch is mounted in it only while it runs";
    t.boxr(["cp", "up:/scratch/t", "x"]).run().exits(1).blames(refused);
    t.boxr(["cp", "up/passwd", "up:/scratch"]).run().exits(1).blames(refused);
    t.boxr(["create", "--name", "made", &name]).run().ok();
    t.boxr(["cp", "made:/etc/passwd", "made-passwd"]).run().ok();
    assert_eq!(read(t, "made-passwd"), read(t, "up/passwd"));
    t.boxr(["rm", "-f", "-v", "up", "ended", "made"]).run().ok();
}

/// Copies into the running container `name`, all shapes.
fn copy_into(t: &Sandbox, name: &str) {
    fs::create_dir_all(t.path("src/sub")).unwrap();
    for (file, text) in [("src/one", "one\n"), ("src/sub/deep", "deep\n"), ("alone", "alone\n")] {
        fs::write(t.path(file), text).unwrap();
    }
    fs::set_permissions(t.path("src/one"), fs::Permissions::from_mode(0o751)).unwrap();
    symlink("one", t.path("src/link")).unwrap();
    let cp = |source: &str, target: &str| t.boxr(["cp", source, &format!("{name}:{target}")]).run();
    cp("src", "/new").ok().quiet().prints("");
    cp("src", "/home").ok();
    cp("src/.", "/contents").ok();
    cp("src/.", "/home/ann").ok();
    cp("alone", "/home/").ok();
    cp("alone", "/renamed").ok();
    cp("src/one", "renamed").ok();
    cp("src/link", "/home/link").ok();
    cp("alone", "/none/").exits(1).blames("no such directory: /none/");
    cp("alone", "/none/x").exits(1).blames("no such directory: /none");
    cp("src", "/etc/passwd").exits(1).blames("onto the file /etc/passwd");
    cp("nothing", "/x").exits(1).blames("no such file or directory: nothing");
    cp("src/sub", "/home/ann/").ok();
    cp("alone", "/home/ann/sub").ok();
    t.boxr(["cp", "-L", "src/link", &format!("{name}:/home/followed")]).run().ok();
}

/// What [`copy_into`] has put there.
fn assert_copied(t: &Sandbox, name: &str) {
    for dir in ["/new", "/home/src", "/contents", "/home/ann"] {
        assert_eq!(inside(t, name, &format!("{dir}/link")), "one\n");
        assert_eq!(inside(t, name, &format!("{dir}/sub/deep")), "deep\n");
    }
    assert_eq!(inside(t, name, "/home/alone"), "alone\n");
    assert_eq!(inside(t, name, "/home/ann/sub/alone"), "alone\n");
    assert_eq!(inside(t, name, "/renamed"), "one\n");
    let look = "stat -c '%u:%g %a' /new/one /contents; readlink /home/link; readlink /home/followed; cat /home/followed; \
                find / -xdev -name '.boxr*'";
    let told = t.boxr(["exec", name, "sh", "-c", look]).run().text();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!((lines[0], &lines[2..]), ("0:0 751", &["one", "one"][..]), "{told}");
}

fn files_go_into_one_that_runs(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    let words = ["-q", "-d", "--name", "up", "-v", "/mnt", "--tmpfs", "/scratch", &name, "sleep", "1000"];
    t.run(words).run().ok();
    copy_into(t, "up");
    assert_copied(t, "up");
    for dir in ["/mnt", "/scratch"] {
        t.boxr(["cp", "alone", &format!("up:{dir}")]).run().ok();
        assert_eq!(inside(t, "up", &format!("{dir}/alone")), "alone\n");
    }
    // Onto the volume itself, and not under it.
    t.boxr(["cp", "up:/mnt/alone", "back"]).run().ok();
    assert_eq!(read(t, "back"), "alone\n");
    t.boxr(["rm", "-f", "-v", "up"]).run().ok();
    t.run(["-q", "-d", "--read-only", "--name", "fixed", &name, "sleep", "1000"]).run().ok();
    t.boxr(["cp", "alone", "fixed:/x"]).run().exits(1).blames("Read-only file system");
    t.boxr(["stop", "-t", "0", "fixed"]).run().ok();
    t.boxr(["cp", "alone", "fixed:/x"]).run().exits(1).blames("read-only");
    t.boxr(["rm", "fixed"]).run().ok();
}

fn files_go_into_one_that_does_not_run(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sleep","1000"]}"#);
    t.boxr(["create", "--name", "made", &name]).run().ok();
    copy_into(t, "made");
    t.boxr(["start", "made"]).run().ok();
    assert_copied(t, "made");
    t.boxr(["stop", "-t", "0", "made"]).run().ok();
    fs::write(t.path("alone"), "again\n").unwrap();
    t.boxr(["cp", "alone", "made:/etc/passwd"]).run().ok();
    t.boxr(["cp", "made:/etc/passwd", "back"]).run().ok();
    assert_eq!(read(t, "back"), "again\n");
    t.boxr(["rm", "made"]).run().ok();
}

fn volumes_of_one_that_does_not_run_are_there(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sleep","1000"]}"#);
    fs::create_dir(t.path("dir")).unwrap();
    fs::write(t.path("file"), "text\n").unwrap();
    let dir = t.path("dir").to_str().unwrap().to_owned();
    let (bound, fixed, below) = (format!("{dir}:/bound"), "kept:/fixed:ro", "kept:/home/ann/deep");
    let words = [
        "--name",
        "made",
        "--read-only",
        "-v",
        "/home",
        "-v",
        below,
        "-v",
        &bound,
        "-v",
        fixed,
        "--tmpfs",
        "/tmp",
    ];
    t.boxr(["create"]).args(words).arg(&name).run().ok();
    // Never started: the image's files are in the new volume, and places that the image lacks are made.
    for to in ["/home", "/home/ann/deep", "/bound", "/bound/new"] {
        t.boxr(["cp", "file", &format!("made:{to}")]).run().ok().quiet();
    }
    t.boxr(["cp", "made:/fixed/file", "seen"]).run().ok();
    assert_eq!(
        (read(t, "seen"), read(t, "dir/file"), read(t, "dir/new")),
        ("text\n".into(), "text\n".into(), "text\n".into())
    );
    t.boxr(["cp", "file", "made:/fixed/x"]).run().exits(1).blames("mounted volume is marked read-only");
    t.boxr(["cp", "file", "made:/x"]).run().exits(1).blames("its root filesystem is read-only");
    t.boxr(["cp", "file", "made:/tmp"]).run().exits(1).blames("/tmp is mounted in it only while it runs");
    t.boxr(["start", "made"]).run().ok();
    let look = "cat /home/file /home/ann/deep/file /bound/file /fixed/file; stat -c %u:%g /home/file /fixed/file; ls /home";
    let told = t.boxr(["exec", "made", "sh", "-c", look]).run().ok().text();
    assert_eq!(told, "text\ntext\ntext\ntext\n0:0\n0:0\nann\nfile\n");
    t.boxr(["exec", "made", "sh", "-c", "echo own >/home/own; chown 3:4 /home/own || true"]).run();
    t.boxr(["stop", "-t", "0", "made"]).run().ok();
    t.boxr(["cp", "made:/home/own", "own"]).run().ok();
    assert_eq!(read(t, "own"), "own\n");
    // Without its directory of the host the rest is still there.
    fs::remove_dir_all(t.path("dir")).unwrap();
    t.boxr(["cp", "made:/home/own", "again"]).run().ok();
    t.boxr(["cp", "made:/bound/file", "x"])
        .run()
        .exits(1)
        .blames("/bound is mounted in it only while it runs");
    assert!(!t.path("x").exists());
    t.boxr(["rm", "-v", "made"]).run().ok();
    t.boxr(["volume", "rm", "kept"]).run().ok();
}

fn one_kind_takes_the_place_of_another_when_told(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    for dir in ["src/dir/deep", "back/file/deep", "back/dir"] {
        fs::create_dir_all(t.path(dir)).unwrap();
    }
    for file in ["src/file", "src/dir/here", "back/dir/deep", "back/file/deep/x"] {
        fs::write(t.path(file), "text\n").unwrap();
    }
    // In /to a directory is where the file comes, and a file where one of dir's is.
    let script = "mkdir -p /to/file/in /to/dir; touch /to/file/in/it /to/dir/deep; chmod 0 /to/file/in; ln -s /etc /to/file/link";
    t.run(["-q", "--name", "up", "-v", "/vol", &name, "sh", "-c", script]).run().ok();
    for source in ["src/file", "src/dir"] {
        t.boxr(["cp", source, "up:/to"]).run().exits(1).blames("cannot overwrite");
        t.boxr(["cp", "--overwrite", source, "up:/to"]).run().ok().quiet();
    }
    // And out of it, over what is there in the same way.
    for source in ["up:/to/file", "up:/to/dir"] {
        t.boxr(["cp", source, "back"]).run().exits(1).blames("cannot overwrite");
        t.boxr(["cp", "--overwrite", source, "back"]).run().ok();
    }
    assert_eq!(read(t, "back/file"), "text\n");
    assert!(t.path("back/dir/deep").is_dir());
    // The place itself is what it is, as in podman.
    t.boxr(["cp", "--overwrite", "src/dir", "up:/to/file"]).run().exits(1).blames("onto the file");
    // What is mounted stays, and what is beside it.
    let keep = ["run", "-q", "-d", "--name", "on", "-v", "/a/kept/vol", "--network", "none", &name];
    t.boxr(keep).args(["sh", "-c", "touch /a/kept/vol/x /a/kept/y; exec sleep 1000"]).run().ok();
    boxr_testing::wait_until("it is up", || t.boxr(["exec", "on", "ls", "/a/kept/y"]).run().status.success());
    fs::write(t.path("kept"), "text\n").unwrap();
    t.boxr(["cp", "--overwrite", "kept", "on:/a"]).run().exits(1).blames("something is mounted there");
    t.boxr(["exec", "on", "ls", "/a/kept/y", "/a/kept/vol/x"]).run().ok();
    t.boxr(["exec", "on", "sh", "-c", "ls -A /a"]).run().ok().prints("kept\n");
    t.boxr(["rm", "-f", "-v", "up", "on"]).run().ok();
}

fn volumes_of_one_that_does_not_run_are_mounted_nowhere_else(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    fs::create_dir(t.path("host")).unwrap();
    fs::write(t.path("file"), "text\n").unwrap();
    let host = t.path("host").to_str().unwrap().to_owned();
    // Those below the test's own directories: other tests mount theirs meanwhile.
    let own = t.path("").parent().unwrap().to_str().unwrap().to_owned();
    let mounts = || {
        let all = fs::read_to_string("/proc/self/mountinfo").unwrap();
        all.lines().filter(|line| line.contains(&own)).map(str::to_owned).collect::<Vec<_>>()
    };
    let up = "../".repeat(30);
    let script = format!("ln -s /vol/out /to; ln -s {host} /vol/out");
    t.run(["-q", "--name", "it", "-v", "/vol", &name, "sh", "-c", &script]).run().ok();
    let before = mounts();
    t.boxr(["cp", "file", "it:/to/new"]).run().exits(1).blames("no such directory");
    t.boxr(["cp", "file", "it:/vol/out/new"]).run().exits(1).blames("no such directory");
    t.boxr(["cp", "file", "it:/vol/new"]).run().ok();
    assert_eq!(fs::read_dir(t.path("host")).unwrap().count(), 0);
    assert_eq!(mounts(), before);
    t.boxr(["rm", "-v", "it"]).run().ok();
    t.boxr(["run", "-q", "--name", "linked", &name, "sh", "-c", &format!("ln -s {up}{host}/made /v")])
        .run()
        .ok();
    t.boxr(["commit", "-q", "linked", "localhost/linked"]).run().ok();
    t.boxr(["create", "--name", "second", "-v", "/v", "localhost/linked"]).run().ok();
    // A link that leads nowhere in the container is no place for a mount, and nothing is made at its end.
    t.boxr(["cp", "file", "second:/v"]).run().exits(1).blames("/v");
    assert_eq!(fs::read_dir(t.path("host")).unwrap().count(), 0);
    assert_eq!(mounts(), before);
    t.boxr(["rm", "-f", "-v", "linked", "second"]).run().ok();
}

fn archives_go_both_ways(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    t.run(["-q", "--name", "it", &name, "sh", "-c", SCRIPT]).run().ok();
    let archive = t.boxr(["cp", "it:/d", "-"]).run().ok().quiet().stdout;
    let path = t.file("d.tar", &archive);
    let mut names = Cmd::new("tar").args(["-tf", &path]).run().ok().lines();
    names.sort_unstable();
    assert_eq!(names, ["d/", "d/link", "d/one", "d/sub/", "d/sub/deep", "d/two"]);
    t.boxr(["cp", "-", "it:/home"]).stdin(archive).run().ok();
    t.boxr(["cp", "it:/home/d/two", "two"]).run().ok();
    assert_eq!(read(t, "two"), "one\n");
    Cmd::new("gzip").args(["-k", &path]).run().ok();
    let packed = fs::read(t.path("d.tar.gz")).unwrap();
    // However it is written.
    let mut cp = t.boxr(["cp", "-", "it:/tmp"]).spawn();
    cp.write(&packed[..1]);
    cp.write(&packed[1..]);
    cp.close_stdin();
    cp.finish().ok();
    t.boxr(["cp", "it:/tmp/d/sub", "sub"]).run().ok();
    assert_eq!(read(t, "sub/deep"), "deep\n");
    t.boxr(["cp", "-", "it:/none"])
        .stdin(read_bytes(t, "d.tar"))
        .run()
        .exits(1)
        .blames("no such directory: /none");
    t.boxr(["cp", "-", "it:/alone"])
        .stdin(read_bytes(t, "d.tar"))
        .run()
        .exits(1)
        .blames("is not a directory");
    t.boxr(["cp", "-", "it:/tmp"]).stdin("x".repeat(2000)).run().exits(1).blames("checksum");
    let mut terminal = t.terminal(24, 80, &["cp", "it:/d", "-"]);
    terminal.expect("not written to a terminal");
    terminal.finish().exits(1);
    let mut terminal = t.terminal(24, 80, &["cp", "-", "it:/tmp"]);
    terminal.expect("not read from a terminal");
    terminal.finish().exits(1);
    t.boxr(["rm", "it"]).run().ok();
}

fn read_bytes(t: &Sandbox, name: &str) -> Vec<u8> {
    fs::read(t.path(name)).unwrap()
}

fn owners_are_roots_or_kept(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    let script = "touch /mine; chown 12:34 /mine; chmod 4755 /mine";
    t.run(["-q", "--name", "it", &name, "sh", "-c", script]).run().ok();
    t.run(["-q", "-d", "--name", "up", &name, "sh", "-c", &format!("{script}; exec sleep 1000")]).run().ok();
    t.boxr(["exec", "up", "sh", "-c", "while [ ! -u /mine ]; do sleep 0.01; done"]).run().ok();
    for from in ["it", "up"] {
        let archive = t.boxr(["cp", &format!("{from}:/mine"), "-"]).run().ok().stdout;
        let path = t.file("mine.tar", &archive);
        let listed = Cmd::new("tar").args(["--numeric-owner", "-tvf", &path]).run().ok().text();
        assert!(listed.starts_with("-rwsr-xr-x 12/34"), "{listed}");
        // What comes to the caller does not run as the caller for others.
        t.boxr(["cp", &format!("{from}:/mine"), "mine"]).run().ok();
        assert_eq!(fs::metadata(t.path("mine")).unwrap().mode() & 0o7777, 0o755);
        for (flags, owner) in [(&["cp", "-a"][..], "12:34"), (&["cp"], "0:0")] {
            t.boxr(flags).args(["-", &format!("{from}:/home")]).stdin(archive.clone()).run().ok();
            let archive = t.boxr(["cp", &format!("{from}:/home/mine"), "-"]).run().ok().stdout;
            let path = t.file("mine.tar", archive);
            let listed = Cmd::new("tar").args(["--numeric-owner", "-tvf", &path]).run().ok().text();
            let shown = owner.replace(':', "/");
            assert!(listed.contains(&format!(" {shown} ")), "{from} {flags:?}: {listed}");
        }
    }
    if rustix::process::geteuid().is_root() {
        t.boxr(["cp", "-a", "it:/mine", "kept"]).run().ok();
        let kept = fs::metadata(t.path("kept")).unwrap();
        assert_eq!((kept.uid(), kept.gid(), kept.mode() & 0o7777), (12, 34, 0o4755));
    }
    t.boxr(["rm", "-f", "it", "up"]).run().ok();
}

fn boxes_with_a_root_of_their_own_have_files(t: &Sandbox) {
    let root = t.rootfs("root");
    fs::write(t.path("file"), "text\n").unwrap();
    t.run(["-d", "--name", "it", "--rootfs", &root, "--tmpfs", "/tmp", "--", "sleep", "1000"]).run().ok();
    t.boxr(["cp", "file", "it:/tmp"]).run().ok();
    t.boxr(["cp", "file", "it:/etc/new"]).run().ok();
    assert_eq!(inside(t, "it", "/tmp/file"), "text\n");
    t.boxr(["cp", "it:/etc/new", "back"]).run().ok();
    t.boxr(["stop", "-t", "0", "it"]).run();
    assert_eq!(read(t, "back"), "text\n");
    t.boxr(["rm", "-f", "it"]).run();
    t.boxr(["create", "--name", "made", "--rootfs", &root, "--", "true"]).run().ok();
    t.boxr(["cp", "file", "made:/etc/second"]).run().ok();
    assert_eq!(fs::read_to_string(format!("{root}/etc/second")).unwrap(), "text\n");
    t.boxr(["cp", "made:/etc/new", "-"]).run().ok();
    t.boxr(["rm", "made"]).run().ok();
}

fn links_of_a_hostile_container_end_in_it(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    fs::create_dir(t.path("host")).unwrap();
    fs::write(t.path("host/secret"), "secret\n").unwrap();
    fs::write(t.path("file"), "text\n").unwrap();
    let host = t.path("host").to_str().unwrap().to_owned();
    let up = "../".repeat(30);
    let script = format!(
        "ln -s {host}/secret /file; ln -s {host} /dir; ln -s {up}{host} /up; ln -s /proc/1/root /magic; \
         ln -s {host}/new /dangling; mkdir /tree; ln -s {host} /tree/sub; touch /ready"
    );
    t.run(["-q", "--name", "ended", &name, "sh", "-c", &script]).run().ok();
    t.run(["-q", "-d", "--name", "up", &name, "sh", "-c", &format!("{script}; exec sleep 1000")]).run().ok();
    t.boxr(["exec", "up", "sh", "-c", "while [ ! -e /ready ]; do sleep 0.01; done"]).run().ok();
    for from in ["ended", "up"] {
        let at = |path: &str| format!("{from}:{path}");
        let escape = format!("/../../../..{host}/secret");
        for path in ["/dir/secret", "/up/secret", "/magic/x", &escape] {
            t.boxr(["cp", "-L", &at(path), "stolen"]).run().exits(1);
        }
        t.boxr(["cp", "-L", &at("/file"), "stolen"]).run().exits(1).blames("no such file");
        assert!(!t.path("stolen").exists());
        for path in ["/file", "/dir/new", "/up/new", "/dir", "/dangling", "/tree/sub/new"] {
            // In the container there is no such directory.
            t.boxr(["cp", "file", &at(path)]).run().exits(1).blames("no such directory");
        }
        // Out of it, a link is a link: what comes after does not go through it.
        t.boxr(["cp", &at("/tree/."), "out"]).run().ok();
        fs::create_dir_all(t.path("again/tree/sub")).unwrap();
        t.boxr(["cp", &at("/tree"), "again"]).run().exits(1).blames("is a directory");
        fs::remove_dir_all(t.path("out")).unwrap();
        fs::remove_dir_all(t.path("again")).unwrap();
        assert_eq!(read(t, "host/secret"), "secret\n");
        assert_eq!(fs::read_dir(t.path("host")).unwrap().count(), 1);
    }
    t.boxr(["rm", "-f", "ended", "up"]).run().ok();
}

fn links_that_change_meanwhile_end_in_the_container(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    fs::create_dir(t.path("host")).unwrap();
    fs::write(t.path("host/file"), "secret\n").unwrap();
    fs::write(t.path("file"), "text\n").unwrap();
    let host = t.path("host").to_str().unwrap().to_owned();
    // A directory and a link to the host's of the same name take turns.
    let script = format!(
        "mkdir /real; echo own >/real/file; ln -s {host} /link; mkdir -p {host}; echo own >{host}/file; touch /ready; \
         while true; do mv /real /x; mv /link /l; mv /l /x2; ln -s {host} /x3; mv /x3 /real; rm /real; mv /x /real; \
         mv /x2 /link; done"
    );
    t.run(["-q", "-d", "--name", "up", &name, "sh", "-c", &script]).run().ok();
    t.boxr(["exec", "up", "sh", "-c", "while [ ! -e /ready ]; do sleep 0.01; done"]).run().ok();
    for _ in 0..25 {
        let out = t.boxr(["cp", "up:/real/file", "out"]).run();
        if out.text().is_empty() && t.path("out").exists() {
            assert_ne!(read(t, "out"), "secret\n");
        }
        t.boxr(["cp", "file", "up:/real/file"]).run();
        t.boxr(["cp", "file", "up:/real/new"]).run();
        assert_eq!(read(t, "host/file"), "secret\n");
        assert_eq!(fs::read_dir(t.path("host")).unwrap().count(), 1);
    }
    t.boxr(["rm", "-f", "up"]).run().ok();
}

fn what_is_broken_off_leaves_nothing_half_there(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    t.run(["-q", "-d", "--name", "up", &name, "sleep", "1000"]).run().ok();
    let begun = |dir: &std::path::Path| {
        fs::read_dir(dir).unwrap().any(|entry| {
            let entry = entry.unwrap();
            entry.file_name().to_string_lossy().starts_with(".boxr")
                && entry.metadata().is_ok_and(|found| found.len() > 0)
        })
    };
    // Into it: half an archive, and then the end of boxr.
    fs::write(t.path("big"), vec![b'x'; 2 << 20]).unwrap();
    let archive = Cmd::new("tar").args(["-c", "big"]).cwd(t.path("")).run().ok().stdout;
    for signal in [Signal::TERM, Signal::KILL] {
        let mut cp = t.boxr(["cp", "-", "up:/home"]).spawn();
        cp.write(&archive[..1 << 20]);
        let count = "ls -A /home | grep -c boxr";
        wait::wait_until("a file is begun", || t.boxr(["exec", "up", "sh", "-c", count]).run().word() == "1");
        cp.signal(signal);
        drop(cp.finish());
        wait::wait_until("it is removed", || t.boxr(["exec", "up", "sh", "-c", count]).run().word() == "0");
    }
    t.boxr(["exec", "up", "ls", "/home"]).run().ok().prints("ann\n");
    // Out of it: enough to be caught at it.
    t.boxr(["exec", "up", "sh", "-c", "yes | head -c 400000000 >/tmp/big"]).run().ok();
    fs::create_dir(t.path("out")).unwrap();
    let cp = t.boxr(["cp", "up:/tmp/big", "out"]).spawn();
    wait::wait_until("a file is begun", || begun(&t.path("out")));
    cp.signal(Signal::TERM);
    cp.finish().exits(128 + Signal::TERM.as_raw()).quiet();
    assert_eq!(fs::read_dir(t.path("out")).unwrap().count(), 0);
    t.boxr(["rm", "-f", "up"]).run().ok();
}

fn what_cannot_be_copied_is_said(t: &Sandbox) {
    t.boxr(["cp", "nobody:/x", "y"]).run().exits(1).blames("no such box: nobody");
    t.boxr(["cp", "x", "y"]).run().exits(1).blames("CONTAINER:PATH");
    t.boxr(["cp", "./a:b", "y"]).run().exits(1).blames("CONTAINER:PATH");
    t.boxr(["cp", "a:/x", "b:/y"]).run().exits(1).blames("from one box to another");
    t.boxr(["cp", "a:", "y"]).run().exits(1).blames("path is empty");
    t.boxr(["cp", "a:/x"]).run().exits(125);
    t.detached("host", ["--", "sleep", "1000"]);
    t.boxr(["cp", "host:/etc/passwd", "x"]).run().exits(1).blames("has no files of its own, but the host's");
    assert!(!t.path("x").exists());
    t.remove(["host"]);
}
