//! `boxr run --record`, `boxr profile`, and runs under such profiles (issue 7, point 4).

use boxr_testing::{Sandbox, Test, test, wait_until};
use serde_json::Value;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_record_has_files_programs_addresses_and_calls),
    test!(what_was_recorded_runs_under_its_profile_and_nothing_else),
    test!(openings_of_a_sandbox_come_of_a_record),
    test!(boxes_in_the_background_are_recorded),
    test!(a_record_of_what_is_refused_and_a_try),
    test!(wrong_records_and_profiles),
];

const SCRIPT: &str = "cat in >out; mkdir dir; mv out dir/moved; rm in; cat none 2>/dev/null; cd dir; cat ./../dir/moved; \
                      bash -c ': </dev/tcp/127.0.0.1/1' 2>/dev/null; exit 3";

fn recorded(t: &Sandbox, script: &str) -> (boxr_testing::Output, Value) {
    let out = t.run(["--record", "record.json", "--", "sh", "-c", script]).cwd(t.path("")).run();
    let text = std::fs::read_to_string(t.path("record.json")).unwrap();
    (out, serde_json::from_str(&text).unwrap())
}

fn has(record: &Value, key: &str, word: &str) -> bool {
    record[key].as_array().unwrap().iter().any(|found| found == word)
}

fn a_record_has_files_programs_addresses_and_calls(t: &Sandbox) {
    t.file("in", "text\n");
    let (out, record) = recorded(t, SCRIPT);
    out.exits(3).prints("text\n");
    let path = |name: &str| t.path(name).display().to_string();
    for (key, names) in
        [("read", vec!["in", "dir/moved"]), ("written", vec!["in", "out", "dir", "dir/moved"])]
    {
        for name in names {
            assert!(has(&record, key, &path(name)), "{key} {name}: {record:#}");
        }
    }
    assert!(!has(&record, "read", &path("none")), "what is not there was not read: {record:#}");
    let run: Vec<&str> = record["run"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(run.iter().any(|path| path.ends_with("/cat")), "{run:?}");
    assert!(run.iter().any(|path| path.ends_with("/mkdir")), "{run:?}");
    assert!(has(&record, "contacted", "127.0.0.1:1"), "{record:#}");
    for call in ["openat", "execve", "connect", "socket"] {
        assert!(has(&record, "calls", call), "{call}: {record:#}");
    }
    assert!(has(&record, "unwatched", "read") && !has(&record, "calls", "mount"));
}

fn what_was_recorded_runs_under_its_profile_and_nothing_else(t: &Sandbox) {
    let script = "echo a >file; cat file; rm file";
    recorded(t, script).0.ok();
    let profile = t.boxr(["profile", "record.json"]).cwd(t.path("")).run().ok().quiet().text();
    let parsed: Value = serde_json::from_str(&profile).unwrap();
    assert_eq!(parsed["defaultAction"], "SCMP_ACT_ERRNO");
    let file = t.file("least.json", &profile);
    let under = |script: &str| {
        let option = format!("seccomp={file}");
        t.run(["--security-opt", &option, "--", "sh", "-c", script]).cwd(t.path("")).run()
    };
    under(script).ok().quiet().prints("a\n");
    let refused = under("mkdir new; echo still here").ok();
    let said = refused.errors();
    assert!(said.contains("Operation not permitted"), "{said}");
    assert!(said.contains("the seccomp profile refused") && said.contains("mkdir (1)"), "{said}");
    refused.prints("still here\n");
    assert!(!t.path("new").exists());
    // By numbers that no name of this machine has, too.
    assert!(!profile.contains("\"mkdir\""), "{profile}");
}

fn openings_of_a_sandbox_come_of_a_record(t: &Sandbox) {
    let home = &t.layout().home;
    std::fs::write(home.join("settings"), "x").unwrap();
    recorded(
        t,
        "cat ~/settings >/dev/null; mkdir -p ~/made; echo x >~/made/file; cat /etc/passwd >/dev/null",
    )
    .0
    .ok();
    let text = t.boxr(["profile", "--sandbox", "record.json"]).cwd(t.path("")).run().ok().quiet().text();
    if !home.starts_with("/tmp") {
        assert!(text.contains(&format!("{:?}", home.join("made"))), "{text}");
    }
    assert!(text.contains("\nallow = [") && !text.contains("/etc/passwd:ro"), "{text}");
    assert!(text.starts_with("# Of: sh -c"), "{text}");
}

fn boxes_in_the_background_are_recorded(t: &Sandbox) {
    let file = t.path("background.json");
    let words = ["-d", "--name", "it", "--record", file.to_str().unwrap(), "--", "sh", "-c", "mkdir made"];
    t.run(words).cwd(t.path("")).run().ok();
    t.boxr(["wait", "it"]).run().ok();
    wait_until("the record is there", || file.exists());
    let record: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(has(&record, "written", &t.path("made").display().to_string()), "{record:#}");
    t.boxr(["profile", "it"]).cwd(t.path("")).run().ok().shows("\"mkdir\"");
    // Later starts are not recorded, and not held up by that.
    std::fs::remove_file(&file).unwrap();
    t.boxr(["start", "it"]).run().ok();
    t.boxr(["wait", "it"]).run().ok().prints("1\n");
    assert!(!file.exists());
    t.boxr(["rm", "it"]).run().ok();
}

fn a_record_of_what_is_refused_and_a_try(t: &Sandbox) {
    recorded(t, "echo a").0.ok();
    let profile = t.boxr(["profile", "record.json"]).cwd(t.path("")).run().ok().text();
    let option = format!("seccomp={}", t.file("least.json", profile));
    let words = ["--security-opt", &option, "--record", "second.json", "--", "sh", "-c", "mkdir x; echo b"];
    t.run(words).cwd(t.path("")).run().ok().prints("b\n").blames("mkdir (1)");
    let second = std::fs::read_to_string(t.path("second.json")).unwrap();
    assert!(second.contains("openat") && !second.contains("\"mkdir\""), "{second}");
    if super::containers::OVERLAY.missing().is_none() {
        let words = ["try", "--drop", "--record", "third.json", "--", "sh", "-c", "mkdir x"];
        t.boxr(words).cwd(t.path("")).run().ok();
        assert!(std::fs::read_to_string(t.path("third.json")).unwrap().contains("\"mkdir\""));
        assert!(!t.path("x").exists());
    }
}

fn wrong_records_and_profiles(t: &Sandbox) {
    t.run(["--record", "no/such/dir/file", "--", "true"]).run().exits(125).blames("no/such/dir/file");
    t.run(["--record", "unmade.json", "--", "/no/such/program"]).cwd(t.path("")).run().exits(127);
    t.boxr(["profile", "none"]).cwd(t.path("")).run().exits(1).blames("no record none");
    let garbage = t.file("garbage.json", "{\"format\":");
    t.boxr(["profile", &garbage]).run().exits(1).blames("garbage.json");
    let other = t.file("other.json", "{\"calls\":[]}");
    t.boxr(["profile", &other]).run().exits(1).blames("not a record");
    let option = format!("seccomp={garbage}");
    t.run(["--security-opt", &option, "--", "true"]).run().exits(125).blames("garbage.json");
    let left: Vec<_> =
        std::fs::read_dir(&t.layout().state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("watch-")), "{left:?}");
}
