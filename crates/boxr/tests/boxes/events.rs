//! What happens to boxes, images, volumes, networks and pods, as `boxr events` tells it.

use boxr_testing::processes::watches;
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(the_life_of_a_box_is_told_in_dockers_words),
    test!(boxes_of_host_commands_in_the_foreground_are_not_told),
    test!(a_follower_hears_of_what_is_to_come),
    test!(what_happens_to_a_container_its_image_and_its_volume, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_happens_to_networks, Need::Root),
    test!(what_happens_to_pods_is_told_in_podmans_words, Need::UserNamespaces),
    test!(a_pod_that_ends_with_its_last_member_tells_of_it_once, Need::UserNamespaces),
    test!(health_is_told_and_its_checks_are_not, Need::Tool(Tool::Busybox), OVERLAY),
    test!(an_end_that_no_monitor_saw_is_told_by_the_next_command),
    test!(a_journal_that_cannot_be_written_stops_nothing),
    test!(many_writers_lose_nothing),
    test!(wrong_questions_are_answered),
];

/// What has happened, in this format.
#[track_caller]
fn told(t: &Sandbox, format: &str, filters: &[&str]) -> Vec<String> {
    let filters = filters.iter().flat_map(|filter| ["--filter", filter]);
    t.boxr(["events", "--no-stream", "--format", format]).args(filters).run().ok().quiet().lines()
}

const WORDS: &str = "{{.Type}} {{.Action}}";

fn the_life_of_a_box_is_told_in_dockers_words(t: &Sandbox) {
    let id = t.detached(
        "it",
        ["-l", "tier=front", "--", "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done"],
    );
    t.boxr(["exec", "it", "sh", "-c", "exit 3"]).run().exits(3);
    t.boxr(["pause", "it"]).run().ok();
    t.boxr(["unpause", "it"]).run().ok();
    t.boxr(["rename", "it", "that"]).run().ok();
    t.boxr(["restart", "that"]).run().ok();
    t.boxr(["kill", "-s", "USR1", "that"]).run().ok();
    t.boxr(["rm", "-f", "that"]).run().ok();
    let words = [
        "container create",
        "container start",
        "container exec_create: sh -c exit 3",
        "container exec_start: sh -c exit 3",
        "container exec_die",
        "container pause",
        "container unpause",
        "container rename",
        "container kill",
        "container die",
        "container stop",
        "container start",
        "container restart",
        "container kill",
        "container kill",
        "container die",
        "container destroy",
    ];
    assert_eq!(told(t, WORDS, &[]), words);
    assert_eq!(told(t, "{{.ID}} {{.Actor.Attributes.name}}", &["event=create"]), [format!("{id} it")]);
    let exits = told(t, "{{.Actor.Attributes.exitCode}} {{.Actor.Attributes.tier}}", &["event=die"]);
    assert_eq!(exits, ["7 front", "137 front"]);
    assert_eq!(told(t, "{{.Actor.Attributes.exitCode}}", &["event=exec_die"]), ["3"]);
    assert_eq!(told(t, "{{.Actor.Attributes.oldName}}", &["event=rename"]), ["/it"]);
    assert_eq!(told(t, "{{.Actor.Attributes.signal}}", &["event=kill"]), ["15", "10", "9"]);
    assert_eq!(told(t, WORDS, &["container=that", "event=destroy"]), ["container destroy"]);
    assert_eq!(told(t, WORDS, &["label=tier=back"]), [""; 0]);
    let line = t.boxr(["events", "--no-stream", "-f", "event=create"]).run().ok().text();
    let end = format!("Z container create {id} (image=host, name=it, tier=front)\n");
    assert!(
        line.ends_with(&end) && line.len() == end.len() + "2026-01-02T03:04:05.123456789".len(),
        "{line}"
    );
    let json = told(t, "json", &["event=create"]).concat();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["status"].as_str(), json["id"].as_str()), (Some("create"), Some(id.as_str())));
    assert_eq!(json["Actor"]["Attributes"]["name"], "it");
    assert_eq!(json["timeNano"].as_i64().unwrap() / 1_000_000_000, json["time"].as_i64().unwrap());
    // What happened before some time, and after.
    let at = json["timeNano"].as_i64().unwrap();
    let at = format!("{}.{:09}", at / 1_000_000_000, at % 1_000_000_000);
    let words =
        |flag| t.boxr(["events", "--no-stream", "--format", WORDS, flag, &at]).run().ok().lines().len();
    assert_eq!((words("--until"), words("--since")), (1, 17));
    // As podman and docker have it too.
    t.boxr(["system", "events", "--stream=false", "--until", "0s"]).run().ok().shows("container die");
}

