//! What boxr keeps on disk, how much that is, and what of it can go.

use boxr_testing::images::{Image, Layer, Packing, Server};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test};

use crate::containers::{OVERLAY, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(sizes_are_those_of_du, Need::Tool(Tool::Busybox), OVERLAY),
    test!(shared_layers_count_once),
    test!(orphans_are_found_explained_and_removed),
    test!(everything_that_nobody_uses_goes, Need::Tool(Tool::Busybox), OVERLAY),
    test!(images_are_pruned_by_age_and_label),
];

/// What du(1) says of boxr's data, as somebody who may read all of it.
fn du(t: &Sandbox) -> u64 {
    let root = t.layout().root.display().to_string();
    let words = ["du", "-sx", "--block-size=1", &root];
    let du = match rustix::process::geteuid().is_root() {
        true => Cmd::new(words[0]).args(&words[1..]),
        // Root of all ids that the user has.
        false => t.run(["--userns", "new", "--"]).args(words),
    };
    du.run().ok().text().split_whitespace().next().unwrap().parse().unwrap()
}

/// Type and bytes of each line.
fn df(t: &Sandbox) -> Vec<(String, u64)> {
    let lines = t.boxr(["system", "df", "--format", "{{.Type}}\t{{.SizeBytes}}"]).run().ok().quiet().lines();
    let split = |line: &String| {
        let (kind, bytes) = line.split_once('\t').unwrap();
        (kind.to_owned(), bytes.parse().unwrap())
    };
    lines.iter().map(split).collect()
}

#[track_caller]
fn of(lines: &[(String, u64)], kind: &str) -> u64 {
    lines.iter().find(|(known, _)| known == kind).unwrap().1
}

#[track_caller]
fn assert_as_du(t: &Sandbox) {
    let lines = df(t);
    assert_eq!(lines.iter().map(|(_, bytes)| bytes).sum::<u64>(), du(t), "{lines:?}");
}

fn sizes_are_those_of_du(t: &Sandbox) {
    t.boxr(["system", "df"]).run().ok().shows("TYPE").shows("RECLAIMABLE").shows("Images");
    assert_as_du(t);
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    let script =
        "dd if=/dev/zero of=/big bs=1k count=300 2>/dev/null; ln /big /second; echo said; sleep 1000";
    t.run(["-q", "-d", "--name", "it", "-v", "named:/data", &name, "sh", "-c", script]).run().ok();
    boxr_testing::wait_until("it has written", || t.boxr(["logs", "it"]).run().text().contains("said"));
    t.boxr(["exec", "it", "sh", "-c", "echo x >/data/x"]).run().ok();
    assert_as_du(t);
    let lines = df(t);
    let containers = of(&lines, "Containers");
    assert!((300 << 10..400 << 10).contains(&containers), "{lines:?}");
    assert!(of(&lines, "Logs") > 0 && of(&lines, "Local Volumes") > 0 && of(&lines, "Images") > 1 << 20);
    assert_eq!(of(&lines, "Orphans"), 0);
    let counts =
        t.boxr(["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}"]).run().ok().lines();
    for line in ["Images 1 1", "Containers 1 1", "Local Volumes 1 1", "Logs 1 1"] {
        assert!(counts.contains(&line.to_owned()), "{counts:?}");
    }
    // An image that is mounted to be looked at counts once.
    if rustix::process::geteuid().is_root() {
        t.boxr(["image", "mount", &name]).run().ok();
        assert_as_du(t);
        t.boxr(["image", "unmount", &name]).run().ok();
    }
    let verbose = t.boxr(["system", "df", "-v"]).run().ok();
    verbose.shows("Images space usage:").shows("Containers space usage:").shows("VOLUME NAME").shows("named");
    let json = t.boxr(["system", "df", "-v", "--format", "json"]).run().ok().stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["TotalBytes"].as_u64().unwrap(), du(t));
    assert_eq!((&json["Volumes"][0]["Links"], &json["Containers"][0]["Names"]), (&"1".into(), &"it".into()));
    t.remove(["it"]);
    t.boxr(["volume", "rm", "named"]).run().ok();
    t.boxr(["system", "prune", "-af"]).run().ok();
    assert_as_du(t);
    assert_eq!(of(&df(t), "Images"), 0);
}

