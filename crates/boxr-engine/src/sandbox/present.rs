//! Which of many paths are there, with few system calls: where several have one parent, that is opened once, and read
//! where they are many.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use boxr_runtime::plan::is_plain;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, ResolveFlags, openat2, statat};
use rustix::io::Errno;

use super::view::View;

/// From so many names on opening their directory is less than a whole path for each: mostly it is not there.
const SEVERAL: usize = 4;
/// From so many names on reading their directory is less than looking for each. /etc has 150 entries.
const MANY: usize = 20;
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
        let looked = match names.len() {
            ..SEVERAL => Err(Errno::NOSYS),
            SEVERAL..MANY => look_for(parent, &names, &mut there),
            MANY.. => look_in(parent, &names, &mut there),
        };
        // In a directory that can be entered but not read, each is looked for.
        if looked.is_err() {
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

fn open(dir: &[u8], how: OFlags) -> Result<Option<OwnedFd>, Errno> {
    match rustix::fs::open(dir, how | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Notes which of `names` are in the directory `dir`, one by one.
fn look_for(dir: &[u8], names: &[(&[u8], usize)], there: &mut [bool]) -> Result<(), Errno> {
    let Some(dir) = open(dir, OFlags::PATH)? else { return Ok(()) };
    for (name, index) in names {
        there[*index] = statat(&dir, *name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    }
    Ok(())
}

/// Notes which of `names` are in the directory `dir`, by reading it.
fn look_in(dir: &[u8], names: &[(&[u8], usize)], there: &mut [bool]) -> Result<(), Errno> {
    let Some(dir) = open(dir, OFlags::RDONLY)? else { return Ok(()) };
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

/// `path` without symbolic links, where nobody who runs in a sandbox has put any; `None` where there is nothing.
pub(super) fn real(path: &Path) -> Option<PathBuf> {
    // Most paths have no link: one call tells.
    match openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Ok(_) if is_plain(path) => Some(path.to_owned()),
        Err(Errno::NOENT) => None,
        _ if path.is_absolute() => super::surroundings::follow(path, &View::default()).ok(),
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
        let many: Vec<String> = ('a'..='z').map(String::from).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for names in [
            &many[..],
            &["a", "b", "c", "d", "e/f"],
            &["a", "b"],
            &["x/a", "x/b", "x/c", "x/d"],
            &["a/", "x/..", "c/.", "d/", "."],
        ] {
            let paths: Vec<_> = names.iter().map(|name| path(name)).collect();
            let expected: Vec<_> = paths.iter().map(|path| path.symlink_metadata().is_ok()).collect();
            assert_eq!(of(&paths), expected);
        }
        assert_eq!(real(&path("./x/../a/")), None);
        assert_eq!(real(&path(".//c")), Some(path("c").canonicalize().unwrap()));
        assert_eq!((real(&path("a")), real(&path("b"))), (Some(path("a").canonicalize().unwrap()), None));
    }
}
