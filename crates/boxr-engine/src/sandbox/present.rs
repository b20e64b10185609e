//! Which of many paths are there, with few system calls: where several have one parent, that is read once.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

/// From so many names on reading their directory is less than looking for each.
const MANY: usize = 4;

/// Those of `paths` that are there, links that lead nowhere included.
pub(super) fn of(paths: &[PathBuf]) -> HashSet<PathBuf> {
    // By their letters, which are compared faster than paths.
    let mut by_parent: BTreeMap<&OsStr, Vec<&PathBuf>> = BTreeMap::new();
    for path in paths {
        by_parent.entry(path.parent().unwrap_or(Path::new("/")).as_os_str()).or_default().push(path);
    }
    let mut found = HashSet::new();
    for (parent, paths) in by_parent {
        // In a directory that can be entered but not read, each is looked for.
        match if paths.len() < MANY { None } else { names(Path::new(parent)) } {
            Some(names) => {
                let there = |path: &&PathBuf| path.file_name().is_some_and(|name| names.contains(name));
                found.extend(paths.into_iter().filter(there).cloned());
            }
            None => found.extend(paths.into_iter().filter(|path| path.symlink_metadata().is_ok()).cloned()),
        }
    }
    found
}

fn names(dir: &Path) -> Option<HashSet<OsString>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>().ok()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(HashSet::new()),
        Err(_) => None,
    }
}

/// `path` without symbolic links; `None` where there is nothing.
pub(super) fn real(path: &Path) -> Option<PathBuf> {
    // Most paths have no link: one call tells.
    match openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Ok(_) if path.is_absolute() => Some(path.to_owned()),
        Err(rustix::io::Errno::NOENT) => None,
        _ => path.canonicalize().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_found_alike() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["a", "c"] {
            std::fs::write(path(name), "").unwrap();
        }
        std::os::unix::fs::symlink("nowhere", path("d")).unwrap();
        for names in [&["a", "b", "c", "d", "e/f"][..], &["a", "b"], &["x/a", "x/b", "x/c", "x/d"]] {
            let paths: Vec<_> = names.iter().map(|name| path(name)).collect();
            let expected: HashSet<_> =
                paths.iter().filter(|path| path.symlink_metadata().is_ok()).cloned().collect();
            assert_eq!(of(&paths), expected);
        }
        assert_eq!((real(&path("a")), real(&path("b"))), (Some(path("a").canonicalize().unwrap()), None));
    }
}
