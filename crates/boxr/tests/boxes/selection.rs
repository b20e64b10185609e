//! Which boxes a command is about, and other flags of the commands about boxes that exist.

use boxr_testing::processes::watches;
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};

use super::containers::{OVERLAY, nothing_left, offered};
use super::crash::{stopped, strace};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(the_last_one_needs_no_name),
    test!(boxes_are_chosen_by_what_they_are),
    test!(boxes_are_named_by_files),
    test!(what_is_not_there_can_be_ignored),
    test!(a_condition_is_waited_for),
    test!(an_end_while_a_wait_begins_is_the_next_one, Need::Tool(Tool::Strace)),
    test!(health_is_waited_for, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_command_with_all_rights, Need::Tool(Tool::Busybox), OVERLAY),
    test!(logs_of_several_say_whose),
    test!(listings_in_another_order),
    test!(dockers_management_commands),
    test!(inspect_looks_for_all_kinds, Need::Tool(Tool::Busybox), OVERLAY),
    test!(names_of_images_come_and_go, Need::Tool(Tool::Busybox), OVERLAY),
    test!(all_volumes_at_once),
    test!(a_forced_removal_can_ask_first),
];

fn status(t: &Sandbox, name: &str) -> String {
    t.boxr(["inspect", "-f", "{{.State.Status}}", name]).run().ok().word()
}

fn the_last_one_needs_no_name(t: &Sandbox) {
    t.boxr(["stop", "--latest"]).run().exits(1).blames("--latest");
    t.detached("first", ["--", "sleep", "1000"]);
    t.detached("last", ["--", "sleep", "1000"]);
    t.boxr(["exec", "-l", "hostname"]).run().ok().prints("last\n");
    t.boxr(["inspect", "-l", "-f", "{{.Name}}"]).run().ok().prints("last\n");
    let id = t.boxr(["kill", "--latest"]).run().ok().word();
    t.boxr(["wait", "--latest"]).run().ok().prints("137\n");
    assert!(t.boxr(["inspect", "-f", "{{.Id}}", "last"]).run().ok().word().starts_with(&id[..12]));
    assert_eq!(status(t, "first"), "running");
    t.boxr(["start", "-l"]).run().ok();
    t.boxr(["top", "--latest", "args"]).run().ok().shows("sleep 1000");
    t.boxr(["logs", "--latest"]).run().ok().prints("");
    t.remove(["first", "last"]);
}

fn boxes_are_chosen_by_what_they_are(t: &Sandbox) {
    for (name, tier) in [("a", "front"), ("b", "back"), ("c", "back")] {
        t.detached(name, ["--label", &format!("tier={tier}"), "--", "sleep", "1000"]);
    }
    let of_back = ["--filter", "label=tier=back"];
    t.boxr(["pause"]).args(of_back).run().ok();
    assert_eq!([status(t, "a"), status(t, "b"), status(t, "c")], ["running", "paused", "paused"]);
    t.boxr(["unpause"]).args(of_back).run().ok();
    t.boxr(["stop", "-t", "0"]).args(of_back).run().ok();
    t.boxr(["ps", "--filter", "label!=tier=back", "--format", "{{.Names}}"]).run().ok().prints("a\n");
    t.boxr(["start", "--filter", "name=^b$"]).run().ok();
    assert_eq!([status(t, "b"), status(t, "c")], ["running", "exited"]);
    t.boxr(["start", "--all"]).run().ok();
    assert_eq!(status(t, "c"), "running");
    let started = |name: &str| t.boxr(["inspect", "-f", "{{.State.StartedAt}}", name]).run().ok().word();
    let before = started("a");
    t.boxr(["restart", "-t", "0", "--running"]).run().ok();
    assert_ne!(started("a"), before);
    t.boxr(["rm", "-f", "--filter", "label=tier"]).run().ok();
    t.boxr(["ps", "-a", "-q"]).run().ok().prints("");
    t.boxr(["stop", "--filter", "frob=1"]).run().exits(125).blames("frob");
    t.assert_nothing_left();
}

