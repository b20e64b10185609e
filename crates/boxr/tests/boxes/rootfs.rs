//! `--rootfs`: another file tree as / of the box.

use std::os::unix::fs::symlink;

use boxr_testing::{Need, Sandbox, Test, Tool, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(the_directory_is_all_there_is, BUSYBOX),
    test!(nothing_of_the_host_is_mounted, BUSYBOX),
    test!(dev_has_the_devices_and_nothing_else, BUSYBOX),
    test!(dev_works, BUSYBOX),
    test!(terminals_of_the_box_are_its_own, BUSYBOX),
    test!(proc_and_sys_are_mounted, BUSYBOX),
    test!(secrets_of_proc_are_masked, BUSYBOX),
    test!(settings_of_the_kernel_are_read_only, BUSYBOX),
    test!(read_only_is_read_only, BUSYBOX),
    test!(an_empty_directory_gets_its_mount_points, BUSYBOX),
    test!(mount_points_that_are_links_stay_inside, BUSYBOX),
    test!(the_way_out_by_dotdot_is_closed, BUSYBOX),
    test!(directories_that_cannot_be_a_root_are_named),
    test!(the_hosts_tree_stays_as_it_was, BUSYBOX),
    test!(the_program_is_looked_up_inside, BUSYBOX),
];

const BUSYBOX: Need = Need::Tool(Tool::Busybox);

/// `boxr run --rootfs ROOT -- sh -c SCRIPT`
///
/// With an ipc namespace of its own, without which an ordinary user may not mount /dev/mqueue.
fn inside(t: &Sandbox, root: &str, script: &str) -> boxr_testing::Cmd {
    t.run(["--rootfs", root, "--ipc", "new", "--", "sh", "-c", script])
}

fn the_directory_is_all_there_is(t: &Sandbox) {
    let root = t.rootfs("root");
    std::fs::write(t.path("root/marker"), "inside").unwrap();
    let names = inside(t, &root, "ls /").run().ok().lines();
    assert_eq!(names, ["bin", "dev", "etc", "marker", "proc", "root", "sys", "tmp", "usr", "var"]);
    inside(t, &root, "cat /marker").run().ok().prints("inside");
}

fn nothing_of_the_host_is_mounted(t: &Sandbox) {
    let root = t.rootfs("root");
    let table = inside(t, &root, "cat /proc/self/mountinfo").run().ok();
    let points: Vec<_> =
        table.lines().iter().filter_map(|line| line.split(' ').nth(4).map(str::to_owned)).collect();
    assert_eq!(points.iter().filter(|point| *point == "/").count(), 1, "one root: {points:?}");
    for point in points {
        let known = ["/", "/proc", "/sys", "/dev"].iter().any(|top| point == *top)
            || ["/proc/", "/sys/", "/dev/"].iter().any(|top| point.starts_with(top));
        assert!(known, "what is mounted on {point}?\n{}", table.text());
    }
}

