//! One mount of a plan.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use boxr_sys::mount::Propagation;

use super::mount_options::{Links, MountAttributes};
use crate::idmap::Extent;

/// Whether `path` is `dir` or lies in it, both absolute and without dots. By their letters: a sandbox asks this a
/// thousand times, and std::path takes a path apart each time.
pub fn holds(dir: &Path, path: &Path) -> bool {
    let (dir, path) = (dir.as_os_str().as_bytes(), path.as_os_str().as_bytes());
    match path.get(dir.len()) {
        // One letter tells of most that they do not.
        Some(b'/') => path.starts_with(dir),
        Some(_) => dir == b"/" && path.starts_with(dir),
        None => path == dir,
    }
}

/// Whether `path` is absolute and has no part too many, as most are.
pub fn is_plain(path: &Path) -> bool {
    let Some((b'/', rest)) = path.as_os_str().as_bytes().split_first() else { return false };
    !rest.split(|letter| *letter == b'/').any(|part| matches!(part, b"" | b"." | b".."))
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPlan {
    /// Where, absolute in the box.
    pub destination: PathBuf,
    /// What.
    pub source: MountSource,
    /// With which attributes.
    pub attributes: MountAttributes,
    /// How it travels.
    pub propagation: Option<(Propagation, bool)>,
    /// What it may cover.
    pub cover: Cover,
    /// No symbolic link may stand on the way to its source or its destination.
    pub no_links: bool,
    /// Device and number of the file that it covers, where nothing else may be covered.
    pub inode: Option<(u64, u64)>,
    /// Mounts of a plan with this, of the same source and with the same attributes, are one mount in several places.
    pub shared: bool,
    /// A tmpfs that is a directory of the one for all with this.
    pub pooled: bool,
}

/// Who owns a directory that was filled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Filled {
    /// Who owns what is copied.
    #[default]
    Theirs,
    /// One user and group own all of it.
    One(u32, u32),
    /// Who owns what is copied, but for the directory itself, which stays whose it is, with its mode.
    TopStays,
}

/// What is found where a filesystem is mounted, and what becomes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cover {
    /// It is hidden.
    #[default]
    Hide,
    /// It is copied into the new filesystem first (`tmpcopyup`).
    CopyUp,
    /// It is copied into a bound directory that is empty ([`super::COPY_UP`]).
    Fill {
        /// Who owns the copies.
        owners: Filled,
    },
    /// It is hidden, and a symbolic link is not followed (`dest-nofollow`).
    Link,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Its path.
        path: PathBuf,
        /// Where below that what is bound is; links do not lead out of it.
        below: Option<PathBuf>,
        /// With all mounts below it.
        recursive: bool,
        /// What is done if it is a symbolic link.
        links: Links,
        /// Ids of its files are shown as others.
        id_shift: Option<IdShift>,
    },
    /// A new instance of a filesystem.
    Filesystem {
        /// `proc`, `tmpfs`…
        kind: String,
        /// Shown as its source.
        source: String,
        /// Options of the filesystem itself; no value means a flag.
        parameters: Vec<(String, Option<String>)>,
        /// A change counter of inodes (`MS_I_VERSION` of mount(2)).
        inode_versions: bool,
    },
    /// What is made at every start, as [`super::Plan::trees`] has it.
    Tree {
        /// Its number there.
        number: usize,
        /// What it is of, in words.
        of: String,
    },
    /// The container's own cgroups, in the versions that the host has.
    Cgroups,
    /// What is mounted there already gets other attributes and parameters.
    Remount {
        /// Of the filesystem.
        parameters: Vec<(String, Option<String>)>,
    },
}

/// How ids of files are shown as others (mount_setattr(2), `MOUNT_ATTR_IDMAP`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdShift {
    /// Own maps: from the id on disk (`container`) to the one that is shown (`host`). `None` takes
    /// those of the container's user namespace.
    pub maps: Option<(Vec<Extent>, Vec<Extent>)>,
    /// Also of mounts below it.
    pub recursive: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_can_be_compared_by_its_letters() {
        assert!(["/a", "/a/b.c/d", "/.a/..b"].iter().all(|path| is_plain(Path::new(path))));
        for path in ["", "/", "a", "/a/", "//a", "/a//b", "/a/./b", "/a/..", "/a/."] {
            assert!(!is_plain(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_directory_holds_what_is_in_it_and_itself() {
        let holds = |dir: &str, path: &str| holds(Path::new(dir), Path::new(path));
        assert!(holds("/", "/") && holds("/", "/a") && holds("/a", "/a") && holds("/a", "/a/b"));
        assert!(!holds("/a", "/ab") && !holds("/a/b", "/a") && !holds("/b", "/a/b"));
    }
}
