//! From what was said to a whole box: file and flags together, the defaults, and what excludes what.

mod lifetime;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use boxr_sys::namespace::NamespaceKind;

use self::lifetime::{check_health_action, check_lifetime, check_restart, retention};
use super::error::ConfigError;
use super::grammar::{self, mode_text};
use super::raw::{RawRun, Stream};
use super::{environment, identity, systemd, text_file};
use crate::image::mounted;
use crate::image::userns::{self, Facts};
use crate::image::{ContainerOptions, Image, ImageVolume, Seccomp, UserIdsWord, defaults};
use crate::notify::SdNotify;
use crate::options::{
    BoxOptions, CapabilityChange, IdMapping, JoinTarget, LogDriver, LogLimits, LogTarget, MountOption,
    NamespaceMode, Namespaces, Propagation, Root, Tty,
};

/// What a box takes from whoever makes it.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Current directory.
    pub directory: PathBuf,
    /// Environment, in its order. Variables that are not UTF-8 cannot be kept in a record.
    pub env: Vec<(String, String)>,
    /// Who it is; `None`: asked of the kernel when it matters, which it seldom does.
    pub ids: Option<CallerIds>,
}

/// Who makes a box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerIds {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl CallerIds {
    /// Those of this process.
    fn current() -> Self {
        let groups = rustix::process::getgroups().unwrap_or_default();
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: groups.into_iter().map(rustix::process::Gid::as_raw).collect(),
        }
    }
}

impl Caller {
    /// This process.
    ///
    /// # Errors
    /// A current directory that is gone.
    pub fn current() -> Result<Self, ConfigError> {
        let directory = std::env::current_dir().map_err(|source| ConfigError::NoDirectory { source })?;
        let env = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(Self { directory, env, ids: None })
    }

    /// Who it is.
    pub fn ids(&self) -> CallerIds {
        self.ids.clone().unwrap_or_else(CallerIds::current)
    }
}

/// Which command the box is made for: it decides what remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `run`
    Run,
    /// `create`
    Create,
}

/// A box, and what is to be done with it now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// What it is.
    pub options: BoxOptions,
    /// The name that was asked for.
    pub name: Option<String>,
    /// Whether it runs in the background.
    pub detach: bool,
    /// File that gets its id.
    pub cidfile: Option<PathBuf>,
    /// What of the command's streams and signals a foreground boxr connects; `None` is all.
    pub attach: Option<Attach>,
    /// What a person is to be told.
    pub notes: Vec<String>,
    /// Keys that detach; `None` is the default, empty is none.
    pub detach_keys: Option<Vec<u8>>,
}

/// What is connected, where that is not everything (`--attach`, `--sig-proxy=false`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attach {
    /// stdin
    pub input: bool,
    /// stdout
    pub output: bool,
    /// stderr
    pub errors: bool,
    /// Signals to boxr reach the command.
    pub signals: bool,
}

