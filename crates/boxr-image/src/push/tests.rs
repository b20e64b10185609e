//! Pushes to a registry that fails as it is told to.

use std::os::fd::AsFd;
use std::time::Duration;

use boxr_testing::images::{Auth, Fault, Image, Layer, Packing, Server, digest};

use super::*;
use crate::archive::{Load, Source};
use crate::oci::{Platform, Platforms};
use crate::pull::Silent;
use crate::registry::credentials::Credential;
use crate::registry::{Options, Patience};
use crate::unpack::{Form, How, Limits, Ownership};

struct World {
    server: Server,
    dir: tempfile::TempDir,
    record: ImageRecord,
}

fn image(seed: u8, length: usize, packing: [Packing; 2]) -> Image {
    let contents: Vec<u8> =
        (0..length).map(|at| (at as u8).wrapping_mul(seed).wrapping_add((at >> 8) as u8)).collect();
    let layers = vec![
        Layer::of_files(&[("one", &contents)], packing[0]),
        Layer::of_files(&[("two", &[seed])], packing[1]),
    ];
    Image::new("amd64", r#"{"Cmd":["sh"]}"#, layers)
}

const PACKED: [Packing; 2] = [Packing::Gzip, Packing::Zstd];

impl World {
    fn of(image: &Image) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let layout = tempfile::tempdir().unwrap();
        image.write_layout(layout.path(), "app:1");
        let store = Store::open(dir.path()).unwrap();
        let staging = std::fs::File::open(store.path("staging")).unwrap();
        let form = Form::of(staging.as_fd()).unwrap();
        let ownership = if form == Form::Trusted { Ownership::Kept } else { Ownership::Squashed };
        let how = How { form, ownership, limits: Limits::default() };
        let platform: Platform = "linux/amd64".parse().unwrap();
        let from = Source::Directory(std::fs::File::open(layout.path()).unwrap().into());
        let load =
            Load { store: &store, how, platform: &platform, platforms: Platforms::One, progress: &Silent };
        let record = load.run(from).unwrap().remove(0).image;
        Self { server: Server::start(), dir, record }
    }

    fn store(&self) -> Store {
        Store::open(self.dir.path()).unwrap()
    }

    fn push_with(&self, repository: &str, credential: Option<Credential>) -> Result<Pushed, PushError> {
        let patience = Patience { attempts: 3, first_wait: Duration::from_millis(1), ..Patience::default() };
        let client = Client::new(Options { patience, credential, ..Options::default() });
        let reference = Reference::parse(&format!("{}/{repository}", self.server.host())).unwrap();
        let store = self.store();
        let image = store.image(&self.record.manifest).unwrap().unwrap();
        Push { store: &store, client: &client, image: &image, reference: &reference, progress: &Silent }.run()
    }

    fn push(&self, repository: &str) -> Result<Pushed, PushError> {
        self.push_with(repository, None)
    }

    /// How often requests of this kind were made since the last look.
    fn count(&self, method: &str) -> usize {
        self.server.log().iter().filter(|line| line.starts_with(method)).count()
    }
}

#[test]
fn what_was_pushed_is_the_same() {
    let image = image(3, 1000, PACKED);
    let world = World::of(&image);
    let pushed = world.push("org/app:1").unwrap();
    assert_eq!((pushed.digest.to_string(), pushed.size), (image.digest(), image.manifest.len() as u64));
    assert_eq!(world.server.content("/v2/org/app/manifests/1").unwrap(), image.manifest);
    for layer in &image.layers {
        let path = format!("/v2/org/app/blobs/{}", digest(&layer.blob));
        assert!(world.server.content(&path).unwrap() == layer.blob);
    }
    let known = world.store().image(&world.record.manifest).unwrap().unwrap();
    assert_eq!(known.sources[0].to_string(), format!("{}/org/app@{}", world.server.host(), image.digest()));
    // What is there is not sent again.
    world.server.log();
    world.push("org/app:2").unwrap();
    assert_eq!(world.count("POST"), 0);
    // And what another repository has comes from there.
    world.push("other:1").unwrap();
    let log = world.server.log();
    assert_eq!(
        log.iter().filter(|line| line.starts_with("PUT") && line.contains("/blobs/")).count(),
        0,
        "{log:#?}"
    );
    assert!(log.iter().any(|line| line.contains("from=org/app")));
    // By its digest alone.
    world.push(&format!("third@{}", image.digest())).unwrap();
    assert!(world.server.content(&format!("/v2/third/manifests/{}", image.digest())).is_some());
}

#[test]
fn plain_layers_are_packed_on_the_way() {
    let image = image(5, 50_000, [Packing::None, Packing::Gzip]);
    let world = World::of(&image);
    let pushed = world.push("app:1").unwrap();
    assert_ne!(pushed.digest.to_string(), image.digest());
    let manifest = world.server.content("/v2/app/manifests/1").unwrap();
    let Ok(Document::Manifest(manifest)) = Document::parse(&manifest, None) else { panic!() };
    assert_eq!(manifest.config.digest.to_string(), digest(&image.config));
    assert_eq!(manifest.layers[0].media_type.0, "application/vnd.oci.image.layer.v1.tar+gzip");
    assert_eq!(manifest.layers[1].digest.to_string(), digest(&image.layers[1].blob));
    let blob = world.server.content(&format!("/v2/app/blobs/{}", manifest.layers[0].digest)).unwrap();
    assert!(blob.len() as u64 == manifest.layers[0].size && blob.len() < image.layers[0].blob.len());
    assert_eq!(crate::unpack::diff_id(&blob[..], 1 << 30).unwrap(), Digest::of(&image.layers[0].tar));
    // The same each time, so it is there already.
    world.server.log();
    assert_eq!(world.push("app:2").unwrap(), pushed);
    assert_eq!(world.count("POST"), 0);
}

