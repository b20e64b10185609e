//! The preset: what `--sandbox` and its openings make of what was said.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use boxr_sys::namespace::NamespaceKind;
use rustix::fs::FileType;

use super::error::SandboxError;
use super::files::Files;
use super::proxy::PORT;
use super::said::{NetAllow, Protection, Said};
use super::secrets::{self, Secrets};
use super::{HostRule, LandlockOptions, Limits, Metadata, SandboxOptions, Sockets, landlock, surroundings};
use crate::config::{Caller, ConfigError, Id, Purpose, RawRun, SaidPath, UserSpec};
use crate::options::{IdExtent, NamespaceMode, Propagation};

/// Processes and threads, where nothing else was said.
const PROCESSES: u64 = 4096;

/// A sandbox, and the caller as it may know them.
#[derive(Debug)]
pub(crate) struct Made {
    pub options: SandboxOptions,
    pub caller: Caller,
}

/// Fills `raw` where `--sandbox` was said; `None` where it was not.
///
/// # Errors
/// Openings without a sandbox; what it cannot be or give.
pub(crate) fn apply(
    raw: &mut RawRun,
    purpose: Purpose,
    caller: &Caller,
) -> Result<Option<Made>, ConfigError> {
    if raw.sandbox == Said::default() {
        return Ok(None);
    }
    let said = std::mem::take(&mut raw.sandbox);
    if said.sandbox.is_none() {
        said.refuse()?;
        return Ok(None);
    }
    refuse_contradictions(raw, purpose)?;
    let reopened = look_at_descriptors(raw.preserve_fds.unwrap_or(0))?;
    let home = surroundings::home(caller)?;
    let config = surroundings::configuration(caller, &home);
    let secrets = Secrets::load(Some(&config)).map_err(SandboxError::from)?;
    let directory = match &raw.workdir {
        Some(said) => &said.absolute,
        None => &caller.directory,
    };
    let directory = surroundings::directory(directory, &home, said.home == Some(super::Home::Keep))?;
    let network = network(&said)?;
    let files = Files::of(&said, &secrets, &home, &directory, network == Network::Hosts)?;
    let alone = alone(&said);
    let mut options = SandboxOptions {
        limits: limits(raw, &said),
        watched: files.watched.clone(),
        hides_repositories: files.hides_repositories,
        reopened,
        explain_refusals: said.explain_refusals.unwrap_or(false),
        empty_home: said.home.clone().unwrap_or_default() == super::Home::Empty,
        ..SandboxOptions::default()
    };
    raw.workdir = Some(SaidPath { said: directory.clone(), absolute: directory });
    match alone {
        Some(reason) => without_namespaces(raw, &said, caller, (&network, reason), files, &mut options)?,
        None => {
            confine(raw, caller, &network);
            raw.mounts.splice(0..0, files.into_mounts());
            if network == Network::Hosts {
                options.landlock = Some(LandlockOptions::of_shared_network(&said)?);
            }
        }
    }
    if let Network::Proxy(hosts) = network {
        proxy_variables(raw);
        options.hosts = Some(hosts);
    }
    Ok(Some(Made { options, caller: without_secrets(&said, raw, &secrets, caller) }))
}

/// Why it has no namespaces: it was asked for, or nobody may make them.
fn alone(said: &Said) -> Option<&'static str> {
    match said.landlock {
        Some(true) => Some(""),
        Some(false) => None,
        None => landlock::no_user_namespaces(),
    }
}

