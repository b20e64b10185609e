//! All namespaces of the host and what holds each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use boxr_sys::namespace::NamespaceKind;
use boxr_sys::nsfs;
use rustix::io::Errno;

use super::find::{open_namespace, pids, read_link};
use super::mounts::namespace_mounts;
use super::process::{self, Process};

/// A box of boxr's, as far as the view needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxOwner {
    /// Its name; what is shown.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its first process.
    pub pid: i32,
}

/// Kind and number.
pub type Key = (NamespaceKind, u64);

/// A namespace.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    /// Whether the host's first process is in it; ours, where that one cannot be read.
    pub host: bool,
    /// Processes in it, ascending.
    pub processes: Vec<i32>,
    /// Boxes and other engines' containers in it, as they are shown.
    pub holders: BTreeSet<String>,
    /// Files it is mounted on.
    pub mounts: Vec<PathBuf>,
    /// Processes that have it open without being in it.
    pub open: Vec<i32>,
    /// The next outer one, of pid and user namespaces; `None` at the top, or out of sight.
    pub parent: Option<u64>,
    /// The user namespace that owns it.
    pub owner: Option<u64>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Namespaces by kind and number.
    pub namespaces: BTreeMap<Key, Namespace>,
    /// Processes by pid.
    pub processes: BTreeMap<i32, Process>,
    /// The holder (box or container) of each process that is in one.
    pub members: HashMap<i32, String>,
    /// How many processes could not be looked at: other users'.
    pub unreadable: usize,
}

impl View {
    /// Looks at everything. Processes that end meanwhile are left out.
    ///
    /// # Errors
    /// When /proc cannot be listed.
    pub fn take(boxes: &[BoxOwner]) -> Result<Self, Errno> {
        let mut view = Self::default();
        for pid in pids()? {
            match process::read(pid) {
                // A zombie is in nothing any more.
                Ok(process) if process.namespaces.is_empty() => {}
                Ok(process) => view.add(process),
                Err(Errno::ACCESS | Errno::PERM) => view.unreadable += 1,
                Err(_) => {}
            }
        }
        view.add_mounts();
        view.mark_host();
        view.relate();
        view.name_holders(boxes);
        Ok(view)
    }

    fn add(&mut self, process: Process) {
        for key in &process.namespaces {
            self.namespaces.entry(*key).or_default().processes.push(process.pid);
        }
        for key in process.open.iter().filter(|key| !process.namespaces.contains(key)) {
            self.namespaces.entry(*key).or_default().open.push(process.pid);
        }
        self.processes.insert(process.pid, process);
    }

    fn add_mounts(&mut self) {
        // Without mountinfo the processes still tell most of it.
        for mount in namespace_mounts().unwrap_or_default() {
            self.namespaces.entry((mount.kind, mount.inode)).or_default().mounts.push(mount.path);
        }
    }

    fn mark_host(&mut self) {
        for kind in NamespaceKind::ALL {
            let link = |who: &str| read_link(&format!("/proc/{who}/ns/{}", kind.proc_name())).ok().flatten();
            if let Some(namespace) =
                link("1").or_else(|| link("self")).and_then(|key| self.namespaces.get_mut(&key))
            {
                namespace.host = true;
            }
        }
    }

    /// Finds parents and owners; those that nothing else holds are added as they are met.
    fn relate(&mut self) {
        let mut waiting: Vec<(Key, OwnedFd)> =
            self.namespaces.iter().filter_map(|(key, found)| Some((*key, open(*key, found)?))).collect();
        let mut done: BTreeSet<Key> = waiting.iter().map(|(key, _)| *key).collect();
        while let Some((key, fd)) = waiting.pop() {
            let nests = matches!(key.0, NamespaceKind::Pid | NamespaceKind::User);
            let parent = if nests { nsfs::parent(&fd).ok() } else { None };
            let owner = nsfs::owner(&fd).ok();
            let entry = self.namespaces.entry(key).or_default();
            entry.parent = parent.as_ref().and_then(number);
            entry.owner = owner.as_ref().and_then(number);
            let found =
                parent.map(|fd| (key.0, fd)).into_iter().chain(owner.map(|fd| (NamespaceKind::User, fd)));
            for (kind, fd) in found {
                if let Some(inode) = number(&fd)
                    && done.insert((kind, inode))
                {
                    waiting.push(((kind, inode), fd));
                }
            }
        }
    }

