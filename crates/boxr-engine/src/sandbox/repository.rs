//! What git runs or reads settings from in a directory, besides the places that are the same in each (`secrets.txt`).

use std::path::{Path, PathBuf};

/// Modules in modules that are looked into.
const DEPTH: u32 = 4;

/// Those that are there: a `.git` that is a file, and says where the repository is (worktrees, submodules); hooks and
/// settings of submodules, which git uses in their directories.
pub(super) fn runs_from(root: &Path) -> Vec<PathBuf> {
    let git = root.join(".git");
    let mut found = Vec::new();
    match std::fs::symlink_metadata(&git) {
        Ok(kind) if kind.is_file() => found.push(git),
        Ok(kind) if kind.is_dir() => modules(&git.join("modules"), DEPTH, &mut found),
        _ => {}
    }
    found
}

/// A module's name may have slashes: what has no HEAD is on the way to one.
fn modules(dir: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    let Some(deeper) = depth.checked_sub(1) else { return };
    // Mostly it is not there.
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if path.join("HEAD").symlink_metadata().is_ok() {
            let own = ["hooks", "config"].map(|name| path.join(name));
            found.extend(own.into_iter().filter(|path| path.symlink_metadata().is_ok()));
            modules(&path.join("modules"), deeper, found);
        } else {
            modules(&path, deeper, found);
        }
    }
}
