//! `debug`: a command with tools of its own in a container that has none.
//!
//! ```text
//!   /            the tools: an image, or the host's busybox; changes go to memory
//!   /target      the container's root, with all that is mounted in it
//!   /proc /sys   the container's
//!   /dev         made anew, with a devpts of its own
//! ```
//!
//! That is a mount namespace which nobody else is in, made by a process that goes through the container's ([`view`]). The command
//! joins it, and the container's other namespaces and cgroups, as `exec` does. Nothing is written into the
//! container's files or on the disk, and all of it goes with its last process.
//!
//! *A container that attacks.* Its processes see the command in their pid namespace. They cannot trace it, nor look at it through
//! /proc/PID/root: it has a capability more than they have (`CAP_SYS_PTRACE`; ptrace(2)). Those that have that one too get
//! nothing by it: the command is under the container's filter, in its cgroups with its rules about devices, makes no device nodes
//! (`CAP_MKNOD`), and has no file of the host's before it, but copies.

mod tools;
mod view;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use boxr_cgroup::Location;
use boxr_sys::namespace::NamespaceKind;

pub use tools::Tools;

use super::exec::{self, ExecJournal, How, Place};
use super::{ExecOutcome, ExecTarget};
use crate::config::{self, Variable};
use crate::image::ContainerOptions;
use crate::image::container_root::ContainerRoot;
use crate::join;
use crate::options::{BoxOptions, CapabilityChange, Root, Tty, User};
use crate::outcome::EngineError;
use crate::terminal::DetachKeys;

/// Where the container's root is.
pub const TARGET: &str = "/target";
/// Where programs are looked for, where the tools' image says nothing.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Files that tell names, which the tools get copies of.
const NAMING: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname"];

/// What is run.
#[derive(Debug)]
pub struct DebugRequest {
    /// What it has at hand.
    pub tools: Tools,
    /// Command and arguments; none means what the tools' image runs, or a shell.
    pub args: Vec<String>,
    /// What was said of variables.
    pub env: Vec<Variable>,
    /// Where it starts; otherwise where the container's first process is.
    pub workdir: Option<PathBuf>,
    /// Whether it gets a terminal.
    pub tty: Tty,
    /// All capabilities, and no filter.
    pub privileged: bool,
    /// Further capabilities, without `CAP_`.
    pub capabilities: Vec<String>,
    /// Keys that leave it running.
    pub detach_keys: DetachKeys,
}

/// Runs a command with tools in a container and waits for its end. boxr's program is protected by the caller.
///
/// # Errors
/// [`EngineError`]; one that does not run, or is paused, is refused.
pub fn debug(target: &ExecTarget<'_>, request: DebugRequest) -> Result<ExecOutcome, EngineError> {
    let mut place = Place::find(target)?;
    let pid = place.process.pid;
    if place.options.is_none() && rustix::process::geteuid().is_root() {
        // With the container's rules about devices.
        place.cgroup = Some(Location::of_process(pid)?);
    }
    let mut namespaces = join::all_of(&place.process, &place.name)?;
    let cwd = working_directory(pid);
    let view = view::View {
        user: namespaces.iter().find(|(kind, _)| *kind == NamespaceKind::User).map(|(_, fd)| fd.as_fd()),
        mount: namespaces.iter().find(|(kind, _)| *kind == NamespaceKind::Mount).map(|(_, fd)| fd.as_fd()),
        tools: &request.tools,
        files: naming(pid),
        cwd: cwd.as_deref(),
        root: view::root_of(pid),
    };
    let (mount, has_cwd) = view.make(&place.name)?;
    let cwd = match cwd.filter(|_| has_cwd) {
        Some(cwd) => Path::new(TARGET).join(cwd.strip_prefix("/").unwrap_or(&cwd)),
        None => PathBuf::from(TARGET),
    };
    let options = options(&place, &request, cwd, exec::joins_user(&namespaces))?;
    namespaces.retain(|(kind, _)| *kind != NamespaceKind::Mount);
    namespaces.push((NamespaceKind::Mount, mount));
    let journal = ExecJournal::of(target, &place, true, &options.args)?;
    let how = How { preserve_fds: 0, detach: false, detach_keys: request.detach_keys, terminal_inside: true };
    exec::launch(&place, &options, namespaces, how, &journal)
}

/// Where the first process of the container is, as it says itself.
fn working_directory(pid: i32) -> Option<PathBuf> {
    let path = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    (path.is_absolute() && !path.ends_with("(deleted)")).then_some(path)
}

/// The container's files about names, as far as they are plain and not long.
fn naming(pid: i32) -> Vec<(&'static str, Vec<u8>)> {
    let root = ContainerRoot::open(pid);
    NAMING.into_iter().filter_map(|path| Some((path, root.read(path).ok()??))).collect()
}

fn options(
    place: &Place,
    request: &DebugRequest,
    cwd: PathBuf,
    joins_user: bool,
) -> Result<BoxOptions, EngineError> {
    let own = place.options.as_ref();
    let container = own.and_then(|own| own.container.as_deref());
    let env = match own {
        Some(own) => own.env.clone(),
        None => environment_of(place.process.pid),
    };
    let is_root = rustix::process::geteuid().is_root();
    // Root of the container, without the groups of the caller.
    let user = (!joins_user && is_root).then(|| User { uid: 0, gid: 0, groups: Some(Vec::new()) });
    Ok(BoxOptions {
        args: if request.args.is_empty() { request.tools.command() } else { request.args.clone() },
        env: config::apply_environment(request.tools.environment(env), request.env.clone()),
        workdir: Some(request.workdir.clone().unwrap_or(cwd)),
        user,
        tty: request.tty,
        // Its own kind of root: the capabilities are those of a container.
        root: Root::Directory("/".into()),
        capabilities: capabilities(own, request),
        no_new_privileges: own.is_some_and(|own| own.no_new_privileges),
        container: Some(Box::new(ContainerOptions {
            privileged: request.privileged || container.is_some_and(|container| container.privileged),
            seccomp: container.map(|container| container.seccomp.clone()).unwrap_or_default(),
            apparmor: match container {
                Some(container) => container.apparmor.clone(),
                None => apparmor_of(place.process.pid),
            },
            ..ContainerOptions::default()
        })),
        ..BoxOptions::default()
    })
}

/// What containers have, with what makes tracing possible and without what makes device nodes.
fn capabilities(own: Option<&BoxOptions>, request: &DebugRequest) -> CapabilityChange {
    let mut add: Vec<String> = own.map(|own| own.capabilities.add.clone()).unwrap_or_default();
    add.push("SYS_PTRACE".to_owned());
    add.extend(request.capabilities.iter().cloned());
    let wants_nodes = request.privileged || request.capabilities.iter().any(|name| name == "MKNOD");
    let drop = if wants_nodes { Vec::new() } else { vec!["MKNOD".to_owned()] };
    add.retain(|name| !drop.contains(name));
    CapabilityChange { add, drop }
}

/// proc_pid_environ(5)
fn environment_of(pid: i32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let entries = bytes.split(|byte| *byte == 0).filter(|entry| entry.contains(&b'='));
    entries.filter_map(|entry| String::from_utf8(entry.to_vec()).ok()).collect()
}

/// The AppArmor profile that another engine's container is under.
fn apparmor_of(pid: i32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/attr/apparmor/current")).ok()?;
    let (name, _mode) = text.trim().rsplit_once(" (")?;
    Some(name.to_owned())
}
