//! Limits by cgroups, version 1 and 2; what runs in the cgroup v2 world too.

use std::path::PathBuf;

use boxr_testing::{Controller, Need, Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(memory_is_limited, MEMORY),
    test!(too_much_memory_is_death, MEMORY),
    test!(swap_is_limited, MEMORY),
    test!(processors_are_limited, Need::Controller(Controller::Cpu)),
    test!(weight_is_set, Need::Controller(Controller::Cpu)),
    test!(processes_are_limited, Need::Controller(Controller::Pids)),
    test!(processors_are_chosen, Need::Controller(Controller::Cpuset)),
    test!(no_group_outlives_its_box, Need::Controller(Controller::Pids)),
    test!(a_failed_start_leaves_no_group, Need::Controller(Controller::Pids)),
    test!(a_frozen_box_is_paused, Need::Controller(Controller::Freezer)),
    test!(a_frozen_box_can_be_removed, Need::Controller(Controller::Freezer)),
    test!(stats_tell_of_a_limited_box, MEMORY, Need::Controller(Controller::Pids)),
    test!(a_missing_cpuset_is_named, Need::NoController(Controller::Cpuset)),
    test!(missing_memory_is_named, Need::NoController(Controller::Memory)),
    test!(senseless_limits_are_named),
    test!(processes_that_are_entered_are_limited_too, Need::Controller(Controller::Pids)),
    test!(limits_are_changed_while_it_runs, MEMORY, Need::Controller(Controller::Pids)),
    test!(a_later_limit_leaves_no_group, MEMORY, Need::Controller(Controller::Pids)),
    test!(what_cannot_be_changed_is_said),
    test!(memory_is_left_to_a_box, MEMORY),
    test!(what_one_version_lacks_is_named, MEMORY),
    test!(processor_time_by_quota_and_period, Need::Controller(Controller::Cpu)),
    test!(block_devices_are_limited, Need::Root, Need::Controller(Controller::Blkio), Need::BlockDevice),
    test!(files_of_version_two_are_written, MEMORY, Need::CgroupV2),
    test!(limits_of_devices_are_checked),
    test!(a_group_is_made_where_one_wants_it, Need::Root, Need::Controller(Controller::Pids)),
    test!(a_box_goes_without_a_group),
];

const MEMORY: Need = Need::Controller(Controller::Memory);

/// The directory of `controller` for the first process of a box, seen from the host.
#[track_caller]
fn group(t: &Sandbox, name: &str, controller: &str) -> PathBuf {
    let pid = t.boxr(["inspect", "-f", "{{.State.Pid}}", name]).run().ok().word();
    let table = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = |line: &str| line.splitn(3, ':').nth(2).unwrap().trim_start_matches('/').to_owned();
    if Need::CgroupV2.missing().is_none() {
        return PathBuf::from("/sys/fs/cgroup").join(path(table.lines().next().unwrap()));
    }
    let line =
        table.lines().find(|line| line.split(':').nth(1).unwrap().split(',').any(|name| name == controller));
    PathBuf::from("/sys/fs/cgroup").join(controller).join(path(line.unwrap()))
}

/// A file of a box's group: version 1's name, version 2's name.
#[track_caller]
fn setting(t: &Sandbox, name: &str, controller: &str, files: [&str; 2]) -> String {
    let file = if Need::CgroupV2.missing().is_none() { files[1] } else { files[0] };
    let path = group(t, name, controller).join(file);
    let value = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    value.trim().to_owned()
}

/// Starts a box that waits, with these flags.
fn start(t: &Sandbox, flags: &[&str]) {
    t.detached("limited", flags.iter().chain(&["--", "sleep", "1000"]));
}

fn limits_are_changed_while_it_runs(t: &Sandbox) {
    let memory = || setting(t, "limited", "memory", ["memory.limit_in_bytes", "memory.max"]);
    let tasks = || setting(t, "limited", "pids", ["pids.max", "pids.max"]);
    start(t, &["--memory", "64m", "--pids-limit", "50"]);
    t.boxr(["update", "--memory", "96m", "limited"]).run().ok().quiet().prints("limited\n");
    assert_eq!((memory(), tasks()), ("100663296".to_owned(), "50".to_owned()));
    t.boxr(["update", "--pids-limit", "20", "--restart", "on-failure:3", "limited"]).run().ok();
    assert_eq!((memory(), tasks()), ("100663296".to_owned(), "20".to_owned()));
    let format = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}";
    t.boxr(["inspect", "-f", format, "limited"]).run().ok().prints("100663296 20 on-failure\n");
    // And at the next start, too.
    t.boxr(["restart", "-t", "0", "limited"]).run().ok();
    assert_eq!((memory(), tasks()), ("100663296".to_owned(), "20".to_owned()));
    t.remove(["limited"]);
}