/// Puts together what was said.
///
/// # Errors
/// What excludes each other, what is missing, and files that cannot be read.
pub fn resolve(mut raw: RawRun, purpose: Purpose, caller: &Caller) -> Result<Resolved, ConfigError> {
    let sandbox = crate::sandbox::apply(&mut raw, purpose, caller)?;
    let caller = sandbox.as_ref().map_or(caller, |sandbox| &sandbox.caller);
    let image = raw.image.take();
    let image = image.as_deref();
    super::pod::apply(&mut raw)?;
    let mut namespaces = namespaces(&raw, image)?;
    let mut notes = Vec::new();
    let network = super::networks::resolve(&raw, &mut namespaces, image.is_some(), &mut notes)?;
    raw.notes.extend(notes);
    let root = root(&raw, image)?;
    let said_ids = raw.container.userns;
    let may_copy = raw.container.userns_chown == Some(true);
    let is_user_said = raw.user.is_some();
    let filter = match (image, raw.container.seccomp.take()) {
        (None, Some(Seccomp::Profile(text))) => Some(text),
        // A command of the host has none by default.
        (None, _) => None,
        (Some(_), said) => {
            raw.container.seccomp = said;
            None
        }
    };
    let (args, mut container) = command(&mut raw, image)?;
    if let (Some(container), Some(image)) = (&mut container, image) {
        systemd::prepare(&mut raw, image, &args, container);
    }
    let mut id_mapping = id_mapping(&raw);
    if let Some(container) = &mut container {
        id_mapping = match super::pod::ids_of(&raw, &namespaces, container) {
            Some(mapping) => mapping,
            None => own_ids((said_ids, may_copy), &mut namespaces, &id_mapping, container, is_user_said)?,
        };
    }
    let sdnotify = sdnotify(&raw, container.as_deref_mut())?;
    let detach = raw.detach.unwrap_or(false);
    check_lifetime(&raw, detach)?;
    let retention = retention(&raw, image, purpose, detach);
    check_restart(&raw, retention)?;
    if purpose == Purpose::Run && !detach {
        check_health_action(container.as_deref(), retention)?;
    }
    let cgroup = super::limits::cgroup(&raw)?;
    add_scratch(&mut raw);
    check_mounts(&raw, &namespaces)?;
    let attach = attached(&raw, detach)?;
    let images = mounted::those_of(std::mem::take(&mut raw.mounted), &raw.mounts);
    let options = BoxOptions {
        network,
        env: told_by(environment::whole(&raw, image, caller)?, sdnotify),
        workdir: workdir(&raw, &root, image, caller)?,
        user: match image {
            // Looked up in the container's own files, at every start.
            Some(_) => None,
            None => {
                identity::resolve(raw.user.as_ref(), &raw.group_add, &root, namespaces.user.as_ref(), caller)?
            }
        },
        umask: raw.umask,
        id_mapping,
        monotonic_offset: raw.monotonic,
        boottime_offset: raw.boottime,
        root,
        read_only: raw.read_only.unwrap_or(false),
        propagation: raw.propagation.unwrap_or_default(),
        no_new_privileges: raw.no_new_privs.unwrap_or(false),
        limits: super::limits::resolve(&raw)?,
        oom_score_adj: raw.oom_score_adj,
        init: raw.init.unwrap_or(false),
        die_with_parent: raw.die_with_parent.unwrap_or(false),
        new_session: raw.new_session.unwrap_or(false),
        preserve_fds: raw.preserve_fds.unwrap_or(0),
        interactive: raw.interactive.unwrap_or(false),
        tty: raw.tty.unwrap_or_default(),
        stop_timeout: raw.stop_timeout,
        timeout: raw.timeout.filter(|seconds| *seconds > 0),
        retention,
        sdnotify,
        restart: raw.restart.unwrap_or_default(),
        log: log(&raw),
        log_to: log_target(&raw)?,
        labels: match image {
            Some(image) => defaults::labels(&image.config, labels(&raw)?),
            None => labels(&raw)?,
        },
        namespaces,
        capabilities: CapabilityChange { add: raw.cap_add, drop: raw.cap_drop },
        args,
        hostname: raw.hostname,
        domainname: raw.domainname,
        mounts: raw.mounts,
        ulimits: raw.ulimits,
        stop_signal: match image {
            Some(image) => defaults::stop_signal(image, raw.stop_signal)?,
            None => raw.stop_signal,
        },
        cgroup,
        annotations: raw.annotations.into_iter().collect(),
        personality: raw.personality,
        init_path: raw.init_path,
        requires: raw.requires,
        monitor_pidfile: raw.monitor_pidfile,
        pidfile: raw.pidfile,
        pod: raw.pod.map(|pod| crate::pod::Membership { id: pod.id }),
        container,
        images,
        sandbox: sandbox.as_ref().map(|sandbox| Box::new(sandbox.options.clone())),
        attempt: None,
        seccomp: filter,
        watch: None,
    };
    Ok(Resolved {
        options,
        name: raw.name,
        detach,
        cidfile: raw.cidfile,
        notes: raw.notes,
        attach,
        detach_keys: raw.detach_keys,
    })
}

/// Whose ids a container of an image has.
fn own_ids(
    (said, may_copy): (Option<UserIdsWord>, bool),
    namespaces: &mut Namespaces,
    mapping: &IdMapping,
    container: &mut ContainerOptions,
    is_user_said: bool,
) -> Result<IdMapping, ConfigError> {
    let privileged = boxr_runtime::capabilities::is_privileged().unwrap_or(false);
    let decided = userns::decide(Facts { said, namespaces, mapping, container, may_copy, privileged })?;
    namespaces.user = decided.namespace;
    container.user_ids = decided.ids;
    if let (Some(user), false) = (decided.user, is_user_said) {
        container.user = user;
    }
    Ok(decided.mapping)
}

