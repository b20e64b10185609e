//! Errors of starts and of running boxes, told to a person.

use boxr_engine::attempt::AttemptError;
use boxr_engine::doctor::{self, Finding};
use boxr_engine::join::JoinError;
use boxr_engine::nsview::FindError;
use boxr_engine::outcome::EngineError;
use boxr_engine::prepare::PrepareError;
use boxr_engine::spec::SpecError;
use boxr_runtime::{Error as RuntimeError, Step, StepError};
use rustix::io::Errno;

use super::{Explain, Report, errno_text};

impl Explain for EngineError {
    fn report(&self) -> Report {
        let report = match self {
            Self::Store(error) => error.report(),
            Self::Prepare(error) => error.report(),
            Self::Runtime(error) => error.report(),
            Self::Cgroup(error) => error.report(),
            Self::Image(error) => error.report(),
            Self::Volume(error) => error.report(),
            Self::Config(error) => error.report(),
            Self::Network(error) => match error {
                boxr_network::Error::NoNetwork { name } => error
                    .report()
                    .detail(format!("the network of a running box of this name would be container:{name}"))
                    .suggest(format!("boxr network create {name}")),
                _ => error.report(),
            },
            Self::Pod(error) => error.report(),
            Self::Remove(error) => error.report(),
            Self::Log(error) => error.report(),
            Self::OwnBinary(_) => Report::new(self.to_string()),
            Self::Process(error) => error.report(),
            Self::Join(error) => error.report(),
            Self::System { .. }
            | Self::MonitorLost { .. }
            | Self::Copy { .. }
            | Self::Required { .. }
            | Self::Debug { .. } => Report::new(self.to_string()),
            Self::NoNameServer => Report::new(self.to_string())
                .suggest("--dns ADDRESS names one, --network none asks for none")
                .suggest(
                    "echo nameserver ADDRESS | sudo tee /etc/resolv.conf (or `# none`, for a host without)",
                ),
            Self::Link { wanted, why } => Report::new(self.to_string()).suggest(why.remedy(wanted)),
            Self::Wrong { name, is } => wrong(name, is),
            Self::Attempt(error) => error.report(),
            Self::File { path, errno } => Report::new(format!("cannot write {path}: {}", errno_text(*errno))),
        };
        report.status(self.exit_status())
    }
}

fn wrong(name: &str, is: &str) -> Report {
    let report = Report::new(format!("box {name} {is}"));
    match is {
        "is not running" => report.suggest(format!("boxr start {name}")),
        "is running already" => {
            report.suggest(format!("boxr attach {name}")).suggest(format!("boxr restart {name}"))
        }
        "is paused" => report.suggest(format!("boxr unpause {name}")),
        _ => report,
    }
}

impl Explain for AttemptError {
    fn report(&self) -> Report {
        let report = Report::new(self.to_string());
        match self {
            Self::Running { name } => report.suggest(format!("boxr wait {name}")),
            Self::NoTry { .. } => report.suggest("boxr try -- COMMAND"),
            Self::File { errno: Errno::NOSPC, .. } => report.suggest("boxr system df"),
            Self::File { .. } | Self::Option { .. } | Self::Remounted { .. } | Self::Unchanged { .. } => {
                report
            }
        }
    }
}

impl Explain for PrepareError {
    fn report(&self) -> Report {
        match self {
            Self::Join(error) => error.report(),
            Self::Spec(error) => error.report(),
            Self::Runtime(error) => error.report(),
            Self::Cgroup(error) => error.report(),
            Self::Image(error) => error.report(),
            Self::Volume(error) => error.report(),
            Self::Sandbox(error) if !error.remedy().is_empty() => {
                Report::new(error.to_string()).suggest(error.remedy())
            }
            Self::Sandbox(error) => Report::new(error.to_string()),
            Self::Secret(error) => error.report(),
            Self::Root { .. } | Self::Caller(_) => Report::new(self.to_string()),
        }
    }
}

impl Explain for SpecError {
    fn report(&self) -> Report {
        match self {
            Self::IdMap(error) => error.report(),
            _ => Report::new(self.to_string()),
        }
    }
}

impl Explain for boxr_cgroup::Error {
    fn report(&self) -> Report {
        let report = Report::new(self.to_string());
        match self.remedy() {
            Some(remedy) => report.suggest(remedy),
            None => report,
        }
    }
}

impl Explain for JoinError {
    fn report(&self) -> Report {
        match self {
            Self::Box(error) => error.report(),
            Self::NotRunning { name } => wrong(name, "is not running"),
            Self::Open { errno: Errno::ACCESS | Errno::PERM, .. } => Report::new(self.to_string())
                .detail("it belongs to another user, or to a process that protects itself"),
            Self::Open { errno: Errno::NOENT | Errno::SRCH, .. } => {
                Report::new(self.to_string()).detail("it is gone").suggest("boxr ns")
            }
            Self::Find(error) => error.report(),
            Self::NewUserAndJoin { .. } => Report::new(self.to_string())
                .detail("leave --userns out: boxr then enters the user namespace that owns it"),
            Self::Open { .. } | Self::WrongType { .. } | Self::NotHeld { .. } | Self::DifferentOwners => {
                Report::new(self.to_string())
            }
        }
    }
}

impl Explain for FindError {
    fn report(&self) -> Report {
        Report::new(self.to_string()).suggest("boxr ns")
    }
}

