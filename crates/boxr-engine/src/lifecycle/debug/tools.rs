//! What a debugging command has at hand.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use boxr_image::rootfs::Overlay;
use boxr_image::store::Store as Images;
use boxr_image::unpack::Form;
use boxr_sys::mount::{Change, attr, set_attributes};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, mkdirat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

use crate::image::Image;

/// The most that is changed or copied, in the words of tmpfs(5).
const SIZE: &str = "256m";
const MODE: Mode = Mode::from_raw_mode(0o755);

/// Where the tools come from.
#[derive(Debug)]
pub enum Tools {
    /// An image, in the store at this path.
    Image {
        /// It.
        image: Box<Image>,
        /// The store.
        images: PathBuf,
    },
    /// A static busybox of the host's, which is copied.
    Busybox {
        /// It, open.
        program: File,
        /// What it can be called.
        applets: Vec<String>,
    },
}

impl Tools {
    /// The host's busybox, if it has one that needs no libraries: such as are not there in other roots.
    pub fn of_host() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found =
            std::env::split_paths(&path).map(|dir| dir.join("busybox")).find(|path| is_static(path))?;
        let listed = Command::new(&found).arg("--list").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8(listed.stdout).ok()?;
        let is_name = |name: &&str| !name.is_empty() && !name.contains('/') && *name != "busybox";
        let applets = text.lines().filter(is_name).map(str::to_owned).collect();
        Some(Self::Busybox { program: File::open(found).ok()?, applets })
    }

    /// What is run when nothing is said.
    pub(super) fn command(&self) -> Vec<String> {
        let of_image = match self {
            Self::Image { image, .. } => [image.config.entrypoint.clone(), image.config.cmd.clone()].concat(),
            Self::Busybox { .. } => Vec::new(),
        };
        if of_image.is_empty() { vec!["/bin/sh".to_owned()] } else { of_image }
    }

    /// The container's environment, but for what says where its own programs and libraries are.
    pub(super) fn environment(&self, of_container: Vec<String>) -> Vec<String> {
        let is_its_own = |entry: &String| {
            let name = entry.split('=').next().unwrap_or_default();
            matches!(name, "PATH" | "HOME" | "SHELL" | "TERM") || name.starts_with("LD_")
        };
        let mut env: Vec<String> = of_container.into_iter().filter(|entry| !is_its_own(entry)).collect();
        let path = match self {
            Self::Image { image, .. } => image.config.env.iter().find(|entry| entry.starts_with("PATH=")),
            Self::Busybox { .. } => None,
        };
        env.push(path.cloned().unwrap_or_else(|| super::PATH.to_owned()));
        env.push("HOME=/root".to_owned());
        env.extend(std::env::var("TERM").ok().map(|term| format!("TERM={term}")));
        env
    }

    /// A mount of them that is nowhere yet, whose root `owner` owns. An image's ids are shifted by the maps of `shifted_by`.
    pub(super) fn make(
        &self,
        shifted_by: Option<BorrowedFd<'_>>,
        owner: (u32, u32),
    ) -> Result<OwnedFd, String> {
        match self {
            Self::Image { image, images } => of_image(image, images, shifted_by, owner),
            Self::Busybox { program, applets } => {
                of_busybox(program, applets, owner).map_err(|errno| said("copy busybox", errno))
            }
        }
    }
}

fn said(doing: &str, errno: Errno) -> String {
    format!("cannot {doing}: {}", boxr_runtime::error::describe(errno))
}

/// The layers, and changes in memory.
fn of_image(
    image: &Image,
    images: &Path,
    shifted_by: Option<BorrowedFd<'_>>,
    owner: (u32, u32),
) -> Result<OwnedFd, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let images = Images::open(images).map_err(|error| text(&error))?;
    let layers: Result<Vec<OwnedFd>, _> =
        image.root.layers.iter().map(|layer| images.open_layer(layer)).collect();
    let layers = layers.map_err(|error| text(&error))?;
    let empty = images.empty_dir().map_err(|error| text(&error))?;
    let in_memory = |errno| said("keep changes in memory", errno);
    let mount = tmpfs().map_err(in_memory)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let changes = rustix::fs::openat(&mount, ".", flags, Mode::empty()).map_err(in_memory)?;
    let form = Form::of(changes.as_fd()).map_err(in_memory)?;
    let made = mkdirat(&changes, "work", MODE).and_then(|()| mkdirat(&changes, "upper", MODE));
    made.and_then(|()| give(changes.as_fd(), "upper", owner)).map_err(in_memory)?;
    let changes = Some(changes.as_fd());
    let overlay = Overlay {
        layers: &layers,
        empty: empty.as_fd(),
        changes,
        data: None,
        form,
        shifted_by,
        options: &[],
    };
    let mount = overlay.mount().map_err(|error| text(&error))?;
    let change = Change { set: attr::NODEV, ..Change::default() };
    set_attributes(mount.as_fd(), c"", false, &change).map_err(|errno| said("mount the tools", errno))?;
    Ok(mount)
}

