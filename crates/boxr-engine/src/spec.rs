//! A box's options as an OCI specification: the one way into the runtime.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use boxr_runtime::capabilities::Capabilities;
use boxr_runtime::error::StepError;
use boxr_runtime::idmap::{self, Writer};
use boxr_sys::namespace::NamespaceKind;
use oci_spec::runtime::{
    Capabilities as CapabilityNames, Capability, Linux, LinuxCapabilities, LinuxIdMapping,
    LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPersonality,
    LinuxTimeOffset, LinuxTimeOffsetBuilder, Mount, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
    Process, Root as SpecRoot, Spec, User as SpecUser,
};
use thiserror::Error;

use crate::config::grammar;
use crate::image::mounted;
use crate::options::{
    BoxOptions, CapabilityChange, IdExtent, IdMapping, JoinTarget, MountOption, NamespaceMode, Propagation,
    Root,
};
use crate::volume::{self, Places};

/// Why options make no specification.
#[derive(Debug, Error)]
pub enum SpecError {
    /// A capability that does not exist.
    #[error("--cap-{verb} {name}: unknown capability")]
    Capability {
        /// `add` or `drop`.
        verb: &'static str,
        /// As given.
        name: String,
    },
    /// A limit of setrlimit(2) that does not exist.
    #[error("--ulimit {0}: unknown limit")]
    Ulimit(String),
    /// Two options that cannot both be.
    #[error("{0}")]
    Conflict(String),
    /// A block device of a limit that is not there, or is none.
    #[error("{flag} {}: {}", path.display(), boxr_runtime::error::describe(*errno))]
    BlockDevice {
        /// The flag that names it.
        flag: &'static str,
        /// Its path on the host.
        path: PathBuf,
        /// The system's reason; `ENOTBLK` for what is none.
        errno: rustix::io::Errno,
    },
    /// The id maps cannot be made.
    #[error(transparent)]
    IdMap(#[from] StepError),
}

/// What is true of the caller and of this start.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The box's name, which is its host name unless it has another.
    pub name: &'a str,
    /// Its id, of which a container of an image has its host name.
    pub id: &'a str,
    /// Whether a new user namespace is made.
    pub new_user: bool,
    /// Whether that is made below the one of the user's realm.
    pub nested: bool,
    /// Whether the box is in another user namespace than the caller: a new one, or one that it joins.
    pub other_user: bool,
    /// Whether the caller has `CAP_SYS_ADMIN` as it is.
    pub privileged: bool,
    /// The caller's effective user and group.
    pub caller: (u32, u32),
    /// Whether the command gets a terminal.
    pub terminal: bool,
    /// Where its volumes are.
    pub volumes: &'a Places,
}

/// The specification of a box, and who writes its id maps.
///
/// # Errors
/// [`SpecError`] names the option.
pub fn build(options: &BoxOptions, situation: &Situation<'_>) -> Result<(Spec, Writer), SpecError> {
    let makes = |kind| makes(options, situation, kind);
    let mut spec = empty_spec();
    let own_root = options.root.is_own();
    if own_root && !makes(NamespaceKind::Mount) {
        return Err(SpecError::Conflict(
            "a root of its own needs a new mount namespace (--mount-ns new)".into(),
        ));
    }
    spec.set_root(Some(root(options)));
    spec.set_mounts(Some(mounts(options, situation)));
    if makes(NamespaceKind::Uts) {
        spec.set_hostname(Some(hostname(options, situation)));
        spec.set_domainname(options.domainname.clone());
    } else {
        let given = [("--hostname", &options.hostname), ("--domainname", &options.domainname)];
        if let Some((flag, _)) = given.iter().find(|(_, value)| value.is_some()) {
            let text =
                format!("{flag} needs a new uts namespace (--uts new): the host's name is never changed");
            return Err(SpecError::Conflict(text));
        }
    }
    spec.set_process(Some(process(options, situation)?));
    if let Some(init) = &options.init_path {
        put_before(&mut spec, init, own_root);
    }
    if !options.annotations.is_empty() {
        let annotations = options.annotations.iter().map(|(key, value)| (key.clone(), value.clone()));
        spec.set_annotations(Some(annotations.collect()));
    }
    let (linux, writer) = linux(options, situation)?;
    if options.container.as_ref().is_some_and(|container| container.groups.is_empty())
        && let Some(process) = spec.process_mut()
    {
        keep_mapped_groups(process, &linux, writer);
    }
    spec.set_linux(Some(linux));
    Ok((spec, writer))
}

