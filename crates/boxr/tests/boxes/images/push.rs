//! Images given to registries.

use boxr_testing::images::{Auth, Fault, Image, Layer, Packing, Server, digest};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test};
use rustix::process::Signal;

use super::archives::{grows, noisy, peak, pulled};
use super::compare::start_registry;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(an_image_is_pushed_and_pulled_again),
    test!(all_tags_are_pushed),
    test!(what_cannot_be_pushed_is_said),
    test!(a_password_lets_one_push),
    test!(docker_s_own_registry_takes_it, Need::Tool(Tool::DockerRegistry), Need::Tool(Tool::Skopeo)),
    test!(a_push_holds_little_in_memory, Need::Tool(Tool::Time); deadline 180),
];

/// Docker's archives, into which skopeo copies, take no layers of zstd.
fn image(seed: &str) -> Image {
    let common = Layer::of_files(&[("etc/common", b"common to all")], Packing::Gzip);
    let own = Layer::of_files(&[("own", seed.as_bytes())], Packing::Gzip);
    Image::new("amd64", r#"{"Cmd":["sh"]}"#, vec![common, own])
}

fn an_image_is_pushed_and_pulled_again(t: &Sandbox) {
    let (server, other, image) = (Server::start(), Server::start(), image("one"));
    let name = format!("{}:1", pulled(t, &server, &image, &["1"]));
    let to = format!("{}/org/app:2", other.host());
    let line = format!("2: digest: {} size: {}\n", image.digest(), image.manifest.len());
    let pushed = t.boxr(["push", &name, &to]).run().ok().prints(&line);
    pushed.blames(&format!("The push refers to repository [{}/org/app]", other.host())).blames(": Pushed");
    t.boxr(["push", &name, &to]).run().ok().prints(&line).blames(": Layer already exists");
    t.boxr(["push", "-q", &name, &format!("docker://{to}")]).run().ok().quiet().prints(&format!("{to}\n"));
    let shown = t.boxr(["image", "inspect", "-f", "{{.RepoDigests}}", &name]).run().ok();
    shown.shows(&format!("{}/org/app@{}", other.host(), image.digest()));
    // Under its own name, by the word of `image`.
    t.boxr(["tag", &name, &to]).run().ok();
    t.boxr(["image", "push", "-q", &to]).run().ok().prints(&format!("{to}\n"));
    t.boxr(["image", "prune", "-af"]).run().ok();
    t.boxr(["pull", "-q", "--platform", "linux/amd64", &to]).run().ok();
    t.boxr(["image", "inspect", "-f", "{{.Digest}}", &to])
        .run()
        .ok()
        .prints(&format!("{}\n", image.digest()));
    t.boxr(["image", "prune", "-af"]).run().ok();
}

fn all_tags_are_pushed(t: &Sandbox) {
    let (server, one, two) = (Server::start(), image("one"), image("two"));
    let name = pulled(t, &server, &one, &["1", "latest"]);
    pulled(t, &server, &two, &["2"]);
    let other = Server::start();
    let to = format!("{}/app", other.host());
    for tag in ["1", "2", "latest"] {
        t.boxr(["tag", &format!("{name}:{tag}"), &format!("{to}:{tag}")]).run().ok();
    }
    let lines = t.boxr(["push", "--all-tags", &to]).run().ok().lines();
    let starts: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["1:", "2:", "latest:"]);
    assert_eq!(other.content("/v2/app/manifests/2").unwrap(), two.manifest);
    t.boxr(["push", "-a", &format!("{to}:1")]).run().exits(125).blames("without a tag");
    t.boxr(["push", "-a", "nobody"]).run().exits(1).blames("no such image: nobody");
    t.boxr(["image", "prune", "-af"]).run().ok();
}

fn what_cannot_be_pushed_is_said(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let name = format!("{}:1", pulled(t, &server, &image, &["1"]));
    let id = &digest(&image.config)[7..19];
    t.boxr(["push", "nobody"]).run().exits(1).prints("").blames("no such image: nobody");
    t.boxr(["push", id])
        .run()
        .exits(1)
        .blames("does not say where")
        .blames(&format!("boxr push {id} REGISTRY"));
    for (fault, words) in [
        (Fault::Status(403, ""), "refuses access to app"),
        (Fault::Status(413, ""), "takes no requests of"),
        (Fault::Status(400, ""), "answered with status 400: Bad Request"),
    ] {
        let other = Server::start();
        for _ in 0..3 {
            other.fail("state=x", fault.clone());
        }
        let to = format!("{}/app:1", other.host());
        t.boxr(["push", &name, &to]).run().exits(1).prints("").blames(words).blames(&other.host());
        assert!(other.content("/v2/app/manifests/1").is_none());
    }
    let gone = Server::start();
    let (to, host) = (format!("{}/app:1", gone.host()), gone.host());
    drop(gone);
    t.boxr(["push", &name, &to]).run().exits(1).prints("").blames(&host);
    t.boxr(["image", "prune", "-af"]).run().ok();
}

