//! Carrying a plan out: directories, controllers, limits; undone whole when a step fails.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::cgroup::{Cgroup, processes_below};
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::file;
use crate::host::{Hierarchy, Host};
use crate::parent;
use crate::plan::{Branch, Existing, Plan};
use crate::resources::{Missing, Setting};
use crate::{Location, devices, freeze, remove};

/// How often a directory is made again that somebody else removed in between, as the last of
/// several boxes takes their common parent along.
const ATTEMPTS: usize = 16;

impl Plan {
    /// Makes the directories and writes the limits, before any process is in them.
    ///
    /// A scope of systemd's is not begun without a process: it comes into being with
    /// [`Cgroup::adopt`], as long as [`Cgroup::waits_for_process`].
    ///
    /// # Errors
    /// The step that failed, with its file; what had been made is removed again.
    pub fn create(&self) -> Result<Cgroup> {
        if self.scope.is_some() {
            return Ok(Cgroup::waiting(self.clone()));
        }
        let mut left = ATTEMPTS;
        loop {
            let mut made = Vec::new();
            match self.create_all(&mut made) {
                Ok(cgroup) => return Ok(cgroup),
                Err(error) => {
                    left -= 1;
                    let lost_parent = self.may_have_lost_parent(&error);
                    let error = undo(error, &made, &self.location);
                    if left == 0 || !lost_parent {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Whether a file may be missing because the last of several boxes took their common parent along
    /// after it had been told to hand controllers down, and this box has made it again without.
    fn may_have_lost_parent(&self, error: &Error) -> bool {
        let missing = matches!(error, Error::Unsupported { .. } | Error::Write { errno: Errno::NOENT, .. });
        let goes = !self.location.parents.is_empty() || !self.location.enclosing.is_empty();
        missing && !self.needs.is_empty() && goes
    }

    fn create_all(&self, made: &mut Vec<PathBuf>) -> Result<Cgroup> {
        if let Some((branch, base)) = &self.unified {
            parent::evacuate(base)?;
            make_unified(branch, &self.needs, &self.wishes, made)?;
        }
        for branch in &self.legacy {
            make(branch, made)?;
            let is_cpuset = self.location.legacy.get(Controller::Cpuset.legacy_name()) == Some(&branch.leaf);
            if is_cpuset {
                inherit_cpuset(branch)?;
            }
        }
        let mut cgroup = Cgroup::open(&self.location)?;
        self.furnish(&mut cgroup, made)?;
        Ok(cgroup)
    }

    /// Limits, device rules and ownership of a cgroup whose directories are there; new ones go to `made`.
    pub(crate) fn furnish(&self, cgroup: &mut Cgroup, made: &mut Vec<PathBuf>) -> Result<()> {
        apply(&self.settings, cgroup.location())?;
        if let Some(rules) = &self.device_rules {
            let directory = cgroup.unified().ok_or(Error::NoCgroup { goal: "kept from devices" })?;
            let fresh = made.iter().any(|path| path == directory.1);
            devices::enforce(rules, directory, fresh)?;
        }
        let Some(leaf) = cgroup.location().unified.clone() else { return Ok(()) };
        let inner = self.delegate.as_ref().map(|name| leaf.join(name));
        if let Some(inner) = &inner {
            let outer =
                Branch { base: leaf.clone(), leaf: inner.clone(), existing: Existing::Use, enclosing: None };
            make(&outer, made)?;
        }
        if let Some(owner) = self.owner {
            for directory in [&leaf].into_iter().chain(&inner) {
                parent::give(directory, owner)?;
            }
        }
        cgroup.set_inner(inner);
        Ok(())
    }
}

/// Writes `settings`, in order; those that follow each other into the same file by one descriptor.
pub(crate) fn apply(settings: &[Setting], location: &Location) -> Result<()> {
    let same_file = |a: &Setting, b: &Setting| (a.controller, &a.file) == (b.controller, &b.file);
    for run in settings.chunk_by(same_file) {
        let Some(directory) = location.directory(run[0].controller) else {
            return Err(Error::NoCgroup { goal: "limited" });
        };
        let path = directory.join(&*run[0].file);
        let opened = file::open_for_writing(&path);
        for setting in run {
            let written =
                opened.as_ref().map_err(|errno| *errno).and_then(|fd| file::write_to(fd, &setting.value));
            written.or_else(|errno| otherwise(setting, errno, directory, &path))?;
        }
    }
    Ok(())
}

/// What becomes of a setting that could not be written to `path`.
fn otherwise(setting: &Setting, errno: Errno, directory: &Path, path: &Path) -> Result<()> {
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
    match (errno, &setting.missing) {
        (Errno::NOENT, Missing::Skip) => Ok(()),
        (Errno::NOENT, Missing::Use(name, value)) => {
            let path = directory.join(name);
            file::write_raw(&path, value).map_err(|errno| refused(value, &path, errno))
        }
        (errno, _) => Err(refused(&setting.value, path, errno)),
    }
}

/// A v2 directory whose parents hand the controllers down.
fn make_unified(
    branch: &Branch,
    needs: &parent::Needs,
    wishes: &[Controller],
    made: &mut Vec<PathBuf>,
) -> Result<()> {
    // What is not offered is not worth asking for at every level.
    let wishes = match wishes {
        [] => Vec::new(),
        wishes => {
            let offered = parent::names(&branch.base.join("cgroup.controllers"))?;
            wishes.iter().filter(|wish| offered.contains(wish)).copied().collect()
        }
    };
    for _ in 0..ATTEMPTS {
        if !needs.is_empty() || !wishes.is_empty() {
            let control = branch.leaf.parent().unwrap_or(&branch.base).join("cgroup.subtree_control");
            let ready = parent::names(&control)?;
            if !needs.iter().map(|(controller, _)| controller).chain(&wishes).all(|c| ready.contains(c)) {
                make_parents(branch, made)?;
                match parent::hand_down(&branch.base, &branch.leaf, needs, &wishes) {
                    Ok(()) => {}
                    // A parent went away with the last box in it.
                    Err(error) if error.is_gone() => continue,
                    Err(error) => return Err(error),
                }
            }
        }
        if make_once(branch, made)? {
            return Ok(());
        }
        make_parents(branch, made)?;
    }
    Err(file::system("create", &branch.leaf, Errno::NOENT))
}

/// A directory in any hierarchy, and those above it; new ones go to `made`.
pub(crate) fn make(branch: &Branch, made: &mut Vec<PathBuf>) -> Result<()> {
    for _ in 0..ATTEMPTS {
        if make_once(branch, made)? {
            return Ok(());
        }
        make_parents(branch, made)?;
    }
    Err(file::system("create", &branch.leaf, Errno::NOENT))
}

/// [`make`] for a hierarchy of `controller`, with what that needs before anybody can be in it.
pub(crate) fn make_below(branch: &Branch, controller: Controller) -> Result<()> {
    make(branch, &mut Vec::new())?;
    if controller == Controller::Cpuset { inherit_cpuset(branch) } else { Ok(()) }
}

/// Makes the leaf; `false` where its parent is missing.
fn make_once(branch: &Branch, made: &mut Vec<PathBuf>) -> Result<bool> {
    let leaf = &branch.leaf;
    match file::make_directory(leaf) {
        Ok(true) => {
            made.push(leaf.clone());
            return Ok(true);
        }
        Ok(false) => {}
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(file::system("create", leaf, errno)),
    }
    match branch.existing {
        Existing::Use => usable(leaf).map(|()| true),
        Existing::Replace => replace(leaf, made),
    }
}

/// A leftover without processes goes, so that no old limit stays in force.
fn replace(leaf: &Path, made: &mut Vec<PathBuf>) -> Result<bool> {
    match remove::remove_tree(leaf, remove::Patience::None) {
        Ok(()) => {}
        Err(Error::Busy { path, pids }) => return Err(Error::Exists { path, pids }),
        Err(error) => return Err(error),
    }
    match file::make_directory(leaf) {
        Ok(true) => {
            made.push(leaf.to_path_buf());
            Ok(true)
        }
        Ok(false) => Err(Error::Exists { path: leaf.to_path_buf(), pids: Vec::new() }),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(file::system("create", leaf, errno)),
    }
}

/// Whether a directory that somebody made beforehand can be a container's.
fn usable(leaf: &Path) -> Result<()> {
    let pids = processes_below(leaf)?;
    if !pids.is_empty() {
        return Err(Error::Exists { path: leaf.to_path_buf(), pids });
    }
    if freeze::is_frozen(leaf)? {
        return Err(Error::Frozen { path: leaf.to_path_buf() });
    }
    Ok(())
}

fn make_parents(branch: &Branch, made: &mut Vec<PathBuf>) -> Result<()> {
    if let Some(path) = branch.enclosing.clone().filter(|path| !file::exists(path)) {
        return Err(Error::Gone { path });
    }
    let kept = |directory: &&Path| branch.enclosing.as_ref().is_some_and(|path| path.starts_with(directory));
    for directory in between(branch).into_iter().filter(|directory| !kept(directory)) {
        match file::make_directory(directory) {
            Ok(true) => made.push(directory.to_path_buf()),
            Ok(false) => {}
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
pub(crate) fn undo(error: Error, made: &[PathBuf], location: &Location) -> Error {
    let mut errors = vec![error];
    for path in made.iter().rev().filter(|path| !location.parents.contains(path)) {
        match rustix::fs::rmdir(path) {
            Ok(()) | Err(Errno::NOENT | Errno::NODEV) => {}
            // Somebody else's is below it by now.
            Err(Errno::NOTEMPTY | Errno::BUSY) if !location.directories().contains(&**path) => {}
            Err(errno) => errors.push(file::system("remove", path, errno)),
        }
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
        let branch = self.beside(hierarchy, location)?;
        make_below(&branch, controller)?;
        let parent = branch.leaf.parent().map(Path::to_path_buf);
        if let Some(parent) = parent.filter(|parent| !location.parents.contains(parent))
            && !location.parents.is_empty()
        {
            location.parents.push(parent);
        }
        // A pod's member: its pod is not in this hierarchy, or the member would be, and nobody else removes what is
        // above it. It goes with the last member.
        let above: Vec<PathBuf> = branch.leaf.ancestors().skip(1).take(2).map(Path::to_path_buf).collect();
        if location.parents.is_empty() && above.last().is_some_and(|directory| directory.ends_with("boxr")) {
            location.enclosing.extend(above);
        }
        location.legacy.insert(controller.legacy_name().into(), branch.leaf);
        Ok(())
    }

    /// Where in `hierarchy` a box goes that is elsewhere already: at the path that it has there, or below
    /// `boxr` if that is where it is.
    fn beside(&self, hierarchy: &Hierarchy, location: &Location) -> Result<Branch> {
        let known = location.any().ok_or(Error::NoCgroup { goal: "limited" })?;
        if !location.parents.is_empty() {
            let name = known.file_name().unwrap_or_default();
            let leaf = hierarchy.own.join("boxr").join(name);
            return Ok(Branch {
                base: hierarchy.own.clone(),
                leaf,
                existing: Existing::Replace,
                enclosing: None,
            });
        }
        let mounts = self.unified.iter().chain(self.legacy.values()).map(|hierarchy| &hierarchy.mount);
        let relative = mounts
            .filter_map(|mount| known.strip_prefix(mount).ok())
            .min_by_key(|relative| relative.as_os_str().len())
            .unwrap_or(known);
        let relative = relative.strip_prefix("/").unwrap_or(relative);
        let leaf = hierarchy.mount.join(relative);
        Ok(Branch { base: hierarchy.mount.clone(), leaf, existing: Existing::Use, enclosing: None })
    }
}
