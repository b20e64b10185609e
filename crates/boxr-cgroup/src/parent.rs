//! Below which cgroup of version 2 a box's may be made, and handing controllers down to it.
//!
//! The kernel's rules (cgroups(7)): a cgroup whose `cgroup.subtree_control` names controllers may
//! hold no processes, except the root of all; a process may be moved only by who may write
//! `cgroup.procs` of the nearest common ancestor. Processes of others are never moved.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;

use crate::controller::Controller;
use crate::error::{Absence, Error, Result};
use crate::field::Field;
use crate::file;
use crate::host::Hierarchy;

/// Cgroup into which boxr moves itself where that empties a cgroup that was delegated to it.
pub(crate) const SUPERVISOR: &str = "boxr-supervisor";

/// A cgroup below which the box's is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub directory: PathBuf,
    /// boxr's own processes have to leave it first.
    pub evacuate: Vec<i32>,
}

impl Base {
    fn at(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf(), evacuate: Vec::new() }
    }
}

/// The controllers that the box needs, each with an option that asked for it.
pub(crate) type Needs = Vec<(Controller, Field)>;

/// Names in a file such as `cgroup.controllers`; empty where the file is missing.
pub(crate) fn names(path: &Path) -> Result<BTreeSet<Controller>> {
    let text = file::read_if_exists(path)?.unwrap_or_default();
    Ok(text.split_whitespace().filter_map(Controller::from_unified_name).collect())
}

/// Chooses the cgroup below which boxes go that were given no path: the root of the hierarchy for
/// root, otherwise the caller's own cgroup or the nearest one above that was delegated to it.
pub(crate) fn choose(unified: &Hierarchy, needs: &Needs) -> Result<Base> {
    check_offered(&unified.mount, needs)?;
    if is_real_root(&unified.mount) && file::writable(&unified.mount) {
        return Ok(Base::at(&unified.mount));
    }
    let mut refusal = None;
    for candidate in unified.own.ancestors().take_while(|path| path.starts_with(&unified.mount)) {
        match examine(candidate, candidate == unified.own, needs) {
            Ok(base) => return Ok(base),
            Err(error @ Error::NotDelegated { .. }) => {
                refusal.get_or_insert(error);
                break;
            }
            Err(error) => {
                refusal.get_or_insert(error);
            }
        }
    }
    Err(refusal.unwrap_or(Error::NotDelegated { directory: unified.own.clone() }))
}

/// Whether the hierarchy has every controller at all.
fn check_offered(mount: &Path, needs: &Needs) -> Result<()> {
    if needs.is_empty() {
        return Ok(());
    }
    let offered = names(&mount.join("cgroup.controllers"))?;
    match needs.iter().find(|(controller, _)| !offered.contains(controller)) {
        None => Ok(()),
        Some((controller, field)) => {
            let absence = if is_real_root(mount) {
                Absence::NotMounted
            } else {
                Absence::NotDelegated { parent: mount.to_path_buf() }
            };
            Err(Error::Missing { field: field.clone(), controller: *controller, absence })
        }
    }
}

/// The root of all cgroups is the only one without a type.
fn is_real_root(directory: &Path) -> bool {
    !file::exists(&directory.join("cgroup.type"))
}

/// Whether boxes with `needs` can be made below `candidate`.
fn examine(candidate: &Path, own: bool, needs: &Needs) -> Result<Base> {
    if !file::writable(candidate) || !file::writable(&candidate.join("cgroup.procs")) {
        return Err(Error::NotDelegated { directory: candidate.to_path_buf() });
    }
    if needs.is_empty() {
        return Ok(Base::at(candidate));
    }
    let offered = names(&candidate.join("cgroup.controllers"))?;
    if let Some((controller, field)) = needs.iter().find(|(controller, _)| !offered.contains(controller)) {
        let absence = Absence::NotDelegated { parent: candidate.to_path_buf() };
        return Err(Error::Missing { field: field.clone(), controller: *controller, absence });
    }
    let control = candidate.join("cgroup.subtree_control");
    let enabled = names(&control)?;
    if needs.iter().all(|(controller, _)| enabled.contains(controller)) {
        return Ok(Base::at(candidate));
    }
    if !file::writable(&control) {
        return Err(Error::NotDelegated { directory: candidate.to_path_buf() });
    }
    let pids = file::processes_in(candidate)?;
    if pids.is_empty() {
        return Ok(Base::at(candidate));
    }
    if own && pids.iter().all(|pid| is_boxr(*pid)) {
        return Ok(Base { directory: candidate.to_path_buf(), evacuate: pids });
    }
    Err(Error::Occupied { directory: candidate.to_path_buf(), pids })
}

