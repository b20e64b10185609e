//! How the host's tree is divided: by its mounts, and for who is not root also by directories.
//!
//! Root lays one overlay upon each mounted filesystem. The kernel lets an ordinary user lay one only upon a directory
//! beneath which nothing is mounted, as the mounts of a mount namespace that another user made are locked to each other
//! (mount_namespaces(7)): [`frame`] makes directories that lead to mounts anew, with a place for each thing in them.
//!
//! What shows the kernel rather than files (/proc, /sys, /dev and filesystems like them) is there as in a box.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use boxr_runtime::capabilities;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;

use super::parts::{Part, Piece, Place};
use super::{Attempt, AttemptError, frame, places};
use crate::nsview::mounts::{errno_of, unescape};
use crate::store::BoxDir;

/// Filesystems that show the kernel, or that nothing can be laid upon.
const OF_KERNEL: [&str; 23] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "devtmpfs",
    "devpts",
    "mqueue",
    "debugfs",
    "tracefs",
    "securityfs",
    "configfs",
    "bpf",
    "pstore",
    "efivarfs",
    "hugetlbfs",
    "binfmt_misc",
    "fusectl",
    "nsfs",
    "rpc_pipefs",
    "autofs",
    "selinuxfs",
    "smackfs",
    "nfsd",
];

/// Directories of the kernel's, with all that is mounted beneath.
const AS_THEY_ARE: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A mount that can be seen.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub path: PathBuf,
    kind: String,
    read_only: bool,
    directory: bool,
}

/// Divides the host's tree, and makes the directories in which its changes are kept.
///
/// # Errors
/// The host's mounts cannot be read, or a directory cannot be made.
pub(super) fn lay_out(dir: &BoxDir, workdir: Option<&Path>) -> Result<Attempt, AttemptError> {
    let data = dir.data_path().ok().flatten().ok_or_else(|| AttemptError::File {
        action: "find",
        path: dir.path().join("data"),
        errno: Errno::NOENT,
    })?;
    // Root of a user namespace has mounts that are locked to each other, too.
    let privileged = capabilities::is_privileged().unwrap_or(false)
        && !capabilities::is_in_user_namespace().unwrap_or(true);
    let mut attempt = Attempt {
        started: crate::foreground::now(),
        hidden: places::own_directories(dir.paths()),
        data,
        ..Attempt::default()
    };
    let likely = if privileged { Vec::new() } else { places::likely(workdir) };
    let mut layout = Layout { attempt: &mut attempt, next: 0, mounts: mounts()?, likely: &likely };
    if privileged {
        layout.by_mounts()?;
    } else {
        frame::by_directories(&mut layout)?;
    }
    places::make(&mut attempt, &likely, privileged)?;
    Ok(attempt)
}

pub(super) struct Layout<'a> {
    pub attempt: &'a mut Attempt,
    next: u32,
    pub mounts: Vec<Mount>,
    /// Where the user is likely to write, without links.
    pub likely: &'a [PathBuf],
}

impl Layout<'_> {
    fn by_mounts(&mut self) -> Result<(), AttemptError> {
        for mount in std::mem::take(&mut self.mounts) {
            if is_beneath_kernels(&mount.path) {
                continue;
            }
            let part = match kept_as_is(&mount) {
                Some(part) => part,
                None => self.overlay(&mount.path, false)?,
            };
            self.push(mount.path.clone(), part, false, because(&mount));
        }
        Ok(())
    }

    pub fn overlay(&mut self, path: &Path, framed: bool) -> Result<Part, AttemptError> {
        let found = std::fs::symlink_metadata(path)
            .map_err(|error| AttemptError::file("look at", path)(errno_of(&error)))?;
        let number = self.next;
        self.next += 1;
        Ok(Part::Overlay { number, device: found.dev(), inode: found.ino(), framed })
    }

    pub fn push(&mut self, path: PathBuf, part: Part, place: bool, because: Option<String>) {
        self.attempt.pieces.push(Piece { path, part, place, because });
    }
}

