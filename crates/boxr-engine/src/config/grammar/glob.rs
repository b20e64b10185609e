//! `--mount type=glob`: a bind for each file of the host that a pattern matches (glob(7); podman-run(1)).

use std::path::{Path, PathBuf};

use crate::options::MountOption;

/// The kind of a mount that stands for many.
pub(super) const KIND: &str = "glob";

/// More files than anybody means.
const MOST: usize = 1000;

/// The binds that it stands for, in the order of their names. Each is in the destination, or, where that is `/`, at its own path.
///
/// # Errors
/// Nothing matches, or too much.
pub(super) fn expand(mount: &MountOption) -> Result<Vec<MountOption>, String> {
    let pattern = mount.source.as_deref().unwrap_or_default();
    let mut found = vec![PathBuf::from("/")];
    for part in Path::new(pattern).components().skip(1) {
        let part = part.as_os_str().to_string_lossy().into_owned();
        found = found.iter().flat_map(|dir| matches_in(dir, &part)).collect();
    }
    match found.len() {
        0 => return Err(format!("no file matches {pattern}")),
        1..=MOST => {}
        many => return Err(format!("{many} files match {pattern}, more than {MOST}")),
    }
    let bind = |path: PathBuf| {
        let destination = match (mount.destination.parent(), path.file_name()) {
            (Some(_), Some(name)) => mount.destination.join(name),
            _ => path.clone(),
        };
        MountOption {
            kind: "bind".to_owned(),
            source: Some(path.to_string_lossy().into_owned()),
            destination,
            options: mount.options.clone(),
        }
    };
    Ok(found.into_iter().map(bind).collect())
}

/// What in `dir` is called as `pattern` says; a directory that cannot be read has nothing.
fn matches_in(dir: &Path, pattern: &str) -> Vec<PathBuf> {
    if !pattern.contains(['*', '?', '[', '\\']) {
        let path = dir.join(pattern);
        return if path.symlink_metadata().is_ok() { vec![path] } else { Vec::new() };
    }
    let letters: Vec<char> = pattern.chars().collect();
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| {
        // A leading dot is matched by a dot alone.
        let is_hidden = name.starts_with('.') && letters.first() != Some(&'.');
        !is_hidden && fits(&letters, &name.chars().collect::<Vec<_>>())
    });
    names.sort_unstable();
    names.into_iter().map(|name| dir.join(name)).collect()
}

/// Whether a name fits. In one pass, going back to the last `*` alone: no pattern takes long.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut next) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while next < name.len() {
        match one(&pattern[at..], name[next]) {
            Some(0) => {
                star = Some((at + 1, next));
                at += 1;
                continue;
            }
            Some(length) => {
                (at, next) = (at + length, next + 1);
                continue;
            }
            None => {}
        }
        let Some((after, from)) = star else { return false };
        star = Some((after, from + 1));
        (at, next) = (after, from + 1);
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// How much of the beginning of `pattern` fits `letter`: 0 for a `*`, `None` for nothing.
fn one(pattern: &[char], letter: char) -> Option<usize> {
    match pattern {
        ['*', ..] => Some(0),
        ['?', ..] => Some(1),
        ['\\', quoted, ..] => (*quoted == letter).then_some(2),
        ['[', rest @ ..] => {
            let is_not = matches!(rest.first(), Some('!' | '^'));
            let set = &rest[usize::from(is_not)..];
            // A bracket that comes first is one of the set.
            let end = set.iter().skip(1).position(|letter| *letter == ']')? + 1;
            let fits = in_set(&set[..end], letter) != is_not;
            fits.then_some(2 + usize::from(is_not) + end)
        }
        [plain, ..] => (*plain == letter).then_some(1),
        [] => None,
    }
}

fn in_set(set: &[char], letter: char) -> bool {
    match set {
        [first, '-', last, rest @ ..] => (*first..=*last).contains(&letter) || in_set(rest, letter),
        [one, rest @ ..] => *one == letter || in_set(rest, letter),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fit(pattern: &str, name: &str) -> bool {
        fits(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
    }

    #[test]
    fn patterns_are_the_shells() {
        for (pattern, name) in [
            ("*", "a"),
            ("lib*.so", "libfoo.so"),
            ("a?c", "abc"),
            ("*a*b*", "xaxxbx"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]x]", "]"),
            ("a\\*", "a*"),
            ("**", ""),
            ("x[-a]", "x-"),
        ] {
            assert!(fit(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("a", "ab"), ("?", ""), ("[a-c]", "d"), ("[!a]", "a"), ("a\\*", "ab"), ("[a", "a"), ("*b", "ba")]
        {
            assert!(!fit(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_bind_for_each() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["one.so", "two.so", "three", ".hidden.so"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let mount = |pattern: &str, destination: &str| MountOption {
            kind: KIND.to_owned(),
            source: Some(dir.path().join(pattern).to_string_lossy().into_owned()),
            destination: destination.into(),
            options: vec!["rbind".to_owned()],
        };
        let made = expand(&mount("*.so", "/lib")).unwrap();
        let places: Vec<_> = made.iter().map(|one| one.destination.to_str().unwrap()).collect();
        assert_eq!(places, ["/lib/one.so", "/lib/two.so"]);
        let same = expand(&mount("t*e", "/")).unwrap();
        assert_eq!(same[0].destination, dir.path().join("three"));
        assert!(expand(&mount("*.none", "/lib")).unwrap_err().contains("no file matches"));
    }

    proptest! {
        #[test]
        fn no_pattern_is_too_strange(pattern in ".{0,40}", name in ".{0,40}") {
            fit(&pattern, &name);
        }
    }
}
