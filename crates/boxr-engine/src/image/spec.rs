//! What a container of an image has besides the specification that its box has anyway.

use std::path::{Path, PathBuf};

use boxr_sys::namespace::NamespaceKind;
use oci_spec::runtime::{LinuxResources, LinuxSeccomp, Mount, Process, Spec};

use super::naming::{self, Who};
use super::options::ContainerOptions;
use super::{ImageError, accounts, devices, mounted, seccomp};
use crate::cdi;
use crate::notify::{self, SdNotify};
use crate::options::{BoxOptions, MountOption};
use crate::prepare::Manner;
use crate::spec::{Situation, by_depth, mount};

/// Completes the specification of a container.
///
/// # Errors
/// A device that is not there, a profile that cannot be used, a file that cannot be written.
pub(crate) fn complete(
    spec: &mut Spec,
    options: &BoxOptions,
    container: &ContainerOptions,
    situation: &Situation<'_>,
    manner: &Manner,
) -> Result<(), ImageError> {
    let named = match container.cdi.as_slice() {
        [] => cdi::Edits::default(),
        names => cdi::apply(spec, names, &cdi::find_all(&cdi::directories()))?,
    };
    let mut asked = match container.privileged && !situation.other_user {
        true => devices::of_host(),
        false => devices::asked(&container.devices, &container.device_rules)?,
    };
    asked.nodes.extend(named.nodes);
    asked.rules.extend(named.rules);
    let seccomp = match spec.process_mut() {
        Some(process) => confine(process, container)?,
        None => None,
    };
    let capabilities = spec.process().as_ref().map(bounding).unwrap_or_default();
    if let Some(linux) = spec.linux_mut() {
        if container.privileged || container.open_system_paths {
            linux.set_masked_paths(None).set_readonly_paths(None);
        }
        if let Some(rules) = device_rules(container, situation, &capabilities, &asked) {
            let mut resources = LinuxResources::default();
            resources.set_devices(Some(rules));
            linux.set_resources(Some(resources));
        }
        linux.set_devices((!asked.nodes.is_empty()).then_some(asked.nodes));
        if !container.sysctls.is_empty() {
            let sysctls = container.sysctls.iter().map(|(key, value)| (key.clone(), value.clone()));
            linux.set_sysctl(Some(sysctls.collect()));
        }
        linux.set_seccomp(seccomp);
    }
    mounts(spec, options, container, situation, manner)
}

/// What keeps a process of a container in its bounds, also one that enters it: its AppArmor profile, and the filter of
/// system calls that goes with its capabilities.
///
/// # Errors
/// The profile cannot be used.
pub(crate) fn confine(
    process: &mut Process,
    container: &ContainerOptions,
) -> Result<Option<LinuxSeccomp>, ImageError> {
    if let Some(name) = &container.apparmor {
        process.set_apparmor_profile((name != "unconfined").then(|| name.clone()));
    }
    if container.privileged {
        return Ok(None);
    }
    let capabilities = bounding(process);
    let names: Vec<&str> = capabilities.iter().map(String::as_str).collect();
    seccomp::of(&container.seccomp, &names).map_err(ImageError::Seccomp)
}

/// The capabilities that the container can have, without `CAP_`.
fn bounding(process: &Process) -> Vec<String> {
    let sets = process.capabilities().as_ref();
    let names = sets.and_then(|sets| sets.bounding().as_ref());
    let bare = |name: String| name.trim_start_matches("CAP_").to_owned();
    names.into_iter().flatten().map(|name| bare(name.to_string())).collect()
}

/// Who is root of the host may make nodes of its devices with `CAP_MKNOD`, and open them: unless a cgroup forbids
/// it. Root of a user namespace cannot.
fn device_rules(
    container: &ContainerOptions,
    situation: &Situation<'_>,
    capabilities: &[String],
    asked: &devices::Devices,
) -> Option<Vec<oci_spec::runtime::LinuxDeviceCgroup>> {
    let may_make = capabilities.iter().any(|name| name == "MKNOD");
    (!situation.other_user && !container.privileged && may_make).then(|| devices::rules(asked))
}

