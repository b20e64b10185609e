//! What will be made for one box, decided whole before anything is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::LinuxResources;

use crate::controller::Controller;
use crate::device_program::Rule;
use crate::error::{Absence, Error, Result};
use crate::field::Field;
use crate::host::Host;
use crate::parent::{self, Base, Needs};
use crate::resources::{self, Facts, Setting, Version};
use crate::{Location, file};

/// Directory in which boxes go that were given no path of their own.
const DEFAULT_PARENT: &str = "boxr";

/// Controllers that [`Accounting::Full`] adds where they can be had.
const FIGURES: [Controller; 5] =
    [Controller::Cpu, Controller::Cpuacct, Controller::Memory, Controller::Pids, Controller::Io];

/// Whether a box must have a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Need {
    /// It must: anything that stands in the way is an error.
    #[default]
    Required,
    /// Without limits it may go without: where none can be made the plan is empty.
    /// With limits this is as [`Need::Required`].
    IfPossible,
}

/// Which controllers a box gets beyond those that its limits need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accounting {
    /// None: cheapest.
    #[default]
    Limits,
    /// Those that count memory, processor time, tasks and block IO, where they can be had.
    Full,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Container id; the name of the cgroup where `path` is `None`.
    pub name: &'a str,
    /// The specification's `cgroupsPath` in its cgroupfs form: absolute is below the root of each
    /// hierarchy, relative below the caller's own cgroup.
    pub path: Option<&'a Path>,
    /// Limits; all of them optional.
    pub resources: Option<&'a LinuxResources>,
    /// Whether to go without.
    pub need: Need,
    /// What to count.
    pub accounting: Accounting,
}

impl<'a> Request<'a> {
    /// A required cgroup at the default place, without limits.
    pub fn new(name: &'a str) -> Self {
        Self { name, path: None, resources: None, need: Need::Required, accounting: Accounting::Limits }
    }
}

/// One directory to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    /// Exists, and is not ours.
    pub base: PathBuf,
    /// The directory of the box, some levels below `base`.
    pub leaf: PathBuf,
}

/// A checked plan; [`Plan::create`] carries it out.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(crate) location: Location,
    pub(crate) unified: Option<(Branch, Base)>,
    /// v1 directories, each once although several controllers may share it.
    pub(crate) legacy: Vec<Branch>,
    pub(crate) needs: Needs,
    pub(crate) wishes: Vec<Controller>,
    pub(crate) settings: Vec<Setting>,
    /// Device rules that become a program.
    pub(crate) device_rules: Option<Vec<Rule>>,
}

impl Host {
    /// Decides where the box's cgroups go and what is written into them. Changes nothing.
    ///
    /// # Errors
    /// Any value that no kernel takes, any controller that is missing, any place where nothing may
    /// be made; each names the option.
    pub fn plan(&self, request: &Request<'_>) -> Result<Plan> {
        let relative = relative_path(request)?;
        let facts = HostFacts { host: self, location: None };
        let (settings, device_rules) = match request.resources {
            Some(resources) => {
                (resources::settings(resources, &facts)?, resources::device_rules(resources, &facts)?)
            }
            None => (Vec::new(), None),
        };
        let placed = self.place(request, &relative, settings);
        match placed.map(|plan| Plan { device_rules, ..plan }) {
            Err(error) if request.need == Need::IfPossible && is_refusal_of_place(&error) => {
                Ok(Plan::default())
            }
            other => other,
        }
    }

    fn place(&self, request: &Request<'_>, relative: &Path, settings: Vec<Setting>) -> Result<Plan> {
        if self.unified.is_none() && self.legacy.is_empty() {
            return Err(no_hierarchy(&settings));
        }
        let full = request.accounting == Accounting::Full;
        let used: BTreeSet<Controller> = settings.iter().filter_map(|setting| setting.controller).collect();
        let mut plan = Plan { needs: self.unified_needs(&settings), settings, ..Plan::default() };
        if full {
            plan.wishes =
                FIGURES.into_iter().filter(|controller| !self.legacy.contains_key(controller)).collect();
        }
        if self.unified.is_some() {
            self.place_unified(request, relative, &mut plan)?;
        }
        let mut joined: BTreeSet<Controller> =
            used.iter().copied().filter(|controller| self.legacy.contains_key(controller)).collect();
        if full {
            joined.extend(FIGURES.into_iter().filter(|controller| self.countable(*controller)));
        }
        if plan.unified.is_none() {
            joined.extend(self.legacy.contains_key(&Controller::Freezer).then_some(Controller::Freezer));
        }
        for controller in joined {
            self.place_legacy(controller, request, relative, &mut plan)?;
        }
        Ok(plan)
    }

    /// The v2 controllers that `settings` need, each once.
    pub(crate) fn unified_needs(&self, settings: &[Setting]) -> Needs {
        let mut needs = BTreeMap::new();
        for setting in settings {
            if let Some(controller) =
                setting.controller.filter(|controller| !self.legacy.contains_key(controller))
            {
                needs.entry(controller).or_insert_with(|| setting.field.clone());
            }
        }
        needs.into_iter().collect()
    }

