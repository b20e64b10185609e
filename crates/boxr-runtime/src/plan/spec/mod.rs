//! An OCI specification, checked field by field, becomes a plan. One module for each group of its
//! fields.

mod devices;
mod mounts;
mod namespaces;
mod process;
mod rlimits;
mod root;
mod user;

use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use boxr_sys::namespace::NamespaceKind;
use oci_spec::runtime::{Linux, Process, Spec};

use super::{CgroupPlan, Plan, RootPlan, StartedBy};
use crate::error::Error;
use crate::hooks::Hooks;
use crate::idmap::Writer;
use crate::stdio::Stdio;

/// What a start needs besides the specification: open descriptors, and boxr's own options.
#[derive(Debug)]
pub struct Extras {
    /// Namespaces to join, opened by the caller; they stand for the type's entry in the specification.
    pub joined: Vec<(NamespaceKind, OwnedFd)>,
    /// Who may write the id maps.
    pub map_writer: Writer,
    /// cgroup.
    pub cgroup: CgroupPlan,
    /// Standard descriptors.
    pub stdio: Stdio,
    /// Descriptors from 3 on that are inherited.
    pub preserve_fds: u32,
    /// Programs to run, from the same specification.
    pub hooks: Option<Hooks>,
    /// Who lets the command run.
    pub started_by: StartedBy,
    /// boxr's init as first process.
    pub init: bool,
    /// End with boxr.
    pub die_with_parent: bool,
    /// A session of its own.
    pub new_session: bool,
    /// Supplementary groups stay the caller's.
    pub keep_groups: bool,
    /// Ids and capabilities stay as namespaces leave them; `process.user` is not applied.
    pub keep_user: bool,
    /// Report the time of each step.
    pub trace: bool,
}

impl Plan {
    /// Checks `spec` and decides every step. A specification without `root` keeps the caller's
    /// file tree.
    ///
    /// # Errors
    /// [`Error::Field`] names the field that is wrong or that boxr does not support;
    /// [`Error::Step`] when a namespace path cannot be opened.
    pub fn new(spec: &Spec, extras: Extras) -> Result<Self, Error> {
        let linux_default = Linux::default();
        let linux = spec.linux().as_ref().unwrap_or(&linux_default);
        refuse_unsupported(spec, linux)?;
        let (new, joined) = namespaces::namespaces(linux, extras.joined)?;
        let makes = |kind| new.contains(&kind);
        let idmap = namespaces::id_map(linux, makes(NamespaceKind::User), extras.map_writer)?;
        let root = root::root(spec.root().as_ref(), linux, makes(NamespaceKind::Mount))?;
        let mounts = mounts::mounts(spec.mounts().as_deref().unwrap_or_default(), &root)?;
        let process = spec
            .process()
            .as_ref()
            .ok_or_else(|| Error::field("process", "missing; there is nothing to run"))?;
        let own_root = matches!(root, RootPlan::Directory { .. });
        let mut process = process::process_plan(process, &extras.stdio)?;
        user::finish_user(&mut process, extras.keep_user, extras.keep_groups, idmap.as_ref())?;
        let needs_uts = |field: &str, value: &Option<String>| match value {
            Some(_) if !makes(NamespaceKind::Uts) => {
                Err(Error::field(field, "can only be set with a new uts namespace"))
            }
            _ => Ok(()),
        };
        needs_uts("hostname", spec.hostname())?;
        needs_uts("domainname", spec.domainname())?;
        let paths = |list: &Option<Vec<String>>| -> Vec<PathBuf> {
            list.iter().flatten().map(PathBuf::from).collect()
        };
        Ok(Self {
            idmap,
            mounts,
            devices: if own_root {
                devices::devices(linux.devices().as_deref().unwrap_or_default())?
            } else {
                vec![]
            },
            masked: paths(linux.masked_paths()),
            read_only_paths: paths(linux.readonly_paths()),
            hostname: spec.hostname().clone(),
            domainname: spec.domainname().clone(),
            time_offsets: namespaces::time_offsets(linux, makes(NamespaceKind::Time))?,
            process,
            root,
            new,
            joined,
            cgroup: extras.cgroup,
            stdio: extras.stdio,
            preserve_fds: extras.preserve_fds,
            hooks: extras.hooks,
            started_by: extras.started_by,
            init: extras.init,
            die_with_parent: extras.die_with_parent,
            new_session: extras.new_session,
            trace: extras.trace,
        })
    }

    /// A further process in namespaces that exist: nothing is made, all of `extras.joined` entered.
    ///
    /// # Errors
    /// [`Error::Field`] for a field of `process`.
    pub fn for_exec(process: &Process, extras: Extras) -> Result<Self, Error> {
        let mut plan = process::process_plan(process, &extras.stdio)?;
        user::finish_user(&mut plan, extras.keep_user, extras.keep_groups, None)?;
        Ok(Self {
            new: Vec::new(),
            joined: extras.joined,
            idmap: None,
            root: RootPlan::Unchanged,
            mounts: Vec::new(),
            devices: Vec::new(),
            masked: Vec::new(),
            read_only_paths: Vec::new(),
            hostname: None,
            domainname: None,
            time_offsets: Vec::new(),
            process: plan,
            cgroup: extras.cgroup,
            stdio: extras.stdio,
            preserve_fds: extras.preserve_fds,
            hooks: None,
            started_by: StartedBy::Maker,
            init: false,
            die_with_parent: extras.die_with_parent,
            new_session: extras.new_session,
            trace: extras.trace,
        })
    }
}

/// What the specification allows and this version does not do yet is refused, never ignored.
fn refuse_unsupported(spec: &Spec, linux: &Linux) -> Result<(), Error> {
    let process = spec.process().as_ref();
    let refused = [
        ("linux.seccomp", linux.seccomp().is_some()),
        ("linux.sysctl", linux.sysctl().as_ref().is_some_and(|map| !map.is_empty())),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.mountLabel", linux.mount_label().is_some()),
        ("linux.personality", linux.personality().is_some()),
        ("linux.netDevices", linux.net_devices().is_some()),
        ("process.apparmorProfile", process.is_some_and(|p| p.apparmor_profile().is_some())),
        ("process.selinuxLabel", process.is_some_and(|p| p.selinux_label().is_some())),
        ("process.scheduler", process.is_some_and(|p| p.scheduler().is_some())),
        ("process.ioPriority", process.is_some_and(|p| p.io_priority().is_some())),
        ("process.execCPUAffinity", process.is_some_and(|p| p.exec_cpu_affinity().is_some())),
    ];
    match refused.iter().find(|(_, present)| *present) {
        Some((field, _)) => Err(Error::field(*field, "not supported by this version of boxr")),
        None => Ok(()),
    }
}

/// A path of the container must be absolute and free of `..`, so that it means one place.
fn absolute(field: &str, path: &Path) -> Result<PathBuf, Error> {
    if !path.is_absolute() {
        return Err(Error::field(field, format!("{}: not an absolute path", path.display())));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(Error::field(field, format!("{}: contains ..", path.display())));
    }
    Ok(path.to_owned())
}
