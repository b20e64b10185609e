//! `boxr run --record`, `boxr profile`, and runs under such profiles (issue 7, point 4).

use boxr_testing::{Need, Sandbox, Test, test, wait_until};
use serde_json::Value;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_record_has_files_programs_addresses_and_calls),
    test!(what_was_recorded_runs_under_its_profile_and_nothing_else),
    test!(openings_of_a_sandbox_come_of_a_record, Need::UserNamespaces),
    #[cfg(target_arch = "x86_64")]
    test!(messages_and_names_are_recorded, Need::UserNamespaces),
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

/// What was recorded outside runs in a sandbox under its profile, by its name and as it is; the rest is refused, and said.
fn openings_of_a_sandbox_come_of_a_record(t: &Sandbox) {
    let home = &t.layout().home;
    for dir in ["work", "shared", "other"] {
        std::fs::create_dir_all(t.path(dir)).unwrap();
    }
    for (path, text) in [("shared/in", "in\n"), ("other/in", "other\n")] {
        std::fs::write(t.path(path), text).unwrap();
    }
    std::fs::write(home.join("settings"), "set\n").unwrap();
    std::fs::write(home.join("unread"), "unread\n").unwrap();
    let (shared, other) = (t.path("shared").canonicalize().unwrap(), t.path("other").canonicalize().unwrap());
    let script = format!(
        "cat ~/settings {0}/in; mkdir -p ~/made; echo x >~/made/file; echo y >{0}/out; echo z >~/note; echo t >$$.tmp; rm $$.tmp; \
         cat /etc/passwd >/dev/null; cat ~/made/file ~/note",
        shared.display()
    );
    let record = t.path("record.json");
    let outside =
        t.run(["--record", record.to_str().unwrap(), "--", "sh", "-c", &script]).cwd(t.path("work"));
    outside.run().ok().prints("set\nin\nx\nz\n");
    let text = t.boxr(["profile", "--sandbox", record.to_str().unwrap()]).run().ok().quiet().text();
    let places = home.join(".config/boxr/sandbox");
    std::fs::create_dir_all(&places).unwrap();
    std::fs::write(places.join("made.toml"), &text).unwrap();
    for part in
        [format!("{:?}", home.join("made")), format!("{:?}", home.join("note")), format!("{shared:?}")]
    {
        assert!(text.contains(&part), "{part}: {text}");
    }
    let alone = format!("\n    {home:?},");
    assert!(
        !text.contains("/etc/passwd:ro") && !text.contains(&alone) && text.starts_with("# Of: sh -c"),
        "{text}"
    );
    let inside = |script: &str| {
        t.run(["--sandbox=made", "--explain-refusals", "--", "sh", "-c", script]).cwd(t.path("work")).run()
    };
    inside(&script).ok().prints("set\nin\nx\nz\n").quiet();
    let out = inside(&format!("cat ~/unread {}/in", other.display())).exits(1);
    for path in [home.canonicalize().unwrap().join("unread"), other.join("in")] {
        let line = format!("1 read refused of {0}: --allow {0}:ro", path.display());
        assert!(out.errors().contains(&line), "{line}: {}", out.story());
    }
}

/// `sendmsg` and `sendmmsg`, which speak to addresses that no other call names, and questions to a name server.
#[cfg(target_arch = "x86_64")]
fn messages_and_names_are_recorded(t: &Sandbox) {
    let perl = r#"use Socket; socket(S, AF_INET, SOCK_DGRAM, 0); $b = "hi";
        sub address { pack("S n a4 x8", 2, $_[0], inet_aton("127.0.0.1")) }
        sub header { pack("P L x4 P Q Q Q l x4", $_[0], 16, $_[1], 1, 0, 0, 0) }
        $i = pack("P Q", $b, 2); $one = address(7001); $h = header($one, $i); syscall(46, fileno(S), $h, 0);
        $two = address(7002); $three = address(7003);
        $m = header($two, $i) . pack("L x4", 0) . header($three, $i) . pack("L x4", 0); syscall(307, fileno(S), $m, 2, 0);
        $q = "\1\2\1\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1"; send(S, $q, 0, address(53));
        socket(N, AF_INET, SOCK_DGRAM, 0); connect(N, address(53)); $q =~ s/org/net/; send(N, $q, 0);
        socket(U, AF_UNIX, SOCK_STREAM, 0); connect(U, sockaddr_un("/no/such/socket"));"#;
    // In a network of its own nobody answers, and nobody is asked.
    let words = ["--network", "none", "--record", "record.json", "--", "perl", "-e", perl];
    t.run(words).cwd(t.path("")).run().ok();
    let record: Value =
        serde_json::from_str(&std::fs::read_to_string(t.path("record.json")).unwrap()).unwrap();
    for port in ["7001", "7002", "7003", "53"] {
        assert!(has(&record, "contacted", &format!("127.0.0.1:{port}")), "{port}: {record:#}");
    }
    assert!(has(&record, "asked", "example.org") && has(&record, "asked", "example.net"), "{record:#}");
    assert!(!has(&record, "contacted", "/no/such/socket"), "it was not there: {record:#}");
    let text = t.boxr(["profile", "--sandbox", "record.json"]).cwd(t.path("")).run().ok().text();
    assert!(text.contains("\"example.org:7001\"") && !text.contains("127.0.0.1:53"), "{text}");
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
