//! An OCI specification, checked field by field, becomes a plan.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use boxr_sys::exec::CVector;
use boxr_sys::mount::Propagation;
use boxr_sys::namespace::NamespaceKind;
use oci_spec::runtime::{
    Capabilities as CapabilityNames, Linux, LinuxDevice, LinuxDeviceType, LinuxIdMapping, LinuxNamespaceType,
    Mount, PosixRlimit, PosixRlimitType, Process, Root, Spec,
};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Resource, Rlimit};

use super::mount_options::{self, MountAttributes};
use super::{CgroupPlan, DevicePlan, MountPlan, MountSource, Plan, ProcessPlan, RootPlan, UserPlan};
use crate::capabilities::{Capabilities, Sets};
use crate::error::{At, Error, Step};
use crate::idmap::{Extent, IdMap, Writer};
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
        let (new, joined) = namespaces(linux, extras.joined)?;
        let makes = |kind| new.contains(&kind);
        let idmap = id_map(linux, makes(NamespaceKind::User), extras.map_writer)?;
        let root = root(spec.root().as_ref(), linux, makes(NamespaceKind::Mount))?;
        let mounts = mounts(spec.mounts().as_deref().unwrap_or_default(), &root)?;
        let process = spec
            .process()
            .as_ref()
            .ok_or_else(|| Error::field("process", "missing; there is nothing to run"))?;
        let own_root = matches!(root, RootPlan::Directory { .. });
        let mut process = process_plan(process, &extras.stdio)?;
        finish_user(&mut process, extras.keep_user, extras.keep_groups, idmap.as_ref())?;
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
            devices: if own_root { devices(linux.devices().as_deref().unwrap_or_default())? } else { vec![] },
            masked: paths(linux.masked_paths()),
            read_only_paths: paths(linux.readonly_paths()),
            hostname: spec.hostname().clone(),
            domainname: spec.domainname().clone(),
            time_offsets: time_offsets(linux, makes(NamespaceKind::Time))?,
            process,
            root,
            new,
            joined,
            cgroup: extras.cgroup,
            stdio: extras.stdio,
            preserve_fds: extras.preserve_fds,
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
        let mut plan = process_plan(process, &extras.stdio)?;
        finish_user(&mut plan, extras.keep_user, extras.keep_groups, None)?;
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
        ("hooks", spec.hooks().is_some()),
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

type Joined = Vec<(NamespaceKind, OwnedFd)>;

fn namespaces(linux: &Linux, joined: Joined) -> Result<(Vec<NamespaceKind>, Joined), Error> {
    let (mut new, mut all) = (Vec::new(), joined);
    let given: Vec<NamespaceKind> = all.iter().map(|(kind, _)| *kind).collect();
    let mut seen = Vec::new();
    for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
        let kind = kind_of(namespace.typ());
        if seen.contains(&kind) {
            return Err(Error::field(
                format!("linux.namespaces[{index}]"),
                format!("{kind} is listed twice"),
            ));
        }
        seen.push(kind);
        match namespace.path() {
            _ if given.contains(&kind) => {}
            None => new.push(kind),
            Some(path) => all.push((kind, open_namespace(path, kind)?)),
        }
    }
    Ok((new, all))
}

/// Opens an nsfs file; setns(2) itself refuses one of the wrong type.
fn open_namespace(path: &Path, kind: NamespaceKind) -> Result<OwnedFd, Error> {
    let fd = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    Ok(fd.at(Step::Join, format!("{kind} {}", path.display()))?)
}

fn kind_of(typ: LinuxNamespaceType) -> NamespaceKind {
    match typ {
        LinuxNamespaceType::Mount => NamespaceKind::Mount,
        LinuxNamespaceType::Cgroup => NamespaceKind::Cgroup,
        LinuxNamespaceType::Uts => NamespaceKind::Uts,
        LinuxNamespaceType::Ipc => NamespaceKind::Ipc,
        LinuxNamespaceType::User => NamespaceKind::User,
        LinuxNamespaceType::Pid => NamespaceKind::Pid,
        LinuxNamespaceType::Network => NamespaceKind::Network,
        LinuxNamespaceType::Time => NamespaceKind::Time,
    }
}

fn id_map(linux: &Linux, new_user: bool, writer: Writer) -> Result<Option<IdMap>, Error> {
    let extents = |list: &Option<Vec<LinuxIdMapping>>| -> Vec<Extent> {
        let one =
            |m: &LinuxIdMapping| Extent { container: m.container_id(), host: m.host_id(), size: m.size() };
        list.iter().flatten().map(one).collect()
    };
    let map = IdMap { uids: extents(linux.uid_mappings()), gids: extents(linux.gid_mappings()), writer };
    if !new_user {
        return match map.uids.is_empty() && map.gids.is_empty() {
            true => Ok(None),
            false => Err(Error::field("linux.uidMappings", "mappings need a new user namespace")),
        };
    }
    map.validate()?;
    Ok(Some(map))
}

