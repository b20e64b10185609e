//! Images in files: what boxr saves the others load, and the other way round.

use std::path::Path;

use boxr_testing::images::{Image, Layer, Packing, Server, digest};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test};
use rustix::process::Signal;

use crate::containers::OVERLAY;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(images_are_saved_and_loaded),
    test!(a_name_without_a_tag_saves_all_of_its_tags),
    test!(terminals_get_no_archives),
    test!(what_cannot_be_saved_or_loaded_is_said),
    test!(a_killed_save_leaves_nothing),
    test!(a_killed_load_leaves_nothing_that_counts),
    test!(skopeo_and_boxr_read_each_other, Need::Tool(Tool::Skopeo)),
    // Podman's database breaks on the filesystem of User Mode Linux, which has no overlays either.
    test!(podman_loads_what_boxr_saves, Need::Root, Need::Tool(Tool::Podman), OVERLAY; deadline 180),
    test!(memory_stays_small, Need::Tool(Tool::Time); deadline 180),
];

const CONFIG: &str = r#"{"Cmd":["sh"],"Env":["PATH=/bin"]}"#;

fn image(seed: &str) -> Image {
    let common = Layer::of_files(&[("etc/common", b"common to all")], Packing::Gzip);
    let own = Layer::of_files(&[("own", seed.as_bytes())], Packing::Zstd);
    Image::new("amd64", CONFIG, vec![common, own])
}

/// Pulls an image under these tags of `app`, and gives the name without a tag.
pub fn pulled(t: &Sandbox, server: &Server, image: &Image, tags: &[&str]) -> String {
    for tag in tags {
        let name = server.put("app", tag, image);
        let pull = t.boxr(["pull", "-q", "--platform", "linux/amd64", &name]);
        pull.deadline(std::time::Duration::from_secs(60)).run().ok();
    }
    format!("{}/app", server.host())
}

/// Removes all images.
fn clear(t: &Sandbox) {
    t.boxr(["image", "prune", "-af"]).run().ok();
}

fn id(t: &Sandbox, name: &str) -> String {
    t.boxr(["image", "inspect", "-f", "{{.Id}}", name]).run().ok().word()
}

fn images_are_saved_and_loaded(t: &Sandbox) {
    let (server, one, two) = (Server::start(), image("one"), image("two"));
    let name = pulled(t, &server, &one, &["1"]);
    pulled(t, &server, &two, &["2"]);
    let (first, second) = (format!("{name}:1"), format!("{name}:2"));
    let said = format!("Loaded image: {first}\nLoaded image: {second}\n");
    for format in ["docker-archive", "oci-archive", "oci-dir"] {
        let file = t.path(&format!("saved-{format}"));
        t.boxr(["save", "--format", format, "-o"])
            .arg(&file)
            .args([&first, &second])
            .run()
            .ok()
            .prints("")
            .quiet();
        clear(t);
        t.boxr(["load", "-i"]).arg(&file).run().ok().prints(&said).quiet();
        assert_eq!(id(t, &first), digest(&one.config));
        t.boxr(["store", "verify"]).run().ok().shows("all is well");
    }
    // Through pipes, packed, and by the words of `image`.
    let saved = t.boxr(["image", "save", &first]).run().ok().stdout;
    for packing in [Packing::None, Packing::Gzip, Packing::Zstd] {
        clear(t);
        let loaded = t.boxr(["image", "load", "-q"]).stdin(packing.pack(&saved)).run().ok();
        loaded.prints(&format!("Loaded image: {first}\n"));
    }
    // By its id it has no name.
    let saved = t.boxr(["save", &id(t, &first)[7..19]]).run().ok().stdout;
    clear(t);
    t.boxr(["load"]).stdin(saved).run().ok().prints(&format!("Loaded image ID: {}\n", digest(&one.config)));
    let listed = t.boxr(["images", "--format", "{{.Repository}} {{.Tag}}"]).run().ok();
    listed.prints("<none> <none>\n");
    clear(t);
}

