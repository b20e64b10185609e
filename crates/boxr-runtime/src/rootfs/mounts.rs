//! One mount: a detached tree from its source, its attributes, attached to its target.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use boxr_sys::mount::{Change, attr, set_attributes};
use boxr_sys::namespace::NamespaceKind;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsPickFlags, MoveMountFlags, OpenTreeFlags, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string,
    fspick, move_mount, open_tree,
};

use super::beneath::{self, Shape};
use super::filesystem::{self, Made, Parameter, Wanted};
use super::scratch::Scratch;
use super::target::{self, MissingTarget};
use super::{cgroups, copy};
use crate::error::{At, Step, StepError};
use crate::plan::{Cover, MountAttributes, MountPlan, MountSource, Plan};

/// The tree that mounts are attached to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree<'a> {
    pub plan: &'a Plan,
    pub root: BorrowedFd<'a>,
    pub missing: MissingTarget<'a>,
}

/// A detached copy of the tree that a bind mount names.
pub(super) fn clone_source(mount: &MountPlan) -> Result<OwnedFd, StepError> {
    let MountSource::Bind { path, below, recursive, links, .. } = &mount.source else {
        return Err(StepError::new(Step::MountSource, mount.destination.display(), Errno::INVAL));
    };
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if *recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if links.mount_source {
        flags |= OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    }
    if let Some(below) = below {
        return clone_below(path, below, flags).at(Step::MountSource, path.join(below).display());
    }
    if mount.no_links {
        return clone_without_links(path, flags).at(Step::MountSource, path.display());
    }
    open_tree(CWD, path, flags).at(Step::MountSource, path.display())
}

/// What is below a directory, whose links do not lead out of it: others may have made them.
fn clone_below(path: &Path, below: &Path, flags: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    let found = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = Scratch::from(rustix::fs::open(path, found, Mode::empty())?);
    let found = Scratch::from(beneath::open(root.as_fd(), below, OFlags::PATH)?);
    open_tree(found.as_fd(), c"", flags | OpenTreeFlags::AT_EMPTY_PATH)
}

/// `ELOOP` for a link anywhere in `path`.
fn clone_without_links(path: &Path, flags: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    let (found, no_links) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::NO_SYMLINKS);
    let found = Scratch::from(openat2(CWD, path, found, Mode::empty(), no_links)?);
    open_tree(found.as_fd(), c"", flags | OpenTreeFlags::AT_EMPTY_PATH)
}

/// Carries `mount` out. `ahead` is its source, where that was opened before. Returns the new instance of a filesystem.
pub(super) fn make(
    tree: Tree<'_>,
    mount: &MountPlan,
    ahead: Option<BorrowedFd<'_>>,
) -> Result<Option<Scratch>, StepError> {
    match &mount.source {
        MountSource::Bind { path, links, .. } => {
            if links.copy && copy::link(tree.root, path, &mount.destination)? {
                return Ok(None);
            }
            match ahead {
                Some(source) => bind(tree.root, tree.missing, mount, source)?,
                None => bind(tree.root, tree.missing, mount, Scratch::from(clone_source(mount)?).as_fd())?,
            }
        }
        MountSource::Tree { of, .. } => {
            let made = ahead.ok_or_else(|| StepError::new(Step::MountSource, of, Errno::NOENT))?;
            bind(tree.root, tree.missing, mount, made)?;
        }
        MountSource::Filesystem { .. } => return mount_new(tree, mount),
        MountSource::Cgroups => cgroups::mount(tree, mount)?,
        MountSource::Remount { parameters } => remount(tree, mount, parameters)?,
    }
    Ok(None)
}

/// Mounts what is mounted elsewhere as `first` here as well, with the attributes that it has there.
pub(super) fn repeat(tree: Tree<'_>, mount: &MountPlan, first: BorrowedFd<'_>) -> Result<(), StepError> {
    let place = mount.destination.display();
    let shape = match &mount.source {
        MountSource::Filesystem { .. } => Shape::Directory,
        _ => shape_of(first).at(Step::MountTarget, &place)?,
    };
    let target = target::open(tree.root, mount, shape, tree.missing).at(Step::MountTarget, &place)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let copy = open_tree(first, c"", flags | OpenTreeFlags::AT_EMPTY_PATH).at(Step::Mount, &place)?;
    move_onto(Scratch::from(copy).as_fd(), target.fd.as_fd()).at(Step::Mount, &place)
}

