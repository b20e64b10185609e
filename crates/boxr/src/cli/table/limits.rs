//! Limits of cgroups: those of `run` and `create`, of which `update` has most.

use crate::cli::flag::Flag;

/// The heading of help.
pub(super) const TITLE: &str = "Limits";

/// Each has a setting in `boxr_engine::config`.
pub static LIMITS: &[Flag] = &[
    Flag::value("memory", "SIZE", "Memory: 512m, 2g").short('m').group(TITLE),
    Flag::value("memory-swap", "SIZE", "Memory and swap together; -1 is no limit").group(TITLE),
    Flag::value("cpus", "N", "Processors: 1.5").group(TITLE),
    Flag::value("cpu-shares", "N", "Weight against others, 2 to 262144 (1024 is usual)")
        .short('c')
        .group(TITLE),
    Flag::value("cpuset-cpus", "LIST", "Only these processors: 0-2,5").group(TITLE),
    Flag::value("cpuset-mems", "LIST", "Only these memory nodes: 0-1").group(TITLE),
    Flag::value("pids-limit", "N", "Processes and threads; -1 is no limit").group(TITLE),
    Flag::value("memory-reservation", "SIZE", "Memory that is left to it when the host is short of it")
        .group(TITLE),
    Flag::value("memory-swappiness", "N", "0 to 100: how gladly it is swapped out (cgroup v1)").group(TITLE),
    Flag::switch("oom-kill-disable", "Let it wait, not die, when its memory is used up (cgroup v1)")
        .group(TITLE),
    Flag::value("cpu-period", "MICROSECONDS", "In which --cpu-quota may be used (default 100000)")
        .group(TITLE),
    Flag::value("cpu-quota", "MICROSECONDS", "Processor time in each period; -1 is no limit").group(TITLE),
    Flag::value("cpu-rt-period", "MICROSECONDS", "Of real-time scheduling (cgroup v1)").group(TITLE),
    Flag::value("cpu-rt-runtime", "MICROSECONDS", "Real-time processor time in each period (cgroup v1)")
        .group(TITLE),
    Flag::value("blkio-weight", "N", "Weight of block I/O against others, 10 to 1000").group(TITLE),
    Flag::value("blkio-weight-device", "DEVICE:N", "The same for one device").group(TITLE).repeat(),
    Flag::value("device-read-bps", "DEVICE:SIZE", "Bytes a second from a device: /dev/sda:10m")
        .group(TITLE)
        .repeat(),
    Flag::value("device-write-bps", "DEVICE:SIZE", "Bytes a second to a device").group(TITLE).repeat(),
    Flag::value("device-read-iops", "DEVICE:N", "Reads a second from a device").group(TITLE).repeat(),
    Flag::value("device-write-iops", "DEVICE:N", "Writes a second to a device").group(TITLE).repeat(),
    Flag::value("cgroup-conf", "FILE=VALUE", "Write into a file of its cgroup v2: memory.high=1073741824")
        .group(TITLE)
        .repeat(),
];

/// Limits that no running box can be given.
pub static AT_START: &[Flag] = &[
    Flag::value("device-cgroup-rule", "RULE", "Let a container of an image use devices: 'c 10:229 rwm'")
        .group(TITLE)
        .repeat(),
    Flag::value("cgroups", "MODE", "enabled (default), disabled, or split: below the caller's own")
        .group(TITLE)
        .complete(crate::cli::flag::Complete::Words(&["enabled", "disabled", "no-conmon", "split"])),
    Flag::value("cgroup-parent", "PATH", "Make its cgroup in this one, or in this slice of systemd's")
        .group(TITLE),
    Flag::value("kernel-memory", "SIZE", "No effect: Linux has no such limit any more").group(TITLE).hidden(),
];