fn a_name_without_a_tag_saves_all_of_its_tags(t: &Sandbox) {
    let (server, one) = (Server::start(), image("one"));
    let name = pulled(t, &server, &one, &["1", "2"]);
    pulled(t, &server, &image("three"), &["3"]);
    let saved = t.boxr(["save", &name, &format!("{name}:1")]).run().ok().stdout;
    clear(t);
    let loaded = t.boxr(["load"]).stdin(saved).run().ok().lines();
    assert_eq!(loaded.len(), 3, "{loaded:?}");
    for tag in ["1", "2", "3"] {
        assert!(loaded.contains(&format!("Loaded image: {name}:{tag}")), "{loaded:?}");
    }
    clear(t);
}

fn terminals_get_no_archives(t: &Sandbox) {
    let mut terminal = t.terminal(24, 80, &["save", "alpine"]);
    terminal.expect("an archive is not written to a terminal");
    terminal.finish().exits(1);
    let mut terminal = t.terminal(24, 80, &["load"]);
    terminal.expect("an archive is not read from a terminal");
    terminal.finish().exits(1);
}

fn what_cannot_be_saved_or_loaded_is_said(t: &Sandbox) {
    let (server, one) = (Server::start(), image("one"));
    let name = pulled(t, &server, &one, &["1"]);
    let name = format!("{name}:1");
    t.boxr(["save", "nobody"]).run().exits(1).prints("").blames("no such image: nobody");
    t.boxr(["save", "--format", "zip", &name])
        .run()
        .exits(125)
        .blames("docker-archive, oci-archive or oci-dir");
    t.boxr(["save", "--format", "oci-dir", &name]).run().exits(125).blames("-o DIR");
    t.boxr(["save", "-o", "none/x", &name]).run().exits(1).blames("none/x").blames("ENOENT");
    t.boxr(["save", "-o", ".", &name]).run().exits(1).blames("EISDIR");
    t.file("used", "");
    t.boxr(["save", "--format", "oci-dir", "-o", ".", &name])
        .run()
        .exits(1)
        .blames("there is something in it");
    t.boxr(["load", "-i", "none"]).run().exits(1).blames("cannot open none").blames("ENOENT");
    t.boxr(["load"]).stdin("").run().exits(1).blames("cannot load stdin: it is empty");
    t.boxr(["load"]).stdin("BZh91AY").run().exits(1).blames("bzip2");
    t.boxr(["load"]).stdin(vec![b'x'; 1000]).run().exits(1).blames("wrong checksum");
    let saved = t.boxr(["save", &name]).run().ok().stdout;
    clear(t);
    t.boxr(["load"]).stdin(&saved[..saved.len() - 3000]).run().exits(1).prints("").blames("cut short");
    t.boxr(["images", "-aq"]).run().ok().prints("");
    let left = boxr_testing::leaks::files_below(&t.layout().root.join("images/blobs"));
    assert!(left.is_empty(), "{left:?}");
    // A reader that goes away ends it as it ends ls(1).
    let name = format!("{}:1", pulled(t, &server, &noisy(1), &["1"]));
    let globals: Vec<String> = t.globals().iter().map(|word| word.to_str().unwrap().to_owned()).collect();
    let script = "{ \"$@\"; echo $? >status; } | head -c 10 >/dev/null";
    let words =
        [&["-c", script, "sh", t.program().to_str().unwrap()].map(str::to_owned)[..], &globals].concat();
    t.surrounded(Cmd::new("sh")).args(words).args(["save", &name]).run().ok().quiet();
    assert_eq!(std::fs::read_to_string(t.path("status")).unwrap(), "141\n");
    std::fs::remove_file(t.path("status")).unwrap();
    clear(t);
    // A tar of files is none of images.
    let files = Layer::of_files(&[("etc/passwd", b"root")], Packing::None).tar;
    t.boxr(["load"]).stdin(files).run().exits(1).blames("boxr import FILE NAME");
    assert_eq!(std::fs::read_dir(t.path("")).unwrap().count(), 1, "only what the test has made");
}

