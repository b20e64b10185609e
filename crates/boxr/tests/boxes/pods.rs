//! Pods: boxes that share namespaces, ports and limits.

mod bad;
mod images;
mod network;
mod realm;
mod sudden;
mod words;

use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::{Pid, Signal, kill_process};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(members_share_a_network_a_name_and_ipc, Need::UserNamespaces),
    test!(a_pod_is_what_its_members_are, Need::UserNamespaces),
    test!(a_killed_keeper_drops_nobody, Need::UserNamespaces),
    test!(members_see_each_other_where_they_are_to, Need::UserNamespaces, Need::Tool(Tool::Ps)),
    test!(nobody_learns_anything_from_the_first_process, Need::UserNamespaces),
    test!(a_pod_comes_up_again_after_its_first_process_was_killed, Need::UserNamespaces),
    test!(the_keepers_are_small, Need::Root),
    test!(the_last_member_takes_the_pod_down_where_it_is_told_to, Need::UserNamespaces),
    test!(what_members_wrote_is_shown, Need::UserNamespaces),
    test!(pods_are_listed_as_asked, Need::UserNamespaces),
    test!(a_pod_outlives_a_reboot, Need::UserNamespaces),
    test!(members_end_side_by_side, Need::UserNamespaces),
];

pub use bad::TESTS as BAD;
pub use images::TESTS as OF_IMAGES;
pub use network::TESTS as NETWORK;
pub use realm::TESTS as REALM;
pub use sudden::TESTS as SUDDEN;
pub use words::TESTS as WORDS;

/// Makes a pod without a network.
#[track_caller]
fn create(t: &Sandbox, name: &str, flags: &[&str]) -> String {
    let create = ["pod", "create", "--name", name, "--network", "none"];
    t.boxr(create).args(flags).run().ok().word()
}

/// Starts a member that waits.
#[track_caller]
fn member(t: &Sandbox, pod: &str, name: &str) {
    t.detached(name, ["--pod", pod, "--", "sleep", "1000"]);
}

/// The numbers of these namespaces of a box.
#[track_caller]
fn namespaces(t: &Sandbox, name: &str, kinds: &str) -> String {
    let script = format!("for kind in {kinds}; do readlink /proc/self/ns/$kind; done");
    t.boxr(["exec", name, "sh", "-c", &script]).run().ok().text()
}

#[track_caller]
fn status(t: &Sandbox, pod: &str) -> String {
    t.boxr(["pod", "inspect", "-f", "{{.State}}", pod]).run().ok().word()
}

/// A process of the pod's: `Holder`, or `First`.
#[track_caller]
fn process(t: &Sandbox, pod: &str, which: &str) -> Pid {
    let word = t.boxr(["pod", "inspect", "-f", &format!("{{{{.Pids.{which}}}}}"), pod]).run().ok().word();
    Pid::from_raw(word.parse().unwrap()).unwrap()
}

/// Kills it and waits until it is gone.
#[track_caller]
fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).unwrap();
    wait_until("it is gone", || boxr_testing::processes::process(pid).is_none_or(|found| found.state == 'Z'));
}

#[track_caller]
fn remove(t: &Sandbox, pod: &str) {
    t.boxr(["pod", "rm", "-f", pod]).run().ok();
    t.assert_nothing_left();
}

fn members_share_a_network_a_name_and_ipc(t: &Sandbox) {
    let id = create(t, "web", &[]);
    assert_eq!(id.len(), 64);
    member(t, "web", "one");
    member(t, &id[..12], "two");
    let shared = namespaces(t, "one", "net ipc uts");
    assert_eq!(namespaces(t, "two", "net ipc uts"), shared);
    assert_ne!(namespaces(t, "two", "pid mnt"), namespaces(t, "one", "pid mnt"));
    let script = "hostname; cat /sys/class/net/lo/operstate; echo here >/dev/shm/note";
    t.run(["--pod", "web", "--", "sh", "-c", script]).run().ok().prints("web\nunknown\n");
    t.boxr(["exec", "two", "cat", "/dev/shm/note"]).run().ok().prints("here\n");
    // Nothing of the host's.
    assert!(!std::path::Path::new("/dev/shm/note").exists());
    t.boxr(["inspect", "-f", "{{.Pod}}", "one"]).run().ok().prints(&format!("{id}\n"));
    t.boxr(["ps", "--filter", "pod=web", "--format", "{{.Names}} {{.Pod}} {{.PodName}}"])
        .run()
        .ok()
        .prints(&format!("two {0} web\none {0} web\n", &id[..12]));
    t.boxr(["ps", "--pod"]).run().ok().shows("PODNAME");
    its_processes_are_listed_as_podman_does(t);
    let stats = |format| t.boxr(["pod", "stats", "--no-stream", "--format", format, "web"]).run().ok();
    stats("{{.Pod}} {{.Name}}").prints(&format!("{0} one\n{0} two\n", &id[..12]));
    let all: serde_json::Value = serde_json::from_str(&stats("json").text()).unwrap();
    let names: Vec<_> = all.as_array().unwrap().iter().map(|member| member["Name"].as_str()).collect();
    assert_eq!(names, [Some("one"), Some("two")]);
    remove(t, "web");
}

