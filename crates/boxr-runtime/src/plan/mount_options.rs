//! fstab-style mount options (runtime specification, "Linux mount options") as kernel attributes.

use std::path::PathBuf;

use boxr_sys::mount::{Propagation, attr};
use rustix::mount::MountFlags;

use super::Filled;

/// Attributes of a mount and, separately, of all mounts below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountAttributes {
    /// `MOUNT_ATTR_*` to set on the mount.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear on it.
    pub clear: u64,
    /// To set on it and all below (`rro`, `rnosuid`…).
    pub recursive_set: u64,
    /// To clear on it and all below.
    pub recursive_clear: u64,
}

/// What a list of options says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    pub attributes: MountAttributes,
    pub bind: Option<bool>,
    pub remount: bool,
    pub propagation: Option<(Propagation, bool)>,
    /// Options of the filesystem; no value means a flag.
    pub parameters: Vec<(String, Option<String>)>,
    /// A change counter of inodes, which only mount(2) can ask for.
    pub inode_versions: bool,
    pub copy_up: bool,
    /// Whether an empty directory is first filled with what it covers ([`COPY_UP`]).
    pub fill: bool,
    /// Who owns what it is filled with.
    pub filled: Filled,
    /// Where in the source ([`SUBPATH`]).
    pub subpath: Option<PathBuf>,
    /// Whether no symbolic link may stand on the way to source or destination ([`NO_LINKS`]).
    pub no_links: bool,
    /// Whether it is one with others that are alike ([`SHARED`]).
    pub shared: bool,
    /// Whether it is a directory of a tmpfs for several ([`POOLED`]).
    pub pooled: bool,
    /// What it covers ([`INODE`]).
    pub inode: Option<(u64, u64)>,
    pub links: Links,
    /// Whether ids are shifted, also below.
    pub idmap: Option<bool>,
}

/// boxr's own option of a bind mount: a source that is an empty directory is first filled with what the mount
/// covers, and gets its owner and mode. Volumes of images are made so. With `=UID:GID` all of it gets this owner, with `=top` the
/// directory keeps its owner and mode.
pub const COPY_UP: &str = "x-boxr.copy-up";
/// The same for a directory that keeps its own owner and mode.
pub const COPY_UP_BELOW: &str = "x-boxr.copy-up=top";

/// boxr's own option of a bind mount, followed by a relative path: what is bound is there in the source, which links do
/// not lead out of.
pub const SUBPATH: &str = "x-boxr.subpath=";

/// boxr's own type of a mount: what a [`super::MountTree`] makes for its destination. The source says in words what it is of.
pub const TREE: &str = "x-boxr.tree";

/// boxr's own option of a mount: its source and its destination are what the paths say, with no symbolic link on the
/// way. Whoever made the plan has resolved them; a link that somebody puts there meanwhile is an error.
pub const NO_LINKS: &str = "x-boxr.no-links";

/// boxr's own option of a mount upon the host's tree: it is one with all others that have the option, the same source and
/// the same attributes. For what nobody can write: a superblock each would cost more than all the rest.
pub const SHARED: &str = "x-boxr.shared";

/// boxr's own option of a tmpfs upon the host's tree of which nothing is said but `mode=`, and that has `nosuid` and
/// `nodev`: all with this option are directories of one tmpfs.
pub const POOLED: &str = "x-boxr.pooled";

/// boxr's own option of a mount, followed by `DEVICE:NUMBER` of stat(2): what it covers is this very file.
pub const INODE: &str = "x-boxr.inode=";

/// What is done about symbolic links at the ends of a bind mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// A source that is a link is made again at the destination (`copy-symlink`).
    pub copy: bool,
    /// A source that is a link is mounted itself (`src-nofollow`).
    pub mount_source: bool,
    /// A destination that is a link is covered itself (`dest-nofollow`).
    pub cover_destination: bool,
}

