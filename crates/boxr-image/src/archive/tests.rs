//! Archives that are as they should be, and hostile ones.

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use boxr_testing::images::{Image, Layer, Packing, digest};

use super::*;
use crate::oci::{Platform, Platforms};
use crate::pull::Silent;
use crate::reference::Reference;
use crate::store::{Plan, Store, Which, everything, with_plan};
use crate::tar::{Entry, Kind, Writer};
use crate::unpack::{Form, How, Limits, Ownership};

struct World {
    dir: tempfile::TempDir,
}

/// A file of an archive: name and contents.
type Member = (String, Vec<u8>);

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir_in("/dev/shm").unwrap() }
    }

    fn store(&self) -> Store {
        Store::open(self.dir.path()).unwrap()
    }

    fn load(&self, from: Source<'_>) -> Result<Vec<Loaded>, ArchiveError> {
        load_into(&self.store(), from)
    }

    fn load_bytes(&self, mut bytes: &[u8]) -> Result<Vec<Loaded>, ArchiveError> {
        self.load(Source::Stream(&mut bytes))
    }

    fn save(&self, names: &[&str], format: Format) -> Vec<u8> {
        let store = self.store();
        let images = names.iter().map(|name| {
            let name = Reference::parse(name).unwrap();
            (store.named(&name).unwrap().unwrap(), vec![name])
        });
        let mut tar = Tar::new(Vec::new());
        Save { store: &store, images: images.collect(), format, platforms: Platforms::One }
            .run(&mut tar)
            .unwrap();
        tar.finish().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.store().names().unwrap().iter().map(|name| name.reference.familiar()).collect();
        names.sort_unstable();
        names
    }

    #[track_caller]
    fn assert_whole(&self) {
        let mut found = Vec::new();
        self.store().verify(|_| {}, |finding| found.push(finding)).unwrap();
        assert!(found.is_empty(), "{found:#?}");
    }
}

fn load_into(store: &Store, from: Source<'_>) -> Result<Vec<Loaded>, ArchiveError> {
    let dir = std::fs::File::open(store.path("staging")).unwrap();
    let form = Form::of(dir.as_fd()).unwrap();
    let ownership = if form == Form::Trusted { Ownership::Kept } else { Ownership::Squashed };
    let how = How { form, ownership, limits: Limits::default() };
    let platform: Platform = "linux/amd64".parse().unwrap();
    Load { store, how, platform: &platform, platforms: Platforms::One, progress: &Silent }.run(from)
}

fn image(seed: &str) -> Image {
    let layers = vec![
        Layer::of_files(&[("etc/common", b"common")], Packing::Gzip),
        Layer::of_files(&[("own", seed.as_bytes())], Packing::None),
        Layer::of_files(&[("more", seed.as_bytes())], Packing::Zstd),
    ];
    Image::new("amd64", r#"{"Cmd":["sh"]}"#, layers)
}

fn archive(members: &[Member]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, bytes) in members {
        let size = bytes.len() as u64;
        writer.append(&Entry { size, ..Entry::new(Kind::File, name.as_str(), 0o644) }, &bytes[..]).unwrap();
    }
    writer.finish().unwrap()
}

