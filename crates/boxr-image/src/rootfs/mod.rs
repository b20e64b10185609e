//! Root filesystems: an image's layers, one upon the other, by overlayfs, in one mount and by descriptors.
//!
//! An image is never copied and never chowned: where a container sees other ids than the disk has, each
//! layer comes through a mount that shifts them (mount_setattr(2), `MOUNT_ATTR_IDMAP`; overlayfs takes
//! such layers since Linux 5.19).
//!
//! How overlayfs is told its layers depends on the kernel: by descriptors since 6.13, one string each since 6.5
//! (there is no limit to their number but overlayfs' own, 500), all in one short string before that. A string
//! names a descriptor as `/proc/self/fd/N`, so that no path of the store's is looked up again. The one short
//! string has room for 60 to 80 numbers, and needs `/proc/self/fd` as working directory for a moment.

mod attached;
mod changes;
mod lookup;
mod part;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use boxr_sys::mount::{Change, attr, set_attributes};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_fd,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, open_tree,
};

pub use changes::{Change as TreeChange, Kind as ChangeKind, changes};
pub use lookup::Stack;
pub use part::part;

use crate::unpack::Form;

/// The longest string that fsconfig(2) takes, in bytes.
const LONGEST_STRING: usize = 255;

/// What a root filesystem is made of.
#[derive(Clone, Copy, Debug)]
pub struct Overlay<'a> {
    /// The directories of the layers, the lowest first.
    pub layers: &'a [OwnedFd],
    /// An empty directory: overlayfs wants two layers where nothing can be changed.
    pub empty: BorrowedFd<'a>,
    /// A directory with `upper` and `work` in it, where changes go; without one nothing can be changed.
    /// They are not shifted: overlayfs writes there as whoever mounts it, who has no number among the
    /// shifted ids. `upper` is the root's own directory, and must belong to the container's root.
    pub changes: Option<BorrowedFd<'a>>,
    /// A directory in which those of the layers find their files' data that have none ([`crate::shift`]).
    pub data: Option<BorrowedFd<'a>>,
    /// Whose attributes the layers have.
    pub form: Form,
    /// A user namespace by whose maps the ids on disk are shifted.
    pub shifted_by: Option<BorrowedFd<'a>>,
    /// Further options of overlayfs; the host's defaults hold for those that are not said.
    pub options: &'a [(&'a str, Option<&'a str>)],
}

/// A root filesystem cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {errno}{}", remedy(*errno))]
pub struct RootfsError {
    /// What was tried.
    pub action: &'static str,
    /// The system's reason.
    pub errno: Errno,
}

fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM => "\n  this needs root, or a user namespace of one's own and Linux 5.11",
        Errno::NODEV => "\n  the kernel has no overlayfs (modprobe overlay)",
        Errno::TOOBIG => "\n  that many layers need Linux 6.5",
        _ => "",
    }
}

fn failed(action: &'static str) -> impl Fn(Errno) -> RootfsError {
    move |errno| RootfsError { action, errno }
}

