//! One script, two runtimes, the same story.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use boxr_testing::leaks::mounts_below;
use boxr_testing::processes::{Process, descendants};
use boxr_testing::{Cmd, Need, Output, PATIENCE, Running, Sandbox, Test, Tool, rootfs, test, wait_until};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Signal, getppid, kill_process};
use tempfile::TempDir;

/// The tests of this file.
pub const TESTS: &[Test] = &[test!(what_a_failed_run_with_runc_leaves_is_ended, BUSYBOX, RUNC)];

/// How long a script may take, all others running beside it.
const DEADLINE: Duration = Duration::from_secs(150);

/// What all scripts need.
pub const BUSYBOX: Need = Need::Tool(Tool::Busybox);
/// The runtime that is compared with.
pub const RUNC: Need = Need::Tool(Tool::Runc);

/// A place for one run of a script.
#[derive(Debug)]
pub struct Stage {
    dir: PathBuf,
    runtime: PathBuf,
    /// podman wants the name of this one to be short.
    runroot: TempDir,
    group: String,
    image: PathBuf,
}

impl Stage {
    /// With boxr-oci.
    #[track_caller]
    pub fn boxr(t: &Sandbox) -> Self {
        Self::new(t, "boxr", t.program().to_owned())
    }

    #[track_caller]
    fn new(t: &Sandbox, name: &str, runtime: PathBuf) -> Self {
        let dir = t.path(name);
        std::fs::create_dir(&dir).unwrap();
        let test = t.layout().state.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let group = format!("{test}-{name}");
        std::fs::write(dir.join("containers.conf"), CONFIGURATION).unwrap();
        std::fs::write(dir.join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)
            .unwrap();
        let runroot = tempfile::Builder::new().prefix("r-").tempdir().unwrap();
        Self { dir, runtime, runroot, group, image: image(t) }
    }

    /// A command that sees this stage: what podman and its kin are told by files and variables.
    pub fn surround(&self, t: &Sandbox, cmd: Cmd) -> Cmd {
        t.surrounded(cmd)
            .env("CONTAINERS_CONF", self.dir.join("containers.conf"))
            .env("RUNTIME", &self.runtime)
            .env("DIR", &self.dir)
            .env("RUNROOT", self.runroot.path())
            .env("IMAGE", &self.image)
            .env("GROUP", &self.group)
            // Of the person who runs the tests.
            .without_env("XDG_CONFIG_HOME")
            .without_env("DOCKER_HOST")
            .without_env("CONTAINER_HOST")
            .cwd(&self.dir)
    }

    /// A command of podman's.
    pub fn podman(&self, t: &Sandbox, words: &[&str]) -> Cmd {
        self.surround(t, Cmd::new("podman")).args(self.podman_globals()).args(words)
    }

    /// The flags that lead podman to this stage.
    pub fn podman_globals(&self) -> Vec<String> {
        let mut globals = vec!["--storage-driver".to_owned(), "vfs".to_owned()];
        let (storage, temporary) = (self.dir.join("s"), self.dir.join("t"));
        let dirs = [("--root", &*storage), ("--runroot", self.runroot.path()), ("--tmpdir", &*temporary)];
        for (flag, dir) in dirs {
            globals.extend([flag.to_owned(), dir.to_str().expect("UTF-8").to_owned()]);
        }
        globals.extend(["--runtime".to_owned(), self.runtime.to_str().expect("UTF-8").to_owned()]);
        globals
    }

    /// The flag that puts containers into this stage's cgroup, where root makes one.
    pub fn parent(&self) -> String {
        format!("--cgroup-parent=/{}", self.group)
    }

    #[track_caller]
    fn start(&self, t: &Sandbox, script: &str, place: Place) -> Running {
        let script = format!("{}\n{script}\nexit $failed", include_str!("prelude.sh"));
        let before: &[&str] = match place {
            Place::Here => &[],
            Place::Apart => &["unshare", "--mount", "--net", "--propagation", "private", "--"],
        };
        let mut words = before.iter().copied().chain(["sh", "-c", &script, "sh"]);
        let cmd = Cmd::new(words.next().expect("sh at least"));
        self.surround(t, cmd).args(words).deadline(DEADLINE).spawn()
    }

    /// What the script told, without what differs from run to run.
    fn story(&self, output: &Output) -> String {
        let mut text = output.text();
        for (what, name) in [(&self.dir, "DIR"), (&self.runtime, "RUNTIME")] {
            text = text.replace(what.to_str().expect("UTF-8"), name);
        }
        text = text.replace(&self.group, "GROUP");
        text.split_inclusive(|c: char| !c.is_ascii_hexdigit()).map(without_id).collect()
    }

    /// Ends and unmounts what a run has left that failed half way.
    #[track_caller]
    fn end_all(&self) {
        let supervisor = getppid().unwrap();
        wait_until("nothing of a failed run is left", || {
            let left = descendants(supervisor).into_iter().filter(|process| self.is_of(process));
            // It may have ended since it was listed.
            left.filter(|process| kill_process(process.pid, Signal::KILL).is_ok()).count() == 0
        });
        for point in mounts_below(&self.dir).iter().chain(&mounts_below(self.runroot.path())) {
            unmount(point, UnmountFlags::DETACH).ok();
        }
    }

    /// Whether a process belongs to this run: it is in its cgroup, or its directory is on its command line or in its
    /// environment.
    fn is_of(&self, process: &Process) -> bool {
        let read = |name: &str| {
            let file = format!("/proc/{}/{name}", process.pid.as_raw_nonzero());
            String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned()
        };
        let group = |line: &str| line.split('/').any(|part| part == self.group);
        let dir = self.dir.to_str().expect("UTF-8");
        let has_dir = |text: String| {
            text.match_indices(dir).any(|(at, _)| !text[at + dir.len()..].starts_with(['-', '.']))
        };
        process.state != 'Z'
            && (read("cgroup").lines().any(group) || has_dir(read("cmdline")) || has_dir(read("environ")))
    }

