//! Containers of images: from a registry to a running command, and to the end of it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use boxr_testing::images::{self, Auth, Image, Layer, Packing, Server};
use boxr_testing::leaks::files_below;
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(an_image_is_fetched_and_run, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_the_image_says_holds, Need::Tool(Tool::Busybox), OVERLAY),
    test!(flags_beat_the_image, Need::Tool(Tool::Busybox), OVERLAY),
    test!(users_are_the_containers_own, Need::Tool(Tool::Busybox), OVERLAY),
    test!(users_of_a_range_keep_their_groups, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
    test!(a_container_is_kept_until_it_is_removed, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_detached_container_is_entered_stopped_and_started, Need::Tool(Tool::Busybox), OVERLAY),
    test!(an_image_in_use_stays, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_hold_of_nobody_is_none, Need::Tool(Tool::Busybox), OVERLAY),
    test!(when_an_image_is_fetched_is_ones_choice, Need::Tool(Tool::Busybox), OVERLAY),
    test!(an_image_for_another_machine_is_told, Need::Tool(Tool::Busybox), OVERLAY),
    test!(the_host_sees_no_mount_of_a_container, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_loop_that_reads_lines_can_start_containers, Need::Tool(Tool::Busybox), OVERLAY),
    test!(files_of_other_owners_go_too, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
    test!(who_has_stopped_it_may_take_its_name, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_cannot_be_run_is_said, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_name_can_be_taken_over, Need::Tool(Tool::Busybox), OVERLAY),
    test!(namespaces_are_as_docker_has_them, Need::Tool(Tool::Busybox), OVERLAY),
    test!(places_for_mounts_are_no_changes, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_goes_anyway_is_not_written_to_the_disk, Need::Tool(Tool::Busybox), OVERLAY),
];

/// What root filesystems are laid by.
pub const OVERLAY: Need = Need::Filesystem("overlay");

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100:Ann:/home/ann:/bin/sh\n";
const GROUP: &str = "root:x:0:\nwheel:x:10:root,ann\nusers:x:100:\naudio:x:29:ann\n";

/// An image of busybox whose `config` is this JSON object.
pub fn busybox(t: &Sandbox, config: &str) -> Image {
    let root = PathBuf::from(t.rootfs("image"));
    std::fs::write(root.join("etc/passwd"), PASSWD).unwrap();
    std::fs::write(root.join("etc/group"), GROUP).unwrap();
    let base = Layer::of_dir(&root, Packing::Gzip);
    std::fs::remove_dir_all(&root).unwrap();
    let dirs = Layer::of_dirs(&[("tmp", 0o1777, 0), ("home/ann", 0o755, 1000)]);
    Image::new(images::architecture(), config, vec![base, dirs])
}

/// The same in a registry, under this name.
pub fn offered(t: &Sandbox, config: &str) -> (Server, String) {
    let server = Server::start();
    let name = server.put("app", "1", &busybox(t, config));
    (server, name)
}

/// Whether nothing of a container is left on disk.
#[track_caller]
pub fn nothing_left(t: &Sandbox) {
    t.boxr(["ps", "-a", "-q"]).run().ok().prints("");
    for dir in ["containers", "images/holds"] {
        let left = files_below(&t.layout().root.join(dir));
        assert!(left.is_empty(), "left on disk: {left:?}");
    }
}

fn an_image_is_fetched_and_run(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["echo","by","default"]}"#);
    t.run(["--rm", &name])
        .run()
        .ok()
        .prints("by default\n")
        .blames("Unable to find image")
        .blames("Downloaded newer image");
    t.run(["--rm", "--network", "none", &name, "sh", "-c", "echo $$; exit 7"])
        .run()
        .exits(7)
        .quiet()
        .prints("1\n");
    t.run(["--rm", &name, "no-such-command"]).run().exits(127).blames("no-such-command: command not found");
    t.run(["--rm", &name, "/etc/passwd"]).run().exits(126);
    nothing_left(t);
}