fn root(root: Option<&Root>, linux: &Linux, new_mount: bool) -> Result<RootPlan, Error> {
    let propagation = match linux.rootfs_propagation().as_deref() {
        None | Some("") => Some(Propagation::Slave),
        Some("unchanged") => None,
        Some(word) => {
            let (propagation, _) = mount_options::propagation(word).ok_or_else(|| {
                Error::field(
                    "linux.rootfsPropagation",
                    format!("{word}: not private, slave, shared or unbindable"),
                )
            })?;
            Some(propagation)
        }
    };
    let Some(root) = root else {
        return Ok(if new_mount {
            RootPlan::HostTree { propagation, read_only: false }
        } else {
            RootPlan::Unchanged
        });
    };
    let read_only = root.readonly().unwrap_or(false);
    if root.path() == Path::new("/") {
        return match (new_mount, read_only) {
            (true, _) => Ok(RootPlan::HostTree { propagation, read_only }),
            (false, false) => Ok(RootPlan::Unchanged),
            (false, true) => Err(Error::field("root.readonly", "needs a new mount namespace")),
        };
    }
    if !new_mount {
        return Err(Error::field("root.path", "a root of its own needs a new mount namespace"));
    }
    Ok(RootPlan::Directory { path: root.path().clone(), propagation, read_only })
}

fn mounts(list: &[Mount], root: &RootPlan) -> Result<Vec<MountPlan>, Error> {
    if !list.is_empty() && *root == RootPlan::Unchanged {
        return Err(Error::field("mounts", "mounts need a new mount namespace"));
    }
    list.iter().enumerate().map(|(index, mount)| mount_plan(index, mount)).collect()
}

fn mount_plan(index: usize, mount: &Mount) -> Result<MountPlan, Error> {
    let field = |part: &str| format!("mounts[{index}].{part}");
    let destination = absolute(&field("destination"), mount.destination())?;
    let parsed = mount_options::parse(mount.options().as_deref().unwrap_or_default());
    let kind = mount.typ().clone().unwrap_or_else(|| "none".to_owned());
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        return Err(Error::field(field("uidMappings"), "not supported by this version of boxr"));
    }
    let source = match parsed.bind.or((kind == "bind").then_some(false)) {
        Some(recursive) => {
            let path = mount.source().clone().ok_or_else(|| Error::field(field("source"), "missing"))?;
            if let Some((word, _)) = parsed.parameters.first() {
                return Err(Error::field(field("options"), format!("{word}: not an option of a bind mount")));
            }
            MountSource::Bind { path, recursive }
        }
        None => MountSource::Filesystem {
            source: mount
                .source()
                .as_ref()
                .map_or_else(|| kind.clone(), |s| s.to_string_lossy().into_owned()),
            kind,
            parameters: parsed.parameters,
        },
    };
    check_place(&field("destination"), &destination, &source)?;
    Ok(MountPlan { destination, source, attributes: parsed.attributes, propagation: parsed.propagation })
}

/// Files of /proc that may be covered: each shows figures that something like lxcfs(1) narrows.
const COVERABLE: [&str; 9] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
];

/// The root cannot be covered, and /proc only by a procfs: what runs in the box, and the runtime
/// itself when it enters the box, must be able to believe /proc (CVE-2019-16884).
fn check_place(field: &str, destination: &Path, source: &MountSource) -> Result<(), Error> {
    if destination.parent().is_none() {
        return Err(Error::field(field, "/: the root itself; give the box another root instead"));
    }
    let is_proc = match source {
        MountSource::Filesystem { kind, .. } => kind == "proc",
        MountSource::Bind { path, .. } => path == Path::new("/proc"),
    };
    let covers = destination == Path::new("/proc") && !is_proc;
    let inside = destination.starts_with("/proc") && destination != Path::new("/proc");
    if covers || inside && !COVERABLE.iter().any(|path| destination == Path::new(path)) {
        return Err(Error::field(field, format!("{}: /proc cannot be covered", destination.display())));
    }
    Ok(())
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

fn devices(extra: &[LinuxDevice]) -> Result<Vec<DevicePlan>, Error> {
    let character = |name: &str, major, minor| DevicePlan {
        path: Path::new("/dev").join(name),
        block: false,
        major,
        minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    };
    let mut all = vec![
        character("null", 1, 3),
        character("zero", 1, 5),
        character("full", 1, 7),
        character("random", 1, 8),
        character("urandom", 1, 9),
        character("tty", 5, 0),
    ];
    for (index, device) in extra.iter().enumerate() {
        let field = format!("linux.devices[{index}]");
        let block = match device.typ() {
            LinuxDeviceType::B => true,
            LinuxDeviceType::C | LinuxDeviceType::U => false,
            other => {
                return Err(Error::field(
                    field,
                    format!("{other:?}: neither a character nor a block device"),
                ));
            }
        };
        let number = |value: i64| {
            u32::try_from(value)
                .map_err(|_| Error::field(field.clone(), format!("{value}: not a device number")))
        };
        let path = absolute(&field, device.path())?;
        all.retain(|known| known.path != path);
        all.push(DevicePlan {
            path,
            block,
            major: number(device.major())?,
            minor: number(device.minor())?,
            mode: device.file_mode().unwrap_or(0o666),
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
        });
    }
    Ok(all)
}

fn time_offsets(linux: &Linux, new_time: bool) -> Result<Vec<(&'static str, i64, u32)>, Error> {
    let mut offsets = Vec::new();
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        if !new_time {
            return Err(Error::field("linux.timeOffsets", "clock offsets need a new time namespace"));
        }
        let clock = match clock.as_str() {
            "monotonic" => "monotonic",
            "boottime" => "boottime",
            other => {
                return Err(Error::field(
                    "linux.timeOffsets",
                    format!("{other}: neither monotonic nor boottime"),
                ));
            }
        };
        offsets.push((clock, offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0)));
    }
    Ok(offsets)
}