fn image(seed: &str, label: &str) -> Image {
    let common = Layer::of_files(&[("common", &[7; 50_000])], Packing::None);
    let own = Layer::of_files(&[("own", seed.repeat(20_000).as_bytes())], Packing::None);
    Image::new("amd64", &format!(r#"{{"Labels":{{"tier":"{label}"}}}}"#), vec![common, own])
}

fn pull(t: &Sandbox, server: &Server, tag: &str, image: &Image) -> String {
    let name = server.put("app", tag, image);
    t.boxr(["pull", "-q", "--platform", "linux/amd64", &name]).run().ok();
    name
}

fn shared_layers_count_once(t: &Sandbox) {
    let server = Server::start();
    pull(t, &server, "1", &image("one", "a"));
    pull(t, &server, "2", &image("two", "b"));
    assert_as_du(t);
    let json = t.boxr(["system", "df", "-v", "--format", "json"]).run().ok().stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let images = json["Images"].as_array().unwrap();
    let number = |image: &serde_json::Value| image["SizeBytes"].as_u64().unwrap();
    assert_eq!(images[0]["SharedSize"], images[1]["SharedSize"]);
    let together: u64 = images.iter().map(number).sum();
    let summed = of(&df(t), "Images");
    assert!(summed < together && summed > together / 2, "{summed} {together}");
    t.boxr(["image", "prune", "-af"]).run().ok();
}

fn orphans_are_found_explained_and_removed(t: &Sandbox) {
    let server = Server::start();
    pull(t, &server, "1", &image("one", "a"));
    let root = &t.layout().root;
    let id = "ab".repeat(32);
    let make = |path: &str, bytes: usize| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, vec![1; bytes]).unwrap();
    };
    make(&format!("containers/{id}/upper/file"), 10_000);
    make(&format!("images/blobs/sha256/{}", "0".repeat(64)), 5_000);
    make(&format!("images/ingest/sha256.{}", "1".repeat(64)), 5_000);
    make("images/staging/load.0123/0", 5_000);
    make("strange/file", 100);
    let id = &id;
    let listed = t.boxr(["system", "df", "-v"]).run().ok();
    for (path, why) in [
        (format!("containers/{id}"), "its box is gone"),
        (format!("blobs/sha256/{}", "0".repeat(64)), "no image needs this blob"),
        (format!("ingest/sha256.{}", "1".repeat(64)), "a pull was cut short"),
        ("staging/load.0123".to_owned(), "boxr was killed while it unpacked"),
        ("strange".to_owned(), "boxr makes nothing of this name"),
    ] {
        let line =
            listed.lines().into_iter().find(|line| line.contains(&path)).unwrap_or_else(|| panic!("{path}"));
        assert!(line.contains(why), "{line}");
    }
    assert_as_du(t);
    t.boxr(["system", "prune", "-f"]).run().ok().shows("Total reclaimed space: ");
    let json = t.boxr(["system", "df", "-v", "--format", "json"]).run().ok().stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let left: Vec<_> = json["Orphans"].as_array().unwrap().iter().map(|orphan| &orphan["Path"]).collect();
    assert!(left.len() == 1 && left[0].as_str().unwrap().ends_with("/strange"), "{left:?}");
    assert!(root.join("strange/file").exists(), "what is not boxr's is left alone");
    assert_as_du(t);
    make("images/staging/load.4567/0", 5_000);
    let freed = t.boxr(["system", "prune", "-f"]).run().ok().text();
    assert!(!freed.contains(": 0B"), "{freed}");
    std::fs::remove_dir_all(root.join("strange")).unwrap();
    t.boxr(["image", "prune", "-af"]).run().ok();
}

fn everything_that_nobody_uses_goes(t: &Sandbox) {
    let (server, name) = offered(t, r#"{"Cmd":["true"],"Volumes":{"/data":{}}}"#);
    t.run(["-q", "--name", "ended", &name]).run().ok();
    t.run(["-q", "-d", "--name", "up", "-v", "kept:/kept", &name, "sleep", "1000"]).run().ok();
    pull(t, &server, "2", &image("two", "b"));
    t.boxr(["system", "prune"]).stdin("").run().exits(125).blames("boxr system prune --force");
    let mut terminal = t.terminal(24, 80, &["system", "prune", "-a", "--volumes"]);
    terminal.expect("WARNING! This will remove:");
    terminal.expect("all images that no container uses");
    terminal.send("n\n");
    terminal.finish().exits(0);
    let pruned = t.boxr(["system", "prune", "-f", "-a", "--volumes"]).run().ok();
    pruned.shows("Deleted Containers:\n").shows("Deleted Images:\n").shows("Total reclaimed space: ");
    t.boxr(["ps", "-a", "--format", "{{.Names}}"]).run().ok().prints("up\n");
    t.boxr(["images", "--format", "{{.Tag}}"]).run().ok().prints("1\n");
    t.boxr(["volume", "ls", "-q", "-f", "name=kept"]).run().ok().prints("kept\n");
    t.boxr(["system", "prune", "-f", "--volumes", "--filter", "until=1h"]).run().exits(1).blames("until");
    t.remove(["up"]);
    t.boxr(["system", "prune", "-af", "--volumes"]).run().ok();
    t.boxr(["volume", "ls", "-q"]).run().ok().prints("kept\n");
    t.boxr(["volume", "rm", "kept"]).run().ok();
}

fn images_are_pruned_by_age_and_label(t: &Sandbox) {
    let server = Server::start();
    pull(t, &server, "1", &image("one", "a"));
    pull(t, &server, "2", &image("two", "b"));
    let tags = || t.boxr(["images", "--format", "{{.Tag}}"]).run().ok().lines();
    t.boxr(["image", "prune", "-af", "--filter", "until=2000-01-01"]).run().ok();
    assert_eq!(tags().len(), 2);
    t.boxr(["image", "prune", "-af", "--filter", "label=tier=a"]).run().ok();
    assert_eq!(tags(), ["2"]);
    t.boxr(["system", "prune", "-af", "--filter", "label!=tier=b"]).run().ok();
    assert_eq!(tags(), ["2"]);
    t.boxr(["image", "prune", "-af", "--filter", "size=1"]).run().exits(125).blames("no such filter");
    t.boxr(["image", "prune", "-af"]).run().ok();
}
