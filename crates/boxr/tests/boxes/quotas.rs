//! How much containers may change of their images (`--storage-opt`).

use std::path::Path;

use boxr_testing::{Cmd, Need, Running, Sandbox, Test, Tool, test};

use super::containers::OVERLAY;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(
        a_container_writes_as_much_as_it_may,
        Need::Root,
        Need::Tool(Tool::Busybox),
        OVERLAY,
        Need::ProjectQuotas
    ),
    test!(who_cannot_limit_says_why, Need::Tool(Tool::Busybox), OVERLAY),
];

/// A filesystem that counts projects, in a mount namespace of a process.
struct Disk {
    holder: Running,
    root: String,
}

impl Disk {
    fn new(t: &Sandbox) -> Self {
        let (image, root) = (t.path("disk.img"), t.path("disk"));
        std::fs::create_dir(&root).unwrap();
        let (image, root) = (image.display().to_string(), root.display().to_string());
        let script = "truncate -s 64M $0 && mkfs.ext4 -q -O quota,project -E quotatype=prjquota $0 && \
                      mount -o loop,prjquota $0 $1 && echo up && exec cat";
        let words = ["--mount", "--propagation", "private", "--", "sh", "-c", script, &image, &root];
        let mut holder = Cmd::new("unshare").args(words).spawn();
        holder.expect("up");
        Self { holder, root }
    }

    fn inside(&self, program: &Path) -> Cmd {
        let pid = self.holder.pid().to_string();
        Cmd::new("nsenter").args(["--target", &pid, "--mount", "--"]).arg(program)
    }

    fn boxr(&self, t: &Sandbox, args: &[&str]) -> Cmd {
        let state = t.layout().state.display().to_string();
        let root = format!("{}/boxr", self.root);
        t.surrounded(self.inside(t.program())).args(["--state", &state, "--root", &root]).args(args)
    }

    /// How many projects containers have.
    fn projects(&self) -> usize {
        let dir = format!("/proc/{}/root{}/boxr/projects", self.holder.pid(), self.root);
        std::fs::read_dir(dir).unwrap().count()
    }

    fn end(mut self) {
        self.holder.close_stdin();
        self.holder.finish().ok();
    }
}

fn import(t: &Sandbox) -> String {
    let (root, archive) = (t.rootfs("image"), t.path("image.tar").display().to_string());
    Cmd::new("tar").args(["-C", &root, "-cf", &archive, "."]).run().ok();
    archive
}

fn a_container_writes_as_much_as_it_may(t: &Sandbox) {
    let disk = Disk::new(t);
    disk.boxr(t, &["import", &import(t), "bb"]).run().ok();
    let fill = "dd if=/dev/zero of=/big bs=64k count=128 2>/dev/null; echo $?; rm /big; dd if=/dev/zero of=/small bs=64k count=8 \
                2>/dev/null; echo $?; df -k / | tail -n 1 | awk '{print $2}'";
    let limited = ["--network", "none", "--storage-opt", "size=4m", "bb", "sh", "-c", fill];
    // Whatever it may: overlayfs writes for it.
    for flags in [&["--userns", "host"][..], &["--userns", "host", "--privileged"], &[]] {
        let run = [&["run", "-q", "--rm"], flags, &limited].concat();
        disk.boxr(t, &run).run().ok().prints("1\n0\n4096\n");
    }
    let run =
        ["run", "-q", "--name", "few", "--network", "none", "--storage-opt", "inodes=10", "bb", "sh", "-c"];
    let many = "for n in 1 2 3 4 5 6 7 8 9; do touch /$n || exit 3; done 2>/dev/null";
    disk.boxr(t, &run).arg(many).run().exits(3);
    let said = "{{json .HostConfig.StorageOpt}}";
    disk.boxr(t, &["inspect", "-f", said, "few"]).run().ok().prints("{\"inodes\":\"10\"}\n");
    // It is its for life.
    disk.boxr(t, &["start", "-a", "few"]).run().exits(3);
    assert_eq!(disk.projects(), 1);
    disk.boxr(t, &["rm", "few"]).run().ok();
    assert_eq!(disk.projects(), 0, "it is given back");
    disk.end();
}

fn who_cannot_limit_says_why(t: &Sandbox) {
    t.boxr(["import", &import(t), "bb"]).run().ok();
    // A kernel without quotas, or a directory whose filesystem counts none, or somebody who is not root.
    let output = t.run(["--rm", "--network", "none", "--storage-opt", "size=1g", "bb", "true"]).run();
    output.exits(125).blames("--storage-opt: cannot limit");
    for (word, why) in [
        ("size=0", "the limit is 0"),
        ("size", "not size=BYTES"),
        ("fuel=1", "not size=BYTES"),
        ("inodes=x", "not a number"),
    ] {
        t.run(["--rm", "--storage-opt", word, "bb", "true"]).run().exits(125).blames(why);
    }
    t.run(["--storage-opt", "size=1g", "--", "true"])
        .run()
        .exits(125)
        .blames("needs a container of an image");
    t.boxr(["ps", "-aq"]).run().ok().prints("");
    t.boxr(["rmi", "bb"]).run().ok();
}
