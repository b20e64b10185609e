//! The plan in words, for `--explain`.

use std::fmt::Write as _;
use std::path::Path;

use boxr_sys::mount::attr;

use super::{CgroupPlan, LandlockPlan, MountPlan, MountSource, Plan, RootEntry, RootPlan};
use crate::idmap::{Extent, IdMap, Writer};

impl Plan {
    /// What will be done, in order, a line each.
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.describe_namespaces(&mut lines);
        self.describe_cgroup(&mut lines);
        if let Some(name) = &self.hostname {
            lines.push(format!("host name: {name}"));
        }
        if let Some(name) = &self.domainname {
            lines.push(format!("domain name: {name}"));
        }
        for (clock, secs, nanos) in &self.time_offsets {
            lines.push(format!("clock: {clock} is shifted by {secs} s {nanos} ns"));
        }
        self.describe_files(&mut lines);
        self.describe_process(&mut lines);
        lines
    }

    fn describe_namespaces(&self, lines: &mut Vec<String>) {
        for kind in boxr_sys::namespace::NamespaceKind::ALL {
            let how = if self.makes(kind) {
                "new"
            } else if self.joins(kind) {
                "joined"
            } else {
                "the caller's"
            };
            lines.push(format!("namespace {kind}: {how}"));
        }
        if let Some(map) = &self.idmap {
            describe_map(map, lines);
        }
    }

    fn describe_cgroup(&self, lines: &mut Vec<String>) {
        match &self.cgroup {
            CgroupPlan::Inherit => lines.push("cgroup: the caller's".into()),
            CgroupPlan::New(plan) => {
                lines.extend(plan.describe().into_iter().map(|line| format!("cgroup: {line}")));
            }
            CgroupPlan::Existing(_) => lines.push("cgroup: that of the box".into()),
        }
    }

    fn describe_files(&self, lines: &mut Vec<String>) {
        match &self.root {
            RootPlan::Unchanged => lines.push("root: as it is in the mount namespace".into()),
            RootPlan::HostTree { read_only, .. } => {
                lines.push(format!(
                    "root: the host's file tree{}",
                    if *read_only { ", read-only" } else { "" }
                ));
            }
            RootPlan::Directory { path, read_only, entry, .. } => {
                let how = if *read_only { ", read-only" } else { "" };
                let entry = match entry {
                    RootEntry::Pivot => "pivot_root",
                    RootEntry::MoveAndChroot => "moved over the old root, chroot",
                };
                lines.push(format!("root: {} ({entry}{how})", path.display()));
            }
            RootPlan::Chroot { path } => lines.push(format!("root: {} (chroot)", path.display())),
        }
        lines.extend(self.mounts.iter().map(describe_mount));
        for device in &self.devices {
            lines.push(format!("device: {} {}:{}", device.path.display(), device.major, device.minor));
        }
        if let Some(landlock) = &self.confinement.landlock {
            describe_landlock(landlock, lines);
        }
        if let Some(port) = self.confinement.listener {
            lines.push(format!("proxy: boxr's, outside, at 127.0.0.1:{port} inside"));
        }
        for device in &self.net_devices {
            lines.push(format!("network device: {} as {}", device.host, device.name));
        }
        lines.extend(self.masked.iter().map(|path| format!("masked: {}", path.display())));
        lines.extend(self.read_only_paths.iter().map(|path| format!("read-only: {}", path.display())));
    }

    fn describe_process(&self, lines: &mut Vec<String>) {
        let process = &self.process;
        for (resource, limit) in &process.rlimits {
            let show = |v: Option<u64>| v.map_or_else(|| "unlimited".to_owned(), |v| v.to_string());
            lines.push(format!("limit: {resource:?} {}:{}", show(limit.current), show(limit.maximum)));
        }
        if let Some(score) = process.oom_score_adj {
            lines.push(format!("oom_score_adj: {score}"));
        }
        match &process.user {
            None => lines.push("user: the caller".into()),
            Some(user) => {
                let mut line = format!("user: {}:{}", user.uid, user.gid);
                match user.groups.as_deref() {
                    None => line.push_str(", groups kept"),
                    Some([]) => line.push_str(", no further groups"),
                    Some(groups) => {
                        for group in groups {
                            // Writing to a String cannot fail.
                            write!(line, " +{group}").unwrap_or_default();
                        }
                    }
                }
                lines.push(line);
            }
        }
        match &process.capabilities {
            None => lines.push("capabilities: as the user and its namespaces have them".into()),
            Some(sets) => lines.push(format!("capabilities: {}", sets.bounding)),
        }
        if process.no_new_privileges {
            lines.push("no new privileges".into());
        }
        if let Some(seccomp) = &process.seccomp {
            lines.push(format!("filter of system calls: {} instructions", seccomp.filter.program.len()));
        }
        if let Some(dir) = &process.workdir {
            lines.push(format!("working directory: {}", dir.display()));
        }
        if self.init {
            lines.push("first process: boxr's init, which forwards signals and reaps".into());
        }
        if self.stdio.is_terminal() {
            lines.push("terminal: a pseudo-terminal of its own".into());
        }
        let args: Vec<_> = process.argv.strings().iter().map(|arg| arg.to_string_lossy()).collect();
        lines.push(format!("execute: {}", args.join(" ")));
    }
}