fn mounts(
    spec: &mut Spec,
    options: &BoxOptions,
    container: &ContainerOptions,
    situation: &Situation<'_>,
    manner: &Manner,
) -> Result<(), ImageError> {
    let mut all: Vec<Mount> = spec.mounts().clone().unwrap_or_default();
    let asked = |path: &Path| options.mounts.iter().any(|mount| mount.destination == path);
    let is_shifted = root_outside(spec, situation).is_some();
    for one in &mut all {
        match asked(one.destination()) {
            true if is_shifted
                && one.source().as_ref().is_none_or(|source| manner.pod.shm.as_ref() != Some(source)) =>
            {
                keep_owners(one);
            }
            true => {}
            false => adapt(one, container),
        }
    }
    let mut own = Vec::new();
    if let Some(files) = &manner.files {
        let hostname = spec.hostname().clone().or(manner.around.hostname.clone()).unwrap_or_else(host_name);
        let who = Who {
            hostname: &hostname,
            network: &options.namespaces.network,
            owner: root_outside(spec, situation),
        };
        let mut bound = naming::write(&files.data, &container.naming, who, &manner.around)?;
        let of_chroots = chroots(&container.chroot_dirs, &bound);
        // Who mounts another /etc has its own users.
        let adds_accounts = !container.accounts.is_empty() && !asked(Path::new("/etc"));
        if let (true, Some(image), Some(user)) = (adds_accounts, options.root.image(), &options.user) {
            let stack = super::rootfs::stack(image, files)?;
            let read = |file: &str| stack.read(file, super::users::LONGEST);
            let home = options.workdir.as_deref().unwrap_or(Path::new("/"));
            bound.extend(accounts::write(&files.data, &container.accounts, (user, home), &read, who.owner)?);
        }
        let bound = bound.into_iter().map(|(source, target)| (source, PathBuf::from(target)));
        own.extend(bound.chain(of_chroots).map(|(source, target)| {
            let words = ["bind", "private", "nosuid", "nodev"];
            mount("bind", &source.to_string_lossy(), &target.to_string_lossy(), &words)
        }));
    }
    own.extend(notify_socket(spec, options.sdnotify));
    own.retain(|one| !asked(one.destination()) && has_place(one.destination(), &options.mounts));
    // What was asked for comes after what a container has anyway, and boxr's files are seen in a directory of it, as
    // docker's are.
    let first_asked = all.iter().position(|one| asked(one.destination())).unwrap_or(all.len());
    let mut last = all.split_off(first_asked);
    last.splice(0..0, own);
    by_depth(&mut last);
    all.extend([cgroups(container)].into_iter().filter(|one| !asked(one.destination())));
    all.extend(last);
    spec.set_mounts(Some(all));
    Ok(())
}

/// Whether a file of boxr's can be bound at `target`: a directory that was asked for and cannot be written has it, or
/// shows what is in it and nothing else.
fn has_place(target: &Path, asked: &[MountOption]) -> bool {
    let around = asked.iter().filter(|mount| target.starts_with(&mount.destination));
    let Some(nearest) = around.max_by_key(|mount| mount.destination.components().count()) else {
        return true;
    };
    let is_read_only = nearest.options.iter().any(|word| word == "ro")
        || (nearest.kind == mounted::KIND && !mounted::is_writable(nearest));
    let below = target.strip_prefix(&nearest.destination).unwrap_or(target);
    let is_there = |source| Path::new(source).join(below).exists();
    !is_read_only || (nearest.kind == "bind" && nearest.source.as_deref().is_some_and(is_there))
}