fn boxes_are_named_by_files(t: &Sandbox) {
    let file = t.path("cid").display().to_string();
    t.run(["-d", "--cidfile", &file, "--", "sleep", "1000"]).run().ok();
    for command in ["pause", "unpause", "kill", "rm"] {
        t.boxr([command, "--cidfile", &file]).run().ok();
        if command == "kill" {
            t.boxr(["wait", "--latest"]).run().ok();
        }
    }
    t.boxr(["stop", "--cidfile", "/no/such/file"]).run().exits(125).blames("/no/such/file");
    t.boxr(["stop", "--ignore", "--cidfile", "/no/such/file"]).run().ok().quiet().prints("");
    t.boxr(["rm", "--ignore", "--cidfile", &file]).run().ok().prints("");
    t.assert_nothing_left();
}

fn what_is_not_there_can_be_ignored(t: &Sandbox) {
    t.boxr(["stop", "--ignore", "none"]).run().ok().quiet().prints("");
    t.boxr(["rm", "--ignore", "none"]).run().ok().quiet().prints("");
    t.boxr(["rm", "none"]).run().exits(1).blames("no such box: none");
    t.boxr(["stop"]).run().exits(125).blames("CONTAINER");
    t.boxr(["rm", "--all", "none"]).run().exits(125).blames("--all");
}