/// An image of one layer that does not get smaller when it is packed.
pub fn noisy(megabytes: usize) -> Image {
    let mut state = 88_172_645_463_325_252u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let noise: Vec<u8> = (0..megabytes << 17).flat_map(|_| next().to_le_bytes()).collect();
    Image::new("amd64", "{}", vec![Layer::of_files(&[("noise", &noise)], Packing::Gzip)])
}

fn a_killed_save_leaves_nothing(t: &Sandbox) {
    let server = Server::start();
    let name = pulled(t, &server, &noisy(2), &["1"]);
    t.file("saved", "what was there before");
    let running = t.boxr(["save", "-o", "saved", &name]).spawn();
    running.signal(Signal::KILL);
    running.finish().killed_by(Signal::KILL);
    assert_eq!(std::fs::read_to_string(t.path("saved")).unwrap(), "what was there before");
    assert_eq!(std::fs::read_dir(t.path("")).unwrap().count(), 1);
    t.boxr(["save", "-o", "saved", &name]).run().ok();
    clear(t);
    t.boxr(["load", "-i", "saved"]).run().ok();
    clear(t);
}

fn a_killed_load_leaves_nothing_that_counts(t: &Sandbox) {
    let server = Server::start();
    let name = pulled(t, &server, &noisy(2), &["1"]);
    let saved = t.boxr(["save", &name]).run().ok().stdout;
    clear(t);
    let mut running = t.boxr(["load"]).spawn();
    running.write(&saved[..saved.len() / 2]);
    let staging = t.layout().root.join("images/staging");
    boxr_testing::wait_until("some of it is on disk", || {
        !boxr_testing::leaks::files_below(&staging).is_empty()
    });
    running.signal(Signal::KILL);
    running.finish().killed_by(Signal::KILL);
    t.boxr(["images", "-aq"]).run().ok().prints("");
    clear(t);
    let left = boxr_testing::leaks::files_below(&staging);
    assert!(left.is_empty(), "{left:?}");
    t.boxr(["load"]).stdin(saved).run().ok();
    clear(t);
}

/// `skopeo copy`, which is to work.
fn skopeo(from: &str, to: &str) {
    Cmd::new("skopeo").args(["--insecure-policy", "copy", "--quiet", from, to]).run().ok();
}

fn skopeo_and_boxr_read_each_other(t: &Sandbox) {
    let (server, one) = (Server::start(), image("one"));
    let name = pulled(t, &server, &one, &["1"]);
    let name = format!("{name}:1");
    for (format, transport) in
        [("docker-archive", "docker-archive"), ("oci-archive", "oci-archive"), ("oci-dir", "oci")]
    {
        let at = |what: &str| t.path(&format!("{format}-{what}")).display().to_string();
        let (saved, theirs, back) = (at("saved"), at("theirs"), at("back"));
        t.boxr(["save", "--format", format, "-o", &saved, &name]).run().ok();
        // skopeo verifies every digest on the way.
        let layout = format!("oci:{theirs}:theirs");
        skopeo(&format!("{transport}:{saved}"), &layout);
        let config = Cmd::new("skopeo").args(["inspect", "--config", "--raw", &layout]).run().ok();
        for layer in &one.layers {
            config.text().find(&digest(&layer.tar)).expect(format);
        }
        // From docker's to the OCI's form it writes the configuration anew.
        let config = digest(&config.stdout);
        assert!(config == digest(&one.config) || format == "docker-archive");
        if format == "oci-archive" {
            // Docker's elder versions find what they look for, too.
            skopeo(&format!("docker-archive:{saved}"), &format!("oci:{}:docker", at("docker")));
        }
        // And the other way.
        skopeo(&layout, &format!("{transport}:{back}:quay.io/org/back:3"));
        clear(t);
        t.boxr(["load", "-i", &back]).run().ok().prints("Loaded image: quay.io/org/back:3\n");
        assert_eq!(id(t, "quay.io/org/back:3"), config, "{format}");
        t.boxr(["store", "verify"]).run().ok().shows("all is well");
        clear(t);
        t.boxr(["load", "-i", &saved]).run().ok();
    }
    clear(t);
}

