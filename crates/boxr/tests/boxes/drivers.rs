//! What keeps the output of a box: `--log-driver` and `--log-opt`.

use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(files_are_called_as_one_likes),
    test!(a_file_where_one_wants_it),
    test!(what_is_no_file_is_no_log),
    test!(files_of_others_beside_a_log_stay),
    test!(nobody_keeps_it),
    test!(it_goes_where_boxrs_goes),
    test!(a_container_writes_to_its_starter, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_journal_that_is_not_there_is_named),
    test!(what_no_driver_can_do_is_said),
];

const SAY: [&str; 4] = ["--", "sh", "-c", "echo out; echo err >&2"];

fn ended(t: &Sandbox) {
    t.boxr(["wait", "it"]).run().ok();
}

fn files_are_called_as_one_likes(t: &Sandbox) {
    for driver in ["json-file", "local", "k8s-file"] {
        t.run(["-d", "--name", "it", "--log-driver", driver, "--log-opt", "max-size=1m"])
            .args(SAY)
            .run()
            .ok();
        ended(t);
        let out = t.boxr(["logs", "it"]).run().ok();
        assert_eq!((out.text().as_str(), out.errors().as_str()), ("out\n", "err\n"));
        let format = "{{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config \"max-size\"}}";
        t.boxr(["inspect", "-f", format, "it"]).run().ok().prints(&format!("{driver} 1048576\n"));
        t.remove(["it"]);
    }
}

fn a_file_where_one_wants_it(t: &Sandbox) {
    let path = t.path("my.log");
    let option = format!("path={}", path.display());
    t.run([
        "-d",
        "--name",
        "it",
        "--log-opt",
        &option,
        "--log-opt",
        "max-size=4096",
        "--log-opt",
        "max-file=2",
    ])
    .args(["--", "sh", "-c", "seq 1 200; sleep 1000"])
    .run()
    .ok();
    wait_until("all is logged", || t.boxr(["logs", "-n", "1", "it"]).run().text() == "200\n");
    t.boxr(["inspect", "-f", "{{.LogPath}}", "it"]).run().ok().prints(&format!("{}\n", path.display()));
    assert!(path.exists() && t.path("my.log.1").exists());
    // Killed, and taken over: it goes on in the same file.
    t.remove(["it"]);
    t.run(["--rm", "--log-opt", &option]).args(SAY).run().ok().prints("out\n");
    assert!(std::fs::read_to_string(&path).unwrap().ends_with("stderr F err\n"));
    let out = t.run(["-d", "--log-opt", "path=/no/such/dir/log", "--", "true"]).run();
    out.exits(125).blames("/no/such/dir");
    t.assert_nothing_left();
}

fn what_is_no_file_is_no_log(t: &Sandbox) {
    let path = t.path("my.log");
    let option = format!("path={}", path.display());
    let fifo = || rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    fifo();
    let out = t.run(["-d", "--name", "it", "--log-opt", &option]).args(SAY).run().exits(125);
    out.blames("my.log is not a file");
    std::fs::remove_file(&path).unwrap();
    t.run(["-d", "--name", "it", "--log-opt", &option]).args(SAY).run().ok();
    ended(t);
    // Its directory may be one that the box can write to.
    std::fs::remove_file(&path).unwrap();
    fifo();
    for words in [["logs", "it"].as_slice(), &["logs", "-f", "it"], &["logs", "-n", "1", "it"]] {
        t.boxr(words).run().exits(1).blames("my.log is not a file");
    }
    std::fs::remove_file(&path).unwrap();
    t.boxr(["logs", "it"]).run().ok().prints("");
    t.remove(["it"]);
    t.run(["-d", "--log-opt", "path=/dev/null"]).args(SAY).run().exits(125).blames("/dev/null is not a file");
    t.assert_nothing_left();
}

fn files_of_others_beside_a_log_stay(t: &Sandbox) {
    let foreign = t.file("my.log.1", "a report of July\n");
    let option = format!("path={}", t.path("my.log").display());
    let start =
        |files: &str| t.run(["-d", "--name", "it", "--log-opt", &option, "--log-opt", files]).args(SAY).run();
    start("max-file=2").exits(125).blames("my.log.1 is not one of boxr's logs");
    assert!(!t.path("my.log").exists());
    // No rotation would come to it.
    start("max-file=1").ok();
    ended(t);
    assert_eq!(std::fs::read_to_string(foreign).unwrap(), "a report of July\n");
    t.remove(["it"]);
    t.assert_nothing_left();
}

fn nobody_keeps_it(t: &Sandbox) {
    t.run(["-d", "--name", "it", "--log-driver", "none"]).args(SAY).run().ok();
    ended(t);
    t.boxr(["logs", "it"]).run().exits(1).blames("--log-driver none").blames("kept by nobody");
    t.boxr(["inspect", "-f", "{{.LogPath}}", "it"]).run().ok().prints("\n");
    // It can be attached to all the same.
    let out = t.boxr(["start", "-a", "it"]).run().ok();
    assert_eq!((out.text().as_str(), out.errors().as_str()), ("out\n", "err\n"));
    t.remove(["it"]);
}

fn it_goes_where_boxrs_goes(t: &Sandbox) {
    let out = t.run(["-d", "--name", "it", "--log-driver", "passthrough"]).args(SAY).run().ok();
    assert!(out.lines().contains(&"out".to_owned()), "{}", out.story());
    assert!(out.errors().contains("err"), "{}", out.story());
    ended(t);
    t.boxr(["logs", "it"]).run().exits(1).blames("--log-driver passthrough");
    t.remove(["it"]);
    let words = ["-i", "--keep", "--name", "it", "--log-driver", "passthrough", "--", "cat"];
    t.run(words).stdin("typed\n").run().ok().prints("typed\n");
    t.remove(["it"]);
    t.assert_nothing_left();
}

fn a_container_writes_to_its_starter(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    let out = t.run(["-q", "--log-driver", "passthrough", "--name", "it", &name, "echo", "out"]).run();
    out.ok().prints("out\n");
    t.remove(["it"]);
    nothing_left(t);
}

fn a_journal_that_is_not_there_is_named(t: &Sandbox) {
    if std::path::Path::new("/run/systemd/journal/socket").exists() {
        t.run(["-d", "--name", "it", "--log-driver", "journald", "--log-opt", "tag=boxr-test"])
            .args(SAY)
            .run()
            .ok();
        ended(t);
        t.boxr(["logs", "it"]).run().exits(1).blames("journalctl CONTAINER_ID_FULL=");
        t.remove(["it"]);
        return;
    }
    let out = t.run(["-d", "--log-driver", "journald"]).args(SAY).run();
    out.exits(125).blames("/run/systemd/journal/socket");
    t.assert_nothing_left();
}

fn what_no_driver_can_do_is_said(t: &Sandbox) {
    let wrong: &[(&[&str], &str)] = &[
        (&["--log-driver", "fluentd"], "--log-driver fluentd"),
        (&["--log-opt", "frob=1"], "--log-opt frob=1"),
        (&["--log-driver", "none", "--log-opt", "max-size=1m"], "--log-driver none"),
        (&["--log-driver", "passthrough", "-t"], "--tty"),
    ];
    for (flags, part) in wrong {
        t.run(flags.iter().chain(&["--", "true"])).run().exits(125).blames(part);
    }
    t.assert_nothing_left();
}
