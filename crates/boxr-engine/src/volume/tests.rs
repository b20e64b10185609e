use std::collections::BTreeMap;

use super::*;
use crate::id::Id;
use crate::paths::Paths;

struct Place {
    around: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { around: tempfile::tempdir().unwrap() }
    }

    fn paths(&self) -> Paths {
        let path = self.around.path();
        Paths { state: path.join("state"), data: path.join("data") }
    }

    fn volumes(&self) -> Volumes {
        Volumes::open(&self.paths()).unwrap()
    }

    /// A container that is there, as far as volumes look.
    fn container(&self) -> Id {
        let id = Id::random().unwrap().0;
        std::fs::create_dir_all(self.paths().data.join("containers").join(id.as_str())).unwrap();
        id
    }

    fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.paths().data.join("volumes")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn name(text: &str) -> VolumeName {
    VolumeName::parse(text).unwrap()
}

#[test]
fn names_are_one_part_of_a_path() {
    for text in ["a", "data", "A-1_b.c", &"x".repeat(255)] {
        assert!(VolumeName::parse(text).is_ok(), "{text}");
    }
    for text in ["", ".", "..", ".new-x", "-a", "a/b", "a b", "ä", "a\0", &"x".repeat(256)] {
        assert!(matches!(VolumeName::parse(text), Err(VolumeError::Name(_))), "{text}");
    }
}

#[test]
fn a_volume_is_made_once_and_removed() {
    let place = Place::new();
    let volumes = place.volumes();
    let labels = BTreeMap::from([("tier".to_owned(), "front".to_owned())]);
    let new = NewVolume { labels: labels.clone(), ..NewVolume::default() };
    assert_eq!(volumes.create(Some(&name("data")), new).unwrap(), (name("data"), Created::New));
    std::fs::write(volumes.data(&name("data")).join("file"), "kept").unwrap();
    let again = volumes.create(Some(&name("data")), NewVolume::default()).unwrap();
    assert_eq!(again, (name("data"), Created::Existing));
    assert_eq!(volumes.read(&name("data")).unwrap().labels, labels);
    assert!(volumes.data(&name("data")).join("file").exists());
    assert_eq!(volumes.names().unwrap(), [name("data")]);
    volumes.remove(&name("data")).unwrap();
    assert!(matches!(volumes.remove(&name("data")), Err(VolumeError::Missing(_))));
    assert!(place.entries().is_empty());
}

#[test]
fn one_that_a_box_has_stays_until_that_is_gone() {
    let place = Place::new();
    let (volumes, id) = (place.volumes(), place.container());
    let (data, _) = volumes.create(None, NewVolume::default()).unwrap();
    volumes.hold(&data, &id).unwrap();
    assert_eq!(volumes.users(&data).unwrap(), std::slice::from_ref(&id));
    assert!(matches!(volumes.remove(&data), Err(VolumeError::InUse { .. })));
    std::fs::remove_dir(place.paths().data.join("containers").join(id.as_str())).unwrap();
    assert!(volumes.users(&data).unwrap().is_empty(), "a note of a box that is gone counts for nothing");
    volumes.remove(&data).unwrap();
    assert!(matches!(volumes.hold(&data, &id), Err(VolumeError::Missing(_))));
}

#[test]
fn what_was_cut_short_is_swept_up_unless_somebody_is_at_it() {
    let place = Place::new();
    let volumes = place.volumes();
    for left in [".new-1", ".gone-2", ".gone-3"] {
        std::fs::create_dir_all(place.paths().data.join("volumes").join(left).join("_data/x")).unwrap();
    }
    let busy = std::fs::File::open(place.paths().data.join("volumes/.gone-3")).unwrap();
    rustix::fs::flock(&busy, rustix::fs::FlockOperation::LockExclusive).unwrap();
    volumes.sweep().unwrap();
    assert_eq!(place.entries(), [".gone-3"]);
    drop(busy);
    volumes.sweep().unwrap();
    assert!(place.entries().is_empty());
}

#[test]
fn many_make_and_remove_one_at_once() {
    let place = Place::new();
    let (volumes, id) = (place.volumes(), place.container());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..50 {
                    volumes.create(Some(&name("data")), NewVolume::default()).unwrap();
                    match volumes.hold(&name("data"), &id) {
                        // Whoever holds it, holds it: nobody removes it until it is let go.
                        Ok(()) => assert!(volumes.data(&name("data")).is_dir()),
                        Err(VolumeError::Missing(_)) => continue,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            scope.spawn(|| {
                for _ in 0..50 {
                    match volumes.remove(&name("data")) {
                        Ok(()) | Err(VolumeError::Missing(_) | VolumeError::InUse { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    volumes.let_go(&name("data"), &id).unwrap();
    volumes.sweep().unwrap();
    assert!(place.entries().iter().all(|entry| entry == "data"), "{:?}", place.entries());
}

#[test]
fn options_of_the_driver_are_the_bind_or_refused_by_name() {
    let check = |pairs: &[(&str, &str)]| {
        let map = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        check_options(&map).map_err(|error| error.to_string())
    };
    assert_eq!(check(&[]), Ok(()));
    assert_eq!(check(&[("type", "none"), ("o", "bind"), ("device", "/srv")]), Ok(()));
    assert_eq!(check(&[("type", "none"), ("o", "rbind,ro,noexec"), ("device", "/srv")]), Ok(()));
    assert_eq!(check(&[("type", "tmpfs"), ("o", "size=1m,mode=700,uid=5"), ("device", "tmpfs")]), Ok(()));
    for (pairs, blamed) in [
        (&[("type", "nfs")][..], "type=nfs"),
        (&[("o", "size=1g")], "o=size=1g"),
        (&[("type", "tmpfs"), ("o", "size=x")], "o=size=x"),
        (&[("type", "tmpfs"), ("o", "bind:x")], "o=bind:x"),
        (&[("type", "ext4")], "no disks"),
        (&[("device", "/srv")], "device=/srv"),
        (&[("o", "bind"), ("device", "srv")], "device=srv"),
        (&[("o", "bind")], "device=DIR"),
        (&[("color", "red")], "color=red"),
    ] {
        assert!(check(pairs).unwrap_err().contains(blamed), "{pairs:?}");
    }
}