/// Attaches the detached tree `source` beneath `root`.
pub(super) fn bind(
    root: BorrowedFd<'_>,
    missing: MissingTarget<'_>,
    mount: &MountPlan,
    source: BorrowedFd<'_>,
) -> Result<(), StepError> {
    let place = mount.destination.display();
    let shape = shape_of(source).at(Step::MountTarget, &place)?;
    if let (Cover::Fill { owners }, Shape::Directory) = (mount.cover, shape) {
        let target = target::open(root, mount, shape, missing).at(Step::MountTarget, &place)?;
        copy::fill(target.fd.as_fd(), source, owners).at(Step::CopyUp, &place)?;
    }
    set_options(source, mount)?;
    let target = target::open(root, mount, shape, missing).at(Step::MountTarget, &place)?;
    move_onto(source, target.fd.as_fd()).at(Step::Mount, &place)
}

fn mount_new(tree: Tree<'_>, mount: &MountPlan) -> Result<Option<Scratch>, StepError> {
    let place = mount.destination.display();
    let target =
        target::open(tree.root, mount, Shape::Directory, tree.missing).at(Step::MountTarget, &place)?;
    let MountSource::Filesystem { kind, source, parameters, inode_versions } = &mount.source else {
        return Err(StepError::new(Step::Mount, place, Errno::INVAL));
    };
    let mode = match kind.as_str() {
        "tmpfs" if target.existed => mode_of(target.fd.as_fd(), parameters).at(Step::Mount, &place)?,
        _ => None,
    };
    let with_mode: Vec<Parameter>;
    let parameters = match mode {
        Some(mode) => {
            with_mode = parameters.iter().cloned().chain([mode]).collect();
            &with_mode
        }
        None => parameters,
    };
    let wanted = Wanted {
        kind,
        source,
        parameters,
        inode_versions: *inode_versions,
        read_only: (mount.attributes.set | mount.attributes.recursive_set) & attr::RDONLY != 0,
        attributes: at_once(mount),
    };
    let made = match create(&wanted) {
        Err(refusal) if refusal.errno == Errno::PERM => match of_host(kind, tree.plan) {
            Some(path) => return bind_of_host(tree, mount, path).map(|()| None),
            None => Err(refusal),
        },
        other => other,
    };
    let made = made.map_err(|refusal| {
        StepError::new(Step::Mount, format!("{place} ({})", refusal.what), refusal.errno)
    })?;
    if mount.cover == Cover::CopyUp {
        copy::up(target.fd.as_fd(), made.fd.as_fd()).at(Step::CopyUp, &place)?;
    }
    set_options_but(made.fd.as_fd(), mount, u64::from(made.attributes))?;
    move_onto(made.fd.as_fd(), target.fd.as_fd()).at(Step::Mount, place)?;
    Ok(Some(made.fd))
}

/// Attributes that a new instance may have from the beginning: it is not filled afterwards.
fn at_once(mount: &MountPlan) -> u32 {
    match mount.cover {
        Cover::CopyUp => 0,
        _ => u32::try_from(mount.attributes.set).unwrap_or(0),
    }
}

/// A devpts whose group is not mapped here is made without it: group 5 is a convention.
fn create(wanted: &Wanted<'_>) -> Result<Made, filesystem::Refusal> {
    match filesystem::create(wanted) {
        Err(refusal) if wanted.kind == "devpts" && refusal.errno == Errno::INVAL => {
            let without: Vec<Parameter> =
                wanted.parameters.iter().filter(|(key, _)| key != "gid").cloned().collect();
            if without.len() == wanted.parameters.len() {
                return Err(refusal);
            }
            filesystem::create(&Wanted { parameters: &without, ..*wanted })
        }
        other => other,
    }
}

/// A tmpfs whose mode is not said has that of the directory that it covers.
fn mode_of(target: BorrowedFd<'_>, parameters: &[Parameter]) -> Result<Option<Parameter>, Errno> {
    if parameters.iter().any(|(key, _)| key == "mode") {
        return Ok(None);
    }
    let mode = fstat(target)?.st_mode & 0o7777;
    Ok(Some(("mode".to_owned(), Some(format!("{mode:o}")))))
}

