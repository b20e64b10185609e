//! The process in which a pod's namespaces are made, as a plan of the runtime's.

use std::os::fd::OwnedFd;

use boxr_runtime::plan::{CgroupPlan, Extras, OciExtras, StartedBy};
use boxr_runtime::stdio::Stdio;
use boxr_runtime::{Plan, capabilities};
use boxr_sys::namespace::NamespaceKind;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompBuilder, LinuxSyscallBuilder, Spec};
use rustix::process::{getegid, geteuid};

use super::record::{PodOptions, PodRecord};
use crate::options::{BoxOptions, CapabilityChange, NamespaceMode, Namespaces, Root};
use crate::outcome::EngineError;
use crate::prepare::PrepareError;
use crate::spec::{self, Situation, SpecError};
use crate::store::PodDir;
use crate::volume::Places;

/// What is made anew, and what is there already.
#[derive(Debug)]
pub(super) struct Namespacing {
    /// Kinds to make.
    pub new: Vec<NamespaceKind>,
    /// Namespaces that live on.
    pub joined: Vec<(NamespaceKind, OwnedFd)>,
}

/// The kinds that are held for a pod: its own, and the user namespace that owns them.
pub(super) fn held_kinds(options: &PodOptions, privileged: bool) -> Vec<NamespaceKind> {
    let mut kinds: Vec<NamespaceKind> = options.own_kinds().collect();
    if options.users.is_some() || !privileged && !kinds.is_empty() {
        kinds.push(NamespaceKind::User);
    }
    kinds
}

/// Options of the process, as of a box's.
pub(super) fn options(record: &PodRecord, dir: &PodDir, new: &[NamespaceKind]) -> BoxOptions {
    let mode = |kind| if new.contains(&kind) { NamespaceMode::New } else { NamespaceMode::Host };
    let stays = new.contains(&NamespaceKind::Pid);
    let namespaces = Namespaces {
        pid: mode(NamespaceKind::Pid),
        network: mode(NamespaceKind::Network),
        mount: if stays { NamespaceMode::New } else { NamespaceMode::Host },
        uts: mode(NamespaceKind::Uts),
        ipc: mode(NamespaceKind::Ipc),
        user: Some(mode(NamespaceKind::User)),
        cgroup: mode(NamespaceKind::Cgroup),
        time: NamespaceMode::Host,
    };
    let id_mapping = record.options.users.clone().filter(|_| new.contains(&NamespaceKind::User));
    BoxOptions {
        args: vec!["boxr-pause".to_owned()],
        hostname: new.contains(&NamespaceKind::Uts).then(|| hostname(record)),
        namespaces,
        network: record.options.network.clone(),
        id_mapping: id_mapping.unwrap_or_default(),
        root: if stays { Root::Directory(dir.path().join("root")) } else { Root::Host },
        read_only: stays,
        capabilities: CapabilityChange { add: Vec::new(), drop: vec!["ALL".to_owned()] },
        no_new_privileges: true,
        ..BoxOptions::default()
    }
}

fn hostname(record: &PodRecord) -> String {
    let name = record.hostname();
    name.get(..64).unwrap_or(name).to_owned()
}

/// The plan. `above` is the user namespace below which the pod's own is made, where that is not the caller's.
///
/// # Errors
/// The options make none.
pub(super) fn plan(
    record: &PodRecord,
    options: &BoxOptions,
    namespacing: Namespacing,
    cgroup: CgroupPlan,
    above: Option<OwnedFd>,
) -> Result<Plan, EngineError> {
    let privileged = capabilities::is_privileged().map_err(PrepareError::Caller)?;
    let new_user = namespacing.new.contains(&NamespaceKind::User);
    let joins_user = namespacing.joined.iter().any(|(kind, _)| *kind == NamespaceKind::User);
    let volumes = Places::default();
    let situation = Situation {
        name: &record.name,
        id: &record.id,
        new_user,
        nested: above.is_some(),
        other_user: new_user || joins_user,
        privileged,
        caller: (geteuid().as_raw(), getegid().as_raw()),
        terminal: false,
        volumes: &volumes,
    };
    let (mut spec, map_writer) = spec::build(options, &situation).map_err(PrepareError::from)?;
    bare(&mut spec, &record.options, &namespacing.new)?;
    let extras = Extras {
        joined: namespacing.joined,
        map_writer,
        above,
        root_source: None,
        trees: Vec::new(),
        cgroup,
        stdio: Stdio::Inherit,
        preserve_fds: 0,
        hooks: None,
        started_by: StartedBy::Maker,
        init: false,
        pause: true,
        die_with_parent: false,
        new_session: true,
        keep_groups: false,
        keep_user: !privileged && !situation.other_user,
        // It says when its namespaces are what they will be.
        trace: true,
        confinement: Default::default(),
        oci: OciExtras::default(),
    };
    let mut plan = Plan::new(&spec, extras)?;
    // Its tree is empty.
    plan.devices.clear();
    Ok(plan)
}

/// Nothing but namespaces and what is set in them: no mounts, and no call that it does not need.
fn bare(spec: &mut Spec, options: &PodOptions, new: &[NamespaceKind]) -> Result<(), EngineError> {
    spec.set_mounts(None);
    let makes_anew = new.iter().any(|kind| *kind != NamespaceKind::Pid);
    let filter = new.contains(&NamespaceKind::Pid).then(filter).transpose()?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_masked_paths(None).set_readonly_paths(None).set_seccomp(filter);
        let sysctls = options.sysctls.iter().map(|(key, value)| (key.clone(), value.clone()));
        linux.set_sysctl((makes_anew && !options.sysctls.is_empty()).then(|| sysctls.collect()));
    }
    Ok(())
}

/// What a process that only sleeps may call.
fn filter() -> Result<LinuxSeccomp, EngineError> {
    let allowed = ["close", "ppoll", "exit_group", "restart_syscall", "rt_sigreturn"];
    let rule = LinuxSyscallBuilder::default()
        .names(allowed.map(str::to_owned))
        .action(LinuxSeccompAction::ScmpActAllow)
        .build();
    let profile = rule.and_then(|rule| {
        LinuxSeccompBuilder::default()
            .default_action(LinuxSeccompAction::ScmpActErrno)
            .syscalls(vec![rule])
            .build()
    });
    let refused = |error: oci_spec::OciSpecError| SpecError::Conflict(error.to_string());
    Ok(profile.map_err(|error| PrepareError::from(refused(error)))?)
}
