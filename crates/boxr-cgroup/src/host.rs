//! What this host offers: which hierarchies are mounted where, and where in them we are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::file;

/// `f_type` of a cgroup2 file system (`<linux/magic.h>`).
const CGROUP2_SUPER_MAGIC: rustix::fs::FsWord = 0x6367_7270;

/// Which versions of cgroups are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Only version 2.
    Unified,
    /// Version 2 beside version 1, which has most of the controllers.
    Hybrid,
    /// Only version 1.
    Legacy,
    /// None.
    None,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The directory of the cgroup that this process is in; [`Hierarchy::mount`] where that is
    /// outside of what is mounted.
    pub own: PathBuf,
}

/// The cgroup hierarchies of this host, as this process sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Version 2.
    pub unified: Option<Hierarchy>,
    /// Version 1, by controller.
    pub legacy: BTreeMap<Controller, Hierarchy>,
    /// Hierarchies of version 1 without controllers, by name, but systemd's own, which is
    /// [`Controller::Systemd`].
    pub named: BTreeMap<String, Hierarchy>,
}

impl Host {
    /// Looks where everybody has the v2 tree, and else reads `/proc/self/mountinfo`, which is long where many
    /// containers run; then `/proc/self/cgroup`. 4 system calls in the first case, 5 below the root.
    ///
    /// # Errors
    /// When these files cannot be read. No hierarchy at all is [`Layout::None`], not an error.
    pub fn detect() -> Result<Self> {
        Self::as_seen_by("self")
    }

    fn as_seen_by(process: &str) -> Result<Self> {
        let own = file::read(Path::new(&format!("/proc/{process}/cgroup")))?;
        if let Some(host) = Self::in_the_usual_place(&own) {
            return Ok(host);
        }
        Ok(Self::from_text(&file::read_all(Path::new("/proc/self/mountinfo"))?, &own))
    }

    /// The v2 tree alone, at its usual place. `None` also where only a part of it is mounted there, as in
    /// containers without a cgroup namespace: the own cgroup is then not where its path says.
    fn in_the_usual_place(own: &str) -> Option<Self> {
        const USUAL: &str = "/sys/fs/cgroup";
        let filesystem = rustix::fs::statfs(USUAL).ok()?.f_type;
        if filesystem != CGROUP2_SUPER_MAGIC {
            return None;
        }
        let mount = PathBuf::from(USUAL);
        let path = Own::parse(own).path("");
        let directory = own_directory(&mount, "/", path);
        let outside = directory == mount && path != "/";
        if outside || (directory != mount && !file::exists(&directory)) {
            return None;
        }
        Some(Self { unified: Some(Hierarchy { mount, own: directory }), ..Self::default() })
    }

    /// As [`Host::detect`], with [`Hierarchy::own`] being where `pid` is.
    ///
    /// # Errors
    /// As [`Host::detect`]; when the process is gone.
    pub(crate) fn of_process(pid: i32) -> Result<Self> {
        Self::as_seen_by(&pid.to_string())
    }

    /// As [`Host::detect`], from the text of the two files (proc_pid_mountinfo(5), cgroups(7)).
    fn from_text(mountinfo: &str, own: &str) -> Self {
        let (mut host, own) = (Self::default(), Own::parse(own));
        let mounts: Vec<Mount<'_>> = mountinfo.lines().filter_map(Mount::parse).collect();
        for mount in mounts.iter().filter(|mount| mount.filesystem.starts_with("cgroup")) {
            if hidden(mount, &mounts) {
                continue;
            }
            let point = PathBuf::from(unescape(mount.point));
            if mount.filesystem == "cgroup2" {
                let own = own_directory(&point, mount.root, own.path(""));
                host.unified.get_or_insert(Hierarchy { mount: point, own });
                continue;
            }
            for controller in mount.options.split(',').filter_map(Controller::from_legacy_name) {
                let own = own_directory(&point, mount.root, own.path(controller.legacy_name()));
                host.legacy.entry(controller).or_insert(Hierarchy { mount: point.clone(), own });
            }
            let is_other =
                |option: &&str| option.starts_with("name=") && Controller::from_legacy_name(option).is_none();
            for option in mount.options.split(',').filter(is_other) {
                let own = own_directory(&point, mount.root, own.path(option));
                let name = option.trim_start_matches("name=").to_owned();
                host.named.entry(name).or_insert(Hierarchy { mount: point.clone(), own });
            }
        }
        host
    }

    /// Which versions are mounted.
    pub fn layout(&self) -> Layout {
        // systemd's own hierarchy has no controllers.
        let legacy = self.legacy.keys().any(|controller| *controller != Controller::Systemd);
        match (self.unified.is_some(), !legacy) {
            (true, true) => Layout::Unified,
            (true, false) => Layout::Hybrid,
            (false, false) => Layout::Legacy,
            (false, true) => Layout::None,
        }
    }

