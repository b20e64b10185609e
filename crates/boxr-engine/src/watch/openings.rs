//! What a sandbox shows and lets through, as far as it decides what would have to be opened.

use std::path::{Path, PathBuf};

use boxr_runtime::plan::SHARED;
use boxr_sys::namespace::NamespaceKind;

use crate::options::{BoxOptions, MountOption, NamespaceMode};

/// Of the box that is watched.
#[derive(Debug)]
pub(super) struct Openings {
    /// Files and directories that cannot be opened.
    hidden: Vec<PathBuf>,
    /// What the host would run later, read-only in a directory that can be written.
    kept: Vec<PathBuf>,
    /// Whether its network has no way out of its own.
    pub alone: bool,
    /// Where Landlock stands for mounts: what can be read, and what can be written.
    rights: Option<(Vec<PathBuf>, Vec<PathBuf>)>,
    /// boxr's own files: nobody opens them.
    state: PathBuf,
}

impl Openings {
    /// Those of a sandbox; `None` for another box.
    pub fn of(options: &BoxOptions, state: &Path) -> Option<Self> {
        let sandbox = options.sandbox.as_ref()?;
        let with = |mount: &&MountOption, word: &str| mount.options.iter().any(|option| option == word);
        let place = |mount: &MountOption| mount.destination.clone();
        let binds = || options.mounts.iter().filter(|mount| mount.kind == "bind");
        let writable: Vec<PathBuf> =
            binds().filter(|mount| with(mount, "rbind") && !with(mount, "rro")).map(place).collect();
        let rights = sandbox.landlock.as_ref().filter(|landlock| landlock.files);
        Some(Self {
            hidden: options.mounts.iter().filter(|mount| with(mount, SHARED)).map(place).collect(),
            kept: binds()
                .filter(|mount| with(mount, "rro") && is_below(&mount.destination, &writable))
                .map(place)
                .collect(),
            alone: options.namespaces.get(NamespaceKind::Network) == Some(&NamespaceMode::New),
            rights: rights.map(|landlock| (landlock.reads.clone(), landlock.writes.clone())),
            state: state.canonicalize().unwrap_or_else(|_| state.to_owned()),
        })
    }

    /// Whether nobody in it can open `path`, for whatever.
    pub fn hides(&self, path: &Path) -> bool {
        is_below(path, &self.hidden)
    }

    /// Whether Landlock keeps it from reading `path`.
    pub fn is_hidden_by_landlock(&self, path: &Path) -> bool {
        let refuses =
            |shown: &[&[PathBuf]]| !self.is_own(path) && !shown.iter().any(|dirs| is_below(path, dirs));
        self.rights.as_ref().is_some_and(|(reads, writes)| refuses(&[reads, writes]))
    }

    /// Whether Landlock keeps it from writing `path`.
    pub fn is_kept_by_landlock(&self, path: &Path) -> bool {
        let refuses = |writes: &[PathBuf]| !self.is_own(path) && !is_below(path, writes);
        self.rights.as_ref().is_some_and(|(_, writes)| refuses(writes))
    }

    /// Device nodes, and the directories of its own that such a sandbox has in boxr's.
    fn is_own(&self, path: &Path) -> bool {
        path.starts_with("/dev") || path.starts_with(&self.state)
    }

    /// What protects `path` because the host would use it later by itself.
    pub fn protection_of(&self, path: &Path) -> Option<&Path> {
        self.kept.iter().find(|kept| path.starts_with(kept)).map(PathBuf::as_path)
    }
}

fn is_below(path: &Path, dirs: &[PathBuf]) -> bool {
    dirs.iter().any(|dir| path.starts_with(dir))
}
