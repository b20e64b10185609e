//! What `events` of an OCI runtime prints, in the shape that runc gave it and containerd and podman read:
//! one JSON object a line, `{"type":"stats","id":…,"data":{…}}` or `{"type":"oom","id":…}`.
//!
//! Fields are named and left out as runc does (its `types/events.go`): numbers that programs reckon with are
//! there also as 0, others only where there is something to say. Where [`Stats`](crate::Stats) says `None`
//! for what nobody counts, 0 is all that this shape can say.

mod oom;
mod read;

use std::collections::BTreeMap;

use serde::Serialize;

pub use oom::{OomNews, OomWatch};

/// One line of `events`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Event<'a> {
    /// Figures.
    Stats {
        /// The container.
        id: &'a str,
        /// The figures.
        data: &'a ContainerStats,
    },
    /// Its memory ran out.
    Oom {
        /// The container.
        id: &'a str,
    },
}

/// The figures of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ContainerStats {
    /// Processor time.
    pub cpu: Cpu,
    /// Processors and memory nodes; only in version 1.
    pub cpuset: Cpuset,
    /// Memory.
    pub memory: Memory,
    /// Tasks.
    pub pids: Pids,
    /// Block devices.
    pub blkio: Blkio,
    /// Huge pages by their size, `2MB`.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Cache and memory bandwidth; filled by whoever manages resctrl.
    pub intel_rdt: IntelRdt,
    /// runc has it for networks that it no longer makes: always null.
    pub network_interfaces: Option<()>,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// What was used.
    pub usage: CpuUsage,
    /// How a quota held it back.
    pub throttling: Throttling,
    /// Pressure; only in version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// Nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpuUsage {
    /// In all.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// In all, of each processor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// In the kernel, of each processor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// In user mode, of each processor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In user mode.
    pub user: u64,
}

/// The bandwidth controller's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods in which the container wanted to run.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// Those in which it ran out of quota.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// How long it was held back, nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// Version 1's cpuset, file by file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each is the file of its name (cpuset(7))")]
pub struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u32>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u32>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Memory, bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Contents of files.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// All of it.
    pub usage: MemoryEntry,
    /// Memory and swap together, in both versions.
    pub swap: MemoryEntry,
    /// The kernel's own; only in version 1.
    pub kernel: MemoryEntry,
    /// Buffers of TCP; only in version 1.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// `memory.stat` as it is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    /// Pressure; only in version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// One kind of memory, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct MemoryEntry {
    /// The limit; the greatest number there is for none.
    pub limit: u64,
    /// In use.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most that was in use.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was met.
    pub failcnt: u64,
}

/// Tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pids {
    /// How many there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// How many there may be; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blkio {
    /// Bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    /// Pressure; only in version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// One kind of access to one device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BlkioEntry {
    /// Major number.
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    /// Minor number.
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write`, `Discard`…
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// How much.
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Hugetlb {
    /// In use.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most that was in use; only in version 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was met.
    pub failcnt: u64,
}

/// Cache and memory bandwidth (Intel RDT).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct IntelRdt {}

/// Pressure stall information.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Psi {
    /// Some task waited.
    pub some: PsiLine,
    /// All tasks waited.
    pub full: PsiLine,
}

/// Shares of time in percent, and the sum in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PsiLine {
    /// Of the last 10 seconds.
    pub avg10: f64,
    /// Of the last minute.
    pub avg60: f64,
    /// Of the last five minutes.
    pub avg300: f64,
    /// In all.
    pub total: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_looks_as_runc_shows_it() {
        let line = serde_json::to_value(Event::Stats { id: "c", data: &ContainerStats::default() }).unwrap();
        // Of `runc events --stats` on cgroup v2, with every figure at 0.
        let expected = serde_json::json!({
            "type": "stats", "id": "c",
            "data": {
                "cpu": {"usage": {"kernel": 0, "user": 0}, "throttling": {}},
                "cpuset": {"cpu_exclusive": 0, "mem_hardwall": 0, "mem_exclusive": 0, "memory_migrate": 0,
                    "memory_spread_page": 0, "memory_spread_slab": 0, "memory_pressure": 0,
                    "sched_load_balance": 0, "sched_relax_domain_level": 0},
                "memory": {"usage": {"limit": 0, "failcnt": 0}, "swap": {"limit": 0, "failcnt": 0},
                    "kernel": {"limit": 0, "failcnt": 0}, "kernelTCP": {"limit": 0, "failcnt": 0}},
                "pids": {}, "blkio": {}, "hugetlb": {}, "intel_rdt": {}, "network_interfaces": null
            }
        });
        assert_eq!(line, expected);
        assert_eq!(serde_json::to_string(&Event::Oom { id: "c" }).unwrap(), r#"{"type":"oom","id":"c"}"#);
    }
}
