//! What a try has changed, as a person is shown it, and what of it could mislead.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use boxr_testing::{Need, Sandbox, Test, test};

use super::{host, lines_of, tried};
use crate::containers::OVERLAY;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(differences_are_shown_in_every_form, OVERLAY),
    test!(devices_and_privileges_are_named, Need::Root, OVERLAY),
    #[cfg(target_arch = "x86_64")]
    test!(names_that_overlayfs_might_use_change_nothing_else, Need::Root, OVERLAY),
    test!(text_of_the_command_paints_on_no_terminal, OVERLAY),
];

fn differences_are_shown_in_every_form(t: &Sandbox) {
    host(t, "seq 1 9 >text; printf 'a\\0b' >binary; echo gone >gone");
    tried(t, "sed -i s/5/five/ text; printf 'a\\0c' >binary; rm gone; echo new >new; chmod 4711 new").ok();
    let patch = t.boxr(["diff", "-p", "it", "text", "gone"]).cwd(t.path("")).run().ok().text();
    assert!(patch.contains("@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n"), "{patch}");
    // As patch(1) would take it.
    let path = t.path("text").display().to_string();
    assert!(patch.contains(&format!("--- a{path}\n+++ b{path}\n")), "{patch}");
    assert!(patch.contains("+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n"), "{patch}");
    t.boxr(["diff", "-p", "it", "binary"]).cwd(t.path("")).run().ok().shows("Binary files");
    let stat = lines_of(t, &["--stat"]);
    assert!(stat.ends_with("4 files, +2 -2\n") && stat.contains("/text | +1 -1\n"), "{stat}");
    let json: serde_json::Value = serde_json::from_str(&lines_of(t, &["--json", "new"])).unwrap();
    let new = &json[0];
    assert_eq!((&new["kind"], &new["after"]["mode"]), (&"created".into(), &"4711".into()), "{json}");
    assert!(lines_of(t, &["new"]).contains("set-user-id"));
    assert_eq!(lines_of(t, &["--format", "json", "new"]), lines_of(t, &["--json", "new"]));
    t.boxr(["rm", "it"]).run().ok();
}

fn devices_and_privileges_are_named(t: &Sandbox) {
    let script = "mknod null c 1 3; mknod gone c 0 0 || echo refused; cp /bin/true id; chown 1:2 id; chmod 4755 id; \
                  setfattr -n user.overlay.opaque -v y . 2>/dev/null; true";
    tried(t, script).ok().shows("refused");
    let lines = lines_of(t, &[]);
    assert!(lines.contains("created  ./null  character device 1:3\n"), "{lines}");
    assert!(lines.contains("set-user-id"), "{lines}");
    t.boxr(["apply", "it"]).run().ok();
    let id = std::fs::metadata(t.path("id")).unwrap();
    assert_eq!((id.uid(), id.gid(), id.permissions().mode() & 0o7777), (1, 2, 0o4755));
    assert_eq!(std::fs::metadata(t.path("null")).unwrap().rdev(), rustix::fs::makedev(1, 3));
}

/// What an ordinary user's overlay keeps for itself is root's to give: it is an attribute like others, and makes no
/// removal of what the command has left alone.
#[cfg(target_arch = "x86_64")]
fn names_that_overlayfs_might_use_change_nothing_else(t: &Sandbox) {
    host(t, "mkdir dir; echo it >dir/inner");
    // setxattr(2), and capabilities by it.
    let perl = r#"($d, $k, $v) = ("dir", "user.overlay.opaque", "y"); syscall(188, $d, $k, $v, 1, 0) and die $!; open F, ">dir/new"; open F, ">able"; close F;
        ($d, $k, $v) = ("able", "security.capability", pack("L5", 0x02000001, 0x80, 0, 0, 0)); syscall(188, $d, $k, $v, 20, 0) and die $!"#;
    tried(t, &format!("perl -e '{perl}'; cat dir/inner")).ok().shows("it");
    let lines = lines_of(t, &[]);
    assert!(!lines.contains("removed") && lines.contains("created  ./dir/new"), "{lines}");
    assert!(
        lines.lines().any(|line| line.contains("./able") && line.ends_with("with capabilities")),
        "{lines}"
    );
    t.boxr(["apply", "it"]).run().ok();
    assert_eq!(std::fs::read_to_string(t.path("dir/inner")).unwrap(), "it\n");
    assert!(t.path("dir/new").exists());
    let mut value = [0u8; 8];
    assert_eq!(rustix::fs::getxattr(t.path("dir"), "user.overlay.opaque", &mut value[..]), Ok(1));
}

/// A person looks at it to decide; in a pipe it stays what a patch needs.
fn text_of_the_command_paints_on_no_terminal(t: &Sandbox) {
    tried(t, r#"printf 'evil\b\033[2Kgood\033]52;c;eA==\007\n' >file"#).ok();
    let raw = "+evil\u{8}\u{1b}[2Kgood\u{1b}]52;c;eA==\u{7}\n";
    let piped = t.boxr(["diff", "-p", "it"]).run().ok();
    assert!(piped.text().contains(raw), "{}", piped.story());
    let mut terminal = t.terminal(24, 100, &["diff", "-p", "it"]);
    terminal.expect("+evil\\010\\033[2Kgood\\033]52;c;eA==\\007");
    terminal.finish().ok();
    t.boxr(["rm", "it"]).run().ok();
}