/// Whether `pid` runs the same program as this process.
fn is_boxr(pid: i32) -> bool {
    let identity = |path: String| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let own = i32::try_from(std::process::id()).is_ok_and(|own| own == pid);
    own || matches!(
        (identity(format!("/proc/{pid}/exe")), identity("/proc/self/exe".into())),
        (Ok(theirs), Ok(ours)) if theirs == ours
    )
}

/// Moves boxr's own processes out of `base` into a leaf beside the boxes.
pub(crate) fn evacuate(base: &Base) -> Result<()> {
    if base.evacuate.is_empty() {
        return Ok(());
    }
    let leaf = base.directory.join(SUPERVISOR);
    file::make_directory(&leaf).map_err(|errno| file::system("create", &leaf, errno))?;
    let procs = leaf.join("cgroup.procs");
    for pid in &base.evacuate {
        match file::write_raw(&procs, &pid.to_string()) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(file::system("move boxr itself into", &procs, errno)),
        }
    }
    Ok(())
}

/// Lets a user make cgroups below `directory`, and move processes among them: it owns the directory and
/// the files that the kernel says are safe in its hands (kernel documentation, cgroup-v2, "Delegation").
pub(crate) fn give(directory: &Path, owner: (u32, u32)) -> Result<()> {
    const KNOWN: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads";
    let list = file::read_if_exists(Path::new("/sys/kernel/cgroup/delegate"))?;
    for name in std::iter::once("").chain(list.as_deref().unwrap_or(KNOWN).lines()) {
        let path = if name.is_empty() { directory.to_path_buf() } else { directory.join(name) };
        let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        match rustix::fs::chown(&path, Some(uid), Some(gid)) {
            Ok(()) => {}
            // Of a controller that this cgroup does not have.
            Err(Errno::NOENT) if !name.is_empty() => {}
            Err(errno) => return Err(file::system("hand over", &path, errno)),
        }
    }
    Ok(())
}

/// Lets every cgroup from `base` down to the parent of `leaf` hand out the controllers of `needs`,
/// and those of `wishes` where that is possible.
pub(crate) fn hand_down(base: &Path, leaf: &Path, needs: &Needs, wishes: &[Controller]) -> Result<()> {
    let Some(parent) = leaf.parent() else { return Ok(()) };
    let levels: Vec<&Path> = parent.ancestors().take_while(|path| path.starts_with(base)).collect();
    for directory in levels.into_iter().rev() {
        hand_out(directory, needs, wishes)?;
    }
    Ok(())
}

fn hand_out(directory: &Path, needs: &Needs, wishes: &[Controller]) -> Result<()> {
    let control = directory.join("cgroup.subtree_control");
    let enabled = names(&control)?;
    for (controller, field) in needs.iter().filter(|(controller, _)| !enabled.contains(controller)) {
        match file::write_raw(&control, &format!("+{controller}")) {
            Ok(()) => {}
            Err(Errno::BUSY) => {
                let pids = file::processes_in(directory)?;
                return Err(Error::Occupied { directory: directory.to_path_buf(), pids });
            }
            // ENOENT here is the controller, not the file: the kernel says so for one it does not offer.
            Err(Errno::NOENT) if file::exists(&control) => {
                let absence = Absence::NotDelegated { parent: directory.to_path_buf() };
                return Err(Error::Missing { field: field.clone(), controller: *controller, absence });
            }
            Err(errno) => return Err(file::system("hand out a controller in", &control, errno)),
        }
    }
    let missing: String =
        wishes.iter().filter(|wish| !enabled.contains(wish)).map(|wish| format!("+{wish} ")).collect();
    // One write(2) for all, which the kernel takes whole or not at all; then what can be had of them.
    if !missing.is_empty() && file::write_raw(&control, missing.trim_end()).is_err() {
        for wish in missing.split_whitespace() {
            // A wish: figures will lack it, which `Stats` shows as absent.
            match file::write_raw(&control, wish) {
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}
