//! Cgroups that systemd makes: each container is a scope unit (systemd.scope(5)).
//!
//! systemd is told the limits in its own words, so that it does not put others back, and then the files of the
//! scope get them too, since it has no word for many. The scope is delegated: what is below it is the
//! container's. The first process has to exist before the scope does, and is moved into it by systemd; it is
//! born in the caller's cgroups, so that nothing of the set-up so far is charged to it.
//!
//! `Manager::System` is asked through `/run/systemd/private` or the system bus, `Manager::User` through
//! `$XDG_RUNTIME_DIR/systemd/private`, `DBUS_SESSION_BUS_ADDRESS` or `$XDG_RUNTIME_DIR/bus`.

mod annotations;
mod devices;
mod manager;
mod properties;
mod unit;

use std::path::Path;

use crate::controller::Controller;
use crate::device_program::Rule;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::plan::{Branch, Existing, Plan, Request, SUBGROUP};
use crate::resources::Asked;
use crate::{Location, cgroup::Cgroup, create, entrance, file, parent};

use manager::Line;
use properties::Property;
pub use unit::{Manager, Unit};

/// A scope that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct ScopePlan {
    pub unit: Unit,
    /// All but those that the limits are.
    properties: Vec<Property>,
    /// Name of the cgroup below the scope in which the container is.
    subgroup: Option<String>,
}

impl ScopePlan {
    /// Decides on the properties.
    pub fn new(unit: Unit, request: &Request<'_>, rules: Option<Vec<Rule>>, host: &Host) -> Result<Self> {
        let version_one = host.legacy.contains_key(&Controller::Memory);
        let mut properties = properties::base(&unit.slice, request.name, version_one);
        if let Some(rules) = rules.filter(|_| unit.manager == Manager::System) {
            properties.extend(device_properties(&rules)?);
        }
        let annotations = request.annotations.into_iter().flatten();
        properties.extend(annotations::properties(annotations.map(|(key, value)| (&**key, &**value)))?);
        Ok(Self { unit, properties, subgroup: request.subgroup(SUBGROUP)?.map(str::to_owned) })
    }
}

fn device_properties(rules: &[Rule]) -> Result<Vec<Property>> {
    let drivers = file::read_all(Path::new("/proc/devices"))?;
    Ok(devices::properties(rules, &drivers))
}

/// What [`Cgroup::adopt`] does.
pub(crate) fn adopt(cgroup: &mut Cgroup, plan: &Plan, pid: i32) -> Result<()> {
    let scope = plan.scope.as_ref().ok_or(Error::NoCgroup { goal: "made by systemd" })?;
    let limits = properties::of_settings(&plan.settings, None);
    let properties: Vec<Property> = scope.properties.iter().cloned().chain(limits).collect();
    Line::open(&scope.unit)?.start(pid, &properties)?;
    let host = Host::of_process(pid)?;
    let mut location = Location { unit: Some(scope.unit.clone()), ..Location::default() };
    let settled = settle(&host, scope, plan, pid, &mut location);
    // Also where that failed: what is known of it is to be removed.
    cgroup.settle(location)?;
    settled?;
    plan.furnish(cgroup, &mut Vec::new())
}

/// Finds the directories that systemd made, and makes those that it does not.
fn settle(host: &Host, scope: &ScopePlan, plan: &Plan, pid: i32, location: &mut Location) -> Result<()> {
    let in_scope = |path: &Path| path.ends_with(&scope.unit.name);
    let own = host.legacy.get(&Controller::Systemd).or(host.unified.as_ref()).ok_or(Error::NotMounted)?;
    if !in_scope(&own.own) {
        return Err(Error::NotInScope { unit: scope.unit.name.clone(), path: own.own.clone() });
    }
    let relative = own.own.strip_prefix(&own.mount).unwrap_or(Path::new("")).to_path_buf();
    if let Some(unified) = &host.unified {
        // Beside version 1, systemd may be told to leave the v2 tree alone.
        if in_scope(&unified.own) {
            location.unified = Some(unified.own.clone());
        }
    }
    for (controller, hierarchy) in &host.legacy {
        let leaf = hierarchy.mount.join(&relative);
        let needed = plan.settings.iter().any(|setting| setting.controller == Some(*controller));
        if !in_scope(&hierarchy.own) {
            // Version 1 is not handed to users: without a limit there they go without.
            if scope.unit.manager == Manager::User && !needed {
                continue;
            }
            let branch = Branch {
                base: hierarchy.mount.clone(),
                leaf: leaf.clone(),
                existing: Existing::Use,
                enclosing: None,
            };
            create::make_below(&branch, *controller)?;
            crate::cgroup::join(&leaf, pid)?;
        }
        location.legacy.insert(controller.legacy_name().into(), leaf);
    }
    match &scope.subgroup {
        Some(name) => enter_subgroup(location, name, pid),
        None => Ok(()),
    }
}

/// A cgroup below the scope, which gets the controllers that the scope has.
fn enter_subgroup(location: &mut Location, name: &str, pid: i32) -> Result<()> {
    let Some(scope) = location.unified.clone() else { return Err(Error::NoCgroup { goal: "divided" }) };
    let leaf = scope.join(name);
    file::make_directory(&leaf).map_err(|errno| file::system("create", &leaf, errno))?;
    location.parents.push(scope.clone());
    location.unified = Some(leaf.clone());
    crate::cgroup::join(&leaf, pid)?;
    let offered: Vec<Controller> = parent::names(&scope.join("cgroup.controllers"))?.into_iter().collect();
    parent::hand_down(&scope, &leaf, &Vec::new(), &offered)
}

/// Tells systemd of changed limits.
pub(crate) fn change(unit: &Unit, asked: &Asked, period: Option<u64>) -> Result<()> {
    let mut properties = properties::of_settings(&asked.settings, period);
    if let Some(rules) = asked.rules.as_ref().filter(|_| unit.manager == Manager::System) {
        properties.extend(device_properties(rules)?);
    }
    if properties.is_empty() {
        return Ok(());
    }
    Line::open(unit)?.set(&properties)
}

/// Lets systemd put processes into the scope.
pub(crate) fn attach(unit: &Unit, pids: &[i32]) -> Result<()> {
    Line::open(unit)?.attach(pids)
}

/// Stops the scope, and lets systemd forget that it failed. That it is gone is fine.
pub(crate) fn stop(unit: &Unit) -> Result<()> {
    Line::open(unit)?.stop()
}

impl Unit {
    /// Whether the caller may have a process born in `directory`, which is the unit's.
    pub(crate) fn may_be_born_in(&self, directory: &Path) -> Result<bool> {
        if self.manager == Manager::System {
            return Ok(true);
        }
        let unified = Host::detect()?.unified;
        Ok(unified.is_some_and(|unified| entrance::may_be_born_in(directory, &unified.own)))
    }
}