/// The same by Landlock and the filter of system calls.
fn without_namespaces(
    raw: &mut RawRun,
    said: &Said,
    caller: &Caller,
    (network, reason): (&Network, &'static str),
    files: Files,
    options: &mut SandboxOptions,
) -> Result<(), SandboxError> {
    if let Network::Proxy(hosts) = network {
        let host = hosts.first().map(ToString::to_string).unwrap_or_default();
        return Err(SandboxError::refused(
            format!("--allow-net {host}"),
            "without a network namespace there is no way to keep the command from other hosts: Landlock knows ports, and \
             not to whom they belong",
            "--allow-net, which is all of them",
        ));
    }
    let sockets = said.degraded.contains(&Protection::Sockets);
    if !sockets && let Some(path) = said.allow_socket.first() {
        return Err(SandboxError::refused(
            format!("--allow-socket {}", path.display()),
            "without a mount namespace one socket of the file tree cannot be told from another",
            "--allow-degraded=sockets, which is all of them",
        ));
    }
    options.sockets = match (sockets, *network == Network::Hosts) {
        (false, false) => Sockets::None,
        (true, false) => Sockets::Unix,
        (false, true) => Sockets::Internet,
        (true, true) => Sockets::Both,
    };
    if !said.degraded.contains(&Protection::Metadata) {
        options.metadata = Metadata::OfWritable;
    }
    if let Some(mount) = raw.mounts.first() {
        let what = format!("a mount on {}", mount.destination.display());
        return Err(SandboxError::refused(
            what,
            "without a mount namespace it would be the host's",
            "leave it out",
        ));
    }
    let (reads, writes) = files.into_rights(said.degraded.contains(&Protection::Hooks))?;
    options.landlock = Some(LandlockOptions::alone(said, reads, writes)?);
    reason.clone_into(&mut options.alone);
    for kind in NamespaceKind::ALL {
        raw.set_namespace(kind, NamespaceMode::Host);
    }
    rights(raw, caller);
    Ok(())
}

/// Which network it has.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Network {
    /// A new one with nothing but its own loopback device.
    Own,
    /// The same, with a way out through boxr's proxy to these hosts.
    Proxy(Vec<HostRule>),
    /// The host's.
    Hosts,
}

fn network(said: &Said) -> Result<Network, SandboxError> {
    if said.allow_net.is_empty() {
        return Ok(Network::Own);
    }
    if !said.allow_net.contains(&NetAllow::All) {
        let hosts = said.allow_net.iter().filter_map(|net| match net {
            NetAllow::Host(host) => Some(host.clone()),
            NetAllow::All => None,
        });
        return Ok(Network::Proxy(hosts.collect()));
    }
    Ok(Network::Hosts)
}

/// Programs find the proxy by these variables, of which each knows others. `ALL_PROXY` names HTTP as well: clients
/// that lack SOCKS fail where it names that, though they would not have needed it.
fn proxy_variables(raw: &mut RawRun) {
    let address = format!("http://127.0.0.1:{PORT}");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        let value = if name == "NO_PROXY" { "localhost,127.0.0.1,::1" } else { &address };
        for name in [name.to_owned(), name.to_ascii_lowercase()] {
            if !raw.env.iter().any(|(known, _)| *known == name) {
                raw.env.push((name, Some(value.to_owned())));
            }
        }
    }
}

