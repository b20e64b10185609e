//! Other ways to a directory: the same filesystem mounted in several places, as btrfs and ostree have it, or a bind mount.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use boxr_runtime::plan::holds;

use crate::nsview::mounts::unescape;

const TABLE: &str = "/proc/self/mountinfo";

/// A mount, as far as it matters here (proc_pid_mountinfo(5)).
struct Mount {
    /// Device of the filesystem.
    device: Vec<u8>,
    /// What of the filesystem is mounted.
    root: PathBuf,
    /// Where.
    place: PathBuf,
}

/// All mounts.
pub(super) struct Aliases(Vec<Mount>);

impl Aliases {
    /// Those of this process's namespace.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read() -> std::io::Result<Self> {
        let text = std::fs::read(TABLE)?;
        Ok(Self(text.split(|byte| *byte == b'\n').filter_map(parse).collect()))
    }

    /// Paths besides `path` itself, which is without links, that lead to it now.
    pub fn of(&self, path: &Path) -> Vec<PathBuf> {
        let mut aliases = named(&self.0, path);
        if !aliases.is_empty() {
            let found = std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino())).ok();
            aliases.retain(|alias| {
                let other = std::fs::symlink_metadata(alias).map(|other| (other.dev(), other.ino()));
                found.is_some() && other.ok() == found
            });
        }
        aliases
    }
}

fn named(mounts: &[Mount], directory: &Path) -> Vec<PathBuf> {
    // Of several at one place the last is on top.
    let around = mounts.iter().enumerate().filter(|(_, mount)| holds(&mount.place, directory));
    let Some((own, mount)) = around.max_by_key(|(_, mount)| mount.place.as_os_str().len()) else {
        return Vec::new();
    };
    let Ok(below) = directory.strip_prefix(&mount.place) else { return Vec::new() };
    let inside = mount.root.join(below);
    let others =
        mounts.iter().enumerate().filter(|(index, other)| *index != own && other.device == mount.device);
    let aliases =
        others.filter_map(|(_, other)| Some(other.place.join(inside.strip_prefix(&other.root).ok()?)));
    let mut aliases: Vec<PathBuf> = aliases.filter(|path| path != directory).collect();
    aliases.sort();
    aliases.dedup();
    aliases
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    let path = |field: &[u8]| PathBuf::from(OsString::from_vec(unescape(field)));
    let device = fields.next()?.to_vec();
    Some(Mount { device, root: path(fields.next()?), place: path(fields.next()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_elsewhere_is_found_by_its_place_there() {
        let text = b"1 0 0:30 /@ / rw - btrfs d rw\n\
            2 1 0:30 /@home /home rw - btrfs d rw\n\
            3 1 0:30 / /mnt/all rw - btrfs d rw\n\
            4 1 0:31 / /mnt/other rw - ext4 e rw\n\
            5 1 0:30 /@home/u/work /srv/my\\040work rw - btrfs d rw\n\
            6 1 0:30 /@home/u /var/u rw - btrfs d rw\n";
        let parsed = |text: &[u8]| text.split(|byte| *byte == b'\n').filter_map(parse).collect::<Vec<_>>();
        let named = |text: &[u8], path| named(&parsed(text), path);
        assert_eq!(
            named(&text[..], Path::new("/home/u")),
            [Path::new("/mnt/all/@home/u"), Path::new("/var/u")]
        );
        let work = [Path::new("/mnt/all/@home/u/work"), Path::new("/srv/my work"), Path::new("/var/u/work")];
        assert_eq!(named(text, Path::new("/home/u/work")), work);
        assert!(named(text, Path::new("/mnt/other/x")).is_empty() && named(b"", Path::new("/x")).is_empty());
    }
}