    /// Whether a v1 hierarchy is joined for its figures alone. Processor time is not worth it where
    /// the v2 tree has it for nothing.
    fn countable(&self, controller: Controller) -> bool {
        if controller == Controller::Cpu || (controller == Controller::Cpuacct && self.unified.is_some()) {
            return false;
        }
        self.legacy.get(&controller).is_some_and(|hierarchy| file::writable(&hierarchy.own))
    }

    fn place_unified(&self, request: &Request<'_>, relative: &Path, plan: &mut Plan) -> Result<()> {
        let unified = self.unified()?;
        let base = match request.path {
            Some(path) if path.is_absolute() => explicit_base(&unified.mount, &plan.needs)?,
            Some(_) => explicit_base(&unified.own, &plan.needs)?,
            None => match parent::choose(unified, &plan.needs) {
                Ok(base) => base,
                // In a hybrid layout the v2 tree is a convenience as long as v1 has what limits need.
                Err(_) if !self.legacy.is_empty() && plan.needs.is_empty() => return Ok(()),
                Err(error) => return Err(error),
            },
        };
        let branch = Branch { leaf: base.directory.join(relative), base: base.directory.clone() };
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
        let base = match request.path {
            Some(path) if path.is_absolute() => &hierarchy.mount,
            _ => &hierarchy.own,
        };
        let branch = Branch { base: base.clone(), leaf: base.join(relative) };
        if request.path.is_none() && !file::writable(base) {
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

impl Plan {
    /// Whether no cgroup is made.
    pub fn is_empty(&self) -> bool {
        self.location == Location::default()
    }

    /// Where the cgroups will be.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The plan in words, a line each, for `--explain`.
    pub fn describe(&self) -> Vec<String> {
        if self.is_empty() {
            return vec!["no group of its own: none may be made here, and no limit needs one".into()];
        }
        let mut lines = Vec::new();
        if let Some((branch, base)) = &self.unified {
            if !base.evacuate.is_empty() {
                lines.push(format!(
                    "boxr itself moves to {}",
                    base.directory.join(parent::SUPERVISOR).display()
                ));
            }
            lines.push(format!("version 2 group {}", branch.leaf.display()));
        }
        for branch in &self.legacy {
            lines.push(format!("version 1 group {}", branch.leaf.display()));
        }
        lines.extend(self.settings.iter().map(Setting::describe));
        if let Some(rules) = &self.device_rules {
            lines.push(format!("devices: {} rules, as a BPF program", rules.len()));
        }
        lines
    }
}

/// Remembers the directory that boxes share, to be removed with the last of them.
fn note_parent(location: &mut Location, branch: &Branch, request: &Request<'_>) {
    if request.path.is_some() {
        return;
    }
    if let Some(parent) = branch.leaf.parent()
        && !location.parents.iter().any(|known| known == parent)
    {
        location.parents.push(parent.to_path_buf());
    }
}

/// A path that was given is taken as it is; what it needs shows when it is made, except for
/// controllers that the hierarchy lacks altogether.
fn explicit_base(directory: &Path, needs: &Needs) -> Result<Base> {
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

fn is_refusal_of_place(error: &Error) -> bool {
    matches!(error, Error::NotDelegated { .. } | Error::NotMounted)
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
fn relative_path(request: &Request<'_>) -> Result<PathBuf> {
    let bad = |path: &Path, reason| Error::BadPath { path: path.to_path_buf(), reason };
    let Some(path) = request.path else {
        let name = Path::new(request.name);
        if request.name.is_empty()
            || request.name.contains(['/', '\0', '\n'])
            || request.name.starts_with('.')
        {
            return Err(bad(name, "a name is not empty, does not begin with a dot and has no slash"));
        }
        if request.name.len() > 255 {
            return Err(bad(name, "a name has at most 255 bytes"));
        }
        return Ok(Path::new(DEFAULT_PARENT).join(name));
    };
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
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

/// Facts of this host; with a location also the present values of a box.
pub(crate) struct HostFacts<'a> {
    pub host: &'a Host,
    pub location: Option<&'a Location>,
}

impl Facts for HostFacts<'_> {
    fn version(&self, controller: Controller, field: &Field) -> Result<Version> {
        if self.host.legacy.contains_key(&controller) {
            return Ok(Version::One);
        }
        if self.host.unified.is_some() {
            return Ok(Version::Two);
        }
        Err(Error::Missing { field: field.clone(), controller, absence: Absence::NotMounted })
    }

    fn above(&self, controller: Controller, name: &str) -> Result<Option<String>> {
        if let Some(hierarchy) = self.host.legacy.get(&controller) {
            return file::read_if_exists(&hierarchy.own.join(name));
        }
        let Some(unified) = &self.host.unified else { return Ok(None) };
        // The nearest cgroup that has the controller; what it offers holds for those below.
        for directory in unified.own.ancestors().take_while(|path| path.starts_with(&unified.mount)) {
            if let Some(text) = file::read_if_exists(&directory.join(name))? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    fn current(&self, controller: Controller, name: &str) -> Result<Option<String>> {
        match self.location.and_then(|location| location.directory(Some(controller))) {
            Some(directory) => file::read_if_exists(&directory.join(name)),
            None => Ok(None),
        }
    }
}