/// What a sandbox is not, or has in a way of its own.
fn refuse_contradictions(raw: &RawRun, purpose: Purpose) -> Result<(), ConfigError> {
    let refused = |what: &str, why: &str, remedy: &str| Err(SandboxError::refused(what, why, remedy).into());
    let binds = raw.mounts.iter().any(|mount| mount.kind == "bind" || mount.kind == crate::volume::KIND);
    let own = NamespaceKind::ALL
        .into_iter()
        .find(|kind| raw.namespace(*kind).is_some_and(|mode| *mode != NamespaceMode::New));
    let is = |said: Option<bool>, wanted: bool| said == Some(wanted);
    if purpose == Purpose::Create {
        return refused("create", "a sandbox is made when its command runs", "boxr run --sandbox");
    }
    if raw.image.is_some() {
        return refused(
            "an image",
            "it is for commands of this host; a container has a file tree of its own, and nothing of the host's",
            "boxr run --network none --cap-drop ALL --no-new-privs --read-only --tmpfs /tmp -v \"$PWD:$PWD\" -w \"$PWD\" IMAGE",
        );
    }
    if let Some(kind) = own {
        let remedy = if kind == NamespaceKind::Network { "--allow-net" } else { "leave it out" };
        return refused(&format!("namespace {}", kind.word()), "all namespaces of a sandbox are new", remedy);
    }
    let said = [
        (raw.rootfs.is_some(), "--rootfs", "it has the host's file tree", ""),
        (raw.share.is_some(), "--share", "it shares no namespace", ""),
        (
            raw.mounts.iter().any(|mount| mount.kind == crate::image::mounted::KIND),
            "--mount type=image",
            "it has files of the host, at their own places, and none of an image",
            "boxr image mount IMAGE as root, and --allow PATH:ro of the directory that it prints",
        ),
        (binds, "-v", "files are given at their own places", "--allow PATH or --allow PATH:ro"),
        (
            is(raw.detach, true),
            "--detach",
            "it ends with whoever started it",
            "boxr run --sandbox ... &, or systemd-run --user boxr run --sandbox ...",
        ),
        (
            is(raw.keep, true) || is(raw.rm, false),
            "--keep",
            "it ends with whoever started it",
            "--record FILE keeps what it did, boxr try what it wrote",
        ),
        (!raw.cap_add.is_empty(), "--cap-add", "it has no capabilities", ""),
        (is(raw.no_new_privs, false), "--no-new-privs=false", "nothing in it gains privileges", ""),
        (is(raw.die_with_parent, false), "--die-with-parent=false", "it ends with its parent", ""),
        (raw.user.is_some() || !raw.group_add.is_empty(), "--user", "its command is who calls it", ""),
        (!raw.uid_map.is_empty() || !raw.gid_map.is_empty(), "--uidmap", "its one user is the caller", ""),
        (
            !raw.networks.is_empty() || !raw.publish.is_empty(),
            "--network",
            "it has no network",
            "--allow-net",
        ),
        (
            raw.propagation.is_some_and(|how| how != Propagation::Private),
            "--propagation",
            "its mounts are private",
            "",
        ),
    ];
    match said.iter().find(|(said, ..)| *said) {
        Some((_, what, why, remedy)) => refused(what, why, remedy),
        None => Ok(()),
    }
}

/// What is open already leads around every mount: a directory to all that is above it and below; a file to itself,
/// opened for writing by its name in /proc/self/fd, though it was given for reading. Files that are to be opened anew.
pub(super) fn look_at_descriptors(preserved: u32) -> Result<Vec<i32>, SandboxError> {
    let names = ["standard input", "standard output", "standard error"];
    let name = |number: i32| {
        let known = names.get(number.unsigned_abs() as usize).map(|name| (*name).to_owned());
        known.unwrap_or_else(|| format!("descriptor {number}"))
    };
    let count = preserved.saturating_add(3);
    let mut given_for_reading = Vec::new();
    for number in 0..i32::try_from(count).unwrap_or(i32::MAX) {
        match boxr_sys::fd::opened(number) {
            Some((FileType::Directory, _)) => {
                return Err(SandboxError::refused(
                    format!("{} is a directory", name(number)),
                    "through it the command would reach what it is not to see",
                    "--allow PATH",
                ));
            }
            Some((FileType::RegularFile | FileType::BlockDevice, true)) => given_for_reading.push(number),
            Some((FileType::CharacterDevice, true)) if !is_harmless(number) => {
                return Err(SandboxError::refused(
                    format!("{} is a device that was opened for reading", name(number)),
                    "the command could open it again for writing",
                    "cat DEVICE | boxr run --sandbox ...",
                ));
            }
            _ => {}
        }
    }
    Ok(given_for_reading)
}

