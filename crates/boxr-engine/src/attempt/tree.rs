//! The tree of a try, laid by the first process in its own mount namespace.
//!
//! The host's tree stays below what is made here until it is left for good (pivot_root(2)), so that paths from the
//! root still lead into it, and descriptors into the new one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use boxr_image::rootfs::Overlay;
use boxr_image::unpack::Form;
use boxr_runtime::error::{Step, StepError};
use boxr_runtime::plan::MakeTree;
use boxr_sys::mount::{Change, attr, set_attributes};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::Attempt;
use super::parts::{Part, Piece};

/// Nothing in the changes may refer to anything but themselves: they are read without overlayfs. Without `volatile` the end
/// of each overlay would write the whole filesystem to the disk that its changes are on, which can take seconds; whoever
/// keeps a try does so, and apply before it begins.
const OPTIONS: [(&str, Option<&str>); 4] = [
    ("redirect_dir", Some("nofollow")),
    ("index", Some("off")),
    ("metacopy", Some("off")),
    ("volatile", None),
];

/// Makes the tree of a try.
#[derive(Debug)]
pub(super) struct Tree {
    attempt: Attempt,
}

impl Tree {
    pub fn new(attempt: Attempt) -> Self {
        Self { attempt }
    }
}

impl MakeTree for Tree {
    fn make(&self, _shifted_by: Option<BorrowedFd<'_>>) -> Result<OwnedFd, StepError> {
        let data = open_dir(CWD, &self.attempt.data).map_err(|errno| failed(&self.attempt.data, errno))?;
        let form = Form::of(data.as_fd()).map_err(|errno| failed(&self.attempt.data, errno))?;
        let mut builder = Builder { data, form, root: None };
        for piece in &self.attempt.pieces {
            builder.add(piece)?;
        }
        let Builder { data, root, .. } = builder;
        let root = root.ok_or_else(|| failed(Path::new("/"), Errno::NOENT))?;
        for hidden in &self.attempt.hidden {
            hide(root.as_fd(), data.as_fd(), hidden).map_err(|errno| failed(hidden, errno))?;
        }
        if matches!(self.attempt.pieces.first(), Some(Piece { part: Part::Frame { .. }, .. })) {
            make_read_only(root.as_fd(), false).map_err(|errno| failed(Path::new("/"), errno))?;
        }
        Ok(root)
    }
}

fn failed(path: &Path, errno: Errno) -> StepError {
    StepError::new(Step::RootTree, format!("a try: {}", path.display()), errno)
}

struct Builder {
    data: OwnedFd,
    form: Form,
    root: Option<OwnedFd>,
}