fn dev_has_the_devices_and_nothing_else(t: &Sandbox) {
    let root = t.rootfs("root");
    let names = inside(t, &root, "ls /dev").run().ok().lines();
    let expected = [
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
        "urandom", "zero",
    ];
    let names: Vec<_> =
        names.iter().map(String::as_str).filter(|name| !["console", "core"].contains(name)).collect();
    assert_eq!(names, expected);
    let numbers =
        inside(t, &root, "cd /dev; stat -c '%n %t:%T' null zero full random urandom tty").run().ok();
    assert_eq!(numbers.lines(), ["null 1:3", "zero 1:5", "full 1:7", "random 1:8", "urandom 1:9", "tty 5:0"]);
    let links = inside(t, &root, "for n in fd stdin stdout stderr; do readlink /dev/$n; done").run().ok();
    assert_eq!(links.lines(), ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"]);
}

fn dev_works(t: &Sandbox) {
    let root = t.rootfs("root");
    inside(t, &root, "echo lost >/dev/null; cat /dev/null | wc -c").run().ok().prints("0\n");
    inside(t, &root, "head -c 100 /dev/zero | wc -c; head -c 100 /dev/urandom | wc -c")
        .run()
        .ok()
        .prints("100\n100\n");
    inside(t, &root, "echo x 2>/dev/null >/dev/full || echo full").run().ok().prints("full\n");
    inside(t, &root, "echo x >/dev/shm/x && cat /dev/shm/x").run().ok().prints("x\n");
    inside(t, &root, "echo out >/dev/stdout; echo err >/dev/stderr").run().ok().prints("out\n");
    inside(t, &root, "stat -c %a /dev/shm /dev/null /dev/zero").run().ok().prints("1777\n666\n666\n");
    // A mode of a device, seen through the host's own umask, is no question of luck.
    inside(t, &root, "stat -f -c %T /dev/shm /dev/mqueue | sort -u | wc -l").run().ok().prints("2\n");
}

fn terminals_of_the_box_are_its_own(t: &Sandbox) {
    let root = t.rootfs("root");
    let out = t.run(["--rootfs", &root, "-t", "--", "sh", "-c", "tty; ls /dev/pts"]).run().ok();
    let text = out.text().replace('\r', "");
    assert!(text.contains("ptmx"), "{text}");
    inside(t, &root, "readlink /dev/ptmx || stat -c %F /dev/ptmx").run().ok();
}

fn proc_and_sys_are_mounted(t: &Sandbox) {
    let root = t.rootfs("root");
    inside(t, &root, "echo $$; [ -d /proc/1 ] && [ -d /sys/kernel ] && echo there")
        .run()
        .ok()
        .prints("1\nthere\n");
    let out = inside(t, &root, "ls -d /proc/[0-9]* | wc -l").run().ok().word();
    assert!(out.parse::<u32>().unwrap() <= 4, "only processes of the box: {out}");
}

fn secrets_of_proc_are_masked(t: &Sandbox) {
    let root = t.rootfs("root");
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/latency_stats", "/proc/sched_debug"]
    {
        if std::path::Path::new(path).exists() {
            inside(t, &root, &format!("cat {path} | wc -c")).run().ok().prints("0\n");
        }
    }
    for path in ["/proc/acpi", "/proc/scsi", "/sys/firmware"] {
        if std::path::Path::new(path).exists() {
            inside(t, &root, &format!("ls {path} | wc -l")).run().ok().prints("0\n");
        }
    }
}

fn settings_of_the_kernel_are_read_only(t: &Sandbox) {
    let root = t.rootfs("root");
    for path in ["/proc/sys/kernel/panic", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"] {
        if std::path::Path::new(path).exists() {
            let out = inside(t, &root, &format!("echo 0 >{path}")).run();
            assert!(!out.status.success() && out.errors().contains("Read-only"), "{path}: {}", out.story());
        }
    }
}

fn read_only_is_read_only(t: &Sandbox) {
    let root = t.rootfs("root");
    let read_only =
        |script: &str| t.run(["--rootfs", &root, "--read-only", "--tmpfs", "/tmp", "--", "sh", "-c", script]);
    let out = read_only("touch /new").run();
    assert!(out.errors().contains("Read-only"), "{}", out.story());
    assert!(!t.path("root/new").exists());
    read_only("echo x >/tmp/x && echo y >/dev/shm/y && cat /tmp/x /dev/shm/y").run().ok().prints("x\ny\n");
    // And without the flag it can be written.
    inside(t, &root, "echo inside >/new").run().ok();
    assert_eq!(std::fs::read_to_string(t.path("root/new")).unwrap(), "inside\n");
}

fn an_empty_directory_gets_its_mount_points(t: &Sandbox) {
    let root = t.rootfs("root");
    for dir in ["dev", "proc", "sys"] {
        std::fs::remove_dir(t.path("root").join(dir)).unwrap();
    }
    inside(t, &root, "[ -c /dev/null ] && [ -d /proc/1 ] && [ -d /sys/kernel ] && echo all")
        .run()
        .ok()
        .prints("all\n");
}

fn mount_points_that_are_links_stay_inside(t: &Sandbox) {
    let outside = t.path("outside");
    std::fs::create_dir(&outside).unwrap();
    for point in ["dev", "proc", "sys"] {
        let root = t.rootfs(&format!("root-{point}"));
        let path = std::path::Path::new(&root).join(point);
        std::fs::remove_dir(&path).unwrap();
        symlink(&outside, &path).unwrap();
        // Refused, or resolved beneath the root: never followed out of it.
        let out = inside(t, &root, "true").run();
        assert!([Some(0), Some(125)].contains(&out.status.code()), "{}", out.story());
        let made = std::fs::read_dir(&outside).unwrap().count();
        assert_eq!(made, 0, "a link at /{point} led out of the root");
    }
    t.assert_nothing_left();
}

fn the_way_out_by_dotdot_is_closed(t: &Sandbox) {
    let root = t.rootfs("root");
    std::fs::write(t.path("secret"), "host").unwrap();
    let out =
        inside(t, &root, "cat ../secret ../../secret /proc/1/root/../secret /proc/self/cwd/../secret").run();
    assert!(!out.text().contains("host"), "{}", out.story());
    let out = inside(t, &root, "mkdir /jail; cd /; ls /../.. | wc -l; ls / | wc -l").run().ok().lines();
    assert_eq!(out[0], out[1]);
}

fn directories_that_cannot_be_a_root_are_named(t: &Sandbox) {
    let missing = t.path("missing");
    let missing = missing.to_str().unwrap();
    t.run(["--rootfs", missing, "--", "true"]).run().exits(125).blames(missing);
    let file = t.file("file", "no directory");
    t.run(["--rootfs", &file, "--", "true"]).run().exits(125).blames(&file);
    let looping = t.path("loop");
    symlink(&looping, &looping).unwrap();
    let looping = looping.to_str().unwrap();
    t.run(["--rootfs", looping, "--", "true"]).run().exits(125).blames(looping);
    t.run(["--rootfs", "/", "--", "true"]).run().exits(125).blames("rootfs");
    t.run(["--rootfs", "/usr/..", "--", "true"]).run().exits(125).blames("rootfs");
    let empty = t.path("empty");
    std::fs::create_dir(&empty).unwrap();
    t.run(["--rootfs", empty.to_str().unwrap(), "--", "/bin/true"]).run().exits(127).blames("/bin/true");
    t.assert_nothing_left();
}

fn the_hosts_tree_stays_as_it_was(t: &Sandbox) {
    let root = t.rootfs("root");
    let script = "mount -t tmpfs none /tmp && touch /tmp/x && ls /tmp";
    let may = t.run(["--rootfs", &root, "--cap-add", "SYS_ADMIN", "--", "sh", "-c", script]).run();
    may.ok().prints("x\n");
    assert!(!t.path("root/tmp/x").exists());
    assert!(boxr_testing::leaks::mounts_below(&t.path("root")).is_empty());
}

fn the_program_is_looked_up_inside(t: &Sandbox) {
    let root = t.rootfs("root");
    // A command of the host that busybox has not.
    t.run(["--rootfs", &root, "--", "unshare", "--version"]).run().exits(127).blames("unshare");
    t.run(["--rootfs", &root, "--", "busybox", "true"]).run().ok();
}
