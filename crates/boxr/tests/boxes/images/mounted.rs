//! Images that are mounted in boxes (`--mount type=image`).

use std::os::unix::fs::symlink;

use boxr_testing::images::{self, Image, Layer, Packing, Server};
use boxr_testing::{Need, Sandbox, Test, Tool, test};

use crate::containers::{OVERLAY, busybox};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(an_image_is_mounted_in_a_container, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_mounted_image_that_is_missing_is_fetched, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_is_written_in_a_mounted_image_stays_with_the_container, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_mounted_image_has_the_containers_ids, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
    test!(a_mounted_image_stays_while_a_container_has_it, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_part_of_an_image_is_mounted, Need::Tool(Tool::Busybox), OVERLAY),
    test!(no_part_of_an_image_lies_outside_of_it, Need::Tool(Tool::Busybox), OVERLAY),
    test!(an_image_is_mounted_for_a_command_of_the_host, OVERLAY),
    test!(what_cannot_be_mounted_of_images_is_said, Need::Tool(Tool::Busybox), OVERLAY),
    test!(
        an_ordinary_user_mounts_images_with_other_ids,
        Need::Tool(Tool::Busybox),
        OVERLAY,
        Need::Unprivileged,
        Need::SubordinateIds,
        Need::Kernel(6, 16)
    ),
];

/// A registry with an image to run, and one with files to mount.
struct World {
    _server: Server,
    app: String,
    tools: String,
}

impl World {
    fn new(t: &Sandbox) -> Self {
        let server = Server::start();
        let app = server.put("app", "1", &busybox(t, "{}"));
        let tools = server.put("tools", "1", &tools(t));
        t.boxr(["pull", "-q", &app]).run().ok();
        t.boxr(["pull", "-q", &tools]).run().ok();
        Self { _server: server, app, tools }
    }

    /// The mount with these fields besides.
    fn mount(&self, fields: &str) -> String {
        format!("type=image,src={},{fields}", self.tools)
    }
}

/// Nothing is left of containers; images, whose files are others' in part, are removed.
#[track_caller]
fn nothing_left(t: &Sandbox) {
    crate::containers::nothing_left(t);
    t.boxr(["image", "prune", "-af"]).run().ok();
}

/// Two layers: the upper one takes a file of the lower one away, and has links that lead up and out.
fn tools(t: &Sandbox) -> Image {
    let low = Layer::of_files(
        &[("dir/file", b"of the image\n"), ("dir/gone", b"x"), ("etc/secret", b"of the image\n")],
        Packing::Gzip,
    );
    let root = t.path("tools");
    std::fs::create_dir_all(root.join("dir")).unwrap();
    std::fs::write(root.join("dir/.wh.gone"), "").unwrap();
    for (link, target) in
        [("etc-of", "/etc"), ("up", "../../../../etc"), ("nowhere", "/none"), ("file", "dir/file")]
    {
        symlink(target, root.join(link)).unwrap();
    }
    let high = Layer::of_dir(&root, Packing::Zstd);
    std::fs::remove_dir_all(&root).unwrap();
    let owned = Layer::of_dirs(&[("owned", 0o775, 1000), ("rooted", 0o755, 0)]);
    Image::new(images::architecture(), "{}", vec![low, high, owned])
}

fn an_image_is_mounted_in_a_container(t: &Sandbox) {
    let world = World::new(t);
    let script = "cat /mnt/dir/file; ls /mnt/dir; cat /mnt/file; touch /mnt/x || touch /mnt/dir/file";
    let refused = t
        .run([
            "--rm",
            "--network",
            "none",
            "--mount",
            &world.mount("dst=/mnt"),
            &world.app,
            "sh",
            "-c",
            script,
        ])
        .run();
    refused.exits(1).prints("of the image\nfile\nof the image\n").blames("/mnt/x: Read-only file system");
    // Below one that the image has, and beside another mount of the same.
    let (one, two) = (world.mount("dst=/srv/a/b"), world.mount("target=/etc/tools,readonly=true"));
    t.run(["--rm", "--network", "none", "--mount", &one, "--mount", &two, &world.app])
        .args(["cat", "/srv/a/b/dir/file", "/etc/tools/dir/file"])
        .run()
        .ok()
        .quiet()
        .prints("of the image\nof the image\n");
    t.run(["--dry-run", "--mount", &one, &world.app, "true"])
        .run()
        .ok()
        .shows(&format!("mount: image {} on /srv/a/b read-only nodev", world.tools));
    nothing_left(t);
}

