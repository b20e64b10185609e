//! Trees as archives, and back again.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat};

use super::*;
use crate::tar::{Archive, Entry, Kind};
use crate::unpack::{How, Limits, Ownership, unpack};

fn tree(dirs: &[&Path], holes: Holes) -> Tree {
    let form = Form::of(File::open(dirs[0]).unwrap().as_fd()).unwrap();
    // The caller stands for root.
    let me = rustix::process::geteuid().as_raw();
    let my_group = rustix::process::getegid().as_raw();
    let one = |outside| vec![Extent { outside, inside: 0, count: 1 }];
    let ids = Ids { users: one(me), groups: one(my_group) };
    let open = |dir: &&Path| Dir { fd: File::open(dir).unwrap().into(), ids: ids.clone() };
    Tree { dirs: dirs.iter().map(open).collect(), form, holes }
}

fn entries(bytes: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    let mut archive = Archive::new(bytes);
    let mut all = Vec::new();
    while let Some(entry) = archive.next_entry().unwrap() {
        let mut data = Vec::new();
        let mut buffer = [0; 512];
        while let read @ 1.. = archive.read_data(&mut buffer).unwrap() {
            data.extend(&buffer[..read]);
        }
        all.push((entry, data));
    }
    all
}

fn names(bytes: &[u8]) -> Vec<String> {
    entries(bytes).into_iter().map(|(entry, _)| String::from_utf8(entry.name).unwrap()).collect()
}

