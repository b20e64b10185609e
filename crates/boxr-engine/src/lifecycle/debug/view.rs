//! The mount namespace of a debugging command.
//!
//! A process makes it that enters the container's user and mount namespaces and no other: nobody there can trace it, as it is not
//! dumpable, and it is in no pid namespace of theirs. It copies the container's mounts into a namespace of its own, lays the
//! tools over their root, and changes places with it by pivot_root(2), so that the old root is at /target with all
//! that is mounted in it. Then it sends a descriptor of the namespace out, and ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use boxr_runtime::rootfs::beneath::{self, Shape};
use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::mount::{Change, Propagation, set_attributes};
use boxr_sys::namespace::{NamespaceKind, unshare};
use boxr_sys::passing;
use boxr_sys::pidfd::reap;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::tools::{Tools, tmpfs};
use crate::lifecycle::copy::{become_root_of, hide};
use crate::outcome::EngineError;

/// Devices that every container has, of the host's.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Links in /dev.
const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// `f_type` (`<linux/magic.h>`).
const PROCFS: rustix::fs::FsWord = 0x9fa0;
const SYSFS: rustix::fs::FsWord = 0x6265_6572;
const TMPFS: rustix::fs::FsWord = 0x0102_1994;
/// The longest word about what went wrong, in bytes.
const LONGEST: usize = 4096;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// What is to be seen.
pub(super) struct View<'a> {
    /// The container's user namespace, where it is not the caller's.
    pub user: Option<BorrowedFd<'a>>,
    /// Its mount namespace, where that is not the caller's.
    pub mount: Option<BorrowedFd<'a>>,
    /// What is at hand.
    pub tools: &'a Tools,
    /// Files of the container's that the tools get, by their paths.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// Where the container's first process is.
    pub cwd: Option<&'a Path>,
    /// Ids of the container's root, as the caller has them.
    pub root: (u32, u32),
}

/// Ids of root of the user namespace that process `pid` is in (user_namespaces(7), `uid_map`); of the caller where it has no root.
pub(super) fn root_of(pid: i32) -> (u32, u32) {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let root = |map: String| {
        map.lines().find_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
            let (inside, outside) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            (inside == 0).then_some(outside)
        })
    };
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    (root(read("uid_map")).unwrap_or(own.0), root(read("gid_map")).unwrap_or(own.1))
}

impl View<'_> {
    /// The namespace, and whether the container's working directory is there.
    ///
    /// # Errors
    /// [`EngineError::Debug`]; nothing is left.
    pub fn make(&self, name: &str) -> Result<(OwnedFd, bool), EngineError> {
        let failed = |errno| EngineError::system("make a mount namespace", errno);
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = pair.map_err(failed)?;
        match clone3(0, None, Parent::Caller).map_err(failed)? {
            Cloned::Child => {
                drop(ours);
                let sent = match self.build() {
                    Ok((namespace, has_cwd)) => {
                        let word: &[u8] = if has_cwd { b"+" } else { b"." };
                        passing::send(&theirs, word, Some(namespace.as_fd()))
                    }
                    Err(reason) => {
                        let word = format!("-{reason}");
                        passing::send(&theirs, &word.as_bytes()[..word.len().min(LONGEST)], None)
                    }
                };
                exit_now(u8::from(sent.is_err()))
            }
            Cloned::Parent { pidfd, .. } => {
                drop(theirs);
                let heard = hear(&ours);
                reap(pidfd.as_fd(), true).map_err(failed)?;
                let reason = match heard.map_err(failed)? {
                    (word, Some(namespace)) => return Ok((namespace, word == b"+")),
                    (word, None) => String::from_utf8_lossy(word.get(1..).unwrap_or_default()).into_owned(),
                };
                let reason = if reason.is_empty() { "its process was ended".to_owned() } else { reason };
                Err(EngineError::Debug { name: name.to_owned(), reason })
            }
        }
    }

    fn build(&self) -> Result<(OwnedFd, bool), String> {
        hide()?;
        let proc = rustix::fs::open("/proc", DIRECTORY, Mode::empty()).map_err(said("open /proc"))?;
        let privileged = rustix::process::geteuid().is_root();
        // Who is not privileged is so in the container's user namespace, over mounts of its own.
        if let Some(user) = self.user.filter(|_| !privileged) {
            become_root_of(user)?;
            unshare(NamespaceKind::Mount).map_err(said("make a mount namespace"))?;
        }
        let nodes = nodes_of_host()?;
        let (shifted_by, owner) = if privileged { (self.user, self.root) } else { (None, (0, 0)) };
        let tools = self.tools.make(shifted_by, owner)?;
        if let Some(user) = self.user.filter(|_| privileged) {
            become_root_of(user)?;
        }
        if let Some(mount) = self.mount {
            move_into_link_name_space(mount, Some(LinkNameSpaceType::Mount))
                .map_err(said("enter the mounts of the container"))?;
        }
        unshare(NamespaceKind::Mount).map_err(said("make a mount namespace"))?;
        let root =
            rustix::fs::open("/", DIRECTORY, Mode::empty()).map_err(said("open the container's root"))?;
        let alone = Change { propagation: Some(Propagation::Private), ..Change::default() };
        set_attributes(root.as_fd(), c"", true, &alone).map_err(said("keep mounts to themselves"))?;
        let has_cwd = self.cwd.is_some_and(|cwd| beneath::open(root.as_fd(), cwd, DIRECTORY).is_ok());
        self.arrange(&root, &tools, &nodes)?;
        let namespace = openat(&proc, "self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        Ok((namespace.map_err(said("open the mount namespace"))?, has_cwd))
    }

    /// Everything in its place.
    fn arrange(&self, root: &OwnedFd, tools: &OwnedFd, nodes: &[(&str, OwnedFd)]) -> Result<(), String> {
        let (of_proc, of_sys) = (tree_of(root, "proc", PROCFS), tree_of(root, "sys", SYSFS));
        let shm = tree_of(root, "dev/shm", TMPFS);
        let [target, proc, sys, dev, tmp] =
            ["target", "proc", "sys", "dev", "tmp"].map(|name| directory(tools, name));
        attach(tools, root).map_err(said("lay the tools over the container's root"))?;
        // Looked up above: here the tools may not be trusted to keep them what they are.
        drop((target?, tmp?));
        for (tree, place, what) in [(of_proc, proc?, "/proc"), (of_sys, sys?, "/sys")] {
            if let Some(tree) = tree {
                attach(&tree, &place).map_err(|errno| said_of("mount", what, errno))?;
            }
        }
        devices(&dev?, nodes, shm)?;
        for (path, bytes) in &self.files {
            write(tools, path, bytes).map_err(|errno| said_of("write", path, errno))?;
        }
        rustix::process::fchdir(tools).map_err(said("enter the tools' root"))?;
        rustix::process::pivot_root(".", "target")
            .map_err(said("change places with the container's root"))?;
        rustix::process::chdir("/").map_err(said("enter the tools' root"))
    }
}