fn a_password_lets_one_push(t: &Sandbox) {
    let (server, image) = (Server::start(), image("one"));
    let name = format!("{}:1", pulled(t, &server, &image, &["1"]));
    for auth in [Auth::Basic("bWU6c2VjcmV0".into()), Auth::Bearer("bWU6c2VjcmV0".into())] {
        let other = Server::start();
        other.require(auth);
        let to = format!("{}/app:1", other.host());
        t.boxr(["push", &name, &to]).run().exits(1).blames("refuses access to app").blames("boxr login");
        t.boxr(["push", "--creds", "me:wrong", &name, &to]).run().exits(1).blames("refuses access");
        t.boxr(["push", "-q", "--creds", "me:secret", &name, &to]).run().ok();
    }
    t.boxr(["image", "prune", "-af"]).run().ok();
}

fn docker_s_own_registry_takes_it(t: &Sandbox) {
    let (registry, host) = start_registry(t);
    let (server, image) = (Server::start(), image("one"));
    let name = format!("{}:1", pulled(t, &server, &image, &["1"]));
    let to = format!("{host}/org/app:1");
    t.boxr(["push", &name, &to]).run().ok().blames(": Pushed");
    let look = |name: &str, what: &[&str]| {
        let from = format!("docker://{name}");
        Cmd::new("skopeo").args(["inspect", "--tls-verify=false"]).args(what).arg(from).run().ok().stdout
    };
    assert_eq!(look(&to, &["--raw"]), image.manifest);
    assert_eq!(look(&to, &["--config", "--raw"]), image.config);
    // Another repository has the layers without their being sent; skopeo reads them all.
    let second = format!("{host}/other/app:1");
    t.boxr(["push", &name, &second]).run().ok().blames(": Mounted from another repository");
    let copy = ["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"];
    let archive = format!("docker-archive:{}:app:1", t.path("copied").display());
    Cmd::new("skopeo").args(copy).args([&format!("docker://{second}"), &archive]).run().ok();
    // What came as docker's archive has plain layers, and goes out packed.
    t.boxr(["image", "prune", "-af"]).run().ok();
    t.boxr(["load", "-q", "-i"]).arg(t.path("copied")).run().ok();
    let third = format!("{host}/packed:1");
    t.boxr(["push", "-q", "app:1", &third]).run().ok().prints(&format!("{third}\n"));
    let manifest = String::from_utf8(look(&third, &["--raw"])).unwrap();
    assert_eq!(manifest.matches("tar+gzip").count(), 2, "{manifest}");
    let archive = format!("docker-archive:{}:app:1", t.path("again").display());
    Cmd::new("skopeo").args(copy).args([&format!("docker://{third}"), &archive]).run().ok();
    // A layer of some size, in one piece.
    let big = noisy(4);
    let name = format!("{}:big", pulled(t, &server, &big, &["big"]));
    t.boxr(["push", "-q", &name, &format!("{host}/big:1")]).run().ok();
    assert_eq!(look(&format!("{host}/big:1"), &["--raw"]), big.manifest);
    t.boxr(["image", "prune", "-af"]).run().ok();
    registry.signal(Signal::TERM);
    registry.finish().killed_by(Signal::TERM);
}

fn a_push_holds_little_in_memory(t: &Sandbox) {
    // Packed, and plain.
    let of = |megabytes: usize| {
        let server = Server::start();
        let name = format!("{}:1", pulled(t, &server, &noisy(megabytes), &["1"]));
        let push = || {
            let other = Server::start();
            peak(t, &["push", "-q", &name, &format!("{}/app:1", other.host())], Vec::new())
        };
        let packed = push();
        t.boxr(["save", "-o", "saved", &name]).run().ok();
        t.boxr(["image", "prune", "-af"]).run().ok();
        t.boxr(["load", "-i", "saved"]).run().ok();
        let plain = push();
        t.boxr(["image", "prune", "-af"]).run().ok();
        (packed, plain)
    };
    let (small, large) = (of(1), of(24));
    assert!(!grows(small.0, large.0) && !grows(small.1, large.1), "{small:?} KiB, {large:?} KiB");
}
