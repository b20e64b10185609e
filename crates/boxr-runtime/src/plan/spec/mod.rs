//! An OCI specification, checked field by field, becomes a plan. One module for each group of its
//! fields.

mod devices;
mod intel_rdt;
mod labels;
mod mounts;
mod namespaces;
mod net_devices;
mod numbers;
mod process;
mod rlimits;
mod root;
mod sysctl;
mod tuning;
mod user;
mod version;

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use boxr_seccomp::Filter;
use boxr_sys::exec::CVector;
use boxr_sys::namespace::NamespaceKind;
use oci_spec::runtime::{Linux, LinuxSeccomp, Process, Spec, State};

use self::mounts::Surroundings;
use self::namespaces::{Maps, MountNamespace, UserNamespace};
use super::{
    CgroupPlan, Confinement, MountTree, Plan, PrivateFile, ProcessPlan, RootEntry, RootPlan, SeccompPlan,
    StartedBy, TreeSource,
};
use crate::error::Error;
use crate::hooks::Hooks;
use crate::idmap::Writer;
use crate::stdio::Stdio;

pub(crate) use mounts::binds;
pub use version::IMPLEMENTED as IMPLEMENTED_VERSION;

/// What a start needs besides the specification: open descriptors, and boxr's own options.
#[derive(Debug)]
pub struct Extras {
    /// Namespaces to join, opened by the caller; they stand for the type's entry in the specification.
    pub joined: Vec<(NamespaceKind, OwnedFd)>,
    /// Who may write the id maps.
    pub map_writer: Writer,
    /// The user namespace below which a new one is made, where that is not the caller's.
    pub above: Option<OwnedFd>,
    /// What makes the root's tree; `None` takes the directory of the specification.
    pub root_source: Option<TreeSource>,
    /// Trees that are made at every start, for mounts of the specification.
    pub trees: Vec<MountTree>,
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
    /// No command is executed: the first process stays and keeps its namespaces.
    pub pause: bool,
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
    /// What only a sandbox asks for.
    pub confinement: Confinement,
    /// What only an OCI runtime is asked for.
    pub oci: OciExtras,
}

/// Wishes of the command line of an OCI runtime; without them a container is as a box is.
#[derive(Debug, Default)]
pub struct OciExtras {
    /// The container's id, where it has one.
    pub id: Option<String>,
    /// Name of a session keyring of the container's own; `None` leaves the caller's.
    pub session_keyring: Option<String>,
    /// How the root is entered.
    pub root_entry: RootEntry,
    /// What is done about a missing `HOME`.
    pub home: Home,
    /// Files in the container's memory.
    pub private_files: Vec<PrivateFile>,
    /// Variables that no specification has, `NAME=VALUE`.
    pub private_env: Vec<CString>,
    /// A directory that keeps compiled seccomp filters; `None` compiles each time.
    pub filter_cache: Option<PathBuf>,
    /// The filter, compiled, where the specification has none.
    pub filter: Option<Filter>,
    /// What a seccomp agent is told of the container ([`crate::told::state`]).
    pub told: State,
}

/// Where a command's `HOME` comes from when its environment has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Home {
    /// It has none then.
    #[default]
    AsGiven,
    /// From the container's /etc/passwd, or else `/`.
    FromPasswd,
}

