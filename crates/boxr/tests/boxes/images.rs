//! Images: fetching, listing, naming, removing; registries that want a password or fail.

pub mod archives;
pub mod compare;
pub mod mounted;
pub mod platforms;
pub mod push;
pub mod transfer;
pub mod verified;

use boxr_testing::images::{self, Auth, Fault, Image, Layer, Packing, Server};
use boxr_testing::{Need, Sandbox, Test, test, wait_until};
use rustix::process::Signal;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(an_image_is_pulled_listed_and_removed),
    test!(a_pull_says_how_it_goes_on_stderr),
    test!(a_digest_gives_no_tag),
    test!(an_image_has_as_many_names_as_it_is_given),
    test!(an_image_can_be_looked_at),
    test!(what_cannot_be_pulled_is_said),
    test!(all_tags_are_pulled),
    test!(a_password_is_kept_and_used),
    test!(all_passwords_are_forgotten),
    test!(dockers_notary_is_not_asked),
    test!(a_killed_pull_is_continued),
    test!(a_pull_on_a_full_disk_leaves_nothing_half_done, Need::UserNamespaces),
    test!(a_damaged_store_is_mended),
    test!(images_that_nobody_uses_are_pruned),
    test!(a_terminal_shows_bars),
    test!(the_platform_is_chosen),
    test!(root_makes_layers_as_they_are, Need::Root),
    test!(an_ordinary_user_keeps_owners_or_is_told, Need::Unprivileged),
];

/// "me:secret"
const LETTERS: &str = "bWU6c2VjcmV0";
const CONFIG: &str = r#"{"Cmd":["sh"],"Env":["PATH=/bin"],"Labels":{"tier":"front"}}"#;

fn image(seed: &str) -> Image {
    let common = Layer::of_files(&[("etc/common", b"common to all")], Packing::Gzip);
    let own = Layer::of_files(&[("own", seed.as_bytes())], Packing::Zstd);
    Image::new("amd64", CONFIG, vec![common, own])
}

fn config_id(image: &Image) -> String {
    images::digest(&image.config)["sha256:".len()..].to_owned()
}

/// `--platform` is said, so that the tests run on any machine.
fn pull(t: &Sandbox, name: &str) -> boxr_testing::Cmd {
    t.boxr(["pull", "--quiet", "--platform", "linux/amd64", name])
}

fn an_image_is_pulled_listed_and_removed(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let name = server.put("org/app", "1", &image);
    pull(t, &name).run().ok().quiet().prints(&format!("{name}\n"));
    let id = config_id(&image);
    let expected = format!(
        "REPOSITORY                TAG       IMAGE ID       CREATED       SIZE\n{}   1         {}   ",
        &name[..name.len() - 2],
        &id[..12]
    );
    let listed = t.boxr(["images"]).run().ok().quiet().text();
    let (heading, row) = listed.split_once('\n').unwrap();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(heading), words(expected.lines().next().unwrap()), "{listed}");
    assert!(words(row).starts_with(&words(expected.lines().last().unwrap())), "{listed}");
    assert!(row.ends_with("16B\n"), "{listed}");
    t.boxr(["images", "-q", "--no-trunc"]).run().ok().prints(&format!("sha256:{id}\n"));
    let format = "{{.Repository}} {{.Tag}} {{.Digest}}";
    let digest = image.digest();
    t.boxr(["images", "--format", format])
        .run()
        .ok()
        .prints(&format!("{} 1 {digest}\n", &name[..name.len() - 2]));
    for (filter, count) in [
        ("label=tier=front", 1),
        ("label=tier=back", 0),
        ("dangling=true", 0),
        ("containers=false", 1),
        ("containers=true", 0),
        (format!("id={}", &id[..7]).as_str(), 1),
        ("id=0", usize::from(id.starts_with('0'))),
        (format!("after={name}").as_str(), 0),
        ("reference=*:*/org/app:1", 1),
        ("until=2024-06-01", 1),
        ("until=2024-01-01", 0),
    ] {
        let listed = t.boxr(["images", "-q", "-f", filter]).run().ok().text();
        assert_eq!(listed.lines().count(), count, "{filter}");
    }
    t.boxr(["images", "-f", "color=red"]).run().exits(125).blames("no such filter");
    t.boxr(["rmi", &name])
        .run()
        .ok()
        .shows(&format!("Untagged: {name}"))
        .shows(&format!("Deleted: sha256:{id}"));
    t.boxr(["images", "-q"]).run().ok().prints("");
    t.boxr(["rmi", &name]).run().exits(1).blames("no such image").blames("try: ");
    t.boxr(["rmi", "-f", &name]).run().exits(0).blames("no such image");
    t.boxr(["store", "verify"]).run().ok().prints("all is well: 0B read\n");
}

