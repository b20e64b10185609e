//! `process.scheduler`, `ioPriority` and `execCPUAffinity`; `linux.personality` and `memoryPolicy`.

use boxr_sys::{ioprio, mempolicy, personality, scheduler};
use oci_spec::runtime::{
    ExecCPUAffinity, IOPriorityClass, Linux, LinuxIOPriority, LinuxMemoryPolicy, LinuxPersonality,
    LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType,
    MemoryPolicyModeType, Process, Scheduler,
};
use rustix::thread::CpuSet;

use super::super::tuning::{MemoryPolicy, Tuning};
use super::{labels, numbers};
use crate::error::Error;

/// What `process` itself says; for a container's first process, without affinity.
pub(super) fn of_process(process: &Process) -> Result<Tuning, Error> {
    Ok(Tuning {
        scheduler: process.scheduler().as_ref().map(attributes).transpose()?,
        io_priority: process.io_priority().as_ref().map(io_priority).transpose()?,
        apparmor_profile: labels::apparmor(process.apparmor_profile().as_deref())?,
        selinux_label: labels::selinux("process.selinuxLabel", process.selinux_label().as_deref())?,
        ..Tuning::default()
    })
}

/// Adds what `linux` says of the container.
pub(super) fn of_container(tuning: &mut Tuning, linux: &Linux) -> Result<(), Error> {
    tuning.personality = linux.personality().as_ref().map(domain).transpose()?;
    tuning.memory_policy = linux.memory_policy().as_ref().map(memory_policy).transpose()?;
    Ok(())
}

/// Adds the affinity of a further process.
pub(super) fn affinity(tuning: &mut Tuning, affinity: &ExecCPUAffinity) -> Result<(), Error> {
    let set = |part: &str, list: &Option<String>| match list.as_deref() {
        None | Some("") => Ok(None),
        Some(list) => processors(&format!("process.execCPUAffinity.{part}"), list).map(Some),
    };
    tuning.initial_processors = set("initial", affinity.initial())?;
    tuning.final_processors = set("final", affinity.cpu_affinity_final())?;
    Ok(())
}

fn processors(field: &str, list: &str) -> Result<CpuSet, Error> {
    let mut set = CpuSet::new();
    for number in numbers::list(field, list, CpuSet::MAX_CPU as u32)? {
        set.set(number as usize);
    }
    Ok(set)
}

fn attributes(scheduler: &Scheduler) -> Result<scheduler::Attributes, Error> {
    use boxr_sys::scheduler::{flag, policy};
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => policy::OTHER,
        LinuxSchedulerPolicy::SchedFifo => policy::FIFO,
        LinuxSchedulerPolicy::SchedRr => policy::RR,
        LinuxSchedulerPolicy::SchedBatch => policy::BATCH,
        LinuxSchedulerPolicy::SchedIso => policy::ISO,
        LinuxSchedulerPolicy::SchedIdle => policy::IDLE,
        LinuxSchedulerPolicy::SchedDeadline => policy::DEADLINE,
    };
    let flags = scheduler.flags().iter().flatten().fold(0, |flags, one| {
        flags
            | match one {
                LinuxSchedulerFlag::SchedResetOnFork => flag::RESET_ON_FORK,
                LinuxSchedulerFlag::SchedFlagReclaim => flag::RECLAIM,
                LinuxSchedulerFlag::SchedFlagDLOverrun => flag::DL_OVERRUN,
                LinuxSchedulerFlag::SchedFlagKeepPolicy => flag::KEEP_POLICY,
                LinuxSchedulerFlag::SchedFlagKeepParams => flag::KEEP_PARAMS,
                LinuxSchedulerFlag::SchedFlagUtilClampMin => flag::UTIL_CLAMP_MIN,
                LinuxSchedulerFlag::SchedFlagUtilClampMax => flag::UTIL_CLAMP_MAX,
            }
    });
    let priority = scheduler.priority().unwrap_or(0);
    let priority = u32::try_from(priority).map_err(|_| {
        Error::field("process.scheduler.priority", format!("{priority}: priorities are not negative"))
    })?;
    Ok(scheduler::Attributes {
        policy,
        flags,
        nice: scheduler.nice().unwrap_or(0),
        priority,
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    })
}