fn boxes_of_host_commands_in_the_foreground_are_not_told(t: &Sandbox) {
    t.run(["--", "true"]).run().ok();
    t.run(["--name", "it", "--", "false"]).run().exits(1);
    assert_eq!(told(t, WORDS, &[]), [""; 0]);
    t.boxr(["create", "--name", "it", "--", "true"]).run().ok();
    t.boxr(["start", "-a", "it"]).run().ok();
    t.remove(["it"]);
    let words = ["create", "attach", "start", "die", "destroy"].map(|word| format!("container {word}"));
    assert_eq!(told(t, WORDS, &[]), words);
}

fn a_follower_hears_of_what_is_to_come(t: &Sandbox) {
    t.detached("before", ["--", "true"]);
    t.boxr(["wait", "before"]).run().ok();
    let events = |more: &[&str]| t.boxr(["events", "--format", "{{.Action}} {{.Name}}."]).args(more).spawn();
    // One that was begun with what was before is there when that comes; the other then too.
    let mut all = events(&["--since", "1h"]);
    all.expect("die before.");
    let mut new = events(&[]);
    let mut ends = events(&["-f", "event=die", "--since", "0s"]);
    wait_until("all listen", || {
        t.boxr(["volume", "create", "v"]).run().ok();
        t.boxr(["volume", "rm", "v"]).run().ok();
        watches(new.pid()) && watches(ends.pid())
    });
    t.detached("after", ["--", "true"]);
    t.boxr(["wait", "after"]).run().ok();
    for running in [&mut all, &mut new] {
        running.expect("create after.");
        running.expect("die after.");
    }
    ends.expect("die after.");
    for running in [all, new, ends] {
        running.signal(Signal::TERM);
        let text = running.finish().killed_by(Signal::TERM).text();
        assert!(!text.contains("attach"), "{text}");
    }
    // It ends by itself when its time is over, and at once when nobody reads on.
    let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1;
    t.boxr(["events", "--until", &soon.to_string()]).run().ok().shows("name=before");
    let piped = Cmd::new("sh").args(["-c", "\"$@\" events --since 1h | head -n 1", "sh"]);
    piped.arg(t.program()).args(t.globals()).run().ok().shows("create");
    t.remove(["before", "after"]);
}

fn what_happens_to_a_container_its_image_and_its_volume(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sleep","1000"],"Labels":{"tier":"front"}}"#);
    t.run(["-q", "--rm", "--network", "none", &name, "sh", "-c", "exit 4"]).run().exits(4);
    let words = ["create", "attach", "start", "die", "destroy"].map(|word| format!("container {word}"));
    let pull = ["image pull".to_owned()];
    assert_eq!(told(t, WORDS, &[]), [&pull[..], &words].concat());
    assert_eq!(told(t, "{{.ID}}", &["type=image"]), std::slice::from_ref(&name));
    let of_container = told(t, "{{.Image}} {{.ContainerExitCode}} {{.Attributes.tier}}", &["event=die"]);
    assert_eq!(of_container, [format!("{name} 4 front")]);
    t.run(["-d", "--name", "it", "--network", "none", "-v", "v:/data", &name]).run().ok();
    t.boxr(["cp", "it:/bin/sh", &t.path("sh").display().to_string()]).run().ok();
    t.boxr(["cp", &t.file("x", "x"), "it:/x"]).run().ok();
    t.boxr(["commit", "it", "made:1"]).run().ok();
    t.boxr(["export", "-o", &t.path("tar").display().to_string(), "it"]).run().ok();
    t.boxr(["tag", "made:1", "made:2"]).run().ok();
    t.boxr(["save", "-o", &t.path("saved").display().to_string(), "made:1"]).run().ok();
    t.boxr(["rmi", "made:1"]).run().ok();
    t.boxr(["rmi", "made:2"]).run().ok();
    t.boxr(["load", "-i", &t.path("saved").display().to_string()]).run().ok();
    t.boxr(["import", &t.path("tar").display().to_string(), "other"]).run().ok();
    t.boxr(["rm", "-f", "it"]).run().ok();
    t.boxr(["volume", "rm", "v"]).run().ok();
    let after = told(t, WORDS, &[]).split_off(6);
    let expected = [
        "volume create",
        "container create",
        "volume mount",
        "container start",
        "container archive-path",
        "container extract-to-dir",
        "container pause",
        "container unpause",
        "container commit",
        "container export",
        "image tag",
        "image save",
        "image untag",
        "image untag",
        "image delete",
        "image load",
        "image import",
        "container kill",
        "container die",
        "container destroy",
        "volume destroy",
    ];
    assert_eq!(after, expected);
    assert_eq!(told(t, WORDS, &["volume=v", "event=mount"]), ["volume mount"]);
    let wanted = name.rsplit_once(':').unwrap().0;
    assert_eq!(told(t, WORDS, &[&format!("image={wanted}"), "event=die"]).len(), 2);
    assert_eq!(told(t, "{{.Action}}", &["event=copy"]), ["archive-path", "extract-to-dir"]);
    nothing_left(t);
}

