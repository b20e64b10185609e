//! The store, alone and with others, whole and cut short.

mod crash;

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc;

use rustix::fs::{Mode, OFlags};

use super::*;
use crate::digest::Digest;
use crate::reference::Reference;

/// A small image: content made up, layers of one file each.
#[derive(Clone)]
pub(super) struct Sample {
    layers: Vec<Vec<u8>>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Sample {
    pub(super) fn new(name: &str) -> Self {
        let layer = |number| format!("layer {number} of {name}").into_bytes();
        Self {
            layers: vec![b"a layer of all".to_vec(), layer(1)],
            config: format!("config of {name}").into_bytes(),
            manifest: format!("manifest of {name}").into_bytes(),
        }
    }

    fn diff_id(layer: &[u8]) -> Digest {
        Digest::of(&[layer, b" unpacked"].concat())
    }

    pub(super) fn id(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// What a pull does.
    pub(super) fn put(&self, store: &Store, name: &str) -> Result<ImageRecord, StoreError> {
        let lease = store.lease()?;
        let (config, manifest) = (Digest::of(&self.config), self.id());
        lease.add([&config, &manifest])?;
        store.put_blob(&self.config)?;
        store.put_blob(&self.manifest)?;
        let mut layers = Vec::new();
        for bytes in &self.layers {
            let (blob, diff_id) = (Digest::of(bytes), Self::diff_id(bytes));
            lease.add([&blob, &diff_id])?;
            if let Unpack::Write(writer) = store.unpack(&diff_id, Wait::Yes)? {
                fetch(store, bytes)?;
                let path = format!("staging/{}/fs/file", diff_id.file_name());
                steps::before(steps::Change::Write(&path))
                    .map_err(|errno| store.root.error("write", &path, errno))?;
                write_file(writer.dir(), bytes);
                writer.commit(LayerInfo { size: bytes.len() as u64, entries: 1, ..LayerInfo::default() })?;
            }
            fetch(store, bytes)?;
            layers.push(ImageLayer { blob, size: bytes.len() as u64, media_type: "tar".into(), diff_id });
        }
        let record = ImageRecord { manifest, config, layers, sources: vec![], indexes: vec![], added: 7 };
        store.put_image(record, &[Reference::parse(name).unwrap()])
    }

    /// Whether all of it is as it should be.
    pub(super) fn check(&self, store: &Store) {
        let record = store.image(&self.id()).unwrap().unwrap();
        for (layer, bytes) in record.layers.iter().zip(&self.layers) {
            assert_eq!(&store.read_blob(&layer.blob, 1000).unwrap(), bytes);
            let dir = store.path(&format!("layers/{}/fs", layer.diff_id.file_name()));
            assert_eq!(&std::fs::read(dir.join("file")).unwrap(), bytes);
        }
        assert_eq!(store.read_blob(&record.config, 1000).unwrap(), self.config);
        assert_eq!(store.read_blob(&record.manifest, 1000).unwrap(), self.manifest);
    }
}

/// Takes a blob up where an earlier attempt has left it.
fn fetch(store: &Store, bytes: &[u8]) -> Result<(), StoreError> {
    let Ingest::Write(mut writer) = store.ingest(&Digest::of(bytes), bytes.len() as u64, Wait::Yes)? else {
        return Ok(());
    };
    let mut buffer = [0; 5];
    while writer.read_back(&mut buffer)? > 0 {}
    for piece in bytes[writer.position() as usize..].chunks(6) {
        writer.write(piece)?;
    }
    match writer.commit() {
        // What was left was not what had been written.
        Err(StoreError::WrongDigest { .. }) => fetch(store, bytes),
        done => done,
    }
}

fn write_file(dir: std::os::fd::BorrowedFd<'_>, bytes: &[u8]) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let file = rustix::fs::openat(dir, "file", flags, Mode::from_raw_mode(0o444)).unwrap();
    rustix::io::write(file.as_fd(), bytes).unwrap();
    rustix::fs::fchmod(dir, Mode::from_raw_mode(0o555)).unwrap();
}

/// Every file and directory of the store but those that are always there.
pub(crate) fn everything(root: &Path) -> Vec<String> {
    fn walk(dir: &Path, root: &Path, all: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            all.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                walk(&path, root, all);
            }
        }
    }
    let mut all = Vec::new();
    walk(root, root, &mut all);
    let always = ["format", "lock", "blobs/sha256", "blobs/sha512"];
    all.retain(|path| path.contains('/') || always.contains(&path.as_str()) || !root.join(path).is_dir());
    all.retain(|path| !always.contains(&path.as_str()));
    all.sort_unstable();
    all
}

fn world() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn findings(store: &Store) -> Vec<Finding> {
    let mut all = Vec::new();
    store.verify(|_| {}, |finding| all.push(finding)).unwrap();
    all
}

