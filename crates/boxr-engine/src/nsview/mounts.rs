//! Namespaces that a bind mount keeps: `ip netns`, `unshare --net=FILE` and engines make such.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use boxr_sys::namespace::NamespaceKind;
use rustix::io::Errno;

/// A namespace that is mounted on a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceMount {
    /// Its kind.
    pub kind: NamespaceKind,
    /// Its number.
    pub inode: u64,
    /// The file.
    pub path: PathBuf,
}

/// The namespaces that are mounted in the caller's mount namespace.
///
/// # Errors
/// When /proc/self/mountinfo cannot be read.
pub fn namespace_mounts() -> Result<Vec<NamespaceMount>, Errno> {
    let text = std::fs::read("/proc/self/mountinfo").map_err(|error| errno_of(&error))?;
    Ok(text.split(|&byte| byte == b'\n').filter_map(parse).collect())
}

/// The errno in an error of the standard library.
pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// A line of proc_pid_mountinfo(5), if it is of nsfs: the fourth field is `net:[4026532281]`, the
/// fifth the file; the type follows a lone `-`.
fn parse(line: &[u8]) -> Option<NamespaceMount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    fields.find(|field| *field == b"-")?;
    if fields.next()? != b"nsfs" {
        return None;
    }
    let (kind, inode) = parse_link(std::str::from_utf8(root).ok()?)?;
    Some(NamespaceMount { kind, inode, path: PathBuf::from(OsString::from_vec(unescape(point))) })
}

/// Kind and number in the text of a link such as `net:[4026531840]`.
pub(crate) fn parse_link(text: &str) -> Option<(NamespaceKind, u64)> {
    let (word, rest) = text.split_once(":[")?;
    let kind = NamespaceKind::ALL.into_iter().find(|kind| kind.proc_name() == word)?;
    Some((kind, rest.strip_suffix(']')?.parse().ok()?))
}

/// Undoes the octal escapes (`\040`) of mountinfo.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match digits {
            Some(digits) if first == b'\\' => {
                plain.push(digits.iter().fold(0u8, |sum, digit| (sum << 3) | (digit - b'0')));
                rest = &tail[3..];
            }
            _ => {
                plain.push(first);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn mounts_of_nsfs_are_found() {
        let line = b"310 25 0:4 net:[4026532281] /run/netns/a\\040b rw shared:7 master:1 - nsfs nsfs rw";
        let mount = parse(line).unwrap();
        assert_eq!((mount.kind, mount.inode), (NamespaceKind::Network, 4_026_532_281));
        assert_eq!(mount.path, Path::new("/run/netns/a b"));
    }

    #[test]
    fn other_lines_are_not() {
        assert_eq!(parse(b"22 1 254:0 / / rw - ext4 /dev/root rw"), None);
        assert_eq!(parse(b"22 1 0:4 net:[x] /a rw - nsfs nsfs rw"), None);
        assert_eq!(parse(b"22 1 254:0 /net:[1] /nsfs rw - ext4 nsfs rw"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn links_of_namespaces_are_understood() {
        assert_eq!(parse_link("mnt:[12]"), Some((NamespaceKind::Mount, 12)));
        for other in ["mount:[12]", "mnt:[]", "mnt:12", "socket:[12]", "pid_for_children:[1]"] {
            assert_eq!(parse_link(other), None, "{other}");
        }
    }

    #[test]
    fn escapes_are_undone_bytewise() {
        assert_eq!(unescape(b"a\\134b\\011\\04"), b"a\\b\t\\04");
        assert_eq!(unescape("\\040\u{e9}".as_bytes()), " \u{e9}".as_bytes());
    }
}
