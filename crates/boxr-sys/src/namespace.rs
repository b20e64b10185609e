//! The eight kinds of namespace (namespaces(7)) and what the kernel tells of one.

/// A kind of namespace (namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamespaceKind {
    /// Process ids, pid_namespaces(7).
    Pid,
    /// Network devices, stacks and ports, network_namespaces(7).
    Network,
    /// The mount tree, mount_namespaces(7).
    Mount,
    /// Host name and domain name, uts_namespaces(7).
    Uts,
    /// System V IPC and POSIX message queues, ipc_namespaces(7).
    Ipc,
    /// User and group ids and capabilities, user_namespaces(7).
    User,
    /// The root of the cgroup view, cgroup_namespaces(7).
    Cgroup,
    /// Boot and monotonic clocks, time_namespaces(7).
    Time,
}

impl NamespaceKind {
    /// All eight, in the order in which they are shown.
    pub const ALL: [Self; 8] =
        [Self::Pid, Self::Network, Self::Mount, Self::Uts, Self::Ipc, Self::User, Self::Cgroup, Self::Time];

    /// The word that configuration, flags and output use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Mount => "mount",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// The name under `/proc/PID/ns` and in `net:[4026531840]`.
    pub const fn proc_name(self) -> &'static str {
        match self {
            Self::Network => "net",
            Self::Mount => "mnt",
            other => other.word(),
        }
    }

    /// The kind that a word names: boxr's words, the kernel's and the common short forms.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "pid" => Self::Pid,
            "network" | "net" => Self::Network,
            "mount" | "mnt" => Self::Mount,
            "uts" => Self::Uts,
            "ipc" => Self::Ipc,
            "user" | "userns" => Self::User,
            "cgroup" => Self::Cgroup,
            "time" => Self::Time,
            _ => return None,
        })
    }

    /// The `CLONE_NEW*` bit of clone(2), setns(2) and `NS_GET_NSTYPE`.
    pub const fn clone_flag(self) -> u64 {
        (match self {
            Self::Pid => libc::CLONE_NEWPID,
            Self::Network => libc::CLONE_NEWNET,
            Self::Mount => libc::CLONE_NEWNS,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::User => libc::CLONE_NEWUSER,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
            Self::Time => 0x80,
        }) as u64
    }

    /// The kind of a `CLONE_NEW*` bit.
    pub fn from_clone_flag(flag: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.clone_flag() == flag)
    }
}

/// Leaves the caller's namespace of `kind` for a new one (unshare(2)); for pid and time, only
/// its later children do.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `ENOSPC` past a limit, `EINVAL` where the kernel lacks it.
pub fn unshare(kind: NamespaceKind) -> Result<(), rustix::io::Errno> {
    // SAFETY: CLONE_NEW* flags move the process between namespaces and touch no memory;
    // unlike CLONE_FILES and CLONE_FS they take nothing away from code that runs.
    match unsafe { libc::unshare(kind.clone_flag() as libc::c_int) } {
        -1 => Err(crate::clone::last_errno()),
        _ => Ok(()),
    }
}

impl std::fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}