impl Plan {
    /// Checks `spec` and decides every step. A specification without `root` keeps the caller's
    /// file tree.
    ///
    /// # Errors
    /// [`Error::Field`] names the field that is wrong or that boxr does not support;
    /// [`Error::Step`] when a namespace path cannot be opened.
    pub fn new(spec: &Spec, mut extras: Extras) -> Result<Self, Error> {
        let linux_default = Linux::default();
        let linux = spec.linux().as_ref().unwrap_or(&linux_default);
        version::check(spec.version())?;
        let (new, mut joined) = namespaces::namespaces(linux, extras.joined)?;
        joined.extend(
            extras.above.filter(|_| new.contains(&NamespaceKind::User)).map(|fd| (NamespaceKind::User, fd)),
        );
        let sysctls = sysctl::sysctls(linux.sysctl().as_ref(), |kind| {
            new.contains(&kind) || namespaces::joins_another(&joined, kind)
        })?;
        let own_network = new.contains(&NamespaceKind::Network)
            || namespaces::joins_another(&joined, NamespaceKind::Network);
        let net_devices = net_devices::net_devices(linux.net_devices().as_ref(), own_network)?;
        let makes = |kind| new.contains(&kind);
        let joins = |kind| joined.iter().any(|(joined, _)| *joined == kind);
        let user = match (makes(NamespaceKind::User), joins(NamespaceKind::User)) {
            (true, _) => UserNamespace::New,
            (false, true) => UserNamespace::Joined,
            (false, false) => UserNamespace::Callers,
        };
        let Maps { new: idmap, expected: expected_map } =
            namespaces::id_maps(linux, user, extras.map_writer)?;
        let mount = match makes(NamespaceKind::Mount) {
            true => MountNamespace::New,
            false => MountNamespace::CallersOrJoined,
        };
        let root = root::root(spec.root().as_ref(), linux, mount, extras.oci.root_entry)?;
        let list = spec.mounts().as_deref().unwrap_or_default();
        let (places, trees): (Vec<_>, Vec<_>) =
            extras.trees.into_iter().map(|tree| (tree.destination, tree.source)).unzip();
        let context = labels::mount_context(spec, linux)?;
        let surroundings = Surroundings { root: &root, user, context, trees: &places };
        let mounts = mounts::mounts(list, &surroundings)?;
        refuse_without_mounts(linux, &root)?;
        let process = spec
            .process()
            .as_ref()
            .ok_or_else(|| Error::field("process", "missing; there is nothing to run"))?;
        let own_root = matches!(root, RootPlan::Directory { .. });
        let mut process = process::process_plan(process, &extras.stdio)?;
        tuning::of_container(&mut process.tuning, linux)?;
        add_private(&mut process, std::mem::take(&mut extras.oci.private_env));
        process.seccomp = filter(linux.seccomp().as_ref(), &mut extras.oci)?;
        user::finish_user(&mut process, extras.keep_user, extras.keep_groups, idmap.as_ref())?;
        let needs_uts = |field: &str, value: &Option<String>| match value {
            Some(_) if !makes(NamespaceKind::Uts) && !joins(NamespaceKind::Uts) => {
                Err(Error::field(field, "can only be set with a uts namespace of its own"))
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
            expected_map,
            mounts,
            devices: match own_root && !devices::has_dev_of_host(list) {
                true => devices::devices(linux.devices().as_deref().unwrap_or_default())?,
                false => Vec::new(),
            },
            masked: paths(linux.masked_paths()),
            read_only_paths: paths(linux.readonly_paths()),
            hostname: spec.hostname().clone(),
            domainname: spec.domainname().clone(),
            time_offsets: namespaces::time_offsets(linux, makes(NamespaceKind::Time))?,
            sysctls,
            net_devices,
            intel_rdt: intel_rdt::intel_rdt(linux.intel_rdt().as_ref(), extras.oci.id.as_deref())?,
            session_keyring: keyring_name(extras.oci.session_keyring)?,
            home: extras.oci.home,
            private_files: extras.oci.private_files,
            process,
            root,
            root_source: extras.root_source,
            trees,
            new,
            joined,
            cgroup: extras.cgroup,
            stdio: extras.stdio,
            preserve_fds: extras.preserve_fds,
            hooks: extras.hooks,
            started_by: extras.started_by,
            init: extras.init,
            pause: extras.pause,
            die_with_parent: extras.die_with_parent,
            new_session: extras.new_session,
            trace: extras.trace,
            confinement: extras.confinement,
        })
    }