    fn name_holders(&mut self, boxes: &[BoxOwner]) {
        for process in self.processes.values() {
            let name = self.box_of(process, boxes).map(|owner| owner.name.clone());
            if let Some(name) = name.or_else(|| process.container.as_ref().map(|found| found.label())) {
                self.members.insert(process.pid, name);
            }
        }
        for namespace in self.namespaces.values_mut() {
            let all = namespace.processes.iter().chain(&namespace.open);
            namespace.holders = all.filter_map(|pid| self.members.get(pid)).cloned().collect();
        }
    }

    /// The box that a process is in: it is the box's first, or its cgroup is the box's, or its pid
    /// namespace is the box's own or below that.
    fn box_of<'a>(&self, process: &Process, boxes: &'a [BoxOwner]) -> Option<&'a BoxOwner> {
        let first = boxes.iter().find(|owner| owner.pid == process.pid);
        let by_cgroup = || {
            let found = process.container.as_ref().filter(|found| found.engine == "boxr")?;
            boxes.iter().find(|owner| owner.id == found.id)
        };
        first.or_else(by_cgroup).or_else(|| {
            let mut current = self.of_process(process.pid, NamespaceKind::Pid);
            while let Some(inode) = current {
                let namespace = self.namespaces.get(&(NamespaceKind::Pid, inode))?;
                // Boxes that share one: it is the one's whose first process is its first.
                let lowest = namespace.processes.first();
                if let Some(owner) = boxes.iter().find(|owner| lowest == Some(&owner.pid)) {
                    return (!namespace.host).then_some(owner);
                }
                current = namespace.parent;
            }
            None
        })
    }

    /// The number of a process's namespace.
    pub fn of_process(&self, pid: i32, kind: NamespaceKind) -> Option<u64> {
        let process = self.processes.get(&pid)?;
        process.namespaces.iter().find(|(other, _)| *other == kind).map(|(_, inode)| *inode)
    }

    /// The process to show for a namespace: the lowest pid.
    pub fn first(&self, namespace: &Namespace) -> Option<&Process> {
        namespace.processes.first().and_then(|pid| self.processes.get(pid))
    }
}

fn number(fd: &OwnedFd) -> Option<u64> {
    rustix::fs::fstat(fd).ok().map(|found| found.st_ino)
}

/// Opens it by way of whatever holds it; `None` when all of that is gone or refused.
fn open(key: Key, namespace: &Namespace) -> Option<OwnedFd> {
    let processes = namespace.processes.iter().take(3);
    let links = processes.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/{}", key.0.proc_name())));
    links.chain(namespace.mounts.iter().cloned()).find_map(|path| {
        let (fd, kind, inode) = open_namespace(&path).ok()?;
        ((kind, inode) == key).then_some(fd)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_links() {
        let view = View::take(&[]).unwrap();
        let pid = std::process::id() as i32;
        for kind in NamespaceKind::ALL {
            let Ok(link) = std::fs::read_link(format!("/proc/self/ns/{}", kind.proc_name())) else {
                continue;
            };
            let inode = view.of_process(pid, kind).unwrap();
            assert_eq!(link.to_str().unwrap(), format!("{}:[{inode}]", kind.proc_name()));
            assert!(view.namespaces[&(kind, inode)].processes.contains(&pid));
        }
    }

    #[test]
    fn owners_are_user_namespaces_that_are_listed() {
        let view = View::take(&[]).unwrap();
        let owners: Vec<u64> = view.namespaces.values().filter_map(|namespace| namespace.owner).collect();
        assert!(owners.iter().all(|owner| view.namespaces.contains_key(&(NamespaceKind::User, *owner))));
    }

    #[test]
    fn the_first_process_of_a_box_is_its_member() {
        let pid = std::process::id() as i32;
        let view = View::take(&[BoxOwner { name: "web".into(), id: "1".into(), pid }]).unwrap();
        assert_eq!(view.members.get(&pid).map(String::as_str), Some("web"));
        let inode = view.of_process(pid, NamespaceKind::Network).unwrap();
        assert!(view.namespaces[&(NamespaceKind::Network, inode)].holders.contains("web"));
    }
}
