//! What containers change of their images: `diff` and `commit`.

use boxr_testing::{Need, Sandbox, Test, Tool, test};

use crate::containers::{OVERLAY, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(changes_are_listed, Need::Tool(Tool::Busybox), OVERLAY),
    test!(directories_made_anew_hide_what_was_there, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_has_no_image_has_no_changes),
    test!(changes_become_an_image, Need::Tool(Tool::Busybox), OVERLAY),
    test!(one_layer_is_made_of_all_files, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_manifest_is_in_the_words_that_are_said, Need::Tool(Tool::Busybox), OVERLAY),
    test!(one_that_runs_is_committed_as_it_is, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
];

fn changes_are_listed(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    let script = "mkdir /new; echo x >/new/file; echo x >>/etc/passwd; rm /etc/group; touch /tmp/t; rm /tmp/t; \
                  echo x >/mnt/in-the-volume; ln -s a /new/link";
    t.run(["-q", "--name", "it", "-v", "/mnt", "--tmpfs", "/scratch", &name, "sh", "-c", script]).run().ok();
    let expected = "C /etc\nD /etc/group\nC /etc/passwd\nA /new\nA /new/file\nA /new/link\nC /tmp\n";
    let listed = t.boxr(["diff", "it"]).run().ok().quiet().text();
    let listed: String =
        listed.lines().filter(|line| *line != "C /tmp").map(|line| format!("{line}\n")).collect();
    assert_eq!(listed, expected.replace("C /tmp\n", ""));
    let json = t.boxr(["diff", "--format", "json", "it"]).run().ok().text();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["deleted"], serde_json::json!(["/etc/group"]));
    assert_eq!(json["added"], serde_json::json!(["/new", "/new/file", "/new/link"]));
    t.boxr(["rm", "-v", "it"]).run().ok();
}

fn directories_made_anew_hide_what_was_there(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    let script = "rm -r /etc; mkdir /etc; echo mine >/etc/passwd; rmdir /home/ann; echo >/home/ann";
    t.run(["-q", "--name", "it", &name, "sh", "-c", script]).run().ok();
    let listed = t.boxr(["diff", "it"]).run().ok().text();
    let has = |line: &str| assert!(listed.lines().any(|found| found == line), "{line}: {listed}");
    ["C /etc", "D /etc/group", "C /etc/passwd", "C /home/ann"].into_iter().for_each(has);
    t.boxr(["rm", "it"]).run().ok();
}

fn what_has_no_image_has_no_changes(t: &Sandbox) {
    t.boxr(["create", "--name", "box", "--", "true"]).run().ok();
    t.boxr(["diff", "box"]).run().exits(1).blames("of no image");
    t.boxr(["diff", "none"]).run().exits(1).blames("no such box: none");
    t.boxr(["diff", "--format", "xml", "box"]).run().exits(125).blames("--format");
    t.boxr(["rm", "box"]).run().ok();
}

fn changes_become_an_image(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"],"Env":["A=image"],"Labels":{"tier":"front"}}"#);
    let script = "echo mine >/new; rm /etc/group; chmod 700 /home/ann; echo x >/mnt/volume";
    let words = ["-q", "--name", "it", "-e", "B=said", "-w", "/tmp", "-v", "/mnt", &name, "sh", "-c", script];
    t.run(words).run().ok();
    let made = t.boxr(["commit", "-m", "a note", "-a", "me", "-c", "CMD [\"cat\",\"/new\"]", "it", "made:1"]);
    let id = made.run().ok().quiet().text();
    assert!(id.starts_with("sha256:"), "{id}");
    t.run(["--rm", "made:1"]).run().ok().prints("mine\n");
    let look = "echo $A $B; pwd; ls /etc/group; stat -c %a /home/ann; ls -A /mnt";
    let told = t.run(["--rm", "made:1", "sh", "-c", look]).run().ok().text();
    assert_eq!(told, "image said\n/tmp\n700\n");
    let format = "{{.Author}} {{index .Config.Labels \"tier\"}} {{len .RootFS.Layers}}";
    t.boxr(["image", "inspect", "-f", format, "made:1"]).run().ok().prints("me front 3\n");
    t.boxr(["history", "--format", "{{.Comment}}", "made:1"]).run().ok().shows("a note");
    // Its layers, and what ends with each.
    let tree = t.boxr(["image", "tree", "made:1"]).run().ok().text();
    let lines: Vec<&str> = tree.lines().collect();
    assert!(lines[0].starts_with("Image ID: ") && lines[3] == "Image Layers" && lines.len() == 7, "{tree}");
    assert!(lines[4].starts_with("├── ID: ") && !lines[4].contains("Top Layer"), "{tree}");
    assert!(lines[5].starts_with("├── ID: ") && lines[5].contains("Top Layer of: [127.0.0.1:"), "{tree}");
    assert!(
        lines[6].starts_with("└── ID: ") && lines[6].ends_with("Top Layer of: [docker.io/library/made:1]"),
        "{tree}"
    );
    t.boxr(["image", "tree", "none"]).run().exits(1).blames("no such image");
    t.boxr(["commit", "it"]).run().ok();
    t.boxr(["commit", "-c", "FROM x", "it"]).run().exits(125).blames("--change");
    t.boxr(["rm", "-v", "it"]).run().ok();
    t.boxr(["create", "--name", "box", "--", "true"]).run().ok();
    t.boxr(["commit", "box"]).run().exits(1).blames("of no image");
    t.boxr(["rm", "box"]).run().ok();
    // A directory that nobody else may look into goes by boxr alone.
    t.boxr(["image", "prune", "-f", "-a"]).run().ok();
}