fn a_pull_says_how_it_goes_on_stderr(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let name = server.put("app", "latest", &image);
    let untagged = &name[..name.len() - ":latest".len()];
    let args = ["pull", "--platform", "linux/amd64", untagged];
    let first = t.boxr(args).run().ok().prints(&format!("{name}\n"));
    first
        .blames("Using default tag: latest")
        .blames("latest: Pulling from app")
        .blames(": Pull complete")
        .blames(&format!("Digest: {}", image.digest()))
        .blames(&format!("Status: Downloaded newer image for {name}"));
    t.boxr(args)
        .run()
        .ok()
        .blames(": Already exists")
        .blames(&format!("Status: Image is up to date for {name}"));
}

/// What a tag beside a digest stands for nobody has asked.
fn a_digest_gives_no_tag(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let name = server.put("app", "1", &image);
    let other = server.put("app", "2", &self::image("two"));
    pull(t, &other).run().ok();
    let by_digest = format!("{other}@{}", image.digest());
    pull(t, &by_digest).run().ok().prints(&format!("{by_digest}\n"));
    t.boxr(["images", "--format", "{{.Tag}} {{.ID}}", "--no-trunc", "-f", "dangling=true"])
        .run()
        .ok()
        .prints(&format!("<none> sha256:{}\n", config_id(&image)));
    let id = |name: &str| t.boxr(["image", "inspect", "-f", "{{.Id}}", name]).run().ok().word();
    assert_eq!(id(&other), format!("sha256:{}", config_id(&self::image("two"))), "it has kept its name");
    assert_eq!(id(&by_digest), format!("sha256:{}", config_id(&image)));
    // podman's way to write it.
    pull(t, &format!("docker://{name}")).run().ok().prints(&format!("{name}\n"));
    assert_eq!(id(&name), format!("sha256:{}", config_id(&image)));
    t.boxr(["rmi", "-f", "--all"]).run().ok();
}

fn an_image_has_as_many_names_as_it_is_given(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let name = server.put("app", "1", &image);
    let id = config_id(&image);
    pull(t, &name).run().ok();
    t.boxr(["tag", &name, "mine"]).run().ok().prints("");
    t.boxr(["tag", &id[..12], "quay.io/org/mine:2"]).run().ok().prints("");
    t.boxr(["tag", "mine", "Mine"]).run().exits(1).blames("lower case (try: mine)");
    t.boxr(["tag", "nobody", "mine"]).run().exits(1).blames("no such image: nobody");
    let listed = t.boxr(["images", "--format", "{{.Repository}}:{{.Tag}}"]).run().ok().text();
    let mut names: Vec<_> = listed.lines().collect();
    names.sort_unstable();
    assert_eq!(names, [name.as_str(), "mine:latest", "quay.io/org/mine:2"]);
    t.boxr(["images", "-q"]).run().ok().prints(&format!("{}\n", &id[..12]));
    t.boxr(["rmi", &id[..12]]).run().exits(1).blames("has several names").blames("--force");
    t.boxr(["rmi", "mine"]).run().ok().prints("Untagged: mine:latest\n");
    t.boxr(["image", "rm", "-f", &id[..12]]).run().ok().shows("Deleted: sha256:");
    t.boxr(["image", "ls", "-q"]).run().ok().prints("");
    t.boxr(["image", "lss"])
        .run()
        .exits(125)
        .blames("unknown command image lss")
        .blames("the nearest command is ls");
}