fn a_condition_is_waited_for(t: &Sandbox) {
    t.boxr(["create", "--name", "it", "--", "sh", "-c", "read line <fifo; exit 7"]).run().ok();
    t.boxr(["wait", "--condition", "created", "it"]).run().ok().prints("-1\n");
    t.boxr(["rm", "it"]).run().ok();
    let fifo = t.path("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let script = format!("read line <{}; exit 7", fifo.display());
    t.boxr(["create", "--name", "it", "--", "sh", "-c", &script]).run().ok();
    let running = t.boxr(["wait", "--condition", "running", "it"]).spawn();
    let next = t.boxr(["wait", "--condition", "next-exit", "it"]).spawn();
    let gone = t.boxr(["wait", "--condition", "removed", "it"]).spawn();
    // An end before it looks is not the next one.
    wait_until("all wait", || [&running, &next, &gone].iter().all(|waiting| watches(waiting.pid())));
    t.boxr(["start", "it"]).run().ok();
    running.finish().ok().prints("-1\n");
    std::fs::write(&fifo, "go\n").unwrap();
    next.finish().ok().prints("7\n");
    t.boxr(["wait", "--condition", "stopped", "it"]).run().ok().prints("7\n");
    t.boxr(["rm", "it"]).run().ok();
    gone.finish().ok().prints("7\n");
    t.boxr(["wait", "--condition", "frob", "it"]).run().exits(125).blames("--condition frob");
}

/// strace stops the wait where it has seen the box run and does not watch it yet.
fn an_end_while_a_wait_begins_is_the_next_one(t: &Sandbox) {
    t.detached("it", ["--", "sleep", "1000"]);
    let flags = ["-f", "-e", "trace=inotify_init1", "-e", "inject=inotify_init1:signal=STOP:when=1"];
    let waiting = strace(t, &flags, &["wait", "--condition", "next-exit", "it"]).spawn();
    wait_until("it is about to watch", || stopped(t).is_some());
    t.boxr(["kill", "it"]).run().ok();
    assert_eq!(status(t, "it"), "exited");
    Cmd::new("kill").args(["-CONT", &stopped(t).unwrap()]).run().ok();
    waiting.finish().ok().prints("137\n");
    t.remove(["it"]);
}

fn health_is_waited_for(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sleep","1000"]}"#);
    let check = ["--health-cmd", "[ -e /well ]", "--health-interval", "50ms", "--health-retries", "1"];
    t.run(["-q", "-d", "--name", "it"]).args(check).args([&name]).run().ok();
    t.boxr(["wait", "--condition", "unhealthy", "it"]).run().ok().prints("-1\n");
    t.boxr(["ps", "--filter", "health=unhealthy", "--format", "{{.Names}}"]).run().ok().prints("it\n");
    t.boxr(["exec", "it", "touch", "/well"]).run().ok();
    t.boxr(["wait", "--condition", "healthy", "it"]).run().ok();
    t.remove(["it"]);
    nothing_left(t);
}

fn a_command_with_all_rights(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sleep","1000"]}"#);
    t.run(["-q", "-d", "--name", "it", "--cap-drop", "ALL", &name]).run().ok();
    let rights = |flags: &[&str]| {
        let out =
            t.boxr(["exec"]).args(flags).args(["it", "grep", "-E", "CapEff|Seccomp:", "/proc/self/status"]);
        out.run().ok().text()
    };
    let plain = rights(&[]);
    assert!(plain.contains("CapEff:\t0000000000000000") && plain.contains("Seccomp:\t2"), "{plain}");
    let all = rights(&["--privileged"]);
    assert!(all.contains("CapEff:\t000001ffffffffff") && all.contains("Seccomp:\t0"), "{all}");
    t.remove(["it"]);
    nothing_left(t);
}

fn logs_of_several_say_whose(t: &Sandbox) {
    for name in ["one", "two"] {
        t.detached(name, ["--", "sh", "-c", "echo a; echo b; printf c"]);
        t.boxr(["wait", name]).run().ok();
    }
    t.boxr(["logs", "--names", "one"]).run().ok().prints("one a\none b\none c");
    let short = t.boxr(["ps", "-a", "--filter", "name=two", "-q"]).run().ok().word();
    t.boxr(["logs", "one", "two", "none"])
        .run()
        .exits(1)
        .shows(&format!("{short} a\n{short} b\n"))
        .blames("none");
    let out = t.boxr(["logs", "--color", "--names", "-n", "1", "two"]).run().ok();
    assert_eq!(out.text(), "\x1b[32mtwo\x1b[0m c");
    t.boxr(["logs", "-f", "one", "two"]).run().exits(125).blames("--follow");
    t.remove(["one", "two"]);
}

fn listings_in_another_order(t: &Sandbox) {
    for name in ["b", "c", "a"] {
        t.boxr(["create", "--name", name, "--", "true"]).run().ok();
    }
    let names = |sort: &str| t.boxr(["ps", "-a", "--sort", sort, "--format", "{{.Names}}"]).run().ok().text();
    assert_eq!(names("names"), "a\nb\nc\n");
    assert_eq!(names("created"), "a\nc\nb\n");
    t.boxr(["ps", "-a", "--sort", "frob"]).run().exits(125).blames("--sort frob");
    let out = t.boxr(["ps", "-a", "--noheading", "--sort", "names", "--format", "table {{.Names}}"]).run();
    out.ok().prints("a\nb\nc\n");
    let mut watch = t.boxr(["ps", "-a", "--watch", "1", "--format", "{{.Names}}"]).spawn();
    watch.expect("b\n");
    t.boxr(["rm", "a", "b", "c"]).run().ok();
    t.boxr(["create", "--name", "late", "--", "true"]).run().ok();
    watch.expect("late\n");
    watch.signal(rustix::process::Signal::INT);
    drop(watch.finish());
    t.remove(["late"]);
}

fn dockers_management_commands(t: &Sandbox) {
    t.boxr(["container", "run", "-d", "--name", "it", "--", "sleep", "1000"]).run().ok();
    t.boxr(["container", "ls", "--format", "{{.Names}}"]).run().ok().prints("it\n");
    t.boxr(["container", "exists", "it"]).run().ok().prints("");
    t.boxr(["container", "exists", "none"]).run().exits(1).prints("");
    t.boxr(["container", "exec", "it", "hostname"]).run().ok().prints("it\n");
    t.boxr(["container", "inspect", "-f", "{{.Name}}", "it"]).run().ok().prints("it\n");
    t.boxr(["container", "stop", "-t", "0", "it"]).run().ok().prints("it\n");
    t.boxr(["container", "prune", "-f"]).run().ok().shows("Deleted Containers:");
    t.boxr(["container", "frob"]).run().exits(125).blames("container frob");
    t.boxr(["container", "ls", "--help"]).run().ok().shows("Usage: boxr ps");
    t.assert_nothing_left();
}

fn inspect_looks_for_all_kinds(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    t.boxr(["pull", "-q", &name]).run().ok();
    t.boxr(["volume", "create", "data"]).run().ok();
    t.boxr(["create", "--name", "it", "--", "true"]).run().ok();
    t.boxr(["inspect", "-f", "{{.Os}}", &name]).run().ok().prints("linux\n");
    t.boxr(["inspect", "-f", "{{.Driver}}", "data"]).run().ok().prints("local\n");
    t.boxr(["inspect", "--type", "volume", "-f", "{{.Name}}", "data"]).run().ok().prints("data\n");
    t.boxr(["inspect", "--type", "image", "it"]).run().exits(1).blames("no such image");
    t.boxr(["inspect", "--type", "container", "data"]).run().exits(1).blames("no such box: data");
    t.boxr(["inspect", "nothing"]).run().exits(1).blames("no such box: nothing");
    t.boxr(["inspect", "--type", "frob", "it"]).run().exits(125).blames("--type frob");
    t.remove(["it"]);
    t.boxr(["volume", "rm", "data"]).run().ok();
}

fn names_of_images_come_and_go(t: &Sandbox) {
    let (server, name) = offered(t, "{}");
    let other = server.put("other", "1", &super::containers::busybox(t, r#"{"Labels":{"a":"b"}}"#));
    t.boxr(["pull", "-q", &name, &other]).run().ok().prints(&format!("{name}\n{other}\n"));
    t.boxr(["tag", &name, "mine:3", "Mine:4"]).run().exits(1).blames("lower case");
    t.boxr(["image", "exists", "mine:3"]).run().exits(1);
    t.boxr(["tag", &name, "mine:1", "mine:2", "mine:3"]).run().ok().prints("");
    t.boxr(["image", "untag", &name, "mine:1"]).run().ok().prints("");
    t.boxr(["untag", "mine:2", "mine:2", "mine:3"]).run().ok().prints("");
    for gone in ["mine:1", "mine:2", "mine:3"] {
        t.boxr(["image", "exists", gone]).run().exits(1);
    }
    t.boxr(["image", "untag", &name, &other]).run().exits(1).blames("no name of image");
    let listed = t.boxr(["images", "--noheading", "--sort", "tag", "--format", "table {{.Tag}}"]).run().ok();
    assert_eq!(listed.text(), "1\n1\n");
    t.boxr(["rmi", "--ignore", "nothing"]).run().ok();
    t.boxr(["rmi", "--all"]).run().ok();
    t.boxr(["images", "-q"]).run().ok().prints("");
}

fn all_volumes_at_once(t: &Sandbox) {
    for name in ["a", "b"] {
        t.boxr(["volume", "create", name]).run().ok();
    }
    t.boxr(["volume", "ls", "--noheading", "--format", "table {{.Name}}"]).run().ok().prints("a\nb\n");
    t.boxr(["volume", "inspect", "--all", "-f", "{{.Name}}"]).run().ok().prints("a\nb\n");
    t.boxr(["volume", "rm", "--all"]).run().ok().prints("a\nb\n");
    t.boxr(["volume", "ls", "-q"]).run().ok().prints("");
}

fn a_forced_removal_can_ask_first(t: &Sandbox) {
    let file = t.path("ended");
    let script =
        format!("trap 'echo asked >{}; exit' TERM; echo up; while :; do sleep 0.05; done", file.display());
    t.detached("it", ["--", "sh", "-c", &script]);
    wait_until("the trap is set", || t.boxr(["logs", "it"]).run().text() == "up\n");
    t.boxr(["rm", "-f", "-t", "10", "it"]).run().ok();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "asked\n");
    t.assert_nothing_left();
}