#[test]
fn an_image_comes_and_goes() {
    let (dir, store) = world();
    let (one, two) = (Sample::new("one"), Sample::new("two"));
    one.put(&store, "one").unwrap();
    two.put(&store, "two").unwrap();
    let store = Store::open(dir.path()).unwrap();
    one.check(&store);
    two.check(&store);
    assert_eq!(findings(&store).len(), 0);
    assert_eq!(store.sweep(Which::AlsoPartial).unwrap(), Swept::default());
    assert_eq!(store.forget_image(&one.id()).unwrap(), None);
    let swept = store.sweep(Which::Unreferenced).unwrap();
    assert_eq!((swept.blobs.len(), swept.layers.len()), (3, 1), "the shared layer stays");
    two.check(&store);
    assert!(store.named(&Reference::parse("one").unwrap()).unwrap().is_none());
    store.forget_image(&two.id()).unwrap();
    store.sweep(Which::Unreferenced).unwrap();
    assert_eq!(everything(dir.path()), [""; 0]);
}

#[test]
fn names_move_and_images_stay() {
    let (_dir, store) = world();
    let (one, two) = (Sample::new("one"), Sample::new("two"));
    let name = Reference::parse("app:1").unwrap();
    one.put(&store, "app:1").unwrap();
    two.put(&store, "app:1").unwrap();
    assert_eq!(store.named(&name).unwrap().unwrap().manifest, two.id());
    one.check(&store);
    store.tag(&name, &one.id()).unwrap();
    assert_eq!(store.names().unwrap().len(), 1);
    assert!(store.untag(&name).unwrap());
    assert!(!store.untag(&name).unwrap());
    assert_eq!(store.images().unwrap().len(), 2);
    assert!(matches!(store.tag(&name, &Digest::of(b"")), Err(StoreError::Missing(_))));
}

#[test]
fn sources_add_up() {
    let (_dir, store) = world();
    let mut record = Sample::new("one").put(&store, "one").unwrap();
    for source in ["a", "b", "a"] {
        let digest = Digest::of(b"index");
        record.sources = vec![Reference::parse(source).unwrap().with_digest(digest)];
        record = store.put_image(record, &[]).unwrap();
    }
    assert_eq!(record.sources.len(), 2);
    assert_eq!(record.added, 7);
}

#[test]
fn a_held_image_is_not_forgotten() {
    let (_dir, store) = world();
    let sample = Sample::new("one");
    sample.put(&store, "one").unwrap();
    store.hold("c0ffee", &sample.id()).unwrap();
    assert_eq!(store.forget_image(&sample.id()).unwrap().as_deref(), Some("c0ffee"));
    sample.check(&store);
    store.release("c0ffee").unwrap();
    assert_eq!(store.forget_image(&sample.id()).unwrap(), None);
    assert!(store.hold("../x", &sample.id()).is_err());
}

#[test]
fn a_sweep_spares_what_a_living_process_uses() {
    let (dir, store) = world();
    let lease = store.lease().unwrap();
    let digest = Digest::of(b"bytes");
    lease.add([&digest]).unwrap();
    store.put_blob(b"bytes").unwrap();
    store.put_blob(b"others").unwrap();
    assert_eq!(store.sweep(Which::Unreferenced).unwrap().blobs, [Digest::of(b"others")]);
    assert!(store.has_blob(&digest).unwrap());
    drop(lease);
    assert_eq!(store.sweep(Which::Unreferenced).unwrap().bytes, 5);
    assert_eq!(everything(dir.path()), [""; 0]);
}

#[test]
fn a_record_without_content_is_refused() {
    let (_dir, store) = world();
    let mut record = Sample::new("one").put(&store, "one").unwrap();
    record.config = Digest::of(b"elsewhere");
    assert!(matches!(store.put_image(record, &[]), Err(StoreError::Missing(_))));
}

#[test]
fn wrong_content_is_never_given_its_name() {
    let (dir, store) = world();
    let digest = Digest::of(b"right");
    let Ingest::Write(mut writer) = store.ingest(&digest, 5, Wait::Yes).unwrap() else { panic!() };
    assert!(matches!(store.ingest(&digest, 5, Wait::No).unwrap(), Ingest::Busy));
    writer.write(b"wro").unwrap();
    assert!(matches!(writer.write(b"ngs"), Err(StoreError::WrongSize { found: 6, .. })));
    writer.write(b"ng").unwrap();
    assert!(matches!(writer.commit(), Err(StoreError::WrongDigest { .. })));
    let Ingest::Write(writer) = store.ingest(&digest, 5, Wait::Yes).unwrap() else { panic!() };
    assert_eq!(writer.left(), 0, "what was wrong is not continued");
    assert!(matches!(writer.commit(), Err(StoreError::WrongSize { found: 0, .. })));
    assert!(!store.has_blob(&digest).unwrap());
    store.sweep(Which::AlsoPartial).unwrap();
    assert_eq!(everything(dir.path()), [""; 0]);
}

