//! What a box may use, and the cgroup that it is counted in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One resource limit of setrlimit(2), in its own unit; `u64::MAX` is unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `RLIMIT_NOFILE`…
    pub kind: String,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// Limits that need a cgroup. `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<i64>,
    /// Bytes of memory and swap together; -1 is no limit.
    pub memory_swap: Option<i64>,
    /// Thousandths of a processor.
    pub cpus_milli: Option<u64>,
    /// Relative weight, cgroup v1's scale 2-262144.
    pub cpu_shares: Option<u64>,
    /// Number of tasks.
    pub pids: Option<i64>,
    /// `0-2,5`
    pub cpuset_cpus: Option<String>,
    /// `0-1`
    pub cpuset_mems: Option<String>,
    /// Those that few boxes have.
    #[serde(skip_serializing_if = "Rare::is_empty")]
    pub rare: Box<Rare>,
}

/// Limits that few boxes have. `None` and an empty list: nothing was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rare {
    /// Bytes that are left to the box when memory is short.
    pub memory_reservation: Option<i64>,
    /// 0 to 100.
    pub memory_swappiness: Option<u64>,
    /// Whether its processes wait rather than end when its memory is used up.
    pub oom_kill_disable: Option<bool>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds in each period; -1 is no limit.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_rt_period: Option<u64>,
    /// Microseconds in each period.
    pub cpu_rt_runtime: Option<i64>,
    /// Weight of block I/O, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// The same for single devices.
    pub blkio_weight_devices: Vec<DeviceFigure>,
    /// Bytes a second.
    pub read_bps: Vec<DeviceFigure>,
    /// Bytes a second.
    pub write_bps: Vec<DeviceFigure>,
    /// Operations a second.
    pub read_iops: Vec<DeviceFigure>,
    /// Operations a second.
    pub write_iops: Vec<DeviceFigure>,
    /// Files of cgroup v2, and what is written into them.
    pub unified: BTreeMap<String, String>,
}

impl Rare {
    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A weight or a rate of a block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFigure {
    /// Its path on the host.
    pub path: PathBuf,
    /// What it is.
    pub figure: u64,
}

impl Limits {
    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What was said of a box's cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupChoice {
    /// Whether it has one.
    pub mode: CgroupMode,
    /// The cgroup, or systemd's slice, that it is made in.
    pub parent: Option<String>,
}

impl CgroupChoice {
    /// Whether nothing was said.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a box has a cgroup of its own (podman's words).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CgroupMode {
    /// It has, wherever boxr's boxes have theirs. Its monitor is never in it, which is also `no-conmon`.
    #[default]
    Enabled,
    /// It stays in its maker's.
    Disabled,
    /// It has one below its maker's.
    Split,
}

impl CgroupMode {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Split => "split",
        }
    }
}
