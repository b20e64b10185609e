//! Members that are containers of images, their ids, and limits of the whole pod.

use boxr_testing::lab::Lab;
use boxr_testing::{Cmd, Controller, Need, Sandbox, Test, Tool, test};

use super::{create, member, remove};
use crate::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(containers_are_members_too, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_container_of_an_image_that_is_there_brings_its_pod, Need::Tool(Tool::Busybox), OVERLAY),
    test!(
        members_find_themselves_and_are_found,
        Need::Root,
        Need::Networks,
        Need::Tool(Tool::Busybox),
        OVERLAY
    ),
    test!(
        who_sees_the_hosts_processes_reaches_the_host_through_none,
        Need::Root,
        Need::Networks,
        Need::Tool(Tool::Busybox),
        OVERLAY
    ),
    test!(members_share_a_range_of_ids, Need::Root, Need::Tool(Tool::Busybox), OVERLAY, Need::Kernel(5, 19)),
    test!(
        limits_are_of_all_members_together,
        Need::Controller(Controller::Memory),
        Need::Controller(Controller::Pids)
    ),
    test!(too_many_processes_of_all_members_are_refused, Need::Controller(Controller::Pids)),
    test!(limits_that_members_get_later_leave_nothing_of_the_pod, Need::Controller(Controller::Memory)),
];

fn containers_are_members_too(t: &Sandbox) {
    let (_server, image) = offered(t, "{}");
    t.boxr(["pull", "-q", &image]).run().ok();
    let flags = ["--hostname", "blue", "--add-host", "db:10.0.0.5", "--shm-size", "1m", "--share", "+pid"];
    create(t, "web", &flags);
    t.run(["-d", "--pod", "web", "--name", "one", &image, "sleep", "1000"]).run().ok();
    let script =
        "hostname; cat /etc/hostname; grep -E 'blue|db' /etc/hosts | tr '\\t' ' '; echo x >/dev/shm/note";
    t.run(["--rm", "--pod", "web", &image, "sh", "-c", script])
        .run()
        .ok()
        .prints("blue\nblue\n10.0.0.5 db\n127.0.1.1 blue\n");
    t.boxr(["exec", "one", "cat", "/dev/shm/note"]).run().ok().prints("x\n");
    // And a command of the host's beside it.
    t.run(["--pod", "web", "--", "sh", "-c", "hostname; cat /dev/shm/note"]).run().ok().prints("blue\nx\n");
    t.boxr(["exec", "one", "sh", "-c", "kill -0 1 2>&1; cat /proc/1/comm"]).run().ok().shows("boxr-pause\n");
    t.boxr(["restart", "-t", "0", "one"]).run().ok();
    t.boxr(["exec", "one", "hostname"]).run().ok().prints("blue\n");
    t.boxr(["pod", "rm", "-f", "web"]).run().ok();
    nothing_left(t);
}

fn a_container_of_an_image_that_is_there_brings_its_pod(t: &Sandbox) {
    let (_server, image) = offered(t, "{}");
    t.boxr(["pull", "-q", &image]).run().ok();
    t.run(["--pod", "new:web", "--network", "none", "--name", "one", &image, "hostname"])
        .run()
        .ok()
        .prints("web\n");
    t.boxr(["pod", "ps", "--format", "{{.Name}}"]).run().ok().prints("web\n");
    t.boxr(["pod", "rm", "-f", "web"]).run().ok();
    t.run(["-d", "--pod", "new:", "--network", "none", "--name", "one", &image, "sleep", "1000"]).run().ok();
    let name = t.boxr(["pod", "ps", "--format", "{{.Name}}"]).run().ok().word();
    t.boxr(["pod", "rm", "-f", &name]).run().ok();
    nothing_left(t);
}