/// On version 1 it is a further group, which boxr in the foreground learns of from the box's state.
fn a_later_limit_leaves_no_group(t: &Sandbox) {
    let args = ["--name", "limited", "--memory", "64m", "--", "sh", "-c", "echo up; exec sleep 1000"];
    let mut running = t.run(args).spawn();
    running.expect("up");
    t.boxr(["update", "--pids-limit", "20", "limited"]).run().ok();
    let made = ["memory", "pids"].map(|controller| group(t, "limited", controller));
    assert!(made.iter().all(|group| group.is_dir()), "{made:?}");
    t.boxr(["kill", "limited"]).run().ok();
    running.finish().exits(137);
    assert!(!made.iter().any(|group| group.exists()), "{made:?}");
}

fn memory_is_left_to_a_box(t: &Sandbox) {
    let kept = || setting(t, "limited", "memory", ["memory.soft_limit_in_bytes", "memory.low"]);
    start(t, &["--memory", "64m", "--memory-reservation", "32m"]);
    assert_eq!(kept(), "33554432");
    t.boxr(["update", "--memory-reservation", "16m", "limited"]).run().ok();
    assert_eq!(kept(), "16777216");
    t.boxr(["inspect", "-f", "{{.HostConfig.MemoryReservation}}", "limited"]).run().ok().prints("16777216\n");
    t.remove(["limited"]);
}

/// What version 1 has and version 2 has not, and the other way.
fn what_one_version_lacks_is_named(t: &Sandbox) {
    let two = Need::CgroupV2.missing().is_none();
    let old: &[(&[&str], &str, &str)] = &[
        (&["--memory-swappiness", "10"], "memory.swappiness", "10"),
        (&["--oom-kill-disable"], "memory.oom_control", "oom_kill_disable 1"),
    ];
    for (flags, file, value) in old {
        if two {
            t.run(flags.iter().chain(&["--", "true"])).run().exits(125).blames(flags[0]);
            continue;
        }
        start(t, &[&["--memory", "64m"], *flags].concat());
        let text = std::fs::read_to_string(group(t, "limited", "memory").join(file)).unwrap();
        assert!(text.starts_with(value), "{file}: {text}");
        t.remove(["limited"]);
    }
    if !two {
        t.run(["--cgroup-conf", "memory.high=100000000", "--", "true"])
            .run()
            .exits(125)
            .blames("memory.high");
    }
    t.assert_nothing_left();
}

fn processor_time_by_quota_and_period(t: &Sandbox) {
    let two = Need::CgroupV2.missing().is_none();
    let quota = || setting(t, "limited", "cpu", ["cpu.cfs_quota_us", "cpu.max"]);
    start(t, &["--cpu-period", "50000", "--cpu-quota", "25000"]);
    assert_eq!(quota(), if two { "25000 50000" } else { "25000" });
    t.boxr(["update", "--cpus", "2", "limited"]).run().ok();
    assert_eq!(quota(), if two { "200000 100000" } else { "200000" });
    let format = "{{.HostConfig.CpuQuota}} {{.HostConfig.NanoCpus}}";
    t.boxr(["inspect", "-f", format, "limited"]).run().ok().prints("0 2000000000\n");
    t.remove(["limited"]);
}