/// Splits options into attributes of the mount, its propagation, and parameters of the filesystem.
pub(super) fn parse(options: &[String]) -> Parsed {
    let mut parsed = Parsed::default();
    for option in options {
        match option.as_str() {
            "bind" => parsed.bind = Some(parsed.bind.unwrap_or(false)),
            "rbind" => parsed.bind = Some(true),
            "remount" => parsed.remount = true,
            "tmpcopyup" => parsed.copy_up = true,
            COPY_UP => parsed.fill = true,
            COPY_UP_BELOW => (parsed.fill, parsed.filled) = (true, Filled::TopStays),
            NO_LINKS => parsed.no_links = true,
            SHARED => parsed.shared = true,
            POOLED => parsed.pooled = true,
            "copy-symlink" => parsed.links.copy = true,
            "src-nofollow" => parsed.links.mount_source = true,
            "dest-nofollow" => parsed.links.cover_destination = true,
            "idmap" => parsed.idmap = Some(parsed.idmap.unwrap_or(false)),
            "ridmap" => parsed.idmap = Some(true),
            "iversion" => parsed.inode_versions = true,
            "noiversion" => parsed.inode_versions = false,
            // What they take back is off from the start.
            "defaults" | "" | "silent" | "loud" | "norelatime" | "rnorelatime" => {}
            // So it is with most words.
            word if apply_attribute(word, &mut parsed.attributes) => {}
            word => {
                if let Some(numbers) = word.strip_prefix(INODE).and_then(|text| text.split_once(':'))
                    && let (Ok(device), Ok(number)) = (numbers.0.parse(), numbers.1.parse())
                {
                    parsed.inode = Some((device, number));
                } else if let Some(path) = word.strip_prefix(SUBPATH) {
                    parsed.subpath = Some(path.into());
                } else if let Some(owner) = word.strip_prefix(COPY_UP).and_then(|rest| rest.strip_prefix('='))
                    && let Some((Ok(uid), Ok(gid))) =
                        owner.split_once(':').map(|(uid, gid)| (uid.parse(), gid.parse()))
                {
                    (parsed.fill, parsed.filled) = (true, Filled::One(uid, gid));
                } else if let Some(propagation) = propagation(word) {
                    parsed.propagation = Some(propagation);
                } else if !apply_superblock(word, &mut parsed.parameters) {
                    parsed.parameters.push(parameter(word));
                }
            }
        }
    }
    parsed
}

/// Flags of every filesystem: the option, the one that takes it back, the kernel's name of it
/// (fsconfig(2)), its bit in mount(2).
const SUPERBLOCK: [(&str, &str, &str, MountFlags); 5] = [
    ("sync", "async", "sync", MountFlags::SYNCHRONOUS),
    ("dirsync", "nodirsync", "dirsync", MountFlags::DIRSYNC),
    ("lazytime", "nolazytime", "lazytime", MountFlags::LAZYTIME),
    ("mand", "nomand", "mand", MountFlags::PERMIT_MANDATORY_FILE_LOCKING),
    ("acl", "noacl", "posixacl", POSIX_ACL),
];

/// `MS_POSIXACL`, which rustix lacks.
const POSIX_ACL: MountFlags = MountFlags::from_bits_retain(1 << 16);

fn apply_superblock(word: &str, parameters: &mut Vec<(String, Option<String>)>) -> bool {
    let Some((set, _, name, _)) = SUPERBLOCK.iter().find(|(set, clear, ..)| word == *set || word == *clear)
    else {
        return false;
    };
    parameters.retain(|(key, _)| key != name);
    if word == *set {
        parameters.push(((*name).to_owned(), None));
    }
    true
}

/// Whether a parameter is a flag of every filesystem, and which one in mount(2).
pub(crate) fn superblock_flag(key: &str) -> Option<MountFlags> {
    SUPERBLOCK.iter().find(|(.., name, _)| *name == key).map(|(.., flag)| *flag)
}

fn parameter(word: &str) -> (String, Option<String>) {
    match word.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (word.to_owned(), None),
    }
}

/// `private`, `rslave`…: the propagation and whether it is recursive.
pub fn propagation(word: &str) -> Option<(Propagation, bool)> {
    let (bare, recursive) = match word.strip_prefix('r') {
        Some(rest) if !rest.is_empty() => (rest, true),
        _ => (word, false),
    };
    let kind = match bare {
        "private" => Propagation::Private,
        "slave" => Propagation::Slave,
        "shared" => Propagation::Shared,
        "unbindable" => Propagation::Unbindable,
        _ => return None,
    };
    Some((kind, recursive))
}

/// Every option that is not a filesystem's own, for the specification's `features`.
pub fn names() -> Vec<String> {
    const OTHERS: [&str; 14] = [
        "bind",
        "rbind",
        "remount",
        "tmpcopyup",
        "copy-symlink",
        "src-nofollow",
        "dest-nofollow",
        "idmap",
        "ridmap",
        "iversion",
        "noiversion",
        "defaults",
        "silent",
        "loud",
    ];
    const PROPAGATIONS: [&str; 4] = ["private", "slave", "shared", "unbindable"];
    let bare = ATTRIBUTES.iter().map(|(word, ..)| *word).chain(["norelatime"]).chain(PROPAGATIONS);
    let both = bare.flat_map(|word| [word.to_owned(), format!("r{word}")]);
    let superblock = SUPERBLOCK.iter().flat_map(|(set, clear, ..)| [*set, *clear]);
    let mut all: Vec<String> = both.chain(superblock.chain(OTHERS).map(str::to_owned)).collect();
    all.sort();
    all
}

