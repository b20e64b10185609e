//! What a test may not leave behind besides processes: mounts, state, cgroups.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Mount points below `dir` in this mount namespace, deepest first.
pub fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let info = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = info.lines().filter_map(|line| line.split(' ').nth(4));
    let mut found: Vec<_> = points.map(PathBuf::from).filter(|point| point.starts_with(dir)).collect();
    found.reverse();
    found
}

/// Files in a state or data directory which belong to a box: everything that is not a lock.
/// Empty directories are no trace of a box.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_dir {
                dirs.push(entry.path());
            } else if !entry.file_name().to_string_lossy().contains("lock") {
                found.push(entry.path());
            }
        }
    }
    found
}

/// Directories of the cgroup trees whose name says that boxr made them.
pub fn cgroups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut dirs = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let name = entry.file_name();
            if name.to_string_lossy().contains("boxr") {
                found.insert(entry.path());
            }
            dirs.push(entry.path());
        }
    }
    found
}