fn block_devices_are_limited(t: &Sandbox) {
    let device = boxr_testing::block_device().unwrap();
    let rates = [
        ("--device-read-bps", "1m", "blkio.throttle.read_bps_device", "rbps=1048576"),
        ("--device-write-bps", "2m", "blkio.throttle.write_bps_device", "wbps=2097152"),
        ("--device-read-iops", "30", "blkio.throttle.read_iops_device", "riops=30"),
        ("--device-write-iops", "40", "blkio.throttle.write_iops_device", "wiops=40"),
    ];
    let mut flags = Vec::new();
    for (flag, rate, ..) in rates {
        flags.extend([flag.to_owned(), format!("{device}:{rate}")]);
    }
    start(t, &flags.iter().map(String::as_str).collect::<Vec<_>>());
    for (flag, _, file, expected) in rates {
        let text = setting(t, "limited", "blkio", [file, "io.max"]);
        let figure = expected.split_once('=').unwrap().1;
        assert!(text.contains(expected) || text.ends_with(&format!(" {figure}")), "{flag}: {text}");
    }
    t.boxr(["inspect", "-f", "{{json .HostConfig.BlkioDeviceReadIOps}}", "limited"])
        .run()
        .ok()
        .prints(&format!("[{{\"Path\":\"{device}\",\"Rate\":30}}]\n"));
    t.remove(["limited"]);
}

fn files_of_version_two_are_written(t: &Sandbox) {
    start(t, &["--memory", "64m", "--cgroup-conf", "memory.high=33554432"]);
    assert_eq!(setting(t, "limited", "memory", ["", "memory.high"]), "33554432");
    t.remove(["limited"]);
}

fn limits_of_devices_are_checked(t: &Sandbox) {
    let wrong: &[(&str, &str, &str)] = &[
        ("--device-read-bps", "/dev/null:1m", "ENOTBLK"),
        ("--device-write-iops", "/no/such:1", "ENOENT"),
        ("--device-write-bps", "/dev/null", "no :"),
        ("--blkio-weight", "5", "10"),
        ("--blkio-weight-device", "/dev/null:5", "10"),
        ("--cgroup-conf", "memory", "FILE=VALUE"),
        ("--device-cgroup-rule", "c 1:3", "TYPE"),
        ("--device-cgroup-rule", "c 1:3 r", "an image"),
    ];
    for (flag, value, part) in wrong {
        t.run([flag, value, "--", "true"]).run().exits(125).blames(flag).blames(part);
    }
    t.run(["--cpus", "1", "--cpu-quota", "5000", "--", "true"]).run().exits(125).blames("--cpu-quota");
    let out = t.run(["--memory", "8m", "--memory-reservation", "9m", "--", "true"]).run();
    out.exits(125).blames("--memory-reservation");
    let out = t.run(["--kernel-memory", "64m", "--", "true"]).run().ok();
    assert!(out.errors().contains("--kernel-memory has no effect"), "{}", out.story());
    t.assert_nothing_left();
}

fn what_cannot_be_changed_is_said(t: &Sandbox) {
    t.boxr(["create", "--name", "box", "--", "true"]).run().ok();
    t.boxr(["update", "box"]).run().exits(125).blames("what is to change?");
    t.boxr(["update", "--memory", "lots", "box"]).run().exits(125).blames("--memory");
    t.boxr(["update", "--memory", "64m", "none"]).run().exits(1).blames("no such box: none");
    t.boxr(["update", "--memory", "64m", "box"]).run().ok();
    t.boxr(["inspect", "-f", "{{.HostConfig.Memory}}", "box"]).run().ok().prints("67108864\n");
    t.boxr(["rm", "box"]).run().ok();
    t.boxr(["run", "-d", "--rm", "--name", "goes", "--", "sleep", "1000"]).run().ok();
    t.boxr(["update", "--restart", "always", "goes"]).run().exits(1).blames("--rm");
    t.boxr(["rm", "-f", "goes"]).run().ok();
}

fn memory_is_limited(t: &Sandbox) {
    start(t, &["--memory", "64m"]);
    assert_eq!(setting(t, "limited", "memory", ["memory.limit_in_bytes", "memory.max"]), "67108864");
    t.remove(["limited"]);
}

fn too_much_memory_is_death(t: &Sandbox) {
    // A shell variable that doubles until the kernel ends it; without a limit of its own it would not.
    let script = "x=0123456789abcdef; while :; do x=$x$x; done";
    t.run(["--memory", "32m", "--memory-swap", "32m", "--", "sh", "-c", script]).run().exits(137);
    t.assert_nothing_left();
}