#[test]
fn what_may_pass_is_tried_again_from_the_beginning() {
    let image = image(7, 3_000_000, PACKED);
    for fault in
        [Fault::HangUp, Fault::Close, Fault::Status(503, ""), Fault::Status(429, "retry-after: 0\r\n")]
    {
        let world = World::of(&image);
        for part in ["/blobs/uploads/", "state=x", "/manifests/"] {
            world.server.fail(part, fault.clone());
        }
        let pushed = world.push("app:1").unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(pushed.digest.to_string(), image.digest());
        // There is an end to it.
        let world = World::of(&image);
        for _ in 0..9 {
            world.server.fail("state=x", fault.clone());
        }
        let error = world.push("app:1").unwrap_err();
        assert!(matches!(&error, PushError::Registry(error) if error.may_pass()), "{fault:?}: {error}");
        assert!(world.server.content("/v2/app/manifests/1").is_none());
    }
}

#[test]
fn a_blob_that_is_too_large_is_sent_in_pieces() {
    let image = image(11, 20_000_000, [Packing::None, Packing::Gzip]);
    let mut plain = image.clone();
    // As one that cannot be packed: what is sent is 20 MB.
    plain.manifest = String::from_utf8(plain.manifest)
        .unwrap()
        .replace("image.layer.v1.tar\"", "image.layer.v1.tar+gzip\"")
        .into_bytes();
    let world = World::of(&plain);
    world.server.take_at_most(9 << 20);
    world.push("app:1").unwrap();
    let path = format!("/v2/app/blobs/{}", digest(&image.layers[0].blob));
    assert!(world.server.content(&path).unwrap() == image.layers[0].blob);
    assert_eq!(world.count("PATCH"), 3);
    world.server.take_at_most(1 << 20);
    let error = world.push("other:1").map(drop);
    assert!(error.is_ok(), "it is mounted: {error:?}");
    let other = World::of(&plain);
    other.server.take_at_most(1 << 20);
    let error = other.push("app:1").unwrap_err();
    assert!(matches!(error, PushError::Registry(RegistryError::TooLarge { .. })), "{error}");
}

#[test]
fn who_may_not_push_is_told() {
    let world = World::of(&image(13, 10, PACKED));
    for auth in [Auth::Basic("bWU6c2VjcmV0".into()), Auth::Bearer("bWU6c2VjcmV0".into())] {
        world.server.require(auth);
        let denied = world.push("app:1").unwrap_err();
        assert!(
            matches!(denied, PushError::Registry(RegistryError::Denied { had_password: false, .. })),
            "{denied}"
        );
        let password = |word: &str| Credential::Password { user: "me".into(), password: word.into() };
        let denied = world.push_with("app:1", Some(password("wrong"))).unwrap_err();
        assert!(
            matches!(denied, PushError::Registry(RegistryError::Denied { had_password: true, .. })),
            "{denied}"
        );
        world.push_with("app:1", Some(password("secret"))).unwrap();
    }
    world.server.require(Auth::Nobody);
    world.server.fail("/blobs/uploads/", Fault::Status(403, ""));
    world.server.fail("/blobs/uploads/", Fault::Status(403, ""));
    let denied = world.push("new:1").unwrap_err();
    assert!(matches!(denied, PushError::Registry(RegistryError::Denied { .. })), "{denied}");
}

#[test]
fn a_damaged_blob_is_found_out_before_the_registry_has_it() {
    let world = World::of(&image(17, 1000, PACKED));
    let store = world.store();
    let path = store.path(&format!("blobs/sha256/{}", world.record.layers[0].blob.hex()));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = world.push("app:1").unwrap_err();
    assert!(matches!(error, PushError::Store(StoreError::WrongDigest { .. })), "{error}");
    assert!(world.server.content("/v2/app/manifests/1").is_none());
}

#[test]
fn a_registry_that_takes_it_for_another_is_not_believed() {
    let world = World::of(&image(19, 10, PACKED));
    let header =
        "docker-content-digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n";
    world.server.fail("/manifests/", Fault::Status(201, header));
    let error = world.push("app:1").unwrap_err();
    assert!(matches!(error, PushError::Registry(RegistryError::WrongDigest { .. })), "{error}");
    for location in ["", "location: ftp://x/\r\n", "location: x\r\n"] {
        world.server.fail("/blobs/uploads/", Fault::Status(202, location));
        world.server.fail("/blobs/uploads/", Fault::Status(202, location));
        world.server.fail("/blobs/uploads/", Fault::Status(202, location));
        let error =
            world.push("other@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let is_answer =
            matches!(error, Err(PushError::Registry(RegistryError::Answer { .. }) | PushError::GivenUp));
        assert!(is_answer, "{location}: {error:?}");
    }
}