fn a_mounted_image_that_is_missing_is_fetched(t: &Sandbox) {
    let server = Server::start();
    let app = server.put("app", "1", &busybox(t, "{}"));
    let tools = server.put("tools", "1", &tools(t));
    t.boxr(["pull", "-q", &app]).run().ok();
    let mount = format!("type=image,source={tools},target=/mnt");
    let run = |pull: &str| {
        t.run(["--rm", "-q", "--pull", pull, "--mount", &mount, &app, "cat", "/mnt/dir/file"]).run()
    };
    run("never").exits(125).blames("no such image").blames(&tools).blames("--pull never");
    run("missing").ok().prints("of the image\n");
    run("never").ok().prints("of the image\n");
    let other = Layer::of_files(&[("dir/file", b"another\n")], Packing::None);
    server.put("tools", "1", &Image::new(images::architecture(), "{}", vec![other]));
    run("missing").ok().prints("of the image\n");
    run("always").ok().prints("another\n");
    nothing_left(t);
}

fn what_is_written_in_a_mounted_image_stays_with_the_container(t: &Sandbox) {
    let world = World::new(t);
    let (mount, script) =
        (world.mount("dst=/mnt,rw=true"), "cat /mnt/dir/file; echo $((++N)) >>/mnt/dir/file");
    t.boxr([
        "create",
        "--name",
        "box",
        "--network",
        "none",
        "--mount",
        &mount,
        &world.app,
        "sh",
        "-c",
        script,
    ])
    .run()
    .ok();
    t.boxr(["start", "-a", "box"]).run().ok().quiet().prints("of the image\n");
    t.boxr(["start", "-a", "box"]).run().ok().quiet().prints("of the image\n1\n");
    let format = "{{range .Mounts}}{{.Type}} {{.Source}} {{.Destination}} {{.RW}}{{end}}";
    t.boxr(["inspect", "-f", format, "box"]).run().ok().prints(&format!("image {} /mnt true\n", world.tools));
    // It is no change of the container's own image.
    let changed = t.boxr(["diff", "box"]).run().ok().text();
    assert!(!changed.contains("dir"), "{changed}");
    t.boxr(["cp", "box:/mnt/dir/file", "-"]).run().exits(1).blames("only while it runs");
    t.boxr(["rm", "box"]).run().ok();
    // Another begins with the image, and one that goes in the end leaves nothing.
    let words = ["--rm", "--network", "none", "--mount", &mount, &world.app, "sh", "-c", script];
    t.run(words).run().ok().quiet().prints("of the image\n");
    t.run(words).run().ok().quiet().prints("of the image\n");
    nothing_left(t);
}

fn a_mounted_image_has_the_containers_ids(t: &Sandbox) {
    let world = World::new(t);
    let script = "stat -c '%u:%g %a' /mnt /mnt/owned /mnt/rooted; touch /mnt/new && stat -c %u:%g /mnt/new; \
                  chown 5:6 /mnt/rooted && stat -c %u:%g /mnt/rooted";
    for user in [&["--network", "none"][..], &["--network", "none", "--userns", "host"]] {
        if user.contains(&"host") && !rustix::process::geteuid().is_root() {
            continue;
        }
        let ran = t.run(["--rm"]).args(user).args(["--mount", &world.mount("dst=/mnt,rw=true"), &world.app]);
        ran.args(["sh", "-c", script])
            .run()
            .ok()
            .quiet()
            .prints("0:0 755\n1000:1000 775\n0:0 755\n0:0\n5:6\n");
    }
    nothing_left(t);
}

