//! What procfs tells of processes on this machine.

use std::collections::HashMap;
use std::path::PathBuf;

use rustix::process::Pid;

/// One process, as far as a test cares.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// Its parent's id.
    pub parent: i32,
    /// `R`, `S`, `Z`… of proc_pid_stat(5).
    pub state: char,
    /// Its short name.
    pub comm: String,
    /// Its command line.
    pub line: String,
}

/// The process `pid`, if it exists.
pub fn process(pid: Pid) -> Option<Process> {
    let dir = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let stat = std::fs::read_to_string(dir.join("stat")).ok()?;
    let (before, after) = (stat.find('(')?, stat.rfind(')')?);
    let mut fields = stat[after + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let line = std::fs::read(dir.join("cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned();
    Some(Process { pid, parent, state, comm: stat[before + 1..after].to_owned(), line })
}

/// Every process that this /proc shows.
pub fn all() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| process(Pid::from_raw(pid)?)).collect()
}

/// All processes below `root`, nearest first.
pub fn descendants(root: Pid) -> Vec<Process> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in all() {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut parents = vec![root.as_raw_nonzero().get()];
    while let Some(parent) = parents.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            parents.push(child.pid.as_raw_nonzero().get());
            found.push(child);
        }
    }
    found
}

/// The id of a namespace of a process: the target of `/proc/PID/ns/NAME`, such as `uts:[4026531838]`.
#[track_caller]
pub fn namespace(pid: Pid, name: &str) -> String {
    let path = format!("/proc/{}/ns/{name}", pid.as_raw_nonzero());
    let target = std::fs::read_link(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    target.to_string_lossy().into_owned()
}

/// A field of `/proc/PID/status`, such as `VmHWM`.
pub fn status_field(pid: Pid, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Whether a process sleeps and has asked for notices of changes in a directory, inotify(7): what happens from now on
/// does not escape it.
pub fn watches(pid: Pid) -> bool {
    let fds = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).into_iter().flatten().flatten();
    let mut links = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    links.any(|link| link.to_string_lossy().contains("inotify"))
        && process(pid).is_some_and(|found| found.state == 'S')
}
