//! Images of all platforms of an index, with the index.

use boxr_testing::images::{INDEX, Image, Layer, Packing, Server, digest, index};
use boxr_testing::leaks::files_below;
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test};

use super::compare::start_registry;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(an_index_is_pulled_and_pushed_as_it_is),
    test!(images_of_other_platforms_are_no_orphans),
    test!(an_index_is_saved_and_loaded),
    test!(what_is_damaged_of_other_platforms_is_mended),
    test!(an_index_that_changes_is_pulled_again),
    test!(what_is_not_here_for_all_platforms_is_said),
    test!(one_of_an_index_is_chosen),
    test!(one_that_was_pulled_under_the_same_name_is_chosen),
    test!(skopeo_reads_what_was_chosen, Need::Tool(Tool::Skopeo)),
    test!(
        skopeo_and_dockers_registry_have_the_same_index,
        Need::Tool(Tool::DockerRegistry),
        Need::Tool(Tool::Skopeo)
    ),
];

/// One for each of two platforms, with a layer that both have, and what is of no platform.
struct Offered {
    server: Server,
    images: [Image; 2],
    index: Vec<u8>,
    name: String,
}

/// What an image says of its containers, and how it was made.
const CONFIG: &str = r#"{"Cmd":["sh"]},"history":[{"created":"2024-05-06T07:08:09.5Z","created_by":"common"},{"created_by":"own"},{"empty_layer":true}]"#;

fn image(architecture: &str, seed: &str) -> Image {
    let common = Layer::of_files(&[("etc/common", b"common to all")], Packing::Gzip);
    let own = Layer::of_files(&[("own", format!("{seed} {architecture}").as_bytes())], Packing::None);
    Image::new(architecture, CONFIG, vec![common, own])
}

/// What a build leaves beside its images.
fn attestation() -> Image {
    let mut attestation = image("unknown", "attestation");
    attestation.layers.truncate(1);
    let text = String::from_utf8(attestation.manifest).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut one = all.clone();
    one["layers"].as_array_mut().unwrap().truncate(1);
    attestation.manifest = serde_json::to_vec(&one).unwrap();
    attestation
}

impl Offered {
    fn new(seed: &str) -> Self {
        let images = ["amd64", "arm64"].map(|architecture| image(architecture, seed));
        let server = Server::start();
        let (index, name) = put(&server, "1", &images);
        Self { server, images, index, name }
    }

    fn digest(&self) -> String {
        digest(&self.index)
    }
}

/// Puts an index in; its bytes and its name.
fn put(server: &Server, tag: &str, images: &[Image; 2]) -> (Vec<u8>, String) {
    let attestation = attestation();
    images.iter().chain([&attestation]).for_each(|image| server.put_parts("app", image));
    let index = index(&[("amd64", &images[0]), ("arm64", &images[1]), ("unknown", &attestation)]);
    server.put_manifest("app", tag, INDEX, &index);
    (index, format!("{}/app:{tag}", server.host()))
}

fn pull(t: &Sandbox, name: &str) -> Cmd {
    t.boxr(["pull", "-q", "--all-platforms", "--platform", "linux/amd64", name])
}

fn blobs(t: &Sandbox) -> usize {
    files_below(&t.layout().root.join("images/blobs")).len()
}

/// All of it goes with the image.
#[track_caller]
fn clear(t: &Sandbox) {
    t.boxr(["rmi", "-f", "--all"]).run().ok();
    assert_eq!(blobs(t), 0);
    t.boxr(["store", "verify"]).run().ok().prints("all is well: 0B read\n");
}

#[track_caller]
fn has_whole(server: &Server, repository: &str, tag: &str, offered: &Offered) {
    let content = |path: String| server.content(&format!("/v2/{repository}/{path}"));
    assert_eq!(content(format!("manifests/{tag}")).as_deref(), Some(&offered.index[..]));
    for image in &offered.images {
        assert_eq!(content(format!("manifests/{}", image.digest())).as_deref(), Some(&image.manifest[..]));
        for blob in image.layers.iter().map(|layer| &layer.blob).chain([&image.config]) {
            assert_eq!(content(format!("blobs/{}", digest(blob))).as_ref(), Some(blob));
        }
    }
}

