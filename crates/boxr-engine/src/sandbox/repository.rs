//! What git runs or reads settings from in a directory, besides the places that are the same in each (`secrets.txt`).

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, statat};
use rustix::io::Errno;

/// Modules in modules that are looked into.
const DEPTH: u32 = 4;
/// Levels of directories in which repositories are looked for.
const LEVELS: u32 = 3;
/// Directories that are read for it, and such as are looked at, in one sandbox: what is looked for is mostly not there.
const READ: usize = 32;
const LOOKED_AT: usize = 256;
/// Bytes of names in a directory that are read at most, and of `.gitmodules`.
const BYTES: usize = 32 << 10;
const LARGEST: u64 = 1 << 20;
/// Repositories that are protected at most.
const REPOSITORIES: usize = 64;

/// Those that are there: a `.git` that is a file, and says where the repository is (worktrees, submodules); hooks and
/// settings of submodules, which git uses in their directories; where other worktrees say that theirs are.
pub(super) fn runs_from(root: &Path) -> Vec<PathBuf> {
    let git = root.join(".git");
    let mut found = Vec::new();
    match std::fs::symlink_metadata(&git) {
        Ok(kind) if kind.is_file() => found.push(git),
        Ok(kind) if kind.is_dir() => {
            modules(&git.join("modules"), DEPTH, &mut found);
            worktrees(&git.join("worktrees"), &mut found);
        }
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
            add_if_there(&path, &["hooks", "config"], found);
            modules(&path.join("modules"), deeper, found);
        } else {
            modules(&path, deeper, found);
        }
    }
}

fn worktrees(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        add_if_there(&entry.path(), &["commondir", "config.worktree"], found);
    }
}

fn add_if_there(dir: &Path, names: &[&str], found: &mut Vec<PathBuf>) {
    let own = names.iter().map(|name| dir.join(name));
    found.extend(own.filter(|path| path.symlink_metadata().is_ok()));
}

/// The search for repositories in directories below those that can be written.
#[derive(Debug)]
pub(super) struct Search {
    read: usize,
    looked_at: usize,
    /// Whether something was not looked at.
    pub is_cut_short: bool,
}

impl Default for Search {
    fn default() -> Self {
        Self { read: READ, looked_at: LOOKED_AT, is_cut_short: false }
    }
}

impl Search {
    /// Repositories below `root`: those that `.gitmodules` names, and what else is found in the uppermost directories.
    pub fn below(&mut self, root: &Path) -> Vec<PathBuf> {
        let named = named_by_modules(root).unwrap_or_else(|_| {
            self.is_cut_short = true;
            Vec::new()
        });
        let mut found: Vec<PathBuf> = named.into_iter().filter(|dir| is_one(dir)).collect();
        let mut levels = VecDeque::from([(root.to_owned(), LEVELS)]);
        while let Some((dir, level)) = levels.pop_front() {
            let Some(deeper) = level.checked_sub(1) else { continue };
            for (below, is_repository) in self.look_in(&dir) {
                if is_repository && !found.contains(&below) {
                    found.push(below.clone());
                }
                if deeper > 0 {
                    levels.push_back((below, deeper));
                }
            }
        }
        if found.len() > REPOSITORIES {
            self.is_cut_short = true;
            found.truncate(REPOSITORIES);
        }
        found
    }

    /// The directories in `dir`, and whether each is a repository. One that cannot be read has none that the command
    /// could read.
    fn look_in(&mut self, dir: &Path) -> Vec<(PathBuf, bool)> {
        let Some(left) = self.read.checked_sub(1) else {
            self.is_cut_short = true;
            return Vec::new();
        };
        self.read = left;
        let mut found = Vec::new();
        if self.look(dir, &mut found) != Ok(()) {
            self.is_cut_short = true;
        }
        found
    }

    fn look(&mut self, path: &Path, found: &mut Vec<(PathBuf, bool)>) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(()),
            opened => opened?,
        };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let (mut bytes, mut entries) = (0, RawDir::new(&dir, &mut buffer));
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            bytes += name.len();
            let is_directory = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            // What packages are unpacked to has none, but many directories.
            if !is_directory || matches!(name, b"." | b".." | b".git" | b"node_modules") {
                continue;
            }
            if self.looked_at == 0 || bytes > BYTES {
                self.is_cut_short = true;
                return Ok(());
            }
            self.looked_at -= 1;
            let git = [name, b"/.git"].concat();
            let is_repository = statat(&dir, git.as_slice(), AtFlags::SYMLINK_NOFOLLOW).is_ok();
            found.push((path.join(std::ffi::OsStr::from_bytes(name)), is_repository));
        }
        Ok(())
    }
}

fn is_one(dir: &Path) -> bool {
    dir.join(".git").symlink_metadata().is_ok()
}

/// The directories of submodules (gitmodules(5)).
fn named_by_modules(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let text = match crate::foreign::read(&root.join(".gitmodules"), LARGEST) {
        Ok(text) => text,
        // Mostly it is not there.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&text);
    let paths = text.lines().filter_map(|line| line.trim().split_once('='));
    let paths = paths.filter(|(key, _)| key.trim().eq_ignore_ascii_case("path"));
    let paths = paths.map(|(_, path)| Path::new(path.trim().trim_matches('"')));
    let is_below = |path: &&Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    Ok(paths.filter(is_below).take(REPOSITORIES).map(|path| root.join(path)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(dirs: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for dir in dirs {
            std::fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        root
    }

    #[test]
    fn repositories_below_are_found_and_the_search_ends() {
        let deep = "1/2/3/4/deep";
        let root =
            tree(&["a/.git", "b/c/d/.git", "b/c/d/e/.git", "node_modules/x/.git", &format!("{deep}/.git")]);
        std::fs::write(
            root.path().join(".gitmodules"),
            format!("[submodule \"d\"]\n\tpath = {deep}\n\tpath=../x\n"),
        )
        .unwrap();
        let mut search = Search::default();
        let mut found = search.below(root.path());
        found.sort();
        assert_eq!(found, [deep, "a", "b/c/d"].map(|dir| root.path().join(dir)));
        assert!(!search.is_cut_short);
        let names: Vec<String> = (0..=LOOKED_AT).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let root = tree(&names);
        let mut search = Search::default();
        assert_eq!((search.below(root.path()).len(), search.is_cut_short), (0, true));
    }
}
