//! What the runtime has decided to do: checked, complete, and not changed any more.

mod confinement;
mod describe;

mod mount;
mod mount_options;
mod root;
mod seccomp;
mod spec;
mod tuning;

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use boxr_sys::exec::CVector;
use boxr_sys::namespace::NamespaceKind;
use rustix::process::{Resource, Rlimit};

use crate::capabilities::Sets;
use crate::hooks::Hooks;
use crate::idmap::IdMap;
use crate::intel_rdt::IntelRdt;
use crate::stdio::Stdio;

pub use confinement::{Confinement, LandlockPlan};
pub use mount::{Cover, Filled, IdShift, MountPlan, MountSource, holds, is_plain};
pub(crate) use mount_options::superblock_flag;
pub use mount_options::{
    COPY_UP, COPY_UP_BELOW, INODE, Links, MountAttributes, NO_LINKS, POOLED, SHARED, SUBPATH, TREE,
    names as mount_option_names,
};
pub use root::{MakeTree, MountTree, RootEntry, RootPlan, RootPropagation, TreeMaker, TreeSource};
pub use seccomp::SeccompPlan;
pub(crate) use spec::binds;
pub use spec::{Extras, Home, IMPLEMENTED_VERSION, OciExtras};
pub use tuning::{MemoryPolicy, Tuning};

/// How one container is started.
#[derive(Debug)]
pub struct Plan {
    /// Namespaces to make.
    pub new: Vec<NamespaceKind>,
    /// Namespaces to join, already open.
    pub joined: Vec<(NamespaceKind, OwnedFd)>,
    /// Maps of a new user namespace.
    pub idmap: Option<IdMap>,
    /// Maps that a user namespace which is joined is said to have.
    pub expected_map: Option<IdMap>,
    /// What becomes `/`.
    pub root: RootPlan,
    /// What makes the tree of a [`RootPlan::Directory`], whose path is then only where it is put; or the tree that
    /// takes the place of a [`RootPlan::HostTree`], with all its mounts, which is on top of `/` already.
    pub root_source: Option<TreeSource>,
    /// What makes trees that are mounted ([`MountSource::Tree`]).
    pub trees: Vec<TreeSource>,
    /// Mounts, in order.
    pub mounts: Vec<MountPlan>,
    /// Device nodes beneath a root of its own.
    pub devices: Vec<DevicePlan>,
    /// Paths hidden in the root.
    pub masked: Vec<PathBuf>,
    /// Paths made read-only in the root.
    pub read_only_paths: Vec<PathBuf>,
    /// Host name of a new uts namespace.
    pub hostname: Option<String>,
    /// Domain name of a new uts namespace.
    pub domainname: Option<String>,
    /// Offsets of a new time namespace: clock name, seconds, nanoseconds.
    pub time_offsets: Vec<(&'static str, i64, u32)>,
    /// Kernel parameters of the container's namespaces: path below /proc, value.
    pub sysctls: Vec<(String, String)>,
    /// Devices of the caller's network namespace that become the container's.
    pub net_devices: Vec<NetDevice>,
    /// Its share of caches and memory bandwidth.
    pub intel_rdt: Option<IntelRdt>,
    /// Name of the session keyring; `None` leaves the caller's.
    pub session_keyring: Option<CString>,
    /// What is done about a missing `HOME`.
    pub home: Home,
    /// Files in its memory.
    pub private_files: Vec<PrivateFile>,
    /// The command.
    pub process: ProcessPlan,
    /// cgroup to be made for it.
    pub cgroup: CgroupPlan,
    /// The standard descriptors.
    pub stdio: Stdio,
    /// How many descriptors from 3 on are inherited.
    pub preserve_fds: u32,
    /// Programs to run at points of its life.
    pub hooks: Option<Hooks>,
    /// Who lets the command run.
    pub started_by: StartedBy,
    /// Whether the first process is boxr's init.
    pub init: bool,
    /// Whether there is no command: the first process stays, and keeps namespaces for others to join.
    pub pause: bool,
    /// Whether the box gets SIGKILL when boxr ends.
    pub die_with_parent: bool,
    /// Whether the command gets a session of its own.
    pub new_session: bool,
    /// Whether the child reports the time of each step.
    pub trace: bool,
    /// What only a sandbox asks for.
    pub confinement: Confinement,
}

impl Plan {
    /// Whether a namespace of `kind` is made.
    pub fn makes(&self, kind: NamespaceKind) -> bool {
        self.new.contains(&kind)
    }