/// How a mount is shown that needs no overlay.
pub(super) fn kept_as_is(mount: &Mount) -> Option<Part> {
    let kernels = OF_KERNEL.contains(&mount.kind.as_str()) || is_kernels(&mount.path);
    let directory = mount.directory;
    match (kernels, directory) {
        (true, _) => Some(Part::Bind { recursive: directory, read_only: false, directory }),
        (false, true) if mount.read_only => Some(Part::Bind { recursive: false, read_only: true, directory }),
        (false, false) => Some(Part::Bind { recursive: false, read_only: true, directory }),
        (false, true) => None,
    }
}

/// A file that something is mounted on cannot be changed in a try.
pub(super) fn because(mount: &Mount) -> Option<String> {
    let writable =
        || rustix::fs::accessat(CWD, &mount.path, rustix::fs::Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    let surprising =
        !mount.directory && !mount.read_only && !OF_KERNEL.contains(&mount.kind.as_str()) && writable();
    surprising.then(|| "a file that is mounted by itself".to_owned())
}

pub(super) fn is_kernels(path: &Path) -> bool {
    AS_THEY_ARE.iter().any(|of_kernel| path.starts_with(of_kernel))
}

/// Beneath one of those, and shown with it.
fn is_beneath_kernels(path: &Path) -> bool {
    is_kernels(path) && !AS_THEY_ARE.iter().any(|of_kernel| path == Path::new(of_kernel))
}

/// What is mounted in this namespace and can be reached, what holds others first.
fn mounts() -> Result<Vec<Mount>, AttemptError> {
    let table = "/proc/self/mountinfo";
    let text = std::fs::read(table).map_err(|error| AttemptError::file("read", table)(errno_of(&error)))?;
    let mut mounts: Vec<Mount> = text.split(|byte| *byte == b'\n').filter_map(parse).collect();
    // Paths of which one holds the other: the shorter first.
    mounts.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(mounts)
}

/// A line of proc_pid_mountinfo(5), if what it says can be reached by its path.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id: u64 = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let path = PathBuf::from(OsString::from_vec(unescape(fields.nth(3)?)));
    let options = fields.next()?;
    fields.find(|field| *field == b"-")?;
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    if is_beneath_kernels(&path) {
        // Comes with what it is beneath.
        return Some(Mount { path, kind, read_only: false, directory: true });
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let wanted = StatxFlags::MNT_ID | StatxFlags::TYPE;
    let directory = match statx(CWD, &path, flags, wanted) {
        Ok(found) if found.stx_mnt_id != id => return None,
        Ok(found) => u32::from(found.stx_mode) & 0o170_000 == 0o040_000,
        Err(Errno::NOENT | Errno::NOTDIR) => return None,
        // There, and not for this user: a filesystem of another's.
        Err(_) => true,
    };
    let read_only = options.split(|byte| *byte == b',').any(|option| option == b"ro");
    Some(Mount { path, kind, read_only, directory })
}

/// Whether a path can be kept in a record.
pub(super) fn is_text(path: &Path) -> bool {
    std::str::from_utf8(path.as_os_str().as_bytes()).is_ok()
}

impl Place {
    pub(super) fn new(number: u32, path: &Path, mode: u32) -> Self {
        Self { number, path: path.to_owned(), mode }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_the_kernel_is_left_alone() {
        for (path, whole, beneath) in
            [("/dev", true, false), ("/dev/shm", true, true), ("/device", false, false), ("/", false, false)]
        {
            assert_eq!((is_kernels(Path::new(path)), is_beneath_kernels(Path::new(path))), (whole, beneath));
        }
    }

    #[test]
    fn the_root_is_among_the_mounts_and_comes_first() {
        let mounts = mounts().unwrap();
        assert_eq!(mounts[0].path, Path::new("/"));
        assert!(mounts.iter().any(|mount| mount.path == Path::new("/proc") && mount.kind == "proc"));
    }

    #[test]
    fn files_that_are_mounts_are_read_only() {
        let mount = |directory, read_only, kind: &str| Mount {
            path: "/etc/hosts".into(),
            kind: kind.into(),
            read_only,
            directory,
        };
        assert!(matches!(kept_as_is(&mount(false, false, "ext4")), Some(Part::Bind { read_only: true, .. })));
        assert!(matches!(
            kept_as_is(&mount(false, false, "nsfs")),
            Some(Part::Bind { read_only: false, .. })
        ));
        assert!(kept_as_is(&mount(true, false, "ext4")).is_none());
    }
}