/// What `--attach` and `--sig-proxy` leave out.
fn attached(raw: &RawRun, detach: bool) -> Result<Option<Attach>, ConfigError> {
    let signals = raw.signal_proxy.unwrap_or(true);
    let all = raw.attach.is_empty();
    if detach && !all {
        return Err(conflict("--attach", "--detach", "one connects streams, the other none", ""));
    }
    let has = |stream| all || raw.attach.contains(&stream);
    let attach = Attach {
        input: if all { raw.interactive == Some(true) } else { has(Stream::Input) },
        output: has(Stream::Output),
        errors: has(Stream::Errors),
        signals,
    };
    Ok((!(all && signals)).then_some(attach))
}

/// Where programs write that find everything else read-only.
const SCRATCH: [&str; 3] = ["/run", "/tmp", "/var/tmp"];

/// The mounts of `--read-only-tmpfs`, where nothing else is.
fn add_scratch(raw: &mut RawRun) {
    if raw.read_only != Some(true) || raw.read_only_tmpfs != Some(true) {
        return;
    }
    for place in SCRATCH {
        if !raw.mounts.iter().any(|mount| mount.destination == Path::new(place)) {
            raw.mounts.push(scratch(place.into()));
        }
    }
}

pub(super) fn scratch(destination: PathBuf) -> MountOption {
    let options = ["nosuid", "nodev", "mode=1777"].map(str::to_owned).to_vec();
    MountOption { kind: "tmpfs".to_owned(), source: Some("tmpfs".to_owned()), destination, options }
}

/// What is done about the volumes that an image declares.
fn place_volumes(raw: &mut RawRun, how: Option<ImageVolume>, container: &mut ContainerOptions) {
    if how.is_none_or(|how| how == ImageVolume::Bind) {
        return;
    }
    for path in std::mem::take(&mut container.volumes) {
        let place = super::value::clean(&Path::new("/").join(path));
        let is_free = !raw.mounts.iter().any(|mount| mount.destination == place);
        if how == Some(ImageVolume::Tmpfs) && is_free && place.parent().is_some() {
            raw.mounts.push(scratch(place));
        }
    }
}

/// Who tells systemd; a box without health checks is never well.
fn sdnotify(raw: &RawRun, container: Option<&mut ContainerOptions>) -> Result<SdNotify, ConfigError> {
    let how = raw.sdnotify.unwrap_or_default();
    if how == SdNotify::Healthy {
        let health = container.and_then(|container| container.health.as_mut());
        let other = "a health check, such as --health-cmd";
        health.ok_or(ConfigError::Needs { one: "--sdnotify healthy".to_owned(), other })?.tells = true;
    }
    Ok(how)
}

/// A host command has the caller's variables, of which it is not to have this one where another tells.
fn told_by(mut env: Vec<String>, how: SdNotify) -> Vec<String> {
    if how != SdNotify::Container {
        env.retain(|entry| !entry.starts_with("NOTIFY_SOCKET="));
    }
    env
}

type Container = Option<Box<ContainerOptions>>;

/// The command, and what only a container of an image has.
fn command(raw: &mut RawRun, image: Option<&Image>) -> Result<(Vec<String>, Container), ConfigError> {
    let args = raw.args.take();
    let said = std::mem::take(&mut raw.container);
    match image {
        Some(image) => {
            let (args, head) = defaults::command(&image.config, said.entrypoint.as_deref(), args)?;
            let mut container = defaults::container(image, raw, head, said.health.clone())?;
            let mut said = said;
            if said.seccomp_of_image == Some(true) && said.seccomp.is_none() {
                said.seccomp = defaults::seccomp(image)?;
            }
            place_volumes(raw, said.image_volume, &mut container);
            said.apply(&mut container)?;
            Ok((args, Some(Box::new(container))))
        }
        None => {
            said.refuse()?;
            Ok((args.filter(|args| !args.is_empty()).ok_or(ConfigError::NoCommand)?, None))
        }
    }
}

/// The flag of a namespace.
fn flag_of(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Pid => "--pid",
        NamespaceKind::Network => "--network",
        NamespaceKind::Mount => "--mount-ns",
        NamespaceKind::Uts => "--uts",
        NamespaceKind::Ipc => "--ipc",
        NamespaceKind::User => "--userns",
        NamespaceKind::Cgroup => "--cgroupns",
        NamespaceKind::Time => "--time-ns",
    }
}

