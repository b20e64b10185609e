//! The options that ask for a limit, by the names people and the OCI specification use.

use std::borrow::Cow;
use std::fmt;

/// One option: its place in `linux.resources` of the OCI specification, and its flag if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// `memory.limit`
    pub name: Cow<'static, str>,
    /// `--memory`
    pub flag: Option<&'static str>,
}

impl Field {
    /// A field that has a flag.
    pub(crate) const fn flag(name: &'static str, flag: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), flag: Some(flag) }
    }

    /// A field that has none.
    pub(crate) const fn plain(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), flag: None }
    }

    /// A key of `unified`, or an element of a list.
    pub(crate) fn dynamic(name: String) -> Self {
        Self { name: Cow::Owned(name), flag: None }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flag {
            Some(flag) => write!(f, "{flag} (linux.resources.{})", self.name),
            None => write!(f, "linux.resources.{}", self.name),
        }
    }
}

pub(crate) const MEMORY_LIMIT: Field = Field::flag("memory.limit", "--memory");
pub(crate) const MEMORY_SWAP: Field = Field::flag("memory.swap", "--memory-swap");
pub(crate) const MEMORY_RESERVATION: Field = Field::flag("memory.reservation", "--memory-reservation");
pub(crate) const MEMORY_SWAPPINESS: Field = Field::flag("memory.swappiness", "--memory-swappiness");
pub(crate) const MEMORY_KERNEL_TCP: Field = Field::plain("memory.kernelTCP");
pub(crate) const MEMORY_OOM: Field = Field::flag("memory.disableOOMKiller", "--oom-kill-disable");
pub(crate) const CPU_SHARES: Field = Field::flag("cpu.shares", "--cpu-shares");
pub(crate) const CPU_QUOTA: Field = Field::flag("cpu.quota", "--cpus");
pub(crate) const CPU_PERIOD: Field = Field::flag("cpu.period", "--cpus");
pub(crate) const CPU_BURST: Field = Field::plain("cpu.burst");
pub(crate) const CPU_IDLE: Field = Field::plain("cpu.idle");
pub(crate) const CPU_REALTIME_RUNTIME: Field = Field::flag("cpu.realtimeRuntime", "--cpu-rt-runtime");
pub(crate) const CPU_REALTIME_PERIOD: Field = Field::flag("cpu.realtimePeriod", "--cpu-rt-period");
pub(crate) const CPUSET_CPUS: Field = Field::flag("cpu.cpus", "--cpuset-cpus");
pub(crate) const CPUSET_MEMS: Field = Field::flag("cpu.mems", "--cpuset-mems");
pub(crate) const PIDS_LIMIT: Field = Field::flag("pids.limit", "--pids-limit");