    /// The v2 hierarchy, or [`Error::NotMounted`].
    pub(crate) fn unified(&self) -> Result<&Hierarchy> {
        self.unified.as_ref().ok_or(Error::NotMounted)
    }
}

/// The fields of a mountinfo line that matter here.
struct Mount<'a> {
    id: u64,
    parent: u64,
    root: &'a str,
    point: &'a str,
    filesystem: &'a str,
    /// Options of the filesystem: the controllers of a v1 hierarchy.
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        // Fields are so short that memchr(3), by which one letter alone is looked for, takes longer.
        let mut fields = line.split([' ']);
        let (id, parent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (root, point) = (fields.nth(1)?, fields.next()?);
        fields.find(|field| *field == "-")?;
        Some(Self { id, parent, root, point, filesystem: fields.next()?, options: fields.nth(1)? })
    }

    /// Whether `self` was mounted over the root of `other`.
    fn covers(&self, other: &Self) -> bool {
        self.parent == other.id && self.point == other.point && self.id != other.id
    }
}

/// Whether no path leads to `mount`: it, or a mount it is on, has another on top. Such is what a
/// private cgroup v2 view hides that was mounted over the host's /sys/fs/cgroup.
fn hidden(mount: &Mount<'_>, mounts: &[Mount<'_>]) -> bool {
    let covered = |lower: &Mount<'_>| mounts.iter().any(|upper| upper.covers(lower));
    if covered(mount) {
        return true;
    }
    let mut current = mount;
    // Bounded, should the file ever describe a circle.
    for _ in 0..mounts.len() {
        let Some(parent) = mounts.iter().find(|other| other.id == current.parent) else { return false };
        if !current.covers(parent) && covered(parent) {
            return true;
        }
        current = parent;
    }
    false
}

/// The lines of /proc/self/cgroup: controllers (none for v2), and the path.
struct Own<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Own<'a> {
    fn parse(text: &'a str) -> Self {
        let line = |line: &'a str| {
            let mut parts = line.splitn(3, [':']).skip(1);
            Some((parts.next()?, parts.next()?))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The path of `controller`, empty for v2.
    fn path(&self, controller: &str) -> &'a str {
        let has = |controllers: &str| {
            controllers == controller
                || controllers.contains(',') && controllers.split(',').any(|name| name == controller)
        };
        self.0.iter().find(|(controllers, _)| has(controllers)).map_or("/", |(_, path)| path)
    }
}

/// Where the cgroup `path` is below a mount of `root` at `point`. Paths outside of what is mounted
/// (another cgroup namespace's, or removed) give the mount point.
fn own_directory(point: &Path, root: &str, path: &str) -> PathBuf {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let root = unescape(root);
    let inside = match root.as_str() {
        "/" => Some(path),
        root => path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/')),
    };
    let relative = inside.map(|inside| inside.trim_start_matches('/')).unwrap_or_default();
    if relative.is_empty() || relative.split('/').any(|part| part == "..") {
        return point.to_path_buf();
    }
    point.join(relative)
}

/// Undoes the octal escapes of mountinfo: space, tab, newline, backslash.
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
22 1 254:0 / / rw - ext4 /dev/root rw
31 22 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const OWN: &str = "2:cpu,cpuacct:/\n4:memory:/a/b\n1:name=systemd:/x\n0::/user\n";

    #[test]
    fn hybrid_layout_with_joint_controllers() {
        let host = Host::from_text(HYBRID, OWN);
        assert_eq!(host.layout(), Layout::Hybrid);
        assert_eq!(host.legacy.len(), 4);
        assert_eq!(host.legacy[&Controller::Systemd].own, Path::new("/sys/fs/cgroup/systemd/x"));
        assert_eq!(host.legacy[&Controller::Memory].own, Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(host.legacy[&Controller::Cpuacct].own, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(host.unified.unwrap().own, Path::new("/sys/fs/cgroup/unified/user"));
    }

    #[test]
    fn a_v2_view_over_the_hosts_hides_it() {
        let text = format!("{HYBRID}50 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let host = Host::from_text(&text, OWN);
        assert_eq!(host.layout(), Layout::Unified);
        assert_eq!(host.unified.unwrap().own, Path::new("/sys/fs/cgroup/user"));
    }

    #[test]
    fn a_bind_of_a_subtree_is_taken_off_the_path() {
        let text = "50 22 0:38 /user /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        let host = Host::from_text(text, "0::/user/me\n");
        assert_eq!(host.unified.unwrap().own, Path::new("/sys/fs/cgroup/me"));
        let outside = Host::from_text(text, "0::/userland\n");
        assert_eq!(outside.unified.unwrap().own, Path::new("/sys/fs/cgroup"));
        let above = Host::from_text("50 22 0:38 / /cg rw - cgroup2 none rw\n", "0::/../x\n");
        assert_eq!(above.unified.unwrap().own, Path::new("/cg"));
    }

    #[test]
    fn nothing_mounted() {
        assert_eq!(Host::from_text("", "0::/\n").layout(), Layout::None);
    }
}
