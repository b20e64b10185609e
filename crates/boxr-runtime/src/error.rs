//! What can go wrong, as values: the step, the object, the kernel's reason.

use std::fmt;

use rustix::io::Errno;
use thiserror::Error;

use crate::hooks::HookError;

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $words:literal,)*) => {
        /// A step of a start. Which one failed is what a remedy depends on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Step { $($(#[$doc])* $name,)* }

        impl Step {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What the step does, to be followed by the object: "cannot <words> <object>".
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

steps! {
    /// clone3(2).
    Clone = "create the first process with new namespaces:",
    /// The socket pair between boxr and the first process.
    Channel = "talk to the first process over",
    /// setns(2).
    Join = "join the namespace",
    /// unshare(2) for cgroup and time namespaces.
    Unshare = "create a new namespace:",
    /// uid_map and gid_map.
    IdMap = "write the id map",
    /// prctl(2), setsid(2).
    Session = "set up the session:",
    /// ioctl(2) `TIOCSCTTY` and the pseudo-terminal.
    Terminal = "set up the terminal",
    /// dup2(2) and close_range(2).
    Descriptors = "set up descriptor",
    /// A file that the command is given for reading.
    Reopen = "open anew for reading only",
    /// sethostname(2).
    Hostname = "set the host name to",
    /// setdomainname(2).
    Domainname = "set the domain name to",
    /// timens_offsets.
    TimeOffsets = "set the clock offsets",
    /// `lo` of a new network namespace.
    Loopback = "bring up the device",
    /// Propagation of the mount tree.
    Propagation = "set the mount propagation of",
    /// Opening the root directory.
    OpenRoot = "open the root directory",
    /// The tree of a root that is made at every start.
    RootTree = "lay the root filesystem of",
    /// A mount's source.
    MountSource = "open the mount source",
    /// A mount's target.
    MountTarget = "reach the mount target",
    /// Making a filesystem instance or attaching it.
    Mount = "mount on",
    /// Files that a tmpfs covers.
    CopyUp = "copy what is there into what is mounted on",
    /// Attributes of a mount.
    MountAttributes = "set the mount options of",
    /// A node or link in /dev.
    Device = "create the device",
    /// Masked paths.
    Mask = "mask",
    /// Read-only paths.
    ReadOnly = "make read-only",
    /// pivot_root(2).
    Pivot = "change the root to",
    /// cgroup membership.
    Cgroup = "join the cgroup",
    /// proc_pid_oom_score_adj(5).
    OomScore = "set oom_score_adj to",
    /// setrlimit(2).
    Rlimit = "set the resource limit",
    /// The session keyring.
    Keyring = "join the session keyring",
    /// A group of resctrl.
    IntelRdt = "use the resctrl group",
    /// A device of the host's network.
    NetDevice = "move the network device",
    /// A setting below /proc/sys.
    Sysctl = "set the kernel parameter",
    /// personality(2).
    Personality = "set the execution domain to",
    /// sched_setattr(2), ioprio_set(2), set_mempolicy(2), sched_setaffinity(2).
    Scheduling = "apply",
    /// A security module's label.
    Label = "set",
    /// prctl(2) `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges = "set",
    /// capset(2) and the bounding set.
    Capabilities = "set the capabilities:",
    /// setgroups(2).
    Groups = "set the supplementary groups",
    /// setresgid(2).
    Gid = "switch to group",
    /// setresuid(2).
    Uid = "switch to user",
    /// chdir(2).
    Workdir = "enter the working directory",
    /// seccomp(2).
    Seccomp = "load the seccomp filter",
    /// The socket of a seccomp agent.
    Agent = "hand the seccomp listener to",
    /// landlock_restrict_self(2) and its rules.
    Landlock = "restrict by Landlock",
    /// The socket of a sandbox that boxr's proxy serves.
    Inside = "listen for boxr's proxy on",
    /// execve(2).
    Exec = "run",
}

impl Step {
    /// The step with this number, as sent by the child.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// A step that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot {} {object}: {}", step.words(), describe(*errno))]
pub struct StepError {
    /// Which step.
    pub step: Step,
    /// On what: a path, an id, a name.
    pub object: String,
    /// The kernel's reason.
    pub errno: Errno,
}

impl StepError {
    /// An error of `step` on `object`.
    pub fn new(step: Step, object: impl fmt::Display, errno: Errno) -> Self {
        Self { step, object: object.to_string(), errno }
    }
}

/// Adds step and object to a system call's result.
pub trait At<T> {
    /// Names what failed.
    ///
    /// # Errors
    /// The same error, with its step and object.
    fn at(self, step: Step, object: impl fmt::Display) -> Result<T, StepError>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, step: Step, object: impl fmt::Display) -> Result<T, StepError> {
        self.map_err(|errno| StepError::new(step, object, errno))
    }
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, step: Step, object: impl fmt::Display) -> Result<T, StepError> {
        self.map_err(|error| StepError::new(step, object, Errno::from_io_error(&error).unwrap_or(Errno::IO)))
    }
}

/// What the first process reports: one of these ends the start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Hook(#[from] HookError),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Step(error) => Self::Step(error),
            Failure::Hook(error) => Self::Hook(error),
        }
    }
}

