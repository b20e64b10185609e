//! Wrong input: a clear message, runc's exit status, and nothing left behind.

use boxr_testing::{Need, Sandbox, Test, test};
use serde_json::{Value, json};

use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::life::BUSYBOX;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_damaged_configuration_is_named, BUSYBOX),
    test!(a_huge_configuration_is_read, BUSYBOX),
    test!(wrong_fields_are_named, BUSYBOX),
    test!(ids_that_are_none, BUSYBOX),
    test!(unknown_containers),
    test!(commands_that_cannot_be_executed, BUSYBOX),
    test!(a_state_that_is_cut_short, BUSYBOX),
    test!(a_state_of_another_version, BUSYBOX),
    test!(a_state_directory_that_cannot_be_written, BUSYBOX, Need::Root),
    test!(the_command_line),
    test!(the_log_is_what_containerd_reads),
];

fn a_damaged_configuration_is_named(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "true");
    let whole = serde_json::to_string(&bundle.config).unwrap();
    for text in ["", "{", "7", "null", "\0\0\0", &whole[..whole.len() / 2], &format!("{whole}}}")] {
        std::fs::write(t.path("b/config.json"), text).unwrap();
        bundle.run("blue").run().exits(1).blames("config.json: ");
        assert_nothing_left(t);
    }
    std::fs::remove_file(t.path("b/config.json")).unwrap();
    bundle.run("blue").run().exits(1).blames("config.json: No such file or directory (ENOENT)");
    oci(t, ["run", "-b", "/no/such", "blue"]).run().exits(1).blames("/no/such");
    assert_nothing_left(t);
}

fn a_huge_configuration_is_read(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "echo fine")
        .with(|config| config["annotations"] = json!({"long": "x".repeat(50 << 20)}));
    bundle.run("blue").run().ok().prints("fine\n");
    assert_nothing_left(t);
}

type Change = fn(&mut Value);

fn wrong_fields_are_named(t: &Sandbox) {
    let cases: [(&str, Change); 9] = [
        ("unknown variant `nope`", |c| c["linux"]["namespaces"][0]["type"] = json!("nope")),
        ("linux.namespaces[1]: pid is listed twice", |c| {
            c["linux"]["namespaces"] = json!([{"type": "pid"}, {"type": "pid"}, {"type": "mount"}]);
        }),
        ("process.args", |c| c["process"]["args"] = json!([])),
        ("process.args", |c| drop(c["process"].as_object_mut().unwrap().remove("args"))),
        ("process.cwd", |c| c["process"]["cwd"] = json!("tmp")),
        ("process", |c| drop(c.as_object_mut().unwrap().remove("process"))),
        ("invalid type", |c| c["process"]["args"] = json!(7)),
        ("no/such", |c| c["root"]["path"] = json!("no/such")),
        ("hooks.prestart[0].path", |c| c["hooks"] = json!({"prestart": [{"path": "x"}]})),
    ];
    for (index, (words, change)) in cases.into_iter().enumerate() {
        let bundle = Bundle::new(t, &format!("b{index}"), "true").with(change);
        bundle.run("blue").run().exits(1).blames(words);
        bundle.command("create", &[], "blue").run().exits(1).blames(words);
        assert_nothing_left(t);
    }
}

fn ids_that_are_none(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "true");
    for id in ["", "..", "../x", "a/b", "a b", "ä"] {
        bundle.run(id).run().exits(1).blames("invalid container ID format");
        oci(t, ["state", id]).run().exits(1).blames("invalid container ID format");
    }
    oci(t, ["run", "-b", bundle.path()]).run().exits(1).blames("exactly 1 argument");
    assert_nothing_left(t);
}

fn unknown_containers(t: &Sandbox) {
    for command in ["state", "start", "kill", "delete", "pause", "resume", "ps"] {
        oci(t, [command, "red"]).run().exits(1).blames("container does not exist");
    }
    oci(t, ["delete", "--force", "red"]).run().ok();
    assert_nothing_left(t);
}

fn commands_that_cannot_be_executed(t: &Sandbox) {
    let cases = [
        ("nonsense", r#"exec: \"nonsense\": executable file not found in $PATH"#),
        ("/no/such", r#"exec: \"/no/such\": stat /no/such: no such file or directory"#),
        ("/etc/passwd", r#"exec: \"/etc/passwd\": permission denied"#),
        ("/tmp", "permission denied"),
    ];
    for (index, (command, words)) in cases.into_iter().enumerate() {
        let bundle = Bundle::new(t, &format!("b{index}"), "true")
            .with(|config| config["process"]["args"] = json!([command]));
        bundle.run("blue").run().exits(1).blames(words);
        // Known before `start`: the programs above tell their users at once.
        bundle.command("create", &[], "blue").run().exits(1).blames(words);
        assert_nothing_left(t);
    }
}

fn a_state_that_is_cut_short(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "true");
    bundle.command("run", &["--keep"], "blue").run().ok();
    let path = t.layout().state.join("blue/state.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    oci(t, ["state", "blue"]).run().exits(1).blames("delete --force removes the container");
    oci(t, ["delete", "blue"]).run().exits(1).blames("state.json");
    oci(t, ["list"]).run().ok();
    oci(t, ["delete", "--force", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn a_state_of_another_version(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "true");
    bundle.command("run", &["--keep"], "blue").run().ok();
    let path = t.layout().state.join("blue/state.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"format\":1", "\"format\":999")).unwrap();
    oci(t, ["state", "blue"]).run().exits(1).blames("newer boxr-oci (format 999");
    std::fs::write(&path, text).unwrap();
    oci(t, ["delete", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn a_state_directory_that_cannot_be_written(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "true");
    for root in ["/proc/nope", "/dev/null/x"] {
        let out = boxr_testing::Cmd::new(t.program())
            .args(["--root", root, "run", "-b", bundle.path(), "blue"])
            .run()
            .exits(1);
        out.blames(root);
    }
}

fn the_command_line(t: &Sandbox) {
    oci(t, ["nonsense"]).run().exits(3).blames("nonsense");
    oci(t, ["state", "--nonsense", "x"]).run().exits(1).blames("flag provided but not defined: -nonsense");
    oci(t, ["state"]).run().exits(1).blames("exactly 1 argument");
    oci(t, ["--log-format", "xml", "list"]).run().exits(1).blames("invalid log-format: xml");
    oci(t, ["list", "--format", "xml"]).run().exits(1).blames("invalid format option");
    let version = oci(t, ["--version"]).run().ok().lines();
    assert!(version[0].starts_with("boxr-oci version "));
    assert!(version[1].starts_with("spec: 1."));
    assert!(oci(t, ["--help"]).run().ok().text().contains("\n  create "));
    assert!(oci(t, ["exec", "--help"]).run().ok().text().contains("--ignore-paused"));
    oci(t, ["help", "run"]).run().ok();
}

fn the_log_is_what_containerd_reads(t: &Sandbox) {
    let log = t.path("log");
    let flags = ["--log", log.to_str().unwrap(), "--log-format", "json", "state", "red"];
    let out = oci(t, flags).run().exits(1);
    assert_eq!(out.errors(), "container does not exist\n");
    let line: Value = serde_json::from_str(&std::fs::read_to_string(&log).unwrap()).unwrap();
    assert_eq!((&line["level"], &line["msg"]), (&json!("error"), &json!("container does not exist")));
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
}