fn podman(t: &Sandbox, args: &[&str]) -> Cmd {
    let (root, run) = (t.path("podman-root"), t.path("podman-run"));
    let cmd = Cmd::new("podman").arg("--root").arg(root).arg("--runroot").arg(run);
    cmd.args(["--storage-driver", "vfs", "--events-backend", "none"]).args(args)
}

fn podman_loads_what_boxr_saves(t: &Sandbox) {
    let (server, one) = (Server::start(), image("one"));
    let name = pulled(t, &server, &one, &["1"]);
    let name = format!("{name}:1");
    let theirs = digest(&one.config)["sha256:".len()..].to_owned();
    for format in ["docker-archive", "oci-archive", "oci-dir"] {
        // Relative: podman takes no directory with a capital letter in its path.
        let (saved, back) = (format!("saved-{format}"), format!("back-{format}"));
        t.boxr(["save", "--format", format, "-o"]).arg(&saved).arg(&name).run().ok();
        let loaded = podman(t, &["load", "-i"]).arg(&saved).run().ok().word();
        // A directory is called by its own name.
        let expected = if format == "oci-dir" { "localhost/saved-oci-dir" } else { &name };
        assert_eq!(loaded, format!("Loaded image: {expected}"));
        podman(t, &["images", "-q", "--no-trunc"]).run().ok().prints(&format!("sha256:{theirs}\n"));
        podman(t, &["save", "--format", format, "-o"]).arg(&back).arg(expected).run().ok();
        podman(t, &["rmi", "-f", expected]).run().ok();
        clear(t);
        t.boxr(["load", "-i"]).arg(&back).run().ok().shows("Loaded image");
        t.boxr(["images", "-q", "--no-trunc"]).run().ok().prints(&format!("sha256:{theirs}\n"));
    }
    clear(t);
    podman(t, &["system", "reset", "-f"]).run();
    remove(&t.path("podman-root"));
}

/// What podman leaves mounted or unwritable goes too.
fn remove(path: &Path) {
    Cmd::new("umount").arg(path).run();
    std::fs::remove_dir_all(path).ok();
}

/// The most memory that a command had, in KiB.
#[track_caller]
pub fn peak(t: &Sandbox, args: &[&str], stdin: Vec<u8>) -> u64 {
    let mut words: Vec<String> = t.globals().iter().map(|word| word.to_str().unwrap().to_owned()).collect();
    words.extend(args.iter().map(|&word| word.to_owned()));
    let output = t
        .surrounded(Cmd::new("/usr/bin/time"))
        .args(["-f", "peak %M"])
        .arg(t.program())
        .args(&words)
        .stdin(stdin)
        .deadline(std::time::Duration::from_secs(120))
        .run()
        .ok();
    let errors = output.errors();
    let line =
        errors.lines().find_map(|line| line.strip_prefix("peak ")).unwrap_or_else(|| panic!("{errors}"));
    line.parse().unwrap()
}

/// Whether more than 4 MiB depend on the image. What the program itself takes, unoptimised as it is here, does not.
pub fn grows(small: u64, large: u64) -> bool {
    large > small + (4 << 10)
}

fn memory_stays_small(t: &Sandbox) {
    let server = Server::start();
    for format in ["docker-archive", "oci-archive"] {
        let of = |megabytes: usize| {
            let name = pulled(t, &server, &noisy(megabytes), &["1"]);
            let name = format!("{name}:1");
            let save = peak(t, &["save", "--format", format, "-o", "saved", &name], Vec::new());
            clear(t);
            let load = peak(t, &["load", "-i", "saved"], Vec::new());
            clear(t);
            (save, load)
        };
        let (small, large) = (of(1), of(24));
        assert!(
            !grows(small.0, large.0) && !grows(small.1, large.1),
            "{format}: {small:?} KiB, {large:?} KiB"
        );
    }
}
