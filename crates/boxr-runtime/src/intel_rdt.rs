//! `linux.intelRdt`: the share of caches and memory bandwidth, in the kernel's resctrl filesystem
//! (Documentation/filesystems/resctrl.rst).

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{At, Step, StepError};

/// Where resctrl is mounted.
pub const MOUNT: &str = "/sys/fs/resctrl";

/// What the container's first process becomes a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntelRdt {
    /// The mounted filesystem.
    pub root: PathBuf,
    /// Its group: a directory name, or empty for the group of the whole system.
    pub group: String,
    /// Whose group it is.
    pub owner: Owner,
    /// Lines for its `schemata`; none leaves them.
    pub schemata: Vec<String>,
    /// Name of a monitoring group of its own.
    pub monitor: Option<String>,
}

/// Whose a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The container's: it is made, and removed with it.
    Container,
    /// Somebody else's (`closID`): it stays.
    Others,
}

/// What has to be removed with the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftovers(Vec<PathBuf>);

impl IntelRdt {
    fn directory(&self) -> PathBuf {
        self.root.join(&self.group)
    }

    fn monitor_directory(&self) -> Option<PathBuf> {
        self.monitor.as_ref().map(|name| self.directory().join("mon_groups").join(name))
    }

    /// Makes what is missing and puts the process `pid` in.
    pub(crate) fn enter(&self, pid: i32) -> Result<(), StepError> {
        let directory = self.directory();
        let exists = directory.is_dir();
        if !exists {
            if self.owner == Owner::Others && self.schemata.is_empty() {
                return Err(StepError::new(Step::IntelRdt, directory.display(), Errno::NOENT));
            }
            fs::create_dir(&directory).at(Step::IntelRdt, directory.display())?;
        }
        let schemata = directory.join("schemata");
        if exists && self.owner == Owner::Others {
            self.compare(&schemata)?;
        } else if !self.schemata.is_empty() {
            let text = self.schemata.join("\n") + "\n";
            fs::write(&schemata, text).at(Step::IntelRdt, schemata.display())?;
        }
        let mut members = vec![directory.join("tasks")];
        if let Some(monitor) = self.monitor_directory() {
            fs::create_dir(&monitor).at(Step::IntelRdt, monitor.display())?;
            members.push(monitor.join("tasks"));
        }
        members
            .iter()
            .try_for_each(|tasks| fs::write(tasks, pid.to_string()).at(Step::IntelRdt, tasks.display()))
    }

    /// A group of others is not changed: what is asked for must be what it has.
    fn compare(&self, schemata: &Path) -> Result<(), StepError> {
        if self.schemata.is_empty() {
            return Ok(());
        }
        let text = fs::read_to_string(schemata).at(Step::IntelRdt, schemata.display())?;
        let plain = |line: &str| line.split_whitespace().collect::<String>();
        let has: Vec<_> = text.lines().map(plain).collect();
        match self.schemata.iter().find(|line| !has.contains(&plain(line))) {
            None => Ok(()),
            Some(line) => {
                let what = format!("{} (it does not have {line})", schemata.display());
                Err(StepError::new(Step::IntelRdt, what, Errno::INVAL))
            }
        }
    }

    /// What is to be removed when the container is.
    pub fn leftovers(&self) -> Leftovers {
        let group = (self.owner == Owner::Container).then(|| self.directory());
        Leftovers(self.monitor_directory().into_iter().chain(group).collect())
    }
}

impl Leftovers {
    /// Removes them; their members move up.
    ///
    /// # Errors
    /// rmdir(2). What is gone already is no error.
    pub fn remove(&self) -> Result<(), StepError> {
        self.0.iter().try_for_each(|directory| match fs::remove_dir(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.at(Step::IntelRdt, directory.display()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plain directory: the kernel makes the files of a new group itself.
    fn group(root: &Path, name: &str) {
        fs::create_dir_all(root.join(name).join("mon_groups")).unwrap();
        fs::write(root.join(name).join("schemata"), "    MB:0=100;1=100\n    L3:0=ff;1=ff\n").unwrap();
    }

    fn plan(root: &Path, owner: Owner, schemata: &[&str]) -> IntelRdt {
        IntelRdt {
            root: root.to_owned(),
            group: "gold".into(),
            owner,
            schemata: schemata.iter().map(|line| (*line).to_owned()).collect(),
            monitor: None,
        }
    }

    #[test]
    fn a_group_of_its_own_is_made_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let plan = plan(root.path(), Owner::Container, &["L3:0=f", "MB:0=50"]);
        plan.enter(42).unwrap();
        let read = |name: &str| fs::read_to_string(root.path().join("gold").join(name)).unwrap();
        assert_eq!(read("schemata"), "L3:0=f\nMB:0=50\n");
        assert_eq!(read("tasks"), "42");
        assert_eq!(plan.leftovers(), Leftovers(vec![root.path().join("gold")]));
    }

    #[test]
    fn a_group_of_others_stays_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(plan(root.path(), Owner::Others, &[]).enter(1).unwrap_err().errno, Errno::NOENT);
        group(root.path(), "gold");
        plan(root.path(), Owner::Others, &[]).enter(1).unwrap();
        plan(root.path(), Owner::Others, &["L3:0=ff;1=ff"]).enter(1).unwrap();
        let refused = plan(root.path(), Owner::Others, &["L3:0=f"]).enter(1).unwrap_err();
        assert!(refused.to_string().contains("L3:0=f"), "{refused}");
        assert_eq!(plan(root.path(), Owner::Others, &[]).leftovers(), Leftovers::default());
    }

    #[test]
    fn a_monitoring_group_comes_and_goes() {
        let root = tempfile::tempdir().unwrap();
        group(root.path(), "gold");
        let plan = IntelRdt { monitor: Some("c1".into()), ..plan(root.path(), Owner::Others, &[]) };
        plan.enter(7).unwrap();
        let monitor = root.path().join("gold/mon_groups/c1");
        assert_eq!(fs::read_to_string(monitor.join("tasks")).unwrap(), "7");
        // In resctrl the files go with their directory.
        fs::remove_file(monitor.join("tasks")).unwrap();
        plan.leftovers().remove().unwrap();
        plan.leftovers().remove().unwrap();
        assert!(!monitor.exists());
    }
}
