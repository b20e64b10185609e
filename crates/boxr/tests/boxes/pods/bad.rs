//! What cannot be, each with a clear word, and nothing left.

use boxr_testing::{Need, Sandbox, Test, test};

use super::{create, member, remove, status};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(senseless_pods_are_named),
    test!(what_a_member_cannot_have_is_named, Need::UserNamespaces),
    test!(a_pod_in_use_stays, Need::UserNamespaces),
    test!(a_failed_member_leaves_nothing_of_a_new_pod, Need::UserNamespaces),
    test!(names_are_one_space, Need::UserNamespaces),
];

fn senseless_pods_are_named(t: &Sandbox) {
    for (words, told) in [
        (&["create", "--share", "foo"][..], "foo is no namespace that a pod can share"),
        (&["create", "--share", "net,user"], "user is no namespace"),
        (&["create", "--infra=false", "--share", "net"], "nobody would keep the namespaces"),
        (&["create", "--infra=perhaps"], "true or false"),
        (&["create", "--exit-policy", "never"], "continue or stop"),
        (&["create", "--name", "a/b"], "a/b"),
        (&["create", "--name", "a", "b"], "two names"),
        (&["create", "--replace"], "--replace needs --name"),
        (&["create", "--share", "ipc", "--publish", "80"], "--publish needs --share net"),
        (&["create", "--share", "net", "--hostname", "x"], "--hostname needs --share uts"),
        (&["create", "--network", "host", "-p", "80"], "no network of boxr's"),
        (&["create", "--network", "container:x"], "a pod has a namespace of its own"),
        (&["create", "--memory", "much"], "--memory"),
        (&["create", "--frob"], "unknown flag --frob"),
        (&["inspect", "none"], "no such pod: none"),
        (&["start", "none"], "no such pod: none"),
        (&["stop", "none"], "no such pod: none"),
        (&["kill", "none"], "no such pod: none"),
        (&["top", "none"], "no such pod: none"),
        (&["logs", "none"], "no such pod: none"),
        (&["stats", "--no-stream", "none"], "no such pod: none"),
        (&["ps", "--filter", "colour=red"], "no such filter"),
        (&["ps", "--sort", "weight"], "created, id, name"),
        (&["frobnicate"], "unknown command pod frobnicate"),
    ] {
        t.boxr(["pod"]).args(words).run().exits(125).prints("").blames(told);
    }
    t.boxr(["pod", "exists", "none"]).run().exits(1).prints("").quiet();
    t.boxr(["pod", "rm", "none"]).run().exits(1).blames("no such pod: none");
    t.boxr(["pod", "rm", "--ignore", "none"]).run().ok();
    t.run(["--pod", "none", "--", "true"]).run().exits(125).blames("no such pod: none");
    t.assert_nothing_left();
}

fn what_a_member_cannot_have_is_named(t: &Sandbox) {
    create(t, "web", &[]);
    let of_pod = "networks and ports belong to the pod";
    for (flags, told) in [
        (&["-p", "80:80"][..], of_pod),
        (&["--network", "host"], of_pod),
        (&["--network", "container:x"], of_pod),
        (&["--ip", "10.0.0.1"], of_pod),
        (&["--hostname", "x"], "it would change the name of another"),
        (&["--share", "x"], "whose namespaces the box joins"),
        (&["--pod-id-file", "/nowhere"], "cannot both be"),
    ] {
        t.run(["--pod", "web"]).args(flags).args(["--", "true"]).run().exits(125).blames(told);
    }
    // What is said of a namespace that is not the network counts.
    let own =
        t.run(["--pod", "web", "--ipc", "new", "--", "readlink", "/proc/self/ns/ipc"]).run().ok().text();
    let shared = t.run(["--pod", "web", "--", "readlink", "/proc/self/ns/ipc"]).run().ok().text();
    assert_ne!(own, shared);
    remove(t, "web");
}

fn a_pod_in_use_stays(t: &Sandbox) {
    create(t, "web", &[]);
    member(t, "web", "one");
    t.boxr(["pod", "rm", "web"]).run().exits(125).blames("members that run: one").blames("boxr pod stop web");
    assert_eq!(status(t, "web"), "Running");
    // Members that have ended go with it.
    t.boxr(["kill", "one"]).run().ok();
    t.boxr(["pod", "rm", "web"]).run().ok();
    t.assert_nothing_left();
    // One that is made for a pod which is gone does not start.
    create(t, "gone", &[]);
    t.boxr(["pod", "start", "gone"]).run().ok();
    t.boxr(["pod", "rm", "gone"]).run().ok();
    t.assert_nothing_left();
    t.boxr(["pod", "create", "--infra=false", "bare"]).run().ok();
    t.boxr(["pod", "start", "bare"]).run().exits(125).blames("no member and no infra");
    remove(t, "bare");
}

fn a_failed_member_leaves_nothing_of_a_new_pod(t: &Sandbox) {
    t.run(["--pod", "new:web", "--network", "none", "--", "/no/such/program"]).run().exits(127);
    t.assert_nothing_left();
    t.run(["-d", "--pod", "new:web", "--network", "none", "--", "/no/such/program"]).run().exits(127);
    t.assert_nothing_left();
    t.run(["--pod", "new:web", "--network", "none", "--umask", "9", "--", "true"]).run().exits(125);
    t.boxr(["pod", "exists", "web"]).run().exits(1);
    t.run(["--dry-run", "--pod", "new:web", "--", "true"]).run().exits(125).blames("makes no pod");
    t.run(["-d", "--pod", "new:web", "--network", "none", "--name", "one", "--", "sleep", "1000"]).run().ok();
    assert_eq!(status(t, "web"), "Running");
    remove(t, "web");
}

fn names_are_one_space(t: &Sandbox) {
    create(t, "web", &[]);
    t.run(["--name", "web", "--", "true"]).run().exits(125).blames("in use by pod");
    t.boxr(["pod", "create", "web"]).run().exits(125).blames("in use by pod");
    member(t, "web", "one");
    t.boxr(["pod", "create", "one"]).run().exits(125).blames("in use by box");
    t.boxr(["stop", "web"]).run().exits(1).blames("web is a pod, not a box");
    let joins = ["--network", "container:web", "--", "true"];
    t.run(joins).run().exits(125).blames("web is a pod, not a box").blames("--pod web");
    t.boxr(["rename", "one", "web"]).run().exits(1).blames("in use by pod");
    t.boxr(["pod", "create", "--replace", "--name", "web", "--network", "none"]).run().ok();
    t.boxr(["ps", "-aq"]).run().ok().prints("");
    let file = t.path("id");
    let file = file.to_str().unwrap();
    let id = create(t, "db", &["--pod-id-file", file]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), id);
    t.run(["--pod-id-file", file, "--", "hostname"]).run().ok().prints("db\n");
    t.boxr(["pod", "rm", "-f", "--pod-id-file", file, "web"]).run().ok();
    t.assert_nothing_left();
}
