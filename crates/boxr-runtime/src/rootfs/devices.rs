//! /dev of a container with a root of its own: nodes, links, and the console.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_sys::namespace::NamespaceKind;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Stat, Uid, chownat, fstat, makedev, mknodat, statat, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::beneath::{self, Shape};
use super::mounts::move_onto;
use super::scratch::Scratch;
use crate::error::{Step, StepError};
use crate::plan::{DeviceKind, DevicePlan, Plan};

/// Links of every container's /dev (runtime specification, "Default Devices", and /dev/fd).
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/proc/kcore", "/dev/core"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// Creates the nodes and links of `plan`; one without any has the host's /dev.
pub(super) fn create(root: BorrowedFd<'_>, plan: &Plan) -> Result<(), StepError> {
    if plan.devices.is_empty() {
        return Ok(());
    }
    // Without a umask no chmod(2) is needed, which would follow a link that somebody else has put
    // there meanwhile. One thread runs.
    let umask = rustix::process::umask(Mode::empty());
    // Root of a user namespace cannot make device nodes (mknod(2)).
    let shifted = plan.makes(NamespaceKind::User) || plan.joins(NamespaceKind::User);
    let mut maker = Maker { root, by_bind: shifted, parent: None };
    let result = plan.devices.iter().try_for_each(|device| {
        maker.device(device).map_err(|errno| StepError::new(Step::Device, device.path.display(), errno))
    });
    rustix::process::umask(umask);
    result?;
    maker.links()
}

/// Creates the links alone, in a /dev of the box's own whose nodes are bound there.
pub(super) fn links(root: BorrowedFd<'_>) -> Result<(), StepError> {
    Maker { root, by_bind: true, parent: None }.links()
}

struct Maker<'a> {
    root: BorrowedFd<'a>,
    by_bind: bool,
    /// The directory that was last worked in: most are /dev.
    parent: Option<(PathBuf, Scratch)>,
}

impl Maker<'_> {
    fn links(&mut self) -> Result<(), StepError> {
        LINKS.into_iter().try_for_each(|(target, link)| {
            self.link(target, Path::new(link)).map_err(|errno| StepError::new(Step::Device, link, errno))
        })
    }

    fn device(&mut self, device: &DevicePlan) -> Result<(), Errno> {
        if self.by_bind && device.kind != DeviceKind::Fifo {
            return self.bind_from_host(device);
        }
        match self.make_node(device) {
            // Also who is root of the first user namespace may lack CAP_MKNOD.
            Err(Errno::PERM) if device.kind != DeviceKind::Fifo => {
                self.by_bind = true;
                self.bind_from_host(device)
            }
            other => other,
        }
    }

    fn make_node(&mut self, device: &DevicePlan) -> Result<(), Errno> {
        let (parent, name) = self.parent(&device.path)?;
        let number = match device.kind {
            DeviceKind::Fifo => 0,
            _ => makedev(device.major, device.minor),
        };
        match mknodat(parent, name, file_type(device.kind), Mode::from_raw_mode(device.mode), number) {
            Err(Errno::EXIST) => {
                // Never another file in its place: the container would believe it to be the device.
                let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                return if is(&found, device) { Ok(()) } else { Err(Errno::EXIST) };
            }
            other => other?,
        }
        if (device.uid, device.gid) == (0, 0) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn bind_from_host(&mut self, device: &DevicePlan) -> Result<(), Errno> {
        let source = open_of_host(device)?;
        let target = beneath::open_or_create(self.root, &device.path, Shape::File)?;
        let found = fstat(&target)?;
        if matches!(FileType::from_raw_mode(found.st_mode), FileType::CharacterDevice | FileType::BlockDevice)
        {
            return if is(&found, device) { Ok(()) } else { Err(Errno::EXIST) };
        }
        move_onto(source.as_fd(), target.as_fd())
    }

    fn link(&mut self, target: &str, link: &Path) -> Result<(), Errno> {
        let (parent, name) = self.parent(link)?;
        match symlinkat(target, parent, name) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    fn parent<'p>(&mut self, path: &'p Path) -> Result<(BorrowedFd<'_>, &'p std::ffi::OsStr), Errno> {
        let (dir, name) = path.parent().zip(path.file_name()).ok_or(Errno::INVAL)?;
        if self.parent.as_ref().is_none_or(|(known, _)| known != dir) {
            let opened = beneath::open_or_create(self.root, dir, Shape::Directory)?;
            self.parent = Some((dir.to_owned(), opened.into()));
        }
        self.parent.as_ref().map(|(_, fd)| (fd.as_fd(), name)).ok_or(Errno::IO)
    }
}

fn file_type(kind: DeviceKind) -> FileType {
    match kind {
        DeviceKind::Character => FileType::CharacterDevice,
        DeviceKind::Block => FileType::BlockDevice,
        DeviceKind::Fifo => FileType::Fifo,
    }
}

fn is(stat: &Stat, device: &DevicePlan) -> bool {
    FileType::from_raw_mode(stat.st_mode) == file_type(device.kind)
        && (device.kind == DeviceKind::Fifo || stat.st_rdev == makedev(device.major, device.minor))
}

/// The host's node: at the same path, or where the kernel says that this device's is.
fn open_of_host(device: &DevicePlan) -> Result<OwnedFd, Errno> {
    let open = |path: &Path| {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let node = open_tree(CWD, path, flags)?;
        if is(&fstat(&node)?, device) { Ok(node) } else { Err(Errno::NODEV) }
    };
    match open(&device.path) {
        Err(Errno::NOENT | Errno::NODEV | Errno::NOTDIR) => {
            open(&path_by_number(device).ok_or(Errno::NODEV)?)
        }
        other => other,
    }
}

/// From sysfs, `DEVNAME` of the device's event.
fn path_by_number(device: &DevicePlan) -> Option<PathBuf> {
    let kind = if device.kind == DeviceKind::Block { "block" } else { "char" };
    let event = format!("/sys/dev/{kind}/{}:{}/uevent", device.major, device.minor);
    let text = std::fs::read_to_string(event).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(Path::new("/dev").join(name))
}
