//! Carrying a plan out: directories, controllers, limits; undone whole when a step fails.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::file;
use crate::host::Host;
use crate::parent;
use crate::plan::{Branch, Plan};
use crate::resources::Setting;
use crate::{Location, devices, remove};

/// How often a directory is made again that somebody else removed in between, as the last of
/// several boxes takes their common parent along.
const ATTEMPTS: usize = 16;

impl Plan {
    /// Makes the directories and writes the limits, before any process is in them.
    ///
    /// # Errors
    /// The step that failed, with its file; what had been made is removed again.
    pub fn create(&self) -> Result<Cgroup> {
        let mut made = Vec::new();
        match self.create_all(&mut made) {
            Ok(()) => Cgroup::open(&self.location),
            Err(error) => Err(undo(error, &made, &self.location)),
        }
    }

    fn create_all(&self, made: &mut Vec<PathBuf>) -> Result<()> {
        if let Some((branch, base)) = &self.unified {
            parent::evacuate(base)?;
            make_unified(branch, &self.needs, &self.wishes)?;
            made.push(branch.leaf.clone());
        }
        for branch in &self.legacy {
            make(branch)?;
            made.push(branch.leaf.clone());
            let is_cpuset = self.location.legacy.get(Controller::Cpuset.legacy_name()) == Some(&branch.leaf);
            if is_cpuset {
                inherit_cpuset(branch)?;
            }
        }
        apply(&self.settings, &self.location)?;
        devices::enforce_at(self.device_rules.as_deref(), self.location.unified.as_deref())
    }
}

/// Writes `settings`, in order.
pub(crate) fn apply(settings: &[Setting], location: &Location) -> Result<()> {
    settings.iter().try_for_each(|setting| write(setting, location))
}

fn write(setting: &Setting, location: &Location) -> Result<()> {
    let Some(directory) = location.directory(setting.controller) else {
        return Err(Error::NoCgroup { goal: "limited" });
    };
    let path = directory.join(&*setting.file);
    let refused = |value: &str, file: &Path, errno| match errno {
        Errno::NOENT if file::exists(directory) => Error::Unsupported {
            field: setting.field.clone(),
            reason: format!("this kernel has no {}", setting.file),
        },
        errno => Error::Write {
            field: setting.field.clone(),
            value: value.into(),
            file: file.to_path_buf(),
            errno,
        },
    };
    match (file::write_raw(&path, &setting.value), &setting.otherwise) {
        (Ok(()), _) => Ok(()),
        (Err(Errno::NOENT), Some((name, value))) => {
            let path = directory.join(name);
            file::write_raw(&path, value).map_err(|errno| refused(value, &path, errno))
        }
        (Err(errno), _) => Err(refused(&setting.value, &path, errno)),
    }
}

/// A v2 directory whose parents hand the controllers down.
fn make_unified(branch: &Branch, needs: &parent::Needs, wishes: &[Controller]) -> Result<()> {
    for _ in 0..ATTEMPTS {
        if !needs.is_empty() || !wishes.is_empty() {
            let control = branch.leaf.parent().unwrap_or(&branch.base).join("cgroup.subtree_control");
            let ready = parent::names(&control)?;
            if !needs.iter().map(|(controller, _)| controller).chain(wishes).all(|c| ready.contains(c)) {
                make_parents(branch)?;
                match parent::hand_down(&branch.base, &branch.leaf, needs, wishes) {
                    Ok(()) => {}
                    // A parent went away with the last box in it.
                    Err(error) if error.is_gone() => continue,
                    Err(error) => return Err(error),
                }
            }
        }
        if make_once(branch)? {
            return Ok(());
        }
        make_parents(branch)?;
    }
    Err(file::system("create", &branch.leaf, Errno::NOENT))
}

/// A directory in any hierarchy, and those above it.
pub(crate) fn make(branch: &Branch) -> Result<()> {
    for _ in 0..ATTEMPTS {
        if make_once(branch)? {
            return Ok(());
        }
        make_parents(branch)?;
    }
    Err(file::system("create", &branch.leaf, Errno::NOENT))
}

/// Makes the leaf afresh; `false` where its parent is missing.
fn make_once(branch: &Branch) -> Result<bool> {
    match file::make_directory(&branch.leaf) {
        Ok(true) => return Ok(true),
        Ok(false) => {}
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(file::system("create", &branch.leaf, errno)),
    }
    // A leftover without processes goes, so that no old limit stays in force.
    match remove::remove_tree(&branch.leaf, remove::Patience::None) {
        Ok(()) => {}
        Err(Error::Busy { path, pids }) => return Err(Error::Exists { path, pids }),
        Err(error) => return Err(error),
    }
    match file::make_directory(&branch.leaf) {
        Ok(true) => Ok(true),
        Ok(false) => Err(Error::Exists { path: branch.leaf.clone(), pids: Vec::new() }),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(file::system("create", &branch.leaf, errno)),
    }
}

fn make_parents(branch: &Branch) -> Result<()> {
    for directory in between(branch) {
        match file::make_directory(directory) {
            Ok(_) => {}
            // The one above was removed in between; the caller tries again.
            Err(Errno::NOENT) if directory != branch.base => return Ok(()),
            Err(errno) => return Err(file::system("create", directory, errno)),
        }
    }
    Ok(())
}

/// The directories below the base and above the leaf, from above.
fn between(branch: &Branch) -> Vec<&Path> {
    let below = |path: &&Path| path.starts_with(&branch.base) && *path != branch.base;
    let mut list: Vec<&Path> = branch.leaf.ancestors().skip(1).take_while(below).collect();
    list.reverse();
    list
}

/// A v1 cpuset begins empty and takes no process until it has processors and memory nodes: it
/// gets those of the cgroup above, from the top down (cpuset(7)). The leaf is fresh, so that what
/// it has need not be read.
pub(crate) fn inherit_cpuset(branch: &Branch) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let mut above = branch.base.as_path();
        let mut value = None;
        for directory in between(branch) {
            let own = file::read(&directory.join(name))?;
            if own.trim().is_empty() {
                file::write(&directory.join(name), file::read(&above.join(name))?.trim())?;
            } else {
                value = Some(own);
            }
            above = directory;
        }
        let value = value.map_or_else(|| file::read(&above.join(name)), Ok)?;
        file::write(&branch.leaf.join(name), value.trim())?;
    }
    Ok(())
}

/// Removes what was made; what cannot be removed is reported beside `error`.
fn undo(error: Error, made: &[PathBuf], location: &Location) -> Error {
    let mut errors = vec![error];
    for path in made.iter().rev() {
        errors.extend(remove::remove_tree(path, remove::Patience::None).err());
    }
    remove::remove_shared_parents(location);
    match errors.len() {
        1 => errors.remove(0),
        _ => Error::Several { errors },
    }
}

impl Host {
    /// The v1 directory of a box that has none for `controller` yet, for a limit that is set later.
    pub(crate) fn add_legacy(&self, controller: Controller, location: &mut Location) -> Result<()> {
        let hierarchy = self.legacy.get(&controller).ok_or(Error::NotMounted)?;
        let name = location.any().and_then(Path::file_name).ok_or(Error::NoCgroup { goal: "limited" })?;
        let parent = hierarchy.own.join("boxr");
        let branch = Branch { base: hierarchy.own.clone(), leaf: parent.join(name) };
        make(&branch)?;
        if controller == Controller::Cpuset {
            inherit_cpuset(&branch)?;
        }
        if !location.parents.contains(&parent) {
            location.parents.push(parent);
        }
        location.legacy.insert(controller.legacy_name().into(), branch.leaf);
        Ok(())
    }
}