fn one_layer_is_made_of_all_files(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"],"Env":["A=image"]}"#);
    let script = "echo mine >/new; rm /etc/group; rm -r /home; mkdir /home; chown 3 /new || true";
    t.run(["-q", "--name", "it", &name, "sh", "-c", script]).run().ok();
    t.boxr(["commit", "-m", "whole", "it", "upon:1"]).run().ok();
    t.boxr(["commit", "--squash", "-m", "whole", "it", "alone:1"]).run().ok();
    let format = "{{len .RootFS.Layers}} {{join .Config.Env \" \"}}";
    let shown = t.boxr(["image", "inspect", "-f", format, "alone:1"]).run().ok().text();
    assert!(shown.starts_with("1 ") && shown.ends_with("A=image\n"), "{shown}");
    t.boxr(["history", "--format", "{{.Comment}}", "alone:1"]).run().ok().prints("whole\n");
    let look = "cd /; find . -xdev ! -path './proc*' ! -path './dev*' ! -path './sys*' | sort; stat -c '%u %a' /new /home";
    let files = |image| t.run(["--rm", "--network", "none", image, "sh", "-c", look]).run().ok().text();
    let (alone, upon) = (files("alone:1"), files("upon:1"));
    assert!(alone.contains("./new\n") && !alone.contains("./etc/group\n"), "{alone}");
    assert_eq!(alone, upon);
    t.boxr(["rm", "it"]).run().ok();
    t.boxr(["image", "prune", "-f", "-a"]).run().ok();
}

fn a_manifest_is_in_the_words_that_are_said(t: &Sandbox) {
    let (server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    t.run(["-q", "--name", "it", &name, "touch", "/new"]).run().ok();
    for (said, form, word) in [
        (&[][..], "oci", "application/vnd.oci.image."),
        (&["--format", "oci"], "oci", "application/vnd.oci.image."),
        (&["-f", "docker"], "docker", "application/vnd.docker."),
    ] {
        let to = format!("{}/made:{form}", server.host());
        t.boxr(["commit", "-q"]).args(said).args(["it", &to]).run().ok();
        t.boxr(["push", "-q", &to]).run().ok();
        let manifest = server.content(&format!("/v2/made/manifests/{form}")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        let parts = layers.iter().chain([&manifest, &manifest["config"]]);
        let types: Vec<&str> = parts.map(|part| part["mediaType"].as_str().unwrap()).collect();
        assert!(types.iter().all(|found| found.starts_with(word)), "{types:?}");
    }
    // One upon docker's is the OCI's again, whole.
    let docker = format!("{}/made:docker", server.host());
    t.run(["-q", "--name", "next", &docker, "touch", "/more"]).run().ok();
    t.boxr(["commit", "-q", "next", &format!("{}/next:1", server.host())]).run().ok();
    t.boxr(["push", "-q", &format!("{}/next:1", server.host())]).run().ok();
    let manifest = String::from_utf8(server.content("/v2/next/manifests/1").unwrap()).unwrap();
    assert!(!manifest.contains("docker"), "{manifest}");
    t.boxr(["commit", "-f", "v2s1", "it"]).run().exits(125).blames("oci or docker");
    t.boxr(["rm", "it", "next"]).run().ok();
    t.boxr(["image", "prune", "-f", "-a"]).run().ok();
}

fn one_that_runs_is_committed_as_it_is(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    // Whoever is in it: the caller, or one of his subordinate ids.
    let run = ["run", "-q", "-d", "--name", "it", "-u", "ann", "--network", "none", &name];
    t.boxr(run).args(["sh", "-c", "echo up >/home/ann/state; exec sleep 1000"]).run().ok();
    boxr_testing::wait_until("it is up", || {
        t.boxr(["exec", "it", "cat", "/home/ann/state"]).run().text() == "up\n"
    });
    t.boxr(["commit", "it", "made"]).run().ok();
    t.boxr(["inspect", "-f", "{{.State.Status}}", "it"]).run().ok().prints("running\n");
    t.boxr(["commit", "--pause=false", "it"]).run().ok();
    t.boxr(["rm", "-f", "it"]).run().ok();
    t.run(["--rm", "--network", "none", "made", "cat", "/home/ann/state"]).run().ok().prints("up\n");
    // A directory that nobody else may look into goes by boxr alone.
    t.boxr(["image", "prune", "-f", "-a"]).run().ok();
}
