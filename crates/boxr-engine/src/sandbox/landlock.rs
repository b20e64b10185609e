//! A sandbox without namespaces, by Landlock: where nobody may make a user namespace, or where it is asked for.
//!
//! The command keeps the host's names and mounts, and rights to some of them. What Landlock cannot say is refused by
//! the filter of system calls (sockets), or given up by name: it takes rights to whole trees, so that nothing in a
//! directory that can be written stays read-only, and other processes can be seen.

use std::path::{Path, PathBuf};

use boxr_runtime::plan::LandlockPlan;
use boxr_sys::landlock::{self, file, scope};
use serde::{Deserialize, Serialize};

use super::error::SandboxError;
use super::said::{Protection, Said};
use crate::options::BoxOptions;
use crate::outcome::EngineError;
use crate::store::BoxDir;

/// Landlock's version without which files could be truncated.
const LEAST: u32 = 3;
/// That which knows scopes.
const SCOPES: u32 = 6;

/// What Landlock does for a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LandlockOptions {
    /// Whether it stands for the file tree of a mount namespace: then what can be read and written is here.
    pub files: bool,
    /// What can be read and executed.
    pub reads: Vec<PathBuf>,
    /// What can be written as well.
    pub writes: Vec<PathBuf>,
    /// Whether abstract sockets are those of the sandbox.
    pub abstract_sockets: bool,
    /// Whether it signals nobody outside.
    pub signals: bool,
}

/// Device nodes that every program may expect.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

impl LandlockOptions {
    /// Scopes of a sandbox that shares the host's network.
    ///
    /// # Errors
    /// This kernel lacks them, and nobody has said that it may.
    pub(super) fn of_shared_network(said: &Said) -> Result<Self, SandboxError> {
        let given_up = said.degraded.contains(&Protection::AbstractSockets);
        let abstract_sockets = landlock::version().is_ok_and(|version| version >= SCOPES);
        if abstract_sockets || given_up {
            return Ok(Self { abstract_sockets, ..Self::default() });
        }
        Err(SandboxError::refused(
            "--allow-net",
            "abstract sockets of the session (X11, dbus) are in the host's network, and this kernel's Landlock cannot keep the command from them (Linux 6.12)",
            "--allow-net HOST, or --allow-degraded=abstract-sockets",
        ))
    }

    /// A sandbox without namespaces.
    ///
    /// # Errors
    /// This kernel's Landlock lacks what a protection needs that was not given up.
    pub(super) fn alone(
        said: &Said,
        reads: Vec<PathBuf>,
        writes: Vec<PathBuf>,
    ) -> Result<Self, SandboxError> {
        let version = landlock::version().map_err(|errno| {
            let why = format!("this kernel has no Landlock: {}", boxr_runtime::error::describe(errno));
            SandboxError::refused("--landlock", why, "boxr doctor")
        })?;
        if version < LEAST {
            let why = format!(
                "this kernel has version {version} of Landlock, which cannot keep files from being cut off (Linux 6.2)"
            );
            return Err(SandboxError::refused("--landlock", why, "boxr doctor"));
        }
        if version < SCOPES && !said.degraded.contains(&Protection::Processes) {
            let why = format!(
                "this kernel has version {version} of Landlock, which cannot keep signals from other processes (Linux 6.12)"
            );
            return Err(SandboxError::refused("--landlock", why, "--allow-degraded=processes"));
        }
        let scoped = version >= SCOPES;
        Ok(Self { files: true, reads, writes, abstract_sockets: scoped, signals: scoped })
    }

    /// As the runtime takes it.
    pub(super) fn plan(&self) -> LandlockPlan {
        let version = landlock::version().unwrap_or(0);
        let mut plan = LandlockPlan::default();
        for (wanted, bit) in
            [(self.abstract_sockets, scope::ABSTRACT_SOCKETS), (self.signals, scope::SIGNALS)]
        {
            plan.scopes |= if wanted { bit } else { 0 };
        }
        if self.files {
            plan.files = file::all(version);
            let reading = file::EXECUTE | file::READ | file::READ_DIR;
            plan.keeps.extend(self.reads.iter().map(|path| (path.clone(), reading)));
            plan.keeps
                .extend(self.writes.iter().map(|path| (path.clone(), file::all(version) & !file::IOCTL_DEV)));
            let nodes = NODES
                .iter()
                .map(|name| (Path::new("/dev").join(name), file::READ | file::WRITE | file::IOCTL_DEV));
            plan.keeps.extend(nodes);
        }
        plan
    }
}

/// Directories of its own for a sandbox that has no mounts: they go with the box.
///
/// # Errors
/// They cannot be made.
pub(crate) fn with_own_directories(dir: &BoxDir, options: &mut BoxOptions) -> Result<(), EngineError> {
    let Some(sandbox) = options.sandbox.as_mut() else { return Ok(()) };
    let empty_home = sandbox.empty_home;
    let Some(landlock) = sandbox.landlock.as_mut().filter(|landlock| landlock.files) else { return Ok(()) };
    let own = |name: &str| {
        let path = dir.path().join(name);
        let path =
            path.canonicalize().or_else(|_| std::fs::create_dir(&path).and_then(|()| path.canonicalize()));
        path.map_err(|error| EngineError::File {
            path: dir.path().join(name).display().to_string(),
            errno: rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO),
        })
    };
    let mut variables = vec![("TMPDIR", own("tmp")?)];
    if empty_home {
        variables.push(("HOME", own("home")?));
    }
    for (name, path) in variables {
        let said = vec![(name.to_owned(), Some(path.display().to_string()))];
        options.env = crate::config::apply_environment(std::mem::take(&mut options.env), said);
        landlock.writes.push(path);
    }
    Ok(())
}

/// Why nobody here may make a user namespace, if so.
pub(super) fn no_user_namespaces() -> Option<&'static str> {
    let reads =
        |path: &str, wanted: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == wanted);
    if reads("/proc/sys/user/max_user_namespaces", "0") {
        return Some("user.max_user_namespaces is 0");
    }
    if rustix::process::geteuid().is_root() {
        return None;
    }
    if reads("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return Some("kernel.unprivileged_userns_clone is 0");
    }
    let restricted = reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
        && reads("/proc/self/attr/current", "unconfined");
    restricted.then_some("AppArmor lets only programs with a profile make them (dist/apparmor/boxr)")
}
