//! Whose ids containers of images have on the host.

use std::os::unix::fs::{MetadataExt, chown};

use boxr_testing::{Need, Sandbox, Test, Tool, test};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(root_of_a_container_is_nobody_on_the_host, Need::Tool(Tool::Busybox), OVERLAY, Need::Root, SHIFTED),
    test!(no_two_containers_have_the_same_ids, Need::Tool(Tool::Busybox), OVERLAY, Need::Root, SHIFTED),
    test!(binds_keep_their_owners, Need::Tool(Tool::Busybox), OVERLAY, Need::Root, SHIFTED),
    test!(who_needs_the_host_has_its_ids, Need::Tool(Tool::Busybox), OVERLAY, Need::Root, SHIFTED),
    test!(ids_can_be_mapped_by_hand, Need::Tool(Tool::Busybox), OVERLAY, Need::Root, SHIFTED),
    test!(what_no_kernel_can_is_refused, Need::Tool(Tool::Busybox), OVERLAY, Need::Unprivileged),
    test!(
        who_keeps_his_id_has_it_in_the_container,
        Need::Tool(Tool::Busybox),
        OVERLAY,
        Need::Unprivileged,
        Need::ManyIds,
        SHARED
    ),
    test!(
        files_are_copied_for_other_ids_only_when_asked_for,
        Need::Tool(Tool::Busybox),
        OVERLAY,
        Need::Unprivileged,
        Need::ManyIds
    ),
    test!(
        layers_of_other_ids_go_with_their_image,
        Need::Tool(Tool::Busybox),
        OVERLAY,
        Need::Unprivileged,
        Need::ManyIds,
        SHARED
    ),
    test!(
        who_has_no_id_in_the_container_has_all_else,
        Need::Tool(Tool::Busybox),
        OVERLAY,
        Need::Unprivileged,
        Need::ManyIds,
        SHARED
    ),
    test!(
        a_container_of_others_has_its_volumes_and_binds,
        Need::Tool(Tool::Busybox),
        OVERLAY,
        Need::Unprivileged,
        Need::ManyIds,
        SHARED
    ),
    test!(every_user_can_open_its_output, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
];

/// Layers of an overlay that show other ids.
const SHIFTED: Need = Need::Kernel(5, 19);

/// Data of an overlay's files in a layer of its own, for users too.
const SHARED: Need = Need::Kernel(6, 16);

fn map(t: &Sandbox, name: &str) -> String {
    t.boxr(["inspect", "-f", "{{.UserIds.Mode}} {{(index .UserIds.UidMap 0).host}}", name]).run().ok().word()
}

fn root_of_a_container_is_nobody_on_the_host(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    t.run(["-q", "-d", "--name", "it", "--network", "none", &name, "sleep", "1000"]).run().ok();
    let seen = map(t, "it");
    let first: u32 = seen.strip_prefix("auto ").unwrap().parse().unwrap();
    assert!((0x7000_0000..0x8000_0000).contains(&first), "{seen}");
    let pid = t.boxr(["inspect", "-f", "{{.State.Pid}}", "it"]).run().ok().word();
    assert_eq!(std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(), first);
    // The layers show the container's ids, and what it changes is its own.
    let script = "stat -c '%u:%g' / /bin/busybox /home/ann; touch /made; chown ann /made; stat -c %u /made";
    t.boxr(["exec", "it", "sh", "-c", script]).run().ok().prints("0:0\n0:0\n1000:1000\n1000\n");
    t.boxr(["exec", "-u", "ann", "it", "sh", "-c", "id -u; cat /etc/shadow 2>&1; touch /bin/x 2>&1"])
        .run()
        .exits(1)
        .shows("1000\n");
    let id = t.boxr(["inspect", "-f", "{{.Id}}", "it"]).run().ok().word();
    let upper = t.layout().root.join("containers").join(id).join("upper");
    assert_eq!(std::fs::metadata(upper.join("made")).unwrap().uid(), first + 1000);
    t.boxr(["restart", "-t", "0", "it"]).run().ok();
    t.boxr(["exec", "it", "stat", "-c", "%u", "/made"]).run().ok().prints("1000\n");
    assert_eq!(map(t, "it"), seen, "the files are of these ids");
    t.remove(["it"]);
    nothing_left(t);
}

fn no_two_containers_have_the_same_ids(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    for container in ["one", "two", "three"] {
        t.boxr(["create", "-q", "--name", container, "--network", "none", &name, "true"]).run().ok();
    }
    let mut maps = ["one", "two", "three"].map(|container| map(t, container));
    maps.sort_unstable();
    assert!(maps[0] != maps[1] && maps[1] != maps[2], "{maps:?}");
    t.remove(["one", "two", "three"]);
    let ids = std::fs::read_dir(t.layout().root.join("ids")).unwrap().count();
    assert_eq!(ids, 0, "all were given back");
    nothing_left(t);
}

