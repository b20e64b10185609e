//! Names and ids (issue 3: "a name is free again the moment its box is removed").

use boxr_testing::{Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_name_in_use_is_refused_and_says_by_whom),
    test!(a_name_is_free_when_its_box_is_gone),
    test!(names_are_generated),
    test!(senseless_names_are_refused),
    test!(rename_gives_another_name),
    test!(unknown_and_ambiguous_names),
    test!(a_mistyped_name_gets_a_suggestion),
    test!(one_name_for_many_at_once; deadline 120),
];

fn a_name_in_use_is_refused_and_says_by_whom(t: &Sandbox) {
    let id = t.detached("taken", ["--", "sleep", "1000"]);
    let out = t.run(["--name", "taken", "--", "true"]).run().exits(125);
    out.blames("taken").blames(&id[..12]);
    t.boxr(["ps", "-q"]).run().ok().prints(&format!("{}\n", &id[..12]));
    t.remove(["taken"]);
    t.assert_nothing_left();
}

fn a_name_is_free_when_its_box_is_gone(t: &Sandbox) {
    for _ in 0..3 {
        t.run(["--name", "again", "--", "true"]).run().ok();
        t.detached("again", ["--", "sleep", "1000"]);
        t.remove(["again"]);
    }
    t.run(["--name", "again", "--", "no-such-command"]).run().exits(127);
    t.run(["--name", "again", "--", "true"]).run().ok();
    t.assert_nothing_left();
}

fn names_are_generated(t: &Sandbox) {
    let ids: Vec<_> = (0..3).map(|_| t.run(["-d", "--", "sleep", "1000"]).run().ok().word()).collect();
    let mut names = t.boxr(["ps", "--format", "{{.Names}}"]).run().ok().lines();
    names.sort();
    names.dedup();
    assert!(names.len() == 3 && names.iter().all(|name| !name.is_empty()), "{names:?}");
    // A generated name is what its box calls its host.
    let name = t.boxr(["inspect", "-f", "{{.Name}}", &ids[0]]).run().ok().word();
    let host = t.boxr(["exec", &ids[0], "uname", "-n"]).run().ok().word();
    assert_eq!(name.trim_start_matches('/'), host);
    t.remove(&ids);
}

fn senseless_names_are_refused(t: &Sandbox) {
    let long = "x".repeat(300);
    for name in ["", "a/b", "..", ".hidden", "-dash", "a b", "a\nb", "ü", &long] {
        let out = t.run(["--name", name, "--", "true"]).run().exits(125);
        assert!(out.errors().contains("name"), "{}", out.story());
        assert!(out.errors().len() < 1000, "an error is not as long as what it complains of");
    }
    t.assert_nothing_left();
}

fn rename_gives_another_name(t: &Sandbox) {
    let id = t.detached("old", ["--", "sleep", "1000"]);
    t.detached("other", ["--", "sleep", "1000"]);
    t.boxr(["rename", "old", "new"]).run().ok();
    t.boxr(["inspect", "-f", "{{.Id}}", "new"]).run().ok().prints(&format!("{id}\n"));
    t.boxr(["inspect", "old"]).run().exits(1).blames("old");
    t.boxr(["rename", "new", "other"]).run().exits(1).blames("other");
    t.boxr(["rename", "absent", "x"]).run().exits(1).blames("absent");
    t.boxr(["rename", "new", "a/b"]).run().exits(1).blames("a/b");
    t.run(["--name", "old", "--", "true"]).run().ok();
    t.remove(["new", "other"]);
    t.assert_nothing_left();
}

fn unknown_and_ambiguous_names(t: &Sandbox) {
    for command in ["stop", "kill", "logs", "wait", "top", "start", "restart", "attach", "rm"] {
        t.boxr([command, "absent"]).run().exits(1).blames("absent").prints("");
    }
    // An array of what was found, as docker prints it.
    t.boxr(["inspect", "absent"]).run().exits(1).blames("absent").prints("[]\n");
    t.boxr(["exec", "absent", "true"]).run().exits(125).blames("absent");
    // Two of seventeen ids begin with the same digit.
    let ids: Vec<_> = (0..17).map(|_| t.boxr(["create", "--", "true"]).run().ok().word()).collect();
    let first = ids.iter().find(|id| ids.iter().filter(|other| other[..1] == id[..1]).count() > 1).unwrap();
    t.boxr(["inspect", &first[..1]]).run().exits(1).blames(&first[..1]);
    t.boxr(["rm", "--force", "--all"]).run().ok();
    t.assert_nothing_left();
}

fn a_mistyped_name_gets_a_suggestion(t: &Sandbox) {
    t.detached("webserver", ["--", "sleep", "1000"]);
    t.boxr(["stop", "webservr"]).run().exits(1).blames("webservr").blames("webserver");
    t.remove(["webserver"]);
}

fn one_name_for_many_at_once(t: &Sandbox) {
    let starts: Vec<_> =
        (0..8).map(|_| t.run(["-d", "--name", "same", "--", "sleep", "1000"]).spawn()).collect();
    let outputs: Vec<_> = starts.into_iter().map(|start| start.finish()).collect();
    let won = outputs.iter().filter(|out| out.status.success()).count();
    assert_eq!(won, 1, "{}", outputs.iter().map(|out| out.story()).collect::<String>());
    assert!(outputs.iter().all(|out| matches!(out.status.code(), Some(0 | 125))));
    assert_eq!(t.boxr(["ps", "-aq"]).run().ok().lines().len(), 1);
    t.remove(["same"]);
    t.assert_nothing_left();
}