fn an_index_is_pulled_and_pushed_as_it_is(t: &Sandbox) {
    let (offered, other) = (Offered::new("one"), Server::start());
    let to = format!("{}/org/app:2", other.host());
    pull(t, &offered.name).run().ok().quiet().prints(&format!("{}\n", offered.name));
    let line = format!("2: digest: {} size: {}\n", offered.digest(), offered.index.len());
    t.boxr(["push", "--all-platforms", &offered.name, &to]).run().ok().prints(&line);
    has_whole(&other, "org/app", "2", &offered);
    let shown = t.boxr(["image", "inspect", "-f", "{{.RepoDigests}}", &offered.name]).run().ok();
    shown.shows(&format!("{}/org/app@{}", other.host(), offered.digest()));
    // By an id and another name, which is of the same index.
    let id = t.boxr(["images", "-q"]).run().ok().word();
    t.boxr(["tag", &id, &format!("{}/app:3", other.host())]).run().ok();
    t.boxr(["push", "-q", "--all-platforms", &format!("{}/app:3", other.host())]).run().ok();
    has_whole(&other, "app", "3", &offered);
    // Without the flag an image is what it was: of one platform. Its plain layer is packed.
    t.boxr(["push", "-q", &offered.name, &format!("{}/one:1", other.host())]).run().ok();
    let pushed = String::from_utf8(other.content("/v2/one/manifests/1").unwrap()).unwrap();
    assert!(pushed.contains("tar+gzip") && !pushed.contains("manifests"), "{pushed}");
    clear(t);
}

fn images_of_other_platforms_are_no_orphans(t: &Sandbox) {
    let offered = Offered::new("one");
    t.boxr(["pull", "-q", "--platform", "linux/amd64", &offered.name]).run().ok();
    // A manifest, its configuration and two layers.
    assert_eq!(blobs(t), 4);
    let size = t.boxr(["images", "--format", "{{.Size}}"]).run().ok().text();
    let said = t.boxr(["pull", "--all-platforms", "--platform", "linux/amd64", &offered.name]).run().ok();
    said.blames(&format!("Digest: {}", offered.digest())).blames("Downloaded newer image");
    // Besides: the index, another manifest with its configuration and one layer, and two of the attestation.
    assert_eq!(blobs(t), 10);
    t.boxr(["images", "--format", "{{.Size}}"]).run().ok().prints(&size);
    t.boxr(["image", "prune", "-f"]).run().ok().prints("Total reclaimed space: 0B\n");
    t.boxr(["system", "prune", "-f"]).run().ok();
    assert_eq!(blobs(t), 10);
    let lines = t.boxr(["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Size}}"]).run().ok();
    lines.shows("Images 1 ").shows("Orphans 0 0B");
    t.boxr(["store", "verify"]).run().ok().shows("all is well");
    let format = "{{range .Manifests}}{{.Kind}} {{.Platform}} {{.Available}}\n{{end}}";
    t.boxr(["image", "inspect", "-f", format, &offered.name])
        .run()
        .ok()
        .prints("image linux/amd64 true\nimage linux/arm64 true\nimage linux/unknown true\n\n");
    // Once more: everything is here. A plain pull takes nothing away.
    offered.server.log();
    pull(t, &offered.name).run().ok();
    assert!(!offered.server.log().iter().any(|line| line.contains("/blobs/")));
    t.boxr(["pull", "-q", "--platform", "linux/amd64", &offered.name]).run().ok();
    t.boxr(["image", "prune", "-f"]).run().ok();
    assert_eq!(blobs(t), 10);
    clear(t);
}

