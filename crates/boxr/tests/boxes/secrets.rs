//! Secrets: kept, given to containers, and seen nowhere else.

use std::os::unix::fs::PermissionsExt;

use boxr_testing::images::{self, Image, Layer, Packing, Server};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test};

use super::containers::{OVERLAY, busybox, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(secrets_are_kept_listed_and_removed),
    test!(wrong_secrets_are_refused),
    test!(containers_have_secrets_that_nobody_else_sees, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_place_that_leads_nowhere_is_named, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_store_that_cannot_be_says_why),
    test!(a_container_keeps_the_secret_it_was_made_with, Need::Tool(Tool::Busybox), OVERLAY),
];

fn secrets_are_kept_listed_and_removed(t: &Sandbox) {
    let file = t.file("key", "hush");
    let id = t.boxr(["secret", "create", "--label", "team=blue", "one", &file]).run().ok().word();
    assert_eq!(id.len(), 25, "{id}");
    t.boxr(["secret", "create", "two", "-"]).stdin("from stdin").run().ok();
    t.boxr(["secret", "create", "--env", "three", "WORD"]).env("WORD", "from env").run().ok();
    t.boxr(["secret", "ls", "--format", "{{.Name}} {{.Driver}}"])
        .run()
        .ok()
        .prints("one file\nthree file\ntwo file\n");
    t.boxr(["secret", "ls"]).run().ok().shows("CREATED").shows("ago");
    let filtered = ["secret", "ls", "-q", "--filter", "name=one"];
    t.boxr(filtered).run().ok().prints(&format!("{id}\n"));
    let shown = "{{.ID}} {{.Spec.Name}} {{.Spec.Driver.Name}} {{.Spec.Labels.team}}";
    t.boxr(["secret", "inspect", "-f", shown, &id[..6]]).run().ok().prints(&format!("{id} one file blue\n"));
    let plain = t.boxr(["secret", "inspect", "one"]).run().ok().text();
    assert!(!plain.contains("hush"), "{plain}");
    t.boxr(["secret", "inspect", "--showsecret", "-f", "{{.SecretData}}", "two"])
        .run()
        .ok()
        .prints("from stdin\n");
    let data = t.layout().root.join("secrets/one/data");
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o600);
    let again = ["secret", "create", "one", &file];
    t.boxr(again).run().exits(125).blames("there is a secret one already").blames("--replace");
    let other = t.boxr(["secret", "create", "--replace", "one", "-"]).stdin("other").run().ok().word();
    assert_ne!(other, id);
    assert_eq!(std::fs::read(&data).unwrap(), b"other");
    t.boxr(["secret", "exists", "one"]).run().ok().prints("");
    t.boxr(["secret", "rm", "one"]).run().ok().prints(&format!("{other}\n"));
    t.boxr(["secret", "exists", "one"]).run().exits(1).prints("");
    t.boxr(["system", "df", "--format", "{{.Type}} {{.Size}}"]).run().ok().shows("Orphans 0B");
    t.boxr(["secret", "rm", "--all"]).run().ok();
    t.boxr(["secret", "ls", "-q"]).run().ok().prints("");
    assert_eq!(std::fs::read_dir(t.layout().root.join("secrets")).unwrap().count(), 0);
}

fn wrong_secrets_are_refused(t: &Sandbox) {
    let (file, empty) = (t.file("key", "hush"), t.file("empty", ""));
    let large = t.file("large", vec![b'x'; 600_000]);
    for (words, part) in [
        (["create", "a/b", &file], "no name of a secret"),
        (["create", "a", &empty], "1 to 512000 bytes"),
        (["create", "a", &large], "1 to 512000 bytes"),
        (["create", "a", "/no/such/file"], "cannot read /no/such/file"),
    ] {
        t.boxr(["secret"]).args(words).run().exits(125).blames(part);
    }
    t.boxr(["secret", "create", "-d", "pass", "a", &file]).run().exits(125).blames("file is the only driver");
    t.boxr(["secret", "create", "--env", "a", "NO_SUCH"]).run().exits(125).blames("NO_SUCH is not set");
    t.boxr(["secret", "inspect", "nope"]).run().exits(1).blames("no secret with name or id");
    t.boxr(["secret", "rm", "nope"]).run().exits(1).blames("boxr secret ls");
    t.boxr(["secret", "ls", "-q"]).run().ok().prints("");
    t.run(["--secret", "a", "--", "true"]).run().exits(125).blames("needs a container of an image");
    t.run(["--secret", "a,mode=9", "--", "true"]).run().exits(125).blames("not an octal mode");
}

