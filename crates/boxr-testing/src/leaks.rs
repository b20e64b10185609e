//! What a test may not leave behind besides processes: mounts, state, cgroups.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Mount points below `dir` in this mount namespace, deepest first.
pub fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let info = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = info.lines().filter_map(|line| line.split(' ').nth(4));
    let mut found: Vec<_> = points.map(PathBuf::from).filter(|point| point.starts_with(dir)).collect();
    found.reverse();
    found
}

/// Files in a state or data directory which belong to a box: everything that is not a lock.
/// Empty directories are no trace of a box, and the default network stays for the next one.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_dir {
                dirs.push(entry.path());
            } else if !entry.file_name().to_string_lossy().contains("lock") && !is_standing(&entry.path()) {
                found.push(entry.path());
            }
        }
    }
    found
}

/// Whether it is of the default network or tells what has happened, and is of no box.
fn is_standing(path: &Path) -> bool {
    path.ends_with("networks/bridge.json")
        || path.ends_with("nets/bridge/last4")
        || path.ends_with("nets/bridge/last6")
        || path.parent().is_some_and(|dir| dir.ends_with("root/events"))
        // Compiled filters are there for the next box.
        || path.extension().is_some_and(|kind| kind == "bpf")
}

/// Directories of the cgroup trees whose path says that boxr made them.
pub fn cgroups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut dirs = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if entry.path().to_string_lossy().contains("boxr") {
                found.insert(entry.path());
            }
            dirs.push(entry.path());
        }
    }
    found
}

/// Of the groups that are new since `before`, those that nothing uses and that do not go away.
pub fn abandoned_cgroups(before: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let end = Instant::now() + Duration::from_secs(3);
    let look = || cgroups().difference(before).filter(|dir| is_unused(dir)).cloned().collect();
    that_stay(look, || {
        std::thread::park_timeout(Duration::from_millis(50));
        Instant::now() < end
    })
}

/// What is there at each of the looks: others' groups, which are unused for the moment in which they are made or removed,
/// come and go meanwhile.
fn that_stay(look: impl Fn() -> BTreeSet<PathBuf>, mut again: impl FnMut() -> bool) -> Vec<PathBuf> {
    let mut stay = look();
    while !stay.is_empty() && again() {
        let now = look();
        stay.retain(|dir| now.contains(dir));
    }
    stay.into_iter().collect()
}

fn is_unused(dir: &Path) -> bool {
    let is_dir = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    };
    std::fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|list| list.is_empty())
        && std::fs::read_dir(dir).is_ok_and(|mut entries| !entries.any(is_dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_group_that_is_unused_for_a_moment_is_not_left_behind() {
        let looked = |looks: &[&[&str]]| {
            let left = RefCell::new(looks.iter());
            let look = || left.borrow_mut().next().unwrap().iter().map(PathBuf::from).collect();
            that_stay(look, || left.borrow().len() > 0)
        };
        // Another each time, as on a machine on which boxes come and go.
        assert!(looked(&[&["a"], &["b"], &["c"]]).is_empty());
        assert_eq!(looked(&[&["a", "left"], &["left"], &["b", "left"]]), [PathBuf::from("left")]);
    }
}
