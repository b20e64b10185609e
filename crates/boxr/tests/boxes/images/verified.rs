//! `store verify`: what of a layer is compared with its archive, and what is left as it is.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use boxr_testing::images::{Image, Layer, Packing, Server};
use boxr_testing::{Need, Sandbox, Test, Tool, test};
use rustix::fs::{XattrFlags, setxattr};

use crate::containers::{OVERLAY, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(permissions_and_attributes_are_compared, Need::ManyIds),
    test!(owners_are_compared, Need::Root),
    test!(a_layer_that_is_mounted_stays_and_the_rest_is_mended, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_layer_of_a_mounted_image_stays, Need::Root),
];

/// A file below `dir` that is of a layer and has something in it.
pub fn first_file(dir: &Path) -> PathBuf {
    find_file(dir).unwrap()
}

fn find_file(dir: &Path) -> Option<PathBuf> {
    let files = boxr_testing::leaks::files_below(dir);
    let is_one = |path: &&PathBuf| {
        path.components().any(|part| part.as_os_str() == "fs")
            && path.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() > 6)
    };
    files.iter().find(is_one).cloned()
}

fn layers(t: &Sandbox) -> PathBuf {
    t.layout().root.join("images/layers")
}

/// An image of one file that is nobody else's.
fn pulled(t: &Sandbox, seed: &str) -> (Server, String) {
    let layer = Layer::of_files(&[("dir/file", format!("file of {seed}").as_bytes())], Packing::Gzip);
    let server = Server::start();
    let name = server.put("app", seed, &Image::new("amd64", "{}", vec![layer]));
    t.boxr(["pull", "-q", "--platform", "linux/amd64", &name]).run().ok();
    (server, name)
}

#[track_caller]
fn is_found_and_mended(t: &Sandbox, what: &str) {
    t.boxr(["store", "verify"]).run().exits(1).shows(what).blames("--repair");
    t.boxr(["store", "verify", "--repair"]).run().ok().shows(": mended");
    t.boxr(["store", "verify"]).run().ok().shows("all is well");
}

fn permissions_and_attributes_are_compared(t: &Sandbox) {
    let _image = pulled(t, "one");
    let file = first_file(&layers(t));
    fs::set_permissions(&file, Permissions::from_mode(0o4755)).unwrap();
    is_found_and_mended(t, "file /dir/file has other permissions than in the blob");
    setxattr(&file, "user.note", b"x", XattrFlags::empty()).unwrap();
    is_found_and_mended(t, "file /dir/file has other attributes than in the blob");
    fs::set_permissions(file.parent().unwrap(), Permissions::from_mode(0o700)).unwrap();
    is_found_and_mended(t, "file /dir has other permissions than in the blob");
    t.boxr(["rmi", "-f", "--all"]).run().ok();
}

fn owners_are_compared(t: &Sandbox) {
    let _image = pulled(t, "one");
    let file = first_file(&layers(t));
    chown(&file, Some(1), None).unwrap();
    is_found_and_mended(t, "file /dir/file has another owner than in the blob");
    chown(&file, None, Some(1)).unwrap();
    // Of a layer of which an earlier boxr has noted nothing it is not known who made it.
    let note =
        layers(t).join(file.strip_prefix(layers(t)).unwrap().iter().next().unwrap()).join("layer.json");
    let text = fs::read_to_string(&note).unwrap();
    fs::write(&note, text.replace(",\"is_exact\":true", "")).unwrap();
    t.boxr(["store", "verify"]).run().ok();
    fs::write(&note, text).unwrap();
    is_found_and_mended(t, "has another owner");
    t.boxr(["rmi", "-f", "--all"]).run().ok();
}

fn a_layer_that_is_mounted_stays_and_the_rest_is_mended(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    t.run(["-q", "-d", "--name", "up", "--network", "none", &name, "sleep", "1000"]).run().ok();
    let used: Vec<_> = fs::read_dir(layers(t)).unwrap().map(|entry| entry.unwrap().path()).collect();
    let _image = pulled(t, "other");
    let is_new = |path: &PathBuf| !used.contains(path);
    let other = fs::read_dir(layers(t)).unwrap().map(|entry| entry.unwrap().path()).find(is_new).unwrap();
    // One of its layers has directories alone.
    for file in used.iter().chain([&other]).filter_map(|layer| find_file(layer)) {
        let mode = fs::metadata(&file).unwrap().permissions().mode() ^ 0o002;
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    }
    let mended = t.boxr(["store", "verify", "--repair"]).run().exits(1);
    assert_eq!(mended.text().matches(": mended").count(), 1, "{}", mended.story());
    mended.blames("is mounted, and not mended: up").blames("boxr stop up");
    t.boxr(["exec", "up", "cat", "/etc/passwd"]).run().ok();
    t.boxr(["stop", "-t", "0", "up"]).run().ok();
    t.boxr(["store", "verify", "--repair"]).run().ok().shows(": mended");
    t.boxr(["store", "verify"]).run().ok().shows("all is well");
    t.boxr(["start", "up"]).run().ok();
    t.boxr(["exec", "up", "cat", "/etc/passwd"]).run().ok();
    t.boxr(["rm", "-f", "up"]).run().ok();
}

fn a_layer_of_a_mounted_image_stays(t: &Sandbox) {
    let (_server, name) = pulled(t, "one");
    let place = t.boxr(["image", "mount", &name]).run().ok().word();
    fs::set_permissions(first_file(&layers(t)), Permissions::from_mode(0o600)).unwrap();
    t.boxr(["store", "verify", "--repair"])
        .run()
        .exits(1)
        .blames(&format!("is mounted, and not mended: {place}"))
        .blames("boxr image unmount");
    assert!(Path::new(&place).join("dir/file").is_file());
    t.boxr(["image", "unmount", &name]).run().ok();
    t.boxr(["store", "verify", "--repair"]).run().ok();
    t.boxr(["rmi", &name]).run().ok();
}
