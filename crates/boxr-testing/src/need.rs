//! What a test needs of the machine, and whether it is there.

use std::path::{Path, PathBuf};

/// One thing that a test cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The tests run as root.
    Root,
    /// The tests run as an ordinary user.
    Unprivileged,
    /// The caller may make a user namespace.
    UserNamespaces,
    /// The kernel has time namespaces (Linux 5.6).
    TimeNamespaces,
    /// The caller has ids in /etc/subuid and /etc/subgid, and newuidmap is installed.
    SubordinateIds,
    /// The caller is root, or has such ids.
    ManyIds,
    /// The caller may make cgroups with this controller.
    Controller(Controller),
    /// The caller may not make cgroups with this controller.
    NoController(Controller),
    /// A block device, such as a disk or a loop device.
    BlockDevice,
    /// The one cgroup tree is version 2.
    CgroupV2,
    /// systemd is the first process.
    Systemd,
    /// A program is installed.
    Tool(Tool),
    /// There is a criu that runs on this kernel.
    Criu,
    /// The kernel is at least this one.
    Kernel(u32, u32),
    /// The caller may make network namespaces, and the kernel has veth pairs, bridges and nf_tables.
    Networks,
    /// The kernel has this filesystem, without loading a module first.
    Filesystem(&'static str),
    /// The kernel has this kind of network device that is made of another, `macvlan` or `ipvlan`.
    Device(&'static str),
    /// It has not.
    NoDevice(&'static str),
    /// The kernel limits directories of ext4 (project quotas), and there are loop devices.
    ProjectQuotas,
}

/// A cgroup controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the kernel's own names, cgroups(7)")]
pub enum Controller {
    Cpu,
    Cpuset,
    Memory,
    Pids,
    Freezer,
    Blkio,
}

impl Controller {
    /// The kernel's name of it, in version 1.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Freezer => "freezer",
            Self::Blkio => "blkio",
        }
    }

    /// The kernel's name of it, in version 2.
    fn unified_name(self) -> &'static str {
        if self == Self::Blkio { "io" } else { self.name() }
    }
}

/// A program that tests run, from a package of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the programs")]
pub enum Tool {
    Busybox,
    Newuidmap,
    Setpriv,
    Ps,
    Strace,
    Ip,
    Nft,
    Pasta,
    Slirp4netns,
    Bwrap,
    Runc,
    Crun,
    Umoci,
    Skopeo,
    DockerRegistry,
    UserModeLinux,
    Podman,
    Conmon,
    Buildah,
    Containerd,
    Dockerd,
    /// time(1), not the shell's.
    Time,
    Python,
    Dig,
    Iptables,
    /// Not a program: the module of Python's that speaks gRPC.
    PythonGrpc,
    /// Not a program: what C programs are built with against libseccomp.
    LibseccompDev,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::Busybox,
        Self::Newuidmap,
        Self::Setpriv,
        Self::Ps,
        Self::Strace,
        Self::Ip,
        Self::Nft,
        Self::Pasta,
        Self::Slirp4netns,
        Self::Bwrap,
        Self::Runc,
        Self::Crun,
        Self::Umoci,
        Self::Skopeo,
        Self::DockerRegistry,
        Self::UserModeLinux,
        Self::Podman,
        Self::Conmon,
        Self::Buildah,
        Self::Containerd,
        Self::Dockerd,
        Self::Time,
        Self::Python,
        Self::Dig,
        Self::Iptables,
        Self::PythonGrpc,
        Self::LibseccompDev,
    ];

    /// The name of the program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Busybox => "busybox",
            Self::Newuidmap => "newuidmap",
            Self::Setpriv => "setpriv",
            Self::Ps => "ps",
            Self::Strace => "strace",
            Self::Ip => "ip",
            Self::Nft => "nft",
            Self::Pasta => "pasta",
            Self::Slirp4netns => "slirp4netns",
            Self::Bwrap => "bwrap",
            Self::Runc => "runc",
            Self::Crun => "crun",
            Self::Umoci => "umoci",
            Self::Skopeo => "skopeo",
            Self::DockerRegistry => "docker-registry",
            Self::UserModeLinux => "linux.uml",
            Self::Podman => "podman",
            Self::Conmon => "conmon",
            Self::Buildah => "buildah",
            Self::Containerd => "containerd",
            Self::Dockerd => "dockerd",
            Self::Time => "time",
            Self::Python => "python3",
            Self::Dig => "dig",
            Self::Iptables => "iptables",
            Self::PythonGrpc => "grpc/__init__.py",
            Self::LibseccompDev => "seccomp.h",
        }
    }

    /// The Debian package it is in.
    pub fn package(self) -> &'static str {
        match self {
            Self::Busybox => "busybox-static",
            Self::Newuidmap => "uidmap",
            Self::Setpriv => "util-linux",
            Self::Ps => "procps",
            Self::Strace => "strace",
            Self::Ip => "iproute2",
            Self::Nft => "nftables",
            Self::Pasta => "passt",
            Self::Slirp4netns => "slirp4netns",
            Self::Bwrap => "bubblewrap",
            Self::Runc => "runc",
            Self::Crun => "crun",
            Self::Umoci => "umoci",
            Self::Skopeo => "skopeo",
            Self::DockerRegistry => "docker-registry",
            Self::UserModeLinux => "user-mode-linux",
            Self::Podman => "podman",
            Self::Conmon => "conmon",
            Self::Buildah => "buildah",
            Self::Containerd => "containerd",
            Self::Dockerd => "docker.io",
            Self::Time => "time",
            Self::Python => "python3",
            Self::Dig => "bind9-dnsutils",
            Self::Iptables => "iptables",
            Self::PythonGrpc => "python3-grpcio",
            Self::LibseccompDev => "libseccomp-dev",
        }
    }

    /// Where it is installed.
    pub fn path(self) -> Option<PathBuf> {
        let dirs = [
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
            "/usr/include",
            "/usr/lib/python3/dist-packages",
        ];
        dirs.iter().map(|dir| Path::new(dir).join(self.program())).find(|path| path.exists())
    }
}