    /// A further process in namespaces that exist: nothing is made, all of `extras.joined` entered. It gets
    /// the filter of `seccomp`, mostly that of the container.
    ///
    /// # Errors
    /// [`Error::Field`] for a field of `process`; [`Error::Seccomp`].
    pub fn for_exec(
        process: &Process,
        seccomp: Option<&LinuxSeccomp>,
        mut extras: Extras,
    ) -> Result<Self, Error> {
        let mut plan = process::process_plan(process, &extras.stdio)?;
        if let Some(affinity) = process.exec_cpu_affinity() {
            tuning::affinity(&mut plan.tuning, affinity)?;
        }
        user::finish_user(&mut plan, extras.keep_user, extras.keep_groups, None)?;
        plan.seccomp = filter(seccomp, &mut extras.oci)?;
        add_private(&mut plan, std::mem::take(&mut extras.oci.private_env));
        Ok(Self {
            new: Vec::new(),
            joined: extras.joined,
            idmap: None,
            expected_map: None,
            root: RootPlan::Unchanged,
            root_source: None,
            trees: Vec::new(),
            mounts: Vec::new(),
            devices: Vec::new(),
            masked: Vec::new(),
            read_only_paths: Vec::new(),
            hostname: None,
            domainname: None,
            time_offsets: Vec::new(),
            sysctls: Vec::new(),
            net_devices: Vec::new(),
            intel_rdt: None,
            session_keyring: keyring_name(extras.oci.session_keyring)?,
            home: extras.oci.home,
            private_files: Vec::new(),
            process: plan,
            cgroup: extras.cgroup,
            stdio: extras.stdio,
            preserve_fds: extras.preserve_fds,
            hooks: None,
            started_by: StartedBy::Maker,
            init: false,
            pause: false,
            die_with_parent: extras.die_with_parent,
            new_session: extras.new_session,
            trace: extras.trace,
            confinement: extras.confinement,
        })
    }
}

/// What is done by mounts would be done to the host.
fn refuse_without_mounts(linux: &Linux, root: &RootPlan) -> Result<(), Error> {
    if root.has_own_mounts() {
        return Ok(());
    }
    let is_some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let refused = [
        ("linux.maskedPaths", is_some(linux.masked_paths())),
        ("linux.readonlyPaths", is_some(linux.readonly_paths())),
        ("linux.devices", linux.devices().as_ref().is_some_and(|list| !list.is_empty())),
    ];
    match refused.iter().find(|(_, present)| *present) {
        Some((field, _)) => Err(Error::field(*field, "needs a new mount namespace")),
        None => Ok(()),
    }
}

/// What was said by name gives way.
fn add_private(process: &mut ProcessPlan, private: Vec<CString>) {
    if private.is_empty() {
        return;
    }
    let name = |entry: &CString| entry.as_bytes().split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
    let names: Vec<_> = private.iter().map(name).collect();
    let env = process.env.strings().iter().filter(|entry| !names.contains(&name(entry))).cloned();
    process.env = CVector::new(env.chain(private).collect());
}

fn filter(profile: Option<&LinuxSeccomp>, oci: &mut OciExtras) -> Result<Option<SeccompPlan>, Error> {
    match profile {
        Some(profile) => SeccompPlan::new(profile, oci.filter_cache.as_deref(), &oci.told).map(Some),
        None => Ok(oci.filter.take().map(|filter| SeccompPlan { filter, agent: None })),
    }
}

fn keyring_name(name: Option<String>) -> Result<Option<CString>, Error> {
    name.map(|name| CString::new(name).map_err(|_| Error::field("session keyring", "contains a zero byte")))
        .transpose()
}

/// A path of the container without `.` and `..`, which are resolved by their letters, and with `/`
/// before it where it has none: other runtimes take such paths, and mean this by them.
fn clean(path: &Path) -> PathBuf {
    if super::is_plain(path) {
        return path.to_owned();
    }
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}