fn member(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Member {
    (name.into(), bytes.into())
}

fn hex(bytes: &[u8]) -> String {
    digest(bytes)["sha256:".len()..].to_owned()
}

/// As docker writes it, but with layers as they came.
fn docker_members(image: &Image, tag: &str) -> Vec<Member> {
    let layers: Vec<Member> = image
        .layers
        .iter()
        .map(|layer| member(format!("{}/layer.tar", &hex(&layer.tar)[..12]), &*layer.blob))
        .collect();
    let names: Vec<String> = layers.iter().map(|(name, _)| format!("{name:?}")).collect();
    let config = format!("{}.json", hex(&image.config));
    let manifest =
        format!(r#"[{{"Config":"{config}","RepoTags":["{tag}"],"Layers":[{}]}}]"#, names.join(","));
    [vec![member(config, &*image.config)], layers, vec![member("manifest.json", manifest)]].concat()
}

fn layout_members(image: &Image, name: &str) -> Vec<Member> {
    let blobs = image.layers.iter().map(|layer| &layer.blob).chain([&image.config, &image.manifest]);
    let mut members: Vec<Member> =
        blobs.map(|bytes| member(format!("blobs/sha256/{}", hex(bytes)), &**bytes)).collect();
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{}","size":{},"annotations":{{"io.containerd.image.name":"{name}"}}}}]}}"#,
        boxr_testing::images::MANIFEST,
        image.digest(),
        image.manifest.len()
    );
    members.push(member("index.json", index));
    members.push(member("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#));
    members
}

#[test]
fn every_kind_of_archive_is_loaded_and_saved_again() {
    let (one, two) = (image("one"), image("two"));
    let world = World::new();
    let loaded = world.load_bytes(&archive(&docker_members(&one, "app:1"))).unwrap();
    assert_eq!(loaded[0].image.config.to_string(), digest(&one.config));
    let loaded = world.load_bytes(&archive(&layout_members(&two, "quay.io/org/two:2"))).unwrap();
    assert_eq!(loaded[0].image.manifest.to_string(), two.digest());
    assert_eq!(world.names(), ["app:1", "quay.io/org/two:2"]);
    world.assert_whole();
    for format in [Format::Docker, Format::Oci] {
        let saved = world.save(&["app:1", "quay.io/org/two:2"], format);
        assert!(saved == world.save(&["app:1", "quay.io/org/two:2"], format), "the same bytes each time");
        let other = World::new();
        let loaded = other.load_bytes(&saved).unwrap();
        assert_eq!(loaded.len(), 2);
        assert_eq!(loaded[1].image.config.to_string(), digest(&two.config));
        assert_eq!((loaded[1].image.manifest.to_string() == two.digest()), format == Format::Oci);
        assert_eq!(other.names(), world.names());
        other.assert_whole();
        // What is here already is taken as it is.
        let before = world.store().images().unwrap();
        world.load_bytes(&saved).unwrap();
        assert_eq!(world.store().images().unwrap(), before);
    }
}

#[test]
fn archives_come_packed_and_as_directories() {
    let image = image("one");
    let bytes = archive(&docker_members(&image, "app:1"));
    for packing in [Packing::Gzip, Packing::Zstd] {
        let world = World::new();
        world.load_bytes(&packing.pack(&bytes)).unwrap();
        assert_eq!(world.names(), ["app:1"]);
    }
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    image.write_layout(dir.path(), "localhost/app:2");
    let loaded = world.load(Source::Directory(std::fs::File::open(dir.path()).unwrap().into())).unwrap();
    assert_eq!(loaded[0].image.manifest.to_string(), image.digest());
    assert_eq!(world.names(), ["localhost/app:2"]);
    let (store, saved) = (world.store(), dir.path().join("saved"));
    std::fs::create_dir(&saved).unwrap();
    let images = vec![(loaded[0].image.clone(), loaded[0].names.clone())];
    Save { store: &store, images, format: Format::Oci, platforms: Platforms::One }
        .run(&mut Directory(saved.clone()))
        .unwrap();
    let other = World::new();
    other.load(Source::Directory(std::fs::File::open(saved).unwrap().into())).unwrap();
    assert_eq!(other.names(), ["localhost/app:2"]);
    // A tag alone is no name.
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    image.write_layout(dir.path(), "latest");
    world.load(Source::Directory(std::fs::File::open(dir.path()).unwrap().into())).unwrap();
    assert_eq!((world.names().len(), world.store().images().unwrap().len()), (0, 1));
}

#[test]
fn links_to_layers_are_followed() {
    let image = image("one");
    let mut members = docker_members(&image, "app:1");
    let (name, bytes) = members[1].clone();
    members[1].0 = "real.tar".to_owned();
    let mut writer = Writer::new(Vec::new());
    let link = Entry { link: b"../real.tar".to_vec(), ..Entry::new(Kind::Symlink, name, 0o777) };
    writer.append(&link, &b""[..]).unwrap();
    let rest = archive(&members);
    assert_eq!(bytes, image.layers[0].blob);
    let world = World::new();
    let whole = [&writer.finish().unwrap()[..512], &rest].concat();
    world.load_bytes(&whole).unwrap();
    world.assert_whole();
}

/// Changes one archive into another.
type Attack = fn(&Image, &mut Vec<Member>);

const ATTACKS: &[(&str, Attack)] = &[
    ("a layer is missing", |_, members| drop(members.remove(1))),
    ("the configuration is missing", |_, members| drop(members.remove(0))),
    ("a file is there twice", |_, members| members.push(members[1].clone())),
    ("a name leads out", |_, members| members.push(member("../../etc/cron.d/x", "x"))),
    ("a name is absolute", |_, members| members.push(member("/etc/cron.d/x", "x"))),
    ("a layer is another", |_, members| members[1].1 = Layer::of_files(&[("x", b"y")], Packing::Gzip).blob),
    ("a layer is no archive", |_, members| members[2].1 = vec![7; 2000]),
    ("a layer is cut short", |_, members| members[1].1.truncate(40)),
    ("a layer leads out", |image, members| {
        let mut writer = Writer::new(Vec::new());
        writer.append(&Entry::new(Kind::File, "../x", 0o644), &b""[..]).unwrap();
        let tar = writer.finish().unwrap();
        let mut layers = image.layers.clone();
        layers[0] = Layer::new(tar, Packing::Gzip);
        *members = docker_members(&Image::new("amd64", "{}", layers), "app:1");
    }),
    ("the configuration has fewer layers", |image, members| {
        let config = Image::new("amd64", "{}", image.layers[..2].to_vec()).config;
        let text = String::from_utf8(members[4].1.clone()).unwrap();
        members[4].1 = text.replace(&hex(&image.config), &hex(&config)).into_bytes();
        members[0] = member(format!("{}.json", hex(&config)), config);
    }),
    ("the configuration is another than its name says", |_, members| members[0].1.push(b' ')),
    ("the configuration is no JSON", |_, members| {
        members[0] = member("config.json", "{");
        members[4].1 = br#"[{"Config":"config.json","RepoTags":["app:1"],"Layers":[]}]"#.to_vec();
    }),
    ("the name is none", |image, members| *members = docker_members(image, "App:1")),
    ("the name has a digest", |image, members| {
        *members = docker_members(image, &format!("app@{}", digest(b"x")));
    }),
    ("there is no image in it", |_, members| members[4].1 = b"[]".to_vec()),
    ("there is no manifest in it", |_, members| drop(members.pop())),
    ("the manifest is endless", |_, members| members[4].1 = vec![b' '; 5 << 20]),
    ("the manifest is no JSON", |_, members| members[4].1 = b"[{".to_vec()),
];

#[test]
fn what_is_wrong_is_refused_whole() {
    let good = image("one");
    for (what, attack) in ATTACKS {
        let world = World::new();
        let mut members = docker_members(&good, "app:1");
        attack(&good, &mut members);
        world.load_bytes(&archive(&members)).expect_err(what);
        assert_eq!(everything(world.dir.path()), [""; 0], "{what}");
    }
    let world = World::new();
    let bytes = archive(&docker_members(&good, "app:1"));
    for length in [0, 100, 512, 700, bytes.len() / 2, bytes.len() - 1600] {
        world.load_bytes(&bytes[..length]).unwrap_err();
        assert_eq!(everything(world.dir.path()), [""; 0], "{length}");
    }
    assert!(matches!(world.load_bytes(b"\xfd7zXZ\0rest"), Err(ArchiveError::Compression("xz"))));
    for kind in [Kind::Fifo, Kind::BlockDevice] {
        let mut writer = Writer::new(Vec::new());
        writer.append(&Entry::new(kind, "x", 0o644), &b""[..]).unwrap();
        assert!(matches!(world.load_bytes(&writer.finish().unwrap()), Err(ArchiveError::Refused { .. })));
    }
}

#[test]
fn a_layout_that_lies_is_refused_whole() {
    let good = image("one");
    type Attack = fn(&mut Vec<Member>);
    let attacks: &[(&str, Attack)] = &[
        ("a layer is another", |members| members[0].1.push(0)),
        ("a layer is missing", |members| drop(members.remove(1))),
        ("the manifest is another", |members| members[4].1.push(b' ')),
        ("the configuration is missing", |members| drop(members.remove(3))),
        ("the index is of nothing", |members| {
            members[5].1 = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec()
        }),
        ("the version is of the future", |members| {
            members[6].1 = br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec()
        }),
    ];
    for (what, attack) in attacks {
        let world = World::new();
        let mut members = layout_members(&good, "app:1");
        attack(&mut members);
        world.load_bytes(&archive(&members)).expect_err(what);
        assert_eq!(everything(world.dir.path()), [""; 0], "{what}");
    }
}

#[test]
fn a_known_layer_does_not_vouch_for_another_blob() {
    let (world, good) = (World::new(), image("one"));
    world.load_bytes(&archive(&docker_members(&good, "good:1"))).unwrap();
    let before = everything(world.dir.path());
    // The configuration says that it is a layer which is here; the blob is something else.
    let mut bad = Image::new("amd64", r#"{"Cmd":["other"]}"#, good.layers.clone());
    bad.layers[0].blob = Layer::of_files(&[("x", b"y")], Packing::Gzip).blob;
    world.load_bytes(&archive(&docker_members(&bad, "bad:1"))).unwrap_err();
    assert_eq!(everything(world.dir.path()), before);
}

#[test]
fn a_directory_leads_nowhere_else() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let image = image("one");
    image.write_layout(dir.path(), "app:1");
    let path = dir.path().join("blobs/sha256").join(hex(&image.layers[0].blob));
    let elsewhere = dir.path().join("elsewhere");
    std::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    let open = || Source::Directory(std::fs::File::open(dir.path()).unwrap().into());
    assert!(matches!(world.load(open()), Err(ArchiveError::Read { .. })));
    std::fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert!(matches!(world.load(open()), Err(ArchiveError::Refused { .. })));
    assert_eq!(everything(world.dir.path()), [""; 0]);
}

#[test]
fn a_damaged_blob_is_not_saved() {
    let (world, image) = (World::new(), image("one"));
    world.load_bytes(&archive(&layout_members(&image, "app:1"))).unwrap();
    let store = world.store();
    let record = store.images().unwrap().remove(0);
    let path = store.path(&format!("blobs/sha256/{}", record.layers[1].blob.hex()));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for format in [Format::Docker, Format::Oci] {
        let save =
            Save { store: &store, images: vec![(record.clone(), vec![])], format, platforms: Platforms::One };
        assert!(matches!(save.run(&mut Tar::new(Vec::new())), Err(ArchiveError::Store(_))));
    }
}

/// In the helper process: loads an archive and is killed at a change of the store.
fn help(job: &str) {
    let fields: Vec<&str> = job.split('\t').collect();
    let mut file = std::fs::File::open(fields[1]).unwrap();
    let store = Store::open(Path::new(fields[2])).unwrap();
    let plan = Plan::Kill(fields[0].parse().unwrap());
    with_plan(plan, None, || load_into(&store, Source::Stream(&mut file)).unwrap());
}

#[test]
fn a_killed_load_leaves_a_whole_store() {
    if let Ok(job) = std::env::var("BOXR_TEST_CRASH_LOAD") {
        return help(&job);
    }
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let (file, image) = (dir.path().join("archive"), image("one"));
    std::fs::write(&file, archive(&docker_members(&image, "app:1"))).unwrap();
    for step in 0..200 {
        let world = World::new();
        drop(world.store());
        let job = format!("{step}\t{}\t{}", file.display(), world.dir.path().display());
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "archive::tests::a_killed_load_leaves_a_whole_store"])
            .env("BOXR_TEST_CRASH_LOAD", job)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        world.assert_whole();
        let store = world.store();
        if status.success() {
            assert!(step > 30, "{step}");
            assert_eq!(world.names(), ["app:1"]);
            return;
        }
        assert_eq!(status.signal(), Some(9));
        // What it has left is removed, and the next one goes through.
        if world.names().is_empty() {
            for image in store.images().unwrap() {
                store.forget_image(&image.manifest).unwrap();
            }
            store.sweep(Which::AlsoPartial).unwrap();
            let left: Vec<_> =
                everything(world.dir.path()).into_iter().filter(|path| !path.ends_with(".new")).collect();
            assert_eq!(left, [""; 0], "{step}");
        }
        world.load_bytes(&std::fs::read(&file).unwrap()).unwrap();
        world.assert_whole();
    }
    panic!("a load makes more changes than that");
}

#[test]
fn a_full_disk_leaves_nothing_of_a_load() {
    let (image, other) = (image("one"), image("two"));
    let bytes = archive(&docker_members(&image, "app:1"));
    let before = archive(&docker_members(&other, "old:1"));
    for step in 0..200 {
        let world = World::new();
        world.load_bytes(&before).unwrap();
        let there = everything(world.dir.path());
        let store = world.store();
        let (loaded, reached) =
            with_plan(Plan::Full(step), None, || load_into(&store, Source::Stream(&mut &bytes[..])));
        world.assert_whole();
        match loaded {
            // The change that failed was one that does not matter, such as the removal of a lock.
            Ok(_) => assert_eq!(world.names(), ["app:1", "old:1"], "{step}"),
            // It has its name, and only whether that lasts is not known.
            Err(ArchiveError::Store(_)) if world.names().len() == 2 => {}
            Err(error) => {
                assert!(matches!(&error, ArchiveError::Store(_) | ArchiveError::Layer(_)), "{step}: {error}");
                // A record may have been written before its name could not be.
                for image in store.images().unwrap() {
                    let is_named = store.names().unwrap().iter().any(|name| name.image == image.manifest);
                    assert!(is_named || store.forget_image(&image.manifest).unwrap().is_none());
                }
                store.sweep(Which::AlsoPartial).unwrap();
                let now = everything(world.dir.path());
                let left: Vec<_> =
                    now.iter().filter(|path| !path.ends_with(".new") && !there.contains(path)).collect();
                assert!(left.is_empty(), "{step}: {left:#?} {error}");
                assert!(there.iter().all(|path| now.contains(path)), "{step}");
            }
        }
        if !reached {
            assert!(step > 30, "{step}");
            return;
        }
    }
    panic!("a load makes more changes than that");
}
