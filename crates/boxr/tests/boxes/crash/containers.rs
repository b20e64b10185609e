//! Sudden death of boxr at the system calls of commands about containers of images.
//!
//! Most walks take every so manieth call only, always the same ones, so that they end in time; `BOXR_WALK=all` takes all.

use std::path::Path;
use std::time::Duration;

use boxr_testing::images::Server;
use boxr_testing::{Cmd, Lab, Need, Sandbox, Test, Tool, leaks, test, wait_until};

use super::{STRACE, Walk};
use crate::containers::{OVERLAY, busybox, nothing_left};
use crate::network::assert_no_network_left;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_detached_container, STRACE, BUSYBOX, OVERLAY; deadline 600),
    test!(a_container_that_is_removed_at_its_end, STRACE, BUSYBOX, OVERLAY; deadline 600),
    test!(a_container_that_is_removed, STRACE, BUSYBOX, OVERLAY; deadline 600),
    test!(a_container_that_is_stopped, STRACE, BUSYBOX, OVERLAY; deadline 600),
    test!(a_container_that_is_restarted, STRACE, BUSYBOX, OVERLAY; deadline 600),
    test!(a_container_that_is_changed, STRACE, BUSYBOX, OVERLAY; deadline 600),
    test!(a_container_that_is_committed, STRACE, BUSYBOX, OVERLAY; deadline 600),
    test!(a_container_that_is_copied_into, STRACE, BUSYBOX, OVERLAY; deadline 600),
    test!(volumes, STRACE, BUSYBOX, OVERLAY; deadline 600),
    test!(networks, STRACE, BUSYBOX, OVERLAY, Need::Root, Need::Networks; deadline 600),
    test!(images, STRACE, BUSYBOX, OVERLAY; deadline 600),
];

const BUSYBOX: Need = Need::Tool(Tool::Busybox);
/// So many calls of a walk are taken at most.
const MOST: usize = 20;
/// What the containers are called.
const VICTIM: &str = "victim";

/// A host, where the caller may make one, with an image on it.
struct World<'t> {
    t: &'t Sandbox,
    lab: Option<Lab>,
    server: Server,
    image: String,
}

impl<'t> World<'t> {
    #[track_caller]
    fn new(t: &'t Sandbox) -> Self {
        Self::on(t, Need::Networks.missing().is_none().then(Lab::new))
    }

    /// The registry is in the machine's own network.
    #[track_caller]
    fn beside_the_registry(t: &'t Sandbox) -> Self {
        Self::on(t, None)
    }

