//! Where in each hierarchy a box goes.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use crate::controller::Controller;
use crate::error::{Absence, Error, Result};
use crate::host::{Hierarchy, Host, Layout};
use crate::parent::{self, Base, Needs};
use crate::plan::{Accounting, Branch, Existing, Need, Place, Plan, Request, SUBGROUP};
use crate::resources::{Asked, Setting};
use crate::systemd::ScopePlan;
use crate::{Location, file};

/// Directory in which boxes go that were given no path of their own.
const DEFAULT_PARENT: &str = "boxr";

/// Controllers that [`Accounting::Full`] adds where they can be had.
const FIGURES: [Controller; 5] =
    [Controller::Cpu, Controller::Cpuacct, Controller::Memory, Controller::Pids, Controller::Io];

/// The v2 controllers that [`Accounting::Every`] hands down. Others only count what they limit.
const COUNTING: [Controller; 5] =
    [Controller::Cpu, Controller::Cpuset, Controller::Memory, Controller::Pids, Controller::Io];

impl Host {
    /// A plan for what is `asked`, at [`relative_path`].
    pub(crate) fn place(&self, request: &Request<'_>, relative: &Path, asked: Asked) -> Result<Plan> {
        if self.unified.is_none() && self.legacy.is_empty() {
            return Err(no_hierarchy(&asked.settings));
        }
        if let Place::Scope(unit) = &request.place {
            return self.place_scope(unit, request, asked);
        }
        let mut plan = Plan::new(asked, self);
        plan.wishes = self.wishes(request.accounting);
        if self.unified.is_some() {
            self.place_unified(request, relative, &mut plan)?;
        }
        for controller in self.joined(request, relative, &plan) {
            self.place_legacy(controller, request, relative, &mut plan)?;
        }
        Ok(plan)
    }

    fn place_scope(&self, unit: &crate::systemd::Unit, request: &Request<'_>, asked: Asked) -> Result<Plan> {
        let scope = ScopePlan::new(unit.clone(), request, asked.rules.clone(), self)?;
        let location = Location { unit: Some(unit.clone()), ..Location::default() };
        if request.subgroup(SUBGROUP)?.is_some() && self.unified.is_none() {
            return Err(Error::BadAnnotation {
                name: SUBGROUP.to_owned(),
                value: String::new(),
                reason: "needs cgroup v2, which this host does not have",
            });
        }
        Ok(Plan { location, scope: Some(scope), ..Plan::new(asked, self) })
    }

    /// The v2 controllers that are handed down although no limit needs them.
    fn wishes(&self, accounting: Accounting) -> Vec<Controller> {
        let list: &[Controller] = match accounting {
            Accounting::Limits => &[],
            Accounting::Full => &FIGURES,
            // Beside version 1 nobody looks for figures in the v2 tree, whose root is left as it is.
            Accounting::Every if self.layout() != Layout::Unified => &[],
            Accounting::Every => &COUNTING,
        };
        let absent = |controller: &&Controller| {
            controller.unified_name().is_some() && !self.legacy.contains_key(controller)
        };
        list.iter().filter(absent).copied().collect()
    }

    /// The v1 hierarchies that the box is in.
    fn joined(&self, request: &Request<'_>, relative: &Path, plan: &Plan) -> BTreeSet<Controller> {
        let used = plan.settings.iter().filter_map(|setting| setting.controller);
        let mut joined: BTreeSet<Controller> =
            used.filter(|controller| self.legacy.contains_key(controller)).collect();
        match request.accounting {
            Accounting::Limits => {}
            Accounting::Full => joined.extend(FIGURES.into_iter().filter(|figure| self.countable(*figure))),
            Accounting::Every => {
                let usable = |controller: &&Controller| self.usable(**controller, request, relative);
                joined.extend(self.legacy.keys().filter(usable));
            }
        }
        if let Some(within) = &request.within {
            let shared = |one: &&Controller| within.location.legacy.contains_key(one.legacy_name());
            joined.extend(self.legacy.keys().filter(shared));
        }
        if plan.unified.is_none() {
            joined.extend(self.legacy.contains_key(&Controller::Freezer).then_some(Controller::Freezer));
        }
        joined
    }

    /// Whether a v1 hierarchy is joined for its figures alone. Processor time is not worth it where
    /// the v2 tree has it for nothing.
    fn countable(&self, controller: Controller) -> bool {
        if controller == Controller::Cpu || (controller == Controller::Cpuacct && self.unified.is_some()) {
            return false;
        }
        self.legacy.get(&controller).is_some_and(|hierarchy| file::writable(&hierarchy.own))
    }