fn what_the_image_says_holds(t: &Sandbox) {
    let config = r#"{"Env":["A=image","B=image"],"Entrypoint":["sh","-c","echo $0 $1 $A $PATH; pwd"],
        "Cmd":["zero","one"],"WorkingDir":"/made/here","Labels":{"tier":"front"},"StopSignal":"SIGQUIT"}"#;
    let (_server, name) = offered(t, config);
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    t.run(["-q", "--rm", &name]).run().ok().prints(&format!("zero one image {path}\n/made/here\n"));
    t.run(["--rm", &name, "a", "b"]).run().ok().prints(&format!("a b image {path}\n/made/here\n"));
    t.boxr(["create", "--name", "it", &name]).run().ok();
    let format = "{{.Config.Image}} {{index .Config.Labels \"tier\"}} {{.Config.StopSignal}} \
                  {{json .Config.Cmd}} {{index .Config.Entrypoint 0}}";
    t.boxr(["inspect", "-f", format, "it"])
        .run()
        .ok()
        .prints(&format!("{name} front QUIT [\"zero\",\"one\"] sh\n"));
    t.boxr(["ps", "-a", "--filter", "label=tier=front", "--format", "{{.Names}} {{.Image}}"])
        .run()
        .ok()
        .prints(&format!("it {name}\n"));
    t.remove(["it"]);
    nothing_left(t);
}

fn flags_beat_the_image(t: &Sandbox) {
    let config = r#"{"Env":["A=image","B=image"],"Entrypoint":["false"],"Cmd":["x"],"WorkingDir":"/srv",
        "Labels":{"tier":"front","a":"b"}}"#;
    let (_server, name) = offered(t, config);
    let env = ["-e", "A=flag", "-e", "B", "-w", "/elsewhere", "--entrypoint", "sh", "--hostname", "red"];
    let script = "echo $A-$B; pwd; hostname; echo $HOME";
    t.run(["-q", "--rm"])
        .args(env)
        .args([&name, "-c", script])
        .env("B", "caller")
        .run()
        .ok()
        .prints("flag-caller\n/elsewhere\nred\n/root\n");
    t.run(["--rm", "--entrypoint", "[\"echo\", \"one\"]", &name, "two"]).run().ok().prints("one two\n");
    t.run(["--rm", "--entrypoint", "", &name]).run().exits(125).blames("no command");
    t.run(["--rm", "--entrypoint", "", &name, "echo", "free"]).run().ok().prints("free\n");
    t.boxr(["create", "--name", "it", "-l", "tier=back", "--stop-signal", "HUP", &name]).run().ok();
    let format = "{{index .Config.Labels \"tier\"}} {{index .Config.Labels \"a\"}} {{.Config.StopSignal}}";
    t.boxr(["inspect", "-f", format, "it"]).run().ok().prints("back b HUP\n");
    t.remove(["it"]);
}

fn users_are_the_containers_own(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    t.run(["-q", "--rm", &name, "id -u; id -g; echo $HOME"]).run().ok().prints("0\n0\n/root\n");
    t.run(["--rm", "-u", "bob", &name, "id"])
        .run()
        .exits(125)
        .blames("no user bob in the container's /etc/passwd");
    t.run(["--rm", "-u", "0:bobs", &name, "id"]).run().exits(125).blames("no group bobs");
    t.run(["--rm", "-u", "a b", &name, "id"]).run().exits(125).blames("--user a b");
    nothing_left(t);
}

