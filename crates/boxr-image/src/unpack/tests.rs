//! Layers as they should be, and as they should not.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path as StdPath;

use boxr_testing::images::Packing;
use proptest::prelude::*;
use tar::EntryType;

use super::*;
use crate::tar::TarError;

/// An archive in the making.
struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn add(mut self, kind: EntryType, name: &str, link: &str, mode: u32, data: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len() as u64);
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        header.set_uid(u64::from(uid));
        header.set_gid(u64::from(gid));
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        // Not by the crate's own way, which refuses what is to be tested.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.add(EntryType::Regular, name, "", 0o644, data.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.add(EntryType::Directory, name, "", 0o755, b"")
    }

    fn symlink(self, name: &str, to: &str) -> Self {
        self.add(EntryType::Symlink, name, to, 0o777, b"")
    }

    fn hard_link(self, name: &str, to: &str) -> Self {
        self.add(EntryType::Link, name, to, 0o644, b"")
    }

    fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A directory with another one around it, which must stay as it is.
struct Place {
    around: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        std::fs::create_dir(around.path().join("fs")).unwrap();
        std::fs::write(around.path().join("outside"), "outside").unwrap();
        Self { around }
    }

    fn open(&self) -> OwnedFd {
        File::open(self.around.path().join("fs")).unwrap().into()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.around.path().join("fs").join(name)
    }

    fn how(&self) -> How {
        let form = Form::of(self.open().as_fd()).unwrap();
        let ownership = if form == Form::Trusted { Ownership::Kept } else { Ownership::Squashed };
        How { form, ownership, limits: Limits::default() }
    }

    fn unpack(&self, bytes: &[u8]) -> Result<Unpacked, UnpackError> {
        unpack(bytes, self.open().as_fd(), &self.how())
    }

    #[track_caller]
    fn assert_nothing_outside_changed(&self) {
        let names: Vec<_> =
            std::fs::read_dir(self.around.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        let outside = self.around.path().join("outside");
        assert_eq!(std::fs::read(&outside).unwrap(), b"outside");
        assert_eq!(std::fs::metadata(&outside).unwrap().nlink(), 1);
    }

    fn is_whiteout(&self, name: &str) -> bool {
        let metadata = std::fs::symlink_metadata(self.path(name)).unwrap();
        metadata.file_type().is_char_device() && metadata.rdev() == 0
    }

    fn is_opaque(&self, name: &str) -> bool {
        let mut value = [0; 8];
        let key = self.how().form.opaque();
        rustix::fs::lgetxattr(self.path(name), key, &mut value).is_ok_and(|length| &value[..length] == b"y")
    }
}

