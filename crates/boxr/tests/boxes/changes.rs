//! What containers change of their images: `diff`.

use boxr_testing::{Need, Sandbox, Test, Tool, test};

use crate::containers::{OVERLAY, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(changes_are_listed, Need::Tool(Tool::Busybox), OVERLAY),
    test!(directories_made_anew_hide_what_was_there, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_has_no_image_has_no_changes),
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