fn users_of_a_range_keep_their_groups(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"User":"ann","Entrypoint":["sh","-c"]}"#);
    let who = "id -u; id -g; id -G; echo $HOME; stat -c %u /home/ann";
    t.run(["-q", "--rm", &name, who]).run().ok().prints("1000\n100\n100 10 29\n/home/ann\n1000\n");
    t.run(["--rm", "-u", "1000", &name, "id -G"]).run().ok().prints("100 10 29\n");
    t.run(["--rm", "-u", "ann:audio", "--group-add", "wheel", &name, "id -G"]).run().ok().prints("29 10\n");
    t.run(["--rm", "-u", "5:6", &name, "id -G; echo $HOME"]).run().ok().prints("6\n/\n");
    t.run(["-d", "--name", "it", &name, "sleep 1000"]).run().ok();
    t.boxr(["exec", "it", "id", "-G"]).run().ok().prints("100 10 29\n");
    t.boxr(["exec", "-u", "root", "it", "sh", "-c", "id -G; echo new:x:7:7::/:/bin/sh >>/etc/passwd"])
        .run()
        .ok()
        .prints("0 10\n");
    t.boxr(["exec", "-u", "new", "it", "id", "-u"]).run().ok().prints("7\n");
    t.remove(["it"]);
}

fn a_container_is_kept_until_it_is_removed(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script = "cat /kept 2>/dev/null; echo once more >>/kept; rm /etc/group; echo done";
    t.run(["-q", "--name", "it", &name, script]).run().ok().prints("done\n");
    t.boxr(["ps", "-a", "--format", "{{.Names}} {{.State}}"]).run().ok().prints("it exited\n");
    t.boxr(["start", "-a", "it"]).run().shows("once more\ndone\n");
    t.boxr(["logs", "it"]).run().ok().prints("done\nonce more\ndone\n");
    let id = t.boxr(["inspect", "-f", "{{.Id}}", "it"]).run().ok().word();
    let upper = t.layout().root.join("containers").join(&id).join("upper");
    assert_eq!(std::fs::read_to_string(upper.join("kept")).unwrap(), "once more\nonce more\n");
    // Another container of the image has none of it.
    t.run(["--rm", &name, "ls /kept /etc/group"]).run().exits(1).prints("/etc/group\n");
    t.boxr(["rm", "it"]).run().ok();
    assert!(!upper.exists());
    nothing_left(t);
}

fn a_detached_container_is_entered_stopped_and_started(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Env":["A=image"],"WorkingDir":"/srv","StopSignal":"USR1"}"#);
    let script = "trap 'echo stopping; exit 3' USR1; echo up; while :; do sleep 0.05; done";
    let cidfile = t.path("cid");
    let id = t
        .run(["-q", "-d", "--name", "it", "--cidfile", cidfile.to_str().unwrap(), &name, "sh", "-c", script])
        .run()
        .ok()
        .word();
    assert_eq!(std::fs::read_to_string(&cidfile).unwrap(), id);
    t.boxr(["exec", "-e", "B=exec", "it", "sh", "-c", "echo $A $B $HOME; pwd; hostname"])
        .run()
        .ok()
        .prints(&format!("image exec /root\n/srv\n{}\n", &id[..12]));
    t.boxr(["exec", "it", "touch", "/from-exec"]).run().ok();
    boxr_testing::wait_until("the trap is set", || t.boxr(["logs", "it"]).run().text().contains("up"));
    t.boxr(["stop", "it"]).run().ok();
    t.boxr(["wait", "it"]).run().ok().prints("3\n");
    t.boxr(["logs", "it"]).run().ok().prints("up\nstopping\n");
    t.boxr(["restart", "it"]).run().ok();
    t.boxr(["exec", "it", "ls", "/from-exec"]).run().ok();
    t.remove(["it"]);
    nothing_left(t);
}

fn an_image_in_use_stays(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["echo","still here"]}"#);
    t.boxr(["create", "-q", "--name", "it", &name]).run().ok();
    let refused = "unable to remove repository reference";
    t.boxr(["rmi", &name]).run().exits(1).blames(refused).blames("(must force)").blames("rmi --force");
    t.boxr(["image", "prune", "-a", "-f"]).run().ok().shows("Total reclaimed space: 0B");
    t.boxr(["rmi", "-f", &name]).run().ok().prints(&format!("Untagged: {name}\n"));
    t.boxr(["image", "prune", "-f"]).run().ok();
    t.boxr(["start", "-a", "it"]).run().ok().prints("still here\n");
    t.boxr(["rm", "it"]).run().ok();
    t.boxr(["image", "prune", "-f"]).run().ok().shows("deleted: sha256:");
    t.boxr(["images", "-q"]).run().ok().prints("");
    nothing_left(t);
}

