//! What boxr remembers of a box: the record (what it is) and the state (how it is).

use serde::{Deserialize, Serialize};

pub use boxr_runtime::identity::ProcessRef;

use crate::options::{BoxOptions, Retention};

/// Version of the files on disk. A reader refuses a newer one and accepts older ones.
pub const FORMAT: u32 = 1;

/// `record.json`: what a box was made from. Written at create, and by `rename` and `update`. To write one, a reference
/// to the options is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<Options = BoxOptions> {
    /// [`FORMAT`]
    pub format: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// The options it starts from.
    pub options: Options,
}

/// How the first process of a box ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// With a status of its own, 0-255.
    Code(u8),
    /// By a signal.
    Signal(u8),
    /// Ended by `--timeout`.
    Timeout,
    /// Nobody saw it, and the kernel does not tell (ARCHITECTURE.md, "The monitor").
    Unknown,
}

impl Exit {
    /// The exit status a shell would show (ARCHITECTURE.md, "Exit statuses"): 0-255, 128+N, 124; 255 when unknown.
    pub fn status(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128u8.wrapping_add(signal),
            Self::Timeout => 124,
            Self::Unknown => 255,
        }
    }
}

/// How far a box has come, as it was last written down. What is true now also depends on
/// whether [`State::process`] still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Has never run.
    Created,
    /// Its first process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended and its output has been written to the log.
    Exited,
}

/// `state.json`: how a box is; small, and all that `ps` reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`FORMAT`]
    pub format: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The command, for people.
    pub command: String,
    /// What `ps` shows as image: `host`, or the root directory.
    pub image: String,
    /// What remains when it ends.
    pub retention: Retention,
    /// `KEY=VALUE` labels, as in the options.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Nanoseconds since 1970 UTC.
    pub created: i64,
    /// Nanoseconds since 1970 UTC, of the last start.
    pub started: Option<i64>,
    /// Nanoseconds since 1970 UTC, of the last end.
    pub finished: Option<i64>,
    /// As last written.
    pub status: Status,
    /// The first process, while running or paused.
    pub process: Option<ProcessRef>,
    /// The monitor of a detached box, or the foreground boxr that waits for it.
    pub supervisor: Option<ProcessRef>,
    /// Whether the supervisor is a monitor: output goes to the log, `attach` works.
    pub monitored: bool,
    /// A request to end by this signal that only SIGKILL could carry out, because a pid
    /// namespace's first process ignores signals it has no handler for (pid_namespaces(7)).
    pub ending_signal: Option<u8>,
    /// How it ended the last time.
    pub exit: Option<Exit>,
    /// Whether the kernel killed a process of it for want of memory, the last time.
    #[serde(default, skip_serializing_if = "is_false")]
    pub oom_killed: bool,
    /// Why the last start failed, when it did.
    pub error: Option<String>,
    /// random/boot_id of the boot in which `process` and `supervisor` mean something.
    pub boot_id: String,
    /// Number of the pid namespace they are numbered in ([`crate::boot::Here`]); 0 is not known.
    #[serde(default)]
    pub pid_namespace: u64,
    /// Where its cgroups are, if it has any.
    pub cgroup: Option<boxr_cgroup::Location>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// How its health checks went, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<crate::health::HealthState>,
    /// How often it was started again, and when it will be.
    #[serde(default, skip_serializing_if = "Again::is_nothing")]
    pub again: Again,
    /// The id of the pod that it is a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Whether boxr-network has something of it, which is given back when it ends.
    #[serde(default)]
    pub networked: bool,
    /// Whether what happens to it is journaled ([`crate::events`]).
    #[serde(default)]
    pub journaled: bool,
}

/// Of a box that is started again when it has ended (`--restart`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Again {
    /// How often it was, since a person started it.
    pub count: u32,
    /// How often in a row it has ended soon after its start.
    pub streak: u32,
    /// When it will be, nanoseconds since 1970 UTC; its supervisor waits for that.
    pub at: Option<i64>,
    /// A person has ended it.
    pub halted: bool,
    /// It was not a person, but the end of the host: then it is to be started when the host is.
    #[serde(skip_serializing_if = "is_false")]
    pub by_shutdown: bool,
    /// The command that ends it to start it again at once: while it lives the end removes nothing (`--rm`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarter: Option<ProcessRef>,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Again {
    /// Whether a box with this policy is started when the host is: docker's `always`, and `unless-stopped` if nobody has
    /// stopped it.
    pub fn is_wanted_at_boot(&self, policy: crate::options::Restart) -> bool {
        use crate::options::Restart;
        match policy {
            Restart::Always => true,
            Restart::UnlessStopped => !self.halted || self.by_shutdown,
            Restart::No | Restart::OnFailure { .. } => false,
        }
    }

    /// Whether a command is about to start it again.
    pub fn is_being_restarted(&self) -> bool {
        self.restarter.as_ref().is_some_and(ProcessRef::is_alive)
    }

    /// Whether nothing is to be said of it.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
