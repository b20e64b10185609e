//! `boxr ns`, `doctor`, help, version, completion.

use boxr_testing::processes::namespace;
use boxr_testing::{Sandbox, Test, test};
use rustix::process::getpid;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(ns_tells_of_a_box),
    test!(ns_tells_who_shares),
    test!(ns_of_everything),
    test!(ps_lists_namespaces_in_podmans_columns),
    test!(ns_of_nothing_names_it),
    test!(doctor_says_what_works),
    test!(info_counts_boxes_and_tells_what_machine_this_is),
    test!(info_tells_of_registries),
    test!(help_is_short_and_for_every_command),
    test!(version_is_one_line),
    test!(completions_for_three_shells),
    test!(mistyped_flags_get_a_suggestion),
    test!(colours_only_on_a_terminal),
];

fn ns_tells_of_a_box(t: &Sandbox) {
    t.detached("box", ["--net", "new", "--", "sleep", "1000"]);
    let out = t.boxr(["ns", "box"]).run().ok();
    let text = out.text();
    for kind in ["pid", "network", "mount", "uts", "ipc", "user", "cgroup", "time"] {
        assert!(text.contains(kind), "{kind} is missing: {text}");
    }
    let ours = namespace(getpid(), "ipc");
    let inode = ours.trim_start_matches("ipc:[").trim_end_matches(']');
    assert!(text.contains(inode), "{inode} of the host is missing: {text}");
    t.boxr(["ns", "--json", "box"]).run().ok().shows("\"net\"");
    t.remove(["box"]);
}

fn ns_tells_who_shares(t: &Sandbox) {
    t.detached("one", ["--net", "new", "--", "sleep", "1000"]);
    t.detached("two", ["--net", "container:one", "--", "sleep", "1000"]);
    t.boxr(["ns", "one"]).run().ok().shows("two");
    t.boxr(["ns", "two"]).run().ok().shows("one");
    t.remove(["one", "two"]);
}

fn ps_lists_namespaces_in_podmans_columns(t: &Sandbox) {
    t.detached("box", ["--net", "new", "--", "sleep", "1000"]);
    t.boxr(["create", "--name", "other", "--", "true"]).run().ok();
    let listed = t.boxr(["ps", "-a", "--ns"]).run().ok().text();
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    let heading = "CONTAINER ID NAMES PID CGROUPNS IPC MNT NET PIDNS USERNS UTS";
    assert_eq!(lines[0].join(" "), heading);
    let row = lines.iter().find(|line| line.get(1) == Some(&"box")).unwrap();
    let pid = t.boxr(["inspect", "-f", "{{.State.Pid}}", "box"]).run().ok().word();
    assert_eq!(row[2], pid);
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    for (column, kind) in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"].iter().enumerate() {
        assert_eq!(namespace(pid, kind), format!("{kind}:[{}]", row[3 + column]), "{listed}");
    }
    // One that does not run is in none.
    assert!(lines.iter().any(|line| line[1..] == ["other", "0"]), "{listed}");
    t.boxr(["ps", "--format", "{{.Names}} {{.Pid}} {{.UTS}}"])
        .run()
        .ok()
        .prints(&format!("box {} {}\n", row[2], row[9]));
    t.boxr(["ps", "--ns", "--size"]).run().exits(125).blames("--ns and --size");
    t.remove(["box"]);
    t.boxr(["rm", "other"]).run().ok();
}

fn ns_of_everything(t: &Sandbox) {
    t.detached("box", ["--net", "new", "--", "sleep", "1000"]);
    t.boxr(["ns"]).run().ok().shows("box");
    t.boxr(["ns", "--type", "net"]).run().ok().shows("box");
    t.boxr(["ns", "--tree"]).run().ok().shows("user");
    let dot = t.boxr(["ns", "--dot"]).run().ok();
    assert!(dot.text().contains("graph") && dot.text().contains("box"), "{}", dot.story());
    let pid = format!("pid:{}", getpid().as_raw_nonzero());
    t.boxr(["ns", &pid]).run().ok().shows("uts");
    t.remove(["box"]);
}

fn ns_of_nothing_names_it(t: &Sandbox) {
    t.boxr(["ns", "absent"]).run().exits(1).blames("absent");
    t.boxr(["ns", "pid:4194303"]).run().exits(1).blames("4194303");
}

fn doctor_says_what_works(t: &Sandbox) {
    let out = t.boxr(["doctor"]).run();
    assert!(matches!(out.status.code(), Some(0 | 1)), "{}", out.story());
    for word in ["namespaces.user", "cgroup.memory", "ok"] {
        assert!(out.text().contains(word), "{word} is missing: {}", out.text());
    }
    t.boxr(["doctor", "--json"]).run().shows("\"");
}

const COMMANDS: [&str; 26] = [
    "run",
    "create",
    "start",
    "exec",
    "attach",
    "stop",
    "kill",
    "pause",
    "unpause",
    "restart",
    "wait",
    "rename",
    "rm",
    "prune",
    "ps",
    "inspect",
    "logs",
    "top",
    "stats",
    "ns",
    "doctor",
    "config",
    "completion",
    "help",
    "version",
    "ls",
];