fn swap_is_limited(t: &Sandbox) {
    let file =
        if Need::CgroupV2.missing().is_none() { "memory.swap.max" } else { "memory.memsw.limit_in_bytes" };
    let out =
        t.run(["-d", "--name", "limited", "-m", "64m", "--memory-swap", "96m", "--", "sleep", "1000"]).run();
    if out.status.code() == Some(125) {
        // The kernel counts no swap: a refusal says so.
        out.blames("swap");
        return t.assert_nothing_left();
    }
    out.ok();
    let value = std::fs::read_to_string(group(t, "limited", "memory").join(file)).unwrap();
    let expected = if Need::CgroupV2.missing().is_none() { 32 << 20 } else { 96 << 20 };
    assert_eq!(value.trim(), expected.to_string());
    t.remove(["limited"]);
}

fn processors_are_limited(t: &Sandbox) {
    start(t, &["--cpus", "1.5"]);
    let value = setting(t, "limited", "cpu", ["cpu.cfs_quota_us", "cpu.max"]);
    assert!(["150000", "150000 100000"].contains(&value.as_str()), "{value}");
    t.remove(["limited"]);
}

fn weight_is_set(t: &Sandbox) {
    start(t, &["--cpu-shares", "2048"]);
    let value = setting(t, "limited", "cpu", ["cpu.shares", "cpu.weight"]);
    // The OCI's conversion of shares to a weight is one of two published ones.
    assert!(["2048", "79", "170", "174"].contains(&value.as_str()), "{value}");
    t.remove(["limited"]);
}

fn processes_are_limited(t: &Sandbox) {
    start(t, &["--pids-limit", "7"]);
    assert_eq!(setting(t, "limited", "pids", ["pids.max", "pids.max"]), "7");
    t.remove(["limited"]);
    let script = "n=0; while [ $n -lt 20 ]; do sleep 1000 & n=$((n+1)); done; echo all";
    let out = t.run(["--pids-limit", "7", "--", "sh", "-c", script]).run();
    assert!(!out.text().contains("all"), "twenty children in spite of a limit of 7: {}", out.story());
    t.assert_nothing_left();
}

fn processors_are_chosen(t: &Sandbox) {
    let out = t.run(["--cpuset-cpus", "0", "--", "grep", "Cpus_allowed_list", "/proc/self/status"]).run();
    out.ok().prints("Cpus_allowed_list:\t0\n");
    t.run(["--cpuset-cpus", "4000", "--", "true"]).run().exits(125).blames("cpuset");
    t.run(["--cpuset-cpus", "0-", "--", "true"]).run().exits(125).blames("cpuset");
    t.assert_nothing_left();
}

fn no_group_outlives_its_box(t: &Sandbox) {
    start(t, &["--pids-limit", "50"]);
    let dir = group(t, "limited", "pids");
    assert!(dir.exists());
    t.boxr(["kill", "limited"]).run().ok();
    t.boxr(["wait", "limited"]).run().ok().prints("137\n");
    t.remove(["limited"]);
    assert!(!dir.exists(), "{} is still there", dir.display());
}

fn a_failed_start_leaves_no_group(t: &Sandbox) {
    // A limit that no other test sets tells the groups of this one.
    const LIMIT: &str = "53217";
    t.run(["--pids-limit", LIMIT, "--", "no-such-command"]).run().exits(127);
    t.run(["--pids-limit", LIMIT, "--workdir", "/no/such", "--", "true"]).run().exits(125);
    let has_limit = |dir: &std::path::Path| {
        std::fs::read_to_string(dir.join("pids.max")).is_ok_and(|text| text.trim() == LIMIT)
    };
    let own: Vec<_> = boxr_testing::leaks::cgroups().into_iter().filter(|dir| has_limit(dir)).collect();
    assert!(own.is_empty(), "{own:?}");
}

fn status(t: &Sandbox, name: &str) -> String {
    t.boxr(["inspect", "-f", "{{.State.Status}}", name]).run().ok().word()
}

fn a_frozen_box_is_paused(t: &Sandbox) {
    start(t, &[]);
    t.boxr(["pause", "limited"]).run().ok();
    assert_eq!(status(t, "limited"), "paused");
    t.boxr(["ps", "--format", "{{.Status}}"]).run().ok().shows("Paused");
    t.boxr(["exec", "limited", "true"]).run().exits(125).blames("paused");
    t.boxr(["unpause", "limited"]).run().ok();
    assert_eq!(status(t, "limited"), "running");
    t.boxr(["unpause", "limited"]).run().exits(1).blames("limited");
    t.remove(["limited"]);
}