fn an_image_can_be_looked_at(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let name = server.put("app", "1", &image);
    pull(t, &name).run().ok();
    let inspect = |format: &str| t.boxr(["image", "inspect", "-f", format, &name]).run().ok().text();
    assert_eq!(inspect("{{.Id}}"), format!("sha256:{}\n", config_id(&image)));
    assert_eq!(inspect("{{.Config.Cmd}} {{.Architecture}}/{{.Os}}"), "[sh] amd64/linux\n");
    assert_eq!(inspect("{{.RepoTags}} {{.Size}}"), format!("[{name}] 16\n"));
    assert_eq!(inspect("{{index .RootFS.Layers 0}}"), format!("{}\n", images::digest(&image.layers[0].tar)));
    t.boxr(["image", "inspect", &name]).run().ok().shows("\"RepoDigests\": [");
    t.boxr(["image", "inspect", "nobody"]).run().exits(1).prints("[]\n").blames("no such image");
    t.boxr(["history", &name]).run().ok().prints("IMAGE     CREATED   CREATED BY   SIZE      COMMENT\n");
}

fn what_cannot_be_pulled_is_said(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let name = server.put("app", "1", &image);
    pull(t, "Alpine").run().exits(125).blames("lower case (try: alpine)");
    pull(t, &format!("{}/app:2", server.host()))
        .run()
        .exits(1)
        .prints("")
        .blames("has no app:2: manifest unknown");
    server.fail("/manifests/", Fault::Length(100 << 20));
    pull(t, &name).run().exits(1).blames("too long");
    server.fail("/manifests/", Fault::Garbage);
    pull(t, &name).run().exits(1).blames("cannot be used");
    let blob = images::digest(&image.layers[1].blob);
    server.fail(&blob, Fault::Body(vec![b'x'; image.layers[1].blob.len()]));
    pull(t, &name).run().exits(1).prints("");
    t.boxr(["images", "-q"]).run().ok().prints("");
    t.boxr(["pull", "--platform", "linux/riscv/x/y", &name]).run().exits(125).blames("is no platform");
    server.require(Auth::Basic(LETTERS.into()));
    pull(t, &name).run().exits(1).blames("refuses access to app").blames("boxr login");
    server.require(Auth::Nobody);
    pull(t, &name).run().ok();
}