fn an_index_is_saved_and_loaded(t: &Sandbox) {
    let (offered, other) = (Offered::new("one"), Server::start());
    pull(t, &offered.name).run().ok();
    for format in ["oci-archive", "oci-dir"] {
        let file = t.path(&format!("saved-{format}")).display().to_string();
        t.boxr(["save", "--all-platforms", "--format", format, "-o", &file, &offered.name])
            .run()
            .ok()
            .quiet();
        clear(t);
        // Without the flag the image of one platform is taken, as ever.
        t.boxr(["load", "-q", "--platform", "linux/arm64", "-i", &file]).run().ok();
        assert_eq!(blobs(t), 4);
        clear(t);
        t.boxr(["load", "-q", "--all-platforms", "--platform", "linux/arm64", "-i", &file])
            .run()
            .ok()
            .prints(&format!("Loaded image: {}\n", offered.name));
        t.boxr(["store", "verify"]).run().ok().shows("all is well");
        let to = format!("{}/{format}:1", other.host());
        t.boxr(["push", "-q", "--all-platforms", &offered.name, &to]).run().ok();
        has_whole(&other, format, "1", &offered);
    }
    clear(t);
}

fn what_is_damaged_of_other_platforms_is_mended(t: &Sandbox) {
    let offered = Offered::new("one");
    pull(t, &offered.name).run().ok();
    let other = &offered.images[1];
    let lost = [digest(&other.layers[1].blob), digest(&other.config), other.digest(), offered.digest()];
    let path = |digest: &str| t.layout().root.join("images/blobs/sha256").join(&digest["sha256:".len()..]);
    std::fs::write(path(&lost[0]), "rotten").unwrap();
    lost[1..].iter().for_each(|digest| std::fs::remove_file(path(digest)).unwrap());
    let found = t.boxr(["store", "verify"]).run().exits(1);
    let found = found.shows(&format!("blob {}: damaged", lost[0]));
    lost[1..].iter().fold(found, |found, digest| found.shows(&format!("blob {digest}: missing")));
    let mended = t.boxr(["store", "verify", "--repair"]).run().ok();
    lost.iter().fold(mended, |mended, digest| mended.shows(&format!("blob {digest}: mended")));
    t.boxr(["store", "verify"]).run().ok().shows("all is well");
    clear(t);
}

fn an_index_that_changes_is_pulled_again(t: &Sandbox) {
    let offered = Offered::new("one");
    pull(t, &offered.name).run().ok();
    // Only the image of the other platform is another.
    let images = [offered.images[0].clone(), image("arm64", "two")];
    let (index, name) = put(&offered.server, "1", &images);
    pull(t, &name).run().ok();
    let to = Server::start();
    t.boxr(["push", "--all-platforms", &name, &format!("{}/app:1", to.host())])
        .run()
        .ok()
        .shows(&digest(&index));
    // What the name stood for before goes.
    t.boxr(["image", "prune", "-f"]).run().ok();
    assert_eq!(blobs(t), 10);
    // Under another name it is another index of the same image.
    put(&offered.server, "2", &offered.images);
    let second = format!("{}/app:2", offered.server.host());
    pull(t, &second).run().ok();
    for (name, index) in [(&name, &index), (&second, &offered.index)] {
        t.boxr(["push", "--all-platforms", name, &format!("{}/app:x", to.host())])
            .run()
            .ok()
            .shows(&digest(index));
    }
    let third = format!("{}/app:3", to.host());
    t.boxr(["tag", &name, &third]).run().ok();
    t.boxr(["push", "--all-platforms", &third]).run().exits(1).blames("one of several indexes").blames(&name);
    // A pull of one platform learns that the name stands for another index, which is not here.
    put(&offered.server, "1", &[offered.images[0].clone(), image("arm64", "three")]);
    t.boxr(["pull", "-q", "--platform", "linux/amd64", &name]).run().ok();
    t.boxr(["push", "--all-platforms", &name, &format!("{}/app:y", to.host())])
        .run()
        .exits(1)
        .blames("here for one platform only");
    // The other one's is, and a name that was given here means the only one.
    t.boxr(["push", "--all-platforms", &third]).run().ok().shows(&offered.digest());
    clear(t);
}