impl Overlay<'_> {
    /// Mounts it nowhere yet: the descriptor can be looked into, and moved into place (move_mount(2)).
    ///
    /// # Errors
    /// [`RootfsError`] says what the kernel refused.
    pub fn mount(&self) -> Result<OwnedFd, RootfsError> {
        if self.layers.is_empty() && self.changes.is_none() {
            return nothing(self.empty);
        }
        let lower = self.lower()?;
        match self.mount_upon(&lower, self.changes.map(open_changes).transpose()?) {
            Err(RootfsError { errno: Errno::INVAL, .. }) if self.shifted_by.is_some() => {
                // The attempt may have left its mark.
                let marked = self.changes.filter(|_| self.options.contains(&VOLATILE));
                marked.map_or(Ok(()), forget_volatile)?;
                attached::mount(self, &lower)
            }
            mounted => mounted,
        }
    }

    /// Mounts it upon directories as overlayfs is to see them.
    fn mount_upon(
        &self,
        lower: &[OwnedFd],
        changes: Option<(OwnedFd, OwnedFd)>,
    ) -> Result<OwnedFd, RootfsError> {
        let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("open overlayfs"))?;
        fsconfig_set_string(&fs, "source", "boxr").map_err(failed("name an overlay"))?;
        if self.form == Form::User {
            fsconfig_set_flag(&fs, "userxattr").map_err(failed("mount an overlay as an ordinary user"))?;
        }
        for (key, value) in self.options {
            let set = match value {
                Some(value) => fsconfig_set_string(&fs, *key, *value),
                None => fsconfig_set_flag(&fs, *key),
            };
            set.map_err(failed("give an overlay its options"))?;
        }
        let tops: Vec<BorrowedFd<'_>> = lower.iter().rev().map(AsFd::as_fd).collect();
        if let Some((upper, work)) = &changes {
            set_dir(fs.as_fd(), "upperdir", upper.as_fd())
                .and_then(|()| set_dir(fs.as_fd(), "workdir", work.as_fd()))
                .map_err(failed("put changes on an overlay"))?;
        }
        create(fs.as_fd(), &tops, self.data).map_err(failed("stack the layers of an overlay"))?;
        let read_only = match self.changes {
            Some(_) => MountAttrFlags::empty(),
            None => MountAttrFlags::MOUNT_ATTR_RDONLY,
        };
        fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, read_only).map_err(failed("mount an overlay"))
    }

    /// The layers as overlayfs is to see them, the lowest first.
    fn lower(&self) -> Result<Vec<OwnedFd>, RootfsError> {
        let mut lower = Vec::with_capacity(self.layers.len() + 1);
        let wanted = if self.changes.is_some() { 1 } else { 2 };
        if self.layers.len() < wanted {
            lower.push(self.empty);
        }
        lower.extend(self.layers.iter().map(AsFd::as_fd));
        lower.into_iter().map(|layer| self.shift(layer)).collect()
    }

    /// The directory through a mount that shifts its ids, or itself.
    fn shift(&self, dir: BorrowedFd<'_>) -> Result<OwnedFd, RootfsError> {
        let Some(user_namespace) = self.shifted_by else {
            return rustix::io::fcntl_dupfd_cloexec(dir, 3).map_err(failed("open a layer"));
        };
        let tree = clone_tree(dir)?;
        let change = Change { set: attr::IDMAP, user_namespace: Some(user_namespace), ..Change::default() };
        set_attributes(tree.as_fd(), c"", false, &change).map_err(failed("shift the ids of a layer"))?;
        Ok(tree)
    }
}

/// A mount of the same directory, attached nowhere.
fn clone_tree(dir: BorrowedFd<'_>) -> Result<OwnedFd, RootfsError> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(dir, "", flags).map_err(failed("clone the mount of a layer"))
}

/// `upper` and `work`.
fn open_changes(dir: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd), RootfsError> {
    let open = |name: &str| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(failed("open the changes of an overlay"))
    };
    Ok((open("upper")?, open("work")?))
}

/// The root filesystem of an image without layers.
fn nothing(empty: BorrowedFd<'_>) -> Result<OwnedFd, RootfsError> {
    let tree = clone_tree(empty)?;
    let change = Change { set: attr::RDONLY, ..Change::default() };
    set_attributes(tree.as_fd(), c"", false, &change).map_err(failed("make a mount read-only"))?;
    Ok(tree)
}

/// The option by which the end of an overlay does not write the filesystem of its changes to the disk (the kernel's
/// `overlayfs.rst`, "Volatile mount"; since Linux 5.10).
pub const VOLATILE: (&str, Option<&str>) = ("volatile", None);

/// Takes the mark away that keeps an overlay from being mounted again on changes which were [`VOLATILE`]; for those
/// whose loss with the power is no harm.
///
/// # Errors
/// It cannot be removed.
pub fn forget_volatile(changes: BorrowedFd<'_>) -> Result<(), RootfsError> {
    use rustix::fs::{AtFlags, unlinkat};
    let remove = |path: &str, flags| match unlinkat(changes, path, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        failed => failed,
    };
    // Most often there is none, which one call tells.
    let dir = "work/work/incompat";
    let removed = match remove(dir, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => remove("work/work/incompat/volatile/dirty", AtFlags::empty())
            .and_then(|()| remove("work/work/incompat/volatile", AtFlags::REMOVEDIR))
            .and_then(|()| remove(dir, AtFlags::REMOVEDIR)),
        removed => removed,
    };
    removed.map_err(failed("use an overlay's changes again"))
}

