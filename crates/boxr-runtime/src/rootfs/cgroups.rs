//! `/sys/fs/cgroup` of a container: of the versions that the host has, what is its own.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;

use boxr_cgroup::{Hierarchy, Host, Layout};
use boxr_sys::mount::{Change, attr, set_attributes};
use boxr_sys::namespace::NamespaceKind;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::beneath::Shape;
use super::filesystem::{self, Parameter, Wanted};
use super::mounts::{Tree, move_onto, set_options};
use super::scratch::Scratch;
use super::target;
use crate::error::{At, Step, StepError};
use crate::plan::{MountAttributes, MountPlan};

/// Whose view is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// That of a cgroup namespace of the container's: new instances show it.
    Namespace,
    /// The host's: its mounts are bound.
    Host,
}

/// Where cgroups are mounted by convention (cgroups(7)).
const TOP: &str = "/sys/fs/cgroup";
/// `CGROUP2_SUPER_MAGIC` of statfs(2).
const CGROUP2: i64 = 0x6367_7270;

/// Whether there is one tree, of version 2, at the usual place.
fn is_unified() -> bool {
    rustix::fs::statfs(TOP).is_ok_and(|found| found.f_type == CGROUP2)
}

/// Mounts the cgroups at the destination of `mount`.
pub(super) fn mount(tree: Tree<'_>, mount: &MountPlan) -> Result<(), StepError> {
    let place = || mount.destination.display();
    let target =
        target::open(tree.root, mount, Shape::Directory, tree.missing).at(Step::MountTarget, place())?;
    let namespace = tree.plan.makes(NamespaceKind::Cgroup) || tree.plan.joins(NamespaceKind::Cgroup);
    let view = if namespace { View::Namespace } else { View::Host };
    if view == View::Host && is_unified() {
        // The whole of it: no need to find out where the caller is.
        let made = clone(Path::new(TOP)).at(Step::Mount, place())?;
        set_options(made.as_fd(), mount)?;
        return move_onto(made.as_fd(), target.fd.as_fd()).at(Step::Mount, place());
    }
    let host = Host::detect()
        .map_err(|error| StepError::new(Step::Mount, format!("{} ({error})", place()), Errno::NODEV))?;
    if host.layout() == Layout::Unified
        && let Some(unified) = &host.unified
    {
        let made = unified_tree(unified, view, &unified.mount).at(Step::Mount, place())?;
        set_options(made.as_fd(), mount)?;
        return move_onto(made.as_fd(), target.fd.as_fd()).at(Step::Mount, place());
    }
    let parameters = [("mode".to_owned(), Some("755".to_owned()))];
    let wanted = Wanted {
        kind: "tmpfs",
        source: "cgroup",
        parameters: &parameters,
        inode_versions: false,
        read_only: false,
        attributes: 0,
    };
    let above = filesystem::create(&wanted)
        .map_err(|refusal| StepError::new(Step::Mount, format!("{} (tmpfs)", place()), refusal.errno))?
        .fd;
    // It is filled before it may become read-only.
    let MountAttributes { set, .. } = mount.attributes;
    let writable = MountAttributes { set: set & !attr::RDONLY, ..mount.attributes };
    set_options(above.as_fd(), &MountPlan { attributes: writable, ..mount.clone() })?;
    move_onto(above.as_fd(), target.fd.as_fd()).at(Step::Mount, place())?;
    fill(&above, &host, view, mount)?;
    if set & attr::RDONLY != 0 {
        let change = Change { set: attr::RDONLY, ..Change::default() };
        set_attributes(above.as_fd(), c"", false, &change).at(Step::MountAttributes, place())?;
    }
    Ok(())
}

/// A directory for each hierarchy of version 1, named as on the host, and one for version 2 where
/// it is mounted beside them.
fn fill(above: &Scratch, host: &Host, view: View, mount: &MountPlan) -> Result<(), StepError> {
    for (name, (hierarchy, options)) in legacy_hierarchies(host) {
        let step = |errno| StepError::new(Step::Mount, mount.destination.join(&name).display(), errno);
        let made = legacy_tree(hierarchy, &options, view).map_err(step)?;
        set_options(made.as_fd(), mount)?;
        put(above, &made, &name).map_err(step)?;
        for controller in name.split(',').filter(|controller| *controller != name) {
            match symlinkat(name.as_str(), above, controller) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(step(errno)),
            }
        }
    }
    if let Some(unified) = &host.unified {
        let step = |errno| StepError::new(Step::Mount, mount.destination.join("unified").display(), errno);
        let made = unified_tree(unified, view, &unified.own).map_err(step)?;
        set_options(made.as_fd(), mount)?;
        put(above, &made, "unified").map_err(step)?;
    }
    Ok(())
}

fn put(above: &Scratch, tree: &Scratch, name: &str) -> Result<(), Errno> {
    mkdirat(above, name, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = openat(above, name, flags, Mode::empty())?;
    move_onto(tree.as_fd(), place.as_fd())
}

/// By the name of their directory on the host, with the options that tell the kernel which it is.
fn legacy_hierarchies(host: &Host) -> BTreeMap<String, (&Hierarchy, Vec<String>)> {
    let mut all: BTreeMap<String, (&Hierarchy, Vec<String>)> = BTreeMap::new();
    let controllers =
        host.legacy.iter().map(|(controller, hierarchy)| (controller.legacy_name().to_owned(), hierarchy));
    let named = host.named.iter().map(|(name, hierarchy)| (format!("name={name}"), hierarchy));
    for (option, hierarchy) in controllers.chain(named) {
        let Some(name) = hierarchy.mount.file_name().and_then(|name| name.to_str()) else { continue };
        all.entry(name.to_owned()).or_insert_with(|| (hierarchy, Vec::new())).1.push(option);
    }
    all
}

fn legacy_tree(hierarchy: &Hierarchy, options: &[String], view: View) -> Result<Scratch, Errno> {
    if view == View::Host {
        return clone(&hierarchy.own);
    }
    let mut parameters: Vec<Parameter> = options
        .iter()
        .map(|option| match option.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (option.clone(), None),
        })
        .collect();
    if options.iter().all(|option| option.starts_with("name=")) {
        parameters.push(("none".to_owned(), None));
    }
    new_instance("cgroup", &parameters).or_else(|_| clone(&hierarchy.own))
}

/// A new instance in the first cgroup namespace would reset flags of the host's; `of_host` shows the
/// same without.
fn unified_tree(unified: &Hierarchy, view: View, of_host: &Path) -> Result<Scratch, Errno> {
    match view {
        View::Host => clone(of_host),
        // Where the user namespace does not own the cgroup namespace.
        View::Namespace => new_instance("cgroup2", &[]).or_else(|_| clone(&unified.own)),
    }
}

fn new_instance(kind: &str, parameters: &[Parameter]) -> Result<Scratch, Errno> {
    let wanted =
        Wanted { kind, source: "cgroup", parameters, inode_versions: false, read_only: false, attributes: 0 };
    filesystem::create(&wanted).map(|made| made.fd).map_err(|refusal| refusal.errno)
}

fn clone(path: &Path) -> Result<Scratch, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, path, flags)?.into())
}
