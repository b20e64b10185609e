//! Other ways to a directory: the same filesystem mounted in several places, as btrfs and ostree have it, or a bind mount.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use boxr_runtime::plan::holds;
use rustix::io::Errno;

use crate::nsview::mounts::unescape;

const TABLE: &str = "/proc/self/mountinfo";

/// A mount, as far as it matters here (proc_pid_mountinfo(5)).
struct Mount<'t> {
    /// Device of the filesystem.
    device: &'t [u8],
    /// What of the filesystem is mounted.
    root: Cow<'t, [u8]>,
    /// Where.
    place: Cow<'t, [u8]>,
}

impl Mount<'_> {
    fn root(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.root))
    }

    fn place(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.place))
    }
}

/// The text of the table of mounts.
pub(super) struct Table(Vec<u8>);

/// All mounts in it.
pub(super) struct Aliases<'t>(Vec<Mount<'t>>);

impl Table {
    /// That of this process's namespace.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read() -> Result<Self, Errno> {
        boxr_sys::file::read_table(TABLE).map(Self)
    }

    /// What it says.
    pub fn mounts(&self) -> Aliases<'_> {
        Aliases(self.0.split(|byte| *byte == b'\n').filter_map(parse).collect())
    }
}

impl Aliases<'_> {
    /// Paths besides `path` itself, which is without links, that lead to it now.
    pub fn of(&self, path: &Path) -> Vec<PathBuf> {
        let mut aliases = self.named(path);
        if !aliases.is_empty() {
            let found = std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino())).ok();
            aliases.retain(|alias| {
                let other = std::fs::symlink_metadata(alias).map(|other| (other.dev(), other.ino()));
                found.is_some() && other.ok() == found
            });
        }
        aliases
    }

    fn named(&self, directory: &Path) -> Vec<PathBuf> {
        // Of several at one place the last is on top.
        let around = self.0.iter().enumerate().filter(|(_, mount)| holds(mount.place(), directory));
        let Some((own, mount)) = around.max_by_key(|(_, mount)| mount.place.len()) else {
            return Vec::new();
        };
        let is_other = |(index, other): &(usize, &Mount<'_>)| *index != own && other.device == mount.device;
        let mut others = self.0.iter().enumerate().filter(is_other).peekable();
        // So it is with most.
        if others.peek().is_none() {
            return Vec::new();
        }
        let Ok(below) = directory.strip_prefix(mount.place()) else { return Vec::new() };
        let inside = mount.root().join(below);
        let aliases =
            others.filter_map(|(_, other)| Some(other.place().join(inside.strip_prefix(other.root()).ok()?)));
        let mut aliases: Vec<PathBuf> = aliases.filter(|path| path != directory).collect();
        aliases.sort();
        aliases.dedup();
        aliases
    }
}

fn parse(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    Some(Mount { device: fields.next()?, root: plain(fields.next()?), place: plain(fields.next()?) })
}

fn plain(field: &[u8]) -> Cow<'_, [u8]> {
    if field.contains(&b'\\') { Cow::Owned(unescape(field)) } else { Cow::Borrowed(field) }
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
        let named = |text: &[u8], path: &str| Table(text.to_vec()).mounts().named(Path::new(path));
        assert_eq!(named(text, "/home/u"), [Path::new("/mnt/all/@home/u"), Path::new("/var/u")]);
        let work = [Path::new("/mnt/all/@home/u/work"), Path::new("/srv/my work"), Path::new("/var/u/work")];
        assert_eq!(named(text, "/home/u/work"), work);
        assert!(named(text, "/mnt/other/x").is_empty() && named(b"", "/x").is_empty());
    }
}