fn merged(dirs: &[&Path]) -> Vec<u8> {
    tree(dirs, Holes::Filled).merged(Vec::new()).unwrap().0
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// What overlayfs makes of a removal.
fn white_out(dir: &Path, name: &str) {
    fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
    mknodat(CWD, dir.join(name), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

fn mark_opaque(dir: &Path, name: &str) {
    let form = Form::of(File::open(dir).unwrap().as_fd()).unwrap();
    fs::create_dir_all(dir.join(name)).unwrap();
    rustix::fs::setxattr(dir.join(name), form.opaque(), b"y", XattrFlags::empty()).unwrap();
}

fn unpack_into(bytes: &[u8], dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let dir = File::open(dir).unwrap();
    let form = Form::of(dir.as_fd()).unwrap();
    let how = How { form, ownership: Ownership::Squashed, limits: Limits::default() };
    unpack(bytes, dir.as_fd(), &how).unwrap();
}

#[test]
fn everything_about_a_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write(dir.path(), "etc/passwd", "root");
    fs::set_permissions(at("etc/passwd"), PermissionsExt::from_mode(0o4750)).unwrap();
    rustix::fs::setxattr(at("etc/passwd"), "user.key", b"value", XattrFlags::empty()).unwrap();
    fs::hard_link(at("etc/passwd"), at("etc/second")).unwrap();
    symlink("../nowhere", at("etc/link")).unwrap();
    mknodat(CWD, at("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    fs::set_permissions(at("etc"), PermissionsExt::from_mode(0o1777)).unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let (bytes, contents) = tree(&[dir.path()], Holes::Filled).merged(Vec::new()).unwrap();
    assert_eq!(contents, Contents { entries: 5, sockets: 1 });
    assert_eq!(names(&bytes), ["pipe", "etc/", "etc/link", "etc/passwd", "etc/second"]);
    let all = entries(&bytes);
    let (passwd, data) = &all[3];
    assert_eq!((passwd.mode, passwd.uid, passwd.gid, &data[..]), (0o4750, 0, 0, &b"root"[..]));
    assert_eq!(passwd.xattrs, [(b"user.key".to_vec(), b"value".to_vec())]);
    assert_eq!(passwd.modified.seconds, fs::metadata(at("etc/passwd")).unwrap().mtime());
    assert_eq!((all[4].0.kind, &all[4].0.link[..]), (Kind::HardLink, &b"etc/passwd"[..]));
    assert_eq!((all[2].0.kind, &all[2].0.link[..]), (Kind::Symlink, &b"../nowhere"[..]));
    assert_eq!(all[1].0.mode, 0o1777);
    // And back again.
    let other = tempfile::tempdir().unwrap();
    unpack_into(&bytes, &other.path().join("fs"));
    assert!(merged(&[&other.path().join("fs")]) == bytes);
    drop(socket);
}

#[test]
fn directories_lie_upon_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let [low, middle, top] = ["low", "middle", "top"].map(|name| dir.path().join(name));
    for (name, text) in [
        ("a/gone", ""),
        ("a/kept", "low"),
        ("a/over", "low"),
        ("old/file", ""),
        ("dir/file", ""),
        ("file", ""),
        ("twice/x", ""),
    ] {
        write(&low, name, text);
    }
    write(&middle, "a/middle", "");
    white_out(&middle, "a/gone");
    mark_opaque(&middle, "old");
    write(&middle, "old/new", "");
    white_out(&middle, "twice");
    write(&top, "a/over", "top");
    write(&top, "dir", "now a file");
    write(&top, "file/is", "now a directory");
    write(&top, "twice/y", "");
    for dir in [&low, &middle, &top] {
        fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let bytes = merged(&[&top, &middle, &low]);
    let expected = [
        "dir", "a/", "file/", "old/", "twice/", "a/kept", "a/middle", "a/over", "file/is", "old/new",
        "twice/y",
    ];
    assert_eq!(names(&bytes), expected);
    let over = entries(&bytes).into_iter().find(|(entry, _)| entry.name == b"a/over").unwrap();
    assert_eq!(over.1, b"top");
}

#[test]
fn changes_become_a_layer_and_changes_again() {
    let dir = tempfile::tempdir().unwrap();
    let upper = dir.path().join("upper");
    white_out(&upper, "gone");
    white_out(&upper, "dir/gone");
    write(&upper, "dir/new", "new");
    mark_opaque(&upper, "old");
    write(&upper, "old/file", "");
    fs::set_permissions(&upper, PermissionsExt::from_mode(0o700)).unwrap();
    let layer = |dir: &Path| tree(&[dir], Holes::Filled).layer(Vec::new()).unwrap().0;
    let bytes = layer(&upper);
    let expected =
        ["./", ".wh.gone", "dir/", "old/", "old/.wh..wh..opq", "dir/.wh.gone", "dir/new", "old/file"];
    assert_eq!(names(&bytes), expected);
    let again = dir.path().join("again");
    unpack_into(&bytes, &again);
    assert!(fs::symlink_metadata(again.join("gone")).unwrap().file_type().is_char_device());
    assert!(layer(&again) == bytes);
}

#[test]
fn holes_are_filled_or_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(dir.path().join("sparse")).unwrap();
    file.set_len(4 << 20).unwrap();
    rustix::io::pwrite(&file, b"data", 1 << 20).unwrap();
    drop(file);
    let pack = |holes| tree(&[dir.path()], holes).merged(Vec::new()).unwrap().0;
    let (filled, kept) = (pack(Holes::Filled), pack(Holes::Kept));
    assert!(filled.len() > 4 << 20 && kept.len() < 1 << 20, "{} {}", filled.len(), kept.len());
    let mut contents = Vec::new();
    for (number, bytes) in [filled, kept].into_iter().enumerate() {
        let to = dir.path().join(format!("to{number}"));
        unpack_into(&bytes, &to);
        let mut bytes = Vec::new();
        File::open(to.join("sparse")).unwrap().read_to_end(&mut bytes).unwrap();
        contents.push(bytes);
    }
    assert!(contents[0] == contents[1] && contents[0].len() == 4 << 20);
    assert_eq!(&contents[0][1 << 20..(1 << 20) + 4], b"data");
}

#[test]
fn ids_are_those_of_the_archive() {
    let extents = [
        Extent { outside: 1000, inside: 0, count: 1 },
        Extent { outside: 100_000, inside: 1, count: 65_536 },
    ];
    let of = |id| inside(&extents, id);
    assert_eq!([of(1000), of(100_000), of(165_535), of(165_536), of(7)], [0, 1, 65_536, 165_536, 7]);
}

#[test]
fn a_renamed_directory_is_not_read_as_another() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("new")).unwrap();
    let name = "trusted.overlay.redirect";
    rustix::fs::setxattr(dir.path().join("new"), name, b"old", XattrFlags::empty()).unwrap();
    let packed = tree(&[dir.path()], Holes::Filled).layer(Vec::new());
    assert!(matches!(packed, Err(PackError::Redirected { .. })), "{packed:?}");
}
