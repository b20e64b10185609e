//! Privileges of the command, given up in this order: no_new_privs, the bounding set, groups,
//! ids, capabilities (ARCHITECTURE.md, "Security rules").

use rustix::io::Errno;
use rustix::process::{Gid, Pid, Resource, Rlimit, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::seccomp;
use crate::capabilities::{self, Capabilities, Sets};
use crate::error::{At, Step, StepError};
use crate::idmap::IdMap;
use crate::plan::{Plan, ProcessPlan, UserPlan};

/// In a new user namespace the process has every capability but perhaps ids that are not
/// mapped; files and mounts that it makes must belong to somebody.
pub(super) fn become_root_of_namespace(map: &IdMap) -> Result<(), StepError> {
    if !map.has_uid(0) || !map.has_gid(0) {
        return Ok(());
    }
    use crate::idmap::Writer::{Above, Helpers};
    if map.allows_setgroups() && matches!(map.writer, Helpers | Above) {
        set_thread_groups(&[]).at(Step::Groups, "none")?;
    }
    set_ids(0, 0)
}

/// After joining a user namespace in which root is mapped.
pub(super) fn become_root() -> Result<(), StepError> {
    set_ids(0, 0)
}

/// What is set through the host's /proc, or needs privilege over the host: in a user namespace of
/// the container's there is none.
pub(super) fn apply_through_proc(plan: &Plan) -> Result<(), StepError> {
    if let Some(score) = plan.process.oom_score_adj {
        std::fs::write("/proc/self/oom_score_adj", score.to_string()).at(Step::OomScore, score)?;
    }
    raise_limits(plan, None)
}

/// The same for the first process `pid` of a new user namespace, by its parent.
pub(super) fn apply_from_outside(plan: &Plan, pid: Pid) -> Result<(), StepError> {
    if let Some(score) = plan.process.oom_score_adj {
        let path = format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero());
        std::fs::write(path, score.to_string()).at(Step::OomScore, score)?;
    }
    raise_limits(plan, Some(pid))
}

/// Hard limits above the caller's; low ones could stop the runtime itself and come last.
fn raise_limits(plan: &Plan, pid: Option<Pid>) -> Result<(), StepError> {
    for (resource, limit) in &plan.process.rlimits {
        let now = rustix::process::getrlimit(*resource);
        let is_raised = now.maximum.is_some_and(|now| limit.maximum.is_none_or(|wanted| wanted > now));
        if is_raised {
            let raised = Rlimit { current: now.current, maximum: limit.maximum };
            rustix::process::prlimit(pid, *resource, raised)
                .map_err(|errno| limit_error(*resource, *limit, errno))?;
        }
    }
    Ok(())
}

fn set_limits(plan: &Plan) -> Result<(), StepError> {
    for (resource, limit) in &plan.process.rlimits {
        rustix::process::setrlimit(*resource, *limit)
            .map_err(|errno| limit_error(*resource, *limit, errno))?;
    }
    Ok(())
}

fn limit_error(resource: Resource, limit: Rlimit, errno: Errno) -> StepError {
    let show = |value: Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string());
    let name = format!("{resource:?}").to_uppercase();
    let hint = match errno {
        Errno::PERM => " (a hard limit is raised only with CAP_SYS_RESOURCE)",
        _ => "",
    };
    let what = format!("RLIMIT_{name} to {}:{}{hint}", show(limit.current), show(limit.maximum));
    StepError::new(Step::Rlimit, what, errno)
}

/// Gives up what the plan does not leave, but for the right to load a seccomp filter, where that takes one:
/// then the sets that are to be put in force after it are returned.
pub(super) fn apply(plan: &Plan) -> Result<Option<Sets>, StepError> {
    let process = &plan.process;
    set_limits(plan)?;
    if let Some(mask) = process.umask {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
    }
    if process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).at(Step::NoNewPrivileges, "no_new_privs")?;
    }
    let filter_takes_right = process.seccomp.is_some() && !process.no_new_privileges;
    let sets = match &process.capabilities {
        Some(sets) => Some(*sets),
        None if filter_takes_right && leaves_root(process) => Some(Sets::after_setuid()?),
        None => None,
    };
    if let Some(sets) = &process.capabilities {
        sets.limit_bounding()?;
    }
    if sets.is_some() && process.user.as_ref().is_some_and(|user| user.uid != 0) {
        capabilities::keep_over_setuid()?;
    }
    if let Some(user) = &process.user {
        switch_user(user)?;
    }
    let Some(sets) = sets else { return Ok(None) };
    let with_right = sets.with(Capabilities::SYS_ADMIN);
    if !filter_takes_right || sets == with_right {
        sets.apply()?;
        return Ok(None);
    }
    match with_right.apply() {
        Err(StepError { errno: Errno::PERM, .. }) => {
            Err(StepError::new(Step::Seccomp, seccomp::ADVICE, Errno::PERM))
        }
        other => other.map(|()| Some(sets)),
    }
}

/// Whether the change of ids takes all capabilities.
fn leaves_root(process: &ProcessPlan) -> bool {
    process.user.as_ref().is_some_and(|user| user.uid != 0) && rustix::process::getuid().is_root()
}

fn switch_user(user: &UserPlan) -> Result<(), StepError> {
    if let Some(groups) = &user.groups {
        let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        match set_thread_groups(&groups) {
            // Where setgroups(2) is denied for the namespace, it has no groups to give up.
            Err(Errno::PERM) if groups.is_empty() && setgroups_is_denied() => {}
            other => other.at(Step::Groups, format!("{groups:?}"))?,
        }
    }
    set_ids(user.uid, user.gid)
}

fn setgroups_is_denied() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

/// Without asking what they are: that would be more calls than setting them, which everybody may do
/// who has them already.
fn set_ids(uid: u32, gid: u32) -> Result<(), StepError> {
    let (new_gid, new_uid) = (Gid::from_raw(gid), Uid::from_raw(uid));
    set_thread_res_gid(new_gid, new_gid, new_gid).at(Step::Gid, gid)?;
    set_thread_res_uid(new_uid, new_uid, new_uid).at(Step::Uid, uid)
}