/// A terminal, which is written as well, or what gives nothing but zeros or random bytes (the kernel's `devices.txt`).
fn is_harmless(number: i32) -> bool {
    let found = std::fs::metadata(format!("/proc/self/fd/{number}")).map(|found| found.rdev());
    found.is_ok_and(|device| match (rustix::fs::major(device), rustix::fs::minor(device)) {
        (1, minor) => matches!(minor, 3 | 5 | 7 | 8 | 9),
        (major, _) => matches!(major, 4 | 5 | 136..=143),
    })
}

/// Limits where nothing was said, and what becomes of them where no cgroup is to be had.
fn limits(raw: &mut RawRun, said: &Said) -> Limits {
    let limited = crate::config::limits::resolve(raw).is_ok_and(|limits| !limits.is_empty());
    let asked = limited || raw.memory.is_some() || raw.pids.is_some();
    if raw.memory.is_none() {
        let memory = rustix::system::sysinfo();
        let unit = u64::from(memory.mem_unit.max(1));
        raw.memory = Some(memory.totalram.saturating_mul(unit) / 4 * 3);
    }
    if raw.pids.is_none() {
        raw.pids = i64::try_from(PROCESSES).ok();
    }
    match (said.degraded.contains(&Protection::Limits), asked) {
        (true, _) => Limits::GivenUp,
        (false, true) => Limits::AskedFor,
        (false, false) => Limits::Preset,
    }
}

/// Namespaces and rights.
fn confine(raw: &mut RawRun, caller: &Caller, network: &Network) {
    for kind in NamespaceKind::ALL {
        let shared = match kind {
            NamespaceKind::Network => *network == Network::Hosts,
            // Kernels without it (CONFIG_TIME_NS) take nothing from a sandbox: it bounds no right.
            NamespaceKind::Time => !Path::new("/proc/self/ns/time").exists(),
            _ => false,
        };
        raw.set_namespace(kind, if shared { NamespaceMode::Host } else { NamespaceMode::New });
    }
    let ids = caller.ids();
    let one = |id| vec![IdExtent { container: id, host: id, size: 1 }];
    (raw.uid_map, raw.gid_map, raw.map_self) = (one(ids.uid), one(ids.gid), None);
    rights(raw, caller);
}

/// None that the caller's files do not give.
fn rights(raw: &mut RawRun, caller: &Caller) {
    let ids = caller.ids();
    if ids.uid == 0 {
        // Without the groups that root may be in.
        raw.user = Some(UserSpec { user: Id::Number(ids.uid), group: Some(Id::Number(ids.gid)) });
    }
    // Without a user namespace of its own, who has no capabilities cannot give up more.
    let is_alone = raw.namespace(NamespaceKind::User) == Some(&NamespaceMode::Host);
    if !is_alone || boxr_runtime::capabilities::is_privileged().unwrap_or(true) {
        raw.cap_drop = vec!["ALL".to_owned()];
    }
    raw.no_new_privs = Some(true);
    raw.die_with_parent = Some(true);
    raw.new_session = Some(true);
    // It is not left running: it ends with boxr.
    raw.detach_keys = Some(Vec::new());
}

/// The caller's environment without secrets; what is passed by name is no secret to this command.
fn without_secrets(said: &Said, raw: &RawRun, secrets: &Secrets, caller: &Caller) -> Caller {
    let is_passed = |name: &str| {
        said.allow_env.iter().any(|pattern| secrets::matches(pattern, name))
            || raw.env.iter().any(|(known, value)| known == name && value.is_none())
    };
    let (mut caller, removals) = (caller.clone(), secrets.removals());
    caller.env.retain(|(name, _)| is_passed(name) || !removals.have(name));
    caller
}

/// A path as the text of a mount.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Whether `path` lies in one of `dirs`.
pub(super) fn lies_in<'d>(path: &Path, mut dirs: impl Iterator<Item = &'d PathBuf>) -> bool {
    dirs.any(|dir| path.starts_with(dir))
}
