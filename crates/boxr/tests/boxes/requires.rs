//! Boxes that require others (`--requires`).

use boxr_testing::{Need, Sandbox, Test, Tool, test};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(what_is_required_comes_first_and_goes_last),
    test!(who_is_not_there_is_not_required),
    test!(a_container_brings_up_what_it_requires, Need::Tool(Tool::Busybox), OVERLAY),
];

fn create(t: &Sandbox, name: &str, requires: &str) {
    let flags: &[&str] = if requires.is_empty() { &[] } else { &["--requires", requires] };
    t.boxr(["create", "--name", name]).args(flags).args(["--", "sleep", "1000"]).run().ok();
}

fn states(t: &Sandbox) -> String {
    t.boxr(["ps", "-a", "--format", "{{.Names}} {{.State}}"]).run().ok().text()
}

fn what_is_required_comes_first_and_goes_last(t: &Sandbox) {
    create(t, "a", "");
    create(t, "b", "a");
    create(t, "c", "a,b");
    let ids = t.boxr(["inspect", "-f", "{{.Id}}", "a", "b"]).run().ok().text();
    let known = t.boxr(["inspect", "-f", "{{join .Dependencies \"\\n\"}}", "c"]).run().ok().text();
    assert_eq!(known, ids, "by id, whatever they are called later");
    t.boxr(["rename", "a", "first"]).run().ok();
    t.boxr(["start", "c"]).run().ok().prints("c\n");
    assert_eq!(states(t), "c running\nb running\nfirst running\n");
    // What runs is left as it is; what does not is started again.
    let pid = t.boxr(["inspect", "-f", "{{.State.Pid}}", "b"]).run().ok().word();
    t.boxr(["stop", "-t", "0", "first", "c"]).run().ok().prints("c\nfirst\n");
    t.boxr(["restart", "-t", "0", "c"]).run().ok();
    assert_eq!(states(t), "c running\nb running\nfirst running\n");
    t.boxr(["inspect", "-f", "{{.State.Pid}}", "b"]).run().ok().prints(&format!("{pid}\n"));
    // Nothing goes before what requires it, not even by force.
    let refused = t.boxr(["rm", "-f", "first"]).run();
    refused.exits(1).blames("it is required by ").blames("boxr rm --depend first");
    t.boxr(["stop", "-t", "0", "--all"]).run().ok();
    t.boxr(["rm", "b"]).run().exits(1).blames("it is required by c");
    let c = t.boxr(["inspect", "-f", "{{.Id}}", "c"]).run().ok().word();
    t.boxr(["rm", "--depend", "b"]).run().ok().prints(&format!("{c}\nb\n"));
    create(t, "b", "first");
    t.boxr(["prune", "-f"]).run().ok();
    assert_eq!(states(t), "", "in their order");
    nothing_left(t);
}

fn who_is_not_there_is_not_required(t: &Sandbox) {
    let create = ["create", "--name", "b", "--requires", "nobody", "--", "true"];
    t.boxr(create).run().exits(125).blames("--requires nobody: no such box");
    t.run(["--requires", "nobody", "--", "true"]).run().exits(125).blames("no such box");
    t.run(["--requires", "a,,b", "--", "true"]).run().exits(125).blames("a name is missing");
    // No name that could begin an id. Required, but of those that go with their end.
    t.boxr(["run", "-d", "--rm", "--name", "one", "--", "sleep", "1000"]).run().ok();
    t.boxr(["create", "--name", "b", "--requires", "one", "--", "true"]).run().ok();
    t.boxr(["stop", "-t", "0", "one"]).run().ok();
    boxr_testing::wait_until("it has gone", || !t.boxr(["inspect", "one"]).run().status.success());
    t.boxr(["start", "b"]).run().exits(1).blames("no such box");
    t.boxr(["rm", "b"]).run().ok();
    // One that does not start keeps others from it, and is what the error is about.
    t.boxr(["create", "--name", "one", "--", "/no/such/program"]).run().ok();
    t.run(["--rm", "--requires", "one", "--", "true"]).run().exits(127).blames("/no/such/program");
    t.remove(["one"]);
    nothing_left(t);
}

fn a_container_brings_up_what_it_requires(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    t.boxr(["create", "-q", "--name", "db", "--network", "none", &name, "sleep", "1000"]).run().ok();
    let file = t.file("box.toml", "requires = [\"db\"]\nargs = [\"echo\", \"hi\"]\n");
    let words = ["--rm", "--network", "none", "-f", &file, &name];
    t.run(words).run().ok().prints("hi\n");
    assert_eq!(states(t), "db running\n");
    t.run(["-d", "--name", "web", "--network", "container:db", "--requires", "db", &name, "sleep", "1000"])
        .run()
        .ok();
    t.boxr(["rm", "-f", "-t", "0", "--all"]).run().ok();
    nothing_left(t);
}