fn said(doing: &'static str) -> impl Fn(Errno) -> String {
    move |errno| format!("cannot {doing}: {}", boxr_runtime::error::describe(errno))
}

fn said_of(doing: &str, what: &str, errno: Errno) -> String {
    format!("cannot {doing} {what}: {}", boxr_runtime::error::describe(errno))
}

/// A copy of a mount with all below it, attached nowhere.
fn clone_of(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(fd, "", flags)
}

/// The caller's own devices: what the container has by these names may be anything.
fn nodes_of_host() -> Result<Vec<(&'static str, OwnedFd)>, String> {
    let clone = |name: &'static str| {
        let path = format!("/dev/{name}");
        let node = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let clone = node.and_then(|node| clone_of(node.as_fd()));
        clone.map(|clone| (name, clone)).map_err(|errno| said_of("take", &path, errno))
    };
    NODES.into_iter().map(clone).collect()
}

/// What is mounted at `path` of the container, if it is of this type: a container may have put something else there, or nothing.
fn tree_of(root: &OwnedFd, path: &str, kind: rustix::fs::FsWord) -> Option<OwnedFd> {
    let found = beneath::open(root.as_fd(), Path::new(path), DIRECTORY).ok()?;
    let is_it = rustix::fs::fstatfs(&found).is_ok_and(|stat| stat.f_type == kind);
    is_it.then(|| clone_of(found.as_fd()).ok()).flatten()
}

/// A directory at the top of the tools, made if it is not there; no link.
fn directory(tools: &OwnedFd, name: &str) -> Result<OwnedFd, String> {
    match rustix::fs::mkdirat(tools, name, Mode::from_raw_mode(if name == "tmp" { 0o1777 } else { 0o755 })) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(said_of("make", name, errno)),
    }
    openat(tools, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
        .map_err(|errno| said_of("open", name, errno))
}

fn attach(tree: &OwnedFd, place: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", place, "", flags)
}

/// /dev in memory, which nobody in the container has before him.
fn devices(place: &OwnedFd, nodes: &[(&str, OwnedFd)], shm: Option<OwnedFd>) -> Result<(), String> {
    let failed = said("make /dev");
    let dev = tmpfs().map_err(&failed)?;
    attach(&dev, place).map_err(&failed)?;
    for (name, node) in nodes {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(&dev, *name, flags, Mode::from_raw_mode(0o666)).map_err(&failed)?;
        let file = openat(&dev, *name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(&failed)?;
        attach(node, &file).map_err(&failed)?;
    }
    let terminals = directory(&dev, "pts")?;
    attach(&devpts().map_err(&failed)?, &terminals).map_err(&failed)?;
    let shared = directory(&dev, "shm")?;
    if let Some(tree) = shm {
        attach(&tree, &shared).map_err(&failed)?;
    }
    LINKS.into_iter().try_for_each(|(name, to)| rustix::fs::symlinkat(to, &dev, name)).map_err(&failed)
}

fn devpts() -> Result<OwnedFd, Errno> {
    let fs = fsopen("devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [("source", "devpts"), ("ptmxmode", "0666"), ("mode", "0620")] {
        fsconfig_set_string(&fs, key, value)?;
    }
    fsconfig_create(&fs)?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOSUID)
}

/// Puts a file into the tools, in place of theirs.
fn write(tools: &OwnedFd, path: &str, bytes: &[u8]) -> Result<(), Errno> {
    let path = Path::new(path);
    let (parent, name) = path.parent().zip(path.file_name()).ok_or(Errno::INVAL)?;
    let dir = beneath::open_or_create(tools.as_fd(), parent, Shape::Directory)?;
    match rustix::fs::unlinkat(&dir, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&dir, name, flags, Mode::from_raw_mode(0o644))?;
    let written = std::io::Write::write_all(&mut std::fs::File::from(file), bytes);
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// One word of the other side, and a descriptor if it comes with one.
fn hear(socket: &OwnedFd) -> Result<(Vec<u8>, Option<OwnedFd>), Errno> {
    let mut word = vec![0u8; LONGEST];
    let (length, fd) = passing::receive(socket, &mut word, RecvFlags::empty())?;
    word.truncate(length);
    Ok((word, fd))
}