fn containers_have_secrets_that_nobody_else_sees(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"],"User":"ann"}"#);
    t.boxr(["secret", "create", "key", "-"]).stdin("hush-hush").run().ok();
    let flags = [
        "--secret=key",
        "--secret=key,target=/etc/own/key,uid=1000,gid=1000,mode=0400",
        "--secret=key,target=sub/key",
        "--secret=key,type=env,target=KEY",
    ];
    let script = "cat /run/secrets/key /etc/own/key /run/secrets/sub/key; echo \" $KEY\"; stat -c '%u:%g %a' /run/secrets/key \
                  /etc/own/key; grep -c ' /run/secrets tmpfs ro' /proc/mounts; ls -A /run/secrets; touch /run/secrets/x 2>&1";
    t.run(["-q", "--name", "it", "--network", "none"])
        .args(flags)
        .args([&name, script])
        .run()
        .exits(1)
        .prints(
            "hush-hushhush-hushhush-hush hush-hush\n0:0 444\n1000:1000 400\n1\nkey\nsub\n\
         touch: /run/secrets/x: Read-only file system\n",
        );
    // Nowhere but in the store, which the container has a link to.
    let inspected = t.boxr(["inspect", "it"]).run().ok().text();
    assert!(!inspected.contains("hush"), "{inspected}");
    t.boxr(["inspect", "-f", "{{(index .Config.Secrets 0).Name}}", "it"]).run().ok().prints("key\n");
    let found = std::process::Command::new("grep")
        .args(["-rl", "--exclude=output", "--exclude-dir=secrets", "--exclude-dir=layers", "hush-hush"])
        .args([&t.layout().root, &t.layout().state])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    // The command's own output is in its log.
    let others: Vec<_> = found.lines().filter(|line| !line.contains("/log")).collect();
    assert!(others.is_empty(), "{others:?}");
    let archive = t.path("out.tar").display().to_string();
    t.boxr(["export", "-o", &archive, "it"]).run().ok();
    let bytes = std::fs::read(&archive).unwrap();
    assert!(!bytes.windows(9).any(|window| window == b"hush-hush"));
    t.remove(["it"]);
    t.boxr(["secret", "rm", "key"]).run().ok();
    nothing_left(t);
}

fn a_place_that_leads_nowhere_is_named(t: &Sandbox) {
    let server = Server::start();
    let mut links = tar::Builder::new(Vec::new());
    for (path, target) in [("run/secrets", "/nowhere/secrets"), ("etc/key", "/nowhere/key")] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        links.append_link(&mut header, path, target).unwrap();
    }
    let mut image = busybox(t, r#"{"Cmd":["true"]}"#);
    image.layers.push(Layer::new(links.into_inner().unwrap(), Packing::None));
    let image = Image::new(images::architecture(), r#"{"Cmd":["true"]}"#, image.layers);
    let name = server.put("app", "1", &image);
    t.boxr(["secret", "create", "key", "-"]).stdin("hush").run().ok();
    let run = |secret: &str| t.run(["-q", "--rm", "--network", "none", "--secret", secret, &name]).run();
    run("key").exits(125).blames("/run/secrets").blames("a symbolic link that leads nowhere");
    t.boxr(["secret", "rm", "key"]).run().ok();
    nothing_left(t);
}

fn a_store_that_cannot_be_says_why(t: &Sandbox) {
    let state = t.layout().state.to_str().unwrap();
    for words in [["secret", "ls"], ["volume", "ls"]] {
        // The kernel's own: nobody makes a directory there.
        let args = ["--state", state, "--root", "/sys/boxr"].into_iter().chain(words);
        let out = t.surrounded(Cmd::new(t.program())).args(args).run();
        let why = out.errors();
        assert!(
            !out.status.success() && why.contains("/sys/boxr/") && !why.contains("ENOENT"),
            "{}",
            out.story()
        );
    }
}

fn a_container_keeps_the_secret_it_was_made_with(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    t.boxr(["secret", "create", "key", "-"]).stdin("first").run().ok();
    let script = "cat /run/secrets/key; echo; sleep 1000";
    t.run(["-q", "-d", "--name", "it", "--network", "none", "--secret", "key,uid=5"])
        .args([&name, script])
        .run()
        .ok();
    t.run(["-q", "-d", "--name", "env", "--network", "none", "--secret", "key,type=env"])
        .args([&name, "sleep 1000"])
        .run()
        .ok();
    t.boxr(["secret", "create", "--replace", "key", "-"]).stdin("second").run().ok();
    t.boxr(["secret", "rm", "key"]).run().ok();
    t.boxr(["restart", "-t", "0", "it"]).run().ok();
    t.boxr(["exec", "it", "sh", "-c", "cat /run/secrets/key; stat -c ' %u' /run/secrets/key"])
        .run()
        .ok()
        .prints("first 5\n");
    t.boxr(["exec", "env", "sh", "-c", "echo $key"]).run().ok().prints("first\n");
    t.run(["--rm", "--network", "none", "--secret", "key"])
        .args([&name, ":"])
        .run()
        .exits(125)
        .blames("boxr secret ls");
    t.remove(["it", "env"]);
    nothing_left(t);
}
