//! The controllers of both versions of cgroups, and their names.

use std::fmt;

/// A controller; the word is version 2's where the versions differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Processor time.
    Cpu,
    /// Accounting of processor time (v1; part of every v2 cgroup).
    Cpuacct,
    /// Processors and memory nodes.
    Cpuset,
    /// Memory and swap.
    Memory,
    /// Number of tasks.
    Pids,
    /// Block devices: `blkio` in v1, `io` in v2.
    Io,
    /// Huge pages.
    Hugetlb,
    /// RDMA handles.
    Rdma,
    /// Class of network packets (v1).
    NetCls,
    /// Priority of network packets (v1).
    NetPrio,
    /// Access to device nodes (v1; a BPF program in v2).
    Devices,
    /// Freezing (v1; part of every v2 cgroup).
    Freezer,
    /// Performance events by cgroup (v1; part of every v2 cgroup).
    PerfEvent,
    /// Scarce things of several kinds.
    Misc,
    /// Memory of devices (v2).
    Dmem,
    /// No controller but the v1 hierarchy in which systemd keeps its units, `name=systemd`.
    Systemd,
}

impl Controller {
    /// Every controller.
    pub const ALL: [Self; 16] = [
        Self::Cpu,
        Self::Cpuacct,
        Self::Cpuset,
        Self::Memory,
        Self::Pids,
        Self::Io,
        Self::Hugetlb,
        Self::Rdma,
        Self::NetCls,
        Self::NetPrio,
        Self::Devices,
        Self::Freezer,
        Self::PerfEvent,
        Self::Misc,
        Self::Dmem,
        Self::Systemd,
    ];

    /// Its name in `/proc/self/cgroup` and as a mount option of v1.
    pub fn legacy_name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Io => "blkio",
            Self::Hugetlb => "hugetlb",
            Self::Rdma => "rdma",
            Self::NetCls => "net_cls",
            Self::NetPrio => "net_prio",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
            Self::PerfEvent => "perf_event",
            Self::Misc => "misc",
            Self::Dmem => "dmem",
            Self::Systemd => "name=systemd",
        }
    }

    /// Its name in `cgroup.controllers`; `None` for what v2 has no controller for.
    pub fn unified_name(self) -> Option<&'static str> {
        match self {
            Self::Io => Some("io"),
            Self::Cpuacct | Self::NetCls | Self::NetPrio | Self::Devices => None,
            Self::Freezer | Self::PerfEvent | Self::Systemd => None,
            other => Some(other.legacy_name()),
        }
    }

    /// The controller that v1 calls `name`.
    pub fn from_legacy_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|controller| controller.legacy_name() == name)
    }

    /// The controller that v2 calls `name`.
    pub fn from_unified_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|controller| controller.unified_name() == Some(name))
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.unified_name().unwrap_or(self.legacy_name()))
    }
}