impl Need {
    /// Why this need is not met here; `None` when it is.
    pub fn missing(self) -> Option<String> {
        let root = rustix::process::geteuid().is_root();
        match self {
            Self::Root => (!root).then(|| "needs root".into()),
            Self::Unprivileged => root.then(|| "needs an ordinary user".into()),
            Self::UserNamespaces => (!may_make_user_namespaces())
                .then(|| "user namespaces are forbidden to this user (see boxr doctor)".into()),
            Self::TimeNamespaces => (!Path::new("/proc/self/ns/time").exists())
                .then(|| "this kernel has no time namespaces".into()),
            Self::SubordinateIds => no_subordinate_ids(),
            Self::ManyIds if rustix::process::geteuid().is_root() => None,
            Self::ManyIds => no_subordinate_ids(),
            Self::Controller(controller) => (!may_use(controller))
                .then(|| format!("cgroup controller {} is not to be had here", controller.name())),
            Self::NoController(controller) => may_use(controller)
                .then(|| format!("cgroup controller {} is to be had here", controller.name())),
            Self::BlockDevice => block_device().is_none().then(|| "there is no block device here".into()),
            Self::Systemd => (!Path::new("/run/systemd/system").exists())
                .then(|| "needs a machine that systemd runs (cargo xtask test --world systemd)".into()),
            Self::CgroupV2 => {
                (!is_cgroup_v2()).then(|| "the cgroup tree here is not a single one of version 2".into())
            }
            Self::Tool(tool) => tool
                .path()
                .is_none()
                .then(|| format!("{} is not installed (apt-get install {})", tool.program(), tool.package())),
            Self::Criu => {
                criu().is_none().then(|| "no criu runs on this kernel (.ci/criu fetches one)".into())
            }
            Self::Networks => no_networks(),
            Self::Filesystem(name) => {
                let list = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
                let has = list.lines().any(|line| line.split_whitespace().last() == Some(name));
                (!has).then(|| format!("needs the filesystem {name}"))
            }
            Self::ProjectQuotas => no_project_quotas(),
            Self::Device(kind) => (!has_device(kind)).then(|| format!("this kernel has no {kind} devices")),
            Self::NoDevice(kind) => has_device(kind).then(|| format!("this kernel has {kind} devices")),
            Self::Kernel(major, minor) => {
                (kernel() < (major, minor)).then(|| format!("needs Linux {major}.{minor}"))
            }
        }
    }
}