/// What a container leaves that was killed between the hold and its record.
fn a_hold_of_nobody_is_none(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["true"]}"#);
    t.run(["-q", "--rm", &name]).run().ok();
    let manifest = t.boxr(["images", "--format", "{{.Digest}}"]).run().ok().word();
    let hold = t.layout().root.join("images/holds").join("a".repeat(64));
    std::os::unix::fs::symlink(manifest, &hold).unwrap();
    t.boxr(["rmi", &name]).run().ok().shows("Deleted: sha256:");
    assert!(hold.symlink_metadata().is_err());
}

fn when_an_image_is_fetched_is_ones_choice(t: &Sandbox) {
    let (server, name) = offered(t, r#"{"Cmd":["echo","old"]}"#);
    t.run(["--rm", "--pull", "never", &name])
        .run()
        .exits(125)
        .blames("no such image")
        .blames("--pull never: it is not fetched");
    t.run(["--rm", "--quiet", &name]).run().ok().prints("old\n");
    server.log();
    t.run(["--rm", "--network", "none", "--pull", "never", &name]).run().ok().quiet().prints("old\n");
    t.run(["--rm", "--network", "none", &name]).run().ok().quiet().prints("old\n");
    assert_eq!(server.log(), [""; 0], "nobody was asked");
    server.put("app", "1", &busybox(t, r#"{"Cmd":["echo","new"]}"#));
    t.run(["--rm", &name]).run().ok().prints("old\n");
    t.run(["--rm", "-q", "--pull", "always", &name]).run().ok().prints("new\n");
    t.run(["--rm", "--pull", "sometimes", &name]).run().exits(125).blames("missing, always, newer or never");
    t.run(["--rm", "--pull", "never", "--platform", "linux/s390x", &name])
        .run()
        .exits(125)
        .blames("is here for linux/")
        .blames("not for linux/s390x")
        .blames("--pull never: it is not fetched");
    let told =
        format!("image {name} is here for linux/{}, not for linux/s390x: it is", images::architecture());
    t.run(["--rm", "--platform", "linux/s390x", &name]).run().blames(&told);
    let id = t.boxr(["images", "-q", &name]).run().ok().word();
    t.run(["--rm", "--platform", "linux/s390x", &id]).run().exits(125).blames("not for linux/s390x");
    server.put("app", "1", &busybox(t, r#"{"Cmd":["echo","newest"]}"#));
    t.run(["--rm", "-q", "--pull", "newer", &name]).run().ok().prints("newest\n");
    let gone = format!("{}/nothing:1", server.host());
    t.run(["--rm", &gone]).run().exits(125).blames("nothing");
    t.run(["--rm", "--pull", "newer", &gone]).run().exits(125).blames("nothing");
    server.require(Auth::Basic("bWU6cGFzcw==".to_owned()));
    let used = format!("image {name} is used as it is here");
    t.run(["--rm", "--pull", "newer", &name]).run().ok().prints("newest\n").blames(&used);
    t.run(["--rm", "-q", "--pull", "always", &name]).run().exits(125);
    nothing_left(t);
}

fn an_image_for_another_machine_is_told(t: &Sandbox) {
    let other = if images::architecture() == "arm64" { "amd64" } else { "arm64" };
    let files = Layer::of_dir(std::path::Path::new(&t.rootfs("root")), Packing::None).tar;
    t.boxr(["import", "-q", "--arch", other, "-", "other"]).stdin(files).run().ok();
    let warned = format!("image other is for linux/{other}, and this machine is linux/");
    t.run(["--rm", "--network", "none", "other", "true"]).run().ok().blames(&warned);
    t.run(["--rm", "--network", "none", "-q", "other", "true"]).run().ok().quiet();
    let said = format!("linux/{other}");
    t.run(["--rm", "--network", "none", "--platform", &said, "other", "true"]).run().ok().quiet();
    t.boxr(["rmi", "other"]).run().ok();
}

fn the_host_sees_no_mount_of_a_container(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    t.run(["-q", "-d", "--name", "it", &name, "sleep", "1000"]).run().ok();
    t.boxr(["exec", "it", "grep", "-c", " / overlay ", "/proc/mounts"]).run().ok().prints("1\n");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = t.layout().root.to_str().unwrap();
    assert!(!mounts.lines().any(|line| line.contains(own)), "{mounts}");
    t.boxr(["exec", "it", "ls", own]).run().exits(1);
    t.remove(["it"]);
    nothing_left(t);
}

fn a_loop_that_reads_lines_can_start_containers(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    for kept in [&["--rm"][..], &["--name", "it"]] {
        t.run(["-q"]).args(kept).args([&name, "cat"]).stdin("not for it\n").run().ok().prints("");
        t.boxr(["rm", "-f", "it"]).run();
        t.run(["-i"]).args(kept).args([&name, "cat"]).stdin("for it\n").run().ok().prints("for it\n");
        t.boxr(["rm", "-f", "it"]).run();
    }
    nothing_left(t);
}

fn files_of_other_owners_go_too(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script = "mkdir -p /a/b && touch /a/b/c && chown -R 1000:1000 /a && chmod 000 /a/b && chmod 500 /a";
    t.run(["-q", "--rm", &name, script]).run().ok();
    t.run(["--name", "it", &name, script]).run().ok();
    t.boxr(["rm", "it"]).run().ok();
    nothing_left(t);
}

/// Its many files take a while to be removed, after its end is known.
fn who_has_stopped_it_may_take_its_name(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script =
        "mkdir /d; cd /d; i=0; while [ $i -lt 3000 ]; do : >$i; i=$((i+1)); done; echo made; exec sleep 1000";
    for end in [&["stop", "-t", "0"][..], &["kill"], &["restart", "-t", "0"]] {
        t.run(["-q", "-d", "--rm", "--network", "none", "--name", "it", &name, script]).run().ok();
        t.boxr(["logs", "-f", "it"]).spawn().expect("made");
        t.boxr(end).arg("it").run().ok();
        if end[0] == "restart" {
            t.boxr(["stop", "-t", "0", "it"]).run().ok();
        }
        t.boxr(["ps", "-aq"]).run().ok().prints("");
    }
    nothing_left(t);
}

fn what_cannot_be_run_is_said(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    t.run(["-q", "--rm", &name]).run().exits(125).blames("no command");
    t.run(["--rm", "-w", "here", &name, "true"]).run().exits(125).blames("--workdir here");
    t.run(["--rm", "--rootfs", "/usr", &name, "true"]).run().exits(125).blames("--rootfs /usr");
    t.run(["--rm", "--entrypoint", "sh", "--", "true"])
        .run()
        .exits(125)
        .blames("--entrypoint needs a container of an image");
    t.run(["--rm", "Name", "true"]).run().exits(125).blames("lower case");
    t.run(["--rm", "--name", "a/b", &name, "true"]).run().exits(125).blames("--name a/b");
    t.run(["--rm", "--dry-run", &name, "true"]).run().ok().shows("root: image ");
    nothing_left(t);
}

fn a_name_can_be_taken_over(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Env":["A=image"]}"#);
    t.run(["-q", "-d", "--name", "it", &name, "sleep", "1000"]).run().ok();
    t.run(["--name", "it", &name, "true"]).run().exits(125).blames("it");
    let merged = ["--env-merge", "A=${A}-merged", "--env-merge", "PATH=/opt:${PATH}"];
    let new =
        t.run(["--replace", "--name", "it"]).args(merged).args([&name, "sh", "-c", "echo $A ${PATH%%:*}"]);
    new.run().ok().prints("image-merged /opt\n");
    t.boxr(["create", "--replace", "--name", "it", &name, "true"]).run().ok();
    t.boxr(["ps", "-a", "--format", "{{.Names}} {{.State}}"]).run().ok().prints("it created\n");
    t.run(["--replace", &name, "true"]).run().exits(125).blames("--replace needs --name");
    t.remove(["it"]);
    nothing_left(t);
}

/// The way to a pasta that comes to an ordinary user's container as late as on a busy machine: it opens the container's
/// namespaces, and has to be able to whatever that has done meanwhile.
fn late_pasta(t: &Sandbox) -> String {
    let (dir, path) = (t.path("late"), std::env::var("PATH").unwrap());
    if let Some(pasta) = Tool::Pasta.path() {
        std::fs::create_dir(&dir).unwrap();
        let script = format!("#!/bin/sh\nsleep 0.2\nexec {} \"$@\"\n", pasta.display());
        std::fs::write(dir.join("pasta"), script).unwrap();
        std::fs::set_permissions(dir.join("pasta"), PermissionsExt::from_mode(0o755)).unwrap();
    }
    format!("{}:{path}", dir.display())
}

fn namespaces_are_as_docker_has_them(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    let path = late_pasta(t);
    let own = |kind: &str, args: &[&str]| {
        let link = format!("/proc/self/ns/{kind}");
        let run = t.run(["-q", "--rm"]).args(args).args([&name, "readlink", &link]).env("PATH", &path);
        let inside = run.run().ok().text();
        inside != Cmd::new("readlink").arg(&link).run().ok().text()
    };
    for kind in ["pid", "mnt", "uts", "ipc", "cgroup"] {
        assert!(own(kind, &[]), "{kind} is the container's own");
    }
    assert!(!own("time", &[]) && own("net", &["--network", "none"]) && !own("net", &["--network", "host"]));
    assert!(
        !own("pid", &["--pid", "host"]) && !own("ipc", &["--ipc", "host"]) && !own("uts", &["--uts", "host"])
    );
}

fn places_for_mounts_are_no_changes(t: &Sandbox) {
    let root = PathBuf::from(t.rootfs("image"));
    for dir in ["proc", "dev", "sys", "etc"] {
        if root.join(dir).exists() {
            std::fs::remove_dir_all(root.join(dir)).unwrap();
        }
    }
    let config = r#"{"Cmd":["cat","/etc/hostname"]}"#;
    let image = Image::new(images::architecture(), config, vec![Layer::of_dir(&root, Packing::Gzip)]);
    let server = Server::start();
    let name = server.put("bare", "1", &image);
    t.run(["-q", "--name", "it", "--hostname", "bare", &name]).run().ok().prints("bare\n");
    let id = t.boxr(["inspect", "-f", "{{.Id}}", "it"]).run().ok().text().trim().to_owned();
    let changes = files_below(&t.layout().root.join("containers").join(id).join("upper"));
    assert!(changes.is_empty(), "{changes:?}");
    t.remove(["it"]);
    nothing_left(t);
}

fn what_goes_anyway_is_not_written_to_the_disk(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["cat","/proc/self/mountinfo"]}"#);
    let is_volatile = |mounts: &str| {
        let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        assert!(root.contains(" - overlay "), "{root}");
        root.contains("volatile")
    };
    assert!(is_volatile(&t.run(["-q", "--rm", &name]).run().ok().text()));
    assert!(!is_volatile(&t.run(["-q", "--name", "kept", &name]).run().ok().text()));
    // Such changes can be mounted again all the same: here for the copy, and for the start.
    t.boxr(["create", "--rm", "--name", "it", &name, "cat", "/told"]).run().ok();
    t.boxr(["cp", &t.file("told", "news\n"), "it:/told"]).run().ok();
    t.boxr(["start", "-a", "it"]).run().ok().prints("news\n");
    t.remove(["kept"]);
    nothing_left(t);
}
