//! Files of containers to archives, and archives of files to images.

use boxr_testing::images::{Fault, Layer, Packing, Server, digest};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test};

use crate::containers::{OVERLAY, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(an_archive_of_files_becomes_an_image),
    test!(an_archive_comes_from_the_web),
    test!(what_cannot_be_imported_is_said),
    test!(a_container_is_exported_imported_and_run, Need::Tool(Tool::Busybox), OVERLAY),
    test!(owners_are_those_in_the_container, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
    test!(a_box_with_a_root_of_its_own_is_exported, Need::Tool(Tool::Busybox)),
    test!(what_cannot_be_exported_is_said),
    // Podman's database breaks on the filesystem of User Mode Linux, which has no overlays either.
    test!(podman_imports_the_same, Need::Root, Need::Tool(Tool::Podman), OVERLAY; deadline 120),
];

fn clear(t: &Sandbox) {
    t.boxr(["image", "prune", "-af"]).run().ok();
}

fn inspect(t: &Sandbox, name: &str, format: &str) -> String {
    t.boxr(["image", "inspect", "-f", format, name]).run().ok().word()
}

fn an_archive_of_files_becomes_an_image(t: &Sandbox) {
    let files = Layer::of_files(&[("etc/passwd", b"root"), ("bin/app", b"program")], Packing::None).tar;
    for (packing, kind) in [(Packing::None, "tar"), (Packing::Gzip, "tar+gzip"), (Packing::Zstd, "tar+zstd")]
    {
        let path = t.file("rootfs", packing.pack(&files));
        let args = ["import", "-c", "CMD [\"app\"]", "--change", "ENV A=1", "-m", "a note"];
        let id = t.boxr(args).args([path.as_str(), "mine:1"]).run().ok().quiet().word();
        assert_eq!(inspect(t, "mine:1", "{{.Id}}"), id);
        assert_eq!(inspect(t, "mine:1", "{{.Config.Cmd}} {{.Config.Env}}"), "[app] [A=1]");
        assert_eq!(inspect(t, "mine:1", "{{index .RootFS.Layers 0}}"), digest(&files));
        t.boxr(["history", "--format", "{{.Comment}}", "mine:1"]).run().ok().prints("a note\n");
        // What came is what is kept, and goes out again.
        let saved = t.boxr(["save", "--format", "oci-archive", "mine:1"]).run().ok().stdout;
        let kind = format!("image.layer.v1.{kind}\"");
        assert!(String::from_utf8_lossy(&saved).contains(&kind));
        clear(t);
    }
    // From a pipe, without a name.
    let id = t.boxr(["image", "import", "-"]).stdin(files).run().ok().word();
    t.boxr(["images", "--no-trunc", "--format", "{{.ID}} {{.Tag}}"])
        .run()
        .ok()
        .prints(&format!("{id} <none>\n"));
    t.boxr(["history", "--format", "{{.Comment}}", &id]).run().ok().prints("Imported from -\n");
    clear(t);
}

fn an_archive_comes_from_the_web(t: &Sandbox) {
    let server = Server::start();
    let url = server.put_file("/rootfs.tar.gz", &Layer::of_files(&[("file", b"x")], Packing::Gzip).blob);
    let id = t.boxr(["import", &url, "web:1"]).run().ok().quiet().word();
    assert_eq!(inspect(t, "web:1", "{{.Id}}"), id);
    t.boxr(["import", &format!("{url}x"), "web:2"]).run().exits(1).prints("").blames("status 404");
    server.fail("/rootfs", Fault::CutAfter(20));
    t.boxr(["import", &url, "web:2"]).run().exits(1).prints("").blames("cannot import http://");
    t.boxr(["images", "-q"]).run().ok().prints(&format!("{}\n", &id["sha256:".len()..][..12]));
    clear(t);
}

fn what_cannot_be_imported_is_said(t: &Sandbox) {
    let good = t.file("good", Layer::of_files(&[("file", b"x")], Packing::None).tar);
    let bad = t.file("bad", vec![b'x'; 2000]);
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.as_gnu_mut().unwrap().name[..7].copy_from_slice(b"../../x");
    header.set_cksum();
    let hostile = t.file("hostile", [header.as_bytes(), &[0; 1024][..]].concat());
    t.boxr(["import", "none"]).run().exits(1).blames("cannot open none").blames("ENOENT");
    t.boxr(["import", &bad]).run().exits(1).prints("").blames("wrong checksum");
    t.boxr(["import", &hostile]).run().exits(1).prints("").blames("leads out of it");
    t.boxr(["import", "-"]).stdin("").run().exits(1).blames("empty");
    t.boxr(["import", &good, "Name"]).run().exits(125).blames("lower case");
    t.boxr(["import", "-c", "RUN true", &good]).run().exits(125).blames("RUN is none of CMD, ENTRYPOINT");
    t.boxr(["images", "-q"]).run().ok().prints("");
    let left = boxr_testing::leaks::files_below(&t.layout().root.join("images/blobs"));
    assert!(left.is_empty(), "{left:?}");
    let mut terminal = t.terminal(24, 80, &["import", "-"]);
    terminal.expect("not read from a terminal");
    terminal.finish().exits(1);
}

/// The names in an archive, sorted.
fn listed(t: &Sandbox, archive: &str) -> Vec<String> {
    let mut names = Cmd::new("tar").args(["-t", "-f", archive]).cwd(t.path("")).run().ok().lines();
    names.sort_unstable();
    names
}

fn a_container_is_exported_imported_and_run(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    let script = "echo new >/new; rm /etc/group; mkdir /etc/dir; ln /new /second; echo seen >/dev/null; chmod 700 /home";
    t.run(["-q", "--name", "it", &name, "sh", "-c", script]).run().ok();
    t.boxr(["export", "-o", "out.tar", "it"]).run().ok().quiet().prints("");
    let names = listed(t, "out.tar");
    for there in ["new", "second", "etc/passwd", "etc/dir/", "bin/busybox", "home/ann/"] {
        assert!(names.iter().any(|name| name == there), "{there}: {names:?}");
    }
    assert!(!names.contains(&"etc/group".to_owned()), "{names:?}");
    // The same bytes to a pipe, and each time.
    let piped = t.boxr(["export", "it"]).run().ok().stdout;
    assert!(piped == std::fs::read(t.path("out.tar")).unwrap());
    t.boxr(["rm", "it"]).run().ok();
    t.boxr(["import", "-c", "CMD [\"cat\",\"/second\"]", "out.tar", "copy:1"]).run().ok();
    t.run(["--rm", "copy:1"]).run().ok().prints("new\n");
    t.run(["--rm", "copy:1", "stat", "-c", "%a %h", "/home", "/new"]).run().ok().prints("700 3\n644 2\n");
    // While it runs: nothing that is mounted is in it.
    t.run(["-q", "-d", "--name", "up", "-v", "/etc:/mnt", "--tmpfs", "/run", &name, "sleep", "1000"])
        .run()
        .ok();
    t.boxr(["exec", "up", "sh", "-c", "echo x >/run/hidden; echo y >/shown"]).run().ok();
    t.boxr(["export", "-o", "up.tar", "up"]).run().ok();
    let names = listed(t, "up.tar");
    assert!(names.contains(&"shown".to_owned()) && names.contains(&"mnt/".to_owned()), "{names:?}");
    for hidden in ["run/hidden", "mnt/passwd", "proc/self", "proc/1/"] {
        assert!(!names.contains(&hidden.to_owned()), "{hidden}");
    }
    t.remove(["up"]);
    clear(t);
}

fn owners_are_those_in_the_container(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    t.run(["-q", "--name", "it", &name, "sh", "-c", "touch /mine; chown 12:34 /mine"]).run().ok();
    t.boxr(["export", "-o", "out.tar", "it"]).run().ok();
    let listed = Cmd::new("tar").args(["--numeric-owner", "-tvf"]).arg(t.path("out.tar")).run().ok();
    let owner = |name: &str| {
        let line = listed.lines().into_iter().find(|line| line.ends_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!((owner(" mine"), owner(" etc/passwd")), ("12/34".to_owned(), "0/0".to_owned()));
    assert!(owner(" home/ann/").starts_with("1000/"));
    t.boxr(["rm", "it"]).run().ok();
    clear(t);
}

fn a_box_with_a_root_of_its_own_is_exported(t: &Sandbox) {
    let root = t.rootfs("root");
    t.run(["-d", "--name", "it", "--rootfs", &root, "--tmpfs", "/tmp", "--", "sleep", "1000"]).run().ok();
    t.boxr(["exec", "it", "sh", "-c", "echo x >/tmp/hidden; echo y >/shown"]).run().ok();
    t.boxr(["export", "-o", "out.tar", "it"]).run().ok();
    let names = listed(t, "out.tar");
    assert!(names.contains(&"shown".to_owned()) && names.contains(&"bin/busybox".to_owned()), "{names:?}");
    assert!(!names.contains(&"tmp/hidden".to_owned()), "{names:?}");
    t.remove(["it"]);
}

fn what_cannot_be_exported_is_said(t: &Sandbox) {
    t.boxr(["export", "nobody"]).run().exits(1).blames("no such box: nobody");
    t.detached("host", ["--", "sleep", "1000"]);
    t.boxr(["export", "host"]).run().exits(1).prints("").blames("has no files of its own");
    t.boxr(["export", "-o", "none/x", "host"]).run().exits(1);
    let mut terminal = t.terminal(24, 80, &["export", "host"]);
    terminal.expect("not written to a terminal");
    terminal.finish().exits(1);
    t.remove(["host"]);
}

fn podman_imports_the_same(t: &Sandbox) {
    let files = t.file("rootfs.tar", Layer::of_files(&[("etc/passwd", b"root")], Packing::None).tar);
    let changes =
        ["-c", "CMD [\"a\",\"b\"]", "-c", "ENV A=1", "-c", "USER me", "-c", "EXPOSE 80", "-c", "WORKDIR /x"];
    let podman = |args: &[&str]| {
        let (root, run) = (t.path("podman-root"), t.path("podman-run"));
        let cmd = Cmd::new("podman").arg("--root").arg(root).arg("--runroot").arg(run);
        cmd.args(["--storage-driver", "vfs", "--events-backend", "none"]).args(args).run().ok().word()
    };
    let format = "{{.Config.Cmd}} {{.Config.Env}} {{.Config.User}} {{json .Config.ExposedPorts}} {{.Config.WorkingDir}} {{.RootFS.Layers}}";
    podman(&[&["import"][..], &changes, &[&files, "quay.io/a/b:1"]].concat());
    let theirs = podman(&["image", "inspect", "-f", format, "quay.io/a/b:1"]);
    t.boxr(["import"]).args(changes).args([files.as_str(), "quay.io/a/b:1"]).run().ok();
    assert_eq!(inspect(t, "quay.io/a/b:1", format), theirs);
    podman(&["rmi", "quay.io/a/b:1"]);
    clear(t);
}