fn io_priority(priority: &LinuxIOPriority) -> Result<(ioprio::Class, u8), Error> {
    let class = match priority.class() {
        IOPriorityClass::IoprioClassRt => ioprio::Class::RealTime,
        IOPriorityClass::IoprioClassBe => ioprio::Class::BestEffort,
        IOPriorityClass::IoprioClassIdle => ioprio::Class::Idle,
    };
    let level = priority.priority();
    match u8::try_from(level) {
        Ok(level) if level < 8 => Ok((class, level)),
        _ => Err(Error::field("process.ioPriority.priority", format!("{level}: not between 0 and 7"))),
    }
}

fn domain(personality: &LinuxPersonality) -> Result<u32, Error> {
    if let Some(flag) = personality.flags().iter().flatten().next() {
        return Err(Error::field("linux.personality.flags", format!("{flag}: no flag is defined")));
    }
    Ok(match personality.domain() {
        LinuxPersonalityDomain::PerLinux => personality::LINUX,
        LinuxPersonalityDomain::PerLinux32 => personality::LINUX32,
    })
}

fn memory_policy(policy: &LinuxMemoryPolicy) -> Result<MemoryPolicy, Error> {
    use boxr_sys::mempolicy::{flag, mode};
    let bare = match policy.mode() {
        MemoryPolicyModeType::MpolDefault => mode::DEFAULT,
        MemoryPolicyModeType::MpolBind => mode::BIND,
        MemoryPolicyModeType::MpolInterleave => mode::INTERLEAVE,
        MemoryPolicyModeType::MpolWeightedInterleave => mode::WEIGHTED_INTERLEAVE,
        MemoryPolicyModeType::MpolPreferred => mode::PREFERRED,
        MemoryPolicyModeType::MpolPreferredMany => mode::PREFERRED_MANY,
        MemoryPolicyModeType::MpolLocal => mode::LOCAL,
    };
    let flags = policy.flags().iter().flatten().fold(0, |flags, one| {
        flags
            | match one {
                MemoryPolicyFlagType::MpolFNumaBalancing => flag::NUMA_BALANCING,
                MemoryPolicyFlagType::MpolFRelativeNodes => flag::RELATIVE_NODES,
                MemoryPolicyFlagType::MpolFStaticNodes => flag::STATIC_NODES,
            }
    });
    let nodes = policy.nodes().as_deref().unwrap_or_default();
    if matches!(bare, mode::DEFAULT | mode::LOCAL) && !nodes.trim().is_empty() {
        return Err(Error::field("linux.memoryPolicy.nodes", "this mode takes none"));
    }
    if matches!(
        bare,
        mempolicy::mode::BIND
            | mempolicy::mode::INTERLEAVE
            | mempolicy::mode::WEIGHTED_INTERLEAVE
            | mempolicy::mode::PREFERRED_MANY
    ) && nodes.trim().is_empty()
    {
        return Err(Error::field("linux.memoryPolicy.nodes", "this mode needs at least one node"));
    }
    Ok(MemoryPolicy { mode: bare | flags, nodes: bits("linux.memoryPolicy.nodes", nodes)? })
}

fn bits(field: &str, list: &str) -> Result<Vec<u64>, Error> {
    let mut words = Vec::new();
    for number in numbers::list(field, list, 1024)? {
        let (word, bit) = ((number / 64) as usize, number % 64);
        if words.len() <= word {
            words.resize(word + 1, 0u64);
        }
        if let Some(word) = words.get_mut(word) {
            *word |= 1 << bit;
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_become_bits() {
        assert_eq!(bits("x", "0,2-3,64").unwrap(), [0b1101, 1]);
        assert!(bits("x", "").unwrap().is_empty());
    }

    #[test]
    fn io_levels_are_those_of_the_kernel() {
        let priority = |json: &str| io_priority(&serde_json::from_str(json).unwrap());
        let best = priority(r#"{"class":"IOPRIO_CLASS_BE","priority":7}"#);
        assert_eq!(best.unwrap(), (ioprio::Class::BestEffort, 7));
        let refused = priority(r#"{"class":"IOPRIO_CLASS_RT","priority":8}"#).unwrap_err();
        assert_eq!(refused.to_string(), "process.ioPriority.priority: 8: not between 0 and 7");
    }
}