fn process_plan(process: &Process, stdio: &Stdio) -> Result<ProcessPlan, Error> {
    let args = process.args().as_deref().unwrap_or_default();
    if args.first().is_none_or(String::is_empty) {
        return Err(Error::field("process.args", "there is no command to run"));
    }
    if process.terminal().unwrap_or(false) != stdio.is_terminal() {
        return Err(Error::field("process.terminal", "does not agree with the descriptors that were given"));
    }
    let env = process.env().as_deref().unwrap_or_default();
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
    })
}

fn finish_user(
    process: &mut ProcessPlan,
    keep_user: bool,
    keep_groups: bool,
    idmap: Option<&IdMap>,
) -> Result<(), Error> {
    if keep_user {
        process.user = None;
    }
    let Some(user) = &mut process.user else { return Ok(()) };
    if keep_groups {
        user.groups = None;
    }
    let Some(map) = idmap else { return Ok(()) };
    if !map.has_uid(user.uid) {
        return Err(Error::field(
            "process.user.uid",
            format!("{} is not mapped in the user namespace", user.uid),
        ));
    }
    if !map.has_gid(user.gid) {
        return Err(Error::field(
            "process.user.gid",
            format!("{} is not mapped in the user namespace", user.gid),
        ));
    }
    if !map.allows_setgroups() {
        if user.groups.as_ref().is_some_and(|groups| !groups.is_empty()) {
            let why = "supplementary groups need a range of ids (subgid(5)); a single mapped id has none";
            return Err(Error::field("process.user.additionalGids", why));
        }
        user.groups = None;
    }
    Ok(())
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

fn capability_sets(names: &oci_spec::runtime::LinuxCapabilities) -> Result<Sets, Error> {
    let set = |field: &str, names: &Option<CapabilityNames>| -> Result<Capabilities, Error> {
        names.iter().flatten().try_fold(Capabilities::NONE, |set, name| {
            let name = name.to_string();
            let one = Capabilities::named(&name).ok_or_else(|| {
                Error::field(format!("process.capabilities.{field}"), format!("{name}: unknown capability"))
            })?;
            Ok(set.union(one))
        })
    };
    Ok(Sets {
        bounding: set("bounding", names.bounding())?,
        effective: set("effective", names.effective())?,
        permitted: set("permitted", names.permitted())?,
        inheritable: set("inheritable", names.inheritable())?,
        ambient: set("ambient", names.ambient())?,
    })
}

fn rlimits(list: &[PosixRlimit]) -> Result<Vec<(Resource, Rlimit)>, Error> {
    let mut all = Vec::new();
    for (index, limit) in list.iter().enumerate() {
        let (soft, hard) = (limit.soft(), limit.hard());
        if soft > hard {
            let why = format!("the soft limit {soft} is above the hard limit {hard}");
            return Err(Error::field(format!("process.rlimits[{index}]"), why));
        }
        let value = |v: u64| (v != u64::MAX).then_some(v);
        all.push((resource(limit.typ()), Rlimit { current: value(soft), maximum: value(hard) }));
    }
    Ok(all)
}

fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}

fn oom_score_adj(value: Option<i32>) -> Result<Option<i32>, Error> {
    match value {
        Some(score) if !(-1000..=1000).contains(&score) => {
            Err(Error::field("process.oomScoreAdj", format!("{score}: not between -1000 and 1000")))
        }
        other => Ok(other),
    }
}

impl MountAttributes {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
