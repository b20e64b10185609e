//! Mounts of others, and whose files in them are.

use std::os::unix::fs::{MetadataExt, chown, symlink};

use boxr_testing::{Need, Sandbox, Test, Tool, test};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_container_has_the_volumes_of_another, Need::Tool(Tool::Busybox), OVERLAY),
    test!(files_are_given_to_the_containers_user, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
    test!(
        binds_show_other_owners_where_root_asks,
        Need::Tool(Tool::Busybox),
        OVERLAY,
        Need::Root,
        Need::Kernel(5, 19)
    ),
    test!(wrong_owners_are_refused, Need::Tool(Tool::Busybox), OVERLAY),
];

fn a_container_has_the_volumes_of_another(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"],"Volumes":{"/anonymous":{}}}"#);
    let shared = t.path("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("file"), "bound").unwrap();
    let bind = format!("{}:/bind", shared.display());
    let mounts = ["-v", "named:/named", "-v", &bind, "--tmpfs", "/scratch"];
    let first = t.run(["-q", "--name", "one", "--network", "none"]).args(mounts);
    first.args([&name, "echo a >/named/a; echo b >/anonymous/b"]).run().ok();
    let script = "cat /named/a /anonymous/b /bind/file; grep -c ' /scratch ' /proc/mounts; touch /named/x /bind/x && echo wrote";
    let other = ["-q", "--rm", "--network", "none", "--volumes-from", "one"];
    t.run(other).args([&name, script]).run().ok().prints("a\nb\nbound0\nwrote\n");
    let read_only = ["-q", "--rm", "--network", "none", "--volumes-from", "one:ro"];
    t.run(read_only)
        .args([&name, "cat /named/a; touch /named/y 2>/dev/null || echo ro"])
        .run()
        .ok()
        .prints("a\nro\n");
    // What is said of a place is what is there.
    t.run(other).args(["-v", "mine:/named", &name, "ls /named; cat /anonymous/b"]).run().ok().prints("b\n");
    // It has them as long as it is there.
    t.boxr(["create", "-q", "--name", "two", "--network", "none", "--volumes-from", "one", &name, ":"])
        .run()
        .ok();
    t.boxr(["rm", "-v", "one"]).run().ok();
    t.boxr(["volume", "rm", "named"]).run().exits(1).blames("two");
    t.boxr(["start", "-a", "two"]).run().ok();
    t.remove(["two"]);
    t.boxr(["volume", "prune", "-a", "-f"]).run().ok();
    nothing_left(t);
}

fn files_are_given_to_the_containers_user(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let (dir, outside) = (t.path("data"), t.path("outside"));
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    std::fs::write(dir.join("sub/file"), "text").unwrap();
    std::fs::write(&outside, "not it").unwrap();
    symlink(&outside, dir.join("link")).unwrap();
    let before = std::fs::metadata(&outside).unwrap().uid();
    let script = "stat -c '%u:%g' /data /data/sub /data/sub/file; echo more >>/data/sub/file && touch /data/made && echo wrote";
    let volume = format!("{}:/data:U", dir.display());
    let flags = ["-q", "--rm", "--network", "none", "-u", "ann"];
    let seen = "1000:100\n1000:100\n1000:100\nwrote\n";
    t.run(flags).args(["-v", &volume, &name, script]).run().ok().prints(seen);
    assert_eq!(std::fs::metadata(&outside).unwrap().uid(), before, "a link is not followed");
    let mount = format!("type=bind,src={},dst=/data,chown=true", dir.display());
    let root = ["-q", "--rm", "--network", "none", "--mount", &mount];
    t.run(root).args([&name, "stat -c %u /data /data/sub/file"]).run().ok().prints("0\n0\n");
    nothing_left(t);
}

fn binds_show_other_owners_where_root_asks(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let dir = t.path("data");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), "").unwrap();
    chown(dir.join("file"), Some(0), Some(0)).unwrap();
    let volume = format!("{}:/data:idmap=uids=0-5000-1000;gids=0-5000-1000", dir.display());
    let flags = ["-q", "--rm", "--network", "none", "--userns", "host", "-v", &volume];
    t.run(flags).args([&name, "stat -c '%u:%g' /data/file"]).run().ok().prints("5000:5000\n");
    assert_eq!(std::fs::metadata(dir.join("file")).unwrap().uid(), 0, "on disk it is as it was");
    let plain = format!("{}:/data:idmap", dir.display());
    t.run([
        "-q",
        "--rm",
        "--network",
        "none",
        "-v",
        &plain,
        &name,
        "stat -c %u /data/file; touch /data/made",
    ])
    .run()
    .ok()
    .prints("0\n");
    assert_eq!(std::fs::metadata(dir.join("made")).unwrap().uid(), 0);
    nothing_left(t);
}

fn wrong_owners_are_refused(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    for (flags, part) in [
        (["--volumes-from", "nobody"], "no such box: nobody"),
        (["--volumes-from", "one:frob"], "neither ro nor rw"),
        (["-v", "/tmp:/x:idmap=uids=0-1"], "three numbers"),
        (["-v", "/tmp:/x:O"], "overlay"),
        (["--mount", "type=tmpfs,dst=/x,chown"], "binds and volumes"),
    ] {
        t.run(["-q", "--rm", "--network", "none"])
            .args(flags)
            .args([&name, "true"])
            .run()
            .exits(125)
            .blames(part);
    }
    t.run(["--volumes-from", "x", "--", "true"]).run().exits(125).blames("needs a container of an image");
    nothing_left(t);
}
