//! What will be made for one box, decided whole before anything is changed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

use crate::controller::Controller;
use crate::device_program::Rule;
use crate::error::{Absence, Error, Result};
use crate::field::Field;
use crate::host::Host;
use crate::parent::{self, Base, Needs};
use crate::place::relative_path;
use crate::resources::devices::DeviceDefaults;
use crate::resources::{self, Asked, Facts, Setting, Version};
use crate::systemd::{ScopePlan, Unit};
use crate::{Location, devices, file};

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
    /// All of them, as containers of runc and crun have: in every v1 hierarchy the box has a directory of
    /// its own, and where there is no version 1 processors, processor time, memory, tasks and block IO are
    /// counted as far as they are offered. Programs that find a container by `/proc/PID/cgroup` (cAdvisor,
    /// `podman stats`) reckon with it.
    Every,
}

/// Where the cgroups of a box go.
#[derive(Clone, Debug, Default)]
pub enum Place<'a> {
    /// Below `boxr`: as root at the root of the v2 hierarchy, otherwise wherever the caller may make
    /// cgroups, which is searched for.
    #[default]
    Boxr,
    /// The specification's `cgroupsPath` in its cgroupfs form. Absolute is below the root of each
    /// hierarchy. Relative is where runc puts it: in v2 beside the caller's own cgroup, whose processes
    /// would keep it from handing controllers out, in v1 below it. What exists is used as it is, unless
    /// processes are in it.
    Path(&'a Path),
    /// In a scope that systemd is asked for.
    Scope(Unit),
}

/// A cgroup of boxr's that several boxes share, and whose limits hold for all of them.
#[derive(Clone, Copy, Debug)]
pub struct Within<'a> {
    /// Its name in [`Place::Boxr`].
    pub name: &'a str,
    /// Where it is: a box below it is in every hierarchy that it is in.
    pub location: &'a Location,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Container id; the name of the cgroup in [`Place::Boxr`].
    pub name: &'a str,
    /// Where.
    pub place: Place<'a>,
    /// In [`Place::Boxr`], the cgroup that it is below.
    pub within: Option<Within<'a>>,
    /// Limits; all of them optional.
    pub resources: Option<&'a LinuxResources>,
    /// Which devices it may use whatever the limits say.
    pub devices: DeviceDefaults,
    /// Whether to go without.
    pub need: Need,
    /// What to count.
    pub accounting: Accounting,
    /// Who may make cgroups below the box's in version 2: user and group outside of its user namespace.
    pub owner: Option<(u32, u32)>,
    /// Annotations of the specification's configuration. Those that matter here are
    /// `org.systemd.property.NAME`, `run.oci.systemd.subgroup` and `run.oci.delegate-cgroup` (crun(1)).
    pub annotations: Option<&'a HashMap<String, String>>,
}

impl<'a> Request<'a> {
    /// A required cgroup at boxr's place, without limits.
    pub fn new(name: &'a str) -> Self {
        Self {
            name,
            place: Place::Boxr,
            within: None,
            resources: None,
            devices: DeviceDefaults::None,
            need: Need::Required,
            accounting: Accounting::Limits,
            owner: None,
            annotations: None,
        }
    }

    /// A container of the OCI runtime: found and counted as runc's are.
    pub fn container(id: &'a str, place: Place<'a>) -> Self {
        Self { place, devices: DeviceDefaults::Container, accounting: Accounting::Every, ..Self::new(id) }
    }

    /// An annotation that names a cgroup below the box's.
    pub(crate) fn subgroup(&self, annotation: &str) -> Result<Option<&'a str>> {
        match self.annotations.and_then(|annotations| annotations.get(annotation)).map(String::as_str) {
            None | Some("") => Ok(None),
            Some(name) if name.contains(['/', '\0', '\n']) || name.starts_with('.') => {
                Err(Error::BadAnnotation {
                    name: annotation.to_owned(),
                    value: name.to_owned(),
                    reason: "is not the name of a cgroup: it has a slash or begins with a dot",
                })
            }
            Some(name) => Ok(Some(name)),
        }
    }
}

/// The cgroup below a systemd scope in which the container is.
pub(crate) const SUBGROUP: &str = "run.oci.systemd.subgroup";
/// The cgroup below the container's into which its first process goes when its cgroup namespace is made.
pub(crate) const DELEGATE: &str = "run.oci.delegate-cgroup";

/// One directory to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    /// Exists, and is not ours.
    pub base: PathBuf,
    /// The directory of the box, some levels below `base`.
    pub leaf: PathBuf,
    /// What is done with one that exists.
    pub existing: Existing,
    /// A directory above the leaf that others have made and that is not made again when it has gone.
    pub enclosing: Option<PathBuf>,
}

/// What is done with a directory that exists already and has no processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It is a leftover, and made again so that no old limit stays in force.
    Replace,
    /// Somebody made it for the box, with what that set.
    Use,
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
    /// The scope, where systemd is asked.
    pub(crate) scope: Option<ScopePlan>,
    pub(crate) owner: Option<(u32, u32)>,
    /// Name of the cgroup below the box's into which the first process goes at last.
    pub(crate) delegate: Option<String>,
}

impl Host {
    /// Decides where the box's cgroups go and what is written into them. Changes nothing.
    ///
    /// # Errors
    /// Any value that no kernel takes, any controller that is missing, any place where nothing may
    /// be made; each names the option.
    pub fn plan(&self, request: &Request<'_>) -> Result<Plan> {
        let facts = HostFacts { host: self, location: None };
        let delegate = request.subgroup(DELEGATE)?.map(str::to_owned);
        let relative = relative_path(request)?;
        let asked = resources::ask(request.resources, request.devices, &facts)?;
        let may_go_without = request.need == Need::IfPossible && asked.settings.is_empty();
        match self.place(request, &relative, asked) {
            Ok(plan) => Ok(Plan { owner: request.owner, delegate, ..plan }),
            Err(error) if may_go_without && is_refusal_of_place(&error) => Ok(Plan::default()),
            Err(error) => Err(error),
        }
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
}

impl Plan {
    /// With the limits that were asked for.
    pub(crate) fn new(asked: Asked, host: &Host) -> Self {
        Self {
            needs: host.unified_needs(&asked.settings),
            device_rules: asked.rules.filter(|_| asked.program),
            settings: asked.settings,
            ..Self::default()
        }
    }

    /// Whether no cgroup is made.
    pub fn is_empty(&self) -> bool {
        self.location == Location::default()
    }

    /// Where the cgroups will be. Of a scope of systemd's only the unit is known yet.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The plan in words, a line each, for `--explain`.
    pub fn describe(&self) -> Vec<String> {
        if self.is_empty() {
            return vec!["no group of its own: none may be made here, and no limit needs one".into()];
        }
        let mut lines = Vec::new();
        if let Some(scope) = &self.scope {
            lines.push(format!("systemd unit {} in {}", scope.unit.name, scope.unit.slice));
        }
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

fn is_refusal_of_place(error: &Error) -> bool {
    matches!(error, Error::NotDelegated { .. } | Error::NotMounted)
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

    fn may_rule_devices(&self) -> bool {
        devices::is_root_of_the_machine()
    }
}