/// Where an init of the host is in a root of the container's own.
const INIT: &str = "/run/boxr-init";

/// Makes `init` the first process, which is given the command as its arguments.
fn put_before(spec: &mut Spec, init: &Path, own_root: bool) {
    let place = if own_root { INIT.to_owned() } else { init.to_string_lossy().into_owned() };
    if own_root {
        let words = ["bind", "ro", "nosuid", "nodev", "private"];
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        mounts.push(mount("bind", &init.to_string_lossy(), INIT, &words));
        spec.set_mounts(Some(mounts));
    }
    if let Some(process) = spec.process_mut() {
        let command = process.args().clone().unwrap_or_default();
        process.set_args(Some([place, "--".to_owned()].into_iter().chain(command).collect()));
    }
}

/// The groups that an image makes its user a member of, as far as they exist in the container. Nobody has asked
/// for them.
fn keep_mapped_groups(process: &mut Process, linux: &Linux, writer: Writer) {
    let Some(maps) = linux.gid_mappings() else { return };
    let is_mapped = |gid: &u32| {
        maps.iter().any(|map| gid.checked_sub(map.container_id()).is_some_and(|offset| offset < map.size()))
    };
    let mut user = process.user().clone();
    let groups = user.additional_gids().clone().unwrap_or_default();
    let kept = match writer {
        // setgroups(2) is given up.
        Writer::FirstProcess => Vec::new(),
        Writer::Boxr | Writer::Helpers | Writer::Above => groups.into_iter().filter(is_mapped).collect(),
    };
    user.set_additional_gids(Some(kept));
    process.set_user(user);
}

/// Spec::default() describes a whole container, host name included.
fn empty_spec() -> Spec {
    let mut spec = Spec::default();
    spec.set_hostname(None).set_domainname(None).set_hooks(None).set_annotations(None);
    spec
}

fn hostname(options: &BoxOptions, situation: &Situation<'_>) -> String {
    options.hostname.clone().unwrap_or_else(|| match options.root {
        // As with docker, where containers know themselves by it.
        Root::Image(_) => situation.id.get(..12).unwrap_or(situation.id).to_owned(),
        Root::Host | Root::Directory(_) => hostname_of(situation.name),
    })
}

