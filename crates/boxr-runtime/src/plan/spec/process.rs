//! `process`: the command, its environment and privileges.

use std::ffi::CString;

use boxr_sys::exec::CVector;
use oci_spec::runtime::{Capabilities as CapabilityNames, LinuxCapabilities, Process};

use super::super::{ProcessPlan, UserPlan};
use super::rlimits::rlimits;
use super::tuning;
use crate::capabilities::{Capabilities, Sets};
use crate::error::Error;
use crate::stdio::Stdio;

pub(super) fn process_plan(process: &Process, stdio: &Stdio) -> Result<ProcessPlan, Error> {
    let args = process.args().as_deref().unwrap_or_default();
    if args.first().is_none_or(String::is_empty) {
        return Err(Error::field("process.args", "there is no command to run"));
    }
    if process.terminal().unwrap_or(false) != stdio.is_terminal() {
        return Err(Error::field("process.terminal", "does not agree with the descriptors that were given"));
    }
    let env = process.env().as_deref().unwrap_or_default();
    if let Some(index) = env.iter().position(|entry| !entry.contains('=')) {
        return Err(Error::field(format!("process.env[{index}]"), "not in the form NAME=VALUE"));
    }
    let workdir = process.cwd();
    if !workdir.as_os_str().is_empty() && !workdir.is_absolute() {
        return Err(Error::field("process.cwd", format!("{}: not an absolute path", workdir.display())));
    }
    Ok(ProcessPlan {
        argv: c_vector("process.args", args)?,
        env: c_vector("process.env", env)?,
        search_path: search_path(env),
        workdir: (!workdir.as_os_str().is_empty()).then(|| workdir.clone()),
        user: Some(UserPlan {
            uid: process.user().uid(),
            gid: process.user().gid(),
            groups: Some(process.user().additional_gids().clone().unwrap_or_default()),
        }),
        capabilities: process.capabilities().as_ref().map(capability_sets).transpose()?,
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        rlimits: rlimits(process.rlimits().as_deref().unwrap_or_default())?,
        oom_score_adj: oom_score_adj(process.oom_score_adj())?,
        umask: process.user().umask(),
        terminal_size: process.console_size().map(|size| {
            let cells = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
            (cells(size.height()), cells(size.width()))
        }),
        tuning: tuning::of_process(process)?,
        seccomp: None,
    })
}

fn c_vector(field: &str, strings: &[String]) -> Result<CVector, Error> {
    let c_string = |(index, text): (usize, &String)| {
        CString::new(text.as_str())
            .map_err(|_| Error::field(format!("{field}[{index}]"), "contains a zero byte"))
    };
    Ok(CVector::new(strings.iter().enumerate().map(c_string).collect::<Result<_, _>>()?))
}

/// Where execvp(3) would look: `PATH` of the box, or the usual places.
fn search_path(env: &[String]) -> Vec<CString> {
    let path = env
        .iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path.split(':')
        .map(|dir| if dir.is_empty() { "." } else { dir })
        .filter_map(|dir| CString::new(dir).ok())
        .collect()
}

fn capability_sets(names: &LinuxCapabilities) -> Result<Sets, Error> {
    let set = |field: &str, names: &Option<CapabilityNames>| -> Result<Capabilities, Error> {
        names.iter().flatten().try_fold(Capabilities::NONE, |set, name| {
            let name = name.to_string();
            let one = Capabilities::named(&name).ok_or_else(|| {
                Error::field(format!("process.capabilities.{field}"), format!("{name}: unknown capability"))
            })?;
            Ok(set.union(one))
        })
    };
    let permitted = set("permitted", names.permitted())?;
    let inheritable = set("inheritable", names.inheritable())?;
    Ok(Sets {
        bounding: set("bounding", names.bounding())?,
        effective: set("effective", names.effective())?,
        permitted,
        inheritable,
        // The kernel raises no other (capabilities(7)); the peers' own stock configuration lists some.
        ambient: set("ambient", names.ambient())?.intersection(permitted).intersection(inheritable),
    })
}

fn oom_score_adj(value: Option<i32>) -> Result<Option<i32>, Error> {
    match value {
        Some(score) if !(-1000..=1000).contains(&score) => {
            Err(Error::field("process.oomScoreAdj", format!("{score}: not between -1000 and 1000")))
        }
        other => Ok(other),
    }
}