fn what_happens_to_networks(t: &Sandbox) {
    let id = t.boxr(["network", "create", "--subnet", "10.93.7.0/24", "shop"]).run().ok().word();
    t.run(["-d", "--name", "it", "--network", "shop", "--", "sleep", "1000"]).run().ok();
    t.boxr(["network", "create", "--subnet", "10.93.8.0/24", "more"]).run().ok();
    t.boxr(["network", "connect", "more", "it"]).run().ok();
    t.boxr(["network", "disconnect", "more", "it"]).run().ok();
    t.remove(["it"]);
    t.boxr(["network", "rm", "shop", "more"]).run().ok();
    let words = [
        "create shop",
        "connect shop",
        "create more",
        "connect more",
        "disconnect more",
        "disconnect shop",
        "destroy shop",
        "destroy more",
    ];
    assert_eq!(told(t, "{{.Action}} {{.Network}}", &["type=network"]), words);
    assert_eq!(told(t, "{{.Action}}", &[&format!("network={id}")]), ["create", "destroy"]);
}

const PODS: &[&str] = &["type=pod"];

/// Makes a pod with a member, and gives the ids of both.
#[track_caller]
fn pod(t: &Sandbox, name: &str, flags: &[&str]) -> (String, String) {
    let id = t.boxr(["pod", "create", "--network", "none", "--name", name]).args(flags).run().ok().word();
    let member = t.detached("one", ["--pod", name, "--", "sleep", "1000"]);
    (id, member)
}

fn what_happens_to_pods_is_told_in_podmans_words(t: &Sandbox) {
    let (id, member) = pod(t, "web", &["--label", "tier=front"]);
    for act in [
        &["start"][..],
        &["pause"],
        &["unpause"],
        &["kill", "-s", "WINCH"],
        &["restart", "-t", "0"],
        &["kill"],
    ] {
        t.boxr(["pod"]).args(act).arg("web").run().ok();
    }
    // Nothing is left that could be stopped.
    t.boxr(["pod", "stop", "web"]).run().ok();
    t.boxr(["pod", "rm", "web"]).run().ok();
    // A pod without anything of its own is stopped with its members.
    let bare = t.boxr(["pod", "create", "--infra=false", "--name", "bare"]).run().ok().word();
    t.detached("two", ["--pod", "bare", "--network", "none", "--", "sleep", "1000"]);
    t.boxr(["pod", "stop", "-t", "0", "bare"]).run().ok();
    t.boxr(["pod", "rm", "bare"]).run().ok();
    let words = ["create", "start", "pause", "unpause", "kill", "stop", "start", "kill", "remove"];
    assert_eq!(told(t, "{{.Action}}", &["pod=web"]), words);
    assert_eq!(
        told(t, "{{.Status}} {{.Name}}", &[&format!("pod={}", &bare[..12])]),
        ["create bare", "stop bare", "remove bare"]
    );
    assert_eq!(told(t, "{{.Type}} {{.ID}}", &["type=pod", "event=pause"]), [format!("pod {id}")]);
    // podman's word for the end of both.
    assert_eq!(
        told(t, "{{.Type}} {{.ID}}", &["event=remove", "type=pod", "type=container"])[..2],
        [format!("container {member}"), format!("pod {id}")]
    );
    assert_eq!(told(t, "{{.Actor.Attributes.pod_id}}", &["container=one", "event=create"]), [id.as_str()]);
    let line = t.boxr(["events", "--no-stream", "-f", "pod=web", "-f", "event=create"]).run().ok().text();
    assert!(line.ends_with(&format!("Z pod create {id} (image=, name=web)\n")), "{line}");
    t.assert_nothing_left();
}