/// A name as a host name, which the kernel bounds to 64 bytes (sethostname(2)).
fn hostname_of(name: &str) -> String {
    let end = (0..=64.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    name[..end.unwrap_or(0)].trim_end_matches(['.', '-', '_']).to_owned()
}

fn makes(options: &BoxOptions, situation: &Situation<'_>, kind: NamespaceKind) -> bool {
    match kind {
        NamespaceKind::User => situation.new_user,
        _ => options.namespaces.get(kind) == Some(&NamespaceMode::New),
    }
}

fn root(options: &BoxOptions) -> SpecRoot {
    let mut root = SpecRoot::default();
    root.set_path(match &options.root {
        Root::Host => PathBuf::from("/"),
        Root::Directory(path) => path.clone(),
        Root::Image(image) => PathBuf::from(format!("image {}", image.name)),
    });
    root.set_readonly(Some(options.read_only));
    root
}

fn linux(options: &BoxOptions, situation: &Situation<'_>) -> Result<(Linux, Writer), SpecError> {
    // Not Linux::default(), which brings a whole container with it.
    let mut linux = Linux::default();
    linux.set_devices(None).set_masked_paths(None).set_readonly_paths(None).set_seccomp(None);
    linux.set_resources(None).set_namespaces(Some(namespaces(options, situation)));
    linux.set_rootfs_propagation(Some(
        match options.propagation {
            Propagation::Private => "private",
            Propagation::Shared => "shared",
            Propagation::Slave => "slave",
            Propagation::Unchanged => "unchanged",
        }
        .to_owned(),
    ));
    // An ordinary user has no right to what is there.
    let is_roots_sandbox = options.sandbox.is_some()
        && situation.caller.0 == 0
        && makes(options, situation, NamespaceKind::Mount);
    if options.root.is_own() || is_roots_sandbox {
        let paths = |list: &[&str]| Some(list.iter().map(|path| (*path).to_owned()).collect());
        linux.set_masked_paths(paths(&MASKED)).set_readonly_paths(paths(&READ_ONLY));
    }
    linux.set_time_offsets(time_offsets(options));
    if let Some(domain) = options.personality.as_deref().and_then(|word| word.parse().ok()) {
        let mut personality = LinuxPersonality::default();
        personality.set_domain(domain);
        linux.set_personality(Some(personality));
    }
    let mut writer = Writer::Boxr;
    if situation.new_user {
        let (uids, gids, by) = id_maps(options, situation)?;
        linux.set_uid_mappings(Some(uids)).set_gid_mappings(Some(gids));
        writer = by;
    } else if options.namespaces.user == Some(NamespaceMode::Join(JoinTarget::Pod)) {
        // Those of the pod's, which its layers are shown by.
        let (uids, gids, _) = id_maps(options, situation)?;
        linux.set_uid_mappings(Some(uids)).set_gid_mappings(Some(gids));
    } else if options.id_mapping != IdMapping::Root {
        let text = "id maps need a new user namespace (--userns new)".to_owned();
        return Err(SpecError::Conflict(text));
    }
    Ok((linux, writer))
}

/// What runc hides and protects in a container's /proc and /sys.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn namespaces(options: &BoxOptions, situation: &Situation<'_>) -> Vec<LinuxNamespace> {
    NamespaceKind::ALL
        .into_iter()
        .filter(|kind| makes(options, situation, *kind))
        .filter_map(|kind| LinuxNamespaceBuilder::default().typ(spec_type(kind)).build().ok())
        .collect()
}

pub(crate) fn spec_type(kind: NamespaceKind) -> LinuxNamespaceType {
    match kind {
        NamespaceKind::Pid => LinuxNamespaceType::Pid,
        NamespaceKind::Network => LinuxNamespaceType::Network,
        NamespaceKind::Mount => LinuxNamespaceType::Mount,
        NamespaceKind::Uts => LinuxNamespaceType::Uts,
        NamespaceKind::Ipc => LinuxNamespaceType::Ipc,
        NamespaceKind::User => LinuxNamespaceType::User,
        NamespaceKind::Cgroup => LinuxNamespaceType::Cgroup,
        NamespaceKind::Time => LinuxNamespaceType::Time,
    }
}