/// Puts a mount that is nowhere yet on the directory `target`.
///
/// # Errors
/// move_mount(2).
pub fn attach(mount: BorrowedFd<'_>, target: &std::path::Path) -> Result<(), RootfsError> {
    use rustix::mount::{MoveMountFlags, move_mount};
    move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(failed("attach a mount"))
}

fn by_number(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Linux 6.13 takes a descriptor, earlier ones a path.
fn set_dir(fs: BorrowedFd<'_>, key: &str, dir: BorrowedFd<'_>) -> Result<(), Errno> {
    match fsconfig_set_fd(fs, key, dir) {
        Err(Errno::INVAL | Errno::OPNOTSUPP) => fsconfig_set_string(fs, key, by_number(dir)),
        set => set,
    }
}

/// Makes the overlay; the layers are given with the topmost first.
fn create(fs: BorrowedFd<'_>, tops: &[BorrowedFd<'_>], data: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let first = tops.first().map_or(Ok(()), |layer| fsconfig_set_fd(fs, "lowerdir+", layer));
    if first == Err(Errno::OPNOTSUPP) {
        // Before Linux 6.5: a filesystem of the old kind takes no descriptors.
        return create_by_one_string(fs, tops);
    }
    let rest = if first.is_ok() { tops.get(1..).unwrap_or_default() } else { tops };
    rest.iter().try_for_each(|layer| set_dir(fs, "lowerdir+", *layer))?;
    data.map_or(Ok(()), |data| set_dir(fs, "datadir+", data))?;
    fsconfig_create(fs)
}