/// Who does not own the namespace that a filesystem shows may not make an instance; the host's then
/// shows the same.
fn of_host(kind: &str, plan: &Plan) -> Option<&'static Path> {
    let (path, shows) = match kind {
        "sysfs" => ("/sys", NamespaceKind::Network),
        "mqueue" => ("/dev/mqueue", NamespaceKind::Ipc),
        "proc" => ("/proc", NamespaceKind::Pid),
        _ => return None,
    };
    (!plan.makes(shows) && !plan.joins(shows) || kind == "sysfs").then_some(Path::new(path))
}

/// With all that is mounted below it: a user namespace cannot take a mount off that hides something.
fn bind_of_host(tree: Tree<'_>, mount: &MountPlan, path: &Path) -> Result<(), StepError> {
    let MountAttributes { set, recursive_set, .. } = mount.attributes;
    let attributes = MountAttributes { recursive_set: set | recursive_set, ..MountAttributes::default() };
    let source = MountSource::Bind {
        below: None,
        path: path.to_owned(),
        recursive: true,
        links: Default::default(),
        id_shift: None,
    };
    let bound = MountPlan { source, attributes, ..mount.clone() };
    bind(tree.root, tree.missing, &bound, clone_source(&bound)?.as_fd())
}

fn remount(tree: Tree<'_>, mount: &MountPlan, parameters: &[Parameter]) -> Result<(), StepError> {
    let place = mount.destination.display();
    let there = beneath::open(tree.root, &mount.destination, OFlags::PATH).at(Step::MountTarget, &place)?;
    if !parameters.is_empty() {
        let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
        let context = fspick(&there, c"", flags).at(Step::MountAttributes, &place)?;
        for (key, value) in parameters {
            match value {
                Some(value) => fsconfig_set_string(&context, key.as_str(), value.as_str()),
                None => fsconfig_set_flag(&context, key.as_str()),
            }
            .at(Step::MountAttributes, format!("{place} ({key})"))?;
        }
        fsconfig_reconfigure(&context).at(Step::MountAttributes, &place)?;
    }
    set_options(there.as_fd(), mount)
}

/// Gives a mount its attributes and its propagation.
pub(super) fn set_options(source: BorrowedFd<'_>, mount: &MountPlan) -> Result<(), StepError> {
    set_options_but(source, mount, 0)
}

/// The same for a new instance that has the attributes `has`; none besides.
fn set_options_but(source: BorrowedFd<'_>, mount: &MountPlan, has: u64) -> Result<(), StepError> {
    let place = || mount.destination.display();
    set_attributes_but(source, &mount.attributes, has).at(Step::MountAttributes, place())?;
    if let Some((propagation, recursive)) = mount.propagation {
        let change = Change { propagation: Some(propagation), ..Change::default() };
        set_attributes(source, c"", recursive, &change).at(Step::MountAttributes, place())?;
    }
    Ok(())
}

/// Attributes alone, of a mount that has `has`.
pub(super) fn set_attributes_but(
    source: BorrowedFd<'_>,
    attributes: &MountAttributes,
    has: u64,
) -> Result<(), Errno> {
    let MountAttributes { set, clear, recursive_set, recursive_clear } = *attributes;
    let (set, clear) = if has == 0 { (set, clear) } else { (set & !has, 0) };
    if recursive_set | recursive_clear != 0 {
        change(source, true, recursive_set, recursive_clear)?;
    }
    if set | clear != 0 {
        change(source, false, set, clear)?;
    }
    Ok(())
}

/// In a user namespace, flags that a mount has from outside are locked (mount_namespaces(7)): what is
/// to be stricter becomes so, and what is to be laxer stays as it is, as other runtimes have it.
fn change(source: BorrowedFd<'_>, recursive: bool, set: u64, clear: u64) -> Result<(), Errno> {
    let whole = Change { set, clear, ..Change::default() };
    match set_attributes(source, c"", recursive, &whole) {
        Err(Errno::PERM) if clear != 0 => {
            let stricter = Change { set: set & !attr::ATIME_MASK, ..Change::default() };
            set_attributes(source, c"", recursive, &stricter)
        }
        other => other,
    }
}

fn shape_of(fd: BorrowedFd<'_>) -> Result<Shape, Errno> {
    let stat = fstat(fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Shape::Directory,
        _ => Shape::File,
    })
}

/// Attaches a detached mount on top of what `target` refers to.
pub(super) fn move_onto(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(source, c"", target, c"", flags)
}
