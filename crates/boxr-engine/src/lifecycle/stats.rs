//! What a box uses: from its cgroups, and from /proc where these do not tell.

use std::time::Instant;

use boxr_cgroup::{Cgroup, Pressure};

use super::{members, top};
use crate::record::State;
use crate::store::Store;

/// One look at a box; `None` is what nobody counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When, for rates.
    pub at: Instant,
    /// Processor time until now, nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Memory in use, bytes.
    pub memory: Option<u64>,
    /// Its limit, bytes: the box's, its pod's, or all there is.
    pub memory_limit: Option<u64>,
    /// Bytes received and sent, where the box has a network namespace of its own.
    pub network: Option<(u64, u64)>,
    /// Bytes read from and written to block devices.
    pub block: Option<(u64, u64)>,
    /// Tasks.
    pub tasks: Option<u64>,
    /// Shares of time in which tasks waited.
    pub pressure: Pressure,
}

/// The bytes of memory that the members of a box's pod have together, where they are limited.
fn memory_of_pod(store: &Store, state: &State) -> Option<u64> {
    let pod = store.resolve_pod(state.pod.as_ref()?).ok()?;
    let bytes = pod.read_record().ok()?.options.limits.memory?;
    u64::try_from(bytes).ok()
}

/// Looks at a running box. What cannot be read is unknown.
pub fn sample(store: &Store, state: &State) -> Sample {
    let stats = state
        .cgroup
        .as_ref()
        .and_then(|location| Cgroup::open(location).ok()?.stats().ok())
        .unwrap_or_default();
    let mut sample = Sample {
        at: Instant::now(),
        cpu_ns: stats.cpu.map(|cpu| cpu.total_ns),
        memory: stats.memory.map(|memory| memory.usage),
        memory_limit: stats.memory.and_then(|memory| memory.limit),
        network: network(state),
        block: stats.io.map(|io| (io.read_bytes, io.write_bytes)),
        tasks: stats.pids.map(|pids| pids.current),
        pressure: stats.pressure,
    };
    if sample.cpu_ns.is_none() || sample.memory.is_none() || sample.tasks.is_none() {
        add_from_processes(&mut sample, state);
    }
    let limits = [sample.memory_limit, memory_of_pod(store, state), total_memory()];
    sample.memory_limit = limits.into_iter().flatten().min();
    sample
}

/// Sums over the processes that live. Time of those that have ended is not in it, and memory that
/// several share is counted once only where the kernel tells (`Pss` of proc_pid_smaps(5)).
fn add_from_processes(sample: &mut Sample, state: &State) {
    let (mut ticks, mut bytes, mut tasks) = (0u64, 0u64, 0u64);
    let mut alive = false;
    for process in members::of(state).into_iter().filter_map(top::read) {
        alive = true;
        ticks = ticks.saturating_add(process.cpu_ticks);
        bytes = bytes.saturating_add(proportional_bytes(process.pid).unwrap_or(process.resident_bytes));
        tasks = tasks.saturating_add(u64::from(process.threads));
    }
    if !alive {
        return;
    }
    let nanoseconds = 1_000_000_000 / top::ticks_per_second().max(1);
    sample.cpu_ns.get_or_insert(ticks.saturating_mul(nanoseconds));
    sample.memory.get_or_insert(bytes);
    sample.tasks.get_or_insert(tasks);
}

fn proportional_bytes(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    kilobytes(&text, "Pss:")
}

fn total_memory() -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

/// All interfaces but loopback, of a network namespace that is not the caller's.
fn network(state: &State) -> Option<(u64, u64)> {
    let pid = state.process?.pid;
    let theirs = rustix::fs::stat(format!("/proc/{pid}/ns/net")).ok()?.st_ino;
    let own = rustix::fs::stat("/proc/self/ns/net").ok()?.st_ino;
    if theirs == own {
        return None;
    }
    Some(sum_interfaces(&std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?))
}

/// proc_pid_net(5): two lines of heading, then `NAME: RECEIVED 7 more SENT …`.
fn sum_interfaces(text: &str) -> (u64, u64) {
    let mut sum = (0u64, 0u64);
    for line in text.lines().skip(2) {
        let Some((name, figures)) = line.split_once(':') else { continue };
        if name.trim() == "lo" {
            continue;
        }
        let figures: Vec<u64> =
            figures.split_ascii_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
        sum.0 = sum.0.saturating_add(figures.first().copied().unwrap_or(0));
        sum.1 = sum.1.saturating_add(figures.get(8).copied().unwrap_or(0));
    }
    sum
}

/// Processor time used between two looks, in percent of one processor; `None` where either is
/// unknown, or no time passed.
pub fn cpu_percent(before: &Sample, after: &Sample) -> Option<f64> {
    let used = after.cpu_ns?.saturating_sub(before.cpu_ns?);
    let passed = after.at.checked_duration_since(before.at)?.as_nanos();
    #[allow(clippy::cast_precision_loss, reason = "two places are shown")]
    (passed > 0).then(|| used as f64 * 100.0 / passed as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn empty() -> Sample {
        Sample {
            at: Instant::now(),
            cpu_ns: None,
            memory: None,
            memory_limit: None,
            network: None,
            block: None,
            tasks: None,
            pressure: Pressure::default(),
        }
    }

    #[test]
    fn rates_need_two_known_looks() {
        let before = Sample { cpu_ns: Some(1_000_000_000), ..empty() };
        let mut after = Sample { at: before.at + Duration::from_secs(2), ..before.clone() };
        after.cpu_ns = Some(2_500_000_000);
        assert_eq!(cpu_percent(&before, &after), Some(75.0));
        assert_eq!(cpu_percent(&before, &before), None);
        after.cpu_ns = None;
        assert_eq!(cpu_percent(&before, &after), None);
    }

    #[test]
    fn interfaces_are_added_without_loopback() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes  packets\n    \
                    lo: 500 1 0 0 0 0 0 0 500 1 0 0 0 0 0 0\n  \
                    eth0: 1000 2 0 0 0 0 0 0 2000 3 0 0 0 0 0 0\n  eth1:1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n";
        assert_eq!(sum_interfaces(text), (1001, 2002));
    }

    #[test]
    fn kilobytes_of_proc() {
        assert_eq!(kilobytes("MemTotal:       16384 kB\nMemFree: 1 kB\n", "MemTotal:"), Some(16_777_216));
        assert_eq!(kilobytes("", "MemTotal:"), None);
    }
}
