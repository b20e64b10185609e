//! A benchmark that is killed leaves nothing: it runs below a guard, which ends all that it has started and puts away
//! what engines have on disk, in cgroups and among mounts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use boxr_testing::guard::{self, Ended};
use boxr_testing::leaks;
use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

use crate::Outcome;

/// Set below the guard: where directories are made, on a disk and in memory.
const PLACES: [&str; 2] = ["BOXR_BENCH_DISK", "BOXR_BENCH_MEMORY"];
/// In a bench's directory: a link to the boxr that it measures.
pub const PROGRAM: &str = "boxr-measured";
/// In a bench's directory: podman's.
pub const PODMAN: &str = "podman";

/// The places below the guard; `None` above it.
pub fn places() -> Option<[PathBuf; 2]> {
    let [disk, memory] = PLACES.map(std::env::var_os);
    Some([disk?.into(), memory?.into()])
}

/// Runs `bench WORDS` below a guard.
pub fn run(words: &[String]) -> Outcome {
    let failed = |error: std::io::Error| error.to_string();
    let make = |parent: PathBuf| tempfile::Builder::new().prefix("boxr-bench-").tempdir_in(parent);
    let disk = make(std::env::temp_dir()).map_err(failed)?;
    // State lies in memory, as it does by default: /run is a tmpfs, or boxr looks for another.
    let memory = PathBuf::from("/dev/shm");
    let memory = make(if memory.is_dir() { memory } else { std::env::temp_dir() }).map_err(failed)?;
    let handed_down = controllers();
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("bench").args(words);
    command.envs(PLACES.into_iter().zip([disk.path(), memory.path()]));
    let ended = guard::run(&mut command).map_err(failed);
    if ended != Ok(Ended::Itself(0)) {
        put_away(disk.path(), memory.path());
    }
    remove_cgroups(&cgroup_of(disk.path()));
    take_back(&handed_down);
    let closed = close(disk).and(close(memory));
    match ended? {
        Ended::Itself(0) => closed,
        Ended::Itself(status) => Err(format!("bench: status {status}")),
        Ended::Told(signal) => Err(format!("bench: ended by signal {signal}")),
    }
}

fn close(dir: TempDir) -> Outcome {
    let mounts = leaks::mounts_below(dir.path());
    for mount in &mounts {
        unmount(mount, UnmountFlags::DETACH).map_err(|errno| format!("{}: {errno}", mount.display()))?;
    }
    dir.close().map_err(|error| format!("a directory of the benchmark cannot be removed: {error}"))
}

/// Lets each engine remove what it has in the directories of each bench. Its processes are gone, so not all of it
/// succeeds, and what fails is of no account: the directories go next.
fn put_away(disk: &Path, memory: &Path) {
    for entry in std::fs::read_dir(disk).into_iter().flatten().flatten() {
        let dir = entry.path();
        let boxr = |words: &[&str]| {
            let mut command = Command::new(dir.join(PROGRAM));
            command.arg("--state").arg(memory.join(entry.file_name())).arg("--root").arg(dir.join("root"));
            quietly(command.args(words));
        };
        boxr(&["rm", "-f", "--all"]);
        boxr(&["pod", "rm", "-f", "--all"]);
        let podman = dir.join(PODMAN);
        if podman.is_dir() {
            for words in [&["pod", "rm", "-f", "-t", "0", "--all"][..], &["rm", "-f", "-t", "0", "--all"]] {
                let mut command = Command::new("podman");
                command.args(["--runtime", "runc", "--storage-driver", "overlay"]);
                for (flag, name) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
                    command.arg(flag).arg(podman.join(name));
                }
                quietly(command.args(words));
            }
        }
    }
}

fn quietly(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
}

/// The name of a cgroup for what others than boxr put into some, at the top of each hierarchy.
pub fn cgroup() -> String {
    places().map_or_else(|| cgroup_of(Path::new("")), |[disk, _]| cgroup_of(&disk))
}

/// Not boxr's, or tests that run meanwhile would take it for one that was left.
fn cgroup_of(disk: &Path) -> String {
    let name = disk.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("peers-{}", name.rsplit('-').next().unwrap_or_default())
}

/// All of this name, and below.
fn remove_cgroups(name: &str) {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let tops = hierarchies.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
    tops.map(|top| top.join(name)).filter(|top| top.is_dir()).for_each(|top| remove_cgroup(&top));
}

fn remove_cgroup(dir: &Path) {
    let below = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    below.filter(|path| path.is_dir()).for_each(|path| remove_cgroup(&path));
    // One with a process is not the benchmark's.
    std::fs::remove_dir(dir).ok();
}

/// Controllers of cgroup version 2 that are handed down to the host's cgroups; podman adds some.
fn controllers() -> Option<(PathBuf, BTreeSet<String>)> {
    let dirs =
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(|dir| Path::new(dir).join("cgroup.subtree_control"));
    let path = dirs.into_iter().find(|path| path.exists())?;
    let text = std::fs::read_to_string(&path).ok()?;
    Some((path, text.split_whitespace().map(str::to_owned).collect()))
}

fn take_back(before: &Option<(PathBuf, BTreeSet<String>)>) {
    let (Some((path, before)), Some((_, now))) = (before, controllers()) else { return };
    for added in now.difference(before) {
        // A cgroup of somebody else's may use it by now.
        std::fs::write(path, format!("-{added}")).ok();
    }
}
