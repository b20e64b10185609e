//! Which processes are in a box.

use std::collections::{BTreeMap, BTreeSet};

use boxr_cgroup::Cgroup;

use crate::process;
use crate::record::State;

/// Pids, in the caller's pid namespace, of the processes of a running box: by its cgroup; where it
/// has none, by its pid namespace; where it shares the caller's, the first process and its
/// descendants. In ascending order; empty for one that does not run.
pub fn of(state: &State) -> Vec<i32> {
    let Some(first) = state.process.filter(|process| process.is_alive()) else { return Vec::new() };
    let grouped = state.cgroup.as_ref().and_then(|location| Cgroup::open(location).ok()?.processes().ok());
    // In a cgroup of another pid namespace pids are 0.
    let mut pids: BTreeSet<i32> = grouped.unwrap_or_default().into_iter().filter(|pid| *pid > 0).collect();
    if pids.is_empty() {
        pids = without_cgroup(first.pid);
    }
    pids.insert(first.pid);
    pids.into_iter().collect()
}

fn without_cgroup(first: i32) -> BTreeSet<i32> {
    let theirs = pid_namespace(first);
    let own = pid_namespace(rustix::process::getpid().as_raw_nonzero().get());
    let children = children_by_parent();
    let mut found = BTreeSet::from([first]);
    // Those that `exec` put into the namespace have their parent outside.
    if theirs.is_some() && theirs != own {
        found.extend(children.values().flatten().filter(|pid| pid_namespace(**pid) == theirs));
    }
    let mut unseen: Vec<i32> = found.iter().copied().collect();
    while let Some(pid) = unseen.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if found.insert(*child) {
                unseen.push(*child);
            }
        }
    }
    found
}

fn pid_namespace(pid: i32) -> Option<u64> {
    rustix::fs::stat(format!("/proc/{pid}/ns/pid")).ok().map(|found| found.st_ino)
}

/// All processes that can be seen, by their parents.
fn children_by_parent() -> BTreeMap<i32, Vec<i32>> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ends meanwhile has no part in it.
        if let Ok(Some(found)) = process::stat(pid) {
            children.entry(found.parent).or_default().push(pid);
        }
    }
    children
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn descendants_are_found_without_a_cgroup() {
        let mut shell = Command::new("sh")
            .args(["-c", "exec 3<&0; cat <&3 & echo $!; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let grandchild: i32 = line.trim().parse().unwrap();
        let found = without_cgroup(shell.id() as i32);
        assert!(found.contains(&(shell.id() as i32)) && found.contains(&grandchild), "{found:?}");
        assert!(!found.contains(&(std::process::id() as i32)));
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