fn text(path: impl AsRef<StdPath>) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn everything_is_as_the_archive_says() {
    let place = Place::new();
    let bytes = Archive::new()
        .add(EntryType::Directory, "./", "", 0o751, b"")
        .add(EntryType::Directory, "tmp", "", 0o1777, b"")
        .add(EntryType::Directory, "closed", "", 0o500, b"")
        .file("closed/file", "in a closed directory")
        .add(EntryType::Regular, "su", "", 0o4755, b"program")
        .hard_link("second", "su")
        .symlink("link", "../../outside")
        .hard_link("linked-link", "link")
        .add(EntryType::Fifo, "pipe", "", 0o620, b"")
        .file("deep/down/file", "deep")
        .pax(&[("mtime", b"1234567890.5"), ("SCHILY.xattr.user.key", b"val\0ue")])
        .file("timed", "x")
        .bytes();
    let unpacked = place.unpack(&bytes).unwrap();
    assert_eq!(unpacked.diff_id, Digest::of(&bytes));
    assert_eq!((unpacked.info.entries, unpacked.info.size), (11, 21 + 7 + 4 + 1));
    let mode =
        |name: &str| std::fs::symlink_metadata(place.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        ["", "tmp", "closed", "su", "pipe", "deep"].map(mode),
        [0o751, 0o1777, 0o500, 0o4755, 0o620, 0o755]
    );
    for name in ["", "tmp", "closed", "su", "pipe", "link", "closed/file"] {
        assert_eq!(std::fs::symlink_metadata(place.path(name)).unwrap().mtime(), 1_000_000_000, "{name}");
    }
    let timed = std::fs::metadata(place.path("timed")).unwrap();
    assert_eq!((timed.mtime(), timed.mtime_nsec()), (1_234_567_890, 500_000_000));
    let mut value = [0; 16];
    let length = rustix::fs::getxattr(place.path("timed"), "user.key", &mut value).unwrap();
    assert_eq!(&value[..length], b"val\0ue");
    assert_eq!(std::fs::metadata(place.path("second")).unwrap().nlink(), 2);
    assert_eq!(std::fs::read_link(place.path("linked-link")).unwrap(), StdPath::new("../../outside"));
    assert!(std::fs::symlink_metadata(place.path("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(text(place.path("deep/down/file")), "deep");
    std::fs::set_permissions(place.path("closed"), PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(text(place.path("closed/file")), "in a closed directory");
    place.assert_nothing_outside_changed();
}

#[test]
fn every_packing_is_known_by_its_first_bytes() {
    let tar = Archive::new().file("file", &"contents ".repeat(100_000)).bytes();
    for packing in [Packing::None, Packing::Gzip, Packing::Zstd] {
        let place = Place::new();
        let unpacked = place.unpack(&packing.pack(&tar)).unwrap();
        assert_eq!(unpacked.diff_id, Digest::of(&tar), "{packing:?}");
        assert_eq!(text(place.path("file")).len(), 900_000);
    }
    // Members and frames one after the other, and zstd's that are to be skipped.
    let (one, two) = tar.split_at(1000);
    let gzip = [Packing::Gzip.pack(one), Packing::Gzip.pack(two)].concat();
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let zstd = [skipped.clone(), Packing::Zstd.pack(one), Packing::Zstd.pack(two), skipped].concat();
    for bytes in [gzip, zstd] {
        assert_eq!(Place::new().unpack(&bytes).unwrap().diff_id, Digest::of(&tar));
    }
}

#[test]
fn what_is_cut_short_or_damaged_is_refused() {
    let tar = Archive::new().file("file", &"contents ".repeat(10_000)).bytes();
    for packing in [Packing::None, Packing::Gzip, Packing::Zstd] {
        let packed = packing.pack(&tar);
        for length in [packed.len() / 3, packed.len() / 2] {
            Place::new().unpack(&packed[..length]).unwrap_err();
        }
        if packing != Packing::None {
            Place::new().unpack(&packed[..packed.len() - 1]).unwrap_err();
            let mut damaged = packed.clone();
            let middle = damaged.len() / 2;
            damaged[middle] ^= 0x55;
            Place::new().unpack(&damaged).unwrap_err();
            Place::new().unpack(&[packed, b"more".to_vec()].concat()).unwrap_err();
        }
    }
}

#[test]
fn many_may_ask_one_directory_for_its_form() {
    let place = Place::new();
    let first = Form::of(place.open().as_fd()).unwrap();
    std::thread::scope(|scope| {
        let ask = || (0..2000).for_each(|_| assert_eq!(Form::of(place.open().as_fd()).unwrap(), first));
        (0..4).for_each(|_| drop(scope.spawn(ask)));
    });
}

#[test]
fn removals_are_in_the_form_of_overlayfs() {
    let place = Place::new();
    let bytes = Archive::new()
        .file("a/.wh.gone", "")
        .dir("new")
        .file("new/.wh..wh..opq", "")
        .file("new/file", "")
        .file(".wh.early", "")
        .file("early/file", "")
        .dir("late")
        .file(".wh.late", "")
        .file(".wh.replaced", "")
        .file("replaced", "by this")
        .file("kept", "kept")
        .file(".wh.kept", "")
        .file(".wh..wh.plnk", "")
        .file("implied/.wh..wh..opq", "")
        .bytes();
    place.unpack(&bytes).unwrap();
    assert!(place.is_whiteout("a/gone"));
    assert!(place.is_opaque("new") && place.path("new/file").exists());
    assert!(place.is_opaque("early") && place.path("early/file").exists());
    assert!(place.is_opaque("late") && place.is_opaque("implied"));
    assert_eq!((text(place.path("replaced")), text(place.path("kept"))), ("by this".into(), "kept".into()));
    assert!(!place.is_opaque("a") && !place.path(".wh..wh.plnk").exists());
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    let place = Place::new();
    let bytes = Archive::new()
        .file("x", "old")
        .hard_link("y", "x")
        .file("x", "new")
        .dir("d")
        .file("d/e/f", "")
        .file("d", "now a file")
        .symlink("s", "y")
        .file("s", "no link")
        .symlink("t", "d")
        .dir("t")
        .file("t/file", "")
        .dir("again")
        .add(EntryType::Directory, "again", "", 0o700, b"")
        .bytes();
    place.unpack(&bytes).unwrap();
    let read = |name| text(place.path(name));
    assert_eq!([read("x"), read("y"), read("d"), read("s")], ["new", "old", "now a file", "no link"]);
    assert!(place.path("t").is_dir() && !place.path("t").is_symlink());
    assert_eq!(std::fs::metadata(place.path("again")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn links_that_stay_in_the_layer_are_followed() {
    let place = Place::new();
    let bytes = Archive::new()
        .dir("usr/lib")
        .symlink("lib", "usr/lib")
        .file("lib/file", "x")
        .hard_link("h", "lib/file")
        .bytes();
    place.unpack(&bytes).unwrap();
    assert_eq!(text(place.path("usr/lib/file")), "x");
    assert_eq!(text(place.path("h")), "x");
}

#[test]
fn absolute_names_begin_at_the_layers_root() {
    let place = Place::new();
    let archive =
        Archive::new().file("/dir/file", "x").hard_link("//second", "/dir/file").file("/dir/.wh.gone", "");
    place.unpack(&archive.bytes()).unwrap();
    assert_eq!(std::fs::read(place.path("second")).unwrap(), b"x");
    assert_eq!(std::fs::metadata(place.path("dir/file")).unwrap().nlink(), 2);
    assert!(place.is_whiteout("dir/gone"));
    place.assert_nothing_outside_changed();
}

#[test]
fn hostile_layers_are_refused_whole() {
    let new = Archive::new;
    let hostile = [
        ("absolute and out", new().file("/../outside", "")),
        ("dots", new().file("../outside", "")),
        ("dots inside", new().file("a/../../outside", "")),
        ("link up", new().symlink("up", "..").file("up/outside", "")),
        ("absolute link", new().symlink("etc", "/etc").file("etc/boxr-was-here", "")),
        ("link to a link", new().symlink("a", "b").symlink("b", "../").file("a/outside", "")),
        ("loop", new().symlink("a", "b").symlink("b", "a").file("a/x", "")),
        ("link over the root", new().symlink("./", "..").file("outside", "")),
        ("hard link up", new().hard_link("h", "../outside")),
        ("hard link absolute", new().hard_link("h", "/etc/passwd")),
        ("hard link through a link", new().symlink("up", "..").hard_link("h", "up/outside")),
        ("hard link to nothing", new().hard_link("h", "missing")),
        ("hard link to a directory", new().dir("d").hard_link("h", "d")),
        ("hard link to the root", new().hard_link("h", ".")),
        ("hard link to itself", new().file("h", "").hard_link("h", "h")),
        ("whiteout of the parent", new().file("a/.wh...", "")),
        ("whiteout through a link", new().symlink("up", "..").file("up/.wh.outside", "")),
        ("opaque through a link", new().symlink("up", "..").file("up/.wh..wh..opq", "")),
        ("device through a link", new().symlink("up", "..").add(EntryType::Char, "up/dev", "", 0o666, b"")),
        ("below a file", new().file("f", "").file("f/x", "")),
        ("pax name", new().pax(&[("path", b"../outside")]).file("x", "")),
        ("pax link", new().pax(&[("linkpath", b"../outside")]).hard_link("x", "y")),
    ];
    for (what, archive) in hostile {
        let place = Place::new();
        let refused = place.unpack(&archive.bytes());
        let expected = matches!(refused, Err(UnpackError::Escape { .. } | UnpackError::Contradiction { .. }));
        assert!(expected, "{what}: {refused:?}");
        place.assert_nothing_outside_changed();
    }
    assert!(!StdPath::new("/etc/boxr-was-here").exists());
}

#[test]
fn overlayfs_is_told_nothing_by_a_layer() {
    let place = Place::new();
    let records: [(&str, &[u8]); 3] = [
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.fine", b"1"),
    ];
    place.unpack(&Archive::new().pax(&records).dir("d").bytes()).unwrap();
    let mut names = [0; 256];
    let length = rustix::fs::listxattr(place.path("d"), &mut names).unwrap();
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    assert!(names.contains("user.fine") && !names.contains("overlay"), "{names}");
}

#[test]
fn directories_do_not_fill_the_memory() {
    let place = Place::new();
    let value = vec![b'x'; 60_000];
    let mut archive = Archive::new();
    for number in 0..2300 {
        archive = archive.pax(&[("SCHILY.xattr.user.large", &value)]).dir(&format!("d{number}"));
    }
    let refused = place.unpack(&archive.bytes()).unwrap_err();
    assert!(matches!(refused, UnpackError::TooMuch { .. }), "{refused}");
}

#[test]
fn bombs_are_refused() {
    let place = Place::new();
    let limits = Limits { stream: 1 << 20, entries: 10, file: 1 << 30 };
    let how = How { limits, ..place.how() };
    let refused = |bytes: &[u8]| unpack(bytes, place.open().as_fd(), &how).unwrap_err();
    let zeros = Packing::Gzip
        .pack(&Archive::new().add(EntryType::Regular, "x", "", 0o644, &vec![0; 4 << 20]).bytes());
    assert!(zeros.len() < 100_000);
    assert!(matches!(refused(&zeros), UnpackError::Tar(TarError::Read(_))));
    let many = (0..11).fold(Archive::new(), |archive, number| archive.file(&number.to_string(), ""));
    assert!(matches!(refused(&many.bytes()), UnpackError::TooMuch { limit: 10, .. }));
    let records: [(&str, &[u8]); 2] =
        [("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"9223372036854775807")];
    let sparse = Archive::new().pax(&records).file("x", "y");
    assert!(matches!(refused(&sparse.bytes()), UnpackError::TooMuch { what: "bytes in one file", .. }));
    // After its end an archive may go on for ever too.
    let endless = [Archive::new().file("x", "").bytes(), vec![0; 2 << 20]].concat();
    assert!(matches!(refused(&endless), UnpackError::Read(_)));
}

#[test]
fn holes_stay_holes() {
    let place = Place::new();
    let records: [(&str, &[u8]); 2] = [("GNU.sparse.map", b"1048576,4"), ("GNU.sparse.size", b"8388608")];
    let unpacked = place.unpack(&Archive::new().pax(&records).file("x", "data").bytes()).unwrap();
    let metadata = std::fs::metadata(place.path("x")).unwrap();
    assert_eq!((metadata.len(), unpacked.info.size), (8 << 20, 4));
    assert!(metadata.blocks() * 512 < 1 << 20);
    assert_eq!(&std::fs::read(place.path("x")).unwrap()[1 << 20..][..5], b"data\0");
}

#[test]
fn devices_are_made_or_stood_in_for() {
    let place = Place::new();
    let bytes = Archive::new().add(EntryType::Char, "null", "", 0o666, b"").add(
        EntryType::Block,
        "block",
        "",
        0o660,
        b"",
    );
    let unpacked = place.unpack(&bytes.bytes()).unwrap();
    let null = std::fs::metadata(place.path("null")).unwrap();
    assert_eq!(null.permissions().mode() & 0o777, 0o666);
    if place.how().form == Form::Trusted {
        assert!(null.file_type().is_char_device());
        assert_eq!((null.rdev(), unpacked.left_out.devices), (rustix::fs::makedev(1, 3), 0));
    } else {
        assert_eq!((null.len(), unpacked.left_out.devices), (0, 2));
    }
}

#[test]
fn owners_are_kept_or_counted() {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o4755);
    header.set_size(0);
    header.set_uid(70_000);
    header.set_gid(5);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, "file", &b""[..]).unwrap();
    let bytes = builder.into_inner().unwrap();
    let place = Place::new();
    let squashed = How { ownership: Ownership::Squashed, ..place.how() };
    let unpacked = unpack(&bytes[..], place.open().as_fd(), &squashed).unwrap();
    assert_eq!((unpacked.left_out.owners, unpacked.info.highest_id), (1, 70_000));
    assert_eq!(std::fs::metadata(place.path("file")).unwrap().uid(), rustix::process::geteuid().as_raw());
    let kept = How { ownership: Ownership::Kept, ..place.how() };
    let place = Place::new();
    match unpack(&bytes[..], place.open().as_fd(), &kept) {
        Ok(_) => {
            let file = std::fs::metadata(place.path("file")).unwrap();
            assert_eq!((file.uid(), file.gid(), file.permissions().mode() & 0o7777), (70_000, 5, 0o4755));
        }
        // Not root, or root of a user namespace without that id.
        Err(UnpackError::System { errno: Errno::PERM, .. } | UnpackError::Owner { id: 70_000, .. }) => {}
        Err(other) => panic!("{other}"),
    }
}

#[derive(Clone, Debug)]
struct Step(u8, String, String);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = prop::collection::vec(
        prop::sample::select(vec!["a", "b", "..", ".", ".wh.a", ".wh..wh..opq", ""]),
        1..4,
    );
    let name = name.prop_map(|parts| parts.join("/"));
    let step = (0..6u8, name.clone(), name).prop_map(|(kind, name, link)| Step(kind, name, link));
    prop::collection::vec(step, 0..12)
}

proptest! {
    #[test]
    fn nothing_outside_changes_whatever_the_archive(steps in steps()) {
        let place = Place::new();
        let archive = steps.iter().fold(Archive::new(), |archive, Step(kind, name, link)| match kind {
            0 => archive.file(name, "x"),
            1 => archive.dir(name),
            2 => archive.symlink(name, link),
            3 => archive.hard_link(name, link),
            4 => archive.add(EntryType::Char, name, "", 0o666, b""),
            _ => archive.symlink(name, "../outside"),
        });
        place.unpack(&archive.bytes()).ok();
        place.assert_nothing_outside_changed();
    }
}