/// The socket of the caller's by which a container says that it is ready.
fn notify_socket(spec: &mut Spec, how: SdNotify) -> Option<Mount> {
    let path = notify::path_for_container(how)?;
    let process = spec.process_mut().as_mut()?;
    let mut env = process.env().clone().unwrap_or_default();
    let name = format!("{}=", notify::VARIABLE);
    if !env.iter().any(|entry| entry.starts_with(&name)) {
        env.push(format!("{name}{}", notify::PLACE));
        process.set_env(Some(env));
    }
    Some(mount("bind", &path.to_string_lossy(), notify::PLACE, &["bind", "private", "nosuid", "nodev"]))
}

/// The same files for directories that a container's programs take for their root.
fn chroots(dirs: &[PathBuf], bound: &[(PathBuf, &'static str)]) -> Vec<(PathBuf, PathBuf)> {
    let place = |dir: &PathBuf, target: &str| dir.join(target.trim_start_matches('/'));
    let of = |dir| bound.iter().map(move |(source, target)| (source.clone(), place(dir, target)));
    dirs.iter().flat_map(of).collect()
}

/// What is bound has the owners that it has on the host, by number: who owns it there is among the container's ids.
pub(crate) fn keep_owners(one: &mut Mount) {
    let mut words = one.options().clone().unwrap_or_default();
    let has = |word: &str| words.iter().any(|known| known == word);
    if has("idmap") || has("ridmap") {
        return;
    }
    let word = match (has("rbind"), has("bind") || one.typ().as_deref() == Some("bind")) {
        (true, _) => "ridmap",
        (false, true) => "idmap",
        (false, false) => return,
    };
    words.push(word.to_owned());
    one.set_options(Some(words));
}

/// The host's ids of the container's root, if it has others than the host's.
pub(crate) fn root_of(spec: &Spec) -> Option<(u32, u32)> {
    let linux = spec.linux().as_ref()?;
    let first = |maps: &Option<Vec<oci_spec::runtime::LinuxIdMapping>>| {
        let root = maps.iter().flatten().find(|map| map.container_id() == 0);
        root.map(|map| map.host_id())
    };
    first(linux.uid_mappings()).zip(first(linux.gid_mappings()))
}

/// The host's ids of the container's root, where files that boxr writes are to belong to it.
fn root_outside(spec: &Spec, situation: &Situation<'_>) -> Option<(u32, u32)> {
    root_of(spec).filter(|_| situation.privileged)
}

/// The name that the container shares with the host.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// /dev/shm of another size; /sys that can be written by who is privileged.
fn adapt(one: &mut Mount, container: &ContainerOptions) {
    let mut words = one.options().clone().unwrap_or_default();
    match (one.destination().to_str(), container.shm_size, container.privileged) {
        (Some("/dev/shm"), Some(size), _) => {
            words.retain(|word| !word.starts_with("size="));
            words.push(format!("size={size}"));
        }
        (Some("/sys"), _, true) => words.retain(|word| word != "ro" && word != "rro"),
        _ => return,
    }
    one.set_options(Some(words));
}

fn cgroups(container: &ContainerOptions) -> Mount {
    let words = ["nosuid", "noexec", "nodev", "ro"];
    let is_writable = container.privileged || container.systemd;
    let words = if is_writable { &words[..3] } else { &words[..] };
    mount("cgroup", "cgroup", "/sys/fs/cgroup", words)
}

/// Whether a cgroup of the container's own is needed to keep it from the host's devices.
pub(crate) fn needs_device_rules(spec: &Spec) -> bool {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    resources.is_some_and(|resources| resources.devices().as_ref().is_some_and(|rules| !rules.is_empty()))
}

/// Whether device nodes in the container's own files could be used; then its root is mounted without them.
pub(crate) fn refuses_nodes(spec: &Spec, options: &BoxOptions) -> bool {
    let is_privileged = options.container.as_ref().is_some_and(|container| container.privileged);
    let has_own_users = spec.linux().as_ref().is_some_and(|linux| {
        linux
            .namespaces()
            .iter()
            .flatten()
            .any(|namespace| namespace.typ() == crate::spec::spec_type(NamespaceKind::User))
    });
    has_own_users || !(is_privileged || needs_device_rules(spec))
}
