//! Pulls from a registry that fails as it is told to.

use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::Duration;

use boxr_testing::images::{Fault, Image, Layer, Packing, Server};

use super::*;
use crate::registry::{Options, Patience};
use crate::store::{Finding, Which};
use crate::unpack::{Form, Limits, Ownership};

struct World {
    server: Server,
    dir: tempfile::TempDir,
}

/// Bytes that do not get smaller when they are packed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn layer(seed: u64) -> Layer {
    let packing = [Packing::Gzip, Packing::Zstd, Packing::None][seed as usize % 3];
    Layer::of_files(&[(&format!("dir/file{seed}"), &noise(seed, 100_000))], packing)
}

fn image(seeds: &[u64]) -> Image {
    Image::new("amd64", r#"{"Cmd":["sh"]}"#, seeds.iter().map(|seed| layer(*seed)).collect())
}

impl World {
    fn new() -> Self {
        Self { server: Server::start(), dir: tempfile::tempdir_in("/dev/shm").unwrap() }
    }

    fn store(&self) -> Store {
        Store::open(self.dir.path()).unwrap()
    }

    fn how(&self) -> How {
        let dir = std::fs::File::open(self.dir.path()).unwrap();
        let form = Form::of(dir.as_fd()).unwrap();
        let ownership = if form == Form::Trusted { Ownership::Kept } else { Ownership::Squashed };
        How { form, ownership, limits: Limits::default() }
    }

    fn client(&self) -> Client {
        let patience = Patience { attempts: 3, first_wait: Duration::from_millis(1), ..Patience::default() };
        Client::new(Options { patience, ..Options::default() })
    }

    fn pull_into(&self, store: &Store, name: &str, progress: &dyn Progress) -> Result<Pulled, PullError> {
        let (client, reference) = (self.client(), Reference::parse(name).unwrap());
        let platform = "linux/amd64".parse().unwrap();
        let how = self.how();
        Pull {
            store,
            client: &client,
            reference: &reference,
            platform: &platform,
            platforms: Platforms::One,
            how,
            progress,
        }
        .run()
    }

    fn pull(&self, name: &str) -> Result<Pulled, PullError> {
        self.pull_into(&self.store(), name, &Silent)
    }

    fn findings(&self) -> Vec<Finding> {
        let mut all = Vec::new();
        self.store().verify(|_| {}, |finding| all.push(finding)).unwrap();
        all
    }

    /// How often blobs were asked for since the last look.
    fn blobs_asked(&self) -> Vec<String> {
        self.server.log().into_iter().filter(|line| line.contains("/blobs/")).collect()
    }

    #[track_caller]
    fn check(&self, seeds: &[u64], record: &ImageRecord) {
        for (seed, layer) in seeds.iter().zip(&record.layers) {
            let fs = self.store().path(&format!("layers/{}/fs", layer.diff_id.file_name()));
            assert!(std::fs::read(fs.join(format!("dir/file{seed}"))).unwrap() == noise(*seed, 100_000));
        }
        assert_eq!(self.findings().len(), 0);
    }
}

#[test]
fn an_image_comes_whole_and_once() {
    let world = World::new();
    let seeds = [1, 2, 3, 4, 5, 6, 7, 8];
    let name = world.server.put("a", "1", &image(&seeds));
    let pulled = world.pull(&name).unwrap();
    assert!(pulled.is_new);
    world.check(&seeds, &pulled.image);
    assert_eq!(world.blobs_asked().len(), 9);
    assert_eq!(pulled.image.sources[0].digest(), Some(&pulled.source));
    let store = world.store();
    assert_eq!(store.named(&Reference::parse(&name).unwrap()).unwrap(), Some(pulled.image.clone()));
    let again = world.pull(&name).unwrap();
    assert!(!again.is_new && again.image == pulled.image);
    assert_eq!(world.blobs_asked().len(), 0);
    // Another image shares layers; only the others are fetched.
    let other = world.server.put("b", "1", &image(&[1, 2, 9, 9]));
    let pulled = world.pull(&other).unwrap();
    world.check(&[1, 2, 9, 9], &pulled.image);
    assert_eq!(world.blobs_asked().len(), 2);
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let world = World::new();
    let image = image(&[1]);
    let name = world.server.put("a", "1", &image);
    let blob = boxr_testing::images::digest(&image.layers[0].blob);
    world.server.fail(&blob, Fault::CutAfter(30_000));
    world.server.fail(&blob, Fault::CutAfter(30_000));
    let pulled = world.pull(&name).unwrap();
    world.check(&[1], &pulled.image);
    let ranges: Vec<_> = world.blobs_asked().into_iter().filter(|line| line.contains("bytes=")).collect();
    assert_eq!(ranges.len(), 2);
    assert!(ranges[0].ends_with("bytes=30000-") && ranges[1].ends_with("bytes=60000-"), "{ranges:?}");
}

#[test]
fn a_registry_without_ranges_serves_too() {
    let world = World::new();
    let image = image(&[1]);
    let name = world.server.put("a", "1", &image);
    let blob = boxr_testing::images::digest(&image.layers[0].blob);
    world.server.fail(&blob, Fault::CutAfter(30_000));
    world.server.fail(&blob, Fault::NoRanges);
    let pulled = world.pull(&name).unwrap();
    world.check(&[1], &pulled.image);
}

#[test]
fn a_pull_that_failed_is_continued_by_the_next() {
    let world = World::new();
    let image = image(&[1, 2]);
    let name = world.server.put("a", "1", &image);
    let blob = boxr_testing::images::digest(&image.layers[0].blob);
    for _ in 0..3 {
        world.server.fail(&blob, Fault::CutAfter(20_000));
    }
    // Three attempts with progress between them are patience enough only when progress ends.
    world.server.fail(&blob, Fault::CutAfter(0));
    world.server.fail(&blob, Fault::CutAfter(0));
    world.server.fail(&blob, Fault::CutAfter(0));
    let error = world.pull(&name).unwrap_err();
    assert!(matches!(error, PullError::Registry(RegistryError::Connection { .. })), "{error}");
    assert!(world.store().images().unwrap().is_empty());
    world.blobs_asked();
    let pulled = world.pull(&name).unwrap();
    world.check(&[1, 2], &pulled.image);
    assert!(world.blobs_asked().iter().any(|line| line.contains(&blob) && line.ends_with("bytes=60000-")));
}

#[test]
fn a_wrong_leftover_is_found_out_and_thrown_away() {
    let world = World::new();
    let image = image(&[1]);
    let name = world.server.put("a", "1", &image);
    let store = world.store();
    let (blob, size) = (Digest::of(&image.layers[0].blob), image.layers[0].blob.len() as u64);
    for wrong in [noise(99, 5_000), image.layers[0].blob[..5_000].iter().map(|byte| byte ^ 1).collect()] {
        let crate::store::Ingest::Write(mut writer) =
            store.ingest(&blob, size, crate::store::Wait::Yes).unwrap()
        else {
            panic!()
        };
        writer.restart().unwrap();
        writer.write(&wrong).unwrap();
        drop(writer);
        let pulled = world.pull(&name).unwrap();
        world.check(&[1], &pulled.image);
        store.forget_image(&pulled.image.manifest).unwrap();
        store.sweep(Which::AlsoPartial).unwrap();
    }
}

#[test]
fn what_is_wrong_is_refused_and_not_kept() {
    let world = World::new();
    let good = image(&[1, 2]);
    let name = world.server.put("a", "1", &good);
    let blob = boxr_testing::images::digest(&good.layers[1].blob);
    let mut same_length = good.layers[1].blob.clone();
    same_length[500] ^= 1;
    for body in [same_length, noise(7, good.layers[1].blob.len())] {
        world.server.fail(&blob, Fault::Body(body));
        let error = world.pull(&name).unwrap_err();
        assert!(!matches!(error, PullError::GivenUp), "{error}");
        assert!(world.store().images().unwrap().is_empty());
        assert!(!world.store().has_blob(&blob.parse().unwrap()).unwrap());
    }
    let pulled = world.pull(&name).unwrap();
    world.check(&[1, 2], &pulled.image);
}

#[test]
fn a_layer_that_is_here_does_not_vouch_for_another_blob() {
    let world = World::new();
    let good = world.server.put("good", "1", &image(&[1]));
    world.pull(&good).unwrap();
    let mut lying = image(&[1]);
    lying.layers[0].blob = layer(2).blob;
    let lying = Image::new("amd64", r#"{"Cmd":["other"]}"#, lying.layers);
    let bad = world.server.put("bad", "1", &lying);
    let refused = |error: &PullError| matches!(error, PullError::WrongContents { .. });
    let error = world.pull(&bad).unwrap_err();
    assert!(refused(&error), "{error}");
    // Also when the blob is here, of an image that has it by right.
    let other = world.server.put("other", "1", &image(&[2]));
    world.pull(&other).unwrap();
    let error = world.pull(&bad).unwrap_err();
    assert!(refused(&error), "{error}");
    assert_eq!(world.store().images().unwrap().len(), 2);
}

#[test]
fn an_image_that_lies_about_its_layers_is_refused() {
    let world = World::new();
    let mut lying = image(&[1]);
    // The configuration is of other contents than the blob.
    lying.layers[0].tar = image(&[2]).layers[0].tar.clone();
    let lying = Image::new("amd64", "{}", lying.layers);
    let name = world.server.put("a", "1", &lying);
    let error = world.pull(&name).unwrap_err();
    assert!(matches!(error, PullError::WrongContents { .. }), "{error}");
    let mut fewer = image(&[1, 2]);
    fewer.config = image(&[1]).config;
    let parts = Image::new("amd64", "{}", fewer.layers.clone());
    let old = boxr_testing::images::digest(&parts.config);
    let manifest = String::from_utf8(parts.manifest).unwrap();
    let manifest = manifest.replace(&old, &boxr_testing::images::digest(&fewer.config));
    fewer.manifest = manifest
        .replace(&format!("\"size\":{}", parts.config.len()), &format!("\"size\":{}", fewer.config.len()))
        .into_bytes();
    let name = world.server.put("b", "1", &fewer);
    assert!(matches!(world.pull(&name), Err(PullError::Config { .. })));
    assert!(world.store().images().unwrap().is_empty());
    world.store().sweep(Which::AlsoPartial).unwrap();
    assert_eq!(std::fs::read_dir(world.store().path("layers")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(world.store().path("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn two_pulls_at_once_fetch_what_they_share_once() {
    let world = World::new();
    let (one, two) = ([1, 2, 3, 4], [3, 4, 1, 5]);
    let names = [world.server.put("a", "1", &image(&one)), world.server.put("b", "1", &image(&two))];
    std::thread::scope(|scope| {
        let pulls: Vec<_> =
            names.iter().chain(&names).map(|name| scope.spawn(|| world.pull(name).unwrap())).collect();
        let pulled: Vec<_> = pulls.into_iter().map(|pull| pull.join().unwrap()).collect();
        world.check(&one, &pulled[0].image);
        world.check(&two, &pulled[1].image);
    });
    let asked = world.blobs_asked();
    for seed in [1, 2, 3, 4, 5] {
        let blob = boxr_testing::images::digest(&layer(seed).blob);
        assert_eq!(asked.iter().filter(|line| line.contains(&blob)).count(), 1, "{seed}: {asked:#?}");
    }
}

#[test]
fn pulls_and_removals_at_once_leave_a_whole_store() {
    let world = World::new();
    let seeds = [1, 2];
    let name = world.server.put("a", "1", &image(&seeds));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..5 {
                    world.pull(&name).unwrap();
                }
            });
        }
        scope.spawn(|| {
            let store = world.store();
            for _ in 0..30 {
                for record in store.images().unwrap() {
                    store.forget_image(&record.manifest).unwrap();
                }
                store.sweep(Which::AlsoPartial).unwrap();
            }
        });
    });
    assert_eq!(world.findings().len(), 0);
    let pulled = world.pull(&name).unwrap();
    world.check(&seeds, &pulled.image);
}

#[test]
fn a_damaged_store_is_mended_and_only_what_is_damaged_is_fetched() {
    let world = World::new();
    let image = image(&[1, 2, 3]);
    let name = world.server.put("a", "1", &image);
    let pulled = world.pull(&name).unwrap();
    world.blobs_asked();
    let (store, record) = (world.store(), &pulled.image);
    let layer_dir =
        |index: usize| store.path(&format!("layers/{}", record.layers[index].diff_id.file_name()));
    std::fs::write(store.path(&format!("blobs/sha256/{}", record.layers[1].blob.hex())), b"rotten").unwrap();
    std::fs::remove_file(store.path(&format!("blobs/sha256/{}", record.config.hex()))).unwrap();
    std::fs::write(store.path(&format!("blobs/sha256/{}", record.manifest.hex())), b"{}").unwrap();
    std::fs::remove_dir_all(layer_dir(2)).unwrap();
    let findings = world.findings();
    assert_eq!(findings.len(), 4, "{findings:#?}");
    // The manifest is mended before what it says is needed.
    for _ in 0..2 {
        for repaired in repair(&store, &world.client(), &world.how(), world.findings()) {
            if let Err(error) = repaired.outcome {
                assert!(matches!(repaired.item, crate::store::Item::Blob(_)), "{error}");
            }
        }
    }
    world.check(&[1, 2, 3], record);
    let asked = world.blobs_asked();
    assert!(asked.iter().all(|line| !line.contains(record.layers[0].blob.hex())), "{asked:#?}");
}

#[test]
fn progress_is_told() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<(Digest, Event)>>);
    impl Progress for Heard {
        fn layer(&self, blob: &Digest, event: Event) {
            self.0.lock().unwrap().push((blob.clone(), event));
        }
    }
    let world = World::new();
    let image = image(&[1, 2]);
    let name = world.server.put("a", "1", &image);
    let heard = Heard::default();
    world.pull_into(&world.store(), &name, &heard).unwrap();
    let events = std::mem::take(&mut *heard.0.lock().unwrap());
    for layer in &image.layers {
        let digest = Digest::of(&layer.blob);
        let mine: Vec<_> =
            events.iter().filter(|(blob, _)| *blob == digest).map(|(_, event)| event).collect();
        let total = layer.blob.len() as u64;
        assert!(mine.contains(&&Event::Fetching { done: total, total }));
        assert_eq!(mine.last(), Some(&&Event::Done));
    }
    world.pull_into(&world.store(), &name, &heard).unwrap();
    assert!(heard.0.lock().unwrap().iter().all(|(_, event)| *event == Event::Present));
}