/// Why a container could not be planned or started.
#[derive(Debug, Error)]
pub enum Error {
    /// The specification asks for something that cannot be; nothing was changed.
    #[error("{field}: {why}")]
    Field {
        /// Its path in config.json, or the option's name.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// A step failed; what had been made was taken back.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The cgroup could not be made.
    #[error(transparent)]
    Cgroup(#[from] boxr_cgroup::Error),
    /// newuidmap(1) or newgidmap(1) refused.
    #[error("{program} failed: {reason}")]
    IdMapHelper {
        /// Which of the two.
        program: &'static str,
        /// Its message, or how it ended.
        reason: String,
    },
    /// The seccomp profile cannot be compiled.
    #[error(transparent)]
    Seccomp(#[from] boxr_seccomp::Error),
    /// A hook failed; what had been made was taken back.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The first process was killed before the command ran since the container's memory had run out.
    #[error("the memory limit is too low to start with: the kernel killed the first process (OOM)")]
    OutOfMemory,
    /// The first process ended before the command ran and left no reason.
    #[error("the first process ended before the command ran: {how}")]
    ChildLost {
        /// How it ended.
        how: String,
    },
}

impl Error {
    /// An error of a field of the specification.
    pub fn field(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Field { field: field.into(), why: why.into() }
    }

    /// The exit status of `run` for this error (ARCHITECTURE.md, "Exit statuses"): 127 when the command is not
    /// there, 126 when it cannot be executed, 125 for everything else.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Step(StepError { step: Step::Exec, errno, .. }) => match *errno {
                Errno::NOENT => 127,
                _ => 126,
            },
            _ => 125,
        }
    }
}

/// The kernel's words and the symbol: `Operation not permitted (EPERM)`.
pub fn describe(errno: Errno) -> String {
    let text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    match symbol(errno) {
        Some(symbol) => format!("{words} ({symbol})"),
        None => format!("{words} (errno {})", errno.raw_os_error()),
    }
}

fn symbol(errno: Errno) -> Option<&'static str> {
    const NAMES: &[(Errno, &str)] = &[
        (Errno::PERM, "EPERM"),
        (Errno::NOENT, "ENOENT"),
        (Errno::SRCH, "ESRCH"),
        (Errno::INTR, "EINTR"),
        (Errno::IO, "EIO"),
        (Errno::NXIO, "ENXIO"),
        (Errno::TOOBIG, "E2BIG"),
        (Errno::NOEXEC, "ENOEXEC"),
        (Errno::BADF, "EBADF"),
        (Errno::CHILD, "ECHILD"),
        (Errno::AGAIN, "EAGAIN"),
        (Errno::NOMEM, "ENOMEM"),
        (Errno::ACCESS, "EACCES"),
        (Errno::FAULT, "EFAULT"),
        (Errno::NOTBLK, "ENOTBLK"),
        (Errno::BUSY, "EBUSY"),
        (Errno::EXIST, "EEXIST"),
        (Errno::XDEV, "EXDEV"),
        (Errno::NODEV, "ENODEV"),
        (Errno::NOTDIR, "ENOTDIR"),
        (Errno::ISDIR, "EISDIR"),
        (Errno::INVAL, "EINVAL"),
        (Errno::NFILE, "ENFILE"),
        (Errno::MFILE, "EMFILE"),
        (Errno::NOTTY, "ENOTTY"),
        (Errno::TXTBSY, "ETXTBSY"),
        (Errno::FBIG, "EFBIG"),
        (Errno::NOSPC, "ENOSPC"),
        (Errno::ROFS, "EROFS"),
        (Errno::PIPE, "EPIPE"),
        (Errno::RANGE, "ERANGE"),
        (Errno::NAMETOOLONG, "ENAMETOOLONG"),
        (Errno::NOSYS, "ENOSYS"),
        (Errno::NOTEMPTY, "ENOTEMPTY"),
        (Errno::LOOP, "ELOOP"),
        (Errno::DQUOT, "EDQUOT"),
        (Errno::OPNOTSUPP, "EOPNOTSUPP"),
        (Errno::USERS, "EUSERS"),
        (Errno::OVERFLOW, "EOVERFLOW"),
        (Errno::STALE, "ESTALE"),
        (Errno::CONNREFUSED, "ECONNREFUSED"),
        (Errno::TIMEDOUT, "ETIMEDOUT"),
    ];
    NAMES.iter().find(|(known, _)| *known == errno).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_step_object_and_reason() {
        let error = StepError::new(Step::Hostname, "blue", Errno::PERM);
        assert_eq!(error.to_string(), "cannot set the host name to blue: Operation not permitted (EPERM)");
    }

    #[test]
    fn steps_survive_the_wire() {
        for (number, step) in Step::ALL.iter().enumerate() {
            assert_eq!(Step::from_number(number as u8), Some(*step));
            assert_eq!(*step as usize, number);
        }
        assert_eq!(Step::from_number(255), None);
    }

    #[test]
    fn exit_statuses_are_those_of_docker() {
        let exec = |errno| Error::Step(StepError::new(Step::Exec, "x", errno)).exit_status();
        assert_eq!(exec(Errno::NOENT), 127);
        assert_eq!(exec(Errno::ACCESS), 126);
        assert_eq!(exec(Errno::NOEXEC), 126);
        assert_eq!(Error::Step(StepError::new(Step::Mount, "x", Errno::NOENT)).exit_status(), 125);
    }
}