fn what_is_not_here_for_all_platforms_is_said(t: &Sandbox) {
    let offered = Offered::new("one");
    t.boxr(["pull", "-q", "--platform", "linux/amd64", &offered.name]).run().ok();
    let file = t.path("saved").display().to_string();
    let pushed = t.boxr(["push", "--all-platforms", &offered.name]).run();
    let saved =
        t.boxr(["save", "--all-platforms", "--format", "oci-archive", "-o", &file, &offered.name]).run();
    for failed in [pushed, saved] {
        failed
            .exits(1)
            .blames("is here for one platform only")
            .blames(&format!("boxr pull --all-platforms {}", offered.name));
    }
    assert!(!t.path("saved").exists());
    pull(t, &offered.name).run().ok();
    t.boxr(["save", "--all-platforms", "-o", &file, &offered.name])
        .run()
        .exits(125)
        .blames("docker's archives have images of one platform");
    // An image that is no index's is whole as it is.
    let alone = offered.server.put("alone", "1", &offered.images[0]);
    pull(t, &alone).run().ok();
    // Of an index that is not whole nothing is kept, and what was here stays.
    let missing = image("s390x", "missing");
    let broken = index(&[("amd64", &offered.images[0]), ("s390x", &missing)]);
    offered.server.put_manifest("app", "broken", INDEX, &broken);
    let broken = format!("{}/app:broken", offered.server.host());
    pull(t, &broken).run().exits(1).blames(&missing.digest());
    t.boxr(["image", "inspect", &broken]).run().exits(1);
    t.boxr(["store", "verify"]).run().ok();
    clear(t);
}

fn one_of_an_index_is_chosen(t: &Sandbox) {
    let (offered, other) = (Offered::new("one"), Server::start());
    pull(t, &offered.name).run().ok();
    let arm = &offered.images[1];
    let arm64 = ["--platform", "linux/arm64", offered.name.as_str()];
    let format = "{{.Id}} {{.Architecture}} {{.Size}} {{json .GraphDriver.Data}} {{.RepoTags}}";
    let shown = format!("{} arm64 22 null [{}]\n", digest(&arm.config), offered.name);
    t.boxr(["image", "inspect", "-f", format]).args(arm64).run().ok().prints(&shown);
    // By its id, which is that of this machine's, and by the index it came from.
    let id = t.boxr(["images", "-q"]).run().ok().word();
    let by_digest = format!("{}@{}", offered.name, offered.digest());
    for word in [&id, &by_digest] {
        t.boxr(["image", "inspect", "-f", "{{.Id}}", "--platform", "arm64", word])
            .run()
            .ok()
            .prints(&format!("{}\n", digest(&arm.config)));
    }
    t.boxr(["image", "inspect", "-f", "{{.Architecture}}", "--platform", "linux/amd64", &offered.name])
        .run()
        .ok()
        .prints("amd64\n");
    let short = &digest(&arm.config)["sha256:".len()..][..12];
    let steps = format!("{short} 0B\n<missing> 9B\n<missing> 13B\n");
    t.boxr(["history", "--format", "{{.ID}} {{.Size}}"]).args(arm64).run().ok().prints(&steps);
    t.boxr(["history", "--human=false", "--format", "{{.CreatedSince}}"])
        .args(arm64)
        .run()
        .ok()
        .shows("\n2024-05-06T07:08:09Z\n");
    // As it came, which its descriptor in an index says.
    let to = format!("{}/one:1", other.host());
    t.boxr(["push", "-q", "--platform", "linux/arm64", &offered.name, &to]).run().ok();
    let pushed = String::from_utf8(other.content("/v2/one/manifests/1").unwrap()).unwrap();
    assert!(pushed.contains(&digest(&arm.config)), "{pushed}");
    let known = t.boxr(["image", "inspect", "-f", "{{.RepoDigests}}", &offered.name]).run().ok().text();
    assert!(!known.contains(&other.host()), "it is not what was pushed: {known}");
    // What no platform fits, and what contradicts itself.
    let s390x = ["--platform", "linux/s390x", offered.name.as_str()];
    for command in ["push", "save", "history"] {
        t.boxr([command]).args(s390x).run().exits(1).blames("is here for linux/amd64, linux/arm64, not for");
    }
    t.boxr(["image", "inspect"]).args(s390x).run().exits(1).blames("boxr pull --platform linux/s390x");
    t.boxr(["push", "--all-platforms"]).args(arm64).run().exits(125).blames("--all-platforms are all");
    t.boxr(["history", "--platform", "a/b/c/d", &offered.name]).run().exits(125).blames("is no platform");
    clear(t);
}

