//! Changing the limits of a running box.

use std::path::Path;

use oci_spec::runtime::LinuxResources;
use rustix::io::Errno;

use crate::cgroup::{Cgroup, join};
use crate::controller::Controller;
use crate::create;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::parent;
use crate::plan::HostFacts;
use crate::resources::devices::DeviceDefaults;
use crate::resources::{self, Setting};
use crate::{Location, devices, systemd};

/// What [`Cgroup::update`] does; returns where the box is afterwards.
pub(crate) fn update(
    cgroup: &Cgroup,
    resources: &LinuxResources,
    defaults: DeviceDefaults,
) -> Result<Location> {
    let host = Host::detect()?;
    let mut location = cgroup.location().clone();
    let facts = HostFacts { host: &host, location: Some(&location) };
    // Devices that are not spoken of stay as they are.
    let defaults = if resources.devices().is_some() { defaults } else { DeviceDefaults::None };
    let asked = resources::ask(Some(resources), defaults, &facts)?;
    if let Some(unit) = &location.unit {
        let period = || facts.period();
        systemd::change(unit, &asked, period()?)?;
    }
    hand_down(&host, &location, &asked.settings)?;
    join_late(cgroup, &host, &mut location, &asked.settings)?;
    create::apply(&asked.settings, &location)?;
    if asked.program
        && let Some(rules) = &asked.rules
    {
        let directory = cgroup.unified().ok_or(Error::NoCgroup { goal: "kept from devices" })?;
        devices::enforce(rules, directory, false)?;
    }
    Ok(location)
}

/// Lets the cgroups above hand out v2 controllers that the box has not needed so far.
fn hand_down(host: &Host, location: &Location, settings: &[Setting]) -> Result<()> {
    let needs = host.unified_needs(settings);
    if let (Some(unified), Some(leaf)) = (&host.unified, &location.unified)
        && !needs.is_empty()
    {
        let ready = parent::names(&leaf.join("cgroup.controllers"))?;
        if !needs.iter().all(|(controller, _)| ready.contains(controller)) {
            parent::hand_down(&unified.mount, leaf, &needs, &[])?;
        }
    }
    Ok(())
}

/// Puts the box into v1 hierarchies that it has not needed so far. Memory that was used before it was
/// counted stays uncounted; nothing more can be done.
fn join_late(cgroup: &Cgroup, host: &Host, location: &mut Location, settings: &[Setting]) -> Result<()> {
    for controller in settings.iter().filter_map(|setting| setting.controller) {
        let name = controller.legacy_name();
        if !host.legacy.contains_key(&controller) || location.legacy.contains_key(name) {
            continue;
        }
        let pids = cgroup.processes()?;
        host.add_legacy(controller, location)?;
        if let Some(directory) = location.legacy.get(name) {
            join_all(directory, &pids)?;
        }
    }
    Ok(())
}

fn join_all(directory: &Path, pids: &[i32]) -> Result<()> {
    for pid in pids {
        match join(directory, *pid) {
            // It ended meanwhile.
            Err(Error::System { errno: Errno::SRCH, .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl HostFacts<'_> {
    /// The period of processor time in force, microseconds, of version 1; version 2 has it beside the quota.
    fn period(&self) -> Result<Option<u64>> {
        use crate::resources::Facts;
        let text = self.current(Controller::Cpu, "cpu.cfs_period_us")?;
        Ok(text.and_then(|text| text.trim().parse().ok()))
    }
}
