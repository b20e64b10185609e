//! The cgroups of one box that exist.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::parent;
use crate::plan::HostFacts;
use crate::resources;
use crate::{Location, create, devices, file, remove};

/// The cgroups of one box.
#[derive(Debug)]
pub struct Cgroup {
    location: Location,
    unified: Option<OwnedFd>,
}

impl Cgroup {
    /// The cgroups at `location`. That they are gone is not an error: each operation says what
    /// it makes of that.
    ///
    /// # Errors
    /// When the v2 directory exists and cannot be opened.
    pub fn open(location: &Location) -> Result<Self> {
        let unified = match &location.unified {
            Some(path) => open_directory(path)?,
            None => None,
        };
        Ok(Self { location: location.clone(), unified })
    }

    /// Where they are.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Descriptor for clone3(2)'s `CLONE_INTO_CGROUP`, where the box is in the v2 tree.
    pub fn clone_into_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Puts `pid` (0: the caller) into all of them.
    ///
    /// # Errors
    /// The first that refuses; the process stays in those that did not.
    pub fn add(&self, pid: i32) -> Result<()> {
        if let Some(unified) = &self.location.unified {
            join(unified, pid)?;
        }
        self.add_legacy(pid)
    }

    /// Puts `pid` (0: the caller) into the v1 ones only: for a process that was cloned into the v2 one.
    ///
    /// # Errors
    /// As [`Cgroup::add`].
    pub fn add_legacy(&self, pid: i32) -> Result<()> {
        self.location.legacy_directories().into_iter().try_for_each(|directory| join(directory, pid))
    }

    /// Every process in the box, also those in cgroups that it made below its own; the order is the kernel's.
    ///
    /// # Errors
    /// When a list cannot be read; cgroups that are gone have no processes.
    pub fn processes(&self) -> Result<Vec<i32>> {
        match self.location.any() {
            Some(directory) => processes_below(directory),
            None => Ok(Vec::new()),
        }
    }

    /// Changes limits of a running box, and returns the location, which grows when a limit needs a v1
    /// controller that the box was not in: keep it.
    ///
    /// # Errors
    /// As for [`Host::plan`]; nothing is changed by values that are refused beforehand. A refusal
    /// of the kernel's names the file; what was written before it stays.
    pub fn update(&mut self, resources: &LinuxResources) -> Result<&Location> {
        let host = Host::detect()?;
        let facts = HostFacts { host: &host, location: Some(&self.location) };
        let settings = resources::settings(resources, &facts)?;
        let device_rules = resources::device_rules(resources, &facts)?;
        let needs = host.unified_needs(&settings);
        if let (Some(unified), Some(leaf)) = (&host.unified, &self.location.unified)
            && !needs.is_empty()
        {
            let ready = parent::names(&leaf.join("cgroup.controllers"))?;
            if !needs.iter().all(|(controller, _)| ready.contains(controller)) {
                parent::hand_down(&unified.mount, leaf, &needs, &[])?;
            }
        }
        let mut joined = false;
        for controller in settings.iter().filter_map(|setting| setting.controller) {
            let known = self.location.legacy.contains_key(controller.legacy_name());
            if host.legacy.contains_key(&controller) && !known {
                let pids = self.processes()?;
                host.add_legacy(controller, &mut self.location)?;
                self.join_late(controller, &pids)?;
                joined = true;
            }
        }
        create::apply(&settings, &self.location)?;
        devices::enforce_at(device_rules.as_deref(), self.location.unified.as_deref())?;
        if joined {
            // Memory that was used before it was counted stays uncounted; nothing more can be done.
            self.unified = Self::open(&self.location)?.unified;
        }
        Ok(&self.location)
    }

    fn join_late(&self, controller: Controller, pids: &[i32]) -> Result<()> {
        let Some(directory) = self.location.legacy.get(controller.legacy_name()) else { return Ok(()) };
        for pid in pids {
            match join(directory, *pid) {
                // It ended meanwhile.
                Err(Error::System { errno: Errno::SRCH, .. }) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes them, and what the box made below them. Waits two seconds for processes that were
    /// killed and are on their way out; goes on after a failure and reports all.
    ///
    /// # Errors
    /// [`Error::Busy`] with the processes that live; system errors.
    pub fn remove(self) -> Result<()> {
        self.remove_within(remove::PATIENCE)
    }

    /// As [`Cgroup::remove`], with a patience of the caller's.
    ///
    /// # Errors
    /// As [`Cgroup::remove`].
    pub fn remove_within(&self, patience: Duration) -> Result<()> {
        remove::remove_all(&self.location, patience)
    }
}

fn open_directory(path: &Path) -> Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(file::system("open", path, errno)),
    }
}

fn join(directory: &Path, pid: i32) -> Result<()> {
    let path = directory.join("cgroup.procs");
    file::write_raw(&path, &pid.to_string())
        .map_err(|errno| file::system("put the process into", &path, errno))
}

/// The processes in `directory` and in all cgroups below it.
pub(crate) fn processes_below(directory: &Path) -> Result<Vec<i32>> {
    let mut pids = file::processes_in(directory)?;
    for child in file::children(directory)? {
        pids.extend(processes_below(&child)?);
    }
    Ok(pids)
}