/// The modes, with those that other settings imply.
fn namespaces(raw: &RawRun, image: Option<&Image>) -> Result<Namespaces, ConfigError> {
    let mut namespaces = image.map_or_else(Namespaces::default, |_| defaults::namespaces());
    for kind in NamespaceKind::ALL {
        if let Some(name) = &raw.share {
            namespaces.set(kind, NamespaceMode::Join(JoinTarget::Container(name.clone())));
        }
        if let Some(mode) = raw.pod.as_ref().and_then(|pod| pod.mode(kind)) {
            namespaces.set(kind, mode);
        }
        if let Some(mode) = raw.namespace(kind) {
            namespaces.set(kind, mode.clone());
        }
    }
    let unsaid = |kind| raw.namespace(kind).is_none() && raw.share.is_none();
    let clocks = raw.monotonic.is_some() || raw.boottime.is_some();
    if clocks && unsaid(NamespaceKind::Time) {
        namespaces.time = NamespaceMode::New;
    }
    let maps = !raw.uid_map.is_empty() || !raw.gid_map.is_empty();
    if maps && unsaid(NamespaceKind::User) {
        namespaces.user = Some(NamespaceMode::New);
    }
    let clock_flag = if raw.monotonic.is_some() { "--monotonic" } else { "--boottime" };
    let map_flag = match (raw.uid_map.is_empty(), raw.gid_map.is_empty()) {
        (false, _) => "--uidmap",
        (_, false) => "--gidmap",
        _ => "--map-self",
    };
    let named = raw.hostname.is_some() || raw.domainname.is_some();
    let name_flag = if raw.hostname.is_some() { "--hostname" } else { "--domainname" };
    needs_new(
        &namespaces,
        NamespaceKind::Time,
        clocks,
        clock_flag,
        "offsets are set when a time namespace is made",
    )?;
    let maps = maps || raw.map_self == Some(true);
    needs_new(
        &namespaces,
        NamespaceKind::User,
        maps,
        map_flag,
        "ids are mapped when a user namespace is made",
    )?;
    needs_new(&namespaces, NamespaceKind::Uts, named, name_flag, "it would change the name of another")?;
    if raw.map_self == Some(true) && map_flag != "--map-self" {
        return Err(conflict("--map-self", map_flag, "each says how ids are mapped", ""));
    }
    Ok(namespaces)
}

/// Refuses `flag` where the namespace it is about is not the box's own.
fn needs_new(
    namespaces: &Namespaces,
    kind: NamespaceKind,
    said: bool,
    flag: &str,
    why: &'static str,
) -> Result<(), ConfigError> {
    match namespaces.get(kind) {
        Some(mode) if said && *mode != NamespaceMode::New => {
            let other = format!("{} {}", flag_of(kind), mode_text(mode));
            Err(conflict(flag, &other, why, new_flag(kind)))
        }
        _ => Ok(()),
    }
}

/// The remedy: a namespace of the box's own.
fn new_flag(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Time => "--time-ns new",
        NamespaceKind::User => "--userns new",
        NamespaceKind::Uts => "--uts new",
        NamespaceKind::Mount => "--mount-ns new",
        _ => "",
    }
}

pub(super) fn conflict(one: &str, other: &str, why: &'static str, remedy: &'static str) -> ConfigError {
    ConfigError::Conflict { one: one.to_owned(), other: other.to_owned(), why, remedy }
}

/// The file tree; a directory is looked at now, so that a mistyped one is named before anything is made.
fn root(raw: &RawRun, image: Option<&Image>) -> Result<Root, ConfigError> {
    use std::os::unix::fs::MetadataExt;
    if let Some(image) = image {
        return match raw.rootfs {
            Some(_) => {
                Err(conflict("--rootfs", &format!("the image {}", image.root.name), "each is a root", ""))
            }
            None => Ok(Root::Image(Box::new(image.root.clone()))),
        };
    }
    let Some(path) = &raw.rootfs else { return Ok(Root::Host) };
    let wrong = |why, source| ConfigError::Rootfs { path: path.clone(), why, source };
    let found = std::fs::metadata(path).map_err(|source| wrong("cannot be used as root", Some(source)))?;
    if !found.is_dir() {
        return Err(wrong("not a directory", None));
    }
    let host = std::fs::metadata("/").map_err(|source| wrong("cannot be compared with /", Some(source)))?;
    if (found.dev(), found.ino()) == (host.dev(), host.ino()) {
        return Err(wrong("this is the host's own root; leave --rootfs out to use it", None));
    }
    Ok(Root::Directory(path.clone()))
}