fn a_frozen_box_can_be_removed(t: &Sandbox) {
    start(t, &[]);
    t.boxr(["pause", "limited"]).run().ok();
    t.remove(["limited"]);
    t.assert_nothing_left();
}

fn stats_tell_of_a_limited_box(t: &Sandbox) {
    start(t, &["--memory", "64m", "--pids-limit", "9"]);
    let out = t.boxr(["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}"]).run().ok();
    let text = out.text();
    assert!(
        text.starts_with("limited ") && text.contains("64MiB") && text.trim_end().ends_with(" 1"),
        "{text}"
    );
    t.remove(["limited"]);
}

fn a_missing_cpuset_is_named(t: &Sandbox) {
    t.run(["--cpuset-cpus", "0", "--", "true"]).run().exits(125).blames("cpuset");
    t.assert_nothing_left();
}

fn missing_memory_is_named(t: &Sandbox) {
    t.run(["--memory", "64m", "--", "true"]).run().exits(125).blames("memory");
    t.assert_nothing_left();
}

fn senseless_limits_are_named(t: &Sandbox) {
    for (flag, value) in [
        ("--memory", "1"),
        ("--memory", "1k"),
        ("--memory", "lots"),
        ("--cpus", "0"),
        ("--cpus", "-1"),
        ("--cpus", "many"),
        ("--pids-limit", "x"),
        ("--cpu-shares", "1"),
    ] {
        let out = t.run([flag, value, "--", "true"]).run().exits(125);
        out.blames(flag.trim_start_matches("--").split('-').next().unwrap());
    }
    t.assert_nothing_left();
}

fn processes_that_are_entered_are_limited_too(t: &Sandbox) {
    start(t, &["--pids-limit", "50"]);
    let of = |words: &[&str]| {
        t.boxr(["exec", "limited", "cat", "/proc/self/cgroup"]).args(words).run().ok().text()
    };
    let first = t.boxr(["exec", "limited", "cat", "/proc/1/cgroup"]).run().ok().text();
    assert_eq!(of(&[]), first);
    t.remove(["limited"]);
}

fn a_group_is_made_where_one_wants_it(t: &Sandbox) {
    let parent = format!("/boxr-test-parent-{}", std::process::id());
    start(t, &["--cgroup-parent", &parent, "--pids-limit", "20"]);
    let dir = group(t, "limited", "pids");
    assert!(dir.parent().unwrap().ends_with(&parent[1..]), "{}", dir.display());
    assert_eq!(setting(t, "limited", "pids", ["pids.max", "pids.max"]), "20");
    t.boxr(["inspect", "-f", "{{.HostConfig.CgroupParent}}", "limited"])
        .run()
        .ok()
        .prints(&format!("{parent}\n"));
    t.remove(["limited"]);
    assert!(!dir.exists());
    // As with docker, the parent stays.
    for parents in boxr_testing::leaks::cgroups().into_iter().filter(|dir| dir.ends_with(&parent[1..])) {
        std::fs::remove_dir(parents).unwrap();
    }
    t.run(["--cgroup-parent", "../x", "--", "true"]).run().exits(125).blames("--cgroup-parent");
    t.assert_nothing_left();
}

fn a_box_goes_without_a_group(t: &Sandbox) {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    t.run(["--cgroups", "disabled", "--", "cat", "/proc/self/cgroup"]).run().ok().prints(&own);
    t.run(["-d", "--name", "limited", "--cgroups", "disabled", "--", "sleep", "1000"]).run().ok();
    t.boxr(["exec", "limited", "cat", "/proc/1/cgroup"]).run().ok().prints(&own);
    t.remove(["limited"]);
    t.run(["--cgroups", "no-conmon", "--", "true"]).run().ok();
    t.run(["--cgroups", "disabled", "-m", "64m", "--", "true"]).run().exits(125).blames("--cgroups disabled");
    t.run(["--cgroups", "split", "--cgroup-parent", "/x", "--", "true"]).run().exits(125).blames("split");
    t.run(["--cgroups", "many", "--", "true"]).run().exits(125).blames("--cgroups many");
    t.assert_nothing_left();
}