fn create_by_one_string(fs: BorrowedFd<'_>, tops: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let numbers: Vec<String> = tops.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
    let numbers = numbers.join(":");
    if numbers.len() > LONGEST_STRING {
        return Err(Errno::TOOBIG);
    }
    fsconfig_set_string(fs, "lowerdir", numbers)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let before = rustix::fs::open(".", flags, Mode::empty())?;
    rustix::process::chdir("/proc/self/fd")?;
    let created = fsconfig_create(fs);
    rustix::process::fchdir(&before)?;
    created
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use boxr_testing::images::{Layer, Packing};

    use super::*;
    use crate::unpack::{How, Limits, Ownership, unpack};

    fn open(path: &Path) -> OwnedFd {
        File::open(path).unwrap().into()
    }

    struct World {
        dir: tempfile::TempDir,
        form: Form,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for name in ["empty", "changes", "changes/upper", "changes/work"] {
                fs::create_dir(dir.path().join(name)).unwrap();
            }
            let form = Form::of(open(dir.path()).as_fd()).unwrap();
            Self { dir, form }
        }

        fn unpack(&self, name: &str, files: &[(&str, &[u8])]) -> OwnedFd {
            let path = self.dir.path().join(name);
            fs::create_dir(&path).unwrap();
            let layer = Layer::of_files(files, Packing::None);
            let how = How { form: self.form, ownership: Ownership::Squashed, limits: Limits::default() };
            unpack(&layer.blob[..], open(&path).as_fd(), &how).unwrap();
            open(&path)
        }

        fn mount(&self, layers: &[OwnedFd], changes: bool, shifted_by: Option<BorrowedFd<'_>>) -> OwnedFd {
            let (empty, dir) = (open(&self.dir.path().join("empty")), open(&self.dir.path().join("changes")));
            let changes = changes.then(|| dir.as_fd());
            Overlay {
                layers,
                empty: empty.as_fd(),
                changes,
                data: None,
                form: self.form,
                shifted_by,
                options: &[],
            }
            .mount()
            .unwrap()
        }
    }

    /// A path into a mount that is nowhere.
    fn inside(mount: &OwnedFd, name: &str) -> PathBuf {
        Path::new(&by_number(mount.as_fd())).join(name)
    }

    fn names(path: PathBuf) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    /// Runs the test again where it may mount, if it may not here; true when this is that place.
    fn may_mount(test: &str) -> bool {
        if rustix::process::geteuid().is_root() {
            return true;
        }
        let test = format!("rootfs::tests::{test}");
        let program = std::env::current_exe().unwrap();
        let status = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount"])
            .arg(program)
            .args(["--exact", &test])
            .status();
        assert!(status.unwrap().success());
        false
    }

    #[test]
    fn layers_lie_upon_each_other() {
        if !may_mount("layers_lie_upon_each_other") {
            return;
        }
        let world = World::new();
        let low =
            world.unpack("low", &[("a/gone", b"1"), ("a/kept", b"2"), ("old/file", b"3"), ("over", b"4")]);
        let high = world.unpack(
            "high",
            &[("a/.wh.gone", b""), ("old/.wh..wh..opq", b""), ("old/new", b"5"), ("over", b"6")],
        );
        let layers = [low, high];
        let mount = world.mount(&layers, false, None);
        assert_eq!(names(inside(&mount, "")), ["a", "old", "over"]);
        assert_eq!(
            (names(inside(&mount, "a")), names(inside(&mount, "old"))),
            (vec!["kept".into()], vec!["new".to_owned()])
        );
        assert_eq!(fs::read(inside(&mount, "over")).unwrap(), b"6");
        let refused = fs::write(inside(&mount, "x"), "").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::ROFS.raw_os_error()));
    }

    #[test]
    fn changes_go_where_they_are_to_go() {
        if !may_mount("changes_go_where_they_are_to_go") {
            return;
        }
        let world = World::new();
        let layers = [world.unpack("low", &[("file", b"old")])];
        let mount = world.mount(&layers, true, None);
        fs::write(inside(&mount, "file"), "new").unwrap();
        symlink("file", inside(&mount, "link")).unwrap();
        fs::remove_file(inside(&mount, "link")).unwrap();
        drop(mount);
        assert_eq!(fs::read(world.dir.path().join("low/file")).unwrap(), b"old");
        assert_eq!(fs::read(world.dir.path().join("changes/upper/file")).unwrap(), b"new");
        // Anew, from the same directories.
        assert_eq!(fs::read(inside(&world.mount(&layers, true, None), "file")).unwrap(), b"new");
    }

    #[test]
    fn any_number_of_layers_will_do() {
        if !may_mount("any_number_of_layers_will_do") {
            return;
        }
        let world = World::new();
        assert_eq!(names(inside(&world.mount(&[], false, None), "")), [""; 0]);
        assert_eq!(names(inside(&world.mount(&[], true, None), "")), [""; 0]);
        let one = [world.unpack("one", &[("file", b"1")])];
        assert_eq!(names(inside(&world.mount(&one, false, None), "")), ["file"]);
        let many: Vec<OwnedFd> = (0..60)
            .map(|number| world.unpack(&format!("many{number}"), &[(&format!("f{number:03}"), b"")]))
            .collect();
        assert_eq!(names(inside(&world.mount(&many, true, None), "")).len(), 60);
    }

    #[test]
    fn ids_are_shifted_and_the_disk_stays_as_it_is() {
        // A user namespace of one's own cannot shift what is mounted in another, and before Linux 6.3 a
        // tmpfs, where the tests may be, cannot be shifted.
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let kernel = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if !rustix::process::geteuid().is_root() || kernel < (6, 3) {
            return;
        }
        let mut holder = Command::new("unshare")
            .args(["--user", "sh", "-c", "echo; read -r line"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read_exact(&mut holder.stdout.take().unwrap(), &mut [0]).unwrap();
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{}/{map}", holder.id()), "0 200000 65536\n").unwrap();
        }
        let user_namespace = open(Path::new(&format!("/proc/{}/ns/user", holder.id())));
        let world = World::new();
        let layers = [world.unpack("low", &[("file", b"1")])];
        let mount = world.mount(&layers, true, Some(user_namespace.as_fd()));
        assert_eq!(fs::metadata(inside(&mount, "file")).unwrap().uid(), 200_000);
        assert_eq!(fs::metadata(world.dir.path().join("low/file")).unwrap().uid(), 0);
        // What is changed is kept with the ids of the container that changed it.
        fs::write(inside(&mount, "file"), "2").unwrap();
        let changed = fs::metadata(world.dir.path().join("changes/upper/file")).unwrap();
        assert_eq!(changed.uid(), 200_000);
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
}
