//! `boxr config` and `boxr run -f FILE`.

use boxr_testing::{Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(the_stock_file_runs),
    test!(the_json_shape_of_the_issue_runs),
    test!(toml_sets_everything),
    test!(flags_beat_the_file),
    test!(a_file_on_stdin),
    test!(unknown_keys_are_named_with_line_and_neighbour),
    test!(wrong_types_are_named),
    test!(files_that_cannot_be_read_are_named),
    test!(config_does_not_overwrite),
    test!(explain_and_dry_run_change_nothing),
    test!(timing_goes_to_stderr),
    test!(notes_that_cannot_be_written_change_no_status),
];

fn the_stock_file_runs(t: &Sandbox) {
    for name in ["box.toml", "box.json"] {
        let path = t.path(name);
        let path = path.to_str().unwrap();
        t.boxr(["config", path]).run().ok();
        t.run(["-f", path, "--", "sh", "-c", "echo $$"]).run().ok().prints("1\n");
    }
    t.boxr(["config"]).run().ok().shows("namespaces");
    t.boxr(["config", "--format", "json"]).run().ok().shows("\"namespaces\"");
}

fn the_json_shape_of_the_issue_runs(t: &Sandbox) {
    let json = r#"{"namespaces":{"pid":true,"network":false,"mount":true,"uts":true,"ipc":false,"user":false,"cgroup":false},"detach":false,"args":["sh","-c","echo $$; exit 3"]}"#;
    let user = if rustix::process::geteuid().is_root() { "false" } else { "true" };
    let file = t.file("box.json", json.replace("\"user\":false", &format!("\"user\":{user}")));
    t.run(["-f", &file]).run().exits(3).prints("1\n");
}

fn toml_sets_everything(t: &Sandbox) {
    let text = "args = [\"sh\", \"-c\", \"uname -n; echo $A; ulimit -n; pwd\"]\n\
                hostname = \"fromfile\"\nenv = [\"A=1\"]\nworkdir = \"/usr\"\n\
                [namespaces]\npid = \"new\"\nnetwork = \"host\"\n";
    let file = t.file("box.toml", text);
    let out = t.run(["-f", &file]).run().ok();
    let lines = out.lines();
    assert_eq!((lines[0].as_str(), lines[1].as_str(), lines[3].as_str()), ("fromfile", "1", "/usr"));
}

fn flags_beat_the_file(t: &Sandbox) {
    let file = t.file("box.toml", "args = [\"uname\", \"-n\"]\nhostname = \"fromfile\"\n");
    t.run(["-f", &file]).run().ok().prints("fromfile\n");
    t.run(["-f", &file, "--hostname", "fromflag"]).run().ok().prints("fromflag\n");
    t.run(["-f", &file, "--", "echo", "other"]).run().ok().prints("other\n");
}

fn a_file_on_stdin(t: &Sandbox) {
    t.run(["-f", "-"]).stdin("args = [\"echo\", \"from stdin\"]\n").run().ok().prints("from stdin\n");
}

fn unknown_keys_are_named_with_line_and_neighbour(t: &Sandbox) {
    let file = t.file("box.toml", "args = [\"true\"]\nhostnam = \"x\"\n");
    t.run(["-f", &file]).run().exits(125).blames("hostnam").blames("2").blames("hostname").blames(&file);
    let file = t.file("box.json", "{\n\"args\": [\"true\"],\n\"namespaces\": {\n\"netwrk\": true\n}}");
    t.run(["-f", &file]).run().exits(125).blames("netwrk").blames("4").blames("network");
    t.assert_nothing_left();
}

fn wrong_types_are_named(t: &Sandbox) {
    for (text, key) in [
        ("args = 5\n", "args"),
        ("args = [\"true\"]\nhostname = 5\n", "hostname"),
        ("args = [\"true\"]\n[namespaces]\npid = 1\n", "pid"),
        ("args = [\"true\"]\n[namespaces]\npid = \"newish\"\n", "newish"),
        ("args = [\"true\"\n", "box.toml"),
    ] {
        let file = t.file("box.toml", text);
        t.run(["-f", &file]).run().exits(125).blames(key).blames(&file);
    }
    t.run(["-f", &t.file("box.json", "{")]).run().exits(125).blames("box.json");
    t.run(["-f", &t.file("empty.toml", "")]).run().exits(125).blames("args");
    t.assert_nothing_left();
}

fn files_that_cannot_be_read_are_named(t: &Sandbox) {
    t.run(["-f", "/no/such/file.toml"]).run().exits(125).blames("/no/such/file.toml").blames("ENOENT");
    let dir = t.path("dir.toml");
    std::fs::create_dir(&dir).unwrap();
    t.run(["-f", dir.to_str().unwrap()]).run().exits(125).blames("dir.toml");
    t.run(["-f", &t.file("binary.toml", [0xff, 0xfe, 0])]).run().exits(125).blames("binary.toml");
}

fn config_does_not_overwrite(t: &Sandbox) {
    let file = t.file("mine.toml", "args = [\"true\"]\n");
    t.boxr(["config", &file]).run().exits(125).blames("mine.toml");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "args = [\"true\"]\n");
    t.boxr(["config", "--force", &file]).run().ok();
    t.boxr(["config", "/no/such/dir/box.toml"]).run().exits(125).blames("/no/such/dir");
}

fn explain_and_dry_run_change_nothing(t: &Sandbox) {
    let out = t.run(["--explain", "--dry-run", "--net", "new", "--", "touch", "made"]).run().ok();
    let told = out.text() + &out.errors();
    for word in ["pid", "network", "mount", "touch"] {
        assert!(told.contains(word), "{told}");
    }
    assert!(!t.path("made").exists());
    t.run(["--explain", "--", "touch", "made"]).run().ok();
    assert!(t.path("made").exists());
    t.assert_nothing_left();
}

fn notes_that_cannot_be_written_change_no_status(t: &Sandbox) {
    let globals = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let line = format!("{} {globals} run --timing -- sh -c 'exit 3' 2>/dev/full", t.program().display());
    boxr_testing::Cmd::new("sh").args(["-c", &line]).run().exits(3);
}

fn timing_goes_to_stderr(t: &Sandbox) {
    let out = t.run(["--timing", "--", "echo", "x"]).run().ok().prints("x\n");
    assert!(out.errors().contains("clone"), "{}", out.story());
}