    /// Whether a v1 hierarchy is joined that no limit needs: who must have a cgroup hears what stands
    /// in the way, who may go without goes without.
    fn usable(&self, controller: Controller, request: &Request<'_>, relative: &Path) -> bool {
        let writable = |hierarchy| may_make(&legacy_base(hierarchy, request).join(relative)).is_ok();
        request.need == Need::Required || self.legacy.get(&controller).is_some_and(writable)
    }

    fn place_unified(&self, request: &Request<'_>, relative: &Path, plan: &mut Plan) -> Result<()> {
        let unified = self.unified()?;
        let base = match &request.place {
            Place::Path(path) => explicit_base(unified, path, relative, request.need, &plan.needs),
            _ => parent::choose(unified, &plan.needs),
        };
        let base = match base {
            Ok(base) => base,
            // In a hybrid layout the v2 tree is a convenience as long as v1 has what limits need.
            Err(_) if !self.legacy.is_empty() && plan.needs.is_empty() && optional(request) => return Ok(()),
            Err(error) => return Err(error),
        };
        let branch = branch(&base.directory, relative, request);
        plan.location.unified = Some(branch.leaf.clone());
        note_parent(&mut plan.location, &branch, request);
        plan.unified = Some((branch, base));
        Ok(())
    }

    fn place_legacy(
        &self,
        controller: Controller,
        request: &Request<'_>,
        relative: &Path,
        plan: &mut Plan,
    ) -> Result<()> {
        let hierarchy = self.legacy.get(&controller).ok_or(Error::NotMounted)?;
        let base = legacy_base(hierarchy, request);
        let branch = branch(base, relative, request);
        if optional(request) && may_make(&branch.leaf).is_err() {
            return Err(refused_legacy(controller, base, &plan.settings));
        }
        plan.location.legacy.insert(controller.legacy_name().into(), branch.leaf.clone());
        note_parent(&mut plan.location, &branch, request);
        if !plan.legacy.contains(&branch) {
            plan.legacy.push(branch);
        }
        Ok(())
    }
}

/// Whether a place that cannot be had is looked at before it is used: where nobody named it, and where
/// going without is an answer. Otherwise the attempt tells as well, and costs nothing when it succeeds.
fn optional(request: &Request<'_>) -> bool {
    matches!(request.place, Place::Boxr) || request.need == Need::IfPossible
}

fn branch(base: &Path, relative: &Path, request: &Request<'_>) -> Branch {
    let existing = match request.place {
        Place::Boxr => Existing::Replace,
        _ => Existing::Use,
    };
    let leaf = base.join(relative);
    let enclosing = leaf.parent().filter(|parent| is_of_several(parent, request)).map(Path::to_path_buf);
    Branch { leaf, base: base.to_path_buf(), existing, enclosing }
}

/// Whether a directory is that of the boxes which the requested one is to be among.
fn is_of_several(directory: &Path, request: &Request<'_>) -> bool {
    request.within.as_ref().is_some_and(|within| within.location.directories().contains(directory))
}

fn legacy_base<'a>(hierarchy: &'a Hierarchy, request: &Request<'_>) -> &'a Path {
    match request.place {
        Place::Path(path) if path.is_absolute() => &hierarchy.mount,
        _ => &hierarchy.own,
    }
}

/// Whether this process may write `path` or, where that is missing, the nearest directory above it; else which one
/// it may not. Each is asked once: a directory that boxes share may go with the last of them at any moment, which is
/// no refusal.
fn may_make(path: &Path) -> std::result::Result<(), &Path> {
    for place in path.ancestors() {
        match file::write_access(place) {
            Ok(()) => return Ok(()),
            Err(Errno::NOENT | Errno::NODEV) => {}
            Err(_) => return Err(place),
        }
    }
    Err(path)
}

/// Remembers the directory that boxes share, to be removed with the last of them.
fn note_parent(location: &mut Location, branch: &Branch, request: &Request<'_>) {
    if !matches!(request.place, Place::Boxr) {
        return;
    }
    if request.within.is_some() {
        // The cgroup of several boxes goes when they do, not with the last process of one. Where they have none
        // of their own, nobody else would remove what is above this one.
        if branch.enclosing.is_none() {
            let above = branch.leaf.ancestors().skip(1).take(2);
            location.enclosing.extend(above.map(Path::to_path_buf));
        }
        return;
    }
    if let Some(parent) = branch.leaf.parent()
        && !location.parents.iter().any(|known| known == parent)
    {
        location.parents.push(parent.to_path_buf());
    }
}