fn info_counts_boxes_and_tells_what_machine_this_is(t: &Sandbox) {
    t.detached("one", ["--", "sleep", "1000"]);
    t.detached("two", ["--", "sleep", "1000"]);
    t.boxr(["create", "--name", "three", "--", "true"]).run().ok();
    t.boxr(["pause", "two"]).run().ok();
    let info = |format: &str| t.boxr(["info", "-f", format]).run().ok().quiet().word();
    let counts =
        "{{.Containers}}/{{.ContainersRunning}}/{{.ContainersPaused}}/{{.ContainersStopped}}/{{.Images}}";
    assert_eq!(info(counts), "3/1/1/1/0");
    assert_eq!(info("{{.Store.ContainerStore.Number}}"), "3");
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(info("{{.Host.Security.Rootless}}"), (!is_root).to_string());
    assert_eq!(info("{{.DockerRootDir}}"), t.layout().root.display().to_string());
    assert_eq!(info("{{.KernelVersion}}"), rustix::system::uname().release().to_str().unwrap());
    let version = info("{{.CgroupVersion}}");
    assert!(["0", "1", "2"].contains(&version.as_str()), "{version}");
    let json: serde_json::Value =
        serde_json::from_str(&t.boxr(["system", "info", "--format", "json"]).run().ok().text()).unwrap();
    assert_eq!((&json["ContainersRunning"], &json["host"]["os"]), (&1.into(), &"linux".into()));
    assert!(
        json["NCPU"].as_u64().unwrap() > 0 && json["host"]["memTotal"].as_u64() == json["MemTotal"].as_u64()
    );
    assert!(json["host"]["security"]["rootless"].is_boolean() && json["store"]["graphRoot"].is_string());
    let text = t.boxr(["info"]).run().ok();
    text.shows("Containers: 3\n Running: 1\n Paused: 1\n Stopped: 1\n").shows("Cgroup Version: ");
    t.boxr(["info", "-f", "{{.Contianers}}"]).run().exits(125).blames("the nearest is .Containers");
    t.boxr(["info", "me"]).run().exits(125);
    assert_eq!(
        t.boxr(["version", "-f", "{{.Server.Version}}"]).run().ok().word(),
        info("{{.ServerVersion}}")
    );
    t.boxr(["unpause", "two"]).run().ok();
    t.remove(["one", "two", "three"]);
}

fn info_tells_of_registries(t: &Sandbox) {
    let conf = t.file(
        "registries.conf",
        "[[registry]]\nprefix = 'docker.io'\n[[registry.mirror]]\nlocation = 'mirror.example'\n\
         [[registry]]\nlocation = 'old.example'\ninsecure = true\n[[registry]]\nlocation = 'bad.example'\nblocked = true\n",
    );
    let info =
        |words: &[&str]| t.boxr(["info"]).args(words).env("CONTAINERS_REGISTRIES_CONF", &conf).run().ok();
    info(&[])
        .shows(" docker.io: mirror.example\n")
        .shows(" old.example\n")
        .shows("Blocked Registries: bad.example\n");
    info(&["-f", "{{json .RegistryConfig.Mirrors}}"]).prints("[\"mirror.example\"]\n");
    t.file("registries.conf", "registry = 7");
    // A file that cannot be understood is said, and the rest is told.
    info(&[]).shows("Containers: 0").blames("WARNING: cannot use").blames("registries.conf");
}

fn help_is_short_and_for_every_command(t: &Sandbox) {
    for command in COMMANDS {
        let out = t.boxr([command, "--help"]).run().ok().quiet();
        assert!(out.text().to_lowercase().contains("usage"), "{}", out.story());
        assert!(out.lines().iter().all(|line| line.chars().count() <= 100), "{}", out.story());
    }
    let out = t.boxr(["--help"]).run().ok();
    for command in COMMANDS.iter().filter(|command| **command != "ls") {
        assert!(out.text().contains(command), "{command} is missing: {}", out.text());
    }
}

fn version_is_one_line(t: &Sandbox) {
    let out = t.boxr(["--version"]).run().ok();
    assert_eq!(out.lines().len(), 1, "{}", out.story());
    t.boxr(["version"]).run().ok().shows("0.");
}

fn completions_for_three_shells(t: &Sandbox) {
    for shell in ["bash", "zsh", "fish"] {
        let out = t.boxr(["completion", shell]).run().ok();
        assert!(out.text().contains("boxr"), "{}", out.story());
        if shell == "bash" {
            boxr_testing::Cmd::new("bash").arg("-n").stdin(out.stdout).run().ok().quiet();
        }
    }
    t.boxr(["completion", "tcsh"]).run().exits(125).blames("tcsh");
}

fn mistyped_flags_get_a_suggestion(t: &Sandbox) {
    t.run(["--hostnme", "x", "--", "true"]).run().exits(125).blames("--hostname");
    t.boxr(["inspct"]).run().exits(125).blames("inspect");
}

fn colours_only_on_a_terminal(t: &Sandbox) {
    let out = t.run(["--", "no-such-command"]).run();
    assert!(!out.stderr.contains(&0x1b), "{}", out.story());
    let mut terminal = t.terminal(24, 80, &["help"]);
    terminal.expect("boxr");
    terminal.finish();
}