fn describe_map(map: &IdMap, lines: &mut Vec<String>) {
    let show = |name: &str, extents: &[Extent], lines: &mut Vec<String>| {
        for e in extents {
            let text = match e.size {
                1 => format!("{name} {} is {} outside", e.container, e.host),
                size => format!(
                    "{name}s {}-{} are {}-{} outside",
                    e.container,
                    u64::from(e.container) + u64::from(size) - 1,
                    e.host,
                    u64::from(e.host) + u64::from(size) - 1
                ),
            };
            lines.push(format!("id map: {text}"));
        }
    };
    show("uid", &map.uids, lines);
    show("gid", &map.gids, lines);
    lines.push(format!(
        "id map written by: {}",
        match map.writer {
            Writer::Boxr => "boxr",
            Writer::FirstProcess => "the first process itself (one id each; setgroups is given up)",
            Writer::Helpers => "newuidmap and newgidmap",
            Writer::Above => "the process that makes the first one, from the user namespace above",
        }
    ));
}

fn describe_landlock(landlock: &LandlockPlan, lines: &mut Vec<String>) {
    use boxr_sys::landlock::{file, scope};
    for (path, rights) in &landlock.keeps {
        let how = if rights & file::WRITE == 0 { "read" } else { "read and write" };
        lines.push(format!("Landlock: {how} {}", path.display()));
    }
    let scopes = [(scope::ABSTRACT_SOCKETS, "abstract sockets"), (scope::SIGNALS, "signals")];
    for (_, what) in scopes.iter().filter(|(bit, _)| landlock.scopes & bit != 0) {
        lines.push(format!("Landlock: no {what} of others"));
    }
}

fn describe_mount(mount: &MountPlan) -> String {
    let what = match &mount.source {
        MountSource::Bind { path, recursive, .. } => {
            format!("{} (bind{})", path.display(), if *recursive { ", with all below" } else { "" })
        }
        MountSource::Filesystem { kind, .. } => format!("new {kind}"),
        MountSource::Tree { of, .. } => of.clone(),
        MountSource::Cgroups => "the container's cgroups".to_owned(),
        MountSource::Remount { .. } if mount.destination == Path::new("/") => "all that is there".to_owned(),
        MountSource::Remount { .. } => "what is there, anew".to_owned(),
    };
    let set = mount.attributes.set | mount.attributes.recursive_set;
    let words: String = [
        (attr::RDONLY, " read-only"),
        (attr::NOSUID, " nosuid"),
        (attr::NODEV, " nodev"),
        (attr::NOEXEC, " noexec"),
    ]
    .iter()
    .filter(|(bit, _)| set & bit != 0)
    .map(|(_, word)| *word)
    .collect();
    format!("mount: {} on {}{words}", what, mount.destination.display())
}