/// Mounts need a mount namespace of the box's own, and a place each.
fn check_mounts(raw: &RawRun, namespaces: &Namespaces) -> Result<(), ConfigError> {
    let about = [
        (raw.rootfs.is_some(), "--rootfs"),
        (!raw.mounts.is_empty(), "a mount"),
        (raw.read_only == Some(true), "--read-only"),
        (raw.propagation.is_some_and(|how| how != Propagation::Private), "--propagation"),
    ];
    for (said, flag) in about {
        needs_new(namespaces, NamespaceKind::Mount, said, flag, "it would change the mounts of another")?;
    }
    // By their letters, which are compared faster than paths.
    let mut places = BTreeSet::new();
    match raw.mounts.iter().find(|mount| !places.insert(mount.destination.as_os_str())) {
        Some(mount) => Err(ConfigError::RepeatedMount { destination: mount.destination.clone() }),
        None => Ok(()),
    }
}

pub(super) fn id_mapping(raw: &RawRun) -> IdMapping {
    if raw.map_self == Some(true) {
        return IdMapping::Caller;
    }
    let (uids, gids) = (&raw.uid_map, &raw.gid_map);
    if uids.is_empty() && gids.is_empty() {
        return IdMapping::Root;
    }
    // One map alone is for both, as in podman.
    IdMapping::Explicit {
        uids: if uids.is_empty() { gids } else { uids }.clone(),
        gids: if gids.is_empty() { uids } else { gids }.clone(),
    }
}

fn log(raw: &RawRun) -> LogLimits {
    let usual = LogLimits::default();
    LogLimits {
        max_size: raw.log_max_size.unwrap_or(usual.max_size),
        max_files: raw.log_max_files.unwrap_or(usual.max_files),
    }
}

fn log_target(raw: &RawRun) -> Result<LogTarget, ConfigError> {
    let driver = raw.log_driver.unwrap_or_default();
    let bounded = raw.log_max_size.is_some() || raw.log_max_files.is_some() || raw.log_path.is_some();
    if bounded && !driver.is_file() {
        let other = format!("--log-driver {}", driver.word());
        return Err(conflict("--log-opt path, max-size or max-file", &other, "it has no file", ""));
    }
    if driver == LogDriver::Passthrough && raw.tty == Some(Tty::Always) {
        return Err(conflict("--log-driver passthrough", "--tty", "the terminal would be the box's own", ""));
    }
    Ok(LogTarget { driver, path: raw.log_path.clone(), tag: raw.log_tag.clone() })
}

pub(super) fn labels(raw: &RawRun) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut labels = BTreeMap::new();
    for file in &raw.label_files {
        for (line, text) in text_file::lines(file)? {
            let (key, value) = grammar::label(&text).map_err(|error| ConfigError::Line {
                file: file.clone(),
                line,
                why: error.why,
            })?;
            labels.insert(key, value);
        }
    }
    labels.extend(raw.labels.iter().cloned());
    Ok(labels)
}

/// Where the command starts: the caller's directory in the host's tree, `/` in another.
fn workdir(
    raw: &RawRun,
    root: &Root,
    image: Option<&Image>,
    caller: &Caller,
) -> Result<Option<PathBuf>, ConfigError> {
    if let (None, Some(image)) = (&raw.workdir, image) {
        return Ok(Some(defaults::workdir(&image.config)));
    }
    match (&raw.workdir, root) {
        (Some(path), Root::Host) => Ok(Some(path.absolute.clone())),
        (Some(path), _) if path.said.is_absolute() => Ok(Some(super::value::clean(&path.said))),
        (Some(path), other) => Err(conflict(
            &format!("--workdir {}", path.said.display()),
            if other.image().is_some() { "an image" } else { "--rootfs" },
            "a relative path is the caller's, which is not in the box",
            "an absolute --workdir",
        )),
        (None, Root::Host) => Ok(Some(caller.directory.clone())),
        (None, _) => Ok(Some(Path::new("/").to_owned())),
    }
}

#[cfg(test)]
mod tests;
