//! Which of many paths are there, with few system calls: where several have one parent, that is read once.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RawDir, ResolveFlags, openat2};
use rustix::io::Errno;

/// From so many names on reading their directory is less than looking for each.
const MANY: usize = 4;
/// Bytes of a directory that are read at once (getdents64(2)).
const AT_ONCE: usize = 8192;

/// For each of `paths`, which are absolute, whether it is there; a link that leads nowhere is.
pub(super) fn of(paths: &[PathBuf]) -> Vec<bool> {
    // By their letters, which are compared faster than paths.
    let mut by_parent: BTreeMap<&[u8], Vec<(&[u8], usize)>> = BTreeMap::new();
    let mut there = vec![false; paths.len()];
    for (index, path) in paths.iter().enumerate() {
        match split(path) {
            Some((parent, name)) => by_parent.entry(parent).or_default().push((name, index)),
            None => there[index] = path.symlink_metadata().is_ok(),
        }
    }
    for (parent, names) in by_parent {
        // In a directory that can be entered but not read, each is looked for.
        if names.len() < MANY || look_in(parent, &names, &mut there).is_err() {
            for (_, index) in names {
                there[index] = paths[index].symlink_metadata().is_ok();
            }
        }
    }
    there
}

/// Directory and name; `None` where the last part of `path` is no name.
fn split(path: &Path) -> Option<(&[u8], &[u8])> {
    let letters = path.as_os_str().as_bytes();
    let slash = letters.iter().rposition(|letter| *letter == b'/')?;
    let name = &letters[slash + 1..];
    (!matches!(name, b"" | b"." | b"..")).then_some((&letters[..slash.max(1)], name))
}

/// Notes which of `names` are in the directory `dir`.
fn look_in(dir: &[u8], names: &[(&[u8], usize)], there: &mut [bool]) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match rustix::fs::open(dir, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    let mut buffer = [MaybeUninit::uninit(); AT_ONCE];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let found = entry.file_name().to_bytes();
        for (_, index) in names.iter().filter(|(name, _)| *name == found) {
            there[*index] = true;
        }
    }
    Ok(())
}

/// `path` without symbolic links; `None` where there is nothing.
pub(super) fn real(path: &Path) -> Option<PathBuf> {
    // Most paths have no link: one call tells.
    match openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Ok(_) if path.is_absolute() => Some(path.to_owned()),
        Err(Errno::NOENT) => None,
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
        for names in [
            &["a", "b", "c", "d", "e/f"][..],
            &["a", "b"],
            &["x/a", "x/b", "x/c", "x/d"],
            &["a/", "x/..", "c/.", "d/", "."],
        ] {
            let paths: Vec<_> = names.iter().map(|name| path(name)).collect();
            let expected: Vec<_> = paths.iter().map(|path| path.symlink_metadata().is_ok()).collect();
            assert_eq!(of(&paths), expected);
        }
        assert_eq!((real(&path("a")), real(&path("b"))), (Some(path("a").canonicalize().unwrap()), None));
    }
}