fn members_find_themselves_and_are_found(t: &Sandbox) {
    let lab = Lab::new();
    let (_server, image) = offered(t, "{}");
    t.boxr(["pull", "-q", &image]).run().ok();
    lab.boxr(t, ["network", "create", "--subnet", "10.5.0.0/24", "blue"]).run().ok();
    let create = ["pod", "create", "--name", "shop", "--network", "blue", "--ip", "10.5.0.9"];
    lab.boxr(t, create).run().ok();
    lab.boxr(t, ["run", "-d", "--pod", "shop", "--name", "db", &image, "sleep", "1000"]).run().ok();
    let hosts = lab.boxr(t, ["exec", "db", "cat", "/etc/hosts"]).run().ok().text();
    assert!(hosts.contains("10.5.0.9\tshop\n"), "{hosts}");
    let ask = |name: &str| lab.on_host("busybox").args(["nslookup", name, "10.5.0.1"]).run();
    for name in ["shop", "db"] {
        ask(name).ok().shows("10.5.0.9");
        lab.boxr(t, ["run", "--rm", "--network", "blue", &image, "busybox", "nslookup", name])
            .run()
            .ok()
            .shows("10.5.0.9");
    }
    lab.boxr(t, ["run", "--rm", "--pod", "shop", &image, "busybox", "nslookup", "db"])
        .run()
        .ok()
        .shows("10.5.0.9");
    // Names come and go with members.
    lab.boxr(t, ["kill", "db"]).run().ok();
    boxr_testing::wait_until("its name is gone", || !ask("db").text().contains("10.5.0.9"));
    ask("shop").ok().shows("10.5.0.9");
    lab.boxr(t, ["network", "rm", "blue"]).run().exits(1).blames("is in use by");
    lab.boxr(t, ["network", "prune", "-f"]).run().ok().prints("");
    lab.boxr(t, ["pod", "rm", "-f", "shop"]).run().ok();
    lab.boxr(t, ["network", "rm", "blue"]).run().ok();
    lab.boxr(t, ["pod", "create", "--network", "blue"]).run().exits(125).blames("blue");
    super::super::network::assert_no_network_left(t, &lab);
    lab.end(t);
}

/// A process of boxr's that has no capabilities would otherwise be root of the container's as good as its own.
fn who_sees_the_hosts_processes_reaches_the_host_through_none(t: &Sandbox) {
    let lab = Lab::new();
    let (_server, image) = offered(t, "{}");
    t.boxr(["pull", "-q", &image]).run().ok();
    lab.boxr(t, ["network", "create", "blue"]).run().ok();
    lab.boxr(t, ["pod", "create", "--name", "web", "--network", "none"]).run().ok();
    let run = |flags: &[&str]| {
        lab.boxr(t, ["run", "-d", "--pid", "host"]).args(flags).args([&image, "sleep", "1000"]).run().ok();
    };
    run(&["--name", "named", "--network", "blue"]);
    run(&["--name", "member", "--pod", "web"]);
    let resolver = std::fs::read_to_string(t.layout().state.join("network/nets/blue/resolver")).unwrap();
    let holder = super::process(t, "web", "Holder").as_raw_nonzero().to_string();
    let all = resolver.split_whitespace().chain([holder.as_str()]);
    for (pid, name) in all.flat_map(|pid| [(pid, "named"), (pid, "member")]) {
        let script = format!("cat /proc/{pid}/comm; ls /proc/{pid}/root/ /proc/{pid}/cwd/ || echo hidden");
        let seen = lab.boxr(t, ["exec", name, "sh", "-c", &script]).run().ok().text();
        let is_hidden =
            seen.starts_with("boxr-") && seen.ends_with("\nhidden\n") && seen.lines().count() == 2;
        assert!(is_hidden, "{pid} as {name} sees it: {seen}");
    }
    // Those who are to open what they keep do.
    lab.boxr(t, ["restart", "-t", "0", "named", "member"]).run().ok();
    lab.boxr(t, ["rm", "-f", "named", "member"]).run().ok();
    lab.boxr(t, ["pod", "rm", "-f", "web"]).run().ok();
    lab.boxr(t, ["network", "rm", "blue"]).run().ok();
    super::super::network::assert_no_network_left(t, &lab);
    lab.end(t);
    nothing_left(t);
}

fn members_share_a_range_of_ids(t: &Sandbox) {
    let (_server, image) = offered(t, "{}");
    t.boxr(["pull", "-q", &image]).run().ok();
    create(t, "web", &["--userns", "auto", "--share", "+pid"]);
    for name in ["one", "two"] {
        t.run(["-d", "--pod", "web", "--name", name, &image, "sleep", "1000"]).run().ok();
    }
    let map = |name: &str| t.boxr(["exec", name, "cat", "/proc/self/uid_map"]).run().ok().text();
    let first = map("one");
    assert_eq!(map("two"), first);
    let host: u32 = first.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(host > 65536, "{first}");
    let script =
        "stat -c %u:%g / /home/ann; touch /made /dev/shm/made; stat -c %u /made /dev/shm/made; hostname";
    t.boxr(["exec", "two", "sh", "-c", script]).run().ok().prints("0:0\n1000:1000\n0\n0\nweb\n");
    t.boxr(["exec", "one", "stat", "-c", "%u", "/dev/shm/made"]).run().ok().prints("0\n");
    // No two pods have the same.
    create(t, "other", &["--userns", "auto"]);
    t.run(["-d", "--pod", "other", "--name", "three", &image, "sleep", "1000"]).run().ok();
    assert_ne!(map("three"), first);
    t.run(["--rm", "--pod", "web", "--userns", "host", &image, "true"])
        .run()
        .exits(125)
        .blames("have its ids");
    t.boxr(["restart", "-t", "0", "two"]).run().ok();
    t.boxr(["exec", "two", "stat", "-c", "%u", "/made"]).run().ok().prints("0\n");
    t.boxr(["pod", "rm", "-f", "-a"]).run().ok();
    nothing_left(t);
    assert!(boxr_testing::leaks::files_below(&t.layout().root.join("ids")).is_empty());
}