fn a_mounted_image_stays_while_a_container_has_it(t: &Sandbox) {
    let world = World::new(t);
    let words = ["create", "--name", "box", "--mount", &world.mount("dst=/mnt"), &world.app];
    t.boxr(words).args(["cat", "/mnt/dir/file"]).run().ok();
    t.boxr(["rmi", &world.tools]).run().exits(1).blames("is using its referenced image");
    t.boxr(["image", "prune", "-a", "-f"]).run().ok().shows("Total reclaimed space: 0B");
    // Whatever its name stands for later, the container has what it was made with.
    t.boxr(["rmi", "-f", &world.tools]).run().ok().prints(&format!("Untagged: {}\n", world.tools));
    t.boxr(["tag", &world.app, &world.tools]).run().ok();
    t.boxr(["start", "-a", "box"]).run().ok().prints("of the image\n");
    t.boxr(["store", "verify"]).run().ok().shows("all is well");
    t.boxr(["rm", "box"]).run().ok();
    crate::containers::nothing_left(t);
    // What a container leaves that was killed while it was made.
    let manifest = t.boxr(["images", "--format", "{{.Digest}}", "-f", "dangling=true"]).run().ok().word();
    let hold = t.layout().root.join("images/holds").join(format!("{}-0", "a".repeat(64)));
    symlink(manifest, &hold).unwrap();
    t.boxr(["image", "prune", "-f"]).run().ok().shows("deleted: sha256:");
    assert!(hold.symlink_metadata().is_err());
}

fn a_part_of_an_image_is_mounted(t: &Sandbox) {
    let world = World::new(t);
    let run = |fields: &str, script: &str| {
        t.run(["--rm", "--network", "none", "--mount", &world.mount(fields), &world.app, "sh", "-c", script])
            .run()
    };
    run("dst=/mnt,subpath=dir", "ls /mnt; cat /mnt/file").ok().quiet().prints("file\nof the image\n");
    run("dst=/mnt,image-subpath=/dir", "ls /mnt").ok().quiet().prints("file\n");
    run("dst=/mnt/one,subpath=dir/file", "cat /mnt/one; echo x >/mnt/one")
        .exits(1)
        .prints("of the image\n")
        .blames("Read-only");
    run("dst=/mnt,subpath=dir,rw", "echo more >>/mnt/file; cat /mnt/file")
        .ok()
        .quiet()
        .prints("of the image\nmore\n");
    let words =
        ["create", "--name", "box", "--mount", &world.mount("dst=/mnt,subpath=dir"), &world.app, "true"];
    t.boxr(words).run().ok();
    let format = "{{range .Mounts}}{{.RW}} {{.SubPath}}{{end}}";
    t.boxr(["inspect", "-f", format, "box"]).run().ok().prints("false dir\n");
    t.boxr(["rm", "box"]).run().ok();
    nothing_left(t);
}

fn no_part_of_an_image_lies_outside_of_it(t: &Sandbox) {
    let world = World::new(t);
    let run = |path: &str| {
        let mount = world.mount(&format!("dst=/mnt,subpath={path}"));
        t.run(["--rm", "--network", "none", "--mount", &mount, &world.app, "ls", "/mnt"]).run()
    };
    // Links are the image's: the host's /etc has more in it.
    run("etc-of").ok().prints("secret\n");
    run("up").ok().prints("secret\n");
    run("up/secret").ok().prints("/mnt\n");
    for path in ["none", "nowhere", "dir/file/below", "dir/gone"] {
        run(path).exits(125).blames(&format!("cannot open the mount source {path} of image {}", world.tools));
    }
    // Whoever may look into the layers is told when the container is made.
    if rustix::process::geteuid().is_root() {
        let mount = world.mount("dst=/mnt,subpath=none");
        let made = t.boxr(["create", "--mount", &mount, &world.app, "true"]).run();
        made.exits(125).blames("cannot open the mount source none of image");
    }
    for path in ["..", "dir/../../etc", ""] {
        run(path).exits(125).blames("subpath is a relative path without ..");
    }
    nothing_left(t);
}