fn time_offsets(options: &BoxOptions) -> Option<HashMap<String, LinuxTimeOffset>> {
    let offsets = [("monotonic", options.monotonic_offset), ("boottime", options.boottime_offset)];
    let map: HashMap<_, _> = offsets
        .into_iter()
        .filter_map(|(clock, nanos)| {
            let nanos = nanos?;
            let (secs, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
            let offset = LinuxTimeOffsetBuilder::default().secs(secs).nanosecs(rest as u32).build().ok()?;
            Some((clock.to_owned(), offset))
        })
        .collect();
    (!map.is_empty()).then_some(map)
}

type Maps = (Vec<LinuxIdMapping>, Vec<LinuxIdMapping>, Writer);

fn id_maps(options: &BoxOptions, situation: &Situation<'_>) -> Result<Maps, SpecError> {
    let (uid, gid) = situation.caller;
    let one = |container, host| vec![idmap::Extent { container, host, size: 1 }];
    let (uids, gids, writer) = match &options.id_mapping {
        IdMapping::Explicit { uids, gids } => {
            let own = |extents: &[IdExtent], id| matches!(extents, [e] if e.size == 1 && e.host == id);
            let writer = match situation.privileged {
                true => Writer::Boxr,
                false if own(uids, uid) && own(gids, gid) => Writer::FirstProcess,
                false => Writer::Helpers,
            };
            (uids.iter().map(extent).collect(), gids.iter().map(extent).collect(), writer)
        }
        _ if situation.privileged => {
            let (uids, gids) = idmap::identity()?;
            (uids, gids, Writer::Boxr)
        }
        IdMapping::Caller => (one(uid, uid), one(gid, gid), Writer::FirstProcess),
        IdMapping::Root => match idmap::subordinate_ranges(uid) {
            Some((uids, gids)) => {
                (idmap::with_ranges(uid, &uids), idmap::with_ranges(gid, &gids), Writer::Helpers)
            }
            None => (one(0, uid), one(0, gid), Writer::FirstProcess),
        },
    };
    let (uids, gids, writer) = match situation.nested {
        true => below_realm(uids, gids, writer, situation),
        false => (uids, gids, writer),
    };
    let mapping = |extents: Vec<idmap::Extent>| extents.iter().filter_map(spec_mapping).collect();
    Ok((mapping(uids), mapping(gids), writer))
}

type Extents = Vec<idmap::Extent>;

/// The same in ids of the user's realm, which has all that he has.
fn below_realm(
    uids: Extents,
    gids: Extents,
    writer: Writer,
    situation: &Situation<'_>,
) -> (Extents, Extents, Writer) {
    let (uid, gid) = situation.caller;
    let (all_uids, all_gids) = idmap::subordinate_ranges(uid).unwrap_or_default();
    let uids = idmap::below(&uids, &idmap::with_ranges(uid, &all_uids));
    let gids = idmap::below(&gids, &idmap::with_ranges(gid, &all_gids));
    (uids, gids, if writer == Writer::Helpers { Writer::Above } else { writer })
}

fn extent(e: &IdExtent) -> idmap::Extent {
    idmap::Extent { container: e.container, host: e.host, size: e.size }
}

fn spec_mapping(e: &idmap::Extent) -> Option<LinuxIdMapping> {
    LinuxIdMappingBuilder::default().container_id(e.container).host_id(e.host).size(e.size).build().ok()
}

/// The mounts of a container with a root of its own, and those that were asked for, which
/// replace one at the same place. On the host's tree only /proc is needed, so that it agrees with
/// the pid namespace, and what was asked for comes in the order given, as with bwrap.
fn mounts(options: &BoxOptions, situation: &Situation<'_>) -> Vec<Mount> {
    let mut asked: Vec<Mount> =
        options.mounts.iter().map(|option| asked_mount(option, options, situation.volumes)).collect();
    if options.root.is_own() {
        by_depth(&mut asked);
    }
    let covered = |path: &Path| options.mounts.iter().any(|mount| mount.destination == path);
    let mut all: Vec<Mount> = match options.root {
        Root::Host => host_tree_mounts(options, situation),
        Root::Directory(_) | Root::Image(_) => container_mounts(options, situation),
    };
    all.retain(|mount| !covered(mount.destination()));
    all.extend(asked);
    all
}

/// What lies deeper comes later, so that nothing covers it, as in containers of docker and podman. What is as deep stays
/// in its order.
pub(crate) fn by_depth(mounts: &mut [Mount]) {
    mounts.sort_by_key(|mount| mount.destination().components().count());
}

fn host_tree_mounts(options: &BoxOptions, situation: &Situation<'_>) -> Vec<Mount> {
    let makes = |kind| makes(options, situation, kind);
    let joins_pid = matches!(options.namespaces.pid, NamespaceMode::Join(_));
    if (makes(NamespaceKind::Pid) || joins_pid) && makes(NamespaceKind::Mount) {
        vec![mount("proc", "proc", "/proc", &["nosuid", "nodev", "noexec"])]
    } else {
        Vec::new()
    }
}

fn container_mounts(options: &BoxOptions, situation: &Situation<'_>) -> Vec<Mount> {
    let makes = |kind| makes(options, situation, kind);
    let safe = ["nosuid", "noexec", "nodev"];
    let joins_pid = matches!(options.namespaces.pid, NamespaceMode::Join(_));
    let proc = if makes(NamespaceKind::Pid) || joins_pid {
        mount("proc", "proc", "/proc", &safe)
    } else {
        // The kernel makes no new /proc of a pid namespace that is not the box's own.
        mount("bind", "/proc", "/proc", &["rbind", "nosuid", "noexec", "nodev"])
    };
    let joins_network = matches!(options.namespaces.network, NamespaceMode::Join(_));
    let sys = if makes(NamespaceKind::Network) || joins_network || !situation.other_user {
        mount("sysfs", "sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"])
    } else {
        mount("bind", "/sys", "/sys", &["rbind", "nosuid", "noexec", "nodev", "rro"])
    };
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if !situation.other_user {
        pts.push("gid=5");
    }
    // With the caller's ipc namespace in another user namespace the kernel makes no new instance, and
    // a host without one has none to show.
    let mqueue = if makes(NamespaceKind::Ipc) || !situation.other_user {
        Some(mount("mqueue", "mqueue", "/dev/mqueue", &safe))
    } else {
        let bind = || mount("bind", "/dev/mqueue", "/dev/mqueue", &["bind", "nosuid", "noexec", "nodev"]);
        Path::new("/dev/mqueue").is_dir().then(bind)
    };
    let mut all = vec![
        proc,
        mount("tmpfs", "tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("devpts", "devpts", "/dev/pts", &pts),
        mount("tmpfs", "shm", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        sys,
    ];
    all.extend(mqueue);
    all
}

pub(crate) fn mount(kind: &str, source: &str, destination: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount.set_typ(Some(kind.to_owned())).set_source(Some(source.into())).set_destination(destination.into());
    mount.set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
    mount
}

/// What a mount that was asked for is in the specification.
pub(crate) fn asked_mount(option: &MountOption, options: &BoxOptions, volumes: &Places) -> Mount {
    if option.kind == volume::KIND {
        return volume::bind(option, volumes, options);
    }
    if option.kind == mounted::KIND {
        return mounted::mount(option, options);
    }
    let mut mount = Mount::default();
    mount.set_typ(Some(option.kind.clone())).set_destination(option.destination.clone());
    let mut options: Vec<String> =
        option.options.iter().filter(|word| *word != volume::owners::GIVE).cloned().collect();
    let has = |word: &str| option.options.iter().any(|option| option == word);
    if has("rbind") && has("ro") {
        // As docker since 25: what is mounted below is no way around it.
        options.push("rro".to_owned());
    }
    shift(&mut mount, &mut options);
    mount.set_source(option.source.as_ref().map(PathBuf::from)).set_options(Some(options));
    mount
}

/// `idmap`, with maps of its own or the container's.
pub(crate) fn shift(mount: &mut Mount, options: &mut Vec<String>) {
    let Some(at) = options.iter().position(|word| word == "idmap" || word.starts_with("idmap=")) else {
        return;
    };
    let said = options.remove(at);
    let is_deep = options.iter().any(|word| word == "rbind");
    options.push(if is_deep { "ridmap" } else { "idmap" }.to_owned());
    if let Some((users, groups)) = said.strip_prefix("idmap=").and_then(|text| grammar::mount_maps(text).ok())
    {
        let mappings =
            |extents: &[IdExtent]| extents.iter().map(extent).filter_map(|one| spec_mapping(&one)).collect();
        mount.set_uid_mappings(Some(mappings(&users))).set_gid_mappings(Some(mappings(&groups)));
    }
}

/// The process of a box, also for `exec`.
///
/// # Errors
/// [`SpecError`] names the option.
pub fn process(options: &BoxOptions, situation: &Situation<'_>) -> Result<Process, SpecError> {
    let mut process = Process::default();
    process.set_terminal(Some(situation.terminal)).set_args(Some(options.args.clone()));
    process.set_env(Some(options.env.clone()));
    process.set_cwd(options.workdir.clone().unwrap_or_else(|| match options.root {
        Root::Host => PathBuf::new(),
        Root::Directory(_) | Root::Image(_) => PathBuf::from("/"),
    }));
    let mut user = SpecUser::default();
    let (uid, gid) = if situation.other_user { (0, 0) } else { situation.caller };
    user.set_uid(options.user.as_ref().map_or(uid, |u| u.uid));
    user.set_gid(options.user.as_ref().map_or(gid, |u| u.gid));
    user.set_umask(options.umask);
    user.set_additional_gids(options.user.as_ref().and_then(|u| u.groups.clone()));
    process.set_user(user);
    process.set_capabilities(capabilities(options, situation)?);
    process.set_no_new_privileges(Some(options.no_new_privileges));
    process.set_rlimits(Some(rlimits(options)?));
    process.set_oom_score_adj(options.oom_score_adj);
    Ok(process)
}

/// Host commands keep what their caller has; a container with a root of its own gets the set that
/// docker's users know.
fn capabilities(
    options: &BoxOptions,
    situation: &Situation<'_>,
) -> Result<Option<LinuxCapabilities>, SpecError> {
    let change = &options.capabilities;
    let own_root = options.root.is_own();
    if !own_root && *change == CapabilityChange::default() {
        return Ok(None);
    }
    let most = if situation.other_user {
        Capabilities::all()
    } else {
        Capabilities::of_caller()
            .map_err(|errno| StepError::new(boxr_runtime::Step::Capabilities, "read", errno))?
    };
    let base = match &options.container {
        Some(container) if container.privileged => most,
        // Docker's, with device nodes: a cgroup or a user namespace keeps those from the host.
        Some(_) => with_nodes(Capabilities::container_default()).intersection(most),
        None if own_root => Capabilities::container_default().intersection(most),
        None => most,
    };
    let set = changed(base, change, most)?;
    let is_root = options.user.as_ref().is_none_or(|user| user.uid == 0);
    let names = |set: Capabilities| -> Option<CapabilityNames> {
        Some(
            set.names()
                .iter()
                .filter_map(|name| name.trim_start_matches("CAP_").parse::<Capability>().ok())
                .collect(),
        )
    };
    let in_force = if is_root { set } else { Capabilities::NONE };
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(names(set)).set_effective(names(in_force)).set_permitted(names(in_force));
    sets.set_inheritable(names(Capabilities::NONE)).set_ambient(names(Capabilities::NONE));
    Ok(Some(sets))
}

fn with_nodes(set: Capabilities) -> Capabilities {
    Capabilities::named("MKNOD").map_or(set, |nodes| set.union(nodes))
}

fn changed(
    base: Capabilities,
    change: &CapabilityChange,
    most: Capabilities,
) -> Result<Capabilities, SpecError> {
    let named = |verb, name: &String| match name.as_str() {
        "ALL" => Ok(if verb == "add" { most } else { Capabilities::all() }),
        _ => Capabilities::named(name).ok_or_else(|| SpecError::Capability { verb, name: name.clone() }),
    };
    let drops_all = change.drop.iter().any(|name| name == "ALL");
    let mut set = if drops_all { Capabilities::NONE } else { base };
    for name in &change.add {
        set = set.union(named("add", name)?);
    }
    for name in change.drop.iter().filter(|name| *name != "ALL") {
        set = set.without(named("drop", name)?);
    }
    Ok(set)
}

fn rlimits(options: &BoxOptions) -> Result<Vec<PosixRlimit>, SpecError> {
    let one = |limit: &crate::options::Ulimit| {
        let unknown = || SpecError::Ulimit(limit.kind.clone());
        let typ: PosixRlimitType = limit.kind.parse().map_err(|_| unknown())?;
        PosixRlimitBuilder::default()
            .typ(typ)
            .soft(limit.soft)
            .hard(limit.hard)
            .build()
            .map_err(|_| unknown())
    };
    options.ulimits.iter().map(one).collect()
}