fn binds_keep_their_owners(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let shared = t.path("shared");
    std::fs::create_dir(&shared).unwrap();
    chown(&shared, Some(1000), Some(1000)).unwrap();
    let volume = format!("{}:/shared", shared.display());
    let script = "stat -c '%u:%g' /shared; touch /shared/made && stat -c %u /shared/made";
    t.run(["-q", "--rm", "--network", "none", "-v", &volume, "-u", "ann", &name, script])
        .run()
        .ok()
        .prints("1000:1000\n1000\n");
    assert_eq!(std::fs::metadata(shared.join("made")).unwrap().uid(), 1000);
    let mount = format!("type=bind,src={},dst=/shared,ro", shared.display());
    t.run(["--rm", "--network", "none", "--mount", &mount, &name, "stat -c %u /shared; touch /shared/x"])
        .run()
        .exits(1)
        .prints("1000\n");
    nothing_left(t);
}

fn who_needs_the_host_has_its_ids(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["cat","/proc/self/uid_map"]}"#);
    let why = "{{.UserIds.Mode}}: {{.UserIds.Why}}";
    for (flags, expected) in [
        (&["--network", "none"][..], "auto: the default"),
        (&["--network", "host"], "host: the host's network"),
        (&["--network", "none", "--privileged"], "host: --privileged"),
        (&["--network", "none", "--pid", "host"], "host: --pid host"),
        (&["--network", "none", "--device", "/dev/zero"], "host: --device"),
        (&["--network", "none", "--userns", "host"], "host: --userns host"),
        (&["--network", "host", "--userns", "auto"], "auto: --userns auto"),
    ] {
        t.run(["-q", "--name", "it"]).args(flags).arg(&name).run().ok();
        t.boxr(["inspect", "-f", why, "it"]).run().ok().prints(&format!("{expected}\n"));
        t.boxr(["rm", "it"]).run().ok();
    }
    for word in ["keep-id", "nomap"] {
        t.run(["--rm", "--userns", word, &name]).run().exits(125).blames(&format!("--userns {word}"));
    }
    t.run(["--userns", "auto", "--", "true"]).run().exits(125).blames("needs a container of an image");
    nothing_left(t);
}

fn ids_can_be_mapped_by_hand(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script = "cat /proc/self/uid_map; stat -c %u /home/ann; touch /made && stat -c %u /made";
    let seen = t.run(["-q", "--rm", "--uidmap", "0:200000:65536", &name, script]).run().ok().text();
    let words: Vec<_> = seen.split_whitespace().collect();
    assert_eq!(words, ["0", "200000", "65536", "1000", "0"]);
}

fn what_no_kernel_can_is_refused(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    t.run(["-q", "--rm", "--userns", "auto", &name, "true"]).run().exits(125).blames("given out by root");
    for (options, part) in [("foo=1", "no option of keep-id"), ("uid=x", "not uid=N"), ("uid", "not uid=N")] {
        let word = format!("keep-id:{options}");
        t.run(["--rm", "--userns", &word, &name, "true"]).run().exits(125).blames(part);
    }
    let of_others = t.run(["--rm", "--uidmap", "0:1:10", "--gidmap", "0:1:10", &name, "true"]).run();
    of_others.exits(125).blames("ids of the caller's own");
    t.boxr(["create", "--name", "it", &name, "true"]).run().ok();
    t.boxr(["inspect", "-f", "{{.UserIds.Mode}}", "it"]).run().ok().prints("caller\n");
    t.remove(["it"]);
    nothing_left(t);
}