impl Explain for RuntimeError {
    fn report(&self) -> Report {
        let report = match self {
            Self::Step(error) => error.report(),
            Self::Cgroup(error) => error.report(),
            Self::IdMapHelper { program, .. } => Report::new(self.to_string())
                .detail(format!("{program} maps the ranges of /etc/subuid and /etc/subgid"))
                .suggest("boxr doctor")
                .suggest("boxr run --uidmap 0:$(id -u):1 --gidmap 0:$(id -g):1 -- COMMAND"),
            Self::Field { field, .. } if field.starts_with("process.user.") => Report::new(self.to_string())
                .detail("a user namespace without a range of /etc/subuid has one id: 0, which is you")
                .suggest("boxr run --uidmap ID:$(id -u):1 --gidmap ID:$(id -g):1 --user ID:ID -- COMMAND")
                .suggest("boxr doctor"),
            Self::OutOfMemory => Report::new(self.to_string()).suggest("boxr run --memory 4m -- COMMAND"),
            Self::Field { .. } | Self::ChildLost { .. } | Self::Hook(_) | Self::Seccomp(_) => {
                Report::new(self.to_string())
            }
        };
        report.status(self.exit_status())
    }
}

impl Explain for StepError {
    fn report(&self) -> Report {
        let report = Report::new(self.to_string());
        match (self.step, self.errno) {
            (Step::Exec, Errno::NOENT) => Report::new(format!("{}: command not found", self.object))
                .detail("no directory of PATH in the box has it, or the path does not exist there"),
            (Step::Exec, Errno::ISDIR) => Report::new(format!("{}: is a directory", self.object)),
            (Step::Exec, Errno::NOEXEC) => report.detail(
                "its #! line or its loader names a program that is not in the box, or it is no program",
            ),
            (Step::Exec, Errno::ACCESS) => {
                report.detail("it has no execute permission, or lies on a noexec mount")
            }
            (Step::RootTree, errno) => root_refused(report, errno),
            (Step::Clone, Errno::PERM) => clone_refused(report),
            (Step::Clone, Errno::NOSPC) => report
                .detail("a limit of namespaces is reached: sysctl user.max_user_namespaces and its kin")
                .suggest("boxr doctor"),
            (Step::Mount, Errno::PERM) if self.object.starts_with("/proc") => {
                let report = match doctor::why_proc_mount_refused() {
                    Some(finding) => explained(report, &finding),
                    None => report.detail("the pid namespace is not the box's own to show"),
                };
                report.suggest("boxr run --pid host -- COMMAND")
            }
            (Step::MountAttributes, Errno::INVAL | Errno::PERM) if self.object.ends_with("(idmap)") => {
                ids_refused(report, self.errno)
            }
            (Step::MountTarget, Errno::NOENT) => report.detail(
                "on the host's file tree boxr creates no mount targets; make it first, or use --rootfs",
            ),
            (Step::MountTarget, Errno::LOOP) => {
                report.detail("it is a symbolic link that leads nowhere in the box's root")
            }
            (Step::OomScore, Errno::ACCESS) => report.detail("lowering it needs CAP_SYS_RESOURCE"),
            (Step::Join, Errno::PERM) => {
                report.detail("it belongs to a user namespace over which you have no privilege")
            }
            (Step::Join, Errno::INVAL) => {
                report.detail("it is not of that type, or cannot be joined by this process")
            }
            _ => report,
        }
    }
}

/// A mount that the kernel does not show with other ids.
fn ids_refused(report: Report, errno: Errno) -> Report {
    if errno == Errno::PERM && !rustix::process::geteuid().is_root() {
        return report
            .detail("only root of the host may show files with other ids")
            .detail("without idmap you own in the box what you own here");
    }
    report
        .detail(
            "its filesystem cannot show its files with the container's ids, so nobody there would own them",
        )
        .suggest("boxr run --userns host IMAGE")
}

/// What overlayfs may refuse, and why that most likely is.
fn root_refused(report: Report, errno: Errno) -> Report {
    match errno {
        Errno::NOENT => {
            report.detail("a layer of the image is missing").suggest("boxr store verify --repair")
        }
        Errno::NODEV => report.detail("the kernel has no overlayfs").suggest("modprobe overlay"),
        Errno::INVAL | Errno::OPNOTSUPP if report.what.contains("shift the ids") => report
            .detail("the filesystem that images are kept on cannot show other ids; ext4, xfs and btrfs do since Linux 5.12 to 5.15, and overlayfs takes such layers since 5.19")
            .suggest("boxr run --userns host IMAGE"),
        Errno::INVAL | Errno::OPNOTSUPP => report
            .detail("the filesystem that images are kept on may not do for overlayfs; dmesg has its reason")
            .suggest("boxr --root DIR run IMAGE"),
        Errno::PERM => report.detail("an ordinary user needs Linux 5.11 for this").suggest("boxr doctor"),
        _ => report,
    }
}

/// `EPERM` of clone3(2): no privilege, or user namespaces forbidden. The doctor knows by what.
fn clone_refused(report: Report) -> Report {
    let report = match doctor::why_user_namespace_refused() {
        Some(finding) => explained(report, &finding),
        None if boxr_runtime::capabilities::is_privileged() == Ok(true) => {
            return report.suggest("boxr doctor");
        }
        None => report
            .detail("this needs root or a user namespace, and --userns host forbids one")
            .suggest("boxr run --userns new -- COMMAND"),
    };
    report.suggest("sudo boxr run -- COMMAND")
}

/// With what a probe found out.
fn explained(report: Report, finding: &Finding) -> Report {
    let report = report.detail(finding.detail.clone());
    match &finding.remedy {
        Some(remedy) => report.suggest(remedy.clone()),
        None => report.suggest("boxr doctor"),
    }
}