/// A file of the pod's cgroup, seen from a member's: version 1's name, version 2's.
#[track_caller]
fn setting(t: &Sandbox, name: &str, controller: &str, files: [&str; 2]) -> String {
    let pid = t.boxr(["inspect", "-f", "{{.State.Pid}}", name]).run().ok().word();
    let table = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let is_unified = Need::CgroupV2.missing().is_none();
    let of =
        |line: &&str| is_unified || line.split(':').nth(1).unwrap().split(',').any(|one| one == controller);
    let path = table.lines().find(of).unwrap().splitn(3, ':').nth(2).unwrap();
    let root = if is_unified { "/sys/fs/cgroup".to_owned() } else { format!("/sys/fs/cgroup/{controller}") };
    let group = std::path::PathBuf::from(format!("{root}{path}"));
    let file = group.parent().unwrap().join(files[usize::from(is_unified)]);
    let value = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    value.trim().to_owned()
}

fn limits_are_of_all_members_together(t: &Sandbox) {
    create(t, "web", &["--memory", "64m", "--pids-limit", "40"]);
    member(t, "web", "one");
    t.detached("two", ["--pod", "web", "--memory", "32m", "--", "sleep", "1000"]);
    for name in ["one", "two"] {
        let memory = setting(t, name, "memory", ["memory.limit_in_bytes", "memory.max"]);
        let tasks = setting(t, name, "pids", ["pids.max", "pids.max"]);
        assert_eq!((memory.as_str(), tasks.as_str()), ("67108864", "40"), "{name}");
    }
    let stats = ["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", "one", "two"];
    let shown = t.boxr(stats).run().ok().text();
    assert!(shown.contains("/ 64MiB\n") && shown.contains("/ 32MiB\n"), "{shown}");
    // They stay with the pod when members come and go.
    t.boxr(["kill", "one"]).run().ok();
    t.boxr(["start", "one"]).run().ok();
    assert_eq!(setting(t, "one", "pids", ["pids.max", "pids.max"]), "40");
    t.boxr(["pod", "inspect", "-f", "{{.memory_limit}} {{.pids_limit}}", "web"])
        .run()
        .ok()
        .prints("67108864 40\n");
    remove(t, "web");
}

fn too_many_processes_of_all_members_are_refused(t: &Sandbox) {
    create(t, "web", &["--pids-limit", "8"]);
    let four = "for n in 1 2 3 4; do sleep 1000 & done; wait";
    t.detached("one", ["--pod", "web", "--", "sh", "-c", four]);
    let count = || t.boxr(["top", "one", "-o", "comm"]).run().ok().lines().len();
    boxr_testing::wait_until("the first has its processes", || count() == 6);
    let out = t.run(["--pod", "web", "--", "sh", "-c", four]).run();
    assert!(!out.status.success() && out.errors().to_lowercase().contains("fork"), "{}", out.story());
    remove(t, "web");
}

fn limits_that_members_get_later_leave_nothing_of_the_pod(t: &Sandbox) {
    let places = |id: &str| {
        // Others' come and go meanwhile, which find tells as an error.
        let found = Cmd::new("find").args(["/sys/fs/cgroup", "-type", "d", "-path", &format!("*boxr/{id}*")]);
        found.run().text()
    };
    create(t, "web", &[]);
    for name in ["one", "two"] {
        member(t, "web", name);
        // In version 1 that is a hierarchy in which neither the pod nor the member is.
        t.boxr(["update", "--memory", "64m", "--memory-swap", "-1", name]).run().ok();
    }
    let id = t.boxr(["pod", "inspect", "-f", "{{.Id}}", "web"]).run().ok().word();
    assert!(places(&id).contains("memory") || Need::CgroupV2.missing().is_none(), "{}", places(&id));
    t.boxr(["kill", "one"]).run().ok();
    t.boxr(["exec", "two", "true"]).run().ok();
    remove(t, "web");
    assert_eq!(places(&id), "");
}
