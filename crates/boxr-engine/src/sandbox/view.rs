//! What the sandbox will see of the host's file tree, path by path.

use std::path::{Path, PathBuf};

use boxr_runtime::plan::holds;

/// How a part of the host's tree is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Not at all: something of the sandbox's own is there.
    Covered,
    /// As it is, but read-only.
    ReadOnly,
    /// As it is.
    Writable,
}

/// The host's tree as the sandbox sees it.
#[derive(Debug, Default)]
pub(super) struct View {
    parts: Vec<(PathBuf, Sight)>,
}

impl View {
    /// Says how `path` and what is below it are seen, unless something further down says otherwise.
    pub fn set(&mut self, path: &Path, sight: Sight) {
        // By their letters, as `holds` has it.
        self.parts.retain(|(known, _)| known.as_os_str() != path.as_os_str());
        self.parts.push((path.to_owned(), sight));
    }

    /// How `path` is seen.
    pub fn sight(&self, path: &Path) -> Sight {
        let around = self.parts.iter().filter(|(part, _)| holds(part, path));
        around.max_by_key(|(part, _)| part.as_os_str().len()).map_or(Sight::ReadOnly, |(_, sight)| *sight)
    }

    /// Whether it is seen at all.
    pub fn shows(&self, path: &Path) -> bool {
        self.sight(path) != Sight::Covered
    }

    /// Whether it or anything below it is seen.
    pub fn shows_of(&self, path: &Path) -> bool {
        let mut below = self.parts.iter().filter(|(part, _)| holds(path, part));
        self.shows(path) || below.any(|(_, sight)| *sight != Sight::Covered)
    }

    /// The directories that can be written.
    pub fn writable(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().filter(|(_, sight)| *sight == Sight::Writable).map(|(path, _)| path.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_part_decides() {
        let mut view = View::default();
        view.set(Path::new("/home"), Sight::Covered);
        view.set(Path::new("/home/me/work"), Sight::Writable);
        for (path, sight) in [
            ("/etc/passwd", Sight::ReadOnly),
            ("/home/me", Sight::Covered),
            ("/home/me/work/x", Sight::Writable),
            ("/homestead", Sight::ReadOnly),
        ] {
            assert_eq!(view.sight(Path::new(path)), sight, "{path}");
        }
        assert!(view.shows_of(Path::new("/home")) && view.shows_of(Path::new("/home/me")));
        assert!(!view.shows_of(Path::new("/home/you")) && !view.shows_of(Path::new("/home/me/worker")));
    }
}