    #[track_caller]
    fn on(t: &'t Sandbox, lab: Option<Lab>) -> Self {
        let server = Server::start();
        let image = server.put("app", "1", &busybox(t, r#"{"Cmd":["sleep","1000"],"Volumes":{"/anon":{}}}"#));
        t.boxr(["pull", "-q", &image]).run().ok();
        Self { t, lab, server, image }
    }

    fn on_host(&self, program: impl AsRef<std::ffi::OsStr>) -> Cmd {
        match &self.lab {
            Some(lab) => lab.on_host(program),
            None => Cmd::new(program),
        }
    }

    fn boxr(&self, args: &[&str]) -> Cmd {
        self.t.surrounded(self.on_host(self.t.program())).args(self.t.globals()).args(args)
    }

    /// The words of a container that has a volume, an image, an address and a port.
    fn run(&self, flags: &[&str]) -> Vec<String> {
        let network: &[&str] = match self.lab {
            Some(_) => &["--network", "bridge", "-p", "127.0.0.1:8080:80"],
            None => &["--network", "none"],
        };
        let mount = format!("type=image,src={},dst=/image,rw", self.image);
        let words = ["run", "--name", VICTIM, "-v", "data:/data", "--mount", &mount];
        let words = words.iter().chain(network).chain(flags).copied().chain([self.image.as_str()]);
        words.map(str::to_owned).collect()
    }

    #[track_caller]
    fn start(&self) {
        let words = self.run(&["-d"]);
        self.boxr(&words.iter().map(String::as_str).collect::<Vec<_>>()).run().ok();
    }

    fn status(&self) -> String {
        self.boxr(&["inspect", "--type", "container", "-f", "{{.State.Status}}", VICTIM])
            .run()
            .text()
            .trim()
            .to_owned()
    }

    /// There is one that runs: the one of the last time, if that is well.
    #[track_caller]
    fn ensure_it_runs(&self) {
        match self.status().as_str() {
            "running" => {}
            "exited" | "created" => {
                // The monitor of the boxr that was killed may do so meanwhile.
                self.boxr(&["start", VICTIM]).run();
                assert_eq!(self.status(), "running");
            }
            "" => self.start(),
            other => panic!("it is {other}"),
        }
    }

    /// Kills `boxr ARGS` at its calls.
    fn walk(&self, args: &[&str], prepare: impl Fn(), clean_up: impl Fn()) {
        let all = std::env::var_os("BOXR_WALK").is_some();
        let start = |program: &str| self.t.surrounded(self.on_host(program));
        Walk { t: self.t, start: &start, most: if all { usize::MAX } else { MOST } }
            .of(args, prepare, clean_up);
    }

    /// A container is there, and can be looked at, or it is not.
    #[track_caller]
    fn is_whole_or_gone(&self) {
        let shown = self.boxr(&["ps", "-a", "--no-trunc", "--format", "{{.Names}}"]).run().ok().lines();
        let inspected = self.boxr(&["inspect", "--type", "container", VICTIM]).run();
        let is_there = shown.contains(&VICTIM.to_owned());
        assert!(inspected.status.success() == is_there, "{shown:?} {}", inspected.story());
    }

    /// Containers and volumes can be removed, and nothing is left of them.
    #[track_caller]
    fn clear(&self) {
        self.is_whole_or_gone();
        self.boxr(&["rm", "-f", "-v", "--all"]).run().ok();
        self.boxr(&["volume", "prune", "-f", "--all"]).run().ok();
        if self.lab.is_some() {
            self.boxr(&["network", "prune", "-f"]).run().ok();
        }
        self.nothing_left();
    }

    #[track_caller]
    fn nothing_left(&self) {
        let t = self.t;
        nothing_left(t);
        let root = &t.layout().root;
        let volumes = leaks::files_below(&root.join("volumes"));
        assert!(volumes.is_empty() && entries(&root.join("volumes")) == 0, "{volumes:?}");
        assert_eq!(entries(&root.join("containers")), 0, "directories of containers");
        let state: Vec<_> = leaks::files_below(&t.layout().state)
            .into_iter()
            .filter(|path| !path.starts_with(t.layout().state.join("network")))
            .collect();
        assert!(state.is_empty(), "left on disk: {state:?}");
        assert_eq!(leaks::mounts_below(root), [] as [&Path; 0]);
        if let Some(lab) = &self.lab {
            assert_no_network_left(t, lab);
        }
    }

    /// All of it can be removed, and the store is well.
    #[track_caller]
    fn end(self) {
        self.clear();
        self.is_well();
        self.boxr(&["rmi", "--all", "-f"]).run().ok();
        self.is_well();
        drop(self.server);
        if let Some(lab) = self.lab {
            lab.end(self.t);
        }
    }

    /// What boxr itself finds wrong with what it keeps.
    #[track_caller]
    fn is_well(&self) {
        self.boxr(&["store", "verify"]).run().ok();
        // What nothing refers to.
        self.boxr(&["image", "prune", "-f"]).run().ok();
        self.boxr(&["system", "df", "--format", "{{.Type}} {{.Size}}"]).run().ok().shows("Orphans 0B");
    }
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

fn a_detached_container(t: &Sandbox) {
    let world = World::new(t);
    let words = world.run(&["-d"]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    world.walk(&words, || (), || world.clear());
    world.start();
    assert_eq!(world.status(), "running");
    world.end();
}

fn a_container_that_is_removed_at_its_end(t: &Sandbox) {
    let world = World::new(t);
    let mut words = world.run(&["--rm"]);
    words.push("true".to_owned());
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    world.walk(&words, || (), || world.clear());
    world.boxr(&words).run().ok();
    world.end();
}

fn a_container_that_is_removed(t: &Sandbox) {
    let world = World::new(t);
    world.walk(&["rm", "-f", "-v", VICTIM], || world.start(), || world.clear());
    world.end();
}

fn a_container_that_is_stopped(t: &Sandbox) {
    let world = World::new(t);
    world.walk(&["stop", "-t", "0", VICTIM], || world.ensure_it_runs(), || world.is_whole_or_gone());
    world.end();
}

fn a_container_that_is_restarted(t: &Sandbox) {
    let world = World::new(t);
    world.walk(&["restart", "-t", "0", VICTIM], || world.ensure_it_runs(), || world.is_whole_or_gone());
    world.ensure_it_runs();
    world.end();
}

fn a_container_that_is_changed(t: &Sandbox) {
    let world = World::new(t);
    let names = || world.boxr(&["ps", "-a", "--format", "{{.Names}}"]).run().ok().text();
    let back = || {
        if names() == "other\n" {
            world.boxr(&["rename", "other", VICTIM]).run().ok();
        }
        assert_eq!(names(), "victim\n");
        assert_eq!(world.status(), "running");
        world.boxr(&["exec", VICTIM, "true"]).deadline(Duration::from_secs(20)).run().ok();
    };
    let prepare = || world.ensure_it_runs();
    world.walk(&["rename", VICTIM, "other"], prepare, back);
    world.walk(&["update", "--restart", "on-failure:3", VICTIM], prepare, back);
    world.walk(&["pause", VICTIM], prepare, || {
        world.boxr(&["unpause", VICTIM]).run();
        back();
    });
    world.end();
}

fn a_container_that_is_committed(t: &Sandbox) {
    let world = World::new(t);
    world.start();
    world.boxr(&["exec", VICTIM, "sh", "-c", "echo made >/made"]).run().ok();
    world.walk(
        &["commit", VICTIM, "new:1"],
        || (),
        || {
            wait_until("nobody has it stand still", || world.status() == "running");
            world.boxr(&["exec", VICTIM, "true"]).deadline(Duration::from_secs(20)).run().ok();
            let made = world
                .boxr(&["run", "--rm", "--pull", "never", "--network", "none", "new:1", "cat", "/made"])
                .run();
            if made.status.success() {
                made.prints("made\n");
                world.boxr(&["rmi", "new:1"]).run().ok();
            } else {
                made.exits(125).blames("new:1");
            }
            world.is_well();
        },
    );
    world.end();
}

fn a_container_that_is_copied_into(t: &Sandbox) {
    let world = World::new(t);
    let file = t.file("file", "x".repeat(100_000));
    world.walk(
        &["cp", &file, "victim:/into"],
        || world.ensure_it_runs(),
        || {
            assert_eq!(world.status(), "running");
            let seen =
                world.boxr(&["exec", VICTIM, "sh", "-c", "ls -A / | grep -v '^[a-z]*$'; wc -c </into"]).run();
            assert!(["", "100000\n"].contains(&seen.text().as_str()), "{}", seen.story());
            world.boxr(&["exec", VICTIM, "rm", "-f", "/into"]).run().ok();
        },
    );
    world.end();
}

fn volumes(t: &Sandbox) {
    let world = World::new(t);
    let clear = || {
        world.boxr(&["volume", "ls"]).run().ok();
        world.boxr(&["volume", "prune", "-f", "--all"]).run().ok();
        world.nothing_left();
    };
    world.walk(&["volume", "create", "-l", "a=b", "data"], || (), clear);
    let create = || {
        world.boxr(&["volume", "create", "data"]).run().ok();
    };
    world.walk(&["volume", "rm", "data"], create, clear);
    world.end();
}

fn networks(t: &Sandbox) {
    let world = World::new(t);
    let clear = || {
        world.boxr(&["network", "ls"]).run().ok();
        world.boxr(&["network", "rm", "-f", "blue"]).run();
        assert_eq!(world.boxr(&["network", "ls", "-q", "-f", "name=blue"]).run().ok().text(), "");
    };
    let blue = || {
        world.boxr(&["network", "create", "--subnet", "10.77.0.0/24", "blue"]).run().ok();
    };
    world.walk(&["network", "create", "--subnet", "10.77.0.0/24", "blue"], || (), clear);
    world.walk(&["network", "rm", "blue"], blue, clear);
    blue();
    world.start();
    let addresses = || world.boxr(&["exec", VICTIM, "busybox", "ip", "-o", "-4", "addr"]).run().ok().text();
    let disconnect = || {
        world.boxr(&["network", "disconnect", "-f", "blue", VICTIM]).run();
        assert!(!addresses().contains("10.77.0."), "{}", addresses());
        assert_eq!(world.status(), "running");
    };
    world.walk(&["network", "connect", "blue", VICTIM], || (), disconnect);
    let connect = || {
        world.boxr(&["network", "connect", "blue", VICTIM]).run();
        assert!(addresses().contains("10.77.0."), "{}", addresses());
    };
    world.walk(&["network", "disconnect", "blue", VICTIM], connect, disconnect);
    world.boxr(&["rm", "-f", VICTIM]).run().ok();
    clear();
    world.end();
}

fn images(t: &Sandbox) {
    let world = World::beside_the_registry(t);
    let image = world.image.as_str();
    let archive = t.path("image.tar");
    let archive = archive.to_str().unwrap();
    world.boxr(&["save", "-o", archive, image]).run().ok();
    let runs = || {
        world.boxr(&["run", "--rm", "--network", "none", image, "true"]).run().ok();
        world.is_well();
    };
    let pulled = || {
        world.boxr(&["pull", "-q", image]).run().ok();
    };
    let removed = || {
        world.boxr(&["rmi", "--all", "-f"]).run().ok();
        world.is_well();
    };
    world.walk(&["rmi", image], pulled, || {
        pulled();
        runs();
    });
    world.walk(&["pull", "-q", image], removed, || {
        pulled();
        runs();
    });
    world.walk(&["load", "-q", "-i", archive], removed, || {
        world.boxr(&["load", "-q", "-i", archive]).run().ok();
        runs();
    });
    world.end();
}
