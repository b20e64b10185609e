//! What docker's and podman's people type about networks.

use boxr_testing::lab::Lab;
use boxr_testing::{Sandbox, Test, test};

use super::{NET, ROOT, assert_no_network_left};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(networks_are_chosen_by_filters, ROOT, NET),
    test!(networks_are_pruned_by_filters, ROOT, NET),
    test!(words_without_a_meaning_here_are_taken, ROOT, NET),
    test!(a_network_that_is_not_there_is_named_with_what_helps, ROOT, NET),
    test!(who_has_a_network_or_an_address_goes_by_a_name, ROOT, NET),
    test!(a_way_that_is_no_network_goes_with_none, ROOT, NET),
];

fn networks_are_chosen_by_filters(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["network", "create", "--label", "tier=front", "--label", "team=a", "blue"]).run().ok();
    lab.boxr(t, ["network", "create", "--label", "tier=front", "red"]).run().ok();
    lab.boxr(t, ["create", "--name", "it", "--network", "red", "--", "true"]).run().ok();
    for (filters, seen) in [
        (&["type=custom"][..], "blue red"),
        (&["type=builtin"], "bridge host none"),
        (&["dangling=true"], "blue"),
        (&["dangling=false"], "bridge host none red"),
        (&["scope=local", "name=e"], "blue bridge none red"),
        (&["scope=swarm"], ""),
        (&["label=tier=front", "label=team"], "blue"),
        (&["label!=team", "type=custom"], "red"),
        (&["until=1h", "type=custom"], ""),
        (&["until=2100-01-01", "type=custom"], "blue red"),
    ] {
        let flags = filters.iter().flat_map(|filter| ["--filter", filter]);
        let list = lab.boxr(t, ["network", "ls", "--format", "{{.Name}}"]).args(flags).run().ok().lines();
        assert_eq!(list.join(" "), seen, "{filters:?}");
    }
    lab.boxr(t, ["network", "ls", "--filter", "colour=blue"]).run().exits(125).blames("type=builtin|custom");
    lab.boxr(t, ["network", "ls", "--filter", "type=odd"]).run().exits(125).blames("no such filter");
    let rows = lab.boxr(t, ["network", "ls", "--noheading", "-f", "name=blue"]).run().ok().lines();
    assert!(rows.len() == 1 && rows[0].contains("blue"), "{rows:?}");
    lab.boxr(t, ["rm", "it"]).run().ok();
    lab.boxr(t, ["network", "rm", "blue", "red"]).run().ok();
    lab.end(t);
}

fn networks_are_pruned_by_filters(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["network", "create", "--label", "keep", "blue"]).run().ok();
    lab.boxr(t, ["network", "create", "red"]).run().ok();
    let prune = |filter: &str| lab.boxr(t, ["network", "prune", "-f", "--filter", filter]).run();
    prune("until=1h").ok().prints("");
    prune("label!=keep").ok().prints("Deleted Networks:\nred\n");
    prune("name=blue").exits(125).blames("no such filter");
    prune("label=keep").ok().prints("Deleted Networks:\nblue\n");
    lab.end(t);
}

fn words_without_a_meaning_here_are_taken(t: &Sandbox) {
    let lab = Lab::new();
    let create = ["network", "create", "--attachable", "--scope", "local", "--ipam-driver", "default"];
    let id = lab.boxr(t, create).arg("blue").run().ok().word();
    lab.boxr(t, ["network", "create", "--ignore", "blue"]).run().ok().prints(&format!("{id}\n"));
    lab.boxr(t, ["network", "create", "blue"]).run().exits(1).blames("exists already");
    for (flag, word) in [("--scope", "swarm"), ("--ipam-driver", "dhcp")] {
        lab.boxr(t, ["network", "create", flag, word, "red"]).run().exits(125).blames(word);
    }
    for name in ["blue", &id, &id[..12], "bridge"] {
        lab.boxr(t, ["network", "exists", name]).run().ok();
    }
    lab.boxr(t, ["network", "exists", "red"]).run().exits(1).quiet();
    lab.boxr(t, ["create", "--name", "it", "--network", "blue", "--", "true"]).run().ok();
    for args in [&["--all"][..], &["it"], &[]] {
        lab.boxr(t, ["network", "reload"]).args(args).run().ok();
    }
    lab.boxr(t, ["network", "reload", "nobody"]).run().blames("no such box: nobody");
    lab.boxr(t, ["rm", "it"]).run().ok();
    lab.boxr(t, ["network", "rm", "blue"]).run().ok();
    lab.end(t);
}

fn a_network_that_is_not_there_is_named_with_what_helps(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["create", "--name", "it", "--network", "bridge", "--", "true"]).run().ok();
    for args in [
        &["network", "rm", "blue"][..],
        &["network", "inspect", "blue"],
        &["network", "connect", "blue", "it"],
        &["network", "disconnect", "blue", "it"],
    ] {
        let told = lab.boxr(t, args).run().exits(1).blames("no network named blue").errors();
        // Who takes something away does not want to make it, and no box of that name is meant.
        assert!(!told.contains("create") && !told.contains("container:"), "{args:?}: {told}");
    }
    let run = lab.boxr(t, ["run", "--network", "blue", "--", "true"]).run().exits(125);
    run.blames("boxr network create blue").blames("container:blue");
    lab.boxr(t, ["rm", "it"]).run().ok();
    lab.end(t);
}

fn who_has_a_network_or_an_address_goes_by_a_name(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["network", "create", "--subnet", "10.5.0.0/24", "blue"]).run().ok();
    let run = ["run", "-d", "--network", "blue", "--ip", "10.5.0.9"];
    lab.boxr(t, run).args(["--name", "first", "--", "sleep", "1000"]).run().ok();
    lab.boxr(t, ["network", "rm", "blue"]).run().exits(1).blames("blue is in use by first");
    lab.boxr(t, run).args(["--", "true"]).run().exits(125).blames("10.5.0.9 is in use by container first");
    // One that is said twice is nobody else's.
    let twice = ["run", "-p", "8080:80", "-p", "127.0.0.1:8080:81", "--", "true"];
    lab.boxr(t, twice).run().exits(125).blames("leads into the container already");
    lab.boxr(t, ["rm", "-f", "first"]).run().ok();
    lab.boxr(t, ["network", "rm", "blue"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}

fn a_way_that_is_no_network_goes_with_none(t: &Sandbox) {
    let lab = Lab::new();
    lab.boxr(t, ["run", "-d", "--name", "it", "--", "sleep", "1000"]).run().ok();
    for way in ["host", "none", "container:it"] {
        for flags in [["bridge", way], [way, "bridge"]] {
            let flags = flags.iter().flat_map(|network| ["--network", network]);
            lab.boxr(t, ["run"])
                .args(flags)
                .args(["--", "true"])
                .run()
                .exits(125)
                .blames("beside another network");
        }
    }
    lab.boxr(t, ["rm", "-f", "it"]).run().ok();
    assert_no_network_left(t, &lab);
    lab.end(t);
}