    /// Removes what podman and its kin leave; what is the runtime's must be gone already.
    #[track_caller]
    fn finish(&self) {
        let mut left = self.remove_cgroups();
        left.extend(mounts_below(self.runroot.path()));
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

impl Stage {
    /// Removes the cgroups of this run; which of them were containers' own.
    fn remove_cgroups(&self) -> Vec<PathBuf> {
        let groups: Vec<_> = hierarchies().iter().map(|hierarchy| hierarchy.join(&self.group)).collect();
        let mut left = Vec::new();
        // The last monitors end a little after their containers.
        let end = Instant::now() + PATIENCE;
        while groups.iter().any(|group| group.exists()) && Instant::now() < end {
            groups.iter().for_each(|group| remove_below(group, &mut left));
            std::thread::park_timeout(Duration::from_millis(20));
        }
        left
    }
}

impl Drop for Stage {
    /// Of a test that failed half way.
    fn drop(&mut self) {
        self.remove_cgroups();
    }
}

/// Keeps what podman, buildah and conmon do off the machine that they run on. The limits are ones that
/// a root without CAP_SYS_RESOURCE can have.
const CONFIGURATION: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime_supports_json = ["boxr-oci", "runc"]
"#;

fn hierarchies() -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let entries = std::fs::read_dir(top).into_iter().flatten().flatten();
    let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    std::iter::once(top.to_owned()).chain(below.map(|entry| entry.path())).collect()
}

/// Removes a cgroup and those in it, deepest first. Containers' own are noted: the runtime removes those.
fn remove_below(group: &Path, left: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(group).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // podman makes cgroups for its monitors itself, and leaves them.
        if name.starts_with("libpod-") && !name.contains("conmon") {
            left.push(entry.path());
        }
        remove_below(&entry.path(), left);
    }
    // Not there, or still in use: then it is tried again.
    std::fs::remove_dir(group).ok();
}

/// A word of hexadecimal digits and what ends it; ids are told from other words by their length.
fn without_id(word: &str) -> String {
    let digits = word.chars().take_while(char::is_ascii_hexdigit).count();
    match digits {
        64 | 12 if word.bytes().any(|byte| byte.is_ascii_digit()) => format!("ID{}", &word[digits..]),
        _ => word.to_owned(),
    }
}

/// The root file system of all containers, as an archive.
#[track_caller]
fn image(t: &Sandbox) -> PathBuf {
    let archive = t.path("image.tar");
    if !archive.exists() {
        let dir = t.path("image");
        rootfs::build(&dir);
        let words = ["--create", "--owner=0", "--group=0", "--numeric-owner", "--file"];
        Cmd::new("tar").args(words).arg(&archive).arg("--directory").arg(&dir).arg(".").run().ok();
    }
    archive
}

/// Where a script runs.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Where the test does.
    Here,
    /// In a mount and a network namespace of its own.
    Apart,
}

/// Runs the script with boxr-oci and, at the same time, with runc; both must tell the same.
#[track_caller]
pub fn same_story(t: &Sandbox, script: &str) {
    compare(t, script, Place::Here);
}

/// [`same_story`] in mount and network namespaces of its own, for programs that would change the machine.
#[track_caller]
pub fn same_story_apart(t: &Sandbox, script: &str) {
    compare(t, script, Place::Apart);
}

#[track_caller]
fn compare(t: &Sandbox, script: &str, place: Place) {
    let ours = Stage::boxr(t);
    let mut theirs = Stage::new(t, "runc", Tool::Runc.path().unwrap());
    let running = theirs.start(t, script, place);
    let out = ours.start(t, script, place).finish();
    let mut peer = running.finish();
    // On a busy machine podman fails with runc at times, and what it tells then is no measure of anybody.
    for again in ["runc-2", "runc-3"] {
        if !peer.status.success() {
            println!("failed with runc:\n{}\nstderr: {}", theirs.story(&peer), peer.errors());
            theirs.end_all();
            theirs = Stage::new(t, again, Tool::Runc.path().unwrap());
            peer = theirs.start(t, script, place).finish();
        }
    }
    // First ours: what fails with both of them is still to be seen.
    let (told, expected) = (ours.story(&out), theirs.story(&peer));
    assert!(out.status.success(), "{told}\nstderr: {}\nand with runc: {expected}", out.errors());
    assert_same(&told, &expected);
    ours.finish();
    theirs.finish();
    forget_filters(t);
}

/// Compiled seccomp filters are kept by design, of a user in its runtime directory.
#[track_caller]
fn forget_filters(t: &Sandbox) {
    let filters = t.layout().runtime.join("boxr/oci/@seccomp");
    if filters.exists() {
        std::fs::remove_dir_all(filters).unwrap();
    }
}

#[track_caller]
fn assert_same(told: &str, expected: &str) {
    if told == expected {
        return;
    }
    let mut step = "";
    for (ours, theirs) in told.lines().zip(expected.lines()) {
        if ours.starts_with("$ ") {
            step = ours;
        }
        assert!(ours == theirs, "{step}\nboxr-oci: {ours}\nrunc:     {theirs}\nall of it:\n{told}");
    }
    panic!("one of them tells more.\nboxr-oci:\n{told}\nrunc:\n{expected}");
}

fn what_a_failed_run_with_runc_leaves_is_ended(t: &Sandbox) {
    let script = r#"case $DIR in */runc) setsid sleep 1000 >/dev/null 2>&1 & exit 1 ;; esac; echo told"#;
    same_story(t, script);
}