/// A path that was given is taken as it is; what it needs shows when it is made, except for
/// controllers that the hierarchy lacks altogether, and for who may go without.
fn explicit_base(
    unified: &Hierarchy,
    path: &Path,
    relative: &Path,
    need: Need,
    needs: &Needs,
) -> Result<Base> {
    let beside = unified.own.parent().filter(|parent| parent.starts_with(&unified.mount));
    let directory = if path.is_absolute() { &unified.mount } else { beside.unwrap_or(&unified.mount) };
    if need == Need::IfPossible {
        reachable(unified, &directory.join(relative))?;
    }
    if !needs.is_empty() {
        let offered = parent::names(&directory.join("cgroup.controllers"))?;
        if let Some((controller, field)) = needs.iter().find(|(controller, _)| !offered.contains(controller))
        {
            let absence = Absence::NotDelegated { parent: directory.to_path_buf() };
            return Err(Error::Missing { field: field.clone(), controller: *controller, absence });
        }
    }
    Ok(Base { directory: directory.to_path_buf(), evacuate: Vec::new() })
}

/// Whether the caller may make `leaf` and put a process of its own there (cgroups(7), "Cgroups
/// delegation": write permission on the common ancestor's `cgroup.procs` too).
fn reachable(unified: &Hierarchy, leaf: &Path) -> Result<()> {
    let refused = |directory: &Path| Error::NotDelegated { directory: directory.to_path_buf() };
    may_make(leaf).map_err(refused)?;
    let common = leaf.ancestors().find(|path| unified.own.starts_with(path)).unwrap_or(&unified.mount);
    if file::writable(&common.join("cgroup.procs")) { Ok(()) } else { Err(refused(common)) }
}

/// A v1 directory that is not ours: names the option, if one needs it.
fn refused_legacy(controller: Controller, base: &Path, settings: &[Setting]) -> Error {
    match settings.iter().find(|setting| setting.controller == Some(controller)) {
        Some(setting) => Error::Missing {
            field: setting.field.clone(),
            controller,
            absence: Absence::NotYours { directory: base.to_path_buf() },
        },
        None => Error::NotDelegated { directory: base.to_path_buf() },
    }
}

fn no_hierarchy(settings: &[Setting]) -> Error {
    match settings.first() {
        Some(Setting { controller: Some(controller), field, .. }) => {
            Error::Missing { field: field.clone(), controller: *controller, absence: Absence::NotMounted }
        }
        _ => Error::NotMounted,
    }
}

/// The path of the box's cgroup below its base.
pub(crate) fn relative_path(request: &Request<'_>) -> Result<PathBuf> {
    match request.place {
        Place::Boxr => match &request.within {
            None => Ok(Path::new(DEFAULT_PARENT).join(named(request.name)?)),
            Some(within) => {
                Ok(Path::new(DEFAULT_PARENT).join(named(within.name)?).join(named(request.name)?))
            }
        },
        Place::Path(path) => given_path(path),
        Place::Scope(_) => Ok(PathBuf::new()),
    }
}

fn bad(path: &Path, reason: &'static str) -> Error {
    Error::BadPath { path: path.to_path_buf(), reason }
}

fn named(name: &str) -> Result<&Path> {
    if name.is_empty() || name.contains(['/', '\0', '\n']) || name.starts_with('.') {
        let reason = "a name is not empty, does not begin with a dot and has no slash";
        return Err(bad(Path::new(name), reason));
    }
    if name.len() > 255 {
        return Err(bad(Path::new(name), "a name has at most 255 bytes"));
    }
    Ok(Path::new(name))
}

fn given_path(path: &Path) -> Result<PathBuf> {
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) if part.as_encoded_bytes().contains(&b'\n') => {
                return Err(bad(path, "it has a line break in it"));
            }
            Component::Normal(part) if part.len() <= 255 => relative.push(part),
            Component::Normal(_) => return Err(bad(path, "a name in it has more than 255 bytes")),
            Component::ParentDir => return Err(bad(path, "it has a .. in it")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if relative.as_os_str().is_empty() {
        return Err(bad(path, "it is the root"));
    }
    Ok(relative)
}
