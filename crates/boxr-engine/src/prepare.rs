//! From a box's options to a checked plan: the same for every way to start a box.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use boxr_cgroup::{Accounting, DeviceDefaults, Need};
use boxr_runtime::hooks::Hooks;
use boxr_runtime::plan::{CgroupPlan, Extras, Home, OciExtras, StartedBy, TreeMaker, TreeSource};
use boxr_runtime::stdio::Stdio;
use boxr_runtime::{Plan, capabilities};
use boxr_sys::namespace::NamespaceKind;
use oci_spec::runtime::Spec;
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use thiserror::Error;

use crate::image::Surroundings;
use crate::image::mounted::MountedFiles;
use crate::image::rootfs::DeviceNodes;
use crate::image::settle::settle;
use crate::image::{self, ContainerFiles, ImageError};
use crate::join::{self, FindBox, JoinError};
use crate::options::{BoxOptions, CgroupMode, NamespaceMode, Root};
use crate::pod::PodSide;
use crate::sandbox::{self, SandboxError};
use crate::secret::{self, SecretError};
use crate::spec::{self, Situation, SpecError};
use crate::volume::{Places, VolumeError};
use crate::{place, resources, watch};

/// Why a box cannot be started as its options say. Nothing was changed.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// A namespace to join.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The options contradict each other, or name what does not exist.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The runtime refuses the specification.
    #[error(transparent)]
    Runtime(#[from] boxr_runtime::Error),
    /// The cgroup cannot be what was asked for.
    #[error(transparent)]
    Cgroup(#[from] boxr_cgroup::Error),
    /// The image of a container, or its files.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A root directory that boxr does not take.
    #[error("--rootfs {path}: {why}")]
    Root {
        /// As given.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The caller's own situation cannot be read.
    #[error("cannot read this process's privileges: {}", boxr_runtime::error::describe(*.0))]
    Caller(Errno),
}

/// Standard descriptors, of which some are open already.
#[derive(Debug)]
pub enum Streams {
    /// The caller's own.
    Inherit,
    /// These three.
    Descriptors(OwnedFd, OwnedFd, OwnedFd),
    /// The user's side of a terminal made by the caller.
    Terminal(OwnedFd),
    /// A terminal made in the box.
    TerminalInside,
}

/// How this start differs from others of the same box.
#[derive(Debug)]
pub struct Manner {
    /// Standard descriptors.
    pub streams: Streams,
    /// Whether a monitor looks after the box.
    pub monitored: bool,
    /// Whether times of steps are wanted.
    pub trace: bool,
    /// Where a container of an image has its files; `None` where only the plan is wanted.
    pub files: Option<ContainerFiles>,
    /// Where it has what it needs of images that are mounted in it; `None` where there are none, or only the plan is wanted.
    pub mounted: Option<MountedFiles>,
    /// Where a sandbox's compiled filter of system calls is kept for the next one.
    pub filters: Option<PathBuf>,
    /// Where its volumes are.
    pub volumes: Places,
    /// What a container of an image is told of its network.
    pub around: Surroundings,
    /// The user namespace of the realm that its networks are in.
    pub above: Option<OwnedFd>,
    /// What it takes from its pod.
    pub pod: PodSide,
}

/// Whether a terminal of a box comes from its own devpts.
pub fn terminal_is_inside(options: &BoxOptions) -> bool {
    options.root.is_own() || options.namespaces.mount != NamespaceMode::New && joins_mount(options)
}

fn joins_mount(options: &BoxOptions) -> bool {
    matches!(options.namespaces.mount, NamespaceMode::Join(_))
}

/// Checks everything and decides everything.
///
/// `name` is the box's name and `id` the name of its cgroup. `find` looks up boxes to join.
///
/// # Errors
/// [`PrepareError`]; nothing has been changed.
pub fn prepare(
    options: &BoxOptions,
    name: &str,
    id: &str,
    mut manner: Manner,
    find: &FindBox<'_>,
) -> Result<(Plan, Spec), PrepareError> {
    let privileged = capabilities::is_privileged().map_err(PrepareError::Caller)?;
    let settled = settle(options, manner.files.as_ref())?;
    let options = settled.as_ref().unwrap_or(options);
    check_root(options)?;
    let is_unmapped = manner.files.is_some() && image::unmapped::is(options);
    if is_unmapped {
        manner.above = Some(image::unmapped::namespace(manner.above.take())?);
    }
    if manner.files.is_some() {
        crate::volume::owners::give(options, &manner.volumes)?;
    }
    let joined =
        join::resolve(&options.namespaces, privileged, std::mem::take(&mut manner.pod.namespaces), find)?;
    let situation = Situation {
        name,
        id,
        new_user: joined.new_user,
        nested: manner.above.is_some(),
        other_user: joined.new_user || joined.namespaces.iter().any(|(kind, _)| *kind == NamespaceKind::User),
        privileged,
        caller: (geteuid().as_raw(), getegid().as_raw()),
        terminal: matches!(manner.streams, Streams::Terminal(_) | Streams::TerminalInside),
        volumes: &manner.volumes,
    };
    let (mut spec, map_writer) = spec::build(options, &situation)?;
    if let Some(container) = &options.container {
        image::spec::complete(&mut spec, options, container, &situation, &manner)?;
    }
    if let (true, Some(above), Some(files)) = (is_unmapped, &manner.above, &manner.files) {
        image::unmapped::give(above, &spec, (options, files), &manner.volumes)?;
    }
    let filter = match &options.sandbox {
        // What is done by the filter besides begins from its profile.
        Some(sandbox) if options.seccomp.is_some() || options.watch.is_some() => {
            sandbox::spec::complete(&mut spec, sandbox, None)?
        }
        Some(sandbox) => sandbox::spec::complete(&mut spec, sandbox, manner.filters.as_deref())?,
        None => None,
    };
    if options.seccomp.is_some() || options.watch.is_some() {
        watch::complete(&mut spec, options)?;
    }
    if let (Some(files), Some(root)) = (&manner.files, spec.root_mut()) {
        // Only a place to put it for a moment.
        root.set_path(files.data.join("work"));
    }
    let own_root = options.root.is_own();
    let keeps_user = options.user.is_none() && !(own_root && privileged && !joined.new_user);
    let cgroup = match cgroup(options, &spec, id, &manner) {
        Err(PrepareError::Cgroup(why)) if options.sandbox.is_some() && why.is_lack() => {
            sandbox::limits::stand_in(&mut spec, options, &why)?;
            CgroupPlan::Inherit
        }
        cgroup => cgroup?,
    };
    let by = maker(options, manner.files.as_ref(), privileged);
    let root_source = root_source(options, &spec, &manner, by)?;
    let mut oci = oci_extras(options, manner.files.as_ref())?;
    if let (Some(files), Some(container)) = (&manner.files, &options.container) {
        oci.private_files = secret::files(&files.data, container)?;
    }
    if options.sandbox.is_some() {
        (oci.filter_cache, oci.filter) = (manner.filters.clone(), filter);
    }
    let hooks = hooks(&spec, id, &manner)?;
    let extras = Extras {
        joined: joined.namespaces,
        map_writer,
        above: manner.above,
        root_source,
        trees: image::mounted::trees(options, manner.mounted.as_ref(), by),
        cgroup,
        stdio: stdio(manner.streams),
        preserve_fds: options.preserve_fds,
        hooks,
        started_by: StartedBy::Maker,
        init: options.init,
        pause: false,
        die_with_parent: options.die_with_parent,
        new_session: options.new_session || manner.monitored,
        keep_groups: options.user.as_ref().is_some_and(|user| user.groups.is_none()) && !own_root,
        keep_user: keeps_user,
        trace: manner.trace,
        confinement: crate::sandbox::spec::confinement(options),
        oci,
    };
    Ok((Plan::new(&spec, extras)?, spec))
}

/// Those of its devices. They may read what boxr-oci would have in a bundle.
fn hooks(spec: &Spec, id: &str, manner: &Manner) -> Result<Option<Hooks>, PrepareError> {
    let (Some(_), Some(files)) = (spec.hooks(), &manner.files) else { return Ok(None) };
    let path = files.data.join("config.json");
    let failed = |errno| ImageError::File { action: "write", path: path.clone(), errno };
    let text = serde_json::to_vec(spec).map_err(|_| failed(Errno::INVAL))?;
    let dir = crate::store::files::open_dir(rustix::fs::CWD, &files.data).map_err(failed)?;
    let how = crate::store::files::Write::Replace;
    crate::store::files::write_whole(std::os::fd::AsFd::as_fd(&dir), "config.json", &text, how)
        .map_err(failed)?;
    Ok(Hooks::new(spec, id, files.data.clone())?)
}

/// Where the tree of a container of an image comes from.
fn root_source(
    options: &BoxOptions,
    spec: &Spec,
    manner: &Manner,
    by: TreeMaker,
) -> Result<Option<TreeSource>, ImageError> {
    if let Some(attempt) = &options.attempt {
        return Ok(Some(crate::attempt::source(attempt)));
    }
    let (Some(image), Some(files)) = (options.root.image(), &manner.files) else { return Ok(None) };
    let nodes = match image::spec::refuses_nodes(spec, options) {
        true => DeviceNodes::Refused,
        false => DeviceNodes::Usable,
    };
    image::rootfs::source(image, options, files, by, nodes).map(Some)
}

/// Who mounts the layers of images.
fn maker(options: &BoxOptions, files: Option<&ContainerFiles>, privileged: bool) -> TreeMaker {
    match privileged {
        true => TreeMaker::Outside,
        false if files.is_some() && image::unmapped::is(options) => TreeMaker::Above,
        false => TreeMaker::Inside,
    }
}

/// What an image leaves to be found out in the container.
pub(crate) fn oci_extras(
    options: &BoxOptions,
    files: Option<&ContainerFiles>,
) -> Result<OciExtras, SecretError> {
    let home = if options.root.image().is_some() { Home::FromPasswd } else { Home::AsGiven };
    let private_env = match (files, &options.container) {
        (Some(files), Some(container)) => secret::environment(&files.data, container)?,
        _ => Vec::new(),
    };
    let filter_cache = files.map(|files| files.filters.clone());
    Ok(OciExtras { home, filter_cache, private_env, ..OciExtras::default() })
}

fn stdio(streams: Streams) -> Stdio {
    match streams {
        Streams::Inherit => Stdio::Inherit,
        Streams::Descriptors(stdin, stdout, stderr) => Stdio::Descriptors { stdin, stdout, stderr },
        Streams::Terminal(user_side) => Stdio::Terminal(user_side),
        Streams::TerminalInside => Stdio::TerminalInside,
    }
}

/// Before the kernel would say something less clear.
fn check_root(options: &BoxOptions) -> Result<(), PrepareError> {
    let Root::Directory(path) = &options.root else { return Ok(()) };
    let fail = |why: &str| Err(PrepareError::Root { path: path.display().to_string(), why: why.to_owned() });
    match std::fs::metadata(path) {
        Err(error) => {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            fail(&boxr_runtime::error::describe(errno))
        }
        Ok(found) if !found.is_dir() => fail("not a directory"),
        Ok(found) => {
            use std::os::unix::fs::MetadataExt;
            let host = std::fs::metadata("/");
            if host.is_ok_and(|host| (host.ino(), host.dev()) == (found.ino(), found.dev())) {
                return fail("this is the host's own root; without --rootfs a box has the host's tree");
            }
            Ok(())
        }
    }
}

/// What was asked for with `--cgroups disabled`.
fn without_cgroup(guarded: bool) -> Result<CgroupPlan, PrepareError> {
    if guarded {
        let text = "--cgroups disabled: only a cgroup keeps this container from the host's devices; \
                    --userns auto or --cap-drop MKNOD do without";
        return Err(SpecError::Conflict(text.to_owned()).into());
    }
    Ok(CgroupPlan::Inherit)
}

/// A cgroup for limits, which must be had; and one to hold the processes of a box that others are
/// to pause, count and end, where the host allows it.
fn cgroup(options: &BoxOptions, spec: &Spec, id: &str, manner: &Manner) -> Result<CgroupPlan, PrepareError> {
    let guarded = image::spec::needs_device_rules(spec);
    let limited = guarded || !options.limits.is_empty();
    let alone = options.namespaces.get(NamespaceKind::Pid) == Some(&NamespaceMode::New);
    let within = manner.pod.cgroup.as_ref();
    let systemd = options.container.as_ref().is_some_and(|container| container.systemd);
    let said = !options.cgroup.is_usual();
    if options.cgroup.mode == CgroupMode::Disabled {
        return without_cgroup(guarded);
    }
    if !limited && !manner.monitored && alone && !said && !systemd && within.is_none() {
        return Ok(CgroupPlan::Inherit);
    }
    let host = boxr_cgroup::Host::detect()?;
    let own = options.sandbox.is_some() && !said && within.is_none();
    let path = place::path(&options.cgroup, id, &host).or_else(|| place::of_one(id, &host).filter(|_| own));
    let mut resources = limited.then(|| resources::of(&options.limits)).transpose()?;
    if let (true, Some(resources)) = (guarded, &mut resources) {
        let rules = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
        resources.set_devices(rules.and_then(|with| with.devices().clone()));
    }
    let request = boxr_cgroup::Request {
        resources: resources.as_ref(),
        // Without limits it is a convenience: such a box can also be paused by signals. A sandbox's limits can be kept
        // otherwise, so that what stands in the way has to show now.
        need: if (limited || said) && !own { Need::Required } else { Need::IfPossible },
        within: within.map(|(name, location)| boxr_cgroup::Within { name, location }),
        devices: if guarded { DeviceDefaults::Container } else { DeviceDefaults::None },
        place: place::of(&options.cgroup, path.as_deref(), id)?,
        // systemd looks for a cgroup of its own in each hierarchy, and divides it.
        accounting: if systemd { Accounting::Every } else { Accounting::Limits },
        owner: if systemd { image::spec::root_of(spec) } else { None },
        ..boxr_cgroup::Request::new(id)
    };
    let plan = host.plan(&request)?;
    Ok(if plan.is_empty() { CgroupPlan::Inherit } else { CgroupPlan::New(Box::new(plan)) })
}
