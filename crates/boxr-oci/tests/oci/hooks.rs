//! Hooks, their order and what becomes of one that fails.

use boxr_testing::{Sandbox, Test, test};
use serde_json::{Value, json};

use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::life::{BUSYBOX, delete_when_stopped};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(all_kinds_run_in_order, BUSYBOX),
    test!(a_hook_that_fails_ends_the_creation, BUSYBOX),
    test!(a_hook_of_the_start_that_fails_ends_the_container, BUSYBOX),
    test!(hooks_after_the_start_and_the_end_only_warn, BUSYBOX),
];

const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that appends a line to `log` of the test's directory, which the container sees as /tmp/log too.
fn noting(t: &Sandbox, kind: &str) -> Value {
    let inside = kind == "startContainer";
    let log =
        if inside { "/tmp/log".to_owned() } else { t.path("shared-root/tmp/log").display().to_string() };
    let script = format!("sed -n 's/.*\"status\":\"\\([a-z]*\\)\".*/{kind} \\1\\n/p' | head -n 1 >> {log}");
    let shell = if inside { "/bin/sh" } else { "/usr/bin/sh" };
    json!({"path": shell, "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]})
}

fn failing(kind: &str) -> Value {
    let shell = if kind == "startContainer" { "/bin/sh" } else { "/usr/bin/sh" };
    json!({"path": shell, "args": ["sh", "-c", "echo no luck >&2; exit 3"], "env": ["PATH=/usr/bin:/bin"]})
}

fn log(t: &Sandbox) -> Vec<String> {
    let text = std::fs::read_to_string(t.path("shared-root/tmp/log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn all_kinds_run_in_order(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "echo command >> /tmp/log").with(|config| {
        for kind in KINDS {
            config["hooks"][kind] = json!([noting(t, kind)]);
        }
    });
    bundle.create("blue");
    assert_eq!(log(t), ["prestart creating", "createRuntime creating", "createContainer creating"]);
    oci(t, ["start", "blue"]).run().ok();
    delete_when_stopped(t, "blue");
    let mut log = log(t);
    assert_eq!(log.pop().unwrap(), "poststop stopped");
    assert_eq!(log[3], "startContainer created");
    // The command and the hook after its start run at the same time.
    log[4..].sort();
    assert_eq!(log[4..], ["command", "poststart running"]);
}

fn a_hook_that_fails_ends_the_creation(t: &Sandbox) {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let bundle = Bundle::new(t, kind, "echo command >> /tmp/log").with(|config| {
            config["hooks"] = json!({"poststop": [noting(t, "poststop")]});
            config["hooks"][kind] = json!([failing(kind)]);
        });
        let out = bundle.command("create", &[], "blue").run().exits(1);
        let words = format!("{kind} hook #0 (/usr/bin/sh) failed: exit status 3: no luck");
        out.blames(&words);
        assert_eq!(log(t), ["poststop stopped"], "the hooks of the end run, the command does not");
        std::fs::remove_file(t.path("shared-root/tmp/log")).unwrap();
        assert_nothing_left(t);
    }
}

fn a_hook_of_the_start_that_fails_ends_the_container(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "echo command >> /tmp/log")
        .with(|config| config["hooks"]["startContainer"] = json!([failing("startContainer")]));
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().exits(1).blames("startContainer hook #0 (/bin/sh) failed");
    delete_when_stopped(t, "blue");
    bundle.run("green").run().exits(1).blames("startContainer hook #0 (/bin/sh) failed");
    assert_nothing_left(t);
    assert!(log(t).is_empty());
}

fn hooks_after_the_start_and_the_end_only_warn(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "exit 5").with(|config| {
        config["hooks"]["poststart"] = json!([failing("poststart")]);
        config["hooks"]["poststop"] = json!([failing("poststop"), noting(t, "poststop")]);
    });
    let out = bundle.run("blue").run().exits(5);
    for kind in ["poststart", "poststop"] {
        assert!(out.errors().contains(&format!("{kind} hook #0 (/usr/bin/sh) failed")), "{}", out.story());
    }
    assert_eq!(log(t), ["poststop stopped"]);
    assert_nothing_left(t);
}
