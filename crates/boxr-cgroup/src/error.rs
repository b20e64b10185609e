//! What can go wrong, each with the file, the field and the remedy where one is known.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::controller::Controller;
use crate::dbus::BusError;
use crate::field::Field;
use crate::systemd::Manager;

/// Why a controller cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// No cgroup hierarchy that is mounted has it.
    NotMounted,
    /// The kernel has it, but the cgroup in which the box would be made does not.
    NotDelegated {
        /// Directory whose `cgroup.controllers` lacks it.
        parent: PathBuf,
    },
    /// It is in version 1, in a directory that only root may write.
    NotYours {
        /// The caller's own cgroup there.
        directory: PathBuf,
    },
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a cgroup file failed.
    #[error("cannot {action} {}: {errno}", path.display())]
    System {
        /// What was done: `read`, `create`, `remove`…
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The kernel's reason.
        errno: Errno,
    },
    /// The kernel refused a value.
    #[error("cannot set {field}: writing \"{value}\" to {}: {errno}", file.display())]
    Write {
        /// Which option asked for it.
        field: Field,
        /// What was written.
        value: String,
        /// Where to.
        file: PathBuf,
        /// The kernel's reason.
        errno: Errno,
    },
    /// A value that no kernel takes, or that contradicts another.
    #[error("{field}: {value} {reason}")]
    Invalid {
        /// Which option.
        field: Field,
        /// What was given.
        value: String,
        /// What is wrong with it, to be read after the value: `is below…`.
        reason: String,
    },
    /// An option needs a controller that cannot be had.
    #[error("{field} needs the {controller} controller, {}", absence_text(absence))]
    Missing {
        /// Which option asked for it.
        field: Field,
        /// The controller.
        controller: Controller,
        /// Why it cannot be had.
        absence: Absence,
    },
    /// An option that this version of cgroups, or this kernel, cannot honour.
    #[error("{field} cannot be honoured: {reason}")]
    Unsupported {
        /// Which option.
        field: Field,
        /// Why.
        reason: String,
    },
    /// No cgroup may be made where one is needed.
    #[error("no cgroup can be made for the box: {} is not writable for this user", directory.display())]
    NotDelegated {
        /// The directory in which it would have to be made: the caller's own cgroup.
        directory: PathBuf,
    },
    /// The caller's cgroup holds processes, so that its children cannot have controllers
    /// (cgroups(7), the "no internal processes" rule).
    #[error(
        "no limit can be set below {}: it holds processes ({}), and the kernel lets only a cgroup without them hand out controllers",
        directory.display(), pid_list(pids)
    )]
    Occupied {
        /// The cgroup.
        directory: PathBuf,
        /// Some of the processes in it.
        pids: Vec<i32>,
    },
    /// Neither version of cgroups is mounted.
    #[error("no cgroup hierarchy is mounted")]
    NotMounted,
    /// The cgroup that is to be made is in use.
    #[error("cgroup {} exists and holds processes ({})", path.display(), pid_list(pids))]
    Exists {
        /// Its directory.
        path: PathBuf,
        /// Some of the processes in it.
        pids: Vec<i32>,
    },
    /// The cgroup of several boxes, below which one was to be made, has been removed.
    #[error("cgroup {} has been removed meanwhile", path.display())]
    Gone {
        /// Its directory.
        path: PathBuf,
    },
    /// The cgroup that is to be used was frozen by somebody: a process in it would never run.
    #[error("cgroup {} exists and is frozen", path.display())]
    Frozen {
        /// Its directory.
        path: PathBuf,
    },
    /// A cgroup cannot be removed because processes live in it.
    #[error("cannot remove cgroup {}: processes in it still live ({})", path.display(), pid_list(pids))]
    Busy {
        /// Its directory.
        path: PathBuf,
        /// Some of the processes in it.
        pids: Vec<i32>,
    },
    /// The kernel did not come to the end of it in time.
    #[error("{} did not become {goal} within {milliseconds} ms", path.display())]
    TimedOut {
        /// The cgroup.
        path: PathBuf,
        /// `frozen`, `thawed`, `empty`.
        goal: &'static str,
        /// How long was waited.
        milliseconds: u64,
    },
    /// There is no cgroup of the box on which this could be done.
    #[error("the box has no cgroup in which it could be {goal}")]
    NoCgroup {
        /// `frozen`, `killed`…
        goal: &'static str,
    },
    /// A cgroup path with `..`, an empty name, or a name with `/`.
    #[error("{}: not a path of a cgroup: {reason}", path.display())]
    BadPath {
        /// As given.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An annotation of the OCI configuration cannot be followed.
    #[error("annotation {name}: \"{value}\" {reason}")]
    BadAnnotation {
        /// Its name.
        name: String,
        /// As given.
        value: String,
        /// What is wrong with it, to be read after the value.
        reason: &'static str,
    },
    /// The manager of systemd that is wanted cannot be reached.
    #[error("cannot reach the {} manager of systemd ({tried})", match manager { Manager::System => "system", Manager::User => "user" })]
    NoSystemd {
        /// Which.
        manager: Manager,
        /// The sockets, each with the reason.
        tried: String,
    },
    /// systemd refused.
    #[error("cannot {action} the systemd unit {unit}: {source}")]
    Systemd {
        /// What was asked for: `start`, `stop`…
        action: &'static str,
        /// On which unit.
        unit: String,
        /// Its reason.
        source: BusError,
    },
    /// systemd tried, and said that it did not work.
    #[error("cannot {action} the systemd unit {unit}: its job ended as \"{result}\"")]
    JobFailed {
        /// What was asked for.
        action: &'static str,
        /// On which unit.
        unit: String,
        /// `failed`, `timeout`, `canceled`…
        result: String,
    },
    /// systemd said that the process is in its scope, and it is not.
    #[error("the systemd unit {unit} was started, and its process is in {}", path.display())]
    NotInScope {
        /// The unit.
        unit: String,
        /// Where the process is.
        path: PathBuf,
    },
    /// A file of the kernel's does not read as its documentation says.
    #[error("cannot understand {}: {text:?}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found.
        text: String,
    },
    /// Several steps of a teardown failed; it went on after each.
    #[error("{}", several(errors))]
    Several {
        /// In order.
        errors: Vec<Error>,
    },
}