    /// Whether its user namespace is made below one that is joined, rather than below the caller's.
    pub fn nests(&self) -> bool {
        self.makes(NamespaceKind::User) && self.joins(NamespaceKind::User)
    }

    /// Whether its tree is made from the user namespace above its own ([`TreeMaker::Above`]).
    pub fn is_laid_from_above(&self) -> bool {
        self.nests() && self.root_source.as_ref().is_some_and(|source| source.by == TreeMaker::Above)
    }

    /// Whether a namespace of `kind` is joined.
    pub fn joins(&self, kind: NamespaceKind) -> bool {
        self.joined.iter().any(|(joined, _)| *joined == kind)
    }
}

/// A file that is on no disk, and which nothing of boxr's prints.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateFile {
    /// Where, absolute in the container.
    pub path: PathBuf,
    /// What is in it.
    pub contents: Vec<u8>,
    /// The container's user.
    pub uid: u32,
    /// The container's group.
    pub gid: u32,
    /// Permissions.
    pub mode: u32,
}

impl std::fmt::Debug for PrivateFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Who says that the command may run.
#[derive(Debug, Default)]
pub enum StartedBy {
    /// The boxr that makes the first process.
    #[default]
    Maker,
    /// A later one, which connects to this listening `SOCK_SEQPACKET` socket
    /// ([`crate::process::start`]).
    Another {
        /// The socket.
        listener: OwnedFd,
    },
}

/// A network device that moves into the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name on the host.
    pub host: String,
    /// Its name in the container; `%d` stands for a number that is free.
    pub name: String,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePlan {
    /// Where, absolute in the box.
    pub path: PathBuf,
    /// What it is.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner in the box.
    pub uid: u32,
    /// Group in the box.
    pub gid: u32,
}

/// The command and what it runs with.
#[derive(Debug)]
pub struct ProcessPlan {
    /// Program and arguments; at least one.
    pub argv: CVector,
    /// The environment.
    pub env: CVector,
    /// Directories that are searched for a program without a slash.
    pub search_path: Vec<CString>,
    /// Where it starts; `None` stays where the caller is.
    pub workdir: Option<PathBuf>,
    /// Who it runs as; `None` is whoever the caller is in the box.
    pub user: Option<UserPlan>,
    /// Its capability sets; `None` leaves them to the kernel's rules.
    pub capabilities: Option<Sets>,
    /// execve(2) grants nothing.
    pub no_new_privileges: bool,
    /// Resource limits.
    pub rlimits: Vec<(Resource, Rlimit)>,
    /// proc_pid_oom_score_adj(5).
    pub oom_score_adj: Option<i32>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Rows and columns of a terminal that is made for it.
    pub terminal_size: Option<(u16, u16)>,
    /// Scheduling, memory placement, labels.
    pub tuning: Tuning,
    /// Its seccomp filter.
    pub seccomp: Option<SeccompPlan>,
}

/// Ids of the command, in the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPlan {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups; `None` keeps them.
    pub groups: Option<Vec<u32>>,
}

/// Where the container's processes are accounted.
#[derive(Debug, Default)]
pub enum CgroupPlan {
    /// In the caller's cgroups.
    #[default]
    Inherit,
    /// In a cgroup to be made with these limits.
    New(Box<boxr_cgroup::Plan>),
    /// In one that exists: that of the container which is entered.
    Existing(boxr_cgroup::Location),
}
