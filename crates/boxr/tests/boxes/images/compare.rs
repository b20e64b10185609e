//! The same image through boxr and through umoci: the same files. A registry of docker's own, which
//! skopeo has filled: the same image.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use boxr_testing::images::{Image, Layer, Packing, Server, digest};
use boxr_testing::{Cmd, Need, Running, Sandbox, Test, Tool, test};
use rustix::process::Signal;
use tar::EntryType;

use crate::containers::OVERLAY;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(umoci_unpacks_the_same, Need::Root, Need::Tool(Tool::Umoci), OVERLAY),
    test!(docker_s_own_registry_is_understood, Need::Tool(Tool::DockerRegistry), Need::Tool(Tool::Skopeo)),
];

/// A layer in the making.
struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn header(kind: EntryType, (mode, uid, gid): (u32, u64, u64), size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mtime(1_234_567_890);
        header.set_size(size as u64);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header
    }

    fn add(mut self, kind: EntryType, name: &str, owner: (u32, u64, u64), data: &[u8]) -> Self {
        let mut header = Self::header(kind, owner, data.len());
        self.0.append_data(&mut header, name, data).unwrap();
        self
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.add(EntryType::Regular, name, (0o640, 12, 34), data.as_bytes())
    }

    fn dir(self, name: &str, mode: u32) -> Self {
        self.add(EntryType::Directory, name, (mode, 5, 6), b"")
    }

    fn link(mut self, kind: EntryType, name: &str, to: &str) -> Self {
        let mut header = Self::header(kind, (0o777, 12, 34), 0);
        self.0.append_link(&mut header, name, to).unwrap();
        self
    }

    fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    fn layer(self, packing: Packing) -> Layer {
        Layer::new(self.0.into_inner().unwrap(), packing)
    }
}

/// What capabilities(7) has for `cap_net_bind_service=ep`.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn image() -> Image {
    let long = format!("long/{}/{}", "d".repeat(120), "f".repeat(150));
    let base = Tar::new()
        .dir("./", 0o755)
        .dir("etc", 0o755)
        .file("etc/passwd", "root")
        .file("etc/gone", "gone")
        .dir("tmp", 0o1777)
        .dir("old", 0o700)
        .file("old/file", "old")
        .dir("replaced", 0o755)
        .file("replaced/below", "")
        .dir("long", 0o755)
        .dir(&format!("long/{}", "d".repeat(120)), 0o755)
        .file(&long, "long")
        .add(EntryType::Regular, "su", (0o4755, 0, 0), b"program")
        .add(EntryType::Char, "null", (0o666, 0, 0), b"")
        .add(EntryType::Fifo, "pipe", (0o600, 1, 1), b"")
        .link(EntryType::Symlink, "link", "/etc/passwd")
        .link(EntryType::Link, "second", "su")
        .pax(&[("SCHILY.xattr.security.capability", CAPABILITY), ("SCHILY.xattr.user.key", b"value")])
        .file("capable", "program");
    let middle = Tar::new()
        .dir("./", 0o755)
        .dir("etc", 0o755)
        .file("etc/.wh.gone", "")
        .dir("old", 0o711)
        .file("old/.wh..wh..opq", "")
        .file("old/new", "new")
        .file(".wh.replaced", "");
    let top = Tar::new()
        .dir("./", 0o751)
        .file("replaced", "now a file")
        .dir("etc", 0o750)
        .file("etc/passwd", "root and others")
        .dir("empty", 0o555);
    let layers = vec![base.layer(Packing::Gzip), middle.layer(Packing::None), top.layer(Packing::Gzip)];
    Image::new("amd64", r#"{"Cmd":["sh"]}"#, layers)
}

/// Everything about every file below a directory.
fn look(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        all.insert(name, line(&path));
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    all
}

fn line(path: &Path) -> String {
    let found = fs::symlink_metadata(path).unwrap();
    let kind = found.file_type();
    let contents = match () {
        () if kind.is_file() => digest(&fs::read(path).unwrap()),
        () if kind.is_symlink() => fs::read_link(path).unwrap().display().to_string(),
        () if kind.is_char_device() => found.rdev().to_string(),
        () => String::new(),
    };
    let links = if kind.is_dir() { 0 } else { found.nlink() };
    format!(
        "{:o} {}:{} {}.{} links {links} {contents} {}",
        found.mode(),
        found.uid(),
        found.gid(),
        found.mtime(),
        found.mtime_nsec(),
        xattrs(path)
    )
}