fn an_image_is_mounted_for_a_command_of_the_host(t: &Sandbox) {
    let server = Server::start();
    let tools = server.put("tools", "1", &tools(t));
    std::fs::create_dir(t.path("place")).unwrap();
    let place = t.path("place").display().to_string();
    let mount = format!("type=image,src={tools},dst={place}");
    let file = format!("{place}/dir/file");
    t.run(["-q", "--mount", &mount, "--", "cat", &file]).run().ok().prints("of the image\n");
    let rootfs = t.rootfs("rootfs");
    let mount = format!("type=image,src={tools},dst=/some/where,rw");
    t.run(["--rootfs", &rootfs, "--mount", &mount, "--", "sh", "-c"])
        .arg("echo more >>/some/where/dir/file; cat /some/where/dir/file")
        .run()
        .ok()
        .prints("of the image\nmore\n");
    assert!(std::fs::read_dir(t.path("place")).unwrap().next().is_none(), "the host has it");
    nothing_left(t);
}

fn what_cannot_be_mounted_of_images_is_said(t: &Sandbox) {
    let world = World::new(t);
    let none = format!("{}:none", world.app.rsplit_once(':').unwrap().0);
    for (mount, words) in [
        (format!("type=image,src={none},dst=/mnt"), "none"),
        ("type=image,src=Upper,dst=/mnt".to_owned(), "lower case"),
        (world.mount("rw=true"), "dst is missing"),
        ("type=image,dst=/mnt".to_owned(), "src is missing"),
        ("type=image,src=,dst=/mnt".to_owned(), "src is missing"),
        (world.mount("dst=mnt"), "absolute"),
        (world.mount("dst=/"), "nothing can be mounted over /"),
        (world.mount("dst=/mnt,frob=1"), "frob is not a mount field"),
        (world.mount("dst=/mnt,size=1"), "size=1 is not for type=image"),
        (world.mount("dst=/mnt,U"), "U is not for type=image"),
        (world.mount("dst=/mnt,rw=maybe"), "rw is true or false"),
        (world.mount(&format!("dst=/mnt,src={}", world.app)), "src is said twice"),
    ] {
        for command in ["run", "create"] {
            t.boxr([command, "--mount", &mount, &world.app, "true"]).run().exits(125).blames(words);
        }
    }
    let covers = ["--rm", "--mount", &world.mount("dst=/proc/x"), &world.app, "true"];
    t.run(covers).run().exits(125).blames("/proc cannot be covered");
    let twice = ["--mount", &world.mount("dst=/mnt"), "--mount", &world.mount("dst=/mnt,rw")];
    t.run(["--rm"]).args(twice).args([&world.app, "true"]).run().exits(125).blames("/mnt");
    t.run(["--sandbox", "--mount", &world.mount("dst=/mnt"), "--", "true"])
        .run()
        .exits(125)
        .blames("--mount type=image")
        .blames("none of an image");
    nothing_left(t);
}

fn an_ordinary_user_mounts_images_with_other_ids(t: &Sandbox) {
    let world = World::new(t);
    let script = "stat -c '%u:%g' /mnt/owned /mnt/rooted; cat /mnt/dir/file";
    for users in ["keep-id", "nomap"] {
        for access in ["rw=false", "rw=true"] {
            let mount = world.mount(&format!("dst=/mnt,{access}"));
            let ran = t.run([
                "--rm",
                "--network",
                "none",
                "--userns",
                users,
                "--user",
                "0",
                "--mount",
                &mount,
                &world.app,
            ]);
            let said = ran.args(["sh", "-c", script]).run().ok();
            said.prints("1000:1000\n0:0\nof the image\n");
        }
    }
    nothing_left(t);
}