impl Error {
    /// What the user can do about it, where it is known: one sentence or command.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::NotMounted => Some("mount -t cgroup2 cgroup2 /sys/fs/cgroup (as root)".into()),
            Self::NotDelegated { .. } | Self::Occupied { .. } => Some(scope_remedy()),
            Self::Missing { controller, absence, .. } => missing_remedy(*controller, absence),
            Self::Exists { .. } => Some("choose another name or cgroups path, or end these processes".into()),
            Self::Busy { .. } => Some("end these processes first".into()),
            Self::System { errno, .. } | Self::Write { errno, .. } => match *errno {
                Errno::ACCESS | Errno::PERM | Errno::ROFS => Some(scope_remedy()),
                Errno::NOSPC => Some(
                    "the host has as many cgroups as it may (cgroup.max.descendants, or 65535 with memory): \
                     remove unused ones"
                        .into(),
                ),
                _ => None,
            },
            Self::Frozen { path } => Some(format!("thaw it: echo 0 >{}/cgroup.freeze", path.display())),
            Self::NoSystemd { manager: Manager::System, .. } => {
                Some("leave out --systemd-cgroup where systemd does not run".into())
            }
            Self::NoSystemd { manager: Manager::User, .. } => Some(
                "leave out --systemd-cgroup, or set XDG_RUNTIME_DIR in a session of the user (loginctl enable-linger)"
                    .into(),
            ),
            Self::JobFailed { unit, .. } => Some(format!("see journalctl -u {unit}")),
            Self::Several { errors } => errors.iter().find_map(Self::remedy),
            _ => None,
        }
    }

    /// Whether this host, or this user on it, gets no such cgroup at all, whatever the limits are.
    pub fn is_lack(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::NotDelegated { .. }
                | Self::NotMounted
                | Self::Occupied { .. }
                | Self::NoSystemd { .. }
        )
    }

    /// Whether the object was gone already, which a teardown counts as done.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::System { errno: Errno::NOENT | Errno::NODEV, .. })
    }
}

fn scope_remedy() -> String {
    if rustix::process::geteuid().is_root() {
        return "run it where /sys/fs/cgroup is mounted writable and its root cgroup holds no processes"
            .into();
    }
    "systemd-run --user --scope -p Delegate=yes -- boxr …, or run it as root".into()
}

fn missing_remedy(controller: Controller, absence: &Absence) -> Option<String> {
    match absence {
        Absence::NotMounted => Some(format!(
            "give it to cgroup v2 (boot without cgroup_disable={controller}, with systemd.unified_cgroup_hierarchy=1), \
             or leave the option out"
        )),
        // Handing version 1 to users was never safe; nothing delegates it.
        Absence::NotYours { .. } => Some(format!(
            "run it as root, leave the option out, or boot with systemd.unified_cgroup_hierarchy=1, \
             which gives {controller} to cgroup v2, where users may have limits"
        )),
        Absence::NotDelegated { .. } if rustix::process::geteuid().is_root() => {
            Some(format!("enable it in the cgroup.subtree_control of the cgroups above: echo +{controller}"))
        }
        Absence::NotDelegated { .. } => Some(format!(
            "let systemd delegate it: put \"[Service]\" and \"Delegate=cpu cpuset io memory pids\" into \
             /etc/systemd/system/user@.service.d/delegate.conf, run systemctl daemon-reload, log in again, then {}",
            scope_remedy()
        )),
    }
}

fn absence_text(absence: &Absence) -> String {
    match absence {
        Absence::NotMounted => "which this host does not offer".into(),
        Absence::NotDelegated { parent } => format!("which {} is not given", parent.display()),
        Absence::NotYours { directory } => {
            format!("which is in cgroup v1, where this user may not write {}", directory.display())
        }
    }
}

fn pid_list(pids: &[i32]) -> String {
    const SHOWN: usize = 5;
    let mut text = pids.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if pids.len() > SHOWN {
        text.push_str(", …");
    }
    if text.is_empty() { "of another pid namespace".into() } else { text }
}

fn several(errors: &[Error]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