fn xattrs(path: &Path) -> String {
    let mut names = [0; 1024];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let mut all = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = [0; 256];
        let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
        all.push(format!("{}={:?}", String::from_utf8_lossy(name), &value[..length]));
    }
    all.sort_unstable();
    all.join(" ")
}

fn umoci_unpacks_the_same(t: &Sandbox) {
    let (server, image) = (Server::start(), image());
    let name = server.put("app", "1", &image);
    t.boxr(["pull", "-q", "--platform", "linux/amd64", &name]).run().ok().quiet();
    let place = t.boxr(["image", "mount", &name]).run().ok().word();
    let ours = look(Path::new(&place));
    t.boxr(["image", "mount", &name]).run().ok().prints(&format!("{place}\n"));
    t.boxr(["image", "mount"]).run().ok().prints(&format!("{name} {place}\n"));
    t.boxr(["rmi", &name]).run().exits(1).blames("container mount-");
    t.boxr(["image", "unmount", &name]).run().ok();
    t.boxr(["image", "mount"]).run().ok().prints("");
    t.boxr(["image", "unmount", &name]).run().exits(1).blames("is not mounted");
    let (layout, bundle) = (t.path("layout"), t.path("bundle"));
    image.write_layout(&layout, "1");
    let from = format!("{}:1", layout.display());
    Cmd::new("umoci").args(["unpack", "--image", &from]).arg(&bundle).run().ok();
    let theirs = look(&bundle.join("rootfs"));
    for (path, line) in &theirs {
        assert_eq!(ours.get(path), Some(line), "{path}");
    }
    let more: Vec<_> = ours.keys().filter(|path| !theirs.contains_key(*path)).collect();
    assert!(more.is_empty(), "{more:?}");
}

/// Debian's docker-registry on a port of its own choice, and where that is.
pub fn start_registry(t: &Sandbox) -> (Running, String) {
    let data = t.path("registry");
    let configuration = t.file(
        "registry.yml",
        format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            data.display()
        ),
    );
    let script = "exec docker-registry serve \"$1\" 2>&1";
    let mut registry = Cmd::new("sh").args(["-c", script, "sh", &configuration]).spawn();
    registry.expect("listening on 127.0.0.1:");
    registry.expect("\"");
    let log = String::from_utf8(registry.stdout.bytes()).unwrap();
    let host = log.split("listening on ").nth(1).unwrap().split('"').next().unwrap().to_owned();
    (registry, host)
}

fn docker_s_own_registry_is_understood(t: &Sandbox) {
    let (registry, host) = start_registry(t);
    let (image, layout) = (image(), t.path("layout"));
    image.write_layout(&layout, "1");
    let name = format!("{host}/org/app:1");
    let (from, to) = (format!("oci:{}:1", layout.display()), format!("docker://{name}"));
    let copy = ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"];
    Cmd::new("skopeo").args(copy).args([&from, &to]).run().ok();
    t.boxr(["pull", "-q", "--platform", "linux/amd64", &name]).run().ok();
    // skopeo packs layers anew, so only the configuration is known to be the same.
    let id = format!("{}\n", digest(&image.config));
    t.boxr(["image", "inspect", "-f", "{{.Id}}", &name]).run().ok().prints(&id);
    // The same as docker's schema 2 has it.
    let name = format!("{host}/org/app:v2s2");
    let to = format!("docker://{name}");
    Cmd::new("skopeo").args(copy).args(["--format", "v2s2", &from, &to]).run().ok();
    t.boxr(["pull", "-q", "--platform", "linux/amd64", &name]).run().ok();
    t.boxr(["store", "verify"]).run().ok().shows("all is well");
    t.boxr(["pull", "-q", &format!("{host}/org/app:2")]).run().exits(1).blames("manifest unknown");
    // An ordinary user's layers have files of subordinate ids, which only boxr can remove.
    t.boxr(["rmi", &format!("{host}/org/app:1"), &name]).run().ok();
    registry.signal(Signal::TERM);
    registry.finish().killed_by(Signal::TERM);
}