/// Tries it, in a mount namespace that ends with the trial.
fn no_project_quotas() -> Option<String> {
    let script = "f=$(mktemp) d=$(mktemp -d); trap 'rm -f $f; rmdir $d' EXIT; truncate -s 8M $f; \
                  mkfs.ext4 -q -O quota,project -E quotatype=prjquota $f && mount -o loop,prjquota $f $d && umount $d";
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--", "sh", "-c", script])
        .output();
    match output {
        Ok(output) if output.status.success() => None,
        _ => Some("this kernel has no project quotas for ext4, or no loop devices".to_owned()),
    }
}

/// A block device of this machine.
pub fn block_device() -> Option<String> {
    let disks = std::fs::read_dir("/sys/block").ok()?;
    let mut names: Vec<_> = disks.flatten().map(|disk| Path::new("/dev").join(disk.file_name())).collect();
    names.sort();
    names.into_iter().find(|path| path.exists()).map(|path| path.display().to_string())
}

/// A criu that runs on this kernel: the one that `.ci/criu` has fetched, or the installed one.
pub fn criu() -> Option<PathBuf> {
    let cache = std::env::var_os("BOXR_CI_CACHE").unwrap_or_else(|| "/var/cache/boxr-ci".into());
    let fetched = Path::new(&cache).join("criu/criu");
    let runs = |path: &PathBuf| {
        let check = std::process::Command::new(path).arg("check").output();
        check.is_ok_and(|output| output.status.success())
    };
    [fetched, PathBuf::from("/usr/sbin/criu")].into_iter().find(runs)
}

/// Major and minor version of the running kernel.
pub fn kernel() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let mut parts = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn no_networks() -> Option<String> {
    let script = "ip link add type bridge && ip link add type veth && nft add table inet probe";
    let output = std::process::Command::new("unshare").args(["--net", "--", "sh", "-c", script]).output();
    let works = output.is_ok_and(|output| output.status.success());
    (!works).then(|| "bridges, veth pairs or nf_tables are not to be had here".into())
}

/// Tries it, in a network namespace that ends with the trial.
fn has_device(kind: &str) -> bool {
    let script = "ip link add p0 type veth peer p1 && ip link add link p0 type $0";
    let output =
        std::process::Command::new("unshare").args(["--net", "--", "sh", "-c", script, kind]).output();
    output.is_ok_and(|output| output.status.success())
}

fn may_make_user_namespaces() -> bool {
    let mut command = std::process::Command::new("unshare");
    let status = command.args(["--user", "--map-root-user", "--", "true"]).output();
    status.is_ok_and(|output| output.status.success())
}

fn no_subordinate_ids() -> Option<String> {
    if let Some(reason) = Need::Tool(Tool::Newuidmap).missing() {
        return Some(reason);
    }
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    let offers = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split(':').next())
            .any(|owner| owner.parse() == Ok(uid) || Some(owner) == name.as_deref())
    };
    let missing = ["/etc/subuid", "/etc/subgid"].into_iter().find(|file| !offers(file))?;
    Some(format!("{missing} offers this user nothing"))
}

fn is_cgroup_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Whether the caller may make a group with `controller` below the one it is in.
fn may_use(controller: Controller) -> bool {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let writable = |dir: PathBuf| {
        rustix::fs::access(&dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
    };
    if is_cgroup_v2() {
        let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let dir = Path::new("/sys/fs/cgroup").join(path);
        // The freezer is part of version 2 itself.
        let offered = controller == Controller::Freezer
            || std::fs::read_to_string(dir.join("cgroup.controllers"))
                .is_ok_and(|list| list.split_whitespace().any(|name| name == controller.unified_name()));
        return offered && writable(dir);
    }
    own.lines().any(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(names), Some(path)) = (fields.next(), fields.next()) else { return false };
        names.split(',').any(|name| name == controller.name())
            && writable(Path::new("/sys/fs/cgroup").join(names).join(path.trim_start_matches('/')))
    })
}