fn its_processes_are_listed_as_podman_does(t: &Sandbox) {
    let words = |line: &String| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = t.boxr(["pod", "top", "web"]).run().ok().lines().iter().map(words).collect();
    assert_eq!(lines[0], ["USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND"]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in &lines[1..] {
        assert_eq!([&line[..3], &line[7..]].concat(), ["root", "1", "0", "sleep", "1000"], "{line:?}");
    }
    let first = t.boxr(["inspect", "-f", "{{.State.Pid}}", "one"]).run().ok().word();
    let seen = t.boxr(["pod", "top", "web", "pid", "hpid,comm"]).run().ok();
    seen.shows(&format!("1         {first}"));
    t.boxr(["top", "one", "pid", "hpid"]).run().ok().shows(&format!("1         {first}"));
    t.boxr(["pod", "top", "web", "-o", "pid"]).run().ok().shows(&first);
    t.boxr(["pod", "top", "web", "pdi"]).run().exits(1).blames("unknown column pdi").blames("capeff");
}

fn a_pod_is_what_its_members_are(t: &Sandbox) {
    create(t, "web", &[]);
    assert_eq!(status(t, "web"), "Created");
    member(t, "web", "one");
    t.boxr(["create", "--name", "two", "--pod", "web", "--", "sleep", "1000"]).run().ok();
    assert_eq!(status(t, "web"), "Degraded");
    t.boxr(["pod", "start", "web"]).run().ok();
    assert_eq!(status(t, "web"), "Running");
    t.boxr(["pod", "pause", "web"]).run().ok();
    assert_eq!(status(t, "web"), "Paused");
    t.boxr(["pod", "unpause", "web"]).run().ok();
    t.boxr(["kill", "one"]).run().ok();
    assert_eq!(status(t, "web"), "Degraded");
    t.boxr(["pod", "restart", "-t", "0", "web"]).run().ok();
    assert_eq!(status(t, "web"), "Running");
    t.boxr(["pod", "kill", "web"]).run().ok();
    assert_eq!(status(t, "web"), "Exited");
    t.boxr(["start", "two"]).run().ok();
    assert_eq!(status(t, "web"), "Degraded");
    t.boxr(["pod", "stop", "-t", "0", "web"]).run().ok();
    t.boxr(["pod", "prune", "-f"]).run().ok();
    t.boxr(["pod", "exists", "web"]).run().exits(1);
    t.assert_nothing_left();
}

fn a_killed_keeper_drops_nobody(t: &Sandbox) {
    create(t, "web", &[]);
    member(t, "web", "one");
    let before = namespaces(t, "one", "net ipc uts");
    t.boxr(["exec", "one", "sh", "-c", "echo here >/dev/shm/note"]).run().ok();
    let keeper = process(t, "web", "Holder");
    kill(keeper);
    // Whoever looks at the pod brings another.
    assert_eq!(status(t, "web"), "Running");
    assert_ne!(process(t, "web", "Holder"), keeper);
    kill(process(t, "web", "Holder"));
    // And so does who joins it.
    member(t, "web", "two");
    assert_eq!(namespaces(t, "two", "net ipc uts"), before);
    t.boxr(["exec", "two", "cat", "/dev/shm/note"]).run().ok().prints("here\n");
    // Without anybody in it there is nothing to keep: it comes up anew.
    t.boxr(["kill", "one", "two"]).run().ok();
    kill(process(t, "web", "Holder"));
    assert_eq!(status(t, "web"), "Exited");
    t.boxr(["start", "one"]).run().ok();
    assert_eq!(status(t, "web"), "Degraded");
    remove(t, "web");
}

fn members_see_each_other_where_they_are_to(t: &Sandbox) {
    create(t, "web", &["--share", "+pid"]);
    member(t, "web", "one");
    member(t, "web", "two");
    assert_eq!(namespaces(t, "two", "pid"), namespaces(t, "one", "pid"));
    let seen = t.boxr(["exec", "two", "ps", "-e", "-o", "pid,comm"]).run().ok().lines();
    assert_eq!(seen[1].trim(), "1 boxr-pause", "{seen:?}");
    assert_eq!(seen.iter().filter(|line| line.ends_with(" sleep")).count(), 2, "{seen:?}");
    // Whoever is orphaned is reaped.
    t.boxr(["exec", "one", "sh", "-c", "(sh -c 'exec sleep 0.01 &') ; true"]).run().ok();
    wait_until("nobody is left of it", || {
        let seen = t.boxr(["exec", "two", "ps", "-e", "-o", "comm"]).run().ok().lines();
        seen.iter().filter(|line| line.starts_with("sleep")).count() == 2
    });
    // A member that ends takes nobody along.
    t.boxr(["kill", "one"]).run().ok();
    t.boxr(["exec", "two", "true"]).run().ok();
    remove(t, "web");
}

fn nobody_learns_anything_from_the_first_process(t: &Sandbox) {
    create(t, "web", &["--share", "+pid"]);
    // Root of the host sees all there is: nothing. Others may not look.
    let script = "ls /proc/1/fd /proc/1/root/etc /proc/1/cwd/etc 2>/dev/null; \
        grep -E '^(Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/1/status; \
        cat /proc/1/environ 2>/dev/null | grep -c =";
    let seen = t.run(["--pod", "web", "--", "sh", "-c", script]).run().text();
    let none = "0000000000000000";
    let capabilities = ["Prm", "Eff", "Bnd", "Amb"].map(|set| format!("Cap{set}:\t{none}\n")).concat();
    let expected = format!("{capabilities}NoNewPrivs:\t1\nSeccomp:\t2\n");
    let rest = seen.strip_prefix("/proc/1/fd:\n").unwrap_or(&seen);
    assert!(rest.starts_with(&expected), "{seen}");
    if Need::Unprivileged.missing().is_none() {
        t.run(["--pod", "web", "--", "readlink", "/proc/1/root"]).run().exits(1);
    }
    remove(t, "web");
}

fn a_pod_comes_up_again_after_its_first_process_was_killed(t: &Sandbox) {
    create(t, "web", &["--share", "+pid"]);
    member(t, "web", "one");
    // The kernel ends a pid namespace with its first process.
    kill(process(t, "web", "First"));
    wait_until("the member's end is written down", || status(t, "web") == "Exited");
    t.boxr(["pod", "start", "web"]).run().ok();
    assert_eq!(status(t, "web"), "Running");
    remove(t, "web");
}

fn the_keepers_are_small(t: &Sandbox) {
    create(t, "web", &["--share", "+pid"]);
    member(t, "web", "one");
    for which in ["Holder", "First"] {
        let pid = process(t, "web", which).as_raw_nonzero();
        let private = || {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
            let dirty = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
            dirty.trim().trim_end_matches(" kB").parse::<u32>().unwrap()
        };
        wait_until("it has less than 200 KiB to itself", || private() < 200);
    }
    remove(t, "web");
}

fn the_last_member_takes_the_pod_down_where_it_is_told_to(t: &Sandbox) {
    create(t, "job", &["--exit-policy", "stop"]);
    t.run(["--pod", "job", "--", "true"]).run().ok();
    assert_eq!(status(t, "job"), "Exited");
    member(t, "job", "one");
    t.run(["-d", "--pod", "job", "--", "true"]).run().ok();
    assert_ne!(status(t, "job"), "Exited");
    t.boxr(["kill", "one"]).run().ok();
    wait_until("the pod is down", || status(t, "job") == "Exited");
    t.boxr(["pod", "inspect", "-f", "{{.Pids}}", "job"]).run().ok().prints("<nil>\n");
    remove(t, "job");
}

fn what_members_wrote_is_shown(t: &Sandbox) {
    create(t, "web", &[]);
    let ids = ["one", "two"].map(|name| {
        let id = t.run(["-d", "--pod", "web", "--name", name, "--", "echo", name]).run().ok().word();
        t.boxr(["wait", name]).run().ok();
        id[..12].to_owned()
    });
    // As with podman, one sees whose a line is.
    let all = format!("{} one\n{} two\n", ids[0], ids[1]);
    t.boxr(["pod", "logs", "web"]).run().ok().prints(&all);
    t.boxr(["pod", "logs", "--names", "web"]).run().ok().prints("one one\ntwo two\n");
    t.boxr(["pod", "logs", "-c", "two", "web"]).run().ok().prints("two\n");
    let mut lines = t.boxr(["pod", "logs", "-f", "web"]).run().ok().lines();
    lines.sort_unstable_by_key(|line| line.rsplit(' ').next().map(str::to_owned));
    assert_eq!(lines, all.lines().collect::<Vec<_>>());
    remove(t, "web");
}

fn pods_are_listed_as_asked(t: &Sandbox) {
    create(t, "web", &["--label", "tier=front"]);
    create(t, "db", &["--infra-name", "keeper"]);
    member(t, "db", "store");
    let names = |flags: &[&str]| {
        t.boxr(["pod", "ps", "--format", "{{.Name}}"]).args(flags).run().ok().lines().join(" ")
    };
    assert_eq!(names(&[]), "db web");
    assert_eq!(names(&["--sort", "number"]), "web db");
    assert_eq!(names(&["--filter", "label=tier=front"]), "web");
    assert_eq!(names(&["--filter", "status=running"]), "db");
    assert_eq!(names(&["--filter", "ctr-names=store"]), "db");
    assert_eq!(names(&["--latest"]), "db");
    let heading = t.boxr(["pod", "ps"]).run().ok().lines().remove(0);
    let words = heading.split("  ").filter(|word| !word.is_empty()).map(str::trim).collect::<Vec<_>>();
    assert_eq!(words, ["POD ID", "NAME", "STATUS", "CREATED", "INFRA ID", "# OF CONTAINERS"]);
    t.boxr(["pod", "ps", "--ctr-names", "--noheading", "--filter", "name=db"])
        .run()
        .ok()
        .shows("keeper,store");
    let format = "{{.Name}} {{.NumContainers}} {{.SharedNamespaces}} {{.ExitPolicy}} {{.CreateInfra}}";
    t.boxr(["pod", "inspect", "-f", format, "db"]).run().ok().prints("db 2 [ipc net uts] continue true\n");
    t.boxr(["pod", "ps", "--format", "json"]).run().ok().shows("\"Names\": \"store\"");
    t.boxr(["pod", "rm", "-f", "-a"]).run().ok();
    t.assert_nothing_left();
}

fn a_pod_outlives_a_reboot(t: &Sandbox) {
    create(t, "web", &["--label", "tier=front"]);
    member(t, "web", "one");
    t.boxr(["pod", "stop", "-t", "0", "web"]).run().ok();
    // What a reboot leaves.
    std::fs::remove_dir_all(&t.layout().state).unwrap();
    t.boxr(["pod", "ps", "--format", "{{.Name}} {{.Status}} {{.Labels}} {{.NumberOfContainers}}"])
        .run()
        .ok()
        .prints("web Stopped tier=front 2\n");
    t.run(["--name", "web", "--", "true"]).run().exits(125).blames("in use by pod");
    t.boxr(["pod", "start", "web"]).run().ok();
    assert_eq!(status(t, "web"), "Running");
    remove(t, "web");
}

/// Each ends when all have been asked to.
fn members_end_side_by_side(t: &Sandbox) {
    create(t, "web", &[]);
    let names = ["one", "two", "three", "four"];
    let script = "trap 'echo >asked-$0; until [ $(ls asked-* | wc -l) = 4 ]; do sleep 0.02; done; exit 5' TERM; \
                  echo >up-$0; while :; do sleep 0.05; done";
    for name in names {
        let run = t.run(["-d", "--name", name, "--pod", "web", "--", "sh", "-c", script, name]);
        run.cwd(t.path("")).run().ok();
    }
    wait_until("all listen", || names.iter().all(|name| t.path(&format!("up-{name}")).exists()));
    // Longer than the test waits: one after the other they would have to be killed.
    t.boxr(["pod", "stop", "-t", "1000", "web"]).run().ok();
    t.boxr(["wait"]).args(names).run().ok().prints("5\n5\n5\n5\n");
    remove(t, "web");
}
