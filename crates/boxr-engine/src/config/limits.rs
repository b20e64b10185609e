//! The limits of a box's cgroup, from what was said.

use super::error::ConfigError;
use super::overlay::overlay;
use super::raw::RawRun;
use super::resolve::conflict;
use crate::options::{CgroupChoice, CgroupMode, Limits, Rare};

impl Rare {
    /// What a file says where `flags` say nothing; of lists, both.
    pub(super) fn overlaid_by(self, flags: Self) -> Self {
        let mut file = self;
        overlay! {
            file, flags: memory_reservation memory_swappiness oom_kill_disable cpu_period cpu_quota cpu_rt_period
            cpu_rt_runtime blkio_weight;
            blkio_weight_devices read_bps write_bps read_iops write_iops unified
        }
        file
    }
}

/// The limits that were said.
///
/// # Errors
/// Two that contradict each other.
pub fn resolve(raw: &RawRun) -> Result<Limits, ConfigError> {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let memory = raw.memory.filter(|bytes| *bytes > 0).map(signed);
    let memory_swap = raw.memory_swap.filter(|bytes| *bytes != 0);
    check_swap(memory, memory_swap)?;
    check_rare(raw, memory)?;
    Ok(Limits {
        memory,
        memory_swap,
        cpus_milli: raw.cpus_milli,
        cpu_shares: raw.cpu_shares.filter(|shares| *shares > 0),
        pids: raw.pids.filter(|count| *count > 0),
        cpuset_cpus: raw.cpuset_cpus.clone(),
        cpuset_mems: raw.cpuset_mems.clone(),
        rare: Box::new(raw.rare.clone()),
    })
}

/// What was said of the cgroup itself.
///
/// # Errors
/// Limits of one that is not to be.
pub(super) fn cgroup(raw: &RawRun) -> Result<CgroupChoice, ConfigError> {
    let mode = raw.cgroup_mode.unwrap_or_default();
    let why = "limits and places are of a cgroup";
    if mode == CgroupMode::Disabled && !resolve(raw)?.is_empty() {
        return Err(conflict("--cgroups disabled", "a limit", why, ""));
    }
    if mode != CgroupMode::Enabled && raw.cgroup_parent.is_some() {
        return Err(conflict(&format!("--cgroups {}", mode.word()), "--cgroup-parent", why, ""));
    }
    Ok(CgroupChoice { mode, parent: raw.cgroup_parent.clone() })
}

fn check_swap(memory: Option<i64>, memory_swap: Option<i64>) -> Result<(), ConfigError> {
    match (memory, memory_swap) {
        (None, Some(swap)) if swap > 0 => {
            let other = "--memory: the swap's limit is of memory and swap together";
            Err(ConfigError::Needs { one: format!("--memory-swap {swap}"), other })
        }
        (Some(memory), Some(swap)) if swap > 0 && swap < memory => {
            let (one, other) = (format!("--memory-swap {swap}"), format!("--memory {memory}"));
            Err(conflict(&one, &other, "memory and swap together are less than memory alone", ""))
        }
        _ => Ok(()),
    }
}

fn check_rare(raw: &RawRun, memory: Option<i64>) -> Result<(), ConfigError> {
    let rare = &raw.rare;
    if raw.cpus_milli.is_some() && (rare.cpu_period.is_some() || rare.cpu_quota.is_some()) {
        let other = if rare.cpu_quota.is_some() { "--cpu-quota" } else { "--cpu-period" };
        return Err(conflict("--cpus", other, "--cpus is a quota and a period in one", ""));
    }
    match (memory, rare.memory_reservation) {
        (Some(memory), Some(kept)) if kept > memory => {
            let (one, other) = (format!("--memory-reservation {kept}"), format!("--memory {memory}"));
            Err(conflict(&one, &other, "more is to be left to the box than it may have", ""))
        }
        _ => Ok(()),
    }
}

impl Limits {
    /// These, with those of `change` in their place.
    #[must_use]
    pub fn changed_by(&self, change: &Self) -> Self {
        let mut old = self.clone();
        let new = change.clone();
        overlay! { old, new: memory memory_swap cpus_milli cpu_shares pids cpuset_cpus cpuset_mems; }
        // Either way of saying how much processor time there is takes the other's place.
        if new.cpus_milli.is_some() {
            (old.rare.cpu_quota, old.rare.cpu_period) = (None, None);
        } else if new.rare.cpu_quota.is_some() || new.rare.cpu_period.is_some() {
            old.cpus_milli = None;
        }
        old.rare = Box::new(old.rare.overlaid_by(*new.rare));
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_takes_the_place_of_what_it_is_about() {
        let old = Limits { memory: Some(1), cpus_milli: Some(500), ..Limits::default() };
        let rare = Rare { cpu_quota: Some(7), ..Rare::default() };
        let change = Limits { pids: Some(3), rare: Box::new(rare.clone()), ..Limits::default() };
        let now = old.changed_by(&change);
        assert_eq!((now.memory, now.pids, now.cpus_milli), (Some(1), Some(3), None));
        assert_eq!(*now.rare, rare);
        let now = now.changed_by(&Limits { cpus_milli: Some(900), ..Limits::default() });
        assert_eq!((now.cpus_milli, now.rare.cpu_quota), (Some(900), None));
    }

    #[test]
    fn what_contradicts_each_other_is_refused() {
        let raw = |rare| RawRun { memory: Some(1 << 20), cpus_milli: Some(1), rare, ..RawRun::default() };
        assert!(resolve(&raw(Rare { cpu_period: Some(1000), ..Rare::default() })).is_err());
        assert!(resolve(&raw(Rare { memory_reservation: Some(2 << 20), ..Rare::default() })).is_err());
        assert!(resolve(&raw(Rare { memory_reservation: Some(1 << 20), ..Rare::default() })).is_ok());
    }
}