/// A copy: what a container could reach of the command's program is not the host's.
fn of_busybox(program: &File, applets: &[String], owner: (u32, u32)) -> Result<OwnedFd, Errno> {
    let root = tmpfs()?;
    ["bin", "etc", "root"].into_iter().try_for_each(|name| mkdirat(&root, name, MODE))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut copy = File::from(rustix::fs::openat(&root, "bin/busybox", flags, MODE)?);
    let mut program = program;
    std::io::copy(&mut program, &mut copy)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    for name in applets {
        match rustix::fs::symlinkat("busybox", &root, format!("bin/{name}")) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    for (path, line) in [("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("etc/group", "root:x:0:\n")] {
        let file = rustix::fs::openat(&root, path, flags, Mode::from_raw_mode(0o644))?;
        rustix::io::write(&file, line.as_bytes())?;
    }
    for path in ["bin", "etc", "root", "."] {
        give(root.as_fd(), path, owner)?;
    }
    Ok(root)
}

fn give(dir: BorrowedFd<'_>, path: &str, (uid, gid): (u32, u32)) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    chownat(dir, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// A filesystem in memory that is mounted nowhere.
pub(super) fn tmpfs() -> Result<OwnedFd, Errno> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [("source", "boxr"), ("size", SIZE), ("mode", "755")] {
        fsconfig_set_string(&fs, key, value)?;
    }
    fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Whether a program of this processor's needs no interpreter (elf(5), `PT_INTERP`).
fn is_static(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let Ok(file) = rustix::fs::openat(CWD, path.as_os_str(), flags, Mode::empty()) else { return false };
    let mut head = Vec::new();
    if File::from(file).take(4096).read_to_end(&mut head).is_err() {
        return false;
    }
    interpreter_of(&head) == Some(false)
}

/// Whether the file that begins so names an interpreter; `None` for what is no program of 64 bits, little end first.
fn interpreter_of(head: &[u8]) -> Option<bool> {
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let short =
        |at: usize| head.get(at..at + 2).map(|bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
    let table = usize::try_from(u64::from_le_bytes(head.get(32..40)?.try_into().ok()?)).ok()?;
    let (size, count) = (short(54)?, short(56)?);
    for entry in 0..count {
        let at = entry.checked_mul(size)?.checked_add(table)?;
        let kind = u32::from_le_bytes(head.get(at..at.checked_add(4)?)?.try_into().ok()?);
        if kind == 3 {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_an_interpreter_is_told_from_one_without() {
        let mut head = vec![0u8; 64 + 2 * 56];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[32] = 64;
        head[54] = 56;
        head[56] = 2;
        head[64] = 1;
        assert_eq!(interpreter_of(&head), Some(false));
        head[64 + 56] = 3;
        assert_eq!(interpreter_of(&head), Some(true));
        assert_eq!(interpreter_of(&head[..100]), None);
        assert_eq!(interpreter_of(b"#!/bin/sh\n"), None);
    }

    #[test]
    fn the_containers_environment_does_not_lead_to_its_programs() {
        let tools = Tools::Busybox { program: File::open("/dev/null").unwrap(), applets: Vec::new() };
        let env = ["A=1", "PATH=/app", "LD_PRELOAD=/evil.so", "HOME=/app"].map(str::to_owned).to_vec();
        let env = tools.environment(env);
        assert!(env.contains(&"A=1".to_owned()) && env.contains(&"HOME=/root".to_owned()), "{env:?}");
        assert!(!env.iter().any(|entry| entry.contains("/app") || entry.contains("evil")), "{env:?}");
        assert_eq!(tools.command(), ["/bin/sh"]);
    }
}