fn all_tags_are_pulled(t: &Sandbox) {
    let server = Server::start();
    let names = ["1", "2", "latest"].map(|tag| server.put("app", tag, &image(tag)));
    server.put_file("/v2/app/tags/list", br#"{"name":"app","tags":["1","2","latest"]}"#);
    server.put_file("/v2/none/tags/list", br#"{"name":"none","tags":null}"#);
    server.put_file("/v2/bad/tags/list", br#"{"tags":["../x"]}"#);
    let host = server.host();
    let all = |name: &str| t.boxr(["pull", "-q", "-a", &format!("{host}/{name}")]).run();
    all("app").ok().prints(&names.iter().map(|name| format!("{name}\n")).collect::<String>());
    t.boxr(["images", "--format", "{{.Tag}}"]).run().ok().shows("latest");
    all("app:1").exits(125).blames("without tag");
    all("none").exits(1).blames("has no tag");
    all("bad").exits(1);
    all("nothing").exits(1);
    t.boxr(["rmi", "-f"]).args(&names).run().ok();
}

fn a_password_is_kept_and_used(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let (name, host) = (server.put("app", "1", &image), server.host());
    for auth in [Auth::Basic(LETTERS.into()), Auth::Bearer(LETTERS.into())] {
        server.require(auth);
        let login = |password: &str| {
            t.boxr(["login", "--username", "me", "--password-stdin", &host])
                .stdin(format!("{password}\n"))
                .run()
        };
        login("wrong").exits(1).prints("").blames("refuses access");
        pull(t, &name).run().exits(1);
        login("secret").ok().prints("Login Succeeded\n");
        t.boxr(["login", "--get-login", &host]).run().ok().prints("me\n");
        let file = std::fs::read_to_string(t.layout().home.join(".docker/config.json")).unwrap();
        assert!(file.contains(LETTERS) && file.contains(&host), "{file}");
        pull(t, &name).run().ok();
        t.boxr(["logout", &host]).run().ok().prints(&format!("Removing login credentials for {host}\n"));
        t.boxr(["logout", &host]).run().ok().prints(&format!("Not logged in to {host}\n"));
        pull(t, &name).run().exits(1);
        t.boxr(["pull", "-q", "--platform", "linux/amd64", "--creds", "me:secret", &name]).run().ok();
    }
    t.boxr(["login", "--get-login", &host]).run().exits(125).blames("not logged in");
    t.boxr(["login", &host]).stdin("").run().exits(125).blames("no terminal");
}

fn all_passwords_are_forgotten(t: &Sandbox) {
    let text = format!(
        r#"{{"auths":{{"a.example":{{"auth":"{LETTERS}"}},"b.example":{{"auth":"{LETTERS}"}}}},"kept":1}}"#
    );
    let (one, other) = (t.layout().home.join(".docker/config.json"), t.path("auth.json"));
    std::fs::create_dir_all(one.parent().unwrap()).unwrap();
    [&one, &other].into_iter().for_each(|path| std::fs::write(path, &text).unwrap());
    t.boxr(["logout", "--all", "a.example"]).run().exits(125).blames("--all takes no registry");
    let all = "Removed login credentials for all registries\n";
    t.boxr(["logout", "--all", "--authfile", other.to_str().unwrap()]).run().ok().prints(all);
    let read = |path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&one), text, "the other file");
    assert!(!read(&other).contains("example") && read(&other).contains("\"kept\": 1"), "{}", read(&other));
    t.boxr(["login", "--get-login", "a.example"]).run().ok().prints("me\n");
    for _ in 0..2 {
        t.boxr(["logout", "-a"]).run().ok().prints(all);
    }
    t.boxr(["login", "--get-login", "a.example"]).run().exits(125).blames("not logged in");
}

fn dockers_notary_is_not_asked(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let name = server.put("app", "1", &image);
    pull(t, &name).arg("--disable-content-trust").run().ok();
    t.boxr(["push", "-q", "--disable-content-trust=true", &name]).run().ok();
    pull(t, &name).arg("--disable-content-trust=false").run().exits(125).blames("notary has no client here");
    t.boxr(["push", "--disable-content-trust=false", &name]).run().exits(125).blames("notary");
    t.boxr(["rmi", &name]).run().ok();
}

fn a_killed_pull_is_continued(t: &Sandbox) {
    let noise: Vec<u8> =
        (0..200_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let image = Image::new("amd64", "{}", vec![Layer::of_files(&[("noise", &noise)], Packing::None)]);
    let server = Server::start();
    let name = server.put("app", "1", &image);
    let blob = images::digest(&image.layers[0].blob);
    // The answer comes to a stop until the client is gone.
    server.fail(&blob, Fault::StallAfter(100_000));
    let running = pull(t, &name).spawn();
    server.wait_for_stall();
    let ingest = t.layout().root.join("images/ingest").join(blob.replace(':', "."));
    wait_until("some of the layer is on disk", || {
        std::fs::metadata(&ingest).is_ok_and(|file| file.len() > 0)
    });
    running.signal(Signal::KILL);
    running.finish().killed_by(Signal::KILL);
    t.boxr(["images", "-q"]).run().ok().prints("");
    server.log();
    pull(t, &name).run().ok();
    let ranged = server.log().into_iter().filter(|line| line.contains(&blob)).collect::<Vec<_>>();
    assert!(ranged.len() == 1 && ranged[0].contains("bytes="), "{ranged:?}");
    t.boxr(["store", "verify"]).run().ok().shows("all is well");
}

fn a_pull_on_a_full_disk_leaves_nothing_half_done(t: &Sandbox) {
    let (server, boxr) = (Server::start(), t.program().to_str().unwrap());
    let files: Vec<_> = (0..3).map(|number| (format!("dir{number}/file"), vec![number; 6000])).collect();
    let files: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let layers = vec![Layer::of_files(&files, Packing::None), Layer::of_files(&files[..1], Packing::Gzip)];
    let name = server.put("app", "1", &Image::new("amd64", CONFIG, layers));
    // A page more each time, then an inode more, until all fits. What there is of the image is whole; with space it is pulled.
    let script = format!(
        "mkdir small; b='{boxr} --state state --root small/root'
         pull() {{ $b pull -q --platform linux/amd64 {name}; }}
         for least in size=%dk,nr_inodes=900:4:4 size=9m,nr_inodes=%d:13:1; do
           at=${{least#*:}}; step=${{at#*:}}; at=${{at%:*}}; full=0
           until mount -t tmpfs -o $(printf ${{least%%:*}} $at) none small; pull >/dev/null; do
             full=$((full + 1)); at=$((at + step)); [ $full -lt 200 ] || exit 1
             mount -o remount,size=9m,nr_inodes=900 small
             $b store verify >/dev/null || echo damaged by $at
             pull >/dev/null && $b store verify >/dev/null || echo no pull after $at
             ls -d small/root/images/staging/* small/root/images/ingest/* small/root/images/leases/* 2>/dev/null
             umount small
           done
           umount small; [ $full -gt 15 ] && echo tried
         done"
    );
    let flags = if rustix::process::geteuid().is_root() { "host" } else { "new" };
    let out = t.run(["--userns", flags, "--", "sh", "-c", &script]).run();
    assert_eq!(out.text(), "tried\ntried\n", "{}", out.story());
    out.blames("cannot write").blames("ENOSPC").blames("boxr image prune").blames("boxr system df");
}

fn a_damaged_store_is_mended(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let name = server.put("app", "1", &image);
    pull(t, &name).run().ok();
    let blob = images::digest(&image.layers[1].blob);
    let path = t.layout().root.join("images/blobs/sha256").join(&blob["sha256:".len()..]);
    std::fs::write(&path, "rotten").unwrap();
    t.boxr(["store", "verify"]).run().exits(1).shows(&format!("blob {blob}: damaged")).blames("--repair");
    server.log();
    t.boxr(["store", "verify", "--repair"]).run().ok().shows(&format!("blob {blob}: mended"));
    assert_eq!(server.log().iter().filter(|line| line.contains("/blobs/")).count(), 1);
    t.boxr(["store", "verify"]).run().ok().shows("all is well");
    // The files of a layer, which containers have.
    let file = verified::first_file(&t.layout().root.join("images/layers"));
    for harm in [b"".as_slice(), b"rotten"] {
        std::fs::write(&file, harm).unwrap();
        t.boxr(["store", "verify"]).run().exits(1).shows("is another than in the blob").blames("--repair");
        t.boxr(["store", "verify", "--repair"]).run().ok().shows(": mended");
        t.boxr(["store", "verify"]).run().ok().shows("all is well");
    }
    t.boxr(["store", "verify"]).run().ok();
    let left = std::fs::read_dir(t.layout().root.join("images/staging")).unwrap().map(|entry| entry.unwrap());
    assert!(!left.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("check.")));
}

fn images_that_nobody_uses_are_pruned(t: &Sandbox) {
    let (server, old, new) = (Server::start(), image("old"), image("new"));
    let name = server.put("app", "1", &old);
    pull(t, &name).run().ok();
    server.put("app", "1", &new);
    pull(t, &name).run().ok();
    let ids = t.boxr(["images", "-q"]).run().ok().text();
    assert_eq!(ids.lines().count(), 2);
    t.boxr(["image", "prune"]).stdin("").run().exits(125).blames("boxr image prune --force");
    let pruned = t.boxr(["image", "prune", "-f"]).run().ok();
    pruned.shows(&format!("deleted: sha256:{}", config_id(&old))).shows("Total reclaimed space: ");
    t.boxr(["images", "-q"]).run().ok().prints(&format!("{}\n", &config_id(&new)[..12]));
    t.boxr(["image", "prune", "-af"]).run().ok().shows(&format!("untagged: {name}"));
    t.boxr(["image", "prune", "-af"]).run().ok().prints("Total reclaimed space: 0B\n");
}

fn a_terminal_shows_bars(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let name = server.put("app", "1", &image);
    let mut terminal = t.terminal(24, 80, &["pull", "--platform", "linux/amd64", &name]);
    terminal.expect("Pull complete");
    terminal.expect("Status: Downloaded newer image");
    terminal.finish().exits(0);
}

fn the_platform_is_chosen(t: &Sandbox) {
    let (server, amd) = (Server::start(), image("amd"));
    let arm = Image::new("arm64", CONFIG, image("arm").layers);
    server.put_parts("app", &amd);
    server.put_parts("app", &arm);
    server.put_manifest("app", "1", images::INDEX, &images::index(&[("amd64", &amd), ("arm64", &arm)]));
    let name = format!("{}/app:1", server.host());
    for (platform, image) in [("linux/arm64", &arm), ("amd64", &amd)] {
        t.boxr(["pull", "-q", "--platform", platform, &name]).run().ok();
        let id = t.boxr(["image", "inspect", "-f", "{{.Id}}", &name]).run().ok().text();
        assert_eq!(id, format!("sha256:{}\n", config_id(image)));
    }
    let refused = t.boxr(["pull", "-q", "--platform", "linux/s390x", &name]).run().exits(1);
    refused.blames("no image for linux/s390x").blames("linux/amd64, linux/arm64");
}

/// A layer of one file of somebody else's.
fn foreign() -> Image {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o4755);
    header.set_size(0);
    header.set_uid(1234);
    header.set_gid(5678);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, "file", &b""[..]).unwrap();
    Image::new("amd64", "{}", vec![Layer::new(builder.into_inner().unwrap(), Packing::Gzip)])
}

/// Where the only layer of an image is unpacked.
fn only_layer(t: &Sandbox, name: &str) -> std::path::PathBuf {
    t.boxr(["image", "inspect", "-f", "{{.GraphDriver.Data.LowerDir}}", name]).run().ok().text().trim().into()
}

fn root_makes_layers_as_they_are(t: &Sandbox) {
    use std::os::unix::fs::MetadataExt;
    let server = Server::start();
    let name = server.put("app", "1", &foreign());
    pull(t, &name).run().ok().quiet();
    let file = std::fs::metadata(only_layer(t, &name).join("file")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (1234, 5678, 0o4755));
}

fn an_ordinary_user_keeps_owners_or_is_told(t: &Sandbox) {
    use std::os::unix::fs::MetadataExt;
    let server = Server::start();
    let name = server.put("app", "1", &foreign());
    let pulled = t.boxr(["pull", "--platform", "linux/amd64", &name]).run().ok();
    let uid = std::fs::metadata(only_layer(t, &name).join("file")).unwrap().uid();
    let own = rustix::process::geteuid().as_raw();
    if Need::SubordinateIds.missing().is_some() {
        pulled.blames("warning: 1 files belong to other users in the image, and to you here");
        assert_eq!(uid, own);
    } else {
        assert!(uid != own && !pulled.errors().contains("warning"), "{uid}");
    }
    // Only this way can it be removed, too.
    t.boxr(["rmi", &name]).run().ok();
    assert_eq!(std::fs::read_dir(t.layout().root.join("images/layers")).unwrap().count(), 0);
}