/// Words and the bits that they set and clear.
const ATTRIBUTES: &[(&str, u64, u64)] = &[
    ("ro", attr::RDONLY, 0),
    ("rw", 0, attr::RDONLY),
    ("nosuid", attr::NOSUID, 0),
    ("suid", 0, attr::NOSUID),
    ("nodev", attr::NODEV, 0),
    ("dev", 0, attr::NODEV),
    ("noexec", attr::NOEXEC, 0),
    ("exec", 0, attr::NOEXEC),
    ("nosymfollow", attr::NOSYMFOLLOW, 0),
    ("symfollow", 0, attr::NOSYMFOLLOW),
    ("nodiratime", attr::NODIRATIME, 0),
    ("diratime", 0, attr::NODIRATIME),
    ("relatime", attr::RELATIME, attr::ATIME_MASK),
    ("noatime", attr::NOATIME, attr::ATIME_MASK),
    ("atime", attr::RELATIME, attr::ATIME_MASK),
    ("strictatime", attr::STRICTATIME, attr::ATIME_MASK),
    ("nostrictatime", attr::RELATIME, attr::ATIME_MASK),
];

fn apply_attribute(word: &str, attributes: &mut MountAttributes) -> bool {
    if let Some((_, set, clear)) = ATTRIBUTES.iter().find(|(known, ..)| *known == word) {
        attributes.set = (attributes.set & !clear) | set;
        attributes.clear = (attributes.clear & !set) | clear;
        return true;
    }
    // `relatime` has an r of its own and was found above.
    let Some(bare) = word.strip_prefix('r') else { return false };
    let Some((_, set, clear)) = ATTRIBUTES.iter().find(|(known, ..)| *known == bare) else { return false };
    attributes.recursive_set = (attributes.recursive_set & !clear) | set;
    attributes.recursive_clear = (attributes.recursive_clear & !set) | clear;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Parsed {
        parse(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn every_name_is_understood() {
        for name in names() {
            let parsed = parse(std::slice::from_ref(&name));
            let own = SUPERBLOCK.iter().any(|(set, ..)| *set == name);
            assert!(own || parsed.parameters.is_empty(), "{name} would go to the filesystem");
        }
        assert!(names().contains(&"rro".to_owned()));
    }

    #[test]
    fn attributes_and_parameters_are_told_apart() {
        let parsed = options(&["rbind", "ro", "nosuid", "rslave", "size=64m", "huge"]);
        assert_eq!(parsed.bind, Some(true));
        assert_eq!(parsed.attributes.set, attr::RDONLY | attr::NOSUID);
        assert_eq!(parsed.propagation, Some((Propagation::Slave, true)));
        assert_eq!(parsed.parameters, [("size".into(), Some("64m".into())), ("huge".into(), None)]);
    }

    #[test]
    fn the_last_of_opposites_wins() {
        assert_eq!(options(&["ro", "rw"]).attributes.set, 0);
        assert_eq!(options(&["ro", "rw"]).attributes.clear, attr::RDONLY);
        assert_eq!(options(&["rw", "ro"]).attributes.set, attr::RDONLY);
    }

    #[test]
    fn flags_of_the_superblock_are_the_kernels_words() {
        let parsed = options(&["sync", "acl", "mand", "async", "silent", "norelatime", "nomand", "noacl"]);
        assert!(parsed.parameters.is_empty() && parsed.attributes == MountAttributes::default());
        assert_eq!(options(&["acl"]).parameters, [("posixacl".into(), None)]);
        assert_eq!(superblock_flag("posixacl"), Some(POSIX_ACL));
        assert_eq!(superblock_flag("size"), None);
    }

    #[test]
    fn every_option_of_the_specification_is_known() {
        let bare = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime \
            nodev nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow \
            private rbind relatime remount ro rprivate rshared rslave runbindable rw shared silent slave \
            strictatime suid symfollow sync unbindable acl noacl tmpcopyup idmap ridmap rro rrw rnosuid rsuid \
            rnodev rdev rnoexec rexec rnodiratime rdiratime rrelatime rnorelatime rnoatime ratime rstrictatime \
            rnostrictatime rsymfollow rnosymfollow copy-symlink src-nofollow dest-nofollow";
        for word in bare.split_whitespace() {
            let left = options(&[word]).parameters;
            assert!(left.iter().all(|(key, _)| superblock_flag(key).is_some()), "{word}: {left:?}");
        }
    }

    #[test]
    fn recursive_forms_have_their_own_bits() {
        let parsed = options(&["rro", "rnosuid", "relatime"]);
        assert_eq!(parsed.attributes.recursive_set, attr::RDONLY | attr::NOSUID);
        assert_eq!(parsed.attributes.set, 0);
        assert_eq!(options(&["rbind"]).bind, Some(true));
        assert_eq!(options(&["bind"]).bind, Some(false));
    }
}