#[test]
fn a_cancelled_blob_is_continued() {
    let (_dir, store) = world();
    let digest = Digest::of(b"right");
    let Ingest::Write(mut writer) = store.ingest(&digest, 5, Wait::Yes).unwrap() else { panic!() };
    writer.write(b"rig").unwrap();
    drop(writer);
    assert_eq!(store.sweep(Which::Unreferenced).unwrap(), Swept::default());
    assert_eq!(store.partial_bytes().unwrap(), 3);
    let Ingest::Write(mut writer) = store.ingest(&digest, 5, Wait::Yes).unwrap() else { panic!() };
    assert_eq!(writer.left(), 3);
    let mut buffer = [0; 2];
    assert_eq!(writer.read_back(&mut buffer).unwrap(), 2);
    assert_eq!(writer.read_back(&mut buffer).unwrap(), 1);
    assert_eq!(writer.read_back(&mut buffer).unwrap(), 0);
    writer.write(b"ht").unwrap();
    writer.commit().unwrap();
    assert_eq!(store.read_blob(&digest, 5).unwrap(), b"right");
    assert!(matches!(store.read_blob(&digest, 4), Err(StoreError::TooLarge { .. })));
}

#[test]
fn a_layer_is_unpacked_once_by_two() {
    let (_dir, store) = world();
    let (store, digest) = (&store, Digest::of(b"layer"));
    let Unpack::Write(writer) = store.unpack(&digest, Wait::Yes).unwrap() else { panic!() };
    assert!(matches!(store.unpack(&digest, Wait::No).unwrap(), Unpack::Busy));
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        scope.spawn(|| {
            let send = send;
            send.send(matches!(store.unpack(&digest, Wait::Yes).unwrap(), Unpack::Present(_))).unwrap();
        });
        writer.commit(LayerInfo::default()).unwrap();
        assert!(receive.recv().unwrap());
    });
}

#[test]
fn directories_of_any_depth_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let top = std::fs::File::open(dir.path()).unwrap();
    let open = |at: std::os::fd::BorrowedFd<'_>| {
        rustix::fs::openat(at, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
    };
    let make = |at: std::os::fd::BorrowedFd<'_>| {
        rustix::fs::mkdirat(at, "d", Mode::from_raw_mode(0o700)).unwrap();
        open(at)
    };
    // Deeper than files may be open, and than a path may be long.
    let mut deepest = make(top.as_fd());
    for _ in 0..3000 {
        let next = make(deepest.as_fd());
        // Nobody may write there.
        rustix::fs::fchmod(&deepest, Mode::from_raw_mode(0o500)).unwrap();
        deepest = next;
    }
    drop(deepest);
    remove_tree(top.as_fd(), c"d").unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_abandoned_layer_leaves_nothing() {
    let (dir, store) = world();
    let Unpack::Write(writer) = store.unpack(&Digest::of(b"layer"), Wait::Yes).unwrap() else { panic!() };
    write_file(writer.dir(), b"x");
    drop(writer);
    assert_eq!(everything(dir.path()), [""; 0]);
}

#[test]
fn damage_is_found_and_mended() {
    let (_dir, store) = world();
    let sample = Sample::new("one");
    let record = sample.put(&store, "one").unwrap();
    let blob = &record.layers[1].blob;
    std::fs::write(store.path(&format!("blobs/sha256/{}", blob.hex())), b"layer 1 of two").unwrap();
    std::fs::write(store.path(&format!("layers/{}/layer.json", record.layers[0].diff_id.file_name())), b"{")
        .unwrap();
    let found = findings(&store);
    assert!(
        matches!(&found[0], Finding { item: Item::Blob(digest), problem: Problem::WrongDigest(_) } if digest == blob)
    );
    assert!(matches!(&found[1], Finding { item: Item::Layer(_), problem: Problem::Unreadable(_) }));
    assert_eq!(found.len(), 2);
    assert!(matches!(store.read_blob(blob, 1000), Err(StoreError::WrongDigest { .. })));
    let mut writer = store.replace_blob(blob, record.layers[1].size).unwrap();
    writer.write(&sample.layers[1]).unwrap();
    writer.commit().unwrap();
    store.discard_damaged(&found[1].item).unwrap();
    let found = findings(&store);
    assert!(matches!(&found[..], [Finding { item: Item::Layer(_), problem: Problem::Missing }]));
    sample.put(&store, "one").unwrap();
    sample.check(&store);
    assert_eq!(findings(&store).len(), 0);
}

#[test]
fn damaged_records_stop_a_sweep_and_can_be_discarded() {
    let (_dir, store) = world();
    let sample = Sample::new("one");
    sample.put(&store, "one").unwrap();
    let path = store.path(&format!("images/{}", sample.id().file_name()));
    std::fs::write(&path, b"{\"manifest\":").unwrap();
    assert!(matches!(store.sweep(Which::Unreferenced), Err(StoreError::Damaged { .. })));
    let found = findings(&store);
    assert!(matches!(&found[0], Finding { item: Item::Image(_), .. }));
    store.discard_damaged(&found[0].item).unwrap();
    let found = findings(&store);
    assert!(matches!(&found[..], [Finding { item: Item::Name(_), problem: Problem::Dangling(_) }]));
}

#[test]
fn a_store_of_the_future_is_left_alone() {
    let (dir, store) = world();
    drop(store);
    std::fs::write(dir.path().join("format"), "2\n").unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Format { .. })));
}
