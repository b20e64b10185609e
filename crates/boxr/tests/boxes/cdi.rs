//! Devices by name (Container Device Interface).

use std::os::unix::fs::PermissionsExt;

use boxr_testing::{Need, Sandbox, Test, Tool, test};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(devices_by_name_bring_what_their_files_say, Need::Tool(Tool::Busybox), OVERLAY),
    test!(hooks_of_devices_are_run_and_told, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_is_not_described_is_refused_with_what_is, Need::Tool(Tool::Busybox), OVERLAY),
];

const YAML: &str = r#"
cdiVersion: 0.6.0
kind: vendor.com/class
containerEdits:
  env: ["ALL=yes"]
devices:
- name: one
  containerEdits:
    env: ["ONE=1", "PATH=/bin:/vendor"]
    deviceNodes:
    - path: /dev/vendor0
      hostPath: /dev/zero
    additionalGids: [44]
    mounts:
    - hostPath: LIBS
      containerPath: /vendor
      options: [ro, nosuid, nodev, rbind]
- name: two
  containerEdits:
    env: ["TWO=2"]
"#;

/// The directory of files; the first of one file is its text.
fn described(t: &Sandbox, files: &[(&str, &str)]) -> String {
    let dir = t.path("cdi");
    std::fs::create_dir_all(&dir).unwrap();
    for (name, text) in files {
        std::fs::write(dir.join(name), text).unwrap();
    }
    dir.display().to_string()
}

fn devices_by_name_bring_what_their_files_say(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let libs = t.path("libs");
    std::fs::create_dir(&libs).unwrap();
    std::fs::write(libs.join("lib.so"), "library").unwrap();
    let gpus = r#"{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [
        {"name": "all", "containerEdits": {"env": ["GPU=all"]}}, {"name": "0", "containerEdits": {"env": ["GPU=0"]}},
        {"name": "1", "containerEdits": {"env": ["SECOND=1"]}}]}"#;
    let files = [
        ("vendor.yaml", YAML.replace("LIBS", &libs.display().to_string())),
        ("nvidia.json", gpus.to_owned()),
        ("notes.txt", "no description".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let dirs = described(t, &files);
    t.boxr(["device", "ls"]).env("CDI_SPEC_DIRS", &dirs).run().ok().prints(
        "nvidia.com/gpu=0\nnvidia.com/gpu=1\nnvidia.com/gpu=all\nvendor.com/class=one\nvendor.com/class=two\n",
    );
    let script = "echo $ALL $ONE $TWO; echo $PATH; cat /vendor/lib.so; touch /vendor/x 2>/dev/null || echo ' ro'; \
                  test -c /dev/vendor0 && dd if=/dev/vendor0 bs=4 count=1 2>/dev/null | wc -c; id -G | grep -cw 44";
    let devices = ["--device", "vendor.com/class=one", "--device=vendor.com/class=two"];
    let run = t.run(["-q", "--name", "it", "--network", "none"]).args(devices).args([&name, script]);
    run.env("CDI_SPEC_DIRS", &dirs).run().ok().prints("yes 1 2\n/bin:/vendor\nlibrary ro\n4\n1\n");
    // Looked up at every start, also by another boxr.
    t.boxr(["start", "-a", "it"]).env("CDI_SPEC_DIRS", &dirs).run().ok().shows("yes 1 2");
    for (words, seen) in [("all", "all\n"), ("2", "0 1\n"), ("device=1", "1\n"), ("\"device=0,1\"", "0 1\n")]
    {
        let run = t.run(["-q", "--rm", "--network", "none", "--gpus", words, &name, "echo $GPU $SECOND"]);
        run.env("CDI_SPEC_DIRS", &dirs).run().ok().prints(seen);
    }
    t.remove(["it"]);
    nothing_left(t);
}

fn hooks_of_devices_are_run_and_told(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let told = t.path("told");
    let script = t.file("hook", format!("#!/bin/sh\ncat >{}\n", told.display()));
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let hook = format!(
        r#"{{"cdiVersion": "0.6.0", "kind": "v.com/c", "devices": [{{"name": "a", "containerEdits": {{"hooks": [
            {{"hookName": "createRuntime", "path": "{script}", "args": ["hook"]}}]}}}},
            {{"name": "bad", "containerEdits": {{"hooks": [{{"hookName": "poststop", "path": "{script}"}}]}}}}]}}"#
    );
    let dirs = described(t, &[("v.json", &hook)]);
    let run = t.run(["-q", "--name", "it", "--network", "none", "--device", "v.com/c=a", &name, "echo ran"]);
    run.env("CDI_SPEC_DIRS", &dirs).run().ok().prints("ran\n");
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(&told).unwrap()).unwrap();
    let bundle = state["bundle"].as_str().unwrap();
    let config = std::fs::read(std::path::Path::new(bundle).join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert!(state["pid"].as_i64().unwrap() > 1 && config["root"]["path"].is_string(), "{state}");
    let run = t.run(["-q", "--rm", "--network", "none", "--device", "v.com/c=bad", &name, "true"]);
    run.env("CDI_SPEC_DIRS", &dirs).run().exits(125).blames("poststop hooks are not for containers");
    t.remove(["it"]);
    nothing_left(t);
}

fn what_is_not_described_is_refused_with_what_is(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    let good =
        r#"{"cdiVersion": "0.6.0", "kind": "v.com/c", "devices": [{"name": "a", "containerEdits": {}}]}"#;
    let files =
        [("good.json", good), ("newer.json", &good.replace("0.6.0", "7.0.0")), ("broken.yaml", "kind: [")];
    let dirs = described(t, &files);
    let pipe = t.path("cdi").join("pipe.json");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let run = |device: &str| {
        t.run(["-q", "--rm", "--network", "none", "--device", device, &name, "true"])
            .env("CDI_SPEC_DIRS", &dirs)
            .run()
    };
    run("v.com/c=b")
        .exits(125)
        .blames("no device v.com/c=b is described")
        .blames(&format!("looked for in {dirs}"))
        .blames("described are v.com/c=a")
        .blames("newer.json: cdiVersion 7.0.0")
        .blames("pipe.json: not a file")
        .blames("broken.yaml");
    run("v.com/c=a").ok();
    std::fs::write(t.path("cdi").join("again.json"), good).unwrap();
    run("v.com/c=a").exits(125).blames("is described twice");
    t.run(["--gpus", "some", &name]).run().exits(125).blames("neither all nor a number");
    let none = t.run(["-q", "--rm", "--network", "none", "--gpus", "all", &name, "true"]);
    none.env("CDI_SPEC_DIRS", "/no/such").run().exits(125).blames("no device is described there");
    t.run(["--gpus", "all", "--", "true"]).run().exits(125).blames("needs a container of an image");
    nothing_left(t);
}