fn a_pod_that_ends_with_its_last_member_tells_of_it_once(t: &Sandbox) {
    let ends = ["--exit-policy", "stop"];
    pod(t, "one-by-one", &ends);
    t.boxr(["kill", "one"]).run().ok();
    let words = |count| {
        wait_until("the end is told", || told(t, "{{.Action}}", PODS).len() >= count);
        told(t, "{{.Action}}", PODS)
    };
    assert_eq!(words(2), ["create", "stop"]);
    t.boxr(["pod", "rm", "-f", "one-by-one"]).run().ok();
    // The one who stops it and its last member's monitor are at it together.
    pod(t, "together", &ends);
    t.boxr(["pod", "stop", "-t", "0", "together"]).run().ok();
    t.boxr(["pod", "rm", "together"]).run().ok();
    assert_eq!(words(6), ["create", "stop", "remove", "create", "stop", "remove"]);
    t.assert_nothing_left();
}

fn health_is_told_and_its_checks_are_not(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sleep","1000"]}"#);
    let check = ["--health-cmd", "[ -e /well ]", "--health-interval", "50ms", "--health-retries", "1"];
    t.run(["-q", "-d", "--name", "it", "--network", "none"]).args(check).arg(&name).run().ok();
    wait_until("it is told that it is not well", || {
        told(t, "{{.HealthStatus}}", &["event=health_status"]) == ["unhealthy"]
    });
    t.boxr(["exec", "it", "touch", "/well"]).run().ok();
    wait_until("it is told that it is well", || {
        told(t, WORDS, &["event=health_status: healthy"]) == ["container health_status: healthy"]
    });
    assert_eq!(told(t, WORDS, &["event=exec_create"]).len(), 1);
    t.remove(["it"]);
    nothing_left(t);
}

fn an_end_that_no_monitor_saw_is_told_by_the_next_command(t: &Sandbox) {
    t.detached("it", ["--", "sleep", "1000"]);
    let inspect = |format: &str| t.boxr(["inspect", "-f", format, "it"]).run().ok().word();
    let (monitor, pid): (i32, i32) =
        (inspect("{{.Monitor.Pid}}").parse().unwrap_or(0), inspect("{{.State.Pid}}").parse().unwrap());
    let end = |pid: i32| kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    if monitor > 0 {
        end(monitor);
    }
    end(pid);
    wait_until("its end is told", || {
        t.boxr(["ps", "-a"]).run().ok();
        told(t, "{{.ContainerExitCode}}", &["event=die"]).len() == 1
    });
    t.remove(["it"]);
}

fn a_journal_that_cannot_be_written_stops_nothing(t: &Sandbox) {
    std::fs::create_dir_all(&t.layout().root).unwrap();
    let events = t.layout().root.join("events");
    std::fs::write(&events, "in the way").unwrap();
    t.detached("it", ["--", "true"]);
    t.boxr(["wait", "it"]).run().ok().prints("0\n");
    t.remove(["it"]);
    t.boxr(["events", "--no-stream"]).run().exits(1).blames("events");
    std::fs::remove_file(&events).unwrap();
}

fn many_writers_lose_nothing(t: &Sandbox) {
    let running: Vec<_> = (0..4)
        .map(|writer| {
            let volume = format!("v{writer}");
            let script = "for i in 1 2 3 4 5; do \"$@\" volume create $0-$i; \"$@\" volume rm $0-$i; done";
            Cmd::new("sh").args(["-c", script, &volume]).arg(t.program()).args(t.globals()).spawn()
        })
        .collect();
    running.into_iter().for_each(|running| drop(running.finish().ok()));
    assert_eq!(told(t, WORDS, &["event=create"]).len(), 20);
    let mut gone = told(t, "{{.Name}}", &["event=destroy"]);
    gone.sort();
    gone.dedup();
    assert_eq!(gone.len(), 20);
}

fn wrong_questions_are_answered(t: &Sandbox) {
    t.boxr(["events", "--since", "soon"]).run().exits(125).blames("--since soon");
    t.boxr(["events", "--filter", "nmae=x"]).run().exits(125).blames("no such filter").blames("container");
    t.boxr(["events", "--filter", "type=planet"]).run().exits(125).blames("volume");
    t.boxr(["events", "--no-stream", "--format", "{{.Nmae"]).run().exits(125);
    t.boxr(["events", "web"]).run().exits(125);
}