impl Builder {
    fn add(&mut self, piece: &Piece) -> Result<(), StepError> {
        let failed = |errno| failed(&piece.path, errno);
        let relative = piece.path.strip_prefix("/").unwrap_or(&piece.path);
        let Some(root) = &self.root else {
            let root = self.first(piece)?;
            move_mount(&root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(failed)?;
            self.root = Some(root);
            return Ok(());
        };
        match &piece.part {
            Part::Frame { mode } => make_directory(root.as_fd(), relative, *mode).map_err(failed),
            Part::Link { target } => symlinkat(target, root, relative).map_err(failed),
            part => {
                if piece.place {
                    make_place(root.as_fd(), relative, part).map_err(failed)?;
                }
                let mount = match self.mount(piece) {
                    // It has gone since the tree was looked at.
                    Err(StepError { errno: Errno::NOENT | Errno::NOTDIR, .. }) => return Ok(()),
                    mount => mount?,
                };
                attach(mount.as_fd(), root.as_fd(), relative).map_err(failed)
            }
        }
    }

    /// What becomes `/`.
    fn first(&self, piece: &Piece) -> Result<OwnedFd, StepError> {
        match &piece.part {
            Part::Overlay { number, .. } => self.overlay(*number, piece).map_err(|(what, errno)| {
                StepError::new(Step::RootTree, format!("a try (overlayfs cannot {what})"), errno)
            }),
            Part::Frame { mode } => memory(*mode).map_err(|errno| failed(&piece.path, errno)),
            part => self.bound(&piece.path, part).map_err(|errno| failed(&piece.path, errno)),
        }
    }

    fn mount(&self, piece: &Piece) -> Result<OwnedFd, StepError> {
        let failed = |errno| failed(&piece.path, errno);
        let Part::Overlay { number, .. } = &piece.part else {
            return self.bound(&piece.path, &piece.part).map_err(failed);
        };
        match self.overlay(*number, piece) {
            Ok(mount) => Ok(mount),
            Err((what, errno)) => {
                // A filesystem that overlayfs does not take can be looked at.
                self.note(*number, &format!("overlayfs cannot {what}: {errno}")).map_err(failed)?;
                let recursive = self.form == Form::User;
                let part = Part::Bind { recursive, read_only: true, directory: true };
                self.bound(&piece.path, &part).map_err(failed)
            }
        }
    }

    fn overlay(&self, number: u32, piece: &Piece) -> Result<OwnedFd, (&'static str, Errno)> {
        let changes = open_dir(&self.data, Path::new(&number.to_string()))
            .map_err(|errno| ("find its changes", errno))?;
        let lower = match piece.is_framed() {
            true => open_dir(&changes, Path::new("frame")),
            false => open_dir(CWD, &piece.path),
        };
        let lower = lower.map_err(|errno| ("be laid upon it", errno))?;
        let layers = [lower];
        let overlay = Overlay {
            empty: changes.as_fd(),
            layers: &layers,
            changes: Some(changes.as_fd()),
            data: None,
            form: self.form,
            shifted_by: None,
            options: &OPTIONS,
        };
        overlay.mount().map_err(|error| (error.action, error.errno))
    }

    fn note(&self, number: u32, why: &str) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat(&self.data, format!("{number}/refused"), flags, Mode::from_raw_mode(0o600))?;
        rustix::io::write(file, why.as_bytes()).map(drop)
    }

    fn bound(&self, path: &Path, part: &Part) -> Result<OwnedFd, Errno> {
        let Part::Bind { recursive, read_only, .. } = *part else { return Err(Errno::INVAL) };
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_SYMLINK_NOFOLLOW
            | OpenTreeFlags::AT_NO_AUTOMOUNT;
        flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
        let tree = open_tree(CWD, path, flags)?;
        if read_only {
            make_read_only(tree.as_fd(), recursive)?;
        }
        Ok(tree)
    }
}

fn make_read_only(mount: BorrowedFd<'_>, recursive: bool) -> Result<(), Errno> {
    let change = Change { set: attr::RDONLY, ..Change::default() };
    set_attributes(mount, c"", recursive, &change)
}

/// A filesystem in memory, mounted nowhere yet.
fn memory(mode: u32) -> Result<OwnedFd, Errno> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "mode", format!("{mode:o}"))?;
    fsconfig_set_string(&fs, "size", "4m")?;
    fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn make_directory(root: BorrowedFd<'_>, path: &Path, mode: u32) -> Result<(), Errno> {
    mkdirat(root, path, Mode::from_raw_mode(0o755))?;
    let made = beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    rustix::fs::fchmod(&made, Mode::from_raw_mode(mode))
}

/// A place to mount on.
fn make_place(root: BorrowedFd<'_>, path: &Path, part: &Part) -> Result<(), Errno> {
    match part {
        Part::Bind { directory: false, .. } => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(root, path, flags, Mode::from_raw_mode(0o444)).map(drop)
        }
        _ => mkdirat(root, path, Mode::from_raw_mode(0o755)),
    }
}

fn beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    // openat2(2) resolves no empty path.
    let path = if path.as_os_str().as_bytes().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn attach(mount: BorrowedFd<'_>, root: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
    let target = beneath(root, path, OFlags::PATH)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", &target, c"", flags)
}

/// Puts an empty directory in the place of one of boxr's.
fn hide(root: BorrowedFd<'_>, data: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let empty = open_tree(data, c"empty", flags)?;
    make_read_only(empty.as_fd(), false)?;
    attach(empty.as_fd(), root, relative)
}

fn open_dir(at: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}