fn one_that_was_pulled_under_the_same_name_is_chosen(t: &Sandbox) {
    let offered = Offered::new("one");
    for platform in ["linux/amd64", "linux/arm64"] {
        t.boxr(["pull", "-q", "--platform", platform, &offered.name]).run().ok();
    }
    let id = |platform: &str| {
        let args = ["image", "inspect", "-f", "{{.Id}}", "--platform", platform, &offered.name];
        t.boxr(args).run().ok().word()
    };
    assert_eq!([id("linux/amd64"), id("linux/arm64")], [0, 1].map(|at| digest(&offered.images[at].config)));
    // The name stands for another index by now, of which only this image is here.
    let images = [image("amd64", "two"), image("arm64", "two")];
    put(&offered.server, "1", &images);
    t.boxr(["pull", "-q", "--platform", "linux/arm64", &offered.name]).run().ok();
    assert_eq!(id("linux/arm64"), digest(&images[1].config));
    t.boxr(["history", "--platform", "linux/amd64", &offered.name])
        .run()
        .exits(1)
        .blames("is here for linux/arm64, not for linux/amd64");
    clear(t);
}

fn skopeo_reads_what_was_chosen(t: &Sandbox) {
    let offered = Offered::new("one");
    pull(t, &offered.name).run().ok();
    for (format, kind) in
        [("docker-archive", "docker-archive"), ("oci-archive", "oci-archive"), ("oci-dir", "oci")]
    {
        let file = t.path(&format!("saved-{format}")).display().to_string();
        t.boxr(["save", "--platform", "linux/arm64", "--format", format, "-o", &file, &offered.name])
            .run()
            .ok();
        let inspect =
            ["inspect", "--override-arch", "arm64", "--format", "{{.Architecture}} {{len .Layers}}"];
        Cmd::new("skopeo").args(inspect).arg(format!("{kind}:{file}")).run().ok().prints("arm64 2\n");
    }
    clear(t);
}

fn skopeo_and_dockers_registry_have_the_same_index(t: &Sandbox) {
    let offered = Offered::new("one");
    pull(t, &offered.name).run().ok();
    let (registry, host) = start_registry(t);
    let to = format!("{host}/org/app:1");
    t.boxr(["push", "--all-platforms", &offered.name, &to])
        .run()
        .ok()
        .shows(&format!("digest: {} ", offered.digest()));
    let skopeo = |args: &[&str]| Cmd::new("skopeo").args(args).run().ok();
    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &format!("docker://{to}")]);
    assert_eq!(raw.stdout, offered.index);
    // What skopeo copies whole, boxr loads whole.
    let layout = format!("oci:{}", t.path("layout").display());
    skopeo(&[
        "--insecure-policy",
        "copy",
        "-q",
        "--all",
        "--preserve-digests",
        "--src-tls-verify=false",
        &format!("docker://{to}"),
        &layout,
    ]);
    clear(t);
    let input = t.path("layout").display().to_string();
    t.boxr(["load", "-q", "--all-platforms", "--platform", "linux/amd64", "-i", &input]).run().ok();
    let id = t.boxr(["images", "-q"]).run().ok().word();
    t.boxr(["push", "--all-platforms", &id, &format!("{host}/org/app:2")])
        .run()
        .ok()
        .shows(&format!("digest: {} ", offered.digest()));
    clear(t);
    registry.signal(rustix::process::Signal::TERM);
    registry.finish();
}
