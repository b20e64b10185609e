//! Names of entries, as they are and as what they stand for.

use super::UnpackError;
use super::error::shown;

/// Before the name of what is removed.
const WHITEOUT: &[u8] = b".wh.";
/// In a directory whose former contents are all removed.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Before the names of what `aufs` kept for itself.
const OTHER: &[u8] = b".wh..wh.";

/// A path beneath the layer's directory: names with single slashes between, none of them `.` or `..`;
/// empty for the directory itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Path(Vec<u8>);

/// What an entry stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Itself.
    Itself(Path),
    /// That there is no such thing any more.
    Removed(Path),
    /// That nothing that was in this directory is there any more.
    Emptied(Path),
    /// Nothing to us.
    Nothing,
}

impl Path {
    /// Takes a name of the archive's. Slashes at its beginning mean nothing: its root is the layer's, as docker, podman
    /// and tar(1) have it.
    pub(super) fn new(name: &[u8]) -> Result<Self, UnpackError> {
        let escape = |reason| Err(UnpackError::Escape { name: shown(name), reason });
        let mut path = Vec::with_capacity(name.len());
        for part in name.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return escape("by \"..\""),
                part if part.contains(&0) => return escape("it has a NUL in it"),
                part => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(part);
                }
            }
        }
        Ok(Self(path))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that it is in, and its last name.
    pub(super) fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&self.0[..at], &self.0[at + 1..]),
            None => (b"", &self.0),
        }
    }

    /// Whether it is below the directory `other`.
    pub(super) fn is_below(&self, other: &[u8]) -> bool {
        self.0.strip_prefix(other).is_some_and(|rest| rest.starts_with(b"/"))
    }

    /// This path and all above it, the highest first, without the root.
    pub(super) fn ancestry(&self) -> impl Iterator<Item = &[u8]> {
        let slashes = self.0.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        slashes.chain([self.0.len()]).map(|end| &self.0[..end])
    }

    /// What it stands for.
    pub(super) fn meaning(self) -> Result<Meaning, UnpackError> {
        let (dir, name) = self.split();
        if name == OPAQUE {
            return Ok(Meaning::Emptied(Self(dir.to_vec())));
        }
        if name.starts_with(OTHER) {
            return Ok(Meaning::Nothing);
        }
        match name.strip_prefix(WHITEOUT) {
            None => Ok(Meaning::Itself(self)),
            Some(b"" | b"." | b"..") => Err(UnpackError::Escape {
                name: shown(&self.0),
                reason: "it removes a directory that is not in it",
            }),
            Some(removed) if dir.is_empty() => Ok(Meaning::Removed(Self(removed.to_vec()))),
            Some(removed) => Ok(Meaning::Removed(Self([dir, b"/", removed].concat()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Path {
        Path::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_are_made_plain() {
        for (name, plain) in [
            ("./a//b/./c/", "a/b/c"),
            ("./", ""),
            ("", ""),
            ("...", "..."),
            ("a/..b", "a/..b"),
            ("/", ""),
            ("//etc/x", "etc/x"),
        ] {
            assert_eq!(path(name).as_bytes(), plain.as_bytes());
        }
        for bad in ["/../x", "..", "a/../../b", "a/..", "./../x"] {
            assert!(matches!(Path::new(bad.as_bytes()), Err(UnpackError::Escape { .. })), "{bad}");
        }
        let path = path("a/b/c");
        assert_eq!(path.ancestry().collect::<Vec<_>>(), [&b"a"[..], b"a/b", b"a/b/c"]);
        assert!(path.is_below(b"a/b") && !path.is_below(b"a/b/c") && !path.is_below(b"a/"));
    }

    #[test]
    fn whiteouts_stand_for_something_else() {
        let meaning = |text: &str| path(text).meaning();
        assert_eq!(meaning("a/.wh.b").unwrap(), Meaning::Removed(path("a/b")));
        assert_eq!(meaning(".wh.b").unwrap(), Meaning::Removed(path("b")));
        assert_eq!(meaning("a/.wh..wh..opq").unwrap(), Meaning::Emptied(path("a")));
        assert_eq!(meaning(".wh..wh..opq").unwrap(), Meaning::Emptied(path("")));
        assert_eq!(meaning("a/.wh..wh.plnk").unwrap(), Meaning::Nothing);
        assert_eq!(meaning("a/wh.b").unwrap(), Meaning::Itself(path("a/wh.b")));
        for bad in [".wh.", "a/.wh..", "a/.wh..."] {
            assert!(matches!(meaning(bad), Err(UnpackError::Escape { .. })), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out(name in prop::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..40)) {
            let Ok(path) = Path::new(&name) else { return Ok(()) };
            let parts: Vec<&[u8]> = path.as_bytes().split(|byte| *byte == b'/').collect();
            prop_assert!(path.is_root() || parts.iter().all(|part| !part.is_empty() && *part != b"." && *part != b".."));
            if let Ok(Meaning::Removed(removed)) = path.meaning() {
                prop_assert!(!matches!(removed.split().1, b"" | b"." | b".."));
            }
        }
    }
}