fn own(flag: &str) -> String {
    let output = std::process::Command::new("id").arg(flag).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The directories of shifted layers in the store.
fn shifted(t: &Sandbox) -> Vec<std::path::PathBuf> {
    let dir = t.layout().root.join("images/shifted");
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn who_keeps_his_id_has_it_in_the_container(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"],"User":"ann"}"#);
    let (uid, gid) = (own("-u"), own("-g"));
    let shared = t.path("shared");
    std::fs::create_dir(&shared).unwrap();
    let volume = format!("{}:/shared", shared.display());
    let script = "id -u; id -g; stat -c %u:%g /bin/busybox /home/ann /shared; touch /shared/made; grep -c :$(id -u):$(id -g): /etc/passwd; \
                  touch /bin/x 2>&1";
    let line = format!("{uid}\n{gid}\n0:0\n1000:1000\n{uid}:{gid}\n1\ntouch: /bin/x: Permission denied\n");
    let first =
        t.run(["-q", "--rm", "--network", "none", "--userns", "keep-id", "-v", &volume, &name, script]).run();
    first.exits(1).prints(&line).blames("for these ids, once (2 layers)");
    assert_eq!(std::fs::metadata(shared.join("made")).unwrap().uid().to_string(), uid);
    // Root of it is somebody else, who owns what root owns; all of it was laid out once.
    let script =
        "echo more >>/etc/group; touch /made; stat -c %u /made; tail -n 1 /etc/group; stat -c %u /etc/group";
    let second = ["--name", "it", "--network", "none", "--userns", "keep-id", "-u", "0", &name, script];
    t.run(second).run().ok().prints("0\nmore\n0\n").quiet();
    let mode = "{{.UserIds.Mode}} {{.UserIds.Why}} {{.UserIds.Layers}}";
    t.boxr(["inspect", "-f", mode, "it"]).run().ok().prints("keep-id --userns keep-id shared\n");
    // Also from outside, the files belong to whom they belong to in it.
    let archive = t.path("out.tar").display().to_string();
    t.boxr(["export", "-o", &archive, "it"]).run().ok();
    let list = "tar -tvf \"$1\" --numeric-owner made home/ann etc/group | awk '{print $2, $6}' | sort";
    let listed = std::process::Command::new("sh").args(["-c", list, "sh", &archive]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed, "0/0 etc/group\n0/0 made\n1000/1000 home/ann/\n");
    t.remove(["it"]);
    // Another number, by which the caller's own are meant.
    let ids = ["-q", "--rm", "--network", "none", "--userns", "keep-id:uid=7,gid=8,size=2000"];
    let script = "id -u; id -g; touch /shared/too; stat -c %u /shared/too; wc -l </proc/self/uid_map";
    t.run(ids).args(["-v", &volume, &name, script]).run().ok().prints("7\n8\n7\n3\n");
    assert_eq!(std::fs::metadata(shared.join("too")).unwrap().uid().to_string(), uid);
    t.boxr(["rmi", &name]).run().ok();
    nothing_left(t);
}

fn who_has_no_id_in_the_container_has_all_else(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script = "id -u; stat -c %u:%g / /bin/busybox /home/ann; echo more >>/etc/hosts && tail -n 1 /etc/hosts; \
                  touch /made; stat -c %u /made; set -- $(cat /proc/self/uid_map); echo $# $1 $2";
    let run = ["-q", "-d", "--name", "it", "--network", "none", "--userns", "nomap", &name];
    t.run(run).arg(format!("{script}; exec sleep 1000")).run().ok();
    let told = "0\n0:0\n0:0\n1000:1000\nmore\n0\n3 0 1\n";
    boxr_testing::wait_until("it has told", || t.boxr(["logs", "it"]).run().ok().text() == told);
    let pid = t.boxr(["inspect", "-f", "{{.State.Pid}}", "it"]).run().ok().word();
    let owner = std::fs::metadata(format!("/proc/{pid}")).unwrap().uid();
    assert_ne!(owner.to_string(), own("-u"), "nobody in it is the caller");
    let mode = "{{.UserIds.Mode}} {{.UserIds.Why}} {{.UserIds.Layers}}";
    t.boxr(["inspect", "-f", mode, "it"]).run().ok().prints("nomap --userns nomap shared\n");
    // All that is done with others is done with it.
    t.boxr(["exec", "-u", "ann", "it", "sh", "-c", "id -u; touch /bin/x 2>&1"])
        .run()
        .exits(1)
        .shows("1000\n");
    let file = t.file("file", "in\n");
    t.boxr(["cp", &file, "it:/file"]).run().ok();
    t.boxr(["commit", "it", "made"]).run().ok();
    t.boxr(["inspect", "-f", "{{.State.Status}}", "it"]).run().ok().prints("running\n");
    t.boxr(["restart", "-t", "0", "it"]).run().ok();
    t.boxr(["exec", "it", "sh", "-c", "cat /file; stat -c %u /file /etc/hosts"])
        .run()
        .ok()
        .prints("in\n0\n0\n");
    t.boxr(["stop", "-t", "0", "it"]).run().ok();
    t.boxr(["cp", &file, "it:/home/ann/too"]).run().ok();
    t.boxr(["start", "it"]).run().ok();
    t.boxr(["exec", "it", "cat", "/home/ann/too"]).run().ok().prints("in\n");
    t.remove(["it"]);
    t.run(["--rm", "--network", "none", "made", "stat -c %u /file"]).run().ok().prints("0\n");
    t.boxr(["rmi", "made", &name]).run().ok();
    nothing_left(t);
}

fn a_container_of_others_has_its_volumes_and_binds(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let closed = t.path("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::write(closed.join("file"), "bound\n").unwrap();
    let only_mine = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&closed, only_mine).unwrap();
    // The way to it is the caller's alone; what it is, is for everybody.
    let bind = format!("{}:/f:ro", closed.join("file").display());
    let run = ["-q", "--rm", "--network", "none", "--userns", "nomap", "-v", &bind, "-v", "kept:/v", &name];
    let script = "cat /f; stat -c %u /f /v; echo x >/v/f; stat -c %u /v/f";
    t.run(run).arg(script).run().ok().prints("bound\n65534\n0\n0\n");
    t.run(run).arg("cat /v/f").run().ok().prints("x\n");
    t.boxr(["volume", "rm", "kept"]).run().ok();
    // A map by hand, in which the caller is not either.
    let ids = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let is_host = ids.split_whitespace().eq(["0", "0", "4294967295"]);
    if let (true, Some(first)) = (is_host, first_subordinate()) {
        let map = format!("0:{first}:2000");
        let run = ["-q", "--rm", "--network", "none", "--uidmap", &map, "--gidmap", &map, &name];
        t.run(run).arg("id -u; stat -c %u /home/ann").run().ok().prints("0\n1000\n");
    }
    t.boxr(["rmi", &name]).run().ok();
    nothing_left(t);
}

/// The caller's, as /etc/subuid and /etc/subgid have them, where both agree.
fn first_subordinate() -> Option<String> {
    let name = own("-un");
    let of = |path: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let mut fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        fields
            .find(|fields| fields[0] == name)
            .and_then(|fields| fields.get(1).map(|first| (*first).to_owned()))
    };
    of("/etc/subuid").filter(|first| of("/etc/subgid").as_ref() == Some(first))
}

fn files_are_copied_for_other_ids_only_when_asked_for(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script = "id -u; stat -c %u /bin/busybox";
    let flags = ["-q", "--rm", "--network", "none", "--userns", "keep-id:uid=7", "--userns-chown"];
    t.boxr(["pull", "-q", &name]).run().ok();
    // What a boxr that was killed has left is not believed.
    let staging = t.layout().root.join("images/staging");
    let first = t.run(flags).args([&name, script]).run();
    first.ok().prints("7\n0\n").blames("its files are copied for these ids, once");
    let made: Vec<_> = shifted(t).into_iter().filter(|dir| dir.join("fs/bin/busybox").exists()).collect();
    let copy = made[0].join("fs/bin/busybox");
    assert!(std::fs::metadata(&copy).unwrap().blocks() > 0, "data and all");
    let name_of = made[0].file_name().unwrap().to_owned();
    t.boxr(["rmi", &name]).run().ok();
    assert!(shifted(t).is_empty());
    t.boxr(["pull", "-q", &name]).run().ok();
    std::fs::create_dir_all(staging.join(&name_of).join("fs/bin")).unwrap();
    std::fs::write(staging.join(&name_of).join("fs/bin/busybox"), "half").unwrap();
    t.run(flags).args([&name, script]).run().ok().prints("7\n0\n");
    assert!(!staging.join(&name_of).exists());
    t.boxr(["rmi", &name]).run().ok();
    nothing_left(t);
}

fn layers_of_other_ids_go_with_their_image(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    t.run(["-q", "--rm", "--network", "none", "--userns", "keep-id", &name, ":"]).run().ok();
    assert_eq!(shifted(t).len(), 2);
    t.boxr(["system", "df", "-v"]).run().ok();
    let counted = t.boxr(["system", "df", "--format", "{{.Type}} {{.Size}}"]).run().ok().text();
    assert!(counted.contains("Orphans 0B"), "{counted}");
    t.boxr(["rmi", &name]).run().ok();
    assert!(shifted(t).is_empty());
    // One that was made half does not stay either.
    let half = t.layout().root.join("images/staging/sha256.aa.bb");
    std::fs::create_dir_all(half.join("fs")).unwrap();
    t.boxr(["system", "prune", "-f"]).run().ok();
    assert!(!half.exists());
    nothing_left(t);
}

fn every_user_can_open_its_output(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"User":"ann","Entrypoint":["sh","-c"]}"#);
    t.run(["-q", "-d", "--name", "it", "--network", "none", &name, "echo opened >/dev/stdout"]).run().ok();
    t.boxr(["wait", "it"]).run().ok().prints("0\n");
    t.boxr(["logs", "it"]).run().ok().prints("opened\n");
    t.remove(["it"]);
}
